/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows for the tests of kp-enrich: a small world of threads and connections, and what came out for each row. */
#ifndef ENRICH_ROWS_H
#define ENRICH_ROWS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include <kp/enrich.h>
#include <kp/kinds.h>
#include <kp/pool.h>

#define MS 1000000ull
#define TP(trace, span) "00-" trace "-" span "-01"
#define TRACE1 "0af7651916cd43dd8448eb211c80319c"
#define SPAN1 "b7ad6b7169203331"

enum { MAX_OUT = 4096 };

struct out { struct kp_row row; char ctx[KP_CTX_MAX][64]; };

/* Set for the second run of all tests: after each row the pool that it came in is freed. */
static bool renews;

struct world {
	struct kp_pool *pool;	/* what tests keep */
	struct kp_pool *values;	/* what rows are given in */
	struct kp_enrich *e;
	struct out out[MAX_OUT]; unsigned n;
	uint32_t seq[65536];	/* stream position by local port */
};

static inline int world_emit(void *arg, const struct kp_row *row, struct kp_err *err)
{
	struct world *w = arg;
	struct out *o = &w->out[w->n++];

	assert_true(w->n <= MAX_OUT);
	o->row = *row;
	for (int i = 0; i < KP_CTX_MAX; i++)
		snprintf(o->ctx[i], sizeof(o->ctx[i]), "%s", row->ctx[i] ? row->ctx[i]->p : "");
	return 0;
}

static inline struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(kp_pool_new(&w->pool), 0);
	assert_int_equal(kp_pool_new(&w->values), 0);
	assert_int_equal(kp_enrich_new(&w->e, 0, world_emit, w, NULL), 0);
	assert_int_equal(kp_enrich_source(w->e, 0, &(struct kp_source){ .boot_id = "b0" }, 1000000 * (int64_t)MS), 0);
	return w;
}

static inline void world_free(struct world *w)
{
	kp_enrich_free(w->e);
	kp_pool_free(w->values);
	kp_pool_free(w->pool);
	free(w);
}

static inline const struct kp_task *task(struct world *w, uint32_t tgid, uint32_t tid, const char *comm)
{
	struct kp_task t = { .tid = tid, .tgid = tgid, .ns_tid = tid, .ns_tgid = tgid, .start = 1,
			     .comm = kp_pool_cstr(w->pool, comm) };

	return kp_pool_task(w->pool, &t);
}

static inline void put(struct world *w, const struct kp_row *r)
{
	struct kp_err err = { "" };
	struct kp_row own = *r;
	struct kp_pool *next;

	assert_int_equal(kp_pool_adopt(w->values, &own), 0);
	if (kp_enrich_row(w->e, &own, &err))
		fail_msg("%s", err.msg);
	if (!renews)
		return;
	assert_int_equal(kp_pool_new(&next), 0);
	assert_int_equal(kp_enrich_renew(w->e, next), 0);
	kp_pool_free(w->values);
	w->values = next;
}

/* Any row; its place in the output is returned. */
static inline unsigned row(struct world *w, uint16_t kind, const struct kp_task *t, double start_ms, double end_ms)
{
	static unsigned serial;
	struct kp_row r = { .kind = kind, .task = t, .end = (uint64_t)(end_ms * MS),
			    .dur = (uint64_t)((end_ms - start_ms) * MS), .a = { 0, 0, 0, 0, 0, ++serial } };

	put(w, &r);
	return serial;
}

static inline const struct kp_obj *sock(struct world *w, uint16_t lport, uint16_t rport)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = 6, .lport = lport, .rport = rport,
			    .laddr = { 127, 0, 0, 1 }, .raddr = { 127, 0, 0, 1 }, .id = lport };

	return kp_pool_obj(w->pool, &o);
}

/* t sends n bytes of s from lport to rport; the row's span is 10 us. */
static inline void send_n(struct world *w, const struct kp_task *t, double ms, int lport, int rport, const void *s, size_t n)
{
	struct kp_row r = { .kind = KP_K_TCP_SEND, .task = t, .end = (uint64_t)(ms * MS), .dur = 10000, .ret = n,
			    .obj = sock(w, lport, rport), .data = s, .data_len = n };

	r.a[0] = w->seq[lport] += n;
	r.data_len = s ? n : 0;
	put(w, &r);
}

/* t reads on lport all that was sent up to now by rport, or n bytes if n. */
static inline void recv_n(struct world *w, const struct kp_task *t, double ms, int lport, int rport, const void *s, size_t n)
{
	struct kp_row r = { .kind = KP_K_TCP_RECV, .task = t, .end = (uint64_t)(ms * MS), .dur = 5000, .ret = n,
			    .obj = sock(w, lport, rport), .data = s, .data_len = s ? n : 0 };

	r.a[0] = w->seq[rport];
	put(w, &r);
}

static inline void tx(struct world *w, const struct kp_task *t, double ms, int lport, int rport, const char *s)
{
	send_n(w, t, ms, lport, rport, s, strlen(s));
}

static inline void rx(struct world *w, const struct kp_task *t, double ms, int lport, int rport, const char *s)
{
	recv_n(w, t, ms, lport, rport, s, strlen(s));
}

/* A simple query of PostgreSQL, in buf. */
static inline size_t query(char *buf, const char *sql)
{
	size_t n = strlen(sql) + 5;

	memcpy(buf, (char[]){ 'Q', 0, 0, n >> 8, n & 0xff }, 5);
	strcpy(buf + 5, sql);
	return n + 1;
}

static inline void done(struct world *w)
{
	assert_int_equal(kp_enrich_flush(w->e, NULL), 0);
}

/* What the row with this serial was given. */
static inline const char *got(struct world *w, unsigned serial, enum kp_ctx c)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->out[i].row.a[5] == serial)
			return w->out[i].ctx[c];
	fail_msg("row %u is missing", serial);
	return "";
}

static inline const char *req(struct world *w, unsigned serial) { return got(w, serial, KP_CTX_REQUEST); }
static inline const char *op(struct world *w, unsigned serial) { return got(w, serial, KP_CTX_OP); }

/* A main that ends with it runs all tests twice: what comes out does not depend on when pools are renewed. */
#define run_both_ways(tests) \
	(cmocka_run_group_tests(tests, NULL, NULL) + \
	 (renews = true, cmocka_run_group_tests_name("with pools renewed", tests, NULL, NULL)))

#endif
