/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interning: one open-addressed table for all types of value, and an arena for
 * what they hold. A value is compared as a fixed head and a body of bytes:
 * members that are pointers are interned already, so equal bytes are equal
 * content, as long as padding is always zero.
 */
#include <kp/pool.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define ARENA (64 * 1024)

enum type { STR, TASK, OBJ, STACK };

struct slot {
	uint64_t hash;
	const void *p;
	uint32_t len;
	uint32_t type;
};

struct arena {
	struct arena *next;
	size_t used, cap;
	char mem[] __attribute__((aligned(16)));
};

struct kp_pool {
	struct slot *slots;
	uint32_t cap, n;
	struct arena *arena;
	size_t bytes;
};

int kp_pool_new(struct kp_pool **out)
{
	struct kp_pool *p = calloc(1, sizeof(*p));

	*out = NULL;
	if (!p)
		return -ENOMEM;
	p->cap = 1024;
	p->slots = calloc(p->cap, sizeof(*p->slots));
	if (!p->slots) {
		free(p);
		return -ENOMEM;
	}
	p->bytes = sizeof(*p) + p->cap * sizeof(*p->slots);
	*out = p;
	return 0;
}

void kp_pool_free(struct kp_pool *p)
{
	if (!p)
		return;
	while (p->arena) {
		struct arena *a = p->arena;

		p->arena = a->next;
		free(a);
	}
	free(p->slots);
	free(p);
}

size_t kp_pool_bytes(const struct kp_pool *p)
{
	return p->bytes;
}

static void *arena_get(struct kp_pool *p, size_t n)
{
	struct arena *a = p->arena;
	size_t cap;

	n = (n + 7) & ~(size_t)7;
	if (!a || a->cap - a->used < n) {
		cap = n > ARENA / 4 ? n : ARENA;
		a = malloc(sizeof(*a) + cap);
		if (!a)
			return NULL;
		a->used = 0;
		a->cap = cap;
		p->bytes += sizeof(*a) + cap;
		/* a big value gets an arena of its own, behind the one that still has room */
		if (cap == n && p->arena) {
			a->next = p->arena->next;
			p->arena->next = a;
		} else {
			a->next = p->arena;
			p->arena = a;
		}
	}
	a->used += n;
	return a->mem + a->used - n;
}

static int grow(struct kp_pool *p)
{
	uint32_t cap = p->cap * 2;
	struct slot *s = calloc(cap, sizeof(*s));

	if (!s)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->cap; i++) {
		uint32_t h = p->slots[i].hash & (cap - 1);

		if (!p->slots[i].p)
			continue;
		while (s[h].p)
			h = (h + 1) & (cap - 1);
		s[h] = p->slots[i];
	}
	free(p->slots);
	p->slots = s;
	p->bytes += (cap - p->cap) * sizeof(*s);
	p->cap = cap;
	return 0;
}

static const void *intern(struct kp_pool *p, enum type type, const void *head, uint32_t hlen, const void *body, uint32_t blen)
{
	uint64_t hash = kp_hash(body, blen, kp_hash(head, hlen, type));
	uint32_t h = hash & (p->cap - 1);
	char *m;

	for (; p->slots[h].p; h = (h + 1) & (p->cap - 1)) {
		const struct slot *s = &p->slots[h];

		if (s->hash == hash && s->type == type && s->len == blen && !memcmp(s->p, head, hlen) &&
		    (!blen || !memcmp((const char *)s->p + hlen, body, blen)))
			return s->p;
	}
	if (p->n * 4ull >= p->cap * 3ull) {
		if (grow(p))
			return NULL;
		h = hash & (p->cap - 1);
		while (p->slots[h].p)
			h = (h + 1) & (p->cap - 1);
	}
	m = arena_get(p, (size_t)hlen + blen + 1);
	if (!m)
		return NULL;
	memcpy(m, head, hlen);
	if (blen)
		memcpy(m + hlen, body, blen);
	m[(size_t)hlen + blen] = 0;
	p->slots[h] = (struct slot){ hash, m, blen, type };
	p->n++;
	return m;
}

const struct kp_str *kp_pool_str(struct kp_pool *p, const void *bytes, size_t len)
{
	uint32_t n = len;

	if (len > UINT32_MAX / 2)
		return NULL;
	return intern(p, STR, &n, sizeof(n), bytes, n);
}

const struct kp_str *kp_pool_cstr(struct kp_pool *p, const char *s)
{
	return kp_pool_str(p, s, strlen(s));
}

const struct kp_task *kp_pool_task(struct kp_pool *p, const struct kp_task *t)
{
	struct kp_task c;

	memset(&c, 0, sizeof(c));
	c.tid = t->tid;
	c.tgid = t->tgid;
	c.start = t->start;
	c.ns_tid = t->ns_tid;
	c.ns_tgid = t->ns_tgid;
	c.comm = t->comm;
	c.exe = t->exe;
	for (int i = 0; i < KP_CG_MAX; i++)
		c.cgroup[i] = t->cgroup[i];
	c.kthread = t->kthread;
	return intern(p, TASK, &c, sizeof(c), NULL, 0);
}

const struct kp_obj *kp_pool_obj(struct kp_pool *p, const struct kp_obj *o)
{
	struct kp_obj c;

	memset(&c, 0, sizeof(c));
	c.type = o->type;
	c.family = o->family;
	c.proto = o->proto;
	c.lport = o->lport;
	c.rport = o->rport;
	memcpy(c.laddr, o->laddr, sizeof(c.laddr));
	memcpy(c.raddr, o->raddr, sizeof(c.raddr));
	c.dev = o->dev;
	c.id = o->id;
	c.name = o->name;
	return intern(p, OBJ, &c, sizeof(c), NULL, 0);
}

const struct kp_stack *kp_pool_stack(struct kp_pool *p, const struct kp_str *const *frames, uint32_t n)
{
	struct kp_stack head;

	if (n > UINT16_MAX)
		return NULL;
	memset(&head, 0, sizeof(head));
	head.n = n;
	return intern(p, STACK, &head, sizeof(head), frames, n * sizeof(*frames));
}

static int adopt_str(struct kp_pool *p, const struct kp_str **s)
{
	if (*s && !(*s = kp_pool_str(p, (*s)->p, (*s)->len)))
		return -ENOMEM;
	return 0;
}

static int adopt_task(struct kp_pool *p, const struct kp_task **t)
{
	struct kp_task c;

	if (!*t)
		return 0;
	c = **t;
	if (adopt_str(p, &c.comm) || adopt_str(p, &c.exe))
		return -ENOMEM;
	for (int i = 0; i < KP_CG_MAX; i++)
		if (adopt_str(p, &c.cgroup[i]))
			return -ENOMEM;
	*t = kp_pool_task(p, &c);
	return *t ? 0 : -ENOMEM;
}

static int adopt_stack(struct kp_pool *p, const struct kp_stack **s)
{
	const struct kp_str **f;
	const struct kp_stack *old = *s;
	int rc = -ENOMEM;

	if (!old)
		return 0;
	f = malloc((old->n + 1) * sizeof(*f));
	if (!f)
		return -ENOMEM;
	for (uint32_t i = 0; i < old->n; i++) {
		f[i] = old->frame[i];
		if (adopt_str(p, &f[i]))
			goto out;
	}
	*s = kp_pool_stack(p, f, old->n);
	rc = *s ? 0 : -ENOMEM;
out:
	free(f);
	return rc;
}

int kp_pool_adopt(struct kp_pool *p, struct kp_row *row)
{
	if (adopt_task(p, &row->task) || adopt_task(p, &row->peer) || adopt_stack(p, &row->stack) || adopt_stack(p, &row->stack2))
		return -ENOMEM;
	if (row->obj) {
		struct kp_obj o = *row->obj;

		if (adopt_str(p, &o.name) || !(row->obj = kp_pool_obj(p, &o)))
			return -ENOMEM;
	}
	for (int i = 0; i < KP_CTX_MAX; i++)
		if (adopt_str(p, &row->ctx[i]))
			return -ENOMEM;
	return 0;
}
