/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keyframes: all tasks and the host's memory at once, then the descriptors of
 * each process in steps, since a host may have a million of them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/event.h>

#include "resolve_int.h"

/* How long tasks are read at once, since events wait meanwhile: enough for some thousands. */
#define LOAD_MAX (100 * RS_MS)

struct rs_key {
	const struct kp_task **proc;	/* whose descriptors are to come */
	uint32_t n, cap, at;
	DIR *fds;		/* of proc[at], when begun */
};

void rs_key_free(struct kp_resolve *r)
{
	if (!r->key)
		return;
	if (r->key->fds)
		closedir(r->key->fds);
	free(r->key->proc);
	free(r->key);
	r->key = NULL;
}

int rs_key_move(struct kp_resolve *r)
{
	for (uint32_t i = 0; r->key && i < r->key->n; i++) {
		struct kp_row row = { .task = r->key->proc[i] };

		if (kp_pool_adopt(r->pool, &row)) {
			rs_key_free(r);
			return -ENOMEM;
		}
		r->key->proc[i] = row.task;
	}
	return 0;
}

static int want_files(struct kp_resolve *r, const struct kp_task *task)
{
	struct rs_key *k = r->key;

	if (k->n == k->cap) {
		uint32_t cap = k->cap ? k->cap * 2 : 256;
		const struct kp_task **p = realloc(k->proc, cap * sizeof(const struct kp_task *));

		if (!p)
			return -ENOMEM;
		k->proc = p;
		k->cap = cap;
	}
	k->proc[k->n++] = task;
	return 0;
}

/* ---- the host ---- */

static uint64_t mem_field(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 10) * 1024 : 0;
}

static int key_host(struct kp_resolve *r, kp_resolve_emit emit, void *arg)
{
	struct kp_row row = { .kind = KP_K_KEY_HOST, .flags = KP_F_KEYFRAME };
	char text[8192];

	if (rs_read(r, text, sizeof(text), "meminfo") <= 0)
		return 0;
	row.a[0] = mem_field(text, "MemTotal:");
	row.a[1] = mem_field(text, "\nMemFree:");
	row.a[2] = mem_field(text, "\nCached:");
	row.a[3] = mem_field(text, "\nDirty:");
	if (rs_read(r, text, sizeof(text), "loadavg") > 0)
		row.a[4] = (uint64_t)(strtod(text, NULL) * 100 + 0.5);
	row.end = kp_now_mono();
	return emit(arg, &row);
}

/* ---- tasks ---- */

/* By how much the clock that start times are in is ahead of the monotonic one: the time suspended. */
static uint64_t boot_ahead(void)
{
	struct timespec ts;
	uint64_t mono = kp_now_mono(), boot;

	if (clock_gettime(CLOCK_BOOTTIME, &ts))
		return 0;
	boot = (uint64_t)ts.tv_sec * RS_SEC + ts.tv_nsec;
	return boot - mono > 50 * RS_MS ? boot - mono : 0;
}

/* later: what only /proc knows of a task that is new to us is read in the ticks to come. */
static uint32_t known_task(struct kp_resolve *r, const struct it_task *t, bool later)
{
	struct rs_known k = {
		.comm = t->comm, .comm_len = strnlen(t->comm, sizeof(t->comm)), .ns_tid = t->ns_tid, .ns_tgid = t->ns_tgid,
		.kthread = t->flags & RS_KTHREAD, .later = later,
	};
	uint32_t i = rs_task_get(r, t->tid, t->tgid, t->start, &k);

	if (i != RS_NONE)
		r->task[i].seen = r->gen;
	return i;
}

static int key_task(struct kp_resolve *r, const struct it_task *t, uint64_t ahead, kp_resolve_emit emit, void *arg)
{
	struct kp_row row = { .kind = KP_K_KEY_TASK, .flags = KP_F_KEYFRAME, .end = t->now };
	uint32_t i = known_task(r, t, true), p;

	if (i == RS_NONE)
		return -ENOMEM;
	row.task = r->task[i].t;
	if (t->flags & RS_KTHREAD)
		row.flags |= KP_F_KERNEL;
	else if (t->tid == t->tgid && t->want != WANT_NO && t->want != WANT_EXCLUDED && want_files(r, row.task))
		return -ENOMEM;
	p = t->ppid ? rs_task_find(r, t->ppid, t->pstart) : RS_NONE;
	row.peer = p == RS_NONE ? NULL : r->task[p].t;
	row.dur = t->now + ahead > t->start && t->start ? t->now + ahead - t->start : 0;
	row.a[0] = t->state;
	row.a[1] = t->utime;
	row.a[2] = t->anon;
	row.a[3] = t->file;
	row.a[4] = (uint64_t)(int64_t)t->nice;
	row.a[5] = t->policy;
	return emit(arg, &row);
}

/* ---- tasks without an iterator ---- */

static uint32_t state_of(char letter)
{
	static const char letters[] = "RSDTtXZPI";
	static const uint32_t state[] = { 0, 1, 2, 4, 8, 16, 32, 64, 0x402 };
	const char *p = strchr(letters, letter);

	return p && letter ? state[p - letters] : 0;
}

/* The start of a task is only known to a tick, unless an event has told it exactly. */
static uint64_t exact_start(struct kp_resolve *r, uint32_t tid, uint64_t ticks)
{
	uint32_t i = rs_task_find(r, tid, 0);

	if (i != RS_NONE && rs_ticks(r, r->task[i].t->start) == ticks)
		return r->task[i].t->start;
	return ticks * (RS_SEC / r->hz);
}

struct walk { struct kp_resolve *r; kp_resolve_emit emit; void *arg; uint64_t ahead, begun; uint32_t tgid; };

static int proc_task(struct walk *w, uint32_t tid)
{
	struct kp_resolve *r = w->r;
	uint32_t tgid = w->tgid;
	struct it_task t = { .tid = tid, .tgid = tgid, .sys_nr = -1, .now = kp_now_mono() };
	char text[2048];
	struct rs_stat st;
	ssize_t n = rs_read(r, text, sizeof(text), "%u/task/%u/stat", tgid, tid);
	uint32_t p;

	if (n <= 0 || rs_parse_stat(text, n, &st))
		return 0;	/* gone meanwhile */
	t.start = exact_start(r, tid, st.ticks);
	t.state = state_of(st.state);
	t.flags = st.flags;
	t.ppid = st.ppid;
	p = rs_task_find(r, st.ppid, 0);
	t.pstart = p == RS_NONE ? 0 : r->task[p].t->start;
	t.nice = st.nice;
	t.policy = st.policy;
	t.utime = st.utime * (RS_SEC / r->hz);
	t.anon = st.rss;
	memcpy(t.comm, st.comm, st.comm_len < sizeof(t.comm) ? st.comm_len : sizeof(t.comm));
	/* resident file pages are in statm, once a process */
	n = rs_read(r, text, sizeof(text), "%u/statm", tgid);
	if (n > 0) {
		unsigned long long all, res, shared;

		if (sscanf(text, "%llu %llu %llu", &all, &res, &shared) == 3 && res >= shared) {
			t.anon = res - shared;
			t.file = shared;
		}
	}
	known_task(r, &t, kp_now_mono() - w->begun > LOAD_MAX);
	return key_task(r, &t, w->ahead, w->emit, w->arg);
}

/* Calls fn for each number in a directory below /proc; fn's error ends it. */
static int each_number(struct kp_resolve *r, const char *path, int (*fn)(void *arg, uint32_t id), void *arg)
{
	int fd = openat(r->proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (!rc && (e = readdir(d)))
		if (*e->d_name >= '0' && *e->d_name <= '9')
			rc = fn(arg, strtoul(e->d_name, NULL, 10));
	closedir(d);
	return rc;
}

static int walk_thread(void *arg, uint32_t tid)
{
	struct walk *w = arg;

	return proc_task(w, tid);
}

static int walk_process(void *arg, uint32_t tgid)
{
	struct walk *w = arg;
	char path[32];

	w->tgid = tgid;
	snprintf(path, sizeof(path), "%u/task", tgid);
	return each_number(w->r, path, walk_thread, w);
}

int kp_resolve_key_begin(struct kp_resolve *r, const struct it_task *rec, uint32_t n, kp_resolve_emit emit, void *arg)
{
	uint64_t ahead = boot_ahead(), began = rec && n ? rec[0].now : kp_now_mono();
	uint64_t begun = kp_now_mono();
	struct walk w = { r, emit, arg, ahead, begun, 0 };
	int rc;

	rs_key_free(r);
	r->key = calloc(1, sizeof(*r->key));
	if (!r->key)
		return -ENOMEM;
	r->gen++;
	rc = key_host(r, emit, arg);
	/* a parent may come after its child: all must be known before the first is told */
	for (uint32_t i = 0; rec && i < n; i++)
		known_task(r, &rec[i], kp_now_mono() - begun > LOAD_MAX);
	for (uint32_t i = 0; rec && i < n && !rc; i++)
		rc = key_task(r, &rec[i], ahead, emit, arg);
	if (!rec && !rc)
		rc = each_number(r, ".", walk_process, &w);
	if (!rc && (!rec || n))
		rs_tasks_sweep(r, began + ahead);
	return rc;
}

/* ---- descriptors ---- */

static int key_file(struct kp_resolve *r, const struct kp_task *task, int fd, kp_resolve_emit emit, void *arg)
{
	struct kp_row row = { .kind = KP_K_KEY_FILE, .flags = KP_F_KEYFRAME, .task = task };
	uint32_t tgid = task->tgid;
	char path[64], name[RS_PATH];
	struct statx st;
	struct stat link;
	ssize_t n = rs_link(r, name, sizeof(name), "%u/fd/%d", tgid, fd);

	snprintf(path, sizeof(path), "%u/fd/%d", tgid, fd);
	if (n < 0 || statx(r->proc, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO | STATX_TYPE | STATX_MODE, &st))
		return 0;	/* closed meanwhile */
	row.obj = rs_fd_learn(r, rs_dev(st.stx_dev_major, st.stx_dev_minor), st.stx_mode, st.stx_ino, tgid, fd, name, n);
	row.a[0] = fd;
	/* the link's own mode says how it was opened */
	if (!fstatat(r->proc, path, &link, AT_SYMLINK_NOFOLLOW))
		row.a[1] = (link.st_mode & 0600) == 0600 ? O_RDWR : link.st_mode & 0200 ? O_WRONLY : O_RDONLY;
	row.end = kp_now_mono();
	return emit(arg, &row);
}

/* Opens the descriptors of the next process that is still there; false: there is none. */
static bool next_process(struct kp_resolve *r, struct rs_key *k)
{
	for (; !k->fds && k->at < k->n; k->at++) {
		const struct kp_task *t = k->proc[k->at];
		struct rs_stat st;
		char path[32];
		ssize_t n = rs_read(r, r->buf, RS_BUF, "%u/stat", t->tgid);
		int fd;

		/* another process may have its number by now */
		if (n <= 0 || rs_parse_stat(r->buf, n, &st) || (t->start && st.ticks != rs_ticks(r, t->start)))
			continue;
		snprintf(path, sizeof(path), "%u/fd", t->tgid);
		fd = openat(r->proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		k->fds = fdopendir(fd);
		if (k->fds)
			return true;
		close(fd);
	}
	return k->fds;
}

int kp_resolve_key_step(struct kp_resolve *r, uint64_t max_ns, kp_resolve_emit emit, void *arg)
{
	uint64_t begun = kp_now_mono(), now = begun;
	struct rs_key *k = r->key;
	int rc = 0;

	while (k && !rc && now - begun < max_ns && next_process(r, k)) {
		struct dirent *e = readdir(k->fds);

		if (!e) {
			closedir(k->fds);
			k->fds = NULL;
			k->at++;
			continue;
		}
		if (*e->d_name < '0' || *e->d_name > '9')
			continue;
		rc = key_file(r, k->proc[k->at], atoi(e->d_name), emit, arg);
		r->st.proc_reads++;
		now = kp_now_mono();
	}
	r->st.proc_ns += kp_now_mono() - begun;
	if (rc || !k)
		return rc;
	if (k->at < k->n)
		return 1;
	rs_key_free(r);
	return 0;
}
