/* SPDX-License-Identifier: BSD-2-Clause */
/* Following requests across processes and hosts, who gave up, and the network. */
#include <errno.h>

#include "causal_rows.h"

static const struct kp_step *step_of(const struct kp_graph *g, uint32_t pid, uint16_t kind)
{
	for (uint32_t i = 0; i < g->nsteps; i++)
		if (g->steps[i].who.tgid == pid && g->causes[g->steps[i].cause].kind == kind)
			return &g->steps[i];
	return NULL;
}

static const struct kp_mark *mark_of(const struct kp_graph *g, uint8_t type)
{
	for (uint32_t i = 0; i < g->nmarks; i++)
		if (g->marks[i].type == type)
			return &g->marks[i];
	return NULL;
}

static double at(const struct kp_graph *g, uint64_t ts)
{
	return (double)(ts - g->start) / 1e6;
}

/* The database, asleep until a query comes. */
static struct thread backend(struct rows *w, double asked)
{
	struct thread db = thread(w, 3101, 3101, "postgres", "/db", -500);

	sys(w, KP_K_SYS_epoll_wait, &db, -450, asked + 0.01, 1);
	sleeps(w, &db, -450, asked, S, "ep_poll+0x1", NULL, SOFTIRQ);
	return db;
}

/* th asks the database at `from` and sleeps until the answer, at `to`. */
static void asks(struct rows *w, struct thread *th, struct thread *db, double from, double to, const char *sql)
{
	tx_sql(w, th, from, DBCLIENT, SQL, sql);
	rx_sql(w, db, from + 0.04, SQL, DBCLIENT, sql);
	answer_sql(w, db, to - 0.02, SQL, DBCLIENT);
	sys(w, KP_K_SYS_poll, th, from + 0.01, to + 0.02, 1);
	sleeps(w, th, from + 0.02, to, S, "poll_schedule_timeout+0x1", NULL, SOFTIRQ);
	rx(w, th, to + 0.03, DBCLIENT, SQL, "C");
}

static void into_the_database(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), db = backend(w, 5.03);
	const struct kp_graph *g;
	const struct kp_step *s;

	reads(w, &db, 10, 60, file(w, "base/1", 1), device(w, "vda", 9));
	asks(w, &th, &db, 5, 80, "SELECT price FROM items");
	until(w, &db, 81);
	respond(w, &th, 90, HTTP_OK);
	g = explain(w);
	assert_string_equal(g->request, "req-1");
	assert_string_equal(g->op, "POST /checkout");
	is_about((double)g->dur / 1e6, 90);
	is_about(ms_of(g, KP_C_DISK_READ), 50);
	is_about(ms_of(g, KP_C_CPU_SELF), 40);
	s = step_of(g, 3101, KP_C_DISK_READ);
	assert_non_null(s);
	assert_int_equal(s->depth, 1);
	assert_string_equal(s->what, "reads base/1");
	s = step_of(g, 3101, KP_C_CPU_SELF);
	assert_string_equal(s->what, "SELECT items");
	assert_true(ms_of(g, KP_C_UNKNOWN) < 0.1);
	rows_free(w);
}

/* It gave up after 750 ms; the database's answer came at 812. */
static void gave_up(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), db = backend(w, 5.03);
	const struct kp_graph *g;
	const struct kp_mark *m;

	reads(w, &db, 10, 800, file(w, "base/1", 1), device(w, "vda", 9));
	tx_sql(w, &th, 5, DBCLIENT, SQL, "COMMIT");
	rx_sql(w, &db, 5.04, SQL, DBCLIENT, "COMMIT");
	answer_sql(w, &db, 812, SQL, DBCLIENT);
	until(w, &db, 813);
	sys(w, KP_K_SYS_poll, &th, 5.01, 750.03, 0);
	sleeps(w, &th, 5.02, 750, S, "poll_schedule_timeout+0x1", NULL, HARDIRQ);
	tx(w, &th, 750.1, HTTP, CLIENT, HTTP_504);
	sys(w, KP_K_SYS_poll, &th, 750.2, 812.1, 1);
	sleeps(w, &th, 750.2, 812.05, S, "poll_schedule_timeout+0x1", NULL, SOFTIRQ);
	rx(w, &th, 812.1, DBCLIENT, SQL, "C");
	until(w, &th, 813);
	g = explain(w);
	assert_string_equal(g->outcome, "timeout");
	is_about((double)g->limit / 1e6, 750);
	is_about((double)g->dur / 1e6, 812);
	is_about((double)g->late / 1e6, 62);
	is_about(ms_of(g, KP_C_DISK_READ), 790);
	assert_true(ms_of(g, KP_C_UNKNOWN) < 0.1);
	m = mark_of(g, KP_MARK_GAVE_UP);
	assert_non_null(m);
	is_about(at(g, m->ts), 750);
	assert_int_equal(m->who.tgid, 2847);
	assert_string_equal(m->what, "gives up (poll, 750.0 ms), answers 504");
	m = mark_of(g, KP_MARK_LATE);
	assert_non_null(m);
	is_about(at(g, m->ts), 812);
	assert_int_equal(m->who.tgid, 3101);
	assert_string_equal(m->what, "COMMIT answered, nobody is waiting");
	rows_free(w);
}

/* A poll that ran out right before the answer is the worker's own business when nothing was outstanding. */
static void tick_is_no_giving_up(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a");
	const struct kp_graph *g;

	sys(w, KP_K_SYS_poll, &th, 10, 40.02, 0);
	sleeps(w, &th, 10, 40, S, "poll_schedule_timeout+0x1", NULL, HARDIRQ);
	respond(w, &th, 41, HTTP_OK);
	g = explain(w);
	assert_string_equal(g->outcome, "ok");
	assert_null(mark_of(g, KP_MARK_GAVE_UP));
	is_about(ms_of(g, KP_C_TIMER), 30);
	rows_free(w);
}

/* The client is recorded: as it saw it. Its queueing and the segment that was lost on the way back are part of it. */
static struct thread client(struct rows *w, double sent, double got)
{
	struct thread c = thread(w, 555, 555, "loadgen", "/c", -20);

	tx(w, &c, sent, CLIENT, HTTP, HTTP_REQ("req-1"));
	sys(w, KP_K_SYS_recvfrom, &c, sent + 0.1, got + 0.02, 20);
	sleeps(w, &c, sent + 0.1, got, S, "sk_wait_data+0x1", NULL, SOFTIRQ);
	return c;
}

static void as_the_client_saw_it(void **state)
{
	struct rows *w = rows_new();
	struct thread c = client(w, -30, 260), th = server(w, "/a");
	const struct kp_graph *g;
	struct kp_row *r;

	respond(w, &th, 50, HTTP_OK);
	r = event(w, KP_K_TCP_RETRANSMIT, &th, 255, 255);
	r->obj = sock(w, HTTP, CLIENT);
	rx(w, &c, 260.03, CLIENT, HTTP, HTTP_OK);
	until(w, &c, 261);
	g = explain(w);
	is_about((double)g->dur / 1e6, 290.03);
	is_about(ms_of(g, KP_C_NET_RETRANSMIT), 210);
	is_about(ms_of(g, KP_C_NET_QUEUE), 30);		/* on the way there, or in the accept queue */
	assert_int_equal(g->target.tgid, 2847);
	rows_free(w);
}

/* It was sent at -30, but its worker had another request to answer until -5. */
static void no_free_worker(void **state)
{
	struct rows *w = rows_new();
	struct thread c = client(w, -30, 60), th = thread(w, 2847, 2847, "api-worker", "/a", -500);
	const struct kp_graph *g;

	rx(w, &th, -60, HTTP, CLIENT + 1, HTTP_REQ("req-0"));
	reads(w, &th, -50, -10, file(w, "/data", 1), device(w, "vda", 9));
	tx(w, &th, -5, HTTP, CLIENT + 1, HTTP_OK);
	rx(w, &th, 0, HTTP, CLIENT, HTTP_REQ("req-1"));
	respond(w, &th, 59.9, HTTP_OK);
	rx(w, &c, 60.03, CLIENT, HTTP, HTTP_OK);
	until(w, &c, 61);
	g = explain(w);
	is_about((double)g->dur / 1e6, 90);
	is_about(ms_of(g, KP_C_NET_ACCEPT), 25);
	is_about(ms_of(g, KP_C_CPU_SELF), 65);
	assert_int_equal(cause(g, KP_C_DISK_READ)->ns, 0);
	rows_free(w);
}

/* The client closed after 500 ms; the service answered at 800 all the same. */
static void client_gave_up(void **state)
{
	struct rows *w = rows_new();
	struct thread c = thread(w, 555, 555, "loadgen", "/c", -20), th;
	const struct kp_graph *g;
	const struct kp_mark *m;
	struct kp_row *r;

	tx(w, &c, -0.03, CLIENT, HTTP, HTTP_REQ("req-1"));
	th = server(w, "/a");
	sys(w, KP_K_SYS_poll, &c, -0.01, 500.02, 0);
	sleeps(w, &c, -0.01, 500, S, "poll_schedule_timeout+0x1", NULL, HARDIRQ);
	r = event(w, KP_K_TCP_STATE, &c, 500.1, 500.1);
	r->obj = sock(w, CLIENT, HTTP);
	r->a[0] = 1;
	r->a[1] = 4;
	until(w, &c, 501);
	reads(w, &th, 10, 790, file(w, "/data", 1), device(w, "vda", 9));
	respond(w, &th, 800, HTTP_OK);
	g = explain(w);
	assert_string_equal(g->outcome, "timeout");
	is_about((double)g->dur / 1e6, 800);
	is_about((double)g->late / 1e6, 300);
	is_about((double)g->limit / 1e6, 500);
	m = mark_of(g, KP_MARK_GAVE_UP);
	assert_int_equal(m->who.tgid, 555);
	is_about(ms_of(g, KP_C_DISK_READ), 780);
	rows_free(w);
}

/* A thread for each connection: until it was made, its maker had the work. */
static void made_for_it(void **state)
{
	struct rows *w = rows_new();
	struct thread c = client(w, -40, 100), boss = thread(w, 2847, 2840, "boss", "/a", -60), th;
	const struct kp_graph *g;
	struct kp_row *r;

	reads(w, &boss, -45, -1, file(w, "/data", 1), device(w, "vda", 9));
	th = thread(w, 2847, 2847, "api-worker", "/a", 0.1);
	r = event(w, KP_K_PROC_FORK, &boss, -0.5, -0.5);
	r->peer = th.t;
	until(w, &boss, 200);
	enter(w, &th, -0.5, 0.1, NULL, -10);
	rx(w, &th, 0.2, HTTP, CLIENT, HTTP_REQ("req-1"));
	respond(w, &th, 90, HTTP_OK);
	rx(w, &c, 100.03, CLIENT, HTTP, HTTP_OK);
	until(w, &c, 101);
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_READ), 39);
	assert_true(ms_of(g, KP_C_UNKNOWN) < 0.1);
	rows_free(w);
}

/* Hung: no answer by the end of the recording. Its wait has no end, but a stack. */
static void hung(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), other = thread(w, 9, 9, "other", "/", 0);
	const struct kp_graph *g;
	struct kp_row *r;

	leave(w, &th, 10, S, NULL);
	r = event(w, KP_K_SCHED_SLEEP, &th, 10, 5000);
	r->flags = KP_F_OPEN;
	r->stack = stack(w, "schedule+0x1", "locks_lock_inode_wait+0x1");
	leave(w, &other, 6000, S, NULL);
	g = explain(w);
	assert_string_equal(g->outcome, "open");
	is_about((double)g->dur / 1e6, 6000);
	is_about(ms_of(g, KP_C_LOCK), 5990);
	assert_int_equal(cause(g, KP_C_LOCK)->nblame, 0);
	assert_non_null(mark_of(g, KP_MARK_END));
	rows_free(w);
}

/* ---- the network ---- */

/* On a busy host it is woken by the answer, queues for a CPU, and only then reads what woke it. */
static void answer_read_late(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), db = backend(w, 5.03), hog = thread(w, 66, 66, "hog", "/b", 0);
	const struct kp_graph *g;

	reads(w, &db, 10, 60, file(w, "base/1", 1), device(w, "vda", 9));
	tx_sql(w, &th, 5, DBCLIENT, SQL, "SELECT 1");
	rx_sql(w, &db, 5.04, SQL, DBCLIENT, "SELECT 1");
	answer_sql(w, &db, 79.98, SQL, DBCLIENT);
	sys(w, KP_K_SYS_poll, &th, 5.01, 280, 1);
	sleeps(w, &th, 5.02, 80, S, "poll_schedule_timeout+0x1", NULL, SOFTIRQ);
	queued(w, &th, 80.01, 280, hog.t);
	rx(w, &th, 280.01, DBCLIENT, SQL, "C");
	until(w, &db, 81);
	respond(w, &th, 290, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_READ), 50);
	assert_true(ms_of(g, KP_C_UNKNOWN) < 0.1);
	rows_free(w);
}

static void peers(void **state)
{
	static const struct { int port; uint16_t kind; bool again, vain; } of[] = {
		{ 6379, KP_C_NET_PEER, false, false }, { 53, KP_C_NET_DNS, false, false }, { 6379, KP_C_NET_RETRANSMIT, true, false },
		{ 6379, KP_C_NET_PEER, false, true }, { 53, KP_C_NET_DNS, false, true }, { 53, KP_C_NET_RETRANSMIT, true, true },
	};

	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), by = thread(w, 66, 66, "bystander", "/b", 0);
		const struct kp_graph *g;
		struct kp_row *r;

		message(w, KP_K_TCP_SEND, &th, 9, sock_to(w, 33000, of[i].port), "x", 1)->a[0] = 1;
		sys(w, of[i].vain ? KP_K_SYS_poll : KP_K_SYS_recvfrom, &th, 9.9, 60.02, of[i].vain ? 0 : 10);
		sleeps(w, &th, 10, 60, S, of[i].vain ? "poll_schedule_timeout+0x1" : "sk_wait_data+0x1", by.t, of[i].vain ? HARDIRQ : SOFTIRQ);
		if (!of[i].vain)
			message(w, KP_K_TCP_RECV, &th, 60.03, sock_to(w, 33000, of[i].port), "y", 1)->a[0] = 1;
		if (of[i].again) {
			r = event(w, KP_K_TCP_RETRANSMIT, &by, 40, 40);
			r->obj = sock_to(w, 33000, of[i].port);
		}
		respond(w, &th, 70, HTTP_OK);
		g = explain(w);
		is_about(ms_of(g, of[i].kind), 50);
		assert_false(is_blamed(g, 66));
		rows_free(w);
	}
}

static void connect_accept_window(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), slow = thread(w, 70, 70, "reader", "/b", -10);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_connect, &th, 9.9, 30.02, 0);
	sleeps(w, &th, 10, 30, S, "sk_stream_wait_connect+0x1", NULL, SOFTIRQ);
	sys(w, KP_K_SYS_accept4, &th, 39.9, 60.02, 5);
	sleeps(w, &th, 40, 60, S, "inet_csk_accept+0x1", NULL, SOFTIRQ);
	sys(w, KP_K_SYS_sendto, &th, 69.9, 120.02, 10);
	sleeps(w, &th, 70, 120, S, "sk_stream_wait_memory+0x1", NULL, SOFTIRQ);
	tx(w, &th, 120.03, 33000, 7000, "data");
	rx(w, &slow, 130, 7000, 33000, "data");
	until(w, &slow, 135);
	respond(w, &th, 140, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_NET_CONNECT), 20);
	is_about(ms_of(g, KP_C_NET_ACCEPT), 20);
	is_about(ms_of(g, KP_C_NET_WINDOW), 50);
	assert_int_equal(culprit(g, KP_C_NET_WINDOW), 70);
	rows_free(w);
}

/* Two hosts, whose clocks started at different times and were put on one line. */
static void across_hosts(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), db = backend(w, 5.03);
	const struct kp_graph *g;

	reads(w, &db, 10, 60, file(w, "base/1", 1), device(w, "vda", 9));
	asks(w, &th, &db, 5, 80, "SELECT price FROM items");
	until(w, &db, 81);
	respond(w, &th, 90, HTTP_OK);
	w->h.nsources = 2;
	w->src[1].shift = -7000000;
	w->src[1].mono0 += 50000000000ull;
	for (unsigned i = 0; i < w->n; i++) {
		struct kp_row *r = &w->v[i];

		if (r->obj && r->obj->type == KP_OBJ_SOCKET) {	/* not by loopback now */
			struct kp_obj o = *r->obj;

			o.laddr[0] = o.raddr[0] = 10;
			r->obj = kp_pool_obj(w->pool, &o);
		}
		if (r->task == db.t || (r->peer == db.t)) {
			r->source = 1;
			r->end += 50000000000ull + 7000000;
		}
	}
	/* rows of two sources come merged: as the reader would have it */
	for (unsigned i = 0; i < w->n; i++)
		w->v[i].end += (uint64_t)kp_unify(&w->h, w->v[i].source);
	qsort(w->v, w->n, sizeof(*w->v), by_end);
	for (unsigned i = 0; i < w->n; i++)
		w->v[i].end -= (uint64_t)kp_unify(&w->h, w->v[i].source);
	{
		const struct kp_select_opts o = { .by = KP_SEL_REQUEST, .id = "req-1" };
		const struct kp_target *t;
		uint32_t n;

		assert_int_equal(kp_scan_new(&w->scan, w->pool, &o), 0);
		for (unsigned i = 0; i < w->n; i++)
			assert_int_equal(kp_scan_row(w->scan, &w->h, &w->v[i], NULL), 0);
		assert_int_equal(kp_scan_targets(w->scan, &w->h, NULL, &t, &n, &w->err), 0);
		assert_int_equal(kp_world_new(&w->world, w->pool, t), 0);
		for (unsigned i = 0; i < w->n; i++)
			assert_int_equal(kp_world_row(w->world, &w->h, &w->v[i], NULL), 0);
		assert_int_equal(kp_world_explain(w->world, &w->h, &w->g, NULL), 0);
	}
	g = w->g;
	check_account(g);
	is_about((double)g->dur / 1e6, 90);
	is_about(ms_of(g, KP_C_DISK_READ), 50);
	assert_string_equal(cause(g, KP_C_DISK_READ)->victim.host, "web1");
	rows_free(w);
}

/* The same by a Unix socket: rows name one end each, and have no positions. */
static const struct kp_obj *end(struct rows *w, uint64_t cookie)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_UNIX, .id = cookie };

	return kp_pool_obj(w->pool, &o);
}

static void unix_socket(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), db = thread(w, 3101, 3101, "postgres", "/db", -500);
	char sql[64];
	size_t n = query(sql, "SELECT price FROM items");
	const struct kp_graph *g;
	const struct kp_mark *m;

	/* a first query, answered: who is who */
	sys(w, KP_K_SYS_epoll_wait, &db, -450, 1.01, 1);
	message(w, KP_K_NET_SEND, &th, 1.001, end(w, 71), sql, n);
	sleeps(w, &db, -450, 0.998, S, "ep_poll+0x1", th.t, TASK);
	message(w, KP_K_NET_RECV, &db, 1.04, end(w, 72), sql, n);
	message(w, KP_K_NET_SEND, &db, 1.5, end(w, 72), "C\0\0\0\rSELECT 1\0Z\0\0\0\5I", 20);
	sys(w, KP_K_SYS_poll, &th, 1.1, 1.52, 1);
	sleeps(w, &th, 1.1, 1.498, S, "poll_schedule_timeout+0x1", db.t, TASK);
	message(w, KP_K_NET_RECV, &th, 1.53, end(w, 71), "C", 1);
	/* the second takes too long */
	sys(w, KP_K_SYS_epoll_wait, &db, 1.6, 3.02, 1);
	message(w, KP_K_NET_SEND, &th, 3.001, end(w, 71), sql, n);
	sleeps(w, &db, 1.6, 2.998, S, "ep_poll+0x1", th.t, TASK);
	message(w, KP_K_NET_RECV, &db, 3.04, end(w, 72), sql, n);
	reads(w, &db, 4, 890, file(w, "base/1", 1), device(w, "vda", 9));
	message(w, KP_K_NET_SEND, &db, 900, end(w, 72), "C\0\0\0\rSELECT 1\0Z\0\0\0\5I", 20);
	until(w, &db, 901);
	sys(w, KP_K_SYS_poll, &th, 3.1, 500.02, 0);
	sleeps(w, &th, 3.1, 500, S, "poll_schedule_timeout+0x1", NULL, HARDIRQ);
	tx(w, &th, 500.1, HTTP, CLIENT, HTTP_504);
	until(w, &th, 500.2);
	g = explain(w);
	assert_string_equal(g->outcome, "timeout");
	is_about((double)g->dur / 1e6, 900);
	is_about(ms_of(g, KP_C_DISK_READ), 886);
	assert_true(ms_of(g, KP_C_UNKNOWN) < 0.1);
	assert_string_equal(step_of(g, 3101, KP_C_CPU_SELF)->what, "SELECT items");
	m = mark_of(g, KP_MARK_LATE);
	assert_non_null(m);
	assert_int_equal(m->who.tgid, 3101);
	rows_free(w);
}

/*
 * One thread serves two: while the database works for req-1 it takes in req-2 and works for that from 30 to 50.
 * The database's answer comes at `answer`.
 */
static const struct kp_graph *event_loop(struct rows *w, double answer)
{
	struct thread th = server(w, "/a"), db = backend(w, 5.03), other = thread(w, 70, 70, "client2", "/c", -100);
	double asleep = answer > 50 ? 50 : 60;

	reads(w, &db, 10, answer - 5, file(w, "base/1", 1), device(w, "vda", 9));
	tx_sql(w, &th, 5, DBCLIENT, SQL, "SELECT price FROM items");
	rx_sql(w, &db, 5.04, SQL, DBCLIENT, "SELECT price FROM items");
	answer_sql(w, &db, answer - 0.02, SQL, DBCLIENT);
	until(w, &db, answer + 1);
	/* the other client slept, then asks */
	sleeps(w, &other, -90, 29, S, "do_nanosleep+0x1", NULL, HARDIRQ);
	tx(w, &other, 29.98, CLIENT + 1, HTTP, HTTP_REQ("req-2"));
	until(w, &other, 31);
	sys(w, KP_K_SYS_epoll_wait, &th, 5.1, 30.02, 1);
	sleeps(w, &th, 5.1, 30, S, "ep_poll+0x1", NULL, SOFTIRQ);
	rx(w, &th, 30.03, HTTP, CLIENT + 1, HTTP_REQ("req-2"));
	if (answer < 50)
		rx(w, &th, 50.03, DBCLIENT, SQL, "C");
	/* it had run for that one */
	leave(w, &th, asleep, answer > 50 ? S : 0, NULL);
	w->v[w->n - 1].ctx[KP_CTX_REQUEST] = str(w, "req-2");
	if (answer > 50) {
		struct kp_row *r = event(w, KP_K_SCHED_WAKE, &th, asleep, answer);

		r->peer = w->idle;
		r->a[0] = SOFTIRQ;
		r->a[1] = S;
		sys(w, KP_K_SYS_epoll_wait, &th, 49.9, answer + 0.02, 1);
		enter(w, &th, answer, answer + SWITCH_MS, NULL, asleep);
		rx(w, &th, answer + 0.03, DBCLIENT, SQL, "C");
	} else {
		enter(w, &th, asleep, asleep + SWITCH_MS, NULL, asleep);
	}
	respond(w, &th, 90, HTTP_OK);
	return explain(w);
}

static void serves_others_meanwhile(void **state)
{
	struct rows *w = rows_new();
	const struct kp_graph *g = event_loop(w, 80);

	/* the other request was in the shadow of the database */
	is_about(ms_of(g, KP_C_DISK_READ), 65);
	assert_int_equal(cause(g, KP_C_TIMER)->ns, 0);	/* the other client's rest is not our business */
	assert_true(ms_of(g, KP_C_UNKNOWN) < 0.1);
	rows_free(w);

	/* the answer was there at 40, but the thread was busy with the other */
	w = rows_new();
	g = event_loop(w, 40);
	is_about(ms_of(g, KP_C_CPU_CONTENTION), 30);
	is_about(ms_of(g, KP_C_DISK_READ), 20);
	assert_int_equal(cause(g, KP_C_TIMER)->ns, 0);
	assert_true(ms_of(g, KP_C_UNKNOWN) < 0.1);
	rows_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(into_the_database), cmocka_unit_test(gave_up), cmocka_unit_test(tick_is_no_giving_up),
		cmocka_unit_test(as_the_client_saw_it), cmocka_unit_test(no_free_worker), cmocka_unit_test(client_gave_up),
		cmocka_unit_test(made_for_it), cmocka_unit_test(hung),
		cmocka_unit_test(answer_read_late), cmocka_unit_test(peers), cmocka_unit_test(connect_accept_window),
		cmocka_unit_test(across_hosts), cmocka_unit_test(unix_socket), cmocka_unit_test(serves_others_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
