/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose request is a thread at: from messages, from one thread to the next. */
#include "enrich_rows.h"

#define POST(id) "POST /checkout?x=1 HTTP/1.1\r\nX-Request-ID: " id "\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n\r\n"
#define READY "C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I"
#define READY_N (sizeof(READY) - 1)
#define READ KP_K_SYS_pread64

enum { WEB = 8080, DB = 5432, C1 = 40001, C2 = 40002, D1 = 50001, D2 = 50002 };

static void one_thread(void **state)
{
	struct world *w = world_new();
	const struct kp_task *t = task(w, 10, 10, "api");
	unsigned before, wait, recv, in, straddle, after, next;

	before = row(w, READ, t, 0, 1);
	wait = row(w, KP_K_SYS_epoll_wait, t, 1, 9.99);
	rx(w, t, 10, WEB, C1, POST("r1"));
	recv = row(w, KP_K_SYS_recvfrom, t, 9.99, 10.01);
	in = row(w, READ, t, 11, 12);
	tx(w, t, 20, WEB, C1, OK);
	straddle = row(w, KP_K_SYS_sendto, t, 19.9, 20.01);
	next = row(w, KP_K_SYS_epoll_wait, t, 20.02, 400);
	after = row(w, READ, t, 401, 402);
	row(w, READ, t, 1000, 1001);
	done(w);
	assert_string_equal(req(w, before), "");
	assert_string_equal(req(w, wait), "");
	assert_string_equal(req(w, recv), "r1");
	assert_string_equal(req(w, in), "r1");
	assert_string_equal(op(w, in), "POST /checkout");
	assert_string_equal(got(w, in, KP_CTX_SERVICE), "api");
	assert_string_equal(req(w, straddle), "r1");
	assert_string_equal(req(w, next), "");
	assert_string_equal(req(w, after), "");
	world_free(w);
}

/* Two requests at once in two threads of a process, on connections kept open; then another on the first. */
static void two_threads(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api"), *b = task(w, 10, 12, "api");
	unsigned a1, b1, a2, idle;

	rx(w, a, 10, WEB, C1, POST("r1"));
	rx(w, b, 11, WEB, C2, "GET /b HTTP/1.1\r\nx-request-id: r2\r\n\r\n");
	a1 = row(w, READ, a, 12, 13);
	b1 = row(w, READ, b, 12, 14);
	tx(w, a, 15, WEB, C1, OK);
	idle = row(w, KP_K_SYS_read, a, 15.1, 20);
	rx(w, a, 20, WEB, C1, POST("r3"));
	a2 = row(w, READ, a, 21, 22);
	tx(w, a, 23, WEB, C1, OK);
	tx(w, b, 24, WEB, C2, OK);
	done(w);
	assert_string_equal(req(w, a1), "r1");
	assert_string_equal(req(w, b1), "r2");
	assert_string_equal(op(w, b1), "GET /b");
	assert_string_equal(req(w, idle), "");
	assert_string_equal(req(w, a2), "r3");
	world_free(w);
}

/* The second request is read before the first is answered: answers come in order. */
static void pipelined(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api");
	unsigned r1, still, r2;

	rx(w, a, 10, WEB, C1, POST("r1"));
	r1 = row(w, READ, a, 11, 12);
	rx(w, a, 13, WEB, C1, POST("r2"));
	still = row(w, READ, a, 14, 15);
	tx(w, a, 16, WEB, C1, OK);
	r2 = row(w, READ, a, 17, 18);
	tx(w, a, 19, WEB, C1, OK);
	done(w);
	assert_string_equal(req(w, r1), "r1");
	assert_string_equal(req(w, still), "r1");
	assert_string_equal(req(w, r2), "r2");
	world_free(w);
}

/* Of an answer there is no row: what was sent says so by its position, and the next answer is the next request's. */
static void answer_is_lost(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api");
	unsigned r2, r4;

	rx(w, a, 10, WEB, C1, POST("r1"));
	tx(w, a, 11, WEB, C1, OK);
	rx(w, a, 13, WEB, C1, POST("r2"));
	r2 = row(w, READ, a, 14, 15);
	w->seq[WEB] += 100;
	rx(w, a, 20, WEB, C1, POST("r3"));
	tx(w, a, 24, WEB, C1, OK);
	rx(w, a, 30, WEB, C1, POST("r4"));
	r4 = row(w, READ, a, 32, 33);
	tx(w, a, 34, WEB, C1, OK);
	done(w);
	assert_string_equal(req(w, r2), "r2");
	assert_string_equal(req(w, r4), "r4");
	world_free(w);
}

/* client -> api -> database; the send's row is written after the receive's. One backend serves two requests. */
static void chain(void **state)
{
	struct world *w = world_new();
	const struct kp_task *load = task(w, 5, 5, "load"), *a = task(w, 10, 11, "api"), *db = task(w, 20, 20, "postgres");
	unsigned wait, client, d1, d2, api, tail, late_idle;
	char q[256];
	size_t n;

	tx(w, load, 9, C1, WEB, POST("r1"));
	rx(w, a, 10, WEB, C1, POST("r1"));
	wait = row(w, KP_K_SCHED_WAKE, load, 9.1, 30);
	(void)wait;
	n = query(q, "SELECT * FROM items WHERE id = 7");
	w->seq[D1] += n;	/* received before the send's row comes */
	recv_n(w, db, 31, DB, D1, q, n);
	w->seq[D1] -= n;
	send_n(w, a, 31.2, D1, DB, q, n);
	d1 = row(w, KP_K_BLK_READ, db, 32, 33);
	api = row(w, KP_K_SCHED_WAKE, a, 31.5, 34.5);
	send_n(w, db, 34, DB, D1, READY, READY_N);
	recv_n(w, a, 35, D1, DB, READY, READY_N);
	tail = row(w, READ, a, 36, 37);
	tx(w, a, 38, WEB, C1, OK);
	rx(w, load, 39, C1, WEB, OK);
	client = row(w, KP_K_SCHED_WAKE, load, 9.1, 39);
	late_idle = row(w, KP_K_SCHED_WAKE, db, 34.1, 50);
	rx(w, a, 51, WEB, C1, POST("r2"));
	n = query(q, "UPDATE items SET x = 1");
	send_n(w, a, 52, D1, DB, q, n);
	recv_n(w, db, 53, DB, D1, q, n);
	d2 = row(w, KP_K_BLK_READ, db, 54, 55);
	send_n(w, db, 56, DB, D1, READY, READY_N);
	done(w);
	assert_string_equal(req(w, d1), "r1");
	assert_string_equal(op(w, d1), "SELECT items");
	assert_string_equal(got(w, d1, KP_CTX_SERVICE), "postgres");
	assert_string_equal(req(w, api), "r1");
	assert_string_equal(op(w, api), "POST /checkout");
	assert_string_equal(req(w, tail), "r1");
	assert_string_equal(req(w, client), "r1");
	assert_string_equal(req(w, late_idle), "");
	assert_string_equal(req(w, d2), "r2");
	assert_string_equal(op(w, d2), "UPDATE items");
	world_free(w);
}

/* The api gives up and answers 504; the database goes on, and its rows are still the request's. */
static void late_answer(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api"), *db = task(w, 20, 20, "postgres");
	unsigned during, gave_up, still, other, drained;
	struct kp_enrich_stats st;
	char q[256];
	size_t n = query(q, "SELECT * FROM items");

	rx(w, a, 10, WEB, C1, POST("r1"));
	send_n(w, a, 11, D1, DB, q, n);
	recv_n(w, db, 12, DB, D1, q, n);
	during = row(w, KP_K_BLK_READ, db, 100, 200);
	gave_up = row(w, KP_K_SYS_poll, a, 11.1, 761);
	tx(w, a, 762, WEB, C1, "HTTP/1.1 504 Gateway Timeout\r\n\r\n");
	row(w, KP_K_SYS_read, a, 763, 900);
	rx(w, a, 900, WEB, C1, POST("r2"));
	still = row(w, KP_K_BLK_READ, db, 1000, 1100);
	other = row(w, READ, a, 1000, 1100);
	send_n(w, db, 1200, DB, D1, READY, READY_N);
	drained = w->n;
	recv_n(w, a, 1201, D1, DB, READY, READY_N);
	(void)drained;
	row(w, READ, db, 5000, 5001);
	done(w);
	assert_string_equal(req(w, during), "r1");
	assert_string_equal(req(w, gave_up), "r1");
	assert_string_equal(req(w, still), "r1");
	assert_string_equal(req(w, other), "r2");
	/* the message that came late is r1's, though its reader is at r2 */
	for (unsigned i = 0; i < w->n; i++)
		if (w->out[i].row.kind == KP_K_TCP_RECV && w->out[i].row.end == 1201 * MS)
			assert_string_equal(w->out[i].ctx[KP_CTX_REQUEST], "r1");
	kp_enrich_stats(w->e, &st);
	assert_int_equal(st.rows, w->n);
	assert_int_equal(st.sends_matched, 1);
	assert_int_equal(st.requests, 3);
	world_free(w);
}

/* traceparent alone; a transaction; prepared statements bound by name. */
static void ids(void **state)
{
	static const char parse[] = "P\0\0\0\x1ds1\0SELECT 1 FROM items\0\0\0";
	static const char bind[] = "B\0\0\0\x0e\0s1\0\0\0\0\0\0\0" "E\0\0\0\x9\0\0\0\0\0" "S\0\0\0\4";
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api"), *db = task(w, 20, 20, "postgres");
	unsigned t1, begin, bound, commit, outside;
	char q[256];
	size_t n;

	rx(w, a, 10, WEB, C1, "GET / HTTP/1.1\r\nTraceParent: " TP(TRACE1, SPAN1) "\r\n\r\n");
	t1 = row(w, READ, a, 11, 12);
	recv_n(w, db, 12, DB, D1, parse, sizeof(parse) - 1);
	send_n(w, db, 13, DB, D1, "1\0\0\0\4Z\0\0\0\5I", 11);
	n = query(q, "BEGIN");
	recv_n(w, db, 14, DB, D1, q, n);
	begin = row(w, READ, db, 15, 16);
	send_n(w, db, 17, DB, D1, "C\0\0\0\x0a" "BEGIN\0Z\0\0\0\5T", 17);
	recv_n(w, db, 18, DB, D1, bind, sizeof(bind) - 1);
	bound = row(w, READ, db, 19, 20);
	send_n(w, db, 21, DB, D1, "2\0\0\0\4Z\0\0\0\5T", 11);
	n = query(q, "COMMIT");
	recv_n(w, db, 22, DB, D1, q, n);
	commit = row(w, READ, db, 23, 24);
	send_n(w, db, 25, DB, D1, "C\0\0\0\x0b" "COMMIT\0Z\0\0\0\5I", 18);
	n = query(q, "SELECT 1");
	recv_n(w, db, 26, DB, D1, q, n);
	outside = row(w, READ, db, 27, 28);
	done(w);
	assert_string_equal(got(w, t1, KP_CTX_TRACE), TRACE1);
	assert_string_equal(req(w, t1), "");
	assert_string_equal(op(w, bound), "SELECT items");
	assert_string_equal(got(w, begin, KP_CTX_TXN), "pg:20:1");
	assert_string_equal(got(w, bound, KP_CTX_TXN), "pg:20:1");
	assert_string_equal(got(w, commit, KP_CTX_TXN), "pg:20:1");
	assert_string_equal(got(w, outside, KP_CTX_TXN), "");
	world_free(w);
}

/* A worker of the process is woken by the thread that read the request; another process's is not concerned. */
static void handed_over(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "acceptor"), *b = task(w, 10, 12, "worker"), *x = task(w, 30, 30, "other");
	struct kp_row wake = { .kind = KP_K_SCHED_WAKE, .task = b, .peer = a, .end = 11 * MS, .dur = 8 * MS };
	unsigned in, stranger, after;

	rx(w, a, 10, WEB, C1, POST("r1"));
	put(w, &wake);
	wake.task = x;
	wake.end = 11500000;
	put(w, &wake);
	in = row(w, READ, b, 12, 13);
	stranger = row(w, READ, x, 12, 13);
	tx(w, b, 14, WEB, C1, OK);
	after = row(w, KP_K_SYS_futex, b, 14.2, 90);
	row(w, KP_K_SYS_read, b, 14.1, 91);
	done(w);
	assert_string_equal(req(w, in), "r1");
	assert_string_equal(req(w, stranger), "");
	assert_string_equal(req(w, after), "");
	world_free(w);
}

static unsigned piped(struct world *w, uint16_t kind, const struct kp_task *t, double from, double to, uint64_t id, int64_t n)
{
	struct kp_obj o = { .type = KP_OBJ_PIPE, .id = id };
	static unsigned serial = 500000;
	struct kp_row r = { .kind = kind, .task = t, .end = (uint64_t)(to * MS), .dur = (uint64_t)((to - from) * MS),
			    .obj = kp_pool_obj(w->pool, &o), .ret = n, .a = { [5] = ++serial } };

	put(w, &r);
	return serial;
}

/* Through a pipe to another process, also when the reader's row comes first; what two wrote into one read is nobody's. */
static void through_pipe(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api"), *b = task(w, 10, 12, "api"), *c = task(w, 50, 50, "helper");
	unsigned before, in, again, mixed, after;

	rx(w, a, 10, WEB, C1, POST("r1"));
	rx(w, b, 10.5, WEB, C2, POST("r2"));
	before = row(w, READ, c, 10.6, 10.7);
	piped(w, KP_K_SYS_write, a, 11, 11.1, 77, 100);
	piped(w, KP_K_SYS_read, c, 9, 11.2, 77, 100);
	in = row(w, READ, c, 12, 13);
	piped(w, KP_K_SYS_read, c, 13, 14.1, 77, 100);	/* b's */
	piped(w, KP_K_SYS_write, b, 14, 14.2, 77, 100);
	again = row(w, READ, c, 15, 16);
	piped(w, KP_K_SYS_write, b, 17, 17.1, 77, 100);
	piped(w, KP_K_SYS_write, a, 17.2, 17.3, 77, 100);
	piped(w, KP_K_SYS_read, c, 18, 18.1, 77, 200);
	mixed = row(w, READ, c, 19, 20);
	piped(w, KP_K_SYS_write, a, 21, 21.1, 77, 100);
	piped(w, KP_K_SYS_read, c, 21, 21.2, 77, 100);
	tx(w, a, 22, WEB, C1, OK);
	piped(w, KP_K_SYS_read, a, 22.1, 23, 78, 1);
	after = row(w, READ, c, 24, 25);
	done(w);
	assert_string_equal(req(w, before), "");
	assert_string_equal(req(w, in), "r1");
	assert_string_equal(req(w, again), "r2");
	assert_string_equal(req(w, mixed), "");
	assert_string_equal(req(w, after), "");
	world_free(w);
}

/* A client that hangs up is done with it. */
static void hangs_up(void **state)
{
	struct world *w = world_new();
	const struct kp_task *load = task(w, 5, 5, "load");
	struct kp_row st = { .kind = KP_K_TCP_STATE, .task = load, .end = 20 * MS, .a = { 1, 4 } };
	unsigned in, after;

	tx(w, load, 10, C1, WEB, POST("r1"));
	in = row(w, KP_K_SYS_poll, load, 11, 19);
	st.obj = sock(w, C1, WEB);
	put(w, &st);
	after = row(w, READ, load, 21, 22);
	done(w);
	assert_string_equal(req(w, in), "r1");
	assert_string_equal(req(w, after), "");
	world_free(w);
}

/* An event loop: several requests in one thread; a wait while two are open is nobody's. */
static void event_loop(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 10, "node");
	unsigned r1, r2, both, one;

	rx(w, a, 10, WEB, C1, POST("r1"));
	r1 = row(w, READ, a, 10.5, 10.6);
	rx(w, a, 11, WEB, C2, POST("r2"));
	r2 = row(w, READ, a, 12, 13);
	both = row(w, KP_K_SYS_epoll_wait, a, 13, 20);
	tx(w, a, 21, WEB, C2, OK);
	one = row(w, KP_K_SYS_epoll_wait, a, 22, 30);
	tx(w, a, 31, WEB, C1, OK);
	done(w);
	assert_string_equal(req(w, r1), "r1");
	assert_string_equal(req(w, r2), "r2");
	assert_string_equal(req(w, both), "");
	assert_string_equal(req(w, one), "r1");
	world_free(w);
}

/* In an interrupt the task of a row is a bystander; but who was woken, and who queued a block request, is not. */
static void interrupts(void **state)
{
	static const struct { uint16_t kind; uint32_t flags; const char *want; } rows[] = {
		{ KP_K_SCHED_WAKE, KP_F_SOFTIRQ, "r1" }, { KP_K_SCHED_WAKE, KP_F_HARDIRQ, "r1" }, { KP_K_BLK_READ, KP_F_HARDIRQ, "r1" },
		{ KP_K_MM_REFAULT, 0, "r1" }, { KP_K_MM_FAULT, 0, "r1" }, { KP_K_MM_REFAULT, KP_F_SOFTIRQ, "" },
		{ KP_K_TCP_STATE, KP_F_SOFTIRQ, "" }, { KP_K_TCP_RETRANSMIT, 0, "" }, { KP_K_COUNT_MEM, 0, "" },
		{ KP_K_KEY_FILE, KP_F_KEYFRAME, "" },
	};
	enum { N = sizeof(rows) / sizeof(*rows) };
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api");

	rx(w, a, 10, WEB, C1, POST("r1"));
	for (unsigned i = 0; i < N; i++) {
		struct kp_row r = { .kind = rows[i].kind, .flags = rows[i].flags, .task = a, .end = (11 + i) * MS, .dur = MS / 2,
				    .a = { [5] = 900000 + i } };

		r.a[0] = rows[i].kind == KP_K_SCHED_WAKE;
		put(w, &r);
	}
	done(w);
	for (unsigned i = 0; i < N; i++)
		assert_string_equal(req(w, 900000 + i), rows[i].want);
	world_free(w);
}

/* The server gives the request its id, and says so in the answer. */
static void id_in_answer(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api"), *load = task(w, 5, 5, "load");
	unsigned in, client;

	tx(w, load, 9, C1, WEB, "GET / HTTP/1.1\r\n\r\n");
	rx(w, a, 10, WEB, C1, "GET / HTTP/1.1\r\n\r\n");
	in = row(w, READ, a, 11, 12);
	tx(w, a, 20, WEB, C1, "HTTP/1.1 200 OK\r\nX-Request-ID: given\r\n\r\n");
	client = row(w, KP_K_SYS_poll, load, 9.5, 20.5);
	rx(w, load, 21, C1, WEB, "HTTP/1.1 200 OK\r\nX-Request-ID: given\r\n\r\n");
	done(w);
	assert_string_equal(req(w, in), "given");
	assert_string_equal(req(w, client), "given");
	world_free(w);
}

/* Rows come out as they went in, and not later than the window says. */
static void order(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 10, "x");

	for (int i = 0; i < 3000; i++)
		row(w, READ, a, i, i + 0.5);
	assert_in_range(w->n, 2700, 2760);
	done(w);
	assert_int_equal(w->n, 3000);
	for (unsigned i = 1; i < w->n; i++)
		assert_true(w->out[i].row.end > w->out[i - 1].row.end);
	world_free(w);
}

/* In a protocol that is not known, and that may have no answers: each message is its sender's request's, and no longer than it lasts. */
static void unknown_protocol(void **state)
{
	enum { LOG = 514 };
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api"), *log = task(w, 30, 30, "logd"), *proxy = task(w, 40, 40, "proxy");
	unsigned l1, idle, l2, api_idle, asked, hangs, l0;

	tx(w, a, 5, D1, LOG, "started");
	rx(w, log, 5.1, LOG, D1, "started");
	l0 = row(w, READ, log, 5.2, 5.3);
	rx(w, a, 10, WEB, C1, POST("r1"));
	tx(w, a, 11, D1, LOG, "r1 begins");
	rx(w, log, 11.1, LOG, D1, "r1 begins");
	l1 = row(w, READ, log, 11.2, 11.3);
	tx(w, a, 12, WEB, C1, OK);
	row(w, KP_K_SYS_epoll_wait, a, 12.1, 20);
	api_idle = row(w, READ, a, 20, 21);
	row(w, KP_K_SYS_epoll_wait, log, 11.4, 29);
	idle = row(w, READ, log, 29.5, 29.6);
	rx(w, a, 30, WEB, C1, POST("r2"));
	tx(w, a, 31, D1, LOG, "r2 begins");
	rx(w, log, 31.1, LOG, D1, "r2 begins");
	l2 = row(w, READ, log, 31.2, 31.3);
	/* it has asked somebody, and waits for that */
	tx(w, a, 32, D2, 443, "secret");
	rx(w, proxy, 32.1, 443, D2, "secret");
	tx(w, proxy, 33, 50007, 9000, "secret");
	asked = row(w, KP_K_SYS_epoll_wait, proxy, 33.1, 50);
	hangs = row(w, READ, proxy, 51, 52);
	done(w);
	assert_string_equal(req(w, l0), "");
	assert_string_equal(req(w, l1), "r1");
	assert_string_equal(req(w, api_idle), "");
	assert_string_equal(req(w, idle), "");
	assert_string_equal(req(w, l2), "r2");
	assert_string_equal(req(w, asked), "r2");
	assert_string_equal(req(w, hangs), "r2");
	world_free(w);
}

struct told { unsigned n; struct kp_request r[8]; char id[8][16], op[8][32], service[8][16]; };

static int tell(void *arg, const struct kp_request *r, struct kp_err *err)
{
	struct told *t = arg;

	assert_true(t->n < 8);
	t->r[t->n] = *r;
	snprintf(t->id[t->n], 16, "%s", r->request ? r->request->p : "");
	snprintf(t->op[t->n], 32, "%s", r->op ? r->op->p : "");
	snprintf(t->service[t->n++], 16, "%s", r->service ? r->service->p : "");
	return 0;
}

/* Each request is told once, with how it ended. */
static void told(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "api"), *db = task(w, 20, 20, "postgres");
	struct told t = { 0 };
	char q[64];
	size_t n = query(q, "SELECT * FROM items");

	kp_enrich_requests(w->e, tell, &t);
	rx(w, a, 10, WEB, C1, POST("r1"));
	send_n(w, a, 11, D1, DB, q, n);
	recv_n(w, db, 12, DB, D1, q, n);
	send_n(w, db, 14, DB, D1, "E\0\0\0\x0cSERROR\0\0Z\0\0\0\5I", 19);
	recv_n(w, a, 15, D1, DB, NULL, 19);
	tx(w, a, 20, WEB, C1, "HTTP/1.1 503 Service Unavailable\r\n\r\n");
	row(w, KP_K_SYS_read, a, 21, 22);
	rx(w, a, 3000, WEB, C1, POST("r2"));
	row(w, READ, a, 5000, 5001);
	assert_int_equal(t.n, 2);	/* r1 was told while the stream went on */
	assert_int_equal(kp_enrich_end(w->e, NULL), 0);
	assert_int_equal(t.n, 3);
	assert_string_equal(t.id[0], "r1");
	assert_string_equal(t.op[0], "POST /checkout");
	assert_string_equal(t.service[0], "api");
	assert_int_equal(t.r[0].status, 503);
	assert_int_equal(t.r[0].start, 10 * MS);
	assert_int_equal(t.r[0].dur, 10 * MS);
	assert_true(t.r[0].failed && !t.r[0].open && !t.r[0].inner);
	assert_string_equal(t.op[1], "SELECT items");
	assert_string_equal(t.id[1], "r1");
	assert_true(t.r[1].failed && t.r[1].inner);
	assert_int_equal(t.r[1].dur, 2 * MS);
	assert_string_equal(t.id[2], "r2");
	assert_true(t.r[2].open);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread), cmocka_unit_test(two_threads), cmocka_unit_test(pipelined), cmocka_unit_test(answer_is_lost),
		cmocka_unit_test(chain), cmocka_unit_test(late_answer), cmocka_unit_test(ids),
		cmocka_unit_test(handed_over), cmocka_unit_test(hangs_up), cmocka_unit_test(event_loop),
		cmocka_unit_test(order), cmocka_unit_test(through_pipe), cmocka_unit_test(told), cmocka_unit_test(unknown_protocol),
		cmocka_unit_test(id_in_answer), cmocka_unit_test(interrupts),
	};

	return run_both_ways(tests);
}
