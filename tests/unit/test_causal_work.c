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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_of_two_locks), cmocka_unit_test(deadlock), cmocka_unit_test(semaphore_of_a_worker),
		cmocka_unit_test(worker_of_a_query), cmocka_unit_test(next_message_ends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
