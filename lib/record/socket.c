/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets: by inode, with the addresses that messages and state changes have
 * shown, and by their addresses, for while a connection has no inode: before
 * accept and after close. What was connected before us is in /proc/net.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/event.h>

#include "resolve_int.h"

enum { AGAIN = 10 /* s: between two looks at one network namespace */, LINE = 1024 };

/* ---- by address ---- */

/* IPv4 over an IPv6 socket is the same connection as seen from an IPv4 socket at the other end. */
static bool unmap(uint8_t a[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, none[16];

	if (!memcmp(a, none, 16))
		return true;
	if (memcmp(a, mapped, 12) != 0)
		return false;
	memmove(a, a + 12, 4);
	memset(a + 4, 0, 12);
	return true;
}

static void canonical(struct kp_obj *o)
{
	static const uint8_t none[16];
	uint8_t l[16], r[16];

	if (o->family != AF_INET6 || (!memcmp(o->laddr, none, 16) && !memcmp(o->raddr, none, 16)))
		return;
	memcpy(l, o->laddr, 16);
	memcpy(r, o->raddr, 16);
	if (!unmap(l) || !unmap(r))
		return;
	o->family = AF_INET;
	memcpy(o->laddr, l, 16);
	memcpy(o->raddr, r, 16);
}

static bool is_inet(const struct kp_obj *o)
{
	return o->family == AF_INET || o->family == AF_INET6;
}

static bool same_ends(const struct kp_obj *a, const struct kp_obj *b)
{
	return a->family == b->family && a->proto == b->proto && a->lport == b->lport && a->rport == b->rport &&
	       !memcmp(a->laddr, b->laddr, 16) && !memcmp(a->raddr, b->raddr, 16);
}

/* Not the whole address, but what is found is compared with it. */
static uint64_t tuple_key(const struct kp_obj *o)
{
	uint64_t w[4];

	memcpy(w, o->laddr, 16);
	memcpy(w + 2, o->raddr, 16);
	return rs_mix(rs_mix(w[0], w[1]), rs_mix(w[2], w[3]));
}

static uint32_t tuple_key2(const struct kp_obj *o)
{
	return ((uint32_t)o->lport << 16 | o->rport) ^ (uint32_t)o->proto << 8;
}

static const struct kp_obj *by_tuple(struct kp_resolve *r, const struct kp_obj *o)
{
	struct rs_ent *e = rs_cache_get(&r->tuples, tuple_key(o), tuple_key2(o));

	return e && same_ends(e->o, o) ? e->o : NULL;
}

static const struct kp_obj *learn(struct kp_resolve *r, const struct kp_obj *o)
{
	const struct kp_obj *p = kp_pool_obj(r->pool, o);

	if (!p)
		return NULL;
	if (o->id)
		rs_cache_put(&r->socks, o->id, o->dev, p);
	if (is_inet(o) && o->rport)
		rs_cache_put(&r->tuples, tuple_key(o), tuple_key2(o), p);
	return p;
}

static struct kp_obj obj_of(const struct ev_sock *s)
{
	struct kp_obj o = {
		.type = KP_OBJ_SOCKET, .family = s->family, .proto = s->proto, .lport = s->lport, .rport = s->rport,
		.dev = s->dev, .id = s->ino,
	};

	memcpy(o.laddr, s->laddr, 16);
	memcpy(o.raddr, s->raddr, 16);
	canonical(&o);
	return o;
}

/* A connection that ends has given its port back before its last row: it is known from before. */
static void old_port(struct kp_resolve *r, struct kp_obj *o)
{
	const struct rs_ent *e = o->id && !o->lport && o->rport ? rs_cache_get(&r->socks, o->id, o->dev) : NULL;
	struct kp_obj with = *o;

	if (!e)
		return;
	with.lport = e->o->lport;
	if (same_ends(&with, e->o))
		*o = with;
}

const struct kp_obj *kp_resolve_sock(struct kp_resolve *r, const struct ev_sock *s)
{
	struct kp_obj o = obj_of(s);
	const struct kp_obj *known;
	struct rs_ent *e;

	if (!s->ino) {
		known = is_inet(&o) && o.rport ? by_tuple(r, &o) : NULL;
		return known ? known : learn(r, &o);
	}
	old_port(r, &o);
	e = rs_cache_get(&r->socks, s->ino, s->dev);
	if (e && same_ends(e->o, &o))
		return e->o;
	/* a Unix socket's path only /proc/net told */
	if (e && e->o->name && e->o->family == o.family)
		o.name = e->o->name;
	return learn(r, &o);
}

void kp_resolve_sock_closed(struct kp_resolve *r, const struct ev_sock *s)
{
	struct kp_obj o = obj_of(s), none;
	const struct kp_obj *known;

	old_port(r, &o);
	known = by_tuple(r, &o);
	if (!known || !known->id || (s->ino && known->id != s->ino))
		return;
	none = o;
	none.id = 0;
	learn(r, &none);
}

/* ---- /proc/net ---- */

/* Addresses there are 32-bit words of the host's byte order. */
static const char *hex_addr(const char *p, uint8_t out[16], uint32_t words, uint16_t *port)
{
	unsigned v;
	int n;

	memset(out, 0, 16);
	for (uint32_t i = 0; i < words; i++, p += 8) {
		uint32_t w;

		if (sscanf(p, "%8x", &v) != 1 || strnlen(p, 8) < 8)
			return NULL;
		w = v;
		memcpy(out + 4 * i, &w, 4);
	}
	if (sscanf(p, ":%4x%n", &v, &n) != 1)
		return NULL;
	*port = v;
	return p + n;
}

/* "  0: 0100007F:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 1065 ..." */
static bool inet_line(const char *line, struct kp_obj *o)
{
	uint32_t words = o->family == AF_INET6 ? 4 : 1;
	const char *p = strchr(line, ':');
	unsigned long long ino;

	if (!p || p[1] != ' ')
		return false;
	p = hex_addr(p + 2, o->laddr, words, &o->lport);
	if (!p || *p != ' ')
		return false;
	p = hex_addr(p + 1, o->raddr, words, &o->rport);
	if (!p || sscanf(p, " %*x %*x:%*x %*x:%*x %*x %*u %*u %llu", &ino) != 1)
		return false;
	o->id = ino;
	canonical(o);
	return true;
}

/* "0000000012345678: 00000003 00000000 00010000 0001 01 631 /run/x" */
static bool unix_line(struct kp_resolve *r, const char *line, struct kp_obj *o)
{
	unsigned long long ino;
	int n = 0;

	if (sscanf(line, "%*x: %*x %*x %*x %*x %*x %llu%n", &ino, &n) != 1 || !n)
		return false;
	o->id = ino;
	line += n;
	o->name = *line == ' ' && line[1] ? kp_pool_cstr(r->pool, line + 1) : NULL;
	return true;
}

static void sock_line(struct kp_resolve *r, const char *line, uint8_t family, uint8_t proto)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = family, .proto = proto, .dev = r->sockfs };
	const struct rs_ent *e;

	if (!(family == AF_UNIX ? unix_line(r, line, &o) : inet_line(line, &o)) || !o.id)
		return;
	/* what was seen itself is newer */
	e = rs_cache_get(&r->socks, o.id, o.dev);
	if (!e || e->retry || (o.name && !e->o->name && e->o->family == AF_UNIX))
		learn(r, &o);
}

/* The lines of a file of any length, until the time is up. */
static void scan(struct kp_resolve *r, const char *path, uint8_t family, uint8_t proto, uint64_t until)
{
	int fd = openat(r->proc, path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return;
	while (kp_now_mono() < until && (n = read(fd, r->buf + have, RS_BUF - 1 - have)) > 0) {
		char *p = r->buf, *nl;

		have += n;
		while ((nl = memchr(p, '\n', r->buf + have - p))) {
			*nl = 0;
			sock_line(r, p, family, proto);
			p = nl + 1;
		}
		have -= p - r->buf;
		if (have == RS_BUF - 1)
			have = 0;
		memmove(r->buf, p, have);
	}
	close(fd);
}

static void scan_all(struct kp_resolve *r, uint32_t tgid, uint64_t max_ns)
{
	static const struct { const char *name; uint8_t family, proto; } file[] = {
		{ "unix", AF_UNIX, 0 }, { "tcp", AF_INET, IPPROTO_TCP }, { "tcp6", AF_INET6, IPPROTO_TCP },
		{ "udp", AF_INET, IPPROTO_UDP }, { "udp6", AF_INET6, IPPROTO_UDP },
	};
	uint64_t begun = rs_begin(r);
	char path[64];

	if (!begun)
		return;
	for (size_t i = 0; i < sizeof(file) / sizeof(*file); i++) {
		snprintf(path, sizeof(path), "%u/net/%s", tgid, file[i].name);
		scan(r, path, file[i].family, file[i].proto, begun + max_ns);
	}
	rs_end(r, begun);
}

/* Has the network namespace of a process not been looked at for a while? Then it counts as looked at now. */
static bool due(struct kp_resolve *r, uint32_t tgid)
{
	uint64_t begun = rs_begin(r), ino, now = kp_now_mono();
	char link[64];
	size_t oldest = 0;
	ssize_t n;

	if (!begun)
		return false;
	n = rs_link(r, link, sizeof(link), "%u/ns/net", tgid);
	rs_end(r, begun);
	if (n < 6)
		return false;
	ino = strtoull(link + 5, NULL, 10);	/* "net:[4026531840]" */
	for (size_t i = 0; i < RS_NETNS; i++) {
		if (r->netns[i].ino == ino) {
			oldest = i;
			break;
		}
		if (r->netns[i].when < r->netns[oldest].when)
			oldest = i;
	}
	if (r->netns[oldest].ino == ino && now - r->netns[oldest].when < AGAIN * RS_SEC)
		return false;
	r->netns[oldest].ino = ino;
	r->netns[oldest].when = now;
	return true;
}

void kp_resolve_sock_preload(struct kp_resolve *r)
{
	uint32_t self = getpid();

	if (due(r, self))
		scan_all(r, self, r->o.burst / 2);
}

const struct kp_obj *rs_sock_by_ino(struct kp_resolve *r, uint32_t dev, uint64_t ino, uint32_t tgid)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .dev = dev, .id = ino };
	struct rs_ent *e = rs_cache_get(&r->socks, ino, dev);
	uint32_t now = r->now / RS_SEC;
	const struct kp_obj *p;

	if (e && (!e->retry || e->retry > now))
		return e->o;
	if (tgid && due(r, tgid)) {
		scan_all(r, tgid, r->o.budget * 2);
		e = rs_cache_get(&r->socks, ino, dev);
		if (e && !e->retry)
			return e->o;
	}
	p = kp_pool_obj(r->pool, &o);
	e = rs_cache_put(&r->socks, ino, dev, p);
	if (e)
		e->retry = now + AGAIN;
	return p;
}
