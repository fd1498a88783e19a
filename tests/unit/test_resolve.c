/* SPDX-License-Identifier: BSD-2-Clause */
/* From ids to names: against this machine's /proc, where the truth is known since we made it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/event.h>
#include <kp/util.h>
#include "record/resolve.h"

#define SEC 1000000000ull

struct fixture { struct kp_pool *pool; struct kp_resolve *r; char dir[32]; };

static struct fixture *new_with(const struct kp_resolve_opts *o)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kp_err err;

	assert_non_null(f);
	strcpy(f->dir, "/tmp/kp-resolve-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(kp_pool_new(&f->pool), 0);
	assert_int_equal(kp_resolve_new(&f->r, f->pool, o, &err), 0);
	return f;
}

static struct fixture *new(void) { return new_with(NULL); }

static void done(struct fixture *f)
{
	char cmd[64];

	kp_resolve_free(f->r);
	kp_pool_free(f->pool);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
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

static void raw_file(const struct stat *st, uint32_t *dev)
{
	*dev = major(st->st_dev) << 20 | minor(st->st_dev);
}

static void file_by_descriptor(void **state)
{
	struct fixture *f = new();
	char path[128];
	struct stat st;
	uint32_t dev;
	const struct kp_obj *o, *again;
	int fd, other;

	snprintf(path, sizeof(path), "%s/caf\xe9\x1b[2J", f->dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	other = open("/dev/null", O_RDONLY);
	assert_true(fd >= 0 && other >= 0 && !fstat(fd, &st));
	raw_file(&st, &dev);
	/* another descriptor's name must not be taken for it */
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino + 1, getpid(), fd);
	assert_int_equal(o->type, KP_OBJ_FILE);
	assert_null(o->name);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), -1);
	assert_null(o->name);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), fd);
	assert_int_equal(o->type, KP_OBJ_FILE);
	assert_int_equal(o->dev, dev);
	assert_int_equal(o->id, st.st_ino);
	assert_string_equal(str(o->name), path);
	close(fd);
	again = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), fd);
	assert_ptr_equal(again, o);
	/* the page cache's rows know no mode */
	assert_ptr_equal(kp_resolve_file(f->r, dev, 0, st.st_ino, 0, -1), o);
	assert_false(fstat(other, &st));
	raw_file(&st, &dev);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), other);
	assert_int_equal(o->type, KP_OBJ_DEVICE);
	assert_string_equal(str(o->name), "/dev/null");
	close(other);
	done(f);
}

/* A number of which we could not find the name is not asked for again at once, but is after a while. */
static void no_name_is_kept(void **state)
{
	struct fixture *f = new();
	struct kp_resolve_stats a, b;
	uint64_t now = kp_now_mono();

	kp_resolve_file(f->r, 5, S_IFREG | 0600, 77, getpid(), 1000000);
	kp_resolve_stats(f->r, &a);
	assert_true(a.proc_reads > 0);
	for (int i = 0; i < 100; i++)
		assert_null(kp_resolve_file(f->r, 5, S_IFREG | 0600, 77, getpid(), 1000000)->name);
	kp_resolve_stats(f->r, &b);
	assert_int_equal(b.proc_reads, a.proc_reads);
	kp_resolve_tick(f->r, now + 60 * SEC);
	kp_resolve_file(f->r, 5, S_IFREG | 0600, 77, getpid(), 1000000);
	kp_resolve_stats(f->r, &b);
	assert_int_equal(b.proc_reads, a.proc_reads + 1);
	done(f);
}

static void opened(void **state)
{
	struct fixture *f = new();
	char cwd[4096], want[5000];
	const struct kp_obj *o;
	struct kp_resolve_stats a, b;
	int dir = open(f->dir, O_RDONLY | O_DIRECTORY);

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	o = kp_resolve_opened(f->r, 5, S_IFREG, 10, getpid(), AT_FDCWD, "/etc/passwd", 11);
	assert_string_equal(str(o->name), "/etc/passwd");
	assert_ptr_equal(kp_resolve_file(f->r, 5, S_IFREG, 10, getpid(), 3), o);
	o = kp_resolve_opened(f->r, 5, S_IFREG, 11, getpid(), AT_FDCWD, "./data/x\xff\0junk", 14);
	snprintf(want, sizeof(want), "%s/data/x\xff", cwd);
	assert_string_equal(str(o->name), want);
	/* a name that is known costs no look into /proc */
	kp_resolve_stats(f->r, &a);
	assert_ptr_equal(kp_resolve_opened(f->r, 5, S_IFREG, 11, getpid(), AT_FDCWD, "data/x\xff", 7), o);
	kp_resolve_stats(f->r, &b);
	assert_int_equal(a.proc_reads, b.proc_reads);
	o = kp_resolve_opened(f->r, 5, S_IFREG, 12, getpid(), dir, "y", 1);
	snprintf(want, sizeof(want), "%s/y", f->dir);
	assert_string_equal(str(o->name), want);
	o = kp_resolve_opened(f->r, 5, S_IFDIR, 13, getpid(), dir, ".", 1);
	assert_string_equal(str(o->name), f->dir);
	/* of a process that is gone it stays relative */
	o = kp_resolve_opened(f->r, 5, S_IFREG, 14, P, AT_FDCWD, "rel", 3);
	assert_string_equal(str(o->name), "rel");
	/* the number is another file's now */
	o = kp_resolve_opened(f->r, 5, S_IFREG, 10, getpid(), AT_FDCWD, "/etc/group", 10);
	assert_string_equal(str(kp_resolve_file(f->r, 5, S_IFREG, 10, getpid(), 3)->name), "/etc/group");
	close(dir);
	done(f);
}

static void files_are_bounded(void **state)
{
	struct kp_resolve_opts o = { .max_files = 1024 };
	struct fixture *f = new_with(&o);
	struct kp_resolve_stats st;
	char name[32];
	int kept = 0;

	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "/f/%d", i);
		kp_resolve_opened(f->r, 5, S_IFREG, 1000 + i, P, AT_FDCWD, name, strlen(name));
		/* one that is used all the time stays */
		kp_resolve_opened(f->r, 5, S_IFREG, 1000, P, AT_FDCWD, "/f/0", 4);
	}
	kp_resolve_stats(f->r, &st);
	assert_in_range(st.files, 900, 1024);
	assert_string_equal(str(kp_resolve_file(f->r, 5, S_IFREG, 1000, P, -1)->name), "/f/0");
	for (int i = 9500; i < 10000; i++) {
		const struct kp_obj *f_i = kp_resolve_file(f->r, 5, S_IFREG, 1000 + i, P, -1);

		snprintf(name, sizeof(name), "/f/%d", i);
		if (f_i->name) {
			assert_string_equal(f_i->name->p, name);
			kept++;
		}
	}
	assert_true(kept > 400);
	done(f);
}

static void pipes_and_eventfds(void **state)
{
	struct fixture *f = new();
	struct stat st;
	uint32_t dev;
	const struct kp_obj *o;
	int p[2], e = eventfd(0, 0);

	assert_false(pipe(p) || fstat(p[0], &st));
	raw_file(&st, &dev);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), p[0]);
	assert_int_equal(o->type, KP_OBJ_PIPE);
	assert_ptr_equal(kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), p[1]), o);
	assert_false(fstat(e, &st));
	raw_file(&st, &dev);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), e);
	assert_int_equal(o->type, KP_OBJ_ANON);
	assert_string_equal(str(o->name), "anon_inode:[eventfd]");
	/* as Linux 6.16 and later have it inside */
	o = kp_resolve_file(f->r, dev, S_IFREG | 0600, st.st_ino, getpid(), e);
	assert_int_equal(o->type, KP_OBJ_ANON);
	close(e);
	close(p[0]);
	close(p[1]);
	done(f);
}

static void things_without_inode(void **state)
{
	struct fixture *f = new();
	char line[256], name[64] = "";
	unsigned maj, min;
	FILE *p = fopen("/proc/partitions", "r");
	const struct kp_obj *o;

	while (p && fgets(line, sizeof(line), p))
		if (sscanf(line, "%u %u %*u %63s", &maj, &min, name) == 3)
			break;
	if (p)
		fclose(p);
	if (*name) {
		o = kp_resolve_device(f->r, maj << 20 | min);
		assert_int_equal(o->type, KP_OBJ_DEVICE);
		assert_string_equal(str(o->name), name);
		assert_ptr_equal(kp_resolve_device(f->r, maj << 20 | min), o);
	}
	o = kp_resolve_device(f->r, 4095u << 20 | 77);
	assert_null(o->name);
	assert_int_equal(o->dev, 4095u << 20 | 77);
	assert_ptr_not_equal(kp_resolve_futex(f->r, 1, 0x1000), kp_resolve_futex(f->r, 2, 0x1000));
	assert_int_equal(kp_resolve_futex(f->r, 1, 0x1000)->id, 0x1000);
	assert_string_equal(str(kp_resolve_name(f->r, "abc\0d", 5)->name), "abc");
	assert_int_equal(kp_resolve_cgroup(f->r, "/x", 2)->type, KP_OBJ_CGROUP);
	done(f);
}

/* What is remembered survives the pool it was in. */
static void another_pool(void **state)
{
	struct fixture *f = new();
	struct kp_pool *old = f->pool;
	struct kp_ids p = { P, P, 100, 1, 1 };
	const struct kp_task *t;

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
	assert_string_equal(str(kp_resolve_file(f->r, 5, S_IFREG, 10, P, -1)->name), "/etc/passwd");
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
	dprintf(fd, "ffffffff81000100 T schedule\nffffffffc0001000 t ext4_sync_file\t[ext4]\n");
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
		cmocka_unit_test(own_process), cmocka_unit_test(any_bytes_in_comm), cmocka_unit_test(pid_reuse),
		cmocka_unit_test(idle_task), cmocka_unit_test(life_by_events), cmocka_unit_test(moved_v1),
		cmocka_unit_test(memory_is_bounded), cmocka_unit_test(file_by_descriptor), cmocka_unit_test(no_name_is_kept),
		cmocka_unit_test(opened), cmocka_unit_test(files_are_bounded), cmocka_unit_test(pipes_and_eventfds),
		cmocka_unit_test(things_without_inode), cmocka_unit_test(another_pool), cmocka_unit_test(budget),
		cmocka_unit_test(put_off), cmocka_unit_test(stacks), cmocka_unit_test(hot_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
