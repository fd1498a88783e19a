/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows at random, and streams of them in files without a name. */
#ifndef STREAM_ROWS_H
#define STREAM_ROWS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <kp/stream.h>
#include <kp/util.h>

struct world {
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	struct kp_header h;
	struct kp_source src[3];
	const struct kp_task *task[20];
	const struct kp_obj *obj[20];
	const struct kp_stack *stack[8];
	const struct kp_str *str[8];
	uint64_t seed;
};

static inline uint64_t rnd(struct world *w)
{
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	return w->seed >> 33 ^ w->seed << 20;
}

static inline void world_init(struct world *w, uint32_t nsources, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	assert_int_equal(kp_pool_new(&w->pool), 0);
	assert_int_equal(kp_kinds_new(&w->kinds), 0);
	for (uint32_t i = 0; i < 8; i++) {
		char s[32];

		w->str[i] = kp_pool_str(w->pool, s, (size_t)snprintf(s, sizeof(s), "s%u\x1b[31m\xff", i));
		w->stack[i] = kp_pool_stack(w->pool, w->str, i + 1 < 8 ? i : 1);
		if (!i)
			w->stack[0] = NULL;
	}
	for (uint32_t i = 0; i < 20; i++) {
		struct kp_task t;
		struct kp_obj o;

		memset(&t, 0, sizeof(t));
		memset(&o, 0, sizeof(o));
		t.tid = 100 + i;
		t.tgid = 100 + i / 2;
		t.start = rnd(w);
		t.comm = w->str[i % 8];
		t.exe = i % 3 ? w->str[(i + 1) % 8] : NULL;
		t.cgroup[KP_CG_MEMORY] = i % 2 ? w->str[2] : NULL;
		t.kthread = i == 7;
		o.type = 1 + i % 9;
		o.id = rnd(w);
		o.dev = (uint32_t)rnd(w);
		o.name = i % 2 ? w->str[i % 8] : NULL;
		if (o.type == KP_OBJ_SOCKET) {
			o.family = i % 2 ? 2 : 10;
			o.proto = 6;
			o.lport = (uint16_t)rnd(w);
			o.rport = 5432;
			memset(o.laddr, 0x7f, o.family == 2 ? 3 : 16);
			o.raddr[0] = 10;
		}
		w->task[i] = kp_pool_task(w->pool, &t);
		w->obj[i] = kp_pool_obj(w->pool, &o);
	}
	for (uint32_t i = 0; i < nsources; i++) {
		struct kp_source *s = &w->src[i];

		snprintf(s->session, sizeof(s->session), "session%u", i);
		snprintf(s->boot_id, sizeof(s->boot_id), "boot%u", i);
		s->host = w->str[i];
		s->mono0 = 1000;
		s->real0 = 1700000000000000000u + i * 10;
		s->cpus = 2;
	}
	w->h = (struct kp_header){ .version = 1, .sources = w->src, .nsources = nsources };
}

static inline void world_free(struct world *w)
{
	kp_kinds_free(w->kinds);
	kp_pool_free(w->pool);
}

/* A row that ends at end; about half of its members are set. data: 64 bytes that stay. */
static inline struct kp_row row_make(struct world *w, uint64_t end, const uint8_t *data)
{
	static const uint16_t kinds[] = { KP_K_SCHED_SWITCH, KP_K_SCHED_WAKE, KP_K_TCP_SEND, KP_K_SYS_read, KP_K_SYS_write, KP_K_SYS_close, KP_K_BLK_READ };
	struct kp_row r;
	uint64_t bits = rnd(w);

	memset(&r, 0, sizeof(r));
	r.end = end;
	r.kind = kinds[rnd(w) % (sizeof(kinds) / sizeof(*kinds))];
	r.dur = bits & 1 ? rnd(w) % (end + 1) : 0;
	r.cpu = rnd(w) % 3;
	r.flags = bits & 2 ? 0 : (uint32_t)rnd(w) & (KP_F_OPEN | KP_F_SAMPLED | KP_F_SLOW);
	r.task = w->task[rnd(w) % 20];
	r.peer = bits & 4 ? w->task[rnd(w) % 20] : NULL;
	for (int i = 0; i < 6; i++)
		r.a[i] = bits & (8u << i) ? rnd(w) >> rnd(w) % 60 : 0;
	r.ret = bits & 1024 ? -(int64_t)(rnd(w) % 200) : (int64_t)(rnd(w) % 70000);
	r.obj = bits & 2048 ? w->obj[rnd(w) % 20] : NULL;
	r.stack = bits & 0x3000 ? NULL : w->stack[rnd(w) % 8];
	r.stack2 = bits & 0x4000 ? NULL : w->stack[rnd(w) % 8];
	r.data_len = bits & 0x18000 ? 0 : (uint32_t)(rnd(w) % 64);
	r.data = r.data_len ? data : NULL;
	for (int i = 0; i < KP_CTX_MAX; i++)
		r.ctx[i] = bits >> (20 + i) & 1 ? w->str[rnd(w) % 8] : NULL;
	return r;
}

static inline void same_task(const struct kp_task *a, const struct kp_task *b)
{
	assert_int_equal(!a, !b);
	if (!a)
		return;
	assert_int_equal(a->tid, b->tid);
	assert_int_equal(a->tgid, b->tgid);
	assert_int_equal(a->start, b->start);
	assert_int_equal(a->kthread, b->kthread);
	for (int i = -2; i < KP_CG_MAX; i++) {
		const struct kp_str *x = i == -2 ? a->comm : i == -1 ? a->exe : a->cgroup[i];
		const struct kp_str *y = i == -2 ? b->comm : i == -1 ? b->exe : b->cgroup[i];

		assert_int_equal(!x, !y);
		if (x) {
			assert_int_equal(x->len, y->len);
			assert_memory_equal(x->p, y->p, x->len);
		}
	}
}

static inline void same_stack(const struct kp_stack *a, const struct kp_stack *b)
{
	assert_int_equal(!a, !b);
	if (!a)
		return;
	assert_int_equal(a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++)
		assert_string_equal(a->frame[i]->p, b->frame[i]->p);
}

/* Are two rows of different pools the same? */
static inline void same_row(const struct kp_row *a, const struct kp_row *b)
{
	assert_int_equal(a->end, b->end);
	assert_int_equal(a->dur, b->dur);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->cpu, b->cpu);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->source, b->source);
	assert_int_equal(a->ret, b->ret);
	assert_memory_equal(a->a, b->a, sizeof(a->a));
	same_task(a->task, b->task);
	same_task(a->peer, b->peer);
	assert_int_equal(!a->obj, !b->obj);
	if (a->obj) {
		assert_int_equal(a->obj->type, b->obj->type);
		assert_int_equal(a->obj->id, b->obj->id);
		assert_int_equal(a->obj->dev, b->obj->dev);
		assert_int_equal(a->obj->lport, b->obj->lport);
		assert_int_equal(a->obj->rport, b->obj->rport);
		assert_memory_equal(a->obj->laddr, b->obj->laddr, 16);
		assert_memory_equal(a->obj->raddr, b->obj->raddr, 16);
		assert_int_equal(!a->obj->name, !b->obj->name);
		if (a->obj->name)
			assert_string_equal(a->obj->name->p, b->obj->name->p);
	}
	same_stack(a->stack, b->stack);
	same_stack(a->stack2, b->stack2);
	assert_int_equal(a->data_len, b->data_len);
	if (a->data_len)
		assert_memory_equal(a->data, b->data, a->data_len);
	for (int i = 0; i < KP_CTX_MAX; i++) {
		assert_int_equal(!a->ctx[i], !b->ctx[i]);
		if (a->ctx[i])
			assert_string_equal(a->ctx[i]->p, b->ctx[i]->p);
	}
}

/* A path under which a descriptor can be opened again. */
static inline const char *fd_path(char buf[32], int fd)
{
	snprintf(buf, 32, "/proc/self/fd/%d", fd);
	return buf;
}

#endif
