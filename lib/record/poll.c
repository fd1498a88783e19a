/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits, quotas and pressure of cgroups: no tracepoint tells of these, so
 * their files are read, for the groups that tasks are in and those above them,
 * and told when they changed. On a host with very many groups not all get
 * their turn in each round.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolve_int.h"

enum { HASH = 2 * RS_GROUPS, VALUES = 5 };
#define NO_LIMIT (1ull << 62)	/* cgroup v1 says "none" as about 2^63, rounded down to pages */

/* ---- where the trees are mounted ---- */

/* The next field of a line of mountinfo, its \040 and the like undone in place; NULL: no more. */
static char *field(char **p)
{
	char *f = *p, *out, *in;

	if (!f || !*f)
		return NULL;
	in = out = f;
	for (; *in && *in != ' '; in++) {
		unsigned c;

		if (*in == '\\' && sscanf(in + 1, "%3o", &c) == 1 && c && c < 256) {
			*out++ = c;
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*p = *in ? in + 1 : NULL;
	*out = 0;
	return f;
}

static int set_mount(struct kp_resolve *r, int cg, const char *dir, const char *root)
{
	struct rs_mount *m = &r->mount[cg];

	/* a mount of the whole tree is better than one of a part */
	if (m->dir && (!m->root_len || strcmp(root, "/") != 0))
		return 0;
	free(m->dir);
	free(m->root);
	m->dir = strdup(dir);
	m->root = strdup(strcmp(root, "/") != 0 ? root : "");
	if (!m->dir || !m->root)
		return -ENOMEM;
	m->root_len = strlen(m->root);
	return 0;
}

/* "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu" */
static int mount_line(struct kp_resolve *r, char *line)
{
	char *p = line, *root, *dir, *f, *type, *opts;
	uint8_t bits;
	int rc = 0;

	field(&p);
	field(&p);
	field(&p);
	root = field(&p);
	dir = field(&p);
	while ((f = field(&p)) && strcmp(f, "-") != 0)
		;
	type = field(&p);
	field(&p);
	opts = field(&p);
	if (!type || !opts)
		return 0;
	bits = !strcmp(type, "cgroup2") ? 1 << KP_CG_UNIFIED : !strcmp(type, "cgroup") ? rs_controllers(opts, strlen(opts)) : 0;
	for (int i = 0; i < KP_CG_MAX && !rc; i++)
		if (bits & 1 << i)
			rc = set_mount(r, i, dir, root);
	return rc;
}

static int read_mounts(struct kp_resolve *r)
{
	FILE *f;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int rc = 0, fd = openat(r->proc, "self/mountinfo", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while (!rc && (n = getline(&line, &cap, f)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		rc = mount_line(r, line);
	}
	free(line);
	fclose(f);
	return rc;
}

/* ---- which groups ---- */

int rs_poll_new(struct kp_resolve *r)
{
	r->group = calloc(RS_GROUPS, sizeof(*r->group));
	r->group_hash = calloc(HASH, sizeof(*r->group_hash));
	if (!r->group || !r->group_hash)
		return -ENOMEM;
	return read_mounts(r);
}

void rs_poll_free(struct kp_resolve *r)
{
	for (int i = 0; i < KP_CG_MAX; i++) {
		free(r->mount[i].dir);
		free(r->mount[i].root);
	}
	free(r->group);
	free(r->group_hash);
}

static uint16_t *hash_slot(struct kp_resolve *r, const struct kp_str *path, uint8_t which)
{
	uint32_t h = rs_mix((uintptr_t)path, which) & (HASH - 1);

	for (; r->group_hash[h]; h = (h + 1) & (HASH - 1)) {
		const struct rs_group *g = &r->group[r->group_hash[h] - 1];

		if (g->path == path && g->which == which)
			break;
	}
	return &r->group_hash[h];
}

static void rehash(struct kp_resolve *r)
{
	memset(r->group_hash, 0, HASH * sizeof(*r->group_hash));
	for (uint32_t i = 0; i < r->ngroup; i++)
		*hash_slot(r, r->group[i].path, r->group[i].which) = i + 1;
}

/* A group and, since their limits hold for it too, all above it but the root, which has none. */
static void note(struct kp_resolve *r, const struct kp_str *path, uint8_t which)
{
	while (path && path->len > 1 && path->p[0] == '/') {
		uint16_t *slot = hash_slot(r, path, which);
		const char *slash;

		if (*slot || r->ngroup == RS_GROUPS)
			return;	/* then those above are there, too */
		r->group[r->ngroup] = (struct rs_group){ .path = path, .which = which };
		*slot = ++r->ngroup;
		slash = memrchr(path->p, '/', path->len);
		path = kp_pool_str(r->pool, path->p, slash - path->p);
	}
}

void rs_poll_note(struct kp_resolve *r, const struct kp_task *t)
{
	note(r, t->cgroup[KP_CG_MEMORY], KP_CG_MEMORY);
	note(r, t->cgroup[KP_CG_CPU], KP_CG_CPU);
	note(r, t->cgroup[KP_CG_UNIFIED], KP_CG_UNIFIED);
}

int rs_poll_move(struct kp_resolve *r)
{
	uint32_t k = 0, n = r->ngroup;

	for (uint32_t i = 0; i < n; i++) {
		const struct kp_str *s = kp_pool_str(r->pool, r->group[i].path->p, r->group[i].path->len);

		if (!s)
			continue;
		r->group[k] = r->group[i];
		r->group[k++].path = s;
	}
	r->ngroup = k;
	rehash(r);
	return k == n ? 0 : -ENOMEM;
}

/* ---- reading ---- */

static const struct rs_mount *mount_of(const struct kp_resolve *r, uint8_t which)
{
	return &r->mount[r->v2[which] ? KP_CG_UNIFIED : which];
}

/* A file of a group: its length, or -errno. */
static ssize_t group_file(struct kp_resolve *r, const struct rs_group *g, const char *name, char *buf, size_t cap)
{
	const struct rs_mount *m = mount_of(r, g->which);
	const struct kp_str *p = g->path;
	char path[2 * RS_PATH];
	int n;

	if (!m->dir || p->len < m->root_len || memcmp(p->p, m->root, m->root_len) != 0 || memchr(p->p, 0, p->len) ||
	    (p->len > 3 && !memcmp(p->p, "/../", 4)))
		return -EXDEV;	/* not to be seen from here */
	n = snprintf(path, sizeof(path), "%s%s/%s", m->dir, p->p + m->root_len, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return rs_read_at(AT_FDCWD, path, buf, cap);
}

/* The number in a file; UINT64_MAX for "max" and -1, none for a file that is not there. */
static uint64_t group_u64(struct kp_resolve *r, const struct rs_group *g, const char *name, uint64_t none)
{
	char buf[64];

	if (group_file(r, g, name, buf, sizeof(buf)) <= 0)
		return none;
	return *buf == 'm' || *buf == '-' ? UINT64_MAX : strtoull(buf, NULL, 10);
}

/* "name 12" at the beginning of a line */
static uint64_t stat_field(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; (p = strstr(p, name)); p += n)
		if ((p == text || p[-1] == '\n') && p[n] == ' ')
			return strtoull(p + n + 1, NULL, 10);
	return 0;
}

static bool apart(uint64_t a, uint64_t b, uint64_t least)
{
	return a > b ? a - b >= least : b - a >= least;
}

/* memory.high holds tasks back before memory.max does: the lower one is the limit that is felt. */
static int read_memory(struct kp_resolve *r, const struct rs_group *g, uint64_t v[VALUES])
{
	char buf[1024];

	if (r->v2[KP_CG_MEMORY]) {
		uint64_t max = group_u64(r, g, "memory.max", UINT64_MAX), high = group_u64(r, g, "memory.high", UINT64_MAX);

		v[0] = max < high ? max : high;
		if (group_file(r, g, "memory.current", buf, sizeof(buf)) <= 0)
			return -ENOENT;
		v[1] = strtoull(buf, NULL, 10);
		if (group_file(r, g, "memory.events", buf, sizeof(buf)) > 0)
			v[2] = stat_field(buf, "max") + stat_field(buf, "high");
	} else {
		v[0] = group_u64(r, g, "memory.limit_in_bytes", UINT64_MAX);
		if (group_file(r, g, "memory.usage_in_bytes", buf, sizeof(buf)) <= 0)
			return -ENOENT;
		v[1] = strtoull(buf, NULL, 10);
		v[2] = group_u64(r, g, "memory.failcnt", 0);
	}
	if (v[0] >= NO_LIMIT)
		v[0] = 0;
	return 0;
}

/* Use changes all the time: it is told when it moved by a percent or so. */
static bool memory_news(const uint64_t *v, const uint64_t *old)
{
	uint64_t of = v[0] ? v[0] : v[1];

	return v[0] != old[0] || v[2] != old[2] || apart(v[1], old[1], of / 64 + (1 << 20));
}

static int read_cpu(struct kp_resolve *r, const struct rs_group *g, uint64_t v[VALUES])
{
	char buf[4096];
	bool v2 = r->v2[KP_CG_CPU];
	unsigned long long quota = 0, period = 0;

	if (group_file(r, g, v2 ? "cpu.max" : "cpu.cfs_quota_us", buf, sizeof(buf)) <= 0)
		return -ENOENT;
	if (v2)
		v[0] = sscanf(buf, "%llu %llu", &quota, &period) == 2 ? quota * 1000 : 0;
	else
		v[0] = *buf == '-' ? 0 : strtoull(buf, NULL, 10) * 1000;
	if (!v[0])
		return 0;	/* without a quota nothing is throttled, and cpu.stat may be dear to read */
	v[1] = v2 ? period * 1000 : group_u64(r, g, "cpu.cfs_period_us", 0) * 1000;
	if (group_file(r, g, "cpu.stat", buf, sizeof(buf)) > 0) {
		v[2] = stat_field(buf, "nr_throttled");
		v[3] = v2 ? stat_field(buf, "throttled_usec") * 1000 : stat_field(buf, "throttled_time");
	}
	return 0;
}

static bool cpu_news(const uint64_t *v, const uint64_t *old)
{
	return memcmp(v, old, 4 * sizeof(*v)) != 0;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123456\nfull ...", in us; full may be missing. */
static void pressure(const char *text, uint64_t *some, uint64_t *full)
{
	const char *s = strstr(text, "some "), *f = strstr(text, "full "), *t;

	if (s && some && (t = strstr(s, "total=")))
		*some = strtoull(t + 6, NULL, 10) * 1000;
	if (f && full && (t = strstr(f, "total=")))
		*full = strtoull(t + 6, NULL, 10) * 1000;
}

static int read_pressure(struct kp_resolve *r, const struct rs_group *g, uint64_t v[VALUES])
{
	static const char *const name[3] = { "cpu", "memory", "io" };
	uint64_t *const some[3] = { &v[0], &v[1], &v[3] }, *const full[3] = { NULL, &v[2], &v[4] };
	char buf[512], file[32];
	int seen = 0;

	for (int i = 0; i < 3; i++) {
		ssize_t n;

		snprintf(file, sizeof(file), "%s%s%s", g->path ? "" : "pressure/", name[i], g->path ? ".pressure" : "");
		n = g->path ? group_file(r, g, file, buf, sizeof(buf)) : rs_read(r, buf, sizeof(buf), "%s", file);
		if (n > 0) {
			pressure(buf, some[i], full[i]);
			seen++;
		}
	}
	return seen ? 0 : -ENOENT;
}

static bool pressure_news(const uint64_t *v, const uint64_t *old)
{
	for (int i = 0; i < VALUES; i++)
		if (apart(v[i], old[i], RS_MS))
			return true;
	return false;
}

/* ---- rows ---- */

static const struct poll_kind {
	uint16_t kind;
	int (*read)(struct kp_resolve *r, const struct rs_group *g, uint64_t v[VALUES]);
	bool (*news)(const uint64_t *v, const uint64_t *old);
} kinds[KP_CG_MAX] = {
	[KP_CG_MEMORY] = { KP_K_CG_LIMIT, read_memory, memory_news },
	[KP_CG_CPU] = { KP_K_CG_CPU, read_cpu, cpu_news },
	[KP_CG_UNIFIED] = { KP_K_CG_PRESSURE, read_pressure, pressure_news },
};

/* 1: the group is gone, or has no such files; else 0 or what emit says. */
static int poll_group(struct kp_resolve *r, struct rs_group *g, uint64_t now, kp_resolve_emit emit, void *arg)
{
	const struct poll_kind *k = &kinds[g->which];
	struct kp_row row = { .kind = k->kind, .end = now };
	uint64_t v[VALUES] = { 0 };

	if (k->read(r, g, v))
		return 1;
	/* no quota, and there was none: nothing to tell */
	if (g->said ? !k->news(v, g->last) : g->which == KP_CG_CPU && !v[0])
		return 0;
	g->said = true;
	memcpy(g->last, v, sizeof(v));
	memcpy(row.a, v, sizeof(v));
	row.obj = g->path ? kp_pool_obj(r->pool, &(struct kp_obj){ .type = KP_OBJ_CGROUP, .name = g->path }) : NULL;
	return emit(arg, &row);
}

int kp_resolve_poll(struct kp_resolve *r, uint64_t now, kp_resolve_emit emit, void *arg)
{
	uint64_t begun = kp_now_mono();
	bool gone = false;
	int rc;

	r->now = now > r->now ? now : r->now;
	r->host.which = KP_CG_UNIFIED;
	rc = poll_group(r, &r->host, now, emit, arg);
	/* an allowance of its own: limits must be known also when everything else is busy */
	for (uint32_t n = r->ngroup; n-- && rc >= 0 && kp_now_mono() - begun < r->o.budget / 2;) {
		uint32_t i = r->poll_next++ % r->ngroup;

		rc = poll_group(r, &r->group[i], now, emit, arg);
		r->st.proc_reads++;
		if (rc == 1) {	/* a task that is seen there again brings it back */
			r->group[i].path = NULL;
			gone = true;
		}
	}
	r->st.proc_ns += kp_now_mono() - begun;
	if (gone) {
		uint32_t k = 0;

		for (uint32_t i = 0; i < r->ngroup; i++)
			if (r->group[i].path)
				r->group[k++] = r->group[i];
		r->ngroup = k;
		rehash(r);
	}
	return rc < 0 ? rc : 0;
}
