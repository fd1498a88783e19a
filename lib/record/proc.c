/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc, within a budget of time: a bucket of nanoseconds that fills at a
 * steady rate. What is read here takes no lock of the process's memory, so
 * that looking at a process that reclaims or swaps does not hold us up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolve_int.h"

void rs_refill(struct kp_resolve *r, uint64_t now)
{
	uint64_t dt = now - r->refilled, add;

	if (now <= r->refilled)
		return;
	add = dt >= 10 * RS_SEC ? r->o.burst : (uint64_t)((double)dt / RS_SEC * r->o.budget);
	r->tokens += add;
	if (r->tokens > (int64_t)r->o.burst)
		r->tokens = r->o.burst;
	r->refilled = now;
}

uint64_t rs_begin(struct kp_resolve *r)
{
	uint64_t now = kp_now_mono();

	/* refilling at each look would lose the fractions */
	if (r->tokens <= 0 && now - r->refilled >= RS_MS)
		rs_refill(r, now);
	if (r->tokens <= 0) {
		r->st.put_off++;
		return 0;
	}
	return now;
}

void rs_end(struct kp_resolve *r, uint64_t begun)
{
	uint64_t ns = kp_now_mono() - begun;

	r->tokens -= ns;
	r->st.proc_reads++;
	r->st.proc_ns += ns;
}

ssize_t rs_read_at(int dir, const char *path, char *buf, size_t cap)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (have < cap - 1) {
		n = read(fd, buf + have, cap - 1 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			close(fd);
			return n;
		}
		if (!n)
			break;
		have += n;
	}
	close(fd);
	buf[have] = 0;
	return have;
}

ssize_t rs_read(struct kp_resolve *r, char *buf, size_t cap, const char *fmt, ...)
{
	char path[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return rs_read_at(r->proc, path, buf, cap);
}

ssize_t rs_link(struct kp_resolve *r, char *buf, size_t cap, const char *fmt, ...)
{
	char path[128];
	va_list ap;
	ssize_t n;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	n = readlinkat(r->proc, path, buf, cap - 1);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	return n;
}

/*
 * /proc shows more of a kernel thread's name than the 15 bytes of its comm, and adds to a worker's what it works
 * for just now, "kworker/0:1-events": events have neither.
 */
static size_t kernel_name(const char *comm, size_t len)
{
	static const char prefix[] = "kworker/", rescuer[] = "kworker/R-";
	size_t n = sizeof(prefix) - 1, most = len < 15 ? len : 15;

	if (len <= n || memcmp(comm, prefix, n) != 0 || !strncmp(comm, rescuer, sizeof(rescuer) - 1))
		return most;
	while (n < most && comm[n] != '-' && comm[n] != '+')
		n++;
	return n;
}

/* "PID (comm) S PPID ..."; comm may hold anything, so the last ")" ends it. Field numbers are those of proc(5). */
int rs_parse_stat(char *text, size_t len, struct rs_stat *st)
{
	char *open = memchr(text, '(', len), *close = memrchr(text, ')', len), *p;

	memset(st, 0, sizeof(*st));
	if (!open || !close || close < open || close[1] != ' ' || !close[2])
		return -EINVAL;
	st->comm = open + 1;
	st->comm_len = close - open - 1;
	st->state = close[2];
	p = close + 3;
	for (int field = 4; field <= 41; field++) {
		char *end;
		unsigned long long v = strtoull(p, &end, 10);	/* of a negative number, its two's complement */

		if (end == p)
			return field > 22 ? 0 : -EINVAL;
		p = end;
		switch (field) {
		case 4: st->ppid = v; break;
		case 9:
			st->flags = v;
			if (v & RS_KTHREAD)
				st->comm_len = kernel_name(st->comm, st->comm_len);
			break;
		case 14: st->utime = v; break;
		case 19: st->nice = (int32_t)(int64_t)v; break;
		case 22: st->ticks = v; break;
		case 24: st->rss = v; break;
		case 41: st->policy = v; break;
		}
	}
	return 0;
}

uint8_t rs_controllers(const char *list, size_t len)
{
	static const struct { const char *name; uint8_t cg; } known[] = {
		{ "cpu", KP_CG_CPU }, { "memory", KP_CG_MEMORY }, { "blkio", KP_CG_BLKIO }, { "io", KP_CG_BLKIO },
		{ "freezer", KP_CG_FREEZER },
	};
	uint8_t bits = 0;

	while (len) {
		const char *comma = memchr(list, ',', len);
		size_t n = comma ? (size_t)(comma - list) : len;

		for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (strlen(known[i].name) == n && !memcmp(known[i].name, list, n))
				bits |= 1 << known[i].cg;
		list += n + (comma != NULL);
		len -= n + (comma != NULL);
	}
	return bits;
}

/* One line "4:memory:/path", the newline left out; 0 and what it says. A path may hold colons. */
static int cgroup_line(const char *p, size_t len, unsigned long *id, const char **list, size_t *list_len,
		       const char **path, size_t *path_len)
{
	const char *c1 = memchr(p, ':', len), *c2;
	char *end;

	if (!c1)
		return -EINVAL;
	c2 = memchr(c1 + 1, ':', p + len - (c1 + 1));
	if (!c2)
		return -EINVAL;
	*id = strtoul(p, &end, 10);
	if (end != c1 || end == p)
		return -EINVAL;
	*list = c1 + 1;
	*list_len = c2 - c1 - 1;
	*path = c2 + 1;
	*path_len = p + len - (c2 + 1);
	return 0;
}

enum { ALL = (1 << KP_CG_MAX) - 1 };

/* What is not on a tree of its own (v1) is on the unified one. */
static void unify(const struct kp_str *cg[KP_CG_MAX], uint8_t own)
{
	for (int i = 0; i < KP_CG_MAX; i++)
		if (i != KP_CG_UNIFIED && !(own & 1 << i))
			cg[i] = cg[KP_CG_UNIFIED];
}

void rs_parse_cgroup(struct kp_resolve *r, const char *text, size_t len, const struct kp_str *cg[KP_CG_MAX])
{
	const char *end = text + len, *nl, *list, *path;
	size_t list_len, path_len;
	uint8_t own = 0;
	unsigned long id;

	for (; text < end; text = nl + 1) {
		uint8_t bits;

		nl = memchr(text, '\n', end - text);
		if (!nl)
			break;	/* cut: its path may be, too */
		if (cgroup_line(text, nl - text, &id, &list, &list_len, &path, &path_len))
			continue;
		bits = list_len ? rs_controllers(list, list_len) : id == 0 ? 1 << KP_CG_UNIFIED : 0;
		own |= bits;
		for (int i = 0; bits && i < KP_CG_MAX; i++)
			if (bits & 1 << i)
				cg[i] = kp_pool_str(r->pool, path, path_len);
	}
	unify(cg, own);
}

/* Which controllers are on which tree: our own lines tell, since every task is on every tree. */
int rs_read_hierarchies(struct kp_resolve *r)
{
	char text[4096];
	ssize_t len = rs_read(r, text, sizeof(text), "self/cgroup");
	const char *end = text + (len < 0 ? 0 : len), *nl, *list, *path;
	size_t list_len, path_len;
	uint8_t own = 0;
	unsigned long id;

	memset(r->hier, 0, sizeof(r->hier));
	for (const char *p = text; p < end; p = nl + 1) {
		nl = memchr(p, '\n', end - p);
		if (!nl)
			break;
		if (cgroup_line(p, nl - p, &id, &list, &list_len, &path, &path_len) || !id || id >= RS_HIER)
			continue;
		r->hier[id] = rs_controllers(list, list_len);
		own |= r->hier[id];
	}
	r->hier[0] = ALL & ~own;
	for (int i = 0; i < KP_CG_MAX; i++)
		r->v2[i] = r->hier[0] & 1 << i;
	return len < 0 ? (int)len : 0;
}

/* ---- a task ---- */

const struct kp_str *rs_exe(struct kp_resolve *r, uint32_t tgid)
{
	ssize_t n = rs_link(r, r->buf, RS_PATH, "%u/exe", tgid);

	return n > 0 ? kp_pool_str(r->pool, r->buf, n) : NULL;
}

/* Ids as seen inside: those outside unless it has a pid namespace of its own. status is dear to read. */
static void read_ns(struct kp_resolve *r, struct kp_task *t)
{
	char ns[sizeof(r->pidns)], *p;
	ssize_t n = rs_link(r, ns, sizeof(ns), "%u/ns/pid", t->tgid);

	if (n > 0 && *r->pidns && !strcmp(ns, r->pidns)) {
		t->ns_tid = t->tid;
		t->ns_tgid = t->tgid;
		return;
	}
	n = rs_read(r, r->buf, RS_BUF, "%u/task/%u/status", t->tgid, t->tid);
	if (n < 0)
		return;
	/* "NStgid:\t4711\t12": outermost first */
	p = strstr(r->buf, "\nNStgid:");
	if (p && (p = strpbrk(p + 1, "\t")))
		for (char *end; *p == '\t'; p = end)
			t->ns_tgid = strtoul(p + 1, &end, 10);
	p = strstr(r->buf, "\nNSpid:");
	if (p && (p = strpbrk(p + 1, "\t")))
		for (char *end; *p == '\t'; p = end)
			t->ns_tid = strtoul(p + 1, &end, 10);
}

/* Is t still there, and not another one with its number? Then its stat tells the rest. */
static bool alive(struct kp_resolve *r, struct kp_task *t)
{
	struct rs_stat st;
	ssize_t n = rs_read(r, r->buf, RS_BUF, "%u/task/%u/stat", t->tgid, t->tid);

	if (n < 0 || rs_parse_stat(r->buf, n, &st) || (t->start && st.ticks != rs_ticks(r, t->start)))
		return false;
	if (!t->comm)
		t->comm = kp_pool_str(r->pool, st.comm, st.comm_len);
	t->kthread = st.flags & RS_KTHREAD;
	return true;
}

bool rs_load(struct kp_resolve *r, struct kp_task *t, const struct kp_task *sib, bool fresh)
{
	uint64_t begun = rs_begin(r);
	ssize_t n;

	if (!begun)
		return false;
	if (!fresh && !alive(r, t))
		goto out;
	n = rs_read(r, r->buf, RS_BUF, "%u/task/%u/cgroup", t->tgid, t->tid);
	if (n > 0)
		rs_parse_cgroup(r, r->buf, n, t->cgroup);
	if (!t->exe && !t->kthread)
		t->exe = sib && sib->exe ? sib->exe : rs_exe(r, t->tgid);
	if (t->kthread) {
		t->ns_tid = t->tid;
		t->ns_tgid = t->tgid;
	} else if (!t->ns_tid && sib && sib->ns_tgid == t->tgid) {
		t->ns_tid = t->tid;
		t->ns_tgid = t->tgid;
	} else if (!t->ns_tid) {
		read_ns(r, t);
	}
out:
	rs_end(r, begun);
	return true;
}
