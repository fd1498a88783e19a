/* SPDX-License-Identifier: BSD-2-Clause */
/* A resolver whose rows are kept, to be asked for. */
#ifndef RESOLVE_ROWS_H
#define RESOLVE_ROWS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/event.h>
#include <kp/util.h>
#include "record/resolve.h"

#define SEC 1000000000ull

/* Tasks that cannot be: far above pid_max. */
enum { P = 0x7000001, C = 0x7000002, W = 0x7000003, X = 0x7000004 };
enum { MAX = 4096 };

struct fixture { struct kp_pool *pool; struct kp_resolve *r; struct kp_kinds *kinds; struct kp_row row[MAX]; int n, stop; uint32_t only[2]; };

static inline struct fixture *new_with(struct kp_resolve_opts o)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kp_err err;

	assert_non_null(f);
	assert_int_equal(kp_pool_new(&f->pool), 0);
	assert_int_equal(kp_kinds_new(&f->kinds), 0);
	o.kinds = f->kinds;
	assert_int_equal(kp_resolve_new(&f->r, f->pool, &o, &err), 0);
	return f;
}

static inline struct fixture *new_at(const char *proc) { return new_with((struct kp_resolve_opts){ .proc = proc }); }
static inline struct fixture *new(void) { return new_at(NULL); }

static inline void done(struct fixture *f)
{
	kp_resolve_free(f->r);
	kp_kinds_free(f->kinds);
	kp_pool_free(f->pool);
	free(f);
}

static inline int emit(void *arg, const struct kp_row *row)
{
	struct fixture *f = arg;

	if (f->stop)
		return -f->stop;
	/* a machine may have any number of tasks */
	if (f->only[0] && row->task && row->task->tgid != f->only[0] && row->task->tgid != f->only[1])
		return 0;
	assert_true(f->n < MAX);
	f->row[f->n++] = *row;
	return 0;
}

static inline const char *str(const struct kp_str *s) { return s ? s->p : "(null)"; }

/* The first row of a kind, with this thread and this object (0, NULL: any). */
static inline const struct kp_row *row_of(const struct fixture *f, uint16_t kind, uint32_t tid, const char *name)
{
	for (int i = 0; i < f->n; i++) {
		const struct kp_row *r = &f->row[i];

		if (r->kind == kind && (!tid || (r->task && r->task->tid == tid)) &&
		    (!name || (r->obj && r->obj->name && !strcmp(r->obj->name->p, name))))
			return r;
	}
	return NULL;
}

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	assert_false(clock_gettime(id, &ts));
	return (uint64_t)ts.tv_sec * SEC + ts.tv_nsec;
}

#endif
