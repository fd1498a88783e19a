/* SPDX-License-Identifier: BSD-2-Clause */
/* One scenario for each cause, with the bystanders who must not be blamed. */
#include <errno.h>

#include "causal_rows.h"

/* ---- CPU ---- */

static void own_work(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a");
	const struct kp_graph *g;

	respond(w, &th, 40, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_CPU_SELF), 40);
	assert_int_equal(root(g), KP_C_CPU_SELF);
	assert_string_equal(g->outcome, "ok");
	assert_int_equal(g->causes[0].nblame, 0);
	rows_free(w);
}

static void cpu_contention(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), hog = thread(w, 66, 66, "burner", "/b", 0), other = thread(w, 67, 67, "elsewhere", "/b", 0);
	const struct kp_graph *g;

	queued(w, &th, 10, 35, hog.t);
	other.cpu = (uint16_t)(th.cpu + 1);
	other.on = 5;
	leave(w, &other, 60, S, NULL);
	respond(w, &th, 40, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_CPU_CONTENTION), 25);
	assert_int_equal(culprit(g, KP_C_CPU_CONTENTION), 66);
	assert_false(is_blamed(g, 67));
	assert_true(cause(g, KP_C_CPU_CONTENTION)->observed);
	rows_free(w);
}

static void cg_cpu(struct rows *w, const char *path, double at, double throttled_ms)
{
	struct kp_row *r = event(w, KP_K_CG_CPU, NULL, at, at);

	r->obj = cgroup(w, path);
	r->a[0] = 20 * MS;
	r->a[1] = 100 * MS;
	r->a[3] = (uint64_t)(throttled_ms * 1e6);
}

static void quota(struct rows *w, const char *group, const char *throttled_group, const struct thread *by)
{
	struct thread th = server(w, group), sib = thread(w, 66, 66, "sibling", group, -80);

	cg_cpu(w, throttled_group, -100, 5);
	leave(w, &sib, -1, S, NULL);
	queued(w, &th, 10, 60, by->t);	/* others run on, as ever */
	cg_cpu(w, throttled_group, 900, 105);	/* of both CPUs that it ran on */
	respond(w, &th, 70, HTTP_OK);
}

static void cpu_throttled(void **state)
{
	struct rows *w = rows_new();
	struct thread by;
	const struct kp_graph *g;

	by = thread(w, 70, 70, "by", "/b", 0);
	quota(w, "/a", "/a", &by);
	g = explain(w);
	is_about(ms_of(g, KP_C_CPU_THROTTLED), 50);
	assert_int_equal(culprit(g, KP_C_CPU_THROTTLED), 66);
	assert_false(is_blamed(g, 70));
	rows_free(w);

	/* another group's quota explains nothing */
	w = rows_new();
	by = thread(w, 70, 70, "by", "/b", 0);
	quota(w, "/a", "/other", &by);
	g = explain(w);
	assert_int_equal(cause(g, KP_C_CPU_THROTTLED)->ns, 0);
	is_about(ms_of(g, KP_C_CPU_CONTENTION), 50);
	assert_false(is_blamed(g, 66));
	rows_free(w);

	/* nor does that of a group whose name merely begins alike */
	w = rows_new();
	by = thread(w, 70, 70, "by", "/b", 0);
	quota(w, "/a-1", "/a", &by);
	assert_int_equal(cause(explain(w), KP_C_CPU_THROTTLED)->ns, 0);
	rows_free(w);
}

/* 6.18 puts the thread to sleep itself. */
static void put_to_sleep_by_quota(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), sib = thread(w, 66, 66, "sibling", "/a", -80), far = thread(w, 67, 67, "far", "/b", -80);
	const struct kp_graph *g;

	leave(w, &sib, -1, S, NULL);
	leave(w, &far, -1, S, NULL);
	sleeps(w, &th, 10, 60, D, "throttle_cfs_rq_work+0x1", NULL, HARDIRQ);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_CPU_THROTTLED), 50);
	assert_int_equal(culprit(g, KP_C_CPU_THROTTLED), 66);
	assert_false(is_blamed(g, 67));
	rows_free(w);
}

/* ---- locks ---- */

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

/* A's wait for another lock is A's business: what we waited for is A's. */
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
	assert_int_equal(culprit(g, KP_C_LOCK), 71);
	assert_false(is_blamed(g, 72));
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

/* ---- disk ---- */

static void disk_read(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), hog = thread(w, 90, 90, "backup", "/b", -10), far = thread(w, 91, 91, "elsewhere", "/b", -10);
	const struct kp_obj *vda = device(w, "vda", 9), *vdb = device(w, "vdb", 10);
	const struct kp_graph *g;

	reads(w, &th, 10, 60, file(w, "/data", 5), vda);
	for (int i = 0; i < 8; i++)
		io(w, KP_K_BLK_READ, &hog, 5 + i, 40 + i, vda);
	for (int i = 0; i < 8; i++)
		io(w, KP_K_BLK_READ, &far, 5 + i, 60 + i, vdb);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_READ), 50);
	assert_int_equal(culprit(g, KP_C_DISK_READ), 90);
	assert_false(is_blamed(g, 91));
	assert_false(blamed_for_memory(g));
	rows_free(w);
}

static void disk_alone(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), few = thread(w, 90, 90, "shell", "/b", -10);
	const struct kp_obj *vda = device(w, "vda", 9);
	const struct kp_graph *g;

	reads(w, &th, 10, 60, file(w, "/data", 5), vda);
	io(w, KP_K_BLK_READ, &few, 12, 13, vda);	/* a single small read is in nobody's way */
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_READ), 50);
	assert_int_equal(cause(g, KP_C_DISK_READ)->nblame, 0);
	rows_free(w);
}

static void disk_sync(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), hog = thread(w, 90, 90, "dd", "/b", -10);
	const struct kp_obj *vda = device(w, "vda", 9);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_fdatasync, &th, 9.9, 60.02, 0)->obj = file(w, "/wal/1", 5);
	io(w, KP_K_BLK_WRITE, &th, 10, 59.9, vda);
	sleeps(w, &th, 10, 60, D, NULL, NULL, HARDIRQ);
	for (int i = 0; i < 8; i++)
		io(w, KP_K_BLK_WRITE, &hog, 5 + i, 40 + i, vda);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_SYNC), 50);
	assert_int_equal(culprit(g, KP_C_DISK_SYNC), 90);
	rows_free(w);
}

static void disk_write(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a");
	const struct kp_graph *g;

	sys(w, KP_K_SYS_pwrite64, &th, 9.9, 60.02, 4096)->obj = file(w, "/data", 5);
	io(w, KP_K_BLK_WRITE, &th, 10, 59.9, device(w, "vda", 9));
	sleeps(w, &th, 10, 60, D, "__iomap_dio_rw+0x1", NULL, HARDIRQ);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_WRITE), 50);
	assert_int_equal(cause(g, KP_C_DISK_WRITE)->nblame, 0);
	rows_free(w);
}

static void throttle(struct rows *w, const char *cg_of_hog)
{
	struct thread th = server(w, "/a"), hog = thread(w, 90, 90, "loader", cg_of_hog, -10);
	const struct kp_obj *vda = device(w, "vda", 9);

	sys(w, KP_K_SYS_pread64, &th, 9.9, 100.02, 8192)->obj = file(w, "/data", 5);
	io(w, KP_K_BLK_BIO, &th, 10, 90, vda);
	io(w, KP_K_BLK_READ, &th, 90, 99.9, vda);
	sleeps(w, &th, 10, 100, D, "__iomap_dio_rw+0x1", NULL, HARDIRQ);
	for (int i = 0; i < 8; i++)
		io(w, KP_K_BLK_BIO, &hog, 5 + i, 70 + i, vda);
	respond(w, &th, 110, HTTP_OK);
}

static void disk_throttled(void **state)
{
	struct rows *w = rows_new();
	const struct kp_graph *g;

	throttle(w, "/a");
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_THROTTLED), 90);
	assert_int_equal(culprit(g, KP_C_DISK_THROTTLED), 90);
	rows_free(w);

	/* another group has a limit of its own */
	w = rows_new();
	throttle(w, "/b");
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_THROTTLED), 90);
	assert_false(is_blamed(g, 90));
	rows_free(w);
}

/* The same for a page of a file; and where it was a request of an upper device all the time, that is what it is. */
static void page_throttled(void **state)
{
	for (int upper = 0; upper < 2; upper++) {
		struct rows *w = rows_new();
		struct thread th = server(w, "/a"), hog = thread(w, 90, 90, "loader", "/a", -10);
		const struct kp_obj *vda = device(w, "vda", 9);
		const struct kp_graph *g;

		sys(w, KP_K_SYS_pread64, &th, 9.9, 100.02, 8192)->obj = file(w, "/data", 5);
		io(w, KP_K_BLK_BIO, &th, 10, 90, vda);
		io(w, KP_K_BLK_READ, &th, 90, 99.9, vda);
		sleeps(w, &th, 10, 100, D, "folio_wait_bit_common+0x1", NULL, HARDIRQ);
		for (int i = 0; i < 8; i++)
			io(w, KP_K_BLK_BIO, &hog, 5 + i, 70 + i, vda);
		if (upper)
			io(w, KP_K_BLK_READ, &th, 10, 99.95, device(w, "loop0", 10));
		respond(w, &th, 110, HTTP_OK);
		g = explain(w);
		is_about(ms_of(g, upper ? KP_C_DISK_READ : KP_C_DISK_THROTTLED), 90);
		assert_int_equal(culprit(g, KP_C_DISK_THROTTLED), upper ? 0 : 90);
		rows_free(w);
	}
}

static void journal(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), jbd = kthread(w, 300, "jbd2/vda1-8"), hog = thread(w, 90, 90, "dd", "/b", -10);
	const struct kp_obj *vda = device(w, "vda", 9);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_openat, &th, 9.9, 60.02, 3);
	sleeps(w, &th, 10, 60, D, "wait_transaction_locked+0x1", jbd.t, TASK);
	io(w, KP_K_BLK_WRITE, &jbd, 8, 59, vda);
	for (int i = 0; i < 8; i++)
		io(w, KP_K_BLK_WRITE, &hog, 5 + i, 40 + i, vda);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_FS_JOURNAL), 50);
	assert_int_equal(culprit(g, KP_C_FS_JOURNAL), 90);
	rows_free(w);
}

static void writeback(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), hog = thread(w, 90, 90, "dd", "/b", -10), calm = thread(w, 91, 91, "calm", "/b", -10);
	const struct kp_graph *g;

	event(w, KP_K_COUNT_MEM, &hog, -100, 0)->a[4] = 50000;
	event(w, KP_K_COUNT_MEM, &calm, -100, 0)->a[1] = 50000;
	event(w, KP_K_FS_DIRTY_WAIT, &th, 10, 60);
	sleeps(w, &th, 10, 60, D, "balance_dirty_pages+0x1", NULL, SOFTIRQ);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_FS_WRITEBACK), 50);
	assert_int_equal(culprit(g, KP_C_FS_WRITEBACK), 90);
	assert_false(is_blamed(g, 91));
	rows_free(w);
}

/* ---- others ---- */

static void timer(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), by = thread(w, 66, 66, "bystander", "/b", -10);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_clock_nanosleep, &th, 9.99, 60.02, 0);
	sleeps(w, &th, 10, 60, S, "do_nanosleep+0x1", by.t, HARDIRQ);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_TIMER), 50);
	assert_false(is_blamed(g, 66));
	rows_free(w);
}

static void stopped(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), gdb = thread(w, 66, 66, "gdb", "/b", -10);
	const struct kp_graph *g;
	struct kp_row *r = event(w, KP_K_SIG_SEND, &gdb, 9.9, 9.9);

	r->peer = th.t;
	r->a[0] = 19;
	sleeps(w, &th, 10, 60, STOPPED, NULL, gdb.t, TASK);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_PROCESS_STOPPED), 50);
	assert_int_equal(culprit(g, KP_C_PROCESS_STOPPED), 66);
	rows_free(w);
}

static bool has_depth(const struct kp_graph *g, uint32_t pid, uint32_t depth)
{
	for (uint32_t i = 0; i < g->nsteps; i++)
		if (g->steps[i].who.tgid == pid && g->steps[i].depth == depth)
			return true;
	return false;
}

/* Whoever writes to a pipe is what was waited for. */
static void pipe_followed(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), filter = thread(w, 66, 66, "filter", "/b", 0);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_read, &th, 9.99, 60.02, 10);
	sleeps(w, &th, 10, 60, S, "anon_pipe_read+0x1", filter.t, TASK);
	reads(w, &filter, 20, 55, file(w, "/data", 5), device(w, "vda", 9));
	until(w, &filter, 65);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_READ), 35);
	assert_true(has_depth(g, 66, 1));
	rows_free(w);
}

/* The child is not recorded: all that is known is that it was one. */
static void child(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a");
	const struct kp_graph *g;

	sys(w, KP_K_SYS_wait4, &th, 9.99, 60.02, 66);
	sleeps(w, &th, 10, 60, S, "do_wait+0x1", NULL, SOFTIRQ);
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_CHILD), 50);
	rows_free(w);
}

/* A sleep of which nothing is known stays unknown, and so does time without any row. */
static void honest(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), by = thread(w, 66, 66, "bystander", "/b", -10);
	const struct kp_graph *g;
	struct kp_row *r;

	sleeps(w, &th, 10, 60, S, NULL, by.t, SOFTIRQ);
	r = event(w, KP_K_LOSS_KERNEL, NULL, 20, 50);
	r->a[0] = 17;
	r = event(w, KP_K_LOSS_KERNEL, NULL, 2000, 2010);
	r->a[0] = 1000;
	respond(w, &th, 70, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_UNKNOWN), 50);
	assert_false(is_blamed(g, 66));
	assert_int_equal(g->losses, 17);
	assert_true(cause(g, KP_C_CPU_SELF)->confidence < 0.7);
	rows_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_work), cmocka_unit_test(cpu_contention), cmocka_unit_test(cpu_throttled),
		cmocka_unit_test(put_to_sleep_by_quota),
		cmocka_unit_test(file_lock), cmocka_unit_test(no_bystander), cmocka_unit_test(kernel_lock),
		cmocka_unit_test(lock_chain), cmocka_unit_test(other_lock), cmocka_unit_test(holder_was_held_up), cmocka_unit_test(handed_over),
		cmocka_unit_test(row_lock), cmocka_unit_test(row_lock_chain), cmocka_unit_test(disk_read),
		cmocka_unit_test(disk_alone), cmocka_unit_test(disk_sync), cmocka_unit_test(disk_write),
		cmocka_unit_test(disk_throttled), cmocka_unit_test(page_throttled), cmocka_unit_test(journal), cmocka_unit_test(writeback),
		cmocka_unit_test(timer), cmocka_unit_test(stopped), cmocka_unit_test(pipe_followed), cmocka_unit_test(child),
		cmocka_unit_test(honest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
