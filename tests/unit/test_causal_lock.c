/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks: who held them, who held them before, what the holder waited for, and who had nothing to do with it. */
#include "causal_rows.h"

static void file_lock(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), job = thread(w, 77, 77, "reprice", "/b", -10);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_flock, &th, 9.99, 300.02, 0)->obj = file(w, "/srv/prices", 5);
	sleeps(w, &th, 10, 300, S, "locks_lock_inode_wait+0x1", job.t, TASK);
	sys(w, KP_K_SYS_clock_nanosleep, &job, 19.9, 220.1, 0);
	sleeps(w, &job, 20, 220, S, "do_nanosleep+0x1", NULL, HARDIRQ);
	until(w, &job, 310);
	respond(w, &th, 310, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 290);
	assert_int_equal(culprit(g, KP_C_LOCK), 77);
	assert_int_equal(root(g), KP_C_LOCK);
	assert_string_equal(cause(g, KP_C_LOCK)->object, "/srv/prices");
	assert_string_equal(cause(g, KP_C_LOCK)->blame[0].why, "observed: it held the lock: its release woke the waiter; "
			    "for 200.0 ms of that it was asleep (sleep)");
	rows_free(w);
}

/* Whoever happens to run when an interrupt wakes somebody has nothing to do with it. */
static void no_bystander(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), by = thread(w, 77, 77, "bystander", "/b", -10);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_flock, &th, 9.99, 300.02, 0)->obj = file(w, "/srv/prices", 5);
	sleeps(w, &th, 10, 300, S, "locks_lock_inode_wait+0x1", by.t, SOFTIRQ);
	until(w, &by, 310);
	respond(w, &th, 310, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 290);
	assert_false(is_blamed(g, 77));
	rows_free(w);
}

static void kernel_lock(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), owner = thread(w, 77, 77, "owner", "/b", -10), waker = thread(w, 78, 78, "waker", "/b", -10);
	const struct kp_graph *g;

	event(w, KP_K_LOCK_WAIT, &th, 10, 59.9)->peer = owner.t;
	sleeps(w, &th, 10, 60, D, "rwsem_down_write_slowpath+0x1", waker.t, TASK);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 50);
	assert_int_equal(culprit(g, KP_C_LOCK), 77);	/* the lock itself names its owner: more than the waker tells */
	assert_false(is_blamed(g, 78));
	rows_free(w);
}

static void futex(struct rows *w, struct thread *th, double from, double to, uint64_t addr, const struct kp_task *waker)
{
	struct kp_row *r = sys(w, KP_K_SYS_futex, th, from - 0.005, to + 0.02, 0);

	r->a[0] = addr;
	r->a[1] = 128;	/* FUTEX_WAIT_PRIVATE */
	r->a[2] = 2;	/* "held, and somebody waits" */
	sleeps(w, th, from, to, S, "futex_do_wait+0x1", waker, TASK);
}

/* B lets go at 100 and A gets it, who had waited since 0; A lets go at 150. We wait from 10 on. */
static void lock_chain(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), a = thread(w, 71, 71, "first", "/b", -10), b = thread(w, 72, 72, "second", "/b", -10);
	const struct kp_graph *g;
	const struct kp_cause *c;

	futex(w, &a, 0, 100, 0xf00, b.t);
	futex(w, &th, 10, 150, 0xf00, a.t);
	until(w, &a, 200);
	until(w, &b, 200);
	respond(w, &th, 160, HTTP_OK);
	g = explain(w);
	c = cause(g, KP_C_LOCK);
	is_about(ms_of(g, KP_C_LOCK), 140);
	assert_int_equal(c->nblame, 2);
	assert_int_equal(c->blame[0].who.tgid, 72);
	assert_true(c->blame[0].share > 0.63 && c->blame[0].share < 0.66);
	assert_int_equal(c->blame[1].who.tgid, 71);
	rows_free(w);
}

/* Writers of a glibc rwlock wait for 3 with the real-time clock; whatever else waits for 3 may be anything. */
static void rwlock(void **state)
{
	for (int real = 0; real < 2; real++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), a = thread(w, 2847, 71, "writer", "/a", -10);
		const struct kp_graph *g;
		struct kp_row *r = sys(w, KP_K_SYS_futex, &th, 9.99, 100.02, 0);

		r->a[0] = 0xf00;
		r->a[1] = 9 | 128 | (real ? 256 : 0);
		r->a[2] = 3;
		sleeps(w, &th, 10, 100, S, "futex_do_wait+0x1", a.t, TASK);
		until(w, &a, 200);
		respond(w, &th, 110, HTTP_OK);
		g = explain(w);
		is_about(ms_of(g, KP_C_LOCK), real ? 90 : 0);
		assert_int_equal(culprit(g, KP_C_LOCK), real ? 2847 : 0);
		rows_free(w);
	}
}

/* The switch that gave it the CPU is not there: it may have run for all that is known, and nobody was seen on its CPU. */
static void holder_of_whom_a_row_is_missing(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), a = thread(w, 71, 71, "holder", "/b", -10), by = thread(w, 66, 66, "other", "/c", 0);
	const struct kp_graph *g;

	leave(w, &a, 20, 0, by.t);
	futex(w, &th, 10, 150, 0xf00, a.t);
	event(w, KP_K_SCHED_SWITCH, &a, 160, 160)->peer = w->idle;
	respond(w, &th, 160, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 140);
	assert_int_equal(culprit(g, KP_C_LOCK), 71);
	is_about(ms_of(g, KP_C_CPU_CONTENTION), 0);
	rows_free(w);
}

/* The holder wanted to go on but had no CPU for 50 ms, and read from the disk for 60: the lock was held for as long as that took. */
static void holder_was_held_up(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), a = thread(w, 71, 71, "holder", "/b", -10), hog = thread(w, 66, 66, "burner", "/c", 0);
	const struct kp_graph *g;

	queued(w, &a, 20, 70, hog.t);
	reads(w, &a, 80, 140, file(w, "/data", 5), device(w, "vda", 9));
	futex(w, &th, 10, 150, 0xf00, a.t);
	until(w, &a, 200);
	until(w, &hog, 200);
	respond(w, &th, 160, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_CPU_CONTENTION), 50);
	assert_int_equal(culprit(g, KP_C_CPU_CONTENTION), 66);
	is_about(ms_of(g, KP_C_DISK_READ), 60);
	is_about(ms_of(g, KP_C_LOCK), 30);
	assert_int_equal(culprit(g, KP_C_LOCK), 71);
	assert_int_equal(cause(g, KP_C_DISK_READ)->victim.tgid, 71);
	rows_free(w);
}

/* A semaphore that processes share, and the recording ends before anybody posts it. */
static void never_released(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), other = thread(w, 9, 9, "other", "/", 0);
	const struct kp_graph *g;
	struct kp_row *r = sys(w, KP_K_SYS_futex, &th, 9.99, 900, 0);

	r->flags = KP_F_OPEN;
	r->a[1] = 265;	/* FUTEX_WAIT_BITSET, shared */
	leave(w, &th, 10, S, NULL);
	r = event(w, KP_K_SCHED_SLEEP, &th, 10, 900);
	r->flags = KP_F_OPEN;
	r->stack = stack(w, "futex_do_wait+0x1", NULL);
	until(w, &other, 1000);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 990);
	assert_int_equal(cause(g, KP_C_LOCK)->nblame, 0);
	rows_free(w);
}

/* A waits for another lock of B's from 20 to 100: for so long it is B's doing, and A's for the rest. */
static void other_lock(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), a = thread(w, 71, 71, "first", "/b", -10), b = thread(w, 72, 72, "second", "/b", -10);
	const struct kp_graph *g;

	futex(w, &a, 20, 100, 0xbad, b.t);
	futex(w, &th, 10, 150, 0xf00, a.t);
	until(w, &a, 200);
	until(w, &b, 200);
	respond(w, &th, 160, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 140);
	assert_int_equal(cause(g, KP_C_LOCK)->nblame, 2);
	assert_int_equal(culprit(g, KP_C_LOCK), 72);
	assert_int_equal(cause(g, KP_C_LOCK)->blame[1].who.tgid, 71);
	rows_free(w);
}

/* A condition variable within a process: the work is that of the thread that signals. */
static void handed_over(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), helper = thread(w, 2847, 2850, "helper", "/a", 5);
	const struct kp_graph *g;
	struct kp_row *r = sys(w, KP_K_SYS_futex, &th, 9.99, 60.02, 0);

	r->a[1] = 128 | 9;
	r->a[2] = 7;
	sleeps(w, &th, 10, 60, S, "futex_do_wait+0x1", helper.t, TASK);
	reads(w, &helper, 20, 50, file(w, "/data", 5), device(w, "vda", 9));
	until(w, &helper, 65);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	assert_int_equal(cause(g, KP_C_LOCK)->ns, 0);
	is_about(ms_of(g, KP_C_DISK_READ), 30);
	is_about(ms_of(g, KP_C_CPU_SELF), 40);
	rows_free(w);
}

/* PostgreSQL: asleep in epoll_wait, woken by SIGURG from the backend that held the row. */
static void row_lock(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), holder = thread(w, 81, 81, "postgres", "/db", -10), by = thread(w, 82, 82, "other", "/db", -10);
	const struct kp_graph *g;
	struct kp_row *r;

	sys(w, KP_K_SYS_epoll_wait, &th, 9.99, 400.02, 1);
	sleeps(w, &th, 10, 400, S, "do_epoll_wait+0x1", holder.t, TASK);
	r = event(w, KP_K_SIG_SEND, &holder, 399.99, 399.99);
	r->peer = th.t;
	r->a[0] = 23;
	r = event(w, KP_K_SIG_SEND, &by, 399.9, 399.9);	/* to somebody else */
	r->peer = by.t;
	r->a[0] = 23;
	until(w, &holder, 500);
	respond(w, &th, 410, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 390);
	assert_int_equal(culprit(g, KP_C_LOCK), 81);
	assert_false(is_blamed(g, 82));
	rows_free(w);
}

/* Signals that stop a process, or tell it of a child, hand nothing over. */
static void no_lock_by_signal(void **state)
{
	static const int sig[] = { 2, 15, 17, 18, 19 };

	for (unsigned i = 0; i < sizeof(sig) / sizeof(*sig); i++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), bash = thread(w, 81, 81, "bash", "/db", -10);
		struct kp_row *r;

		sys(w, KP_K_SYS_epoll_wait, &th, 9.99, 400.02, -4);
		sleeps(w, &th, 10, 400, S, "do_epoll_wait+0x1", bash.t, TASK);
		r = event(w, KP_K_SIG_SEND, &bash, 399.99, 399.99);
		r->peer = th.t;
		r->a[0] = sig[i];
		until(w, &bash, 500);
		respond(w, &th, 410, HTTP_OK);
		is_about(ms_of(explain(w), KP_C_LOCK), 0);
		rows_free(w);
	}
}

/* The holder of the row had itself waited for another backend's row until then. */
static void row_lock_chain(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), mid = thread(w, 81, 81, "postgres", "/db", -10), first = thread(w, 82, 82, "postgres", "/db", -10);
	const struct kp_graph *g;
	struct kp_row *r;

	sys(w, KP_K_SYS_epoll_wait, &mid, 5, 350.02, 1);
	sleeps(w, &mid, 5, 350, S, "do_epoll_wait+0x1", first.t, TASK);
	r = event(w, KP_K_SIG_SEND, &first, 349.99, 349.99);
	r->peer = mid.t;
	r->a[0] = 23;
	sys(w, KP_K_SYS_epoll_wait, &th, 9.99, 400.02, 1);
	sleeps(w, &th, 10, 400, S, "do_epoll_wait+0x1", mid.t, TASK);
	r = event(w, KP_K_SIG_SEND, &mid, 399.99, 399.99);
	r->peer = th.t;
	r->a[0] = 23;
	until(w, &mid, 500);
	until(w, &first, 500);
	respond(w, &th, 410, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_LOCK), 390);
	assert_int_equal(culprit(g, KP_C_LOCK), 82);
	rows_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_lock), cmocka_unit_test(no_bystander), cmocka_unit_test(kernel_lock),
		cmocka_unit_test(lock_chain), cmocka_unit_test(rwlock), cmocka_unit_test(holder_of_whom_a_row_is_missing),
		cmocka_unit_test(holder_was_held_up), cmocka_unit_test(other_lock), cmocka_unit_test(never_released),
		cmocka_unit_test(handed_over), cmocka_unit_test(row_lock), cmocka_unit_test(no_lock_by_signal), cmocka_unit_test(row_lock_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
