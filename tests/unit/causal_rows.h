/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows for the tests of kp-causal, made by hand: threads that run, wait for a
 * CPU and sleep, messages between them, requests to devices. Times are ms.
 * Each test says who did what, and asks what the explanation makes of it.
 */
#ifndef CAUSAL_ROWS_H
#define CAUSAL_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include <kp/causal.h>
#include <kp/kinds.h>
#include <kp/pool.h>

#define MS 1000000ull
#define T0 100000.0	/* ms: when the tests' hosts had been up for a while */
#define SWITCH_MS 0.01	/* from waking up to running, where nobody is in the way */

struct thread { const struct kp_task *t; double on; uint16_t cpu; };

struct rows {
	struct kp_pool *pool;
	struct kp_header h;
	struct kp_source src[2];
	struct kp_row *v; unsigned n, cap;
	const struct kp_task *idle;
	uint32_t seq[65536];	/* stream position by local port */
	char *text[4096]; unsigned ntext; /* data of messages */
	/* set by explain(): */
	struct kp_scan *scan;
	struct kp_world *world;
	struct kp_graph *g;
	struct kp_err err;
};

static inline uint64_t ns(double ms)
{
	return (uint64_t)((T0 + ms) * 1000.0 + 0.5) * 1000;
}

static inline const struct kp_str *str(struct rows *w, const char *s)
{
	return s ? kp_pool_cstr(w->pool, s) : NULL;
}

static inline struct rows *rows_new(void)
{
	struct rows *w = calloc(1, sizeof(*w));
	struct kp_task idle = { 0 };

	assert_non_null(w);
	assert_int_equal(kp_pool_new(&w->pool), 0);
	w->src[0] = (struct kp_source){ .machine_id = "m1", .boot_id = "b1", .session = "s1", .host = str(w, "db1"),
					.mono0 = ns(0), .real0 = 1764038700000000000ull };
	w->src[1] = (struct kp_source){ .machine_id = "m2", .boot_id = "b2", .session = "s2", .host = str(w, "web1"),
					.mono0 = ns(0), .real0 = 1764038700000000000ull };
	w->h = (struct kp_header){ .version = 1, .sources = w->src, .nsources = 1 };
	idle.comm = str(w, "swapper/0");
	idle.kthread = true;
	w->idle = kp_pool_task(w->pool, &idle);
	return w;
}

static inline void rows_free(struct rows *w)
{
	kp_graph_free(w->g);
	kp_world_free(w->world);
	kp_scan_free(w->scan);
	for (unsigned i = 0; i < w->ntext; i++)
		free(w->text[i]);
	kp_pool_free(w->pool);
	free(w->v);
	free(w);
}

static inline struct kp_row *put(struct rows *w, struct kp_row r)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 256;
		w->v = realloc(w->v, w->cap * sizeof(*w->v));
		assert_non_null(w->v);
	}
	w->v[w->n] = r;
	return &w->v[w->n++];
}

static inline struct kp_row *event(struct rows *w, uint16_t kind, const struct thread *th, double from, double to)
{
	return put(w, (struct kp_row){ .kind = kind, .task = th ? th->t : NULL, .cpu = th ? th->cpu : 0, .end = ns(to),
				       .dur = ns(to) - ns(from) });
}

/* A thread in a cgroup, running on `cpu` since `on`. */
static inline struct thread thread(struct rows *w, uint32_t tgid, uint32_t tid, const char *comm, const char *cg, double on)
{
	struct kp_task t = { .tid = tid, .tgid = tgid, .start = 1000000000ull + tid, .comm = str(w, comm) };

	for (int i = 0; i < KP_CG_MAX; i++)
		t.cgroup[i] = str(w, cg);
	return (struct thread){ kp_pool_task(w->pool, &t), on, (uint16_t)(tid % 61) };
}

static inline struct thread kthread(struct rows *w, uint32_t tid, const char *comm)
{
	struct kp_task t = { .tid = tid, .tgid = tid, .start = 1, .comm = str(w, comm), .kthread = true };

	return (struct thread){ kp_pool_task(w->pool, &t), 0, (uint16_t)(tid % 61) };
}

static inline const struct kp_stack *stack(struct rows *w, const char *f1, const char *f2)
{
	const struct kp_str *f[2] = { str(w, f1), str(w, f2) };

	return kp_pool_stack(w->pool, f, f2 ? 2 : 1);
}

/* ---- a thread's life ---- */

/* th leaves the CPU at `at`. */
static inline void leave(struct rows *w, struct thread *th, double at, unsigned state, const struct kp_task *next)
{
	struct kp_row *r = event(w, KP_K_SCHED_SWITCH, th, th->on, at);

	r->a[0] = state;
	r->peer = next ? next : w->idle;
}

/* It gets the CPU at `at`, for which it had been waiting since `since`; prev was there till then. */
static inline void enter(struct rows *w, struct thread *th, double since, double at, const struct kp_task *prev, double prev_on)
{
	struct kp_row *r = put(w, (struct kp_row){ .kind = KP_K_SCHED_SWITCH, .task = prev ? prev : w->idle, .peer = th->t,
						   .cpu = th->cpu, .end = ns(at), .dur = ns(at) - ns(prev_on) });

	r->a[2] = ns(at) - ns(since);
	th->on = at;
}

enum { S = 1, D = 2, STOPPED = 4 };
enum { TASK, SOFTIRQ, HARDIRQ };

/* th sleeps; who wakes it, and in which context. Returns the row of the waking. */
static inline struct kp_row *sleeps(struct rows *w, struct thread *th, double from, double to, unsigned state, const char *frame,
				    const struct kp_task *waker, unsigned ctx)
{
	struct kp_row *r;
	unsigned i;

	leave(w, th, from, state, NULL);
	r = event(w, KP_K_SCHED_WAKE, th, from, to);
	i = w->n - 1;
	r->peer = waker ? waker : w->idle;
	r->a[0] = ctx;
	r->a[1] = state;
	if (frame)
		r->stack = stack(w, "schedule+0x20", frame);
	enter(w, th, to, to + SWITCH_MS, NULL, from);
	return &w->v[i];
}

/* th wants the CPU but `who` has it. */
static inline void queued(struct rows *w, struct thread *th, double from, double to, const struct kp_task *who)
{
	leave(w, th, from, 0, who);
	enter(w, th, from, to, who, from);
}

/* Ends a thread's life in the recording, so that what it did last is known. */
static inline void until(struct rows *w, struct thread *th, double at)
{
	leave(w, th, at, S, NULL);
}

static inline struct kp_row *sys(struct rows *w, uint16_t kind, const struct thread *th, double from, double to, int64_t ret)
{
	struct kp_row *r = event(w, kind, th, from, to);

	r->ret = ret;
	return r;
}

/* ---- messages ---- */

static inline const struct kp_obj *sock(struct rows *w, int lport, int rport)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = 6, .lport = lport, .rport = rport,
			    .laddr = { 127, 0, 0, 1 }, .raddr = { 127, 0, 0, 1 }, .id = lport };

	return kp_pool_obj(w->pool, &o);
}

static inline const struct kp_obj *sock_to(struct rows *w, int lport, int rport)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = 6, .lport = lport, .rport = rport,
			    .laddr = { 10, 0, 0, 1 }, .raddr = { 10, 0, 0, 9 }, .id = lport };

	return kp_pool_obj(w->pool, &o);
}

static inline struct kp_row *message(struct rows *w, uint16_t kind, const struct thread *th, double at, const struct kp_obj *o,
				     const void *s, size_t n)
{
	struct kp_row *r = event(w, kind, th, at - 0.005, at);
	char *copy = malloc(n + 1);

	assert_non_null(copy);
	memcpy(copy, s, n);
	w->text[w->ntext++] = copy;
	r->ret = (int64_t)n;
	r->obj = o;
	r->data = (uint8_t *)copy;
	r->data_len = (uint32_t)n;
	return r;
}

static inline struct kp_row *tx(struct rows *w, const struct thread *th, double at, int lport, int rport, const char *s)
{
	struct kp_row *r = message(w, KP_K_TCP_SEND, th, at, sock(w, lport, rport), s, strlen(s));

	r->a[0] = w->seq[lport] += (uint32_t)strlen(s);
	return r;
}

static inline struct kp_row *rx(struct rows *w, const struct thread *th, double at, int lport, int rport, const char *s)
{
	struct kp_row *r = message(w, KP_K_TCP_RECV, th, at, sock(w, lport, rport), s, strlen(s));

	r->a[0] = w->seq[rport];
	return r;
}

static inline size_t query(char *buf, const char *sql)	/* a simple query of PostgreSQL */
{
	size_t n = strlen(sql) + 5;

	memcpy(buf, (char[]){ 'Q', 0, 0, n >> 8, n & 0xff }, 5);
	strcpy(buf + 5, sql);
	return n + 1;
}

static inline void tx_sql(struct rows *w, const struct thread *th, double at, int lport, int rport, const char *sql)
{
	char buf[256];
	size_t n = query(buf, sql);
	struct kp_row *r = message(w, KP_K_TCP_SEND, th, at, sock(w, lport, rport), buf, n);

	r->a[0] = w->seq[lport] += (uint32_t)n;
}

static inline void rx_sql(struct rows *w, const struct thread *th, double at, int lport, int rport, const char *sql)
{
	char buf[256];
	size_t n = query(buf, sql);
	struct kp_row *r = message(w, KP_K_TCP_RECV, th, at, sock(w, lport, rport), buf, n);

	r->a[0] = w->seq[rport];
}

/* CommandComplete and ReadyForQuery */
static inline void answer_sql(struct rows *w, const struct thread *th, double at, int lport, int rport)
{
	static const char done[] = "C\0\0\0\rSELECT 1\0Z\0\0\0\5I";
	struct kp_row *r = message(w, KP_K_TCP_SEND, th, at, sock(w, lport, rport), done, sizeof(done) - 1);

	r->a[0] = w->seq[lport] += sizeof(done) - 1;
}

#define HTTP_REQ(id) "POST /checkout HTTP/1.1\r\nX-Request-ID: " id "\r\n\r\n"
#define HTTP_OK "HTTP/1.1 200 OK\r\n\r\n"
#define HTTP_504 "HTTP/1.1 504 Gateway Timeout\r\n\r\n"

enum { HTTP = 8080, CLIENT = 40000, SQL = 5432, DBCLIENT = 50000 };

/* A service that receives req-1 at 0 (it was asleep in recv before) and runs from then on. */
static inline struct thread server(struct rows *w, const char *cg)
{
	struct thread th = thread(w, 2847, 2847, "api-worker", cg, -500);

	sys(w, KP_K_SYS_recvfrom, &th, -400, 0.02, 60)->obj = sock(w, HTTP, CLIENT);
	sleeps(w, &th, -400, 0, S, "sk_wait_data+0x1", NULL, SOFTIRQ);
	rx(w, &th, 0.02, HTTP, CLIENT, HTTP_REQ("req-1"));
	return th;
}

/* It answers at `at`. */
static inline void respond(struct rows *w, struct thread *th, double at, const char *s)
{
	tx(w, th, at, HTTP, CLIENT, s);
	until(w, th, at + 0.1);
}

/* ---- memory, devices ---- */

static inline const struct kp_obj *file(struct rows *w, const char *name, uint64_t ino)
{
	struct kp_obj o = { .type = KP_OBJ_FILE, .dev = 7, .id = ino, .name = str(w, name) };

	return kp_pool_obj(w->pool, &o);
}

static inline const struct kp_obj *device(struct rows *w, const char *name, uint32_t dev)
{
	struct kp_obj o = { .type = KP_OBJ_DEVICE, .dev = dev, .name = str(w, name) };

	return kp_pool_obj(w->pool, &o);
}

static inline const struct kp_obj *cgroup(struct rows *w, const char *path)
{
	struct kp_obj o = { .type = KP_OBJ_CGROUP, .name = str(w, path) };

	return kp_pool_obj(w->pool, &o);
}

static inline struct kp_row *io(struct rows *w, uint16_t kind, const struct thread *th, double from, double to, const struct kp_obj *dev)
{
	struct kp_row *r = event(w, kind, th, from, to);

	r->obj = dev;
	r->a[1] = 4096;
	r->a[3] = r->dur;
	return r;
}

/* A process's memory grew (or its cache did) evenly in 100 ms steps. */
static inline void grows(struct rows *w, const struct thread *th, double from, double to, int pages_a_step, unsigned reclaimed)
{
	uint64_t anon = 0;

	for (double t = from + 100; t <= to; t += 100) {
		struct kp_row *r = event(w, KP_K_COUNT_MEM, th, t - 100, t);

		r->ret = pages_a_step;
		r->a[0] = anon += pages_a_step > 0 ? (uint64_t)pages_a_step : 0;
		r->a[3] = reclaimed;
	}
}

static inline void refault(struct rows *w, const struct thread *th, double at, unsigned pages, double age, const struct thread *by,
			   const struct kp_obj *f)
{
	struct kp_row *r = event(w, KP_K_MM_REFAULT, th, at, at);

	r->peer = by ? by->t : NULL;
	r->obj = f;
	r->a[0] = pages;
	r->a[1] = (uint64_t)(age * 1e6);
	r->a[2] = 1;
}

/* A blocking read of one page of f from dev. */
static inline void reads(struct rows *w, struct thread *th, double from, double to, const struct kp_obj *f, const struct kp_obj *dev)
{
	sys(w, KP_K_SYS_pread64, th, from - 0.01, to + 0.02, 8192)->obj = f;
	io(w, KP_K_BLK_READ, th, from, to - 0.01, dev);
	sleeps(w, th, from, to, D, "folio_wait_bit_common+0x1", NULL, HARDIRQ);
}

/* n requests on connections of their own, each 10 ms longer than the one before; the database is asked in each. */
static inline void load(struct rows *w, int n)
{
	double t = 0;

	for (int i = 0; i < n; i++) {
		struct thread th = thread(w, 100 + i, 100 + i, "worker", "/a", t - 1), db = thread(w, 300 + i, 300 + i, "postgres", "/db", t + 3.03);
		double dur = 10 + 10 * i;
		char msg[100];

		snprintf(msg, sizeof(msg), "POST /checkout HTTP/1.1\r\nX-Request-ID: req-%d\r\n\r\n", i + 1);
		rx(w, &th, t, HTTP, CLIENT + i, msg);
		tx_sql(w, &th, t + 2, DBCLIENT + i, SQL, "SELECT 1");
		rx_sql(w, &db, t + 3, SQL, DBCLIENT + i, "SELECT 1");
		answer_sql(w, &db, t + 4, SQL, DBCLIENT + i);
		tx(w, &th, t + dur, HTTP, CLIENT + i, HTTP_OK);
		until(w, &th, t + dur + 0.1);
		until(w, &db, t + 5);
		t += dur + 20;
	}
}

/* ---- the explanation ---- */

static inline int by_end(const void *a, const void *b)
{
	const struct kp_row *x = a, *y = b;

	return x->end < y->end ? -1 : x->end > y->end;
}

static inline int scan(struct rows *w, const struct kp_select_opts *o, const struct kp_target **t, uint32_t *n)
{
	int rc = 0;

	if (w->n)
		qsort(w->v, w->n, sizeof(*w->v), by_end);
	assert_int_equal(kp_scan_new(&w->scan, w->pool, o), 0);
	for (unsigned i = 0; i < w->n && !rc; i++)
		rc = kp_scan_row(w->scan, &w->h, &w->v[i], &w->err);
	assert_int_equal(rc, 0);
	return kp_scan_targets(w->scan, &w->h, NULL, t, n, &w->err);
}

/* The steps are the interval: in order, without gaps, and the causes are their sums. */
static inline void check_account(const struct kp_graph *g)
{
	uint64_t at = g->start, sum[KP_C_MAX] = { 0 }, all = 0;
	double shares = 0;

	for (uint32_t i = 0; i < g->nsteps; i++) {
		assert_int_equal(g->steps[i].from, at);
		assert_true(g->steps[i].dur > 0);
		assert_true(g->steps[i].cause < g->ncauses);
		at += g->steps[i].dur;
		sum[g->causes[g->steps[i].cause].kind] += g->steps[i].dur;
	}
	assert_int_equal(at, g->start + g->dur);
	for (uint32_t i = 0; i < g->ncauses; i++) {
		const struct kp_cause *c = &g->causes[i];
		double blamed = 0;

		assert_int_equal(c->ns, sum[c->kind]);
		assert_int_equal(c->counterfactual, g->dur - c->ns);
		all += c->ns;
		shares += c->share;
		for (uint32_t b = 0; b < c->nblame; b++)
			blamed += c->blame[b].share;
		assert_true(blamed < 1.0001);
	}
	assert_int_equal(all, g->dur);
	if (g->dur)
		assert_true(shares > 0.9999 && shares < 1.0001);
}

static inline const struct kp_graph *explain_target(struct rows *w, const struct kp_target *t)
{
	uint64_t since, to;

	assert_int_equal(kp_world_new(&w->world, w->pool, t), 0);
	kp_world_window(w->world, &since, &to);
	for (unsigned i = 0; i < w->n; i++)
		if (w->v[i].end >= since && kp_row_start(&w->v[i]) <= to)
			assert_int_equal(kp_world_row(w->world, &w->h, &w->v[i], &w->err), 0);
	if (kp_world_explain(w->world, &w->h, &w->g, &w->err))
		fail_msg("%s", w->err.msg);
	check_account(w->g);
	return w->g;
}

static inline const struct kp_graph *explain_by(struct rows *w, const struct kp_select_opts *o)
{
	const struct kp_target *t;
	uint32_t n;

	if (scan(w, o, &t, &n))
		fail_msg("%s", w->err.msg);
	return explain_target(w, t);
}

static inline const struct kp_graph *explain(struct rows *w)
{
	return explain_by(w, &(struct kp_select_opts){ .by = KP_SEL_REQUEST, .id = "req-1" });
}

static inline const struct kp_cause *cause(const struct kp_graph *g, uint16_t kind)
{
	static const struct kp_cause none;

	for (uint32_t i = 0; i < g->ncauses; i++)
		if (g->causes[i].kind == kind)
			return &g->causes[i];
	return &none;
}

static inline double ms_of(const struct kp_graph *g, uint16_t kind)
{
	return (double)cause(g, kind)->ns / 1e6;
}

/* Within a tenth of a ms, or 1 %. */
static inline void is_about(double ms, double want)
{
	double off = ms > want ? ms - want : want - ms;

	if (off > 0.1 && off > want / 100)
		fail_msg("%.3f ms, not %.3f", ms, want);
}

/* The pid that is blamed most for a kind, 0 nobody. */
static inline uint32_t culprit(const struct kp_graph *g, uint16_t kind)
{
	const struct kp_cause *c = cause(g, kind);

	return c->nblame ? c->blame[0].who.tgid : 0;
}

static inline bool is_blamed(const struct kp_graph *g, uint32_t pid)
{
	for (uint32_t i = 0; i < g->ncauses; i++)
		for (uint32_t b = 0; b < g->causes[i].nblame; b++)
			if (g->causes[i].blame[b].who.tgid == pid)
				return true;
	return false;
}

static inline bool blamed_for_memory(const struct kp_graph *g)
{
	for (uint32_t i = 0; i < g->ncauses; i++)
		if (!strncmp(kp_cause_name(g->causes[i].kind), "memory.", 7) && g->causes[i].nblame)
			return true;
	return false;
}

static inline uint16_t root(const struct kp_graph *g)
{
	for (uint32_t i = 0; i < g->ncauses; i++)
		if (g->causes[i].root)
			return g->causes[i].kind;
	return KP_C_MAX;
}

#endif
