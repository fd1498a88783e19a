/* SPDX-License-Identifier: BSD-2-Clause */
/* From ids to names: against this machine's /proc, where the truth is known since we made it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <kp/util.h>
#include "record/resolve.h"

#define SEC 1000000000ull

struct fixture { struct kp_pool *pool; struct kp_resolve *r; };

static struct fixture *new_with(const struct kp_resolve_opts *o)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kp_err err;

	assert_non_null(f);
	assert_int_equal(kp_pool_new(&f->pool), 0);
	assert_int_equal(kp_resolve_new(&f->r, f->pool, o, &err), 0);
	return f;
}

static struct fixture *new(void) { return new_with(NULL); }

static void done(struct fixture *f)
{
	kp_resolve_free(f->r);
	kp_pool_free(f->pool);
	free(f);
}

static const char *str(const struct kp_str *s) { return s ? s->p : "(null)"; }

/* A start time in the middle of the tick that /proc shows for a process. */
static uint64_t start_of(pid_t pid)
{
	char path[64], text[1024], *p;
	unsigned long long ticks = 0;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	p = strrchr(text, ')');
	assert_non_null(p);
	assert_int_equal(sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks), 1);
	return ticks * (SEC / sysconf(_SC_CLK_TCK)) + 4321;
}

/* A child that waits to be killed, named comm. */
static pid_t child_named(const char *comm)
{
	int p[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, comm);
		if (write(p[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(p[0], &c, 1), 1);
	close(p[0]);
	close(p[1]);
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void own_process(void **state)
{
	struct fixture *f = new();
	char exe[4096] = "", cg[4096] = "", line[4096], comm[17] = "";
	const struct kp_task *t;
	FILE *p;

	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	prctl(PR_GET_NAME, comm);
	t = kp_resolve_task(f->r, getpid(), getpid(), start_of(getpid()));
	assert_non_null(t);
	assert_int_equal(t->tid, getpid());
	assert_int_equal(t->start, start_of(getpid()));
	assert_string_equal(str(t->comm), comm);
	assert_string_equal(str(t->exe), exe);
	assert_false(t->kthread);
	assert_int_equal(t->ns_tid, getpid());
	assert_int_equal(t->ns_tgid, getpid());
	p = fopen("/proc/self/cgroup", "r");
	assert_non_null(p);
	while (fgets(line, sizeof(line), p))
		if (strstr(line, ":memory:") || (!*cg && !strncmp(line, "0::", 3)))
			strcpy(cg, strchr(strchr(line, ':') + 1, ':') + 1);
	fclose(p);
	cg[strcspn(cg, "\n")] = 0;
	assert_string_equal(str(t->cgroup[KP_CG_MEMORY]), cg);
	/* the same again, and without a start time */
	assert_ptr_equal(kp_resolve_task(f->r, getpid(), getpid(), start_of(getpid())), t);
	assert_ptr_equal(kp_resolve_task(f->r, getpid(), getpid(), 0), t);
	done(f);
}

/* Inside a container it has another number, as seen from there. */
static void pid_namespace(void **state)
{
	struct fixture *f = new();
	const struct kp_task *t;
	int p[2];
	pid_t pid = -1, mid;

	assert_int_equal(pipe(p), 0);
	mid = fork();
	assert_true(mid >= 0);
	if (!mid) {
		pid = unshare(CLONE_NEWPID) ? -1 : fork();
		if (pid) {
			if (write(p[1], &pid, sizeof(pid)) < 0)
				_exit(1);
			for (;;)
				pause();
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_int_equal(read(p[0], &pid, sizeof(pid)), sizeof(pid));
	close(p[0]);
	close(p[1]);
	if (pid > 0) {
		t = kp_resolve_task(f->r, pid, pid, start_of(pid));
		assert_int_equal(t->tid, pid);
		assert_int_equal(t->ns_tid, 1);
		assert_int_equal(t->ns_tgid, 1);
		kill(pid, SIGKILL);
	}
	end_child(mid);
	done(f);
	if (pid < 0)
		skip();	/* not root */
}

static void any_bytes_in_comm(void **state)
{
	static const char *const name[] = { "\x1b[31mred\x1b[0m", "a) R 1 (b", "new\nline", "\xff\xfe", " ", ")" };
	struct fixture *f = new();

	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++) {
		pid_t pid = child_named(name[i]);

		assert_string_equal(str(kp_resolve_task(f->r, pid, pid, start_of(pid))->comm), name[i]);
		end_child(pid);
	}
	done(f);
}

/* Gone, or its number is another's now: the ids stay, nothing of the other one is taken. */
static void pid_reuse(void **state)
{
	struct fixture *f = new();
	pid_t pid = child_named("second");
	uint64_t start = start_of(pid);
	const struct kp_task *first = kp_resolve_task(f->r, pid, pid, start - 5 * SEC);
	const struct kp_task *second = kp_resolve_task(f->r, pid, pid, start);

	assert_ptr_not_equal(first, second);
	assert_null(first->comm);
	assert_null(first->exe);
	assert_null(first->cgroup[KP_CG_MEMORY]);
	assert_int_equal(first->tid, pid);
	assert_string_equal(str(second->comm), "second");
	assert_ptr_equal(kp_resolve_task(f->r, pid, pid, start - 5 * SEC), first);
	assert_ptr_equal(kp_resolve_task(f->r, pid, pid, start), second);
	end_child(pid);
	assert_null(kp_resolve_task(f->r, pid, pid, start + 5 * SEC)->comm);
	assert_string_equal(str(kp_resolve_task(f->r, pid, pid, start)->comm), "second");
	done(f);
}

static void idle_task(void **state)
{
	struct fixture *f = new();
	const struct kp_task *t = kp_resolve_task(f->r, 0, 0, 0);

	assert_string_equal(str(t->comm), "swapper");
	assert_true(t->kthread);
	assert_ptr_equal(kp_resolve_task(f->r, 0, 0, 0), t);
	done(f);
}

/* Made-up ids, far above pid_max: all is known from events alone. */
enum { P = 0x7000001, C = 0x7000002, T2 = 0x7000003 };

static void life_by_events(void **state)
{
	struct fixture *f = new();
	struct kp_ids p = { P, P, 100, 0, 0 }, c = { C, C, 200, 7, 7 }, t = { T2, C, 300, 8, 7 };
	const struct kp_task *k;

	kp_resolve_renamed(f->r, &p, "parent", 6);
	kp_resolve_execed(f->r, &p, "/bin/parent", 11, "parent\0xxxxxxxxx", 16);
	k = kp_resolve_forked(f->r, &p, &c);
	assert_string_equal(str(k->comm), "parent");
	assert_string_equal(str(k->exe), "/bin/parent");
	assert_int_equal(k->ns_tid, 7);
	kp_resolve_forked(f->r, &c, &t);
	k = kp_resolve_execed(f->r, &c, "/usr/bin/child", 14, "child", 5);
	assert_ptr_equal(kp_resolve_task(f->r, C, C, 200), k);
	assert_string_equal(str(k->exe), "/usr/bin/child");
	assert_string_equal(str(k->comm), "child");
	/* the parent stays what it was */
	assert_string_equal(str(kp_resolve_task(f->r, P, P, 100)->exe), "/bin/parent");
	kp_resolve_renamed(f->r, &t, "worker-with-a-very-long-name", 28);
	assert_string_equal(str(kp_resolve_task(f->r, T2, C, 300)->comm), "worker-with-a-ve");
	assert_string_equal(str(kp_resolve_task(f->r, C, C, 200)->comm), "child");
	/* all threads move, or one */
	kp_resolve_moved(f->r, &c, 0, "/batch", 6, true);
	assert_string_equal(str(kp_resolve_task(f->r, T2, C, 300)->cgroup[KP_CG_UNIFIED]), "/batch");
	assert_string_equal(str(kp_resolve_task(f->r, C, C, 200)->cgroup[KP_CG_UNIFIED]), "/batch");
	assert_null(kp_resolve_task(f->r, P, P, 100)->cgroup[KP_CG_UNIFIED]);
	kp_resolve_moved(f->r, &t, 0, "/other", 6, false);
	assert_string_equal(str(kp_resolve_task(f->r, T2, C, 300)->cgroup[KP_CG_UNIFIED]), "/other");
	assert_string_equal(str(kp_resolve_task(f->r, C, C, 200)->cgroup[KP_CG_UNIFIED]), "/batch");
	done(f);
}

/* Counters name a process before its fork has been told: it is not nameless for that. */
static void counted_before_fork(void **state)
{
	struct fixture *f = new();
	struct kp_ids p = { P, P, 100, 1, 1 }, c = { C, C, 200, 7, 7 };
	const struct kp_task *k;

	kp_resolve_execed(f->r, &p, "/bin/parent", 11, "parent", 6);
	assert_null(kp_resolve_task(f->r, C, C, 200)->comm);
	k = kp_resolve_forked(f->r, &p, &c);
	assert_string_equal(str(k->comm), "parent");
	assert_string_equal(str(k->exe), "/bin/parent");
	assert_int_equal(k->ns_tid, 7);
	assert_ptr_equal(kp_resolve_task(f->r, C, C, 200), k);
	/* what came in between is newer than its parent */
	kp_resolve_renamed(f->r, &c, "child", 5);
	assert_string_equal(str(kp_resolve_forked(f->r, &p, &c)->comm), "child");
	done(f);
}

/* Of thousands of processes, one is moved. */
static void moved_alone(void **state)
{
	struct fixture *f = new();
	struct kp_ids p = { P, P, 100, 1, 1 }, c = p;

	kp_resolve_renamed(f->r, &p, "parent", 6);
	for (uint32_t i = 1; i < 4000; i++) {
		c.tid = c.tgid = P + i;
		kp_resolve_forked(f->r, &p, &c);
	}
	c.tid = c.tgid = P + 2000;
	kp_resolve_moved(f->r, &c, 0, "/x", 2, true);
	for (uint32_t i = 0; i < 4000; i++)
		assert_string_equal(str(kp_resolve_task(f->r, P + i, P + i, 100)->cgroup[KP_CG_UNIFIED]), i == 2000 ? "/x" : "(null)");
	done(f);
}

/* A tree of cgroup v1 by its number changes that controller's path and no other. */
static void moved_v1(void **state)
{
	struct fixture *f = new();
	struct kp_ids p = { P, P, 100, 0, 0 };
	unsigned id = 0;
	char line[512];
	FILE *fp = fopen("/proc/self/cgroup", "r");
	const struct kp_task *k;

	while (fp && fgets(line, sizeof(line), fp))
		if (strstr(line, ":memory:"))
			id = atoi(line);
	if (fp)
		fclose(fp);
	if (!id) {
		done(f);
		skip();
	}
	k = kp_resolve_moved(f->r, &p, id, "/m", 2, false);
	assert_string_equal(str(k->cgroup[KP_CG_MEMORY]), "/m");
	assert_null(k->cgroup[KP_CG_CPU]);
	assert_null(k->cgroup[KP_CG_UNIFIED]);
	done(f);
}

/* Ended tasks are known for the grace time and then forgotten, however many there were. */
static void memory_is_bounded(void **state)
{
	struct fixture *f = new();
	struct kp_ids p = { P, P, 100, 1, 1 };
	struct kp_resolve_stats st;

	kp_resolve_renamed(f->r, &p, "parent", 6);
	for (uint64_t i = 1; i <= 100000; i++) {
		struct kp_ids c = { C + i % 5000, C + i % 5000, 200 + i, 1, 1 };

		kp_resolve_forked(f->r, &p, &c);
		kp_resolve_exited(f->r, &c, i * SEC / 1000);
		if (i % 100 == 0)
			kp_resolve_tick(f->r, i * SEC / 1000);
	}
	kp_resolve_stats(f->r, &st);
	assert_in_range(st.tasks, 4900, 5200);	/* 5 s of 1000 a second */
	assert_string_equal(str(kp_resolve_task(f->r, C, C, 200 + 100000)->comm), "parent");
	kp_resolve_tick(f->r, 1000 * SEC);
	kp_resolve_stats(f->r, &st);
	assert_int_equal(st.tasks, 1);
	assert_string_equal(str(kp_resolve_task(f->r, P, P, 100)->comm), "parent");
	done(f);
}

/* What is remembered survives the pool it was in. */
static void another_pool(void **state)
{
	struct fixture *f = new();
	struct kp_pool *old = f->pool;
	struct kp_ids p = { P, P, 100, 1, 1 };
	const struct kp_task *t;
	const struct kp_obj *o;

	kp_resolve_execed(f->r, &p, "/bin/parent", 11, "parent", 6);
	kp_resolve_moved(f->r, &p, 0, "/a/b", 4, false);
	kp_resolve_opened(f->r, 5, S_IFREG, 10, P, AT_FDCWD, "/etc/passwd", 11);
	kp_resolve_stack(f->r, (const uint64_t[]){ 0x1234 }, 1);
	assert_int_equal(kp_pool_new(&f->pool), 0);
	assert_int_equal(kp_resolve_move(f->r, f->pool), 0);
	kp_pool_free(old);
	t = kp_resolve_task(f->r, P, P, 100);
	assert_string_equal(str(t->comm), "parent");
	assert_string_equal(str(t->exe), "/bin/parent");
	assert_string_equal(str(t->cgroup[KP_CG_UNIFIED]), "/a/b");
	o = kp_resolve_file(f->r, 5, S_IFREG, 10, P, -1);
	assert_string_equal(str(o->name), "/etc/passwd");
	assert_ptr_equal(kp_pool_obj(f->pool, o), o);
	assert_string_equal(str(kp_resolve_stack(f->r, (const uint64_t[]){ 0x1234 }, 1)->frame[0]), "0x1234");
	assert_ptr_equal(kp_pool_task(f->pool, t), t);
	done(f);
}

/* Without budget nothing is read, all ids stay; when there is some again, what was put off is read. */
static void budget(void **state)
{
	struct kp_resolve_opts o = { .budget = 1, .burst = 1 };
	struct fixture *f = new_with(&o);
	struct kp_resolve_stats st;
	pid_t pid = child_named("later");
	const struct kp_task *t;

	kp_resolve_task(f->r, getpid(), getpid(), start_of(getpid())); /* spends it */
	t = kp_resolve_task(f->r, pid, pid, start_of(pid));
	assert_int_equal(t->tid, pid);
	assert_null(t->comm);
	kp_resolve_stats(f->r, &st);
	assert_int_equal(st.pending, 1);
	assert_true(st.put_off > 0);
	done(f);
	end_child(pid);
}

static void put_off(void **state)
{
	struct kp_resolve_opts o = { .budget = SEC / 10, .burst = 1 };
	struct fixture *f = new_with(&o);
	pid_t pid = child_named("later");
	uint64_t start = start_of(pid);

	for (int i = 0; i < 50; i++)
		kp_resolve_task(f->r, getpid(), getpid(), SEC + i);
	assert_null(kp_resolve_task(f->r, pid, pid, start)->comm);
	for (int i = 0; i < 1000 && !kp_resolve_task(f->r, pid, pid, start)->comm; i++) {
		usleep(2000);
		kp_resolve_tick(f->r, kp_now_mono());
	}
	assert_string_equal(str(kp_resolve_task(f->r, pid, pid, start)->comm), "later");
	done(f);
	end_child(pid);
}

static void stacks(void **state)
{
	struct kp_resolve_opts o = { 0 };
	struct fixture *f;
	char path[] = "/tmp/kp-kallsyms-XXXXXX";
	int fd = mkstemp(path);
	const struct kp_stack *s;

	assert_true(fd >= 0);
	dprintf(fd, "ffffffff81000100 T schedule\nffffffff81000200 T bpf_trace_run1\nffffffffc0001000 t ext4_sync_file\t[ext4]\n");
	close(fd);
	o.kallsyms = path;
	f = new_with(&o);
	assert_null(kp_resolve_stack(f->r, NULL, 0));
	assert_null(kp_resolve_stack(f->r, (const uint64_t[]){ 0 }, 1));
	s = kp_resolve_stack(f->r, (const uint64_t[]){ 0xffffffff81000112, 0xffffffffc0001004, 0x7f1234 }, 3);
	assert_int_equal(s->n, 3);
	assert_string_equal(str(s->frame[0]), "schedule+0x12");
	assert_string_equal(str(s->frame[1]), "ext4_sync_file+0x4 [ext4]");
	assert_string_equal(str(s->frame[2]), "0x7f1234");
	assert_ptr_equal(kp_resolve_stack(f->r, (const uint64_t[]){ 0xffffffff81000112, 0xffffffffc0001004, 0x7f1234 }, 3), s);
	/* how our own program came to look is not the task's: on top only */
	s = kp_resolve_stack(f->r, (const uint64_t[]){ 0xffffffffc0001004, 0xffffffff81000204, 0xffffffff81000112 }, 3);
	assert_int_equal(s->n, 1);
	assert_string_equal(str(s->frame[0]), "schedule+0x12");
	assert_null(kp_resolve_stack(f->r, (const uint64_t[]){ 0xffffffffc0001004, 0xffffffff81000204 }, 2));
	unlink(path);
	done(f);
}

/* The hot path: generous, since other things run here; a table walk or a look into /proc would be far over it. */
static void hot_path(void **state)
{
	struct fixture *f = new();
	uint32_t pid = getpid();
	uint64_t start = start_of(pid), t0;
	enum { N = 1000000 };

	kp_resolve_task(f->r, pid, pid, start);
	t0 = kp_now_mono();
	for (int i = 0; i < N; i++)
		if (!kp_resolve_task(f->r, pid, pid, start))
			fail();
	t0 = kp_now_mono() - t0;
	print_message("%.1f ns a task\n", (double)t0 / N);
	assert_true(t0 < 200ull * N);
	done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_process),
		cmocka_unit_test(pid_namespace),
		cmocka_unit_test(any_bytes_in_comm),
		cmocka_unit_test(pid_reuse),
		cmocka_unit_test(idle_task),
		cmocka_unit_test(life_by_events),
		cmocka_unit_test(counted_before_fork),
		cmocka_unit_test(moved_v1),
		cmocka_unit_test(moved_alone),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(another_pool),
		cmocka_unit_test(budget),
		cmocka_unit_test(put_off),
		cmocka_unit_test(stacks),
		cmocka_unit_test(hot_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
