/* SPDX-License-Identifier: BSD-2-Clause */
/* One scenario for each cause, with the bystanders who must not be blamed. Locks and memory have files of their own. */
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

/* Bios that went on after the wait, or were waited for long before it, are not what it was for. */
static void others_bio(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a");
	const struct kp_obj *vda = device(w, "vda", 9);
	const struct kp_graph *g;

	sys(w, KP_K_SYS_fsync, &th, 9.9, 100.02, 0);
	io(w, KP_K_BLK_BIO, &th, 10, 140, vda);
	io(w, KP_K_BLK_BIO, &th, 1, 95, vda);
	io(w, KP_K_BLK_WRITE, &th, 60, 100, vda);
	sleeps(w, &th, 10, 100, D, NULL, NULL, HARDIRQ);
	respond(w, &th, 150, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_DISK_THROTTLED), 0);
	is_about(ms_of(g, KP_C_DISK_SYNC), 90);
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

/* Stopped in the middle of a sleep: the first half was slept on purpose, whoever ended it. */
static void stopped_asleep(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), main = thread(w, 2847, 2846, "api-worker", "/a", -10), bash = thread(w, 66, 66, "bash", "/b", -10);
	const struct kp_graph *g;
	struct kp_row *r = event(w, KP_K_SIG_SEND, &bash, 60, 60);

	r->peer = main.t;
	r->a[0] = 19;
	sys(w, KP_K_SYS_clock_nanosleep, &th, 9.99, 60.02, -516);
	sleeps(w, &th, 10, 60, S, "do_nanosleep+0x1", main.t, TASK);
	sleeps(w, &th, 60.02, 160, STOPPED, NULL, bash.t, TASK);
	until(w, &main, 200);
	until(w, &bash, 200);
	respond(w, &th, 170, HTTP_OK);
	g = explain(w);
	is_about(ms_of(g, KP_C_TIMER), 50);
	is_about(ms_of(g, KP_C_PROCESS_STOPPED), 100);
	assert_int_equal(culprit(g, KP_C_PROCESS_STOPPED), 66);
	rows_free(w);
}

/* pause() has no timer: while it lasts nobody knows what would end it. */
static void pauses(void **state)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/a"), other = thread(w, 9, 9, "other", "/", 0);
	const struct kp_graph *g;
	struct kp_row *r;

	r = sys(w, KP_K_SYS_pause, &th, 9.99, 500, 0);
	r->flags = KP_F_OPEN;
	leave(w, &th, 10, S, NULL);
	event(w, KP_K_SCHED_SLEEP, &th, 10, 500)->flags = KP_F_OPEN;
	until(w, &other, 510);
	g = explain(w);
	is_about(ms_of(g, KP_C_TIMER), 0);
	is_about(ms_of(g, KP_C_UNKNOWN), 500);
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
		cmocka_unit_test(put_to_sleep_by_quota), cmocka_unit_test(disk_read),
		cmocka_unit_test(disk_alone), cmocka_unit_test(disk_sync), cmocka_unit_test(disk_write),
		cmocka_unit_test(disk_throttled), cmocka_unit_test(page_throttled), cmocka_unit_test(others_bio), cmocka_unit_test(journal), cmocka_unit_test(writeback),
		cmocka_unit_test(timer), cmocka_unit_test(stopped), cmocka_unit_test(stopped_asleep), cmocka_unit_test(pauses), cmocka_unit_test(pipe_followed), cmocka_unit_test(child),
		cmocka_unit_test(honest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
