/* SPDX-License-Identifier: BSD-2-Clause */
/* Whoever ends a wait is not always to blame for it: it may have worked for the waiter, or be held up itself. */
#include "causal_rows.h"

static void futex(struct rows *w, struct thread *th, double from, double to, uint64_t addr, uint64_t op, uint64_t val,
		  const struct kp_task *waker)
{
	struct kp_row *r = sys(w, KP_K_SYS_futex, th, from - 0.005, to + 0.02, 0);

	r->a[0] = addr;
	r->a[1] = op;
	r->a[2] = val;
	sleeps(w, th, from, to, S, "futex_do_wait+0x1", waker, TASK);
}

enum { PRIVATE = 128, SHARED = 265 };

/* Two mutexes: the holder of ours waits for another from 20 to 140, whose holder sleeps. */
static void chain_of_two_locks(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), a = thread(w, 2847, 2848, "flusher", "/a", -10), b = thread(w, 2847, 2849, "compactor", "/a", -10);
	const struct kp_graph *g;

	futex(w, &a, 20, 140, 0xb, PRIVATE, 2, b.t);
	futex(w, &th, 10, 150, 0xa, PRIVATE, 2, a.t);
	sys(w, KP_K_SYS_clock_nanosleep, &b, 14.9, 130.1, 0);
	sleeps(w, &b, 15, 130, S, "do_nanosleep+0x1", NULL, HARDIRQ);
	until(w, &a, 200);
	until(w, &b, 200);
	respond(w, &th, 160, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 140);
	assert_int_equal(culprit(g, KP_C_LOCK), 2847);
	assert_int_equal(cause(g, KP_C_LOCK)->blame[0].who.tid, 2849);	/* of threads of one process: the one that did most */
	assert_string_equal(cause(g, KP_C_LOCK)->blame[0].why,
			    "observed: it held a lock that the holder of this one waited for; for 115.0 ms of that it was asleep (sleep)");
	rows_free(w);
}

/* Each waits for what the other has: that ends somehow, and the account with it. */
static void deadlock(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), a = thread(w, 71, 71, "one", "/a", -10);
	const struct kp_graph *g;

	futex(w, &a, 20, 140, 0xb, PRIVATE, 2, th.t);
	futex(w, &th, 10, 150, 0xa, PRIVATE, 2, a.t);
	until(w, &a, 200);
	respond(w, &th, 160, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 140);
	assert_int_equal(culprit(g, KP_C_LOCK), 71);
	rows_free(w);
}

/*
 * A semaphore says that the work is done. The worker, another process, had been asleep until the waiter posted the
 * one for "work to do". Where what it posted is what it then waits for itself, the two want one lock by turns.
 */
static void semaphore_of_a_worker(void **state)
{
	for (int lock = 0; lock < 2; lock++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), worker = thread(w, 71, 71, "worker", "/a", -10);
		const struct kp_graph *g;
		struct kp_row *r = sys(w, KP_K_SYS_futex, &th, 9.9, 9.96, 1);

		r->a[0] = lock ? 0xd : 0x1;
		r->a[1] = 1;	/* FUTEX_WAKE */
		futex(w, &worker, -5, 9.95, lock ? 0xd : 0x1, SHARED, 0, th.t);
		futex(w, &th, 10, 310, 0xd, SHARED, 0, worker.t);
		until(w, &worker, 320);
		respond(w, &th, 312, HTTP_OK);
		g = explain(w);
		is_about(ms_of(g, KP_C_LOCK), lock ? 300 : 0);
		assert_int_equal(is_blamed(g, 71), lock);
		if (!lock)
			is_about(ms_of(g, KP_C_CPU_SELF), 312);
		rows_free(w);
	}
}

static void signals(struct rows *w, const struct thread *from, const struct thread *to, double at)
{
	struct kp_row *r = event(w, KP_K_SIG_SEND, from, at, at);

	r->peer = to->t;
	r->a[0] = 23;	/* SIGURG */
}

/* A worker of a parallel query, made for it, signals its leader; whoever serves a client of its own holds a row. */
static void worker_of_a_query(void **state)
{
	for (int asked = 0; asked < 2; asked++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), parent = thread(w, 80, 80, "postgres", "/db", -10);
		struct thread made = thread(w, 81, 81, "postgres", "/db", 5.1);
		const struct kp_graph *g;

		event(w, KP_K_PROC_FORK, &parent, 5, 5)->peer = made.t;
		if (asked)
			rx_sql(w, &made, 5.5, SQL, DBCLIENT, "UPDATE items SET n = 1");
		sys(w, KP_K_SYS_epoll_wait, &th, 9.99, 400.02, 1);
		sleeps(w, &th, 10, 400, S, "do_epoll_wait+0x1", made.t, TASK);
		signals(w, &made, &th, 399.99);
		until(w, &made, 500);
		respond(w, &th, 410, HTTP_OK);
		g = explain(w);
		is_about(ms_of(g, KP_C_LOCK), asked ? 390 : 0);
		assert_int_equal(is_blamed(g, 81), asked);
		rows_free(w);
	}
}

/* The client's next message is read at once after a wait for a lock; sent after that had ended, it did not end it. */
static void next_message_ends_nothing(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), db = thread(w, 82, 82, "postgres", "/db", -10), holder = thread(w, 81, 81, "postgres", "/db", -10);
	const struct kp_graph *g;

	tx_sql(w, &th, 4.9, DBCLIENT, SQL, "SELECT lock()");
	rx_sql(w, &db, 5, SQL, DBCLIENT, "SELECT lock()");
	sys(w, KP_K_SYS_epoll_wait, &db, 9.99, 400.02, 1);
	sleeps(w, &db, 10, 400, S, "do_epoll_wait+0x1", holder.t, TASK);
	signals(w, &holder, &db, 399.99);
	answer_sql(w, &db, 400.1, SQL, DBCLIENT);
	sys(w, KP_K_SYS_recvfrom, &th, 5, 400.2, 17)->obj = sock(w, DBCLIENT, SQL);
	sleeps(w, &th, 5.1, 400.1, S, "sk_wait_data+0x1", NULL, SOFTIRQ);
	message(w, KP_K_TCP_RECV, &th, 400.2, sock(w, DBCLIENT, SQL), "C", 1)->a[0] = w->seq[SQL];
	tx_sql(w, &th, 400.3, DBCLIENT, SQL, "SELECT unlock()");
	rx_sql(w, &db, 400.4, SQL, DBCLIENT, "SELECT unlock()");
	until(w, &db, 401);
	until(w, &holder, 500);
	respond(w, &th, 410, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 390);
	assert_int_equal(culprit(g, KP_C_LOCK), 81);
	rows_free(w);
}

/* A backend waits for a row: after a second it looks for deadlocks, and waits on until the holder signals. */
static void waits_for_row(struct rows *w, struct thread *th, double from, double to, const struct thread *holder)
{
	sys(w, KP_K_SYS_epoll_wait, th, from - 0.01, from + 1000.02, -4);
	sleeps(w, th, from, from + 1000, S, "do_epoll_wait+0x1", NULL, HARDIRQ);
	sys(w, KP_K_SYS_setitimer, th, from + 1000.1, from + 1000.2, 0);
	sys(w, KP_K_SYS_epoll_wait, th, from + 1000.3, to + 0.02, 1);
	sleeps(w, th, from + 1000.4, to, S, "do_epoll_wait+0x1", holder->t, TASK);
	signals(w, holder, th, to - 0.01);
}

static void wait_taken_up_again(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), holder = thread(w, 81, 81, "postgres", "/db", -10);
	const struct kp_graph *g;

	waits_for_row(w, &th, 10, 1500, &holder);
	until(w, &holder, 1600);
	respond(w, &th, 1510, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 1490);
	is_about(ms_of(g, KP_C_UNKNOWN), 0);
	assert_int_equal(culprit(g, KP_C_LOCK), 81);
	rows_free(w);
}

/* The holder of the row waited for another backend's for most of the time, it too with a look for deadlocks. */
static void chain_of_long_waits(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), mid = thread(w, 81, 81, "postgres", "/db", -10), first = thread(w, 82, 82, "postgres", "/db", -10);
	const struct kp_graph *g;

	waits_for_row(w, &mid, 5, 1450, &first);
	waits_for_row(w, &th, 10, 1500, &mid);
	until(w, &mid, 1600);
	until(w, &first, 1600);
	respond(w, &th, 1510, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 1490);
	assert_int_equal(culprit(g, KP_C_LOCK), 82);
	assert_true(cause(g, KP_C_LOCK)->blame[0].share > 0.95);
	rows_free(w);
}

/*
 * A lock that is asked for again and again, as Python's is: whoever had it all the time ran. Whoever does something at
 * each tick sleeps for the tick.
 */
static void asked_for_again(void **state)
{
	for (int ticks = 0; ticks < 2; ticks++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), other = thread(w, 2847, 2850, "sorter", "/a", -10);
		const struct kp_graph *g;

		for (int i = 0; i < 4; i++) {
			struct kp_row *r = sys(w, KP_K_SYS_futex, &th, 10 + i * 50, 10 + i * 50 + 49.9, i < 3 ? -110 : 0);

			r->a[0] = 0xc0;
			r->a[1] = 137;	/* FUTEX_WAIT_BITSET, private */
			sleeps(w, &th, 10.01 + i * 50, 10 + i * 50 + 49.8, S, "futex_do_wait+0x1", i < 3 ? NULL : other.t, i < 3 ? HARDIRQ : TASK);
			if (ticks)
				sys(w, KP_K_SYS_write, &th, 10 + i * 50 + 49.92, 10 + i * 50 + 49.95, 1);
		}
		until(w, &other, 300);
		respond(w, &th, 220, HTTP_OK);
		g = explain(w);
		is_about(ms_of(g, KP_C_TIMER), ticks ? 150 : 0);
		is_about(ms_of(g, KP_C_CPU_SELF), ticks ? 70 : 220);
		rows_free(w);
	}
}

/* The thread that ours waits for serves another request, and waits for that one's answer: so do we. */
static void behind_another_request(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), other = thread(w, 2847, 2850, "worker-2", "/a", -10), db = thread(w, 90, 90, "postgres", "/db", -10);
	const struct kp_graph *g;
	const struct kp_str *id = str(w, "req-2");
	struct kp_row *r = sys(w, KP_K_SYS_futex, &th, 9.99, 300.22, 0);

	r->a[0] = 0xf00;
	r->a[1] = 137;
	sleeps(w, &th, 10, 300.2, S, "futex_do_wait+0x1", other.t, TASK);
	tx_sql(w, &other, 4.9, DBCLIENT, SQL, "SELECT sum(x)");
	w->v[w->n - 1].ctx[KP_CTX_REQUEST] = id;
	rx_sql(w, &db, 5, SQL, DBCLIENT, "SELECT sum(x)");
	reads(w, &db, 6, 290, file(w, "/base/1", 5), device(w, "vda", 9));
	answer_sql(w, &db, 300, SQL, DBCLIENT);
	r = sys(w, KP_K_SYS_recvfrom, &other, 5, 300.1, 17);
	r->obj = sock(w, DBCLIENT, SQL);
	r->ctx[KP_CTX_REQUEST] = id;
	sleeps(w, &other, 5.1, 300, S, "sk_wait_data+0x1", NULL, SOFTIRQ);
	r = message(w, KP_K_TCP_RECV, &other, 300.1, sock(w, DBCLIENT, SQL), "C", 1);
	r->a[0] = w->seq[SQL];
	r->ctx[KP_CTX_REQUEST] = id;
	until(w, &db, 310);
	until(w, &other, 310);
	respond(w, &th, 302, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_NET_PEER), 0);
	is_about(ms_of(g, KP_C_DISK_READ), 280);
	rows_free(w);
}

/* One thread serves all: until 200 it worked for another connection, as far as it had a CPU, and only then read what ours asks. */
static void peer_serves_others_first(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), db = thread(w, 90, 90, "redis-server", "/db", -10), lua = thread(w, 95, 95, "script", "/b", -10);
	struct thread hog = thread(w, 66, 66, "burner", "/c", 0);
	const struct kp_graph *g;

	tx(w, &lua, 1, 50001, 6379, "EVAL");
	rx(w, &db, 1.1, 6379, 50001, "EVAL");
	tx(w, &th, 10, 50002, 6379, "GET");
	queued(w, &db, 50, 110, hog.t);
	tx(w, &db, 200, 6379, 50001, "+OK");
	rx(w, &db, 200.1, 6379, 50002, "GET");
	tx(w, &db, 230, 6379, 50002, "+1");
	sys(w, KP_K_SYS_recvfrom, &th, 10.1, 230.1, 2)->obj = sock(w, 50002, 6379);
	sleeps(w, &th, 10.2, 230, S, "sk_wait_data+0x1", NULL, SOFTIRQ);
	rx(w, &th, 230.1, 50002, 6379, "+1");
	until(w, &db, 300);
	until(w, &lua, 300);
	respond(w, &th, 240, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_NET_ACCEPT), 130);
	is_about(ms_of(g, KP_C_CPU_CONTENTION), 60);	/* that it had no CPU is not the others' doing */
	assert_int_equal(culprit(g, KP_C_CPU_CONTENTION), 66);
	is_about(ms_of(g, KP_C_CPU_SELF), 50);
	assert_int_equal(root(g), KP_C_NET_ACCEPT);
	rows_free(w);
}

/* A background process does what it is told by one signal and tells of it by another: no lock of its was waited for. */
static void done_to_order(void **state)
{
	for (int order = 0; order < 2; order++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), ckpt = thread(w, 81, 81, "postgres", "/db", -10);
		const struct kp_graph *g;
		struct kp_row *r;

		if (order) {
			r = event(w, KP_K_SIG_SEND, &th, 9.9, 9.9);
			r->peer = ckpt.t;
			r->a[0] = 2;
		}
		sys(w, KP_K_SYS_epoll_wait, &th, 9.99, 400.02, 1);
		sleeps(w, &th, 10, 400, S, "do_epoll_wait+0x1", ckpt.t, TASK);
		signals(w, &ckpt, &th, 399.99);
		until(w, &ckpt, 500);
		respond(w, &th, 410, HTTP_OK);
		g = explain(w);
		is_about(ms_of(g, KP_C_LOCK), order ? 0 : 390);
		assert_int_equal(is_blamed(g, 81), !order);
		rows_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_of_two_locks), cmocka_unit_test(deadlock), cmocka_unit_test(semaphore_of_a_worker),
		cmocka_unit_test(worker_of_a_query), cmocka_unit_test(next_message_ends_nothing),
		cmocka_unit_test(wait_taken_up_again), cmocka_unit_test(chain_of_long_waits), cmocka_unit_test(asked_for_again),
		cmocka_unit_test(behind_another_request), cmocka_unit_test(done_to_order),
		cmocka_unit_test(peer_serves_others_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
