/* SPDX-License-Identifier: BSD-2-Clause */
/* Which requests there are in a recording, and what is said when the one that is asked for is not. */
#include <errno.h>

#include "causal_rows.h"

static double at(const struct kp_graph *g, uint64_t ts)
{
	return (double)(ts - g->start) / 1e6;
}

static void slowest(void **state)
{
	struct rows *w = rows_new();
	const struct kp_target *t;
	uint32_t n;

	load(w, 6);
	assert_int_equal(scan(w, &(struct kp_select_opts){ .by = KP_SEL_SLOWEST, .n = 3 }, &t, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(t[0].request->p, "req-6");
	assert_string_equal(t[1].request->p, "req-5");
	assert_string_equal(t[2].request->p, "req-4");
	assert_int_equal(t[0].end - t[0].start, 60 * MS);
	rows_free(w);

	/* those that a request is made of are no requests of their own */
	w = rows_new();
	load(w, 6);
	assert_int_equal(scan(w, &(struct kp_select_opts){ .by = KP_SEL_SLOWEST, .n = 100 }, &t, &n), 0);
	assert_int_equal(n, 6);
	rows_free(w);
}

static void not_found(void **state)
{
	struct rows *w = rows_new();
	const struct kp_target *t;
	struct kp_row *r;
	uint32_t n;

	load(w, 12);
	r = event(w, KP_K_LOSS_KERNEL, NULL, 20, 50);
	r->a[0] = 17;
	assert_int_equal(scan(w, &(struct kp_select_opts){ .by = KP_SEL_REQUEST, .id = "req-13" }, &t, &n), -ENOENT);
	assert_non_null(strstr(w->err.msg, "request req-13 is not in the recording; it covers 2025-11-25T02:45:00.000+00:00 to 2025-11-25T02:45:01."));
	assert_non_null(strstr(w->err.msg, "17 rows of it were lost"));
	assert_non_null(strstr(w->err.msg, "nearest: req-1"));
	assert_null(strchr(w->err.msg, '\n'));
	rows_free(w);

	w = rows_new();
	assert_int_equal(scan(w, &(struct kp_select_opts){ .by = KP_SEL_TRACE, .id = "\033[2Jx" }, &t, &n), -ENOENT);
	assert_non_null(strstr(w->err.msg, "empty"));
	assert_null(strchr(w->err.msg, '\033'));
	rows_free(w);
}

/* The same request was tried twice: the attempt that failed is the one to explain. */
static void tried_again(void **state)
{
	struct rows *w = rows_new();
	struct thread a = thread(w, 101, 101, "worker", "/a", -1), b = thread(w, 102, 102, "worker", "/a", 40);
	const struct kp_target *t;
	uint32_t n;

	rx(w, &a, 0, HTTP, CLIENT, HTTP_REQ("req-1"));
	tx(w, &a, 30, HTTP, CLIENT, HTTP_504);
	rx(w, &b, 50, HTTP, CLIENT + 1, HTTP_REQ("req-1"));
	tx(w, &b, 150, HTTP, CLIENT + 1, HTTP_OK);
	until(w, &a, 200);
	until(w, &b, 200);
	assert_int_equal(scan(w, &(struct kp_select_opts){ .by = KP_SEL_REQUEST, .id = "req-1" }, &t, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(t->task->tgid, 101);
	rows_free(w);
}

/* Its head was read before its body was sent, which is held back by the network: the caller has waited for all of it. */
static void answer_in_parts(void **state)
{
	struct rows *w = rows_new();
	struct thread a = thread(w, 101, 101, "worker", "/a", -1), c = thread(w, 100, 100, "client", "/c", -1);
	const struct kp_target *t;
	uint32_t n;

	tx(w, &c, 0, CLIENT, HTTP, HTTP_REQ("req-1"));
	rx(w, &a, 1, HTTP, CLIENT, HTTP_REQ("req-1"));
	tx(w, &a, 5, HTTP, CLIENT, HTTP_OK);
	rx(w, &c, 5.1, CLIENT, HTTP, HTTP_OK);
	tx(w, &a, 5.2, HTTP, CLIENT, "body");
	rx(w, &c, 45, CLIENT, HTTP, "body");
	until(w, &a, 50);
	until(w, &c, 50);
	assert_int_equal(scan(w, &(struct kp_select_opts){ .by = KP_SEL_REQUEST, .id = "req-1" }, &t, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(t->got - t->end, ns(45) - ns(5.2));
	rows_free(w);
}

/* Requests that only kp-enrich knows, by spans: from the first to the last row of the first service. */
static void by_context(void **state)
{
	struct rows *w = rows_new();
	struct thread th = thread(w, 10, 10, "tls", "/a", -5), db = thread(w, 20, 20, "store", "/a", -5);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_read, &th, 10, 10.1, 10);
	sys(w, KP_K_SYS_write, &th, 99.9, 100, 10);
	sys(w, KP_K_SYS_read, &db, 20, 20.1, 10);
	sys(w, KP_K_SYS_write, &db, 120, 120.1, 10);
	for (unsigned i = 0; i < w->n; i++) {
		w->v[i].ctx[KP_CTX_TRACE] = str(w, "0af7651916cd43dd8448eb211c80319c");
		w->v[i].ctx[KP_CTX_SERVICE] = str(w, "front");
		w->v[i].ctx[KP_CTX_TXN] = w->v[i].task == db.t ? str(w, "20/7") : NULL;
	}
	until(w, &th, 200);
	until(w, &db, 200);
	g = explain_by(w, &(struct kp_select_opts){ .by = KP_SEL_TRACE, .id = "0af7651916cd43dd8448eb211c80319c" });
	assert_int_equal(g->target.tgid, 10);
	is_about((double)g->dur / 1e6, 90);
	kp_graph_free(w->g);
	kp_world_free(w->world);
	kp_scan_free(w->scan);
	g = explain_by(w, &(struct kp_select_opts){ .by = KP_SEL_TXN, .id = "20/7" });
	assert_int_equal(g->target.tgid, 20);
	is_about((double)g->dur / 1e6, 100.1);
	rows_free(w);
}

static void task_and_interval(void **state)
{
	struct rows *w = rows_new();
	struct thread a = thread(w, 10, 10, "main", "/a", 0), b = thread(w, 10, 11, "busy", "/a", 0);
	struct kp_select_opts o = { .by = KP_SEL_TASK, .tid = 10, .process = true };
	const struct kp_target *t;
	const struct kp_graph *g;
	uint32_t n;

	sleeps(w, &a, 1, 900, S, "futex_do_wait+0x1", NULL, SOFTIRQ);
	until(w, &a, 1000);
	for (double x = 10; x < 990; x += 50)
		sleeps(w, &b, x, x + 10, S, "do_nanosleep+0x1", NULL, HARDIRQ);
	until(w, &b, 1000);
	g = explain_by(w, &o);
	assert_int_equal(g->target.tid, 11);
	is_about(ms_of(g, KP_C_TIMER), 200);
	assert_string_equal(g->outcome, "ok");
	kp_graph_free(w->g);
	w->g = NULL;
	kp_world_free(w->world);
	w->world = NULL;
	kp_scan_free(w->scan);

	o = (struct kp_select_opts){ .by = KP_SEL_TASK, .tid = 10, .since = "@1764038700.2", .until = "@1764038700.7" };
	g = explain_by(w, &o);
	assert_int_equal(g->target.tid, 10);
	is_about((double)g->dur / 1e6, 500);
	is_about(at(g, g->start), 0);
	assert_int_equal(g->start, ns(200));
	kp_graph_free(w->g);
	w->g = NULL;
	kp_world_free(w->world);
	w->world = NULL;
	kp_scan_free(w->scan);

	/* one that came and went: from its beginning to its end */
	{
		struct thread maker = thread(w, 12, 12, "maker", "/a", 0), c = thread(w, 13, 13, "child", "/a", 300);
		struct kp_row *r = event(w, KP_K_PROC_FORK, &maker, 290, 290);

		r->peer = c.t;
		enter(w, &c, 290, 300, NULL, 200);
		event(w, KP_K_PROC_EXIT, &c, 290, 400);
		leave(w, &c, 400.1, 64, NULL);
		event(w, KP_K_COUNT_IO, &c, 390, 490);
		until(w, &maker, 600);
	}
	o = (struct kp_select_opts){ .by = KP_SEL_TASK, .tid = 13 };
	g = explain_by(w, &o);
	is_about((double)g->dur / 1e6, 110);
	is_about(ms_of(g, KP_C_CPU_SELF), 100);
	is_about(ms_of(g, KP_C_CPU_CONTENTION), 10);
	kp_graph_free(w->g);
	w->g = NULL;
	kp_world_free(w->world);
	w->world = NULL;
	kp_scan_free(w->scan);

	o = (struct kp_select_opts){ .by = KP_SEL_TASK, .tid = 99 };
	assert_int_equal(scan(w, &o, &t, &n), -ENOENT);
	assert_non_null(strstr(w->err.msg, "thread 99 did nothing"));
	rows_free(w);
}

/* Three requests on one connection; of the first answer there is no row: the second one is not the first's. */
static void answer_is_lost(void **state)
{
	struct kp_select_opts o = { .by = KP_SEL_SLOWEST, .n = 8 };
	struct rows *w = rows_new();
	struct thread th = server(w, "/a");
	const struct kp_target *t;
	uint32_t n;

	tx(w, &th, 5, HTTP, CLIENT, HTTP_OK);
	rx(w, &th, 10, HTTP, CLIENT, HTTP_REQ("req-2"));
	w->seq[HTTP] += 100;	/* its answer */
	rx(w, &th, 40, HTTP, CLIENT, HTTP_REQ("req-3"));
	tx(w, &th, 45, HTTP, CLIENT, HTTP_OK);
	rx(w, &th, 50, HTTP, CLIENT, HTTP_REQ("req-4"));
	tx(w, &th, 65, HTTP, CLIENT, HTTP_OK);
	until(w, &th, 1000);
	assert_int_equal(scan(w, &o, &t, &n), 0);
	assert_int_equal(n, 4);
	assert_string_equal(t[0].request->p, "req-2");
	assert_int_equal(t[0].end - t[0].start, 30 * MS);
	assert_false(t[0].open);
	assert_string_equal(t[1].request->p, "req-4");
	assert_int_equal(t[1].end - t[1].start, 15 * MS);
	assert_string_equal(t[2].request->p, "req-3");
	assert_int_equal(t[2].end - t[2].start, 5 * MS);
	rows_free(w);
}

/* Neither it nor the one behind it was seen to be answered: where rows were lost the first one was, else it was pipelined. */
static void moved_on(void **state)
{
	for (int lost = 0; lost < 2; lost++) {
		struct kp_select_opts o = { .by = KP_SEL_REQUEST, .id = "req-1" };
		struct rows *w = rows_new();
		struct thread th = server(w, "/a");
		const struct kp_target *t;
		uint32_t n;

		if (lost)
			event(w, KP_K_LOSS_KERNEL, NULL, 0, 30)->a[0] = 7;
		rx(w, &th, 40, HTTP, CLIENT, HTTP_REQ("req-2"));
		until(w, &th, 1000);
		assert_int_equal(scan(w, &o, &t, &n), 0);
		assert_int_equal(t->open, !lost);
		is_about((double)(t->end - t->start) / 1e6, lost ? 40 : 1000);
		rows_free(w);
	}
}

/* Its thread waits for other connections: who has the request now is not known, and nobody is to blame. */
static void thread_accepts(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), by = thread(w, 9, 9, "by", "/", 0);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_accept4, &th, 9.99, 2000, 0)->flags = KP_F_OPEN;
	leave(w, &th, 10, S, NULL);
	event(w, KP_K_SCHED_SLEEP, &th, 10, 2000)->flags = KP_F_OPEN;
	until(w, &by, 2000);
	g = explain(w);
	assert_string_equal(g->outcome, "open");
	is_about(ms_of(g, KP_C_NET_ACCEPT), 0);
	is_about(ms_of(g, KP_C_UNKNOWN), 1990);
	assert_int_equal(root(g), KP_C_MAX);
	rows_free(w);
}

static const struct kp_mark *last_mark(const struct kp_graph *g)
{
	return g->nmarks ? &g->marks[g->nmarks - 1] : NULL;
}

/* The connection was closed without a word: the story says why. */
static void killed(void **state)
{
	static const struct { int code, sig; bool oom; const char *says; } of[] = {
		{ 0, 9, true, "killed: out of memory (SIGKILL)" }, { 0, 9, false, "killed (SIGKILL)" }, { 0, 11, false, "killed (SIGSEGV)" },
		{ 3, 0, false, "exits without an answer (code 3)" }, { -1, 0, false, "closes without an answer" },
	};

	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), other = thread(w, 9, 9, "other", "/", 0);
		const struct kp_graph *g;
		struct kp_row *r = event(w, KP_K_MM_OOM, &other, 40, 40);

		r->peer = of[i].oom ? th.t : other.t;
		r = event(w, KP_K_TCP_STATE, &th, 50, 50);
		r->obj = sock(w, HTTP, CLIENT);
		r->a[0] = 1;
		r->a[1] = 4;
		if (of[i].code >= 0) {
			r = event(w, KP_K_PROC_EXIT, &th, -500, 50.1);
			r->a[0] = (uint64_t)of[i].code;
			r->a[1] = (uint64_t)of[i].sig;
		}
		leave(w, &th, 50.2, 64, NULL);
		until(w, &other, 100);
		g = explain(w);
		assert_string_equal(g->outcome, "failed");
		assert_non_null(last_mark(g));
		assert_string_equal(last_mark(g)->what, of[i].says);
		rows_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slowest), cmocka_unit_test(not_found), cmocka_unit_test(tried_again),
		cmocka_unit_test(answer_in_parts), cmocka_unit_test(by_context), cmocka_unit_test(task_and_interval),
		cmocka_unit_test(answer_is_lost), cmocka_unit_test(moved_on), cmocka_unit_test(thread_accepts), cmocka_unit_test(killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
