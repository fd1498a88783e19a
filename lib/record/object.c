/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files and other objects. What (device, inode) is called is learned from the
 * calls that open it; for what was open before, /proc/PID/fd tells, where the
 * same inode must still be behind the descriptor. Answers are kept, also "no
 * name", in sets of a few entries of which the least recently used goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resolve_int.h"

enum { AGAIN = 10 /* s: when to look for a name again */, PERMS = 07777 };
/* Keys of what has no inode number: those of a file system are far below. */
#define KEY_DEVICE (~0ull)

/* ---- the tables ---- */

int rs_cache_new(struct rs_cache *c, uint32_t entries)
{
	uint32_t sets = 1;

	while (sets * RS_WAYS < entries && sets < 1u << 24)
		sets *= 2;
	c->e = calloc((size_t)sets * RS_WAYS, sizeof(*c->e));
	c->sets = sets;
	return c->e ? 0 : -ENOMEM;
}

static struct rs_ent *set_of(const struct rs_cache *c, uint64_t k1, uint32_t k2)
{
	return &c->e[(rs_mix(k1, k2) & (c->sets - 1)) * RS_WAYS];
}

static struct rs_ent *to_front(struct rs_ent *set, int i)
{
	struct rs_ent e = set[i];

	memmove(set + 1, set, i * sizeof(*set));
	set[0] = e;
	return set;
}

struct rs_ent *rs_cache_get(struct rs_cache *c, uint64_t k1, uint32_t k2)
{
	struct rs_ent *set = set_of(c, k1, k2);

	for (int i = 0; i < RS_WAYS && set[i].o; i++)
		if (set[i].k1 == k1 && set[i].k2 == k2)
			return i ? to_front(set, i) : set;
	return NULL;
}

struct rs_ent *rs_cache_put(struct rs_cache *c, uint64_t k1, uint32_t k2, const struct kp_obj *o)
{
	struct rs_ent *set = set_of(c, k1, k2);
	int i = 0;

	if (!o)
		return NULL;
	while (i < RS_WAYS - 1 && set[i].o && (set[i].k1 != k1 || set[i].k2 != k2))
		i++;
	c->n += !set[i].o;
	set[i] = (struct rs_ent){ k1, k2, 0, o };
	return to_front(set, i);
}

/* What cannot be interned is forgotten, and what stands behind it closes up. */
int rs_cache_move(struct kp_resolve *r, struct rs_cache *c)
{
	int rc = 0;

	c->n = 0;
	for (uint32_t s = 0; s < c->sets; s++) {
		struct rs_ent *set = &c->e[(size_t)s * RS_WAYS];
		int k = 0;

		for (int i = 0; i < RS_WAYS && set[i].o; i++) {
			struct kp_row row = { .obj = set[i].o };

			if (kp_pool_adopt(r->pool, &row)) {
				rc = -ENOMEM;
				continue;
			}
			set[k] = set[i];
			set[k++].o = row.obj;
		}
		c->n += k;
		memset(set + k, 0, (RS_WAYS - k) * sizeof(*set));
	}
	return rc;
}

/* ---- names from /proc ---- */

/*
 * Without asking the file system itself (a dead NFS server would hold us up): the attributes that the kernel has.
 * Where stat shows other numbers than the kernel uses (btrfs, overlayfs), fdinfo has the inode's own.
 */
static bool is_inode(struct kp_resolve *r, uint32_t dev, uint64_t ino, uint32_t tgid, int fd)
{
	char path[64], info[512], *p;
	struct statx st;

	snprintf(path, sizeof(path), "%u/fd/%d", tgid, fd);
	if (statx(r->proc, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &st))
		return false;
	if (st.stx_ino == ino && rs_dev(st.stx_dev_major, st.stx_dev_minor) == dev)
		return true;
	if (st.stx_dev_major || dev >> 20)
		return false;
	if (rs_read(r, info, sizeof(info), "%u/fdinfo/%d", tgid, fd) < 0)
		return false;
	p = strstr(info, "\nino:");
	return p && strtoull(p + 5, NULL, 10) == ino;
}

ssize_t rs_fd_name(struct kp_resolve *r, uint32_t dev, uint64_t ino, uint32_t tgid, int fd, char *buf, size_t cap)
{
	uint64_t begun = rs_begin(r);
	ssize_t n;

	if (!begun)
		return -EAGAIN;
	n = rs_link(r, buf, cap, "%u/fd/%d", tgid, fd);
	if (n >= 0 && !is_inode(r, dev, ino, tgid, fd))
		n = -ENOENT;
	rs_end(r, begun);
	return n;
}

/* ---- files ---- */

/* Newer kernels give anonymous inodes the type of a regular file inside, and hide it from stat. */
uint8_t rs_type(const struct kp_resolve *r, uint32_t dev, uint32_t mode)
{
	if (r->anonfs && dev == r->anonfs)
		return KP_OBJ_ANON;
	switch (mode & S_IFMT) {
	case S_IFIFO: return KP_OBJ_PIPE;
	case S_IFSOCK: return KP_OBJ_SOCKET;
	case S_IFCHR: case S_IFBLK: return KP_OBJ_DEVICE;
	case 0: return mode & PERMS ? KP_OBJ_ANON : KP_OBJ_FILE; /* no mode at all: a page's inode */
	default: return KP_OBJ_FILE;
	}
}

static uint32_t seconds(const struct kp_resolve *r) { return r->now / RS_SEC; }

static bool has_name(const struct kp_resolve *r, uint8_t type, uint32_t dev)
{
	return type != KP_OBJ_PIPE || dev != r->pipefs;
}

static const struct kp_obj *learn(struct kp_resolve *r, uint64_t k1, uint32_t k2, const struct kp_obj *o, uint32_t retry)
{
	const struct kp_obj *p = kp_pool_obj(r->pool, o);
	struct rs_ent *e = rs_cache_put(&r->files, k1, k2, p);

	if (e)
		e->retry = retry;
	return p;
}

/*
 * One inode serves all eventfds, epolls and so on: what it is only the descriptor tells, and another may have its
 * number soon. So the answer is kept by descriptor, and not for long.
 */
static const struct kp_obj *anon(struct kp_resolve *r, uint32_t dev, uint64_t ino, uint32_t tgid, int fd)
{
	uint64_t k1 = (uint64_t)tgid << 32 | (uint32_t)fd;
	struct kp_obj o = { .type = KP_OBJ_ANON, .dev = dev, .id = ino };
	struct rs_ent *e;
	char name[256];
	ssize_t n;

	if (fd < 0)
		return kp_pool_obj(r->pool, &o);
	e = rs_cache_get(&r->files, k1, ~dev);
	if (e && e->o->id == ino && e->retry > seconds(r))
		return e->o;
	n = rs_fd_name(r, dev, ino, tgid, fd, name, sizeof(name));
	if (n > 0)
		o.name = kp_pool_str(r->pool, name, n);
	return learn(r, k1, ~dev, &o, seconds(r) + (n == -EAGAIN ? 1 : AGAIN));
}

const struct kp_obj *kp_resolve_file(struct kp_resolve *r, uint32_t dev, uint32_t mode, uint64_t ino, uint32_t tgid, int fd)
{
	struct kp_obj o = { .type = rs_type(r, dev, mode), .dev = dev, .id = ino };
	struct rs_ent *e;
	char name[RS_PATH];
	ssize_t n;

	if (o.type == KP_OBJ_SOCKET)
		return rs_sock_by_ino(r, dev, ino, tgid);
	if (o.type == KP_OBJ_ANON)
		return anon(r, dev, ino, tgid, fd);
	e = rs_cache_get(&r->files, ino, dev);
	/* a number that another type of file has now is another file */
	if (e && (e->o->type == o.type || !mode) && (!e->retry || e->retry > seconds(r) || fd < 0))
		return e->o;
	if (!has_name(r, o.type, dev) || fd < 0)
		return kp_pool_obj(r->pool, &o);
	n = rs_fd_name(r, dev, ino, tgid, fd, name, sizeof(name));
	if (n > 0)
		o.name = kp_pool_str(r->pool, name, n);
	else if (e && e->o->type == o.type && e->o->name)
		return e->o;
	return learn(r, ino, dev, &o, n > 0 ? 0 : seconds(r) + (n == -EAGAIN ? 1 : AGAIN));
}

const struct kp_obj *rs_fd_learn(struct kp_resolve *r, uint32_t dev, uint32_t mode, uint64_t ino, uint32_t tgid, int fd,
				 const char *name, size_t len)
{
	struct kp_obj o = { .type = rs_type(r, dev, mode), .dev = dev, .id = ino };
	struct rs_ent *e;

	if (o.type == KP_OBJ_SOCKET)
		return rs_sock_by_ino(r, dev, ino, tgid);
	if (len && has_name(r, o.type, dev))
		o.name = kp_pool_str(r->pool, name, len);
	if (o.type == KP_OBJ_ANON)
		return learn(r, (uint64_t)tgid << 32 | (uint32_t)fd, ~dev, &o, seconds(r) + AGAIN);
	e = rs_cache_get(&r->files, ino, dev);
	if (e && e->o->type == o.type && e->o->name)
		return e->o;	/* the name that it was opened by */
	return o.name ? learn(r, ino, dev, &o, 0) : kp_pool_obj(r->pool, &o);
}

/* Does name end in "/rel"? Then it was opened before, and is the same file under the same name. */
static bool same_tail(const struct kp_str *name, const char *rel, size_t len)
{
	return name && name->len > len && name->p[0] == '/' && name->p[name->len - len - 1] == '/' &&
	       !memcmp(name->p + name->len - len, rel, len);
}

/* The directory that a relative path starts from. */
static ssize_t base_of(struct kp_resolve *r, uint32_t tgid, int dirfd, char *buf, size_t cap)
{
	uint64_t begun = rs_begin(r);
	ssize_t n;

	if (!begun)
		return -EAGAIN;
	n = dirfd == AT_FDCWD ? rs_link(r, buf, cap, "%u/cwd", tgid) : rs_link(r, buf, cap, "%u/fd/%d", tgid, dirfd);
	rs_end(r, begun);
	return n;
}

const struct kp_obj *kp_resolve_opened(struct kp_resolve *r, uint32_t dev, uint32_t mode, uint64_t ino,
				       uint32_t tgid, int dirfd, const void *path, size_t len)
{
	struct kp_obj o = { .type = rs_type(r, dev, mode), .dev = dev, .id = ino };
	const char *rel = path;
	struct rs_ent *e;
	char full[2 * RS_PATH];
	ssize_t n = 0;

	len = path ? strnlen(path, len) : 0;
	if (!len || o.type == KP_OBJ_ANON || o.type == KP_OBJ_SOCKET)
		return kp_resolve_file(r, dev, mode, ino, tgid, -1);
	e = rs_cache_get(&r->files, ino, dev);
	if (e && e->o->type == o.type && e->o->name && e->o->name->len == len && !memcmp(e->o->name->p, rel, len))
		return e->o;
	if (rel[0] == '/') {
		o.name = kp_pool_str(r->pool, rel, len);
		return learn(r, ino, dev, &o, 0);
	}
	while (len > 2 && rel[0] == '.' && rel[1] == '/') {
		rel += 2;
		len -= 2;
	}
	if (e && e->o->type == o.type && same_tail(e->o->name, rel, len))
		return e->o;
	if (len < RS_PATH)
		n = base_of(r, tgid, dirfd, full, RS_PATH);
	if (n <= 0 || full[0] != '/')
		n = 0;
	else if (len == 1 && *rel == '.')
		len = 0;
	else if (n > 1)
		full[n++] = '/';
	if (n)
		memcpy(full + n, rel, len);
	o.name = n ? kp_pool_str(r->pool, full, n + len) : kp_pool_str(r->pool, rel, len);
	return learn(r, ino, dev, &o, 0);
}

/* ---- what has no inode ---- */

const struct kp_obj *kp_resolve_device(struct kp_resolve *r, uint32_t dev)
{
	struct rs_ent *e = rs_cache_get(&r->files, KEY_DEVICE, dev);
	struct kp_obj o = { .type = KP_OBJ_DEVICE, .dev = dev };
	char path[64], link[512], *base;
	ssize_t n = -EAGAIN;
	uint64_t begun;

	if (e && (!e->retry || e->retry > seconds(r)))
		return e->o;
	begun = rs_begin(r);
	if (begun) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", dev >> 20, dev & 0xfffff);
		n = readlink(path, link, sizeof(link) - 1);
		rs_end(r, begun);
	}
	if (n > 0) {
		link[n] = 0;
		base = strrchr(link, '/');
		o.name = kp_pool_cstr(r->pool, base ? base + 1 : link);
	}
	return learn(r, KEY_DEVICE, dev, &o, n > 0 ? 0 : seconds(r) + AGAIN);
}

const struct kp_obj *kp_resolve_futex(struct kp_resolve *r, uint32_t tgid, uint64_t addr)
{
	return kp_pool_obj(r->pool, &(struct kp_obj){ .type = KP_OBJ_FUTEX, .dev = tgid, .id = addr });
}

static const struct kp_obj *named(struct kp_resolve *r, uint8_t type, const void *p, size_t len)
{
	struct kp_obj o = { .type = type, .name = kp_pool_str(r->pool, p, strnlen(p, len)) };

	return o.name ? kp_pool_obj(r->pool, &o) : NULL;
}

const struct kp_obj *kp_resolve_cgroup(struct kp_resolve *r, const void *path, size_t len)
{
	return named(r, KP_OBJ_CGROUP, path, len);
}

const struct kp_obj *kp_resolve_name(struct kp_resolve *r, const void *text, size_t len)
{
	return named(r, KP_OBJ_NAME, text, len);
}
