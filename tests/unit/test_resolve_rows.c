/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets, and the rows that the resolver makes itself: keyframes, open calls, cgroups, clocks. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/event.h>
#include <kp/util.h>
#include "record/resolve.h"

#define SEC 1000000000ull

enum { MAX = 4096 };

struct fixture { struct kp_pool *pool; struct kp_resolve *r; struct kp_kinds *kinds; char dir[40]; struct kp_row row[MAX]; int n, stop; uint32_t only[2]; };

static struct fixture *new_at(const char *proc)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kp_resolve_opts o = { .proc = proc };
	struct kp_err err;

	assert_non_null(f);
	assert_int_equal(kp_pool_new(&f->pool), 0);
	assert_int_equal(kp_kinds_new(&f->kinds), 0);
	o.kinds = f->kinds;
	assert_int_equal(kp_resolve_new(&f->r, f->pool, &o, &err), 0);
	return f;
}

static struct fixture *new(void) { return new_at(NULL); }

static void done(struct fixture *f)
{
	kp_resolve_free(f->r);
	kp_kinds_free(f->kinds);
	kp_pool_free(f->pool);
	free(f);
}

static int emit(void *arg, const struct kp_row *row)
{
	struct fixture *f = arg;

	if (f->stop)
		return -f->stop;
	/* a machine may have any number of tasks */
	if (f->only[0] && row->task && row->task->tgid != f->only[0] && row->task->tgid != f->only[1])
		return 0;
	assert_true(f->n < MAX);
	f->row[f->n++] = *row;
	return 0;
}

static const char *str(const struct kp_str *s) { return s ? s->p : "(null)"; }

/* The first row of a kind, with this thread and this object (0, NULL: any). */
static const struct kp_row *row_of(const struct fixture *f, uint16_t kind, uint32_t tid, const char *name)
{
	for (int i = 0; i < f->n; i++) {
		const struct kp_row *r = &f->row[i];

		if (r->kind == kind && (!tid || (r->task && r->task->tid == tid)) &&
		    (!name || (r->obj && r->obj->name && !strcmp(r->obj->name->p, name))))
			return r;
	}
	return NULL;
}

/* ---- sockets ---- */

struct pair { int listen, client, server; };

static struct pair connected(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	struct pair p = { .listen = socket(AF_INET, SOCK_STREAM, 0), .client = socket(AF_INET, SOCK_STREAM, 0) };

	assert_false(bind(p.listen, (struct sockaddr *)&a, n) || listen(p.listen, 1) || getsockname(p.listen, (struct sockaddr *)&a, &n));
	assert_false(connect(p.client, (struct sockaddr *)&a, n));
	p.server = accept(p.listen, NULL, NULL);
	assert_true(p.server >= 0);
	return p;
}

static void disconnect(const struct pair *p)
{
	close(p->listen);
	close(p->client);
	close(p->server);
}

/* What the kernel side would send of a socket. */
static struct ev_sock event_of(int fd)
{
	struct sockaddr_in l, r;
	socklen_t nl = sizeof(l), nr = sizeof(r);
	struct stat st;
	struct ev_sock s = { .family = AF_INET, .proto = IPPROTO_TCP, .type = SOCK_STREAM };

	assert_false(fstat(fd, &st) || getsockname(fd, (struct sockaddr *)&l, &nl) || getpeername(fd, (struct sockaddr *)&r, &nr));
	s.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	s.ino = st.st_ino;
	s.lport = ntohs(l.sin_port);
	s.rport = ntohs(r.sin_port);
	memcpy(s.laddr, &l.sin_addr, 4);
	memcpy(s.raddr, &r.sin_addr, 4);
	return s;
}

static void is_sock(const struct kp_obj *o, const struct ev_sock *s)
{
	assert_non_null(o);
	assert_int_equal(o->type, KP_OBJ_SOCKET);
	assert_int_equal(o->family, s->family);
	assert_int_equal(o->proto, s->proto);
	assert_int_equal(o->lport, s->lport);
	assert_int_equal(o->rport, s->rport);
	assert_memory_equal(o->laddr, s->laddr, 16);
	assert_memory_equal(o->raddr, s->raddr, 16);
	assert_int_equal(o->id, s->ino);
	assert_int_equal(o->dev, s->dev);
}

/* A message's row teaches the addresses to the reads and writes of the descriptor. */
static void taught_by_rows(void **state)
{
	struct fixture *f = new();
	struct ev_sock s = { .dev = 8, .family = AF_INET, .proto = IPPROTO_TCP, .ino = 123456789, .lport = 80, .rport = 4000,
			     .laddr = { 10, 0, 0, 1 }, .raddr = { 10, 0, 0, 2 } }, moved;
	const struct kp_obj *o;

	o = kp_resolve_file(f->r, 8, S_IFSOCK, s.ino, 0x7000001, 5);
	assert_int_equal(o->type, KP_OBJ_SOCKET);
	assert_int_equal(o->family, 0);
	assert_int_equal(o->id, s.ino);
	o = kp_resolve_sock(f->r, &s);
	is_sock(o, &s);
	assert_ptr_equal(kp_resolve_file(f->r, 8, S_IFSOCK, s.ino, 0x7000001, 5), o);
	assert_ptr_equal(kp_resolve_sock(f->r, &s), o);
	/* the number is another socket's now */
	moved = s;
	moved.rport = 4001;
	is_sock(kp_resolve_sock(f->r, &moved), &moved);
	is_sock(kp_resolve_file(f->r, 8, S_IFSOCK, s.ino, 0x7000001, 5), &moved);
	done(f);
}

/* In the accept queue and after close a connection has no inode: it is still the same one, until it is over. */
static void without_inode(void **state)
{
	struct fixture *f = new();
	struct ev_sock s = { .dev = 8, .family = AF_INET, .proto = IPPROTO_TCP, .ino = 1001, .lport = 80, .rport = 4000,
			     .laddr = { 10, 0, 0, 1 }, .raddr = { 10, 0, 0, 2 } }, bare = s;
	const struct kp_obj *o = kp_resolve_sock(f->r, &s);

	bare.ino = 0;
	assert_ptr_equal(kp_resolve_sock(f->r, &bare), o);
	kp_resolve_sock_closed(f->r, &bare);
	assert_int_equal(kp_resolve_sock(f->r, &bare)->id, 0);
	/* a later connection with these addresses, closed by an older one's late row: stays */
	s.ino = 1002;
	kp_resolve_sock(f->r, &s);
	s.ino = 1001;
	kp_resolve_sock_closed(f->r, &s);
	assert_int_equal(kp_resolve_sock(f->r, &bare)->id, 1002);
	done(f);
}

static void mapped_addresses(void **state)
{
	struct fixture *f = new();
	struct ev_sock s = { .dev = 8, .family = AF_INET6, .proto = IPPROTO_TCP, .ino = 7, .lport = 80, .rport = 4000,
			     .laddr = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 }, .raddr = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 2 } };
	const struct kp_obj *o = kp_resolve_sock(f->r, &s);
	static const uint8_t l[16] = { 127, 0, 0, 1 }, r[16] = { 127, 0, 0, 2 }, any[16];

	assert_int_equal(o->family, AF_INET);
	assert_memory_equal(o->laddr, l, 16);
	assert_memory_equal(o->raddr, r, 16);
	assert_ptr_equal(kp_resolve_sock(f->r, &s), o);
	memset(s.laddr, 0, 16);
	memset(s.raddr, 0, 16);
	s.ino = 8;
	o = kp_resolve_sock(f->r, &s);
	assert_int_equal(o->family, AF_INET6);
	assert_memory_equal(o->laddr, any, 16);
	s.laddr[0] = 0xfe;
	s.ino = 9;
	assert_int_equal(kp_resolve_sock(f->r, &s)->family, AF_INET6);
	done(f);
}

static void from_proc_net(void **state)
{
	struct pair p = connected();
	struct ev_sock c = event_of(p.client), s = event_of(p.server);
	struct fixture *f = new(), *g;

	kp_resolve_sock_preload(f->r);
	is_sock(kp_resolve_file(f->r, c.dev, S_IFSOCK, c.ino, getpid(), p.client), &c);
	is_sock(kp_resolve_file(f->r, s.dev, S_IFSOCK, s.ino, getpid(), p.server), &s);
	c.ino = 0;
	assert_int_equal(kp_resolve_sock(f->r, &c)->id, event_of(p.client).ino);
	done(f);
	/* and, without having been loaded before, when one is met */
	g = new();
	is_sock(kp_resolve_file(g->r, s.dev, S_IFSOCK, s.ino, getpid(), p.server), &s);
	done(g);
	disconnect(&p);
}

static void unix_path(void **state)
{
	struct fixture *f;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	const struct kp_obj *o;

	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/kp-unix-%d", getpid());
	unlink(a.sun_path);
	assert_false(bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1) || fstat(fd, &st));
	f = new();
	kp_resolve_sock_preload(f->r);
	o = kp_resolve_file(f->r, major(st.st_dev) << 20 | minor(st.st_dev), S_IFSOCK, st.st_ino, getpid(), fd);
	assert_int_equal(o->family, AF_UNIX);
	assert_string_equal(str(o->name), a.sun_path);
	close(fd);
	unlink(a.sun_path);
	done(f);
}

/* ---- keyframes ---- */

static pid_t sleeping_child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		for (;;)
			pause();
	}
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	assert_false(clock_gettime(id, &ts));
	return (uint64_t)ts.tv_sec * SEC + ts.tv_nsec;
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

enum { P = 0x7000001, C = 0x7000002, W = 0x7000003, X = 0x7000004 };

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
		  .sys_start = now - 2 * SEC, .sys_nr = 202, .a = { 0xabc0 } },
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
	assert_int_equal(r->obj->type, KP_OBJ_FUTEX);
	assert_int_equal(r->obj->id, 0xabc0);
	assert_null(row_of(f, KP_K_SCHED_SLEEP, C, NULL)->stack);
	f->stop = EPIPE;
	assert_int_equal(kp_resolve_open(f->r, t, 6, SEC, 0, emit, f), -EPIPE);
	done(f);
}

/* ---- control groups: a made-up /proc and cgroupfs ---- */

static void put(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *fp;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *p = path + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = 0;
		mkdir(path, 0700);
	}
	fp = fopen(path, "w");
	assert_non_null(fp);
	fputs(text, fp);
	assert_int_equal(fclose(fp), 0);
}

static struct fixture *made_up(char dir[40], const char *cgroup, const char *mounts)
{
	char text[1024];

	strcpy(dir, "/tmp/kp cgroup-XXXXXX");
	assert_non_null(mkdtemp(dir));
	put(dir, "self/cgroup", cgroup);
	snprintf(text, sizeof(text), mounts, dir + strlen("/tmp/kp cgroup"), dir + strlen("/tmp/kp cgroup"));
	put(dir, "self/mountinfo", text);
	return new_at(dir);
}

static void remove_all(const char *dir)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	assert_int_equal(system(cmd), 0);
}

static void task_in(struct fixture *f, uint32_t tid, uint32_t hierarchy, const char *path)
{
	struct kp_ids p = { tid, tid, 100, 0, 0 };

	kp_resolve_moved(f->r, &p, hierarchy, path, strlen(path), true);
}

static void poll_rows(struct fixture *f, uint64_t now)
{
	f->n = 0;
	assert_int_equal(kp_resolve_poll(f->r, now, emit, f), 0);
}

static void poll_v2(void **state)
{
	char dir[40];
	struct fixture *f = made_up(dir, "0::/\n", "30 1 0:26 / /tmp/kp\\040cgroup%s/cg rw shared:4 - cgroup2 cgroup2 rw\n");
	const struct kp_row *r;

	put(dir, "cg/pod/box/memory.max", "1048576000\n");
	put(dir, "cg/pod/box/memory.high", "max\n");
	put(dir, "cg/pod/box/memory.current", "500000000\n");
	put(dir, "cg/pod/box/memory.events", "low 0\nhigh 3\nmax 4\noom 0\noom_kill 0\n");
	put(dir, "cg/pod/box/cpu.max", "50000 100000\n");
	put(dir, "cg/pod/box/cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 7\nthrottled_usec 12\n");
	put(dir, "cg/pod/box/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=11\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	put(dir, "cg/pod/box/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=22\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=33\n");
	put(dir, "cg/pod/box/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=44\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=55\n");
	put(dir, "cg/pod/memory.max", "max\n");
	put(dir, "cg/pod/memory.high", "2000000000\n");
	put(dir, "cg/pod/memory.current", "600000000\n");
	put(dir, "cg/pod/cpu.max", "max 100000\n");
	put(dir, "pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=6\n");
	task_in(f, P, 0, "/pod/box");
	poll_rows(f, 1000);
	r = row_of(f, KP_K_CG_LIMIT, 0, "/pod/box");
	assert_non_null(r);
	assert_int_equal(r->end, 1000);
	assert_int_equal(r->obj->type, KP_OBJ_CGROUP);
	assert_int_equal(r->a[0], 1048576000);
	assert_int_equal(r->a[1], 500000000);
	assert_int_equal(r->a[2], 7);
	r = row_of(f, KP_K_CG_LIMIT, 0, "/pod");
	assert_non_null(r);
	assert_int_equal(r->a[0], 2000000000);
	r = row_of(f, KP_K_CG_CPU, 0, "/pod/box");
	assert_non_null(r);
	assert_int_equal(r->a[0], 50000000);
	assert_int_equal(r->a[1], 100000000);
	assert_int_equal(r->a[2], 7);
	assert_int_equal(r->a[3], 12000);
	assert_null(row_of(f, KP_K_CG_CPU, 0, "/pod"));
	r = row_of(f, KP_K_CG_PRESSURE, 0, "/pod/box");
	assert_non_null(r);
	for (int i = 0; i < 5; i++)
		assert_int_equal(r->a[i], 11000 * (i + 1));
	r = row_of(f, KP_K_CG_PRESSURE, 0, NULL);
	assert_non_null(r);
	assert_null(r->obj);
	assert_int_equal(r->a[3], 7000);
	assert_int_equal(r->a[4], 6000);
	/* only what changed, and use only when it moved */
	poll_rows(f, 2000);
	assert_int_equal(f->n, 0);
	put(dir, "cg/pod/box/memory.current", "500100000\n");
	put(dir, "cg/pod/memory.current", "700000000\n");
	put(dir, "cg/pod/box/cpu.stat", "nr_throttled 8\nthrottled_usec 13\n");
	put(dir, "cg/pod/box/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5011\n");
	poll_rows(f, 3000);
	assert_int_equal(f->n, 3);
	assert_int_equal(row_of(f, KP_K_CG_LIMIT, 0, "/pod")->a[1], 700000000);
	assert_int_equal(row_of(f, KP_K_CG_CPU, 0, "/pod/box")->a[2], 8);
	assert_int_equal(row_of(f, KP_K_CG_PRESSURE, 0, "/pod/box")->a[0], 5011000);
	/* the quota is taken away: told once */
	put(dir, "cg/pod/box/cpu.max", "max 100000\n");
	poll_rows(f, 4000);
	assert_int_equal(f->n, 1);
	assert_int_equal(f->row[0].a[0], 0);
	remove_all(dir);
	poll_rows(f, 5000);
	assert_int_equal(f->n, 0);
	f->stop = EPIPE;
	done(f);
}

static void poll_v1(void **state)
{
	char dir[40];
	struct fixture *f = made_up(dir, "5:memory:/\n3:cpuacct,cpu:/\n1:name=systemd:/\n",
		"30 1 0:26 /kept /tmp/kp\\040cgroup%s/mem rw - cgroup cgroup rw,memory\n"
		"31 1 0:27 / /tmp/kp\\040cgroup%s/cpu rw - cgroup cgroup rw,cpuacct,cpu\n");
	const struct kp_row *r;

	put(dir, "mem/db/memory.limit_in_bytes", "230686720\n");
	put(dir, "mem/db/memory.usage_in_bytes", "200000000\n");
	put(dir, "mem/db/memory.failcnt", "12\n");
	put(dir, "mem/free/memory.limit_in_bytes", "9223372036854771712\n");
	put(dir, "mem/free/memory.usage_in_bytes", "5\n");
	put(dir, "cpu/web/cpu.cfs_quota_us", "20000\n");
	put(dir, "cpu/web/cpu.cfs_period_us", "100000\n");
	put(dir, "cpu/web/cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_time 345\n");
	put(dir, "cpu/db/cpu.cfs_quota_us", "-1\n");
	task_in(f, P, 5, "/kept/db");
	task_in(f, P, 3, "/web");
	task_in(f, C, 5, "/kept/free");
	task_in(f, C, 3, "/db");
	task_in(f, W, 5, "/elsewhere");
	task_in(f, X, 5, "/../mem/db");
	poll_rows(f, 1000);
	assert_int_equal(f->n, 3);
	r = row_of(f, KP_K_CG_LIMIT, 0, "/kept/db");
	assert_non_null(r);
	assert_int_equal(r->a[0], 230686720);
	assert_int_equal(r->a[1], 200000000);
	assert_int_equal(r->a[2], 12);
	r = row_of(f, KP_K_CG_LIMIT, 0, "/kept/free");
	assert_non_null(r);
	assert_int_equal(r->a[0], 0);
	r = row_of(f, KP_K_CG_CPU, 0, "/web");
	assert_non_null(r);
	assert_int_equal(r->a[0], 20000000);
	assert_int_equal(r->a[1], 100000000);
	assert_int_equal(r->a[2], 2);
	assert_int_equal(r->a[3], 345);
	f->stop = EPIPE;
	put(dir, "mem/db/memory.failcnt", "13\n");
	assert_int_equal(kp_resolve_poll(f->r, 2000, emit, f), -EPIPE);
	remove_all(dir);
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
		cmocka_unit_test(taught_by_rows), cmocka_unit_test(without_inode), cmocka_unit_test(mapped_addresses),
		cmocka_unit_test(from_proc_net), cmocka_unit_test(unix_path), cmocka_unit_test(keyframe_from_proc),
		cmocka_unit_test(keyframe_from_iterator), cmocka_unit_test(keyframe_limits), cmocka_unit_test(inside_calls),
		cmocka_unit_test(poll_v2), cmocka_unit_test(poll_v1), cmocka_unit_test(clocks), cmocka_unit_test(source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
