/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows that the resolver makes itself: keyframes, open calls, clocks. */
#include "resolve_rows.h"

#include <sys/prctl.h>

static pid_t sleeping_child(void)
{
	pid_t pid = fork();
	char path[32], line[256], *after;

	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);	/* not left over when an assertion fails */
		for (;;)
			pause();
	}
	/* it is asleep a moment after fork, not at once */
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (int i = 0; i < 5000; i++) {
		FILE *f = fopen(path, "r");

		assert_non_null(f);
		assert_non_null(fgets(line, sizeof(line), f));
		fclose(f);
		after = strrchr(line, ')');
		assert_non_null(after);
		if (after[1] && after[2] == 'S')
			return pid;
		usleep(1000);
	}
	fail_msg("the child does not go to sleep");
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int all_steps(struct fixture *f)
{
	int rc, steps = 0;

	while ((rc = kp_resolve_key_step(f->r, 1000, emit, f)) == 1)
		steps++;
	assert_int_equal(rc, 0);
	return steps;
}

static void keyframe_from_proc(void **state)
{
	struct fixture *f = new();
	char path[64];
	pid_t pid;
	int fd, steps;
	const struct kp_row *r;
	uint64_t before = kp_now_mono();

	snprintf(path, sizeof(path), "/tmp/kp-key-%d-\xff", getpid());
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	pid = sleeping_child();
	f->only[0] = pid;
	f->only[1] = getpid();
	assert_int_equal(kp_resolve_key_begin(f->r, NULL, 0, emit, f), 0);
	r = row_of(f, KP_K_KEY_HOST, 0, NULL);
	assert_non_null(r);
	assert_int_equal(r->a[0] / 65536, sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 65536);
	assert_true(r->a[1] && r->a[1] < r->a[0]);
	r = row_of(f, KP_K_KEY_TASK, pid, NULL);
	assert_non_null(r);
	assert_int_equal(r->peer ? r->peer->tid : 0, getpid());
	assert_true(r->dur < 60 * SEC);
	assert_int_equal(r->a[0], 1);
	assert_int_equal(r->flags, KP_F_KEYFRAME);
	assert_in_range(r->end, before, kp_now_mono());
	r = row_of(f, KP_K_KEY_TASK, getpid(), NULL);
	assert_non_null(r);
	assert_int_equal(r->a[0], 0);
	assert_true(r->a[2] > 0);
	steps = all_steps(f);
	assert_true(steps > 0);
	r = row_of(f, KP_K_KEY_FILE, getpid(), path);
	assert_non_null(r);
	assert_int_equal(r->a[0], fd);
	assert_int_equal(r->a[1], O_WRONLY);
	assert_int_equal(r->obj->type, KP_OBJ_FILE);
	assert_non_null(row_of(f, KP_K_KEY_FILE, pid, path));
	/* each descriptor once */
	for (int i = 0; i < f->n; i++)
		for (int k = 0; k < i; k++)
			if (f->row[i].kind == KP_K_KEY_FILE && f->row[k].kind == KP_K_KEY_FILE && f->row[i].task == f->row[k].task)
				assert_int_not_equal(f->row[i].a[0], f->row[k].a[0]);
	end_child(pid);
	close(fd);
	unlink(path);
	done(f);
}

static void keyframe_from_iterator(void **state)
{
	struct fixture *f = new();
	uint64_t now = kp_now_mono(), ahead = clock_ns(CLOCK_BOOTTIME) - clock_ns(CLOCK_MONOTONIC), boot = now + ahead;
	struct kp_ids lost = { X, X, 100, 0, 0 };
	struct it_task t[2] = {
		/* the child first */
		{ .tid = C, .tgid = C, .ns_tid = 5, .ns_tgid = 5, .start = boot - 3 * SEC, .now = now, .ppid = P, .pstart = boot - 9 * SEC,
		  .state = 2, .nice = -5, .policy = 1, .utime = 777, .anon = 10, .file = 20, .comm = "child", .sys_nr = -1, .want = WANT_YES },
		{ .tid = P, .tgid = P, .start = boot - 9 * SEC, .now = now + 1, .flags = 0x00200000, .comm = "sixteen-letters!", .sys_nr = -1 },
	};
	const struct kp_row *r;
	struct kp_resolve_stats st;

	kp_resolve_renamed(f->r, &lost, "lost", 4);
	assert_int_equal(kp_resolve_key_begin(f->r, t, 2, emit, f), 0);
	r = row_of(f, KP_K_KEY_TASK, C, NULL);
	assert_non_null(r);
	assert_string_equal(str(r->task->comm), "child");
	assert_int_equal(r->task->ns_tid, 5);
	assert_int_equal(r->task->start, boot - 3 * SEC);
	assert_string_equal(str(r->peer->comm), "sixteen-letters!");
	assert_true(r->peer->kthread);
	assert_int_equal(r->end, now);
	assert_in_range(r->dur, 3 * SEC - 1000000, 3 * SEC + 1000000);
	assert_int_equal(r->a[0], 2);
	assert_int_equal(r->a[1], 777);
	assert_int_equal(r->a[2], 10);
	assert_int_equal(r->a[3], 20);
	assert_int_equal((int64_t)r->a[4], -5);
	assert_int_equal(r->a[5], 1);
	assert_int_equal(all_steps(f), 0);
	assert_null(row_of(f, KP_K_KEY_FILE, 0, NULL));
	/* what the keyframe has not seen is gone, though its exit was lost; but rows of it may still come */
	kp_resolve_stats(f->r, &st);
	assert_int_equal(st.tasks, 3);
	kp_resolve_tick(f->r, kp_now_mono() + 10 * SEC);
	kp_resolve_stats(f->r, &st);
	assert_int_equal(st.tasks, 2);
	done(f);
}

/* Processes that are not wanted keep their descriptors to themselves; an error of emit ends it all. */
static void keyframe_limits(void **state)
{
	struct fixture *f = new();
	uint64_t now = kp_now_mono(), start = 0;
	struct it_task t = { .tid = getpid(), .tgid = getpid(), .now = now, .comm = "me", .sys_nr = -1, .want = WANT_EXCLUDED };

	t.start = start;
	assert_int_equal(kp_resolve_key_begin(f->r, &t, 1, emit, f), 0);
	assert_non_null(row_of(f, KP_K_KEY_TASK, getpid(), NULL));
	assert_int_equal(all_steps(f), 0);
	assert_null(row_of(f, KP_K_KEY_FILE, 0, NULL));
	t.want = WANT_YES;
	assert_int_equal(kp_resolve_key_begin(f->r, &t, 1, emit, f), 0);
	f->stop = ENOSPC;
	assert_int_equal(kp_resolve_key_step(f->r, SEC, emit, f), -ENOSPC);
	assert_int_equal(kp_resolve_key_begin(f->r, &t, 1, emit, f), -ENOSPC);
	done(f);
}

/* ---- open rows ---- */

static void inside_calls(void **state)
{
	struct fixture *f = new();
	uint64_t now = 1000 * SEC;
	struct it_task t[] = {
		{ .tid = P, .tgid = P, .start = 1, .now = now, .comm = "reader", .state = 2, .off_since = now - 3 * SEC,
		  .sys_start = now - 4 * SEC, .sys_nr = 0, .a = { 3, 0x1000, 512, 99, 99, 99 }, .fddev = 5, .fdmode = S_IFREG | 0600, .fdino = 42,
		  .nframes = 2, .frame = { 0x1234, 0x5678, 0x9999 }, .want = WANT_YES },
		{ .tid = C, .tgid = C, .start = 2, .now = now + 1, .comm = "waiter", .state = 1, .off_since = now - 2 * SEC,
		  .sys_start = now - 2 * SEC, .sys_nr = 202, .a = { 0xabc0 }, .at_least = 1 },
		{ .tid = W, .tgid = W, .start = 3, .now = now + 2, .comm = "short", .state = 1, .off_since = now - SEC / 10, .sys_nr = -1 },
		{ .tid = X, .tgid = X, .start = 4, .now = now + 3, .comm = "hidden", .state = 1, .off_since = 1, .sys_start = 1, .sys_nr = 0, .want = WANT_NO },
		{ .tid = X + 1, .tgid = X, .start = 5, .now = now + 4, .comm = "preempted", .state = 0, .off_since = 1, .sys_nr = -1 },
		{ .tid = X + 2, .tgid = X, .start = 6, .now = now + 5, .comm = "odd", .sys_start = 1, .sys_nr = 5000 },
	};
	const struct kp_row *r;

	kp_resolve_opened(f->r, 5, S_IFREG, 42, P, AT_FDCWD, "/data/x", 7);
	assert_int_equal(kp_resolve_open(f->r, t, 6, SEC, KP_F_KEYFRAME, emit, f), 0);
	assert_int_equal(f->n, 4);
	r = row_of(f, KP_K_SYS_read, P, "/data/x");
	assert_non_null(r);
	assert_int_equal(r->end, now);
	assert_int_equal(r->dur, 4 * SEC);
	assert_int_equal(r->flags, KP_F_OPEN | KP_F_KEYFRAME);
	assert_int_equal(r->a[0], 3);
	assert_int_equal(r->a[2], 512);
	assert_int_equal(r->a[3], 0);	/* read has three arguments */
	r = row_of(f, KP_K_SCHED_SLEEP, P, NULL);
	assert_non_null(r);
	assert_int_equal(r->dur, 3 * SEC);
	assert_int_equal(r->a[0], 2);
	assert_int_equal(r->stack->n, 2);
	r = row_of(f, KP_K_SYS_futex, C, NULL);
	assert_non_null(r);
	assert_int_equal(r->flags, KP_F_OPEN | KP_F_KEYFRAME | KP_F_INFERRED);	/* it began before it could be seen */
	assert_int_equal(r->obj->type, KP_OBJ_FUTEX);
	assert_int_equal(r->obj->id, 0xabc0);
	assert_null(row_of(f, KP_K_SCHED_SLEEP, C, NULL)->stack);
	f->stop = EPIPE;
	assert_int_equal(kp_resolve_open(f->r, t, 6, SEC, 0, emit, f), -EPIPE);
	done(f);
}

/* ---- clocks and the source ---- */

static void clocks(void **state)
{
	uint64_t mono = clock_ns(CLOCK_MONOTONIC), boot = clock_ns(CLOCK_BOOTTIME), real = clock_ns(CLOCK_REALTIME), tai = clock_ns(CLOCK_TAI);
	struct kp_row r;

	kp_clock_row(&r);
	assert_int_equal(r.kind, KP_K_CLOCK_SYNC);
	assert_in_range(r.end, mono, clock_ns(CLOCK_MONOTONIC));
	assert_in_range(r.a[0], boot, clock_ns(CLOCK_BOOTTIME));
	assert_in_range(r.a[1], real, clock_ns(CLOCK_REALTIME));
	assert_in_range(r.a[2], tai, clock_ns(CLOCK_TAI));
	assert_in_range(r.a[3], 1, 100000000);
}

static void source(void **state)
{
	struct fixture *f = new();
	struct kp_source a, b;
	struct kp_err err;
	char boot[64] = "";
	FILE *fp = fopen("/proc/sys/kernel/random/boot_id", "r");
	uint64_t mono = clock_ns(CLOCK_MONOTONIC), real = clock_ns(CLOCK_REALTIME);

	assert_non_null(fp);
	assert_non_null(fgets(boot, sizeof(boot), fp));
	fclose(fp);
	boot[strcspn(boot, "\n")] = 0;
	assert_int_equal(setenv("TZ", "Asia/Kolkata", 1), 0);
	assert_int_equal(kp_source_fill(&a, f->pool, &err), 0);
	assert_int_equal(setenv("TZ", "UTC-02:30", 1), 0);
	assert_int_equal(kp_source_fill(&b, f->pool, &err), 0);
	unsetenv("TZ");
	assert_string_equal(a.boot_id, boot);
	assert_string_equal(b.boot_id, boot);
	assert_int_equal(strlen(a.session), 32);
	assert_string_not_equal(a.session, b.session);
	assert_string_equal(str(a.tz), "Asia/Kolkata");
	assert_int_equal(b.utc_offset, 9000);
	assert_int_equal(a.hz, sysconf(_SC_CLK_TCK));
	assert_int_equal(a.cpus, sysconf(_SC_NPROCESSORS_CONF));
	assert_in_range(a.mono0, mono, clock_ns(CLOCK_MONOTONIC));
	assert_in_range(a.real0, real, clock_ns(CLOCK_REALTIME));
	assert_true(a.host && a.kernel && a.arch && a.arch->len);
	done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keyframe_from_proc),
		cmocka_unit_test(keyframe_from_iterator),
		cmocka_unit_test(keyframe_limits),
		cmocka_unit_test(inside_calls),
		cmocka_unit_test(clocks),
		cmocka_unit_test(source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
