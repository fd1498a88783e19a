/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections: both ends' messages, and which send delivered what a receive took. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "world.h"

/* A send's row is written when the call returns; the receiver on another CPU may be done before that. */
#define SEND_ROW_LATE (20 * KC_MS)

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

struct end { uint8_t addr[16]; uint16_t port; };

/* One form for an address, whichever family the socket has. */
static struct end end_of(const struct kp_obj *o, bool remote)
{
	const uint8_t *a = remote ? o->raddr : o->laddr;
	struct end e = { .port = remote ? o->rport : o->lport };

	if (o->family == AF_INET6 && !memcmp(a, v4_mapped, sizeof(v4_mapped)))
		memcpy(e.addr, a + 12, 4);
	else
		memcpy(e.addr, a, o->family == AF_INET6 ? 16 : 4);
	return e;
}

static bool is_loopback(const struct end *e)
{
	static const uint8_t one[16] = { [15] = 1 };

	return e->addr[0] == 127 || !memcmp(e->addr, one, sizeof(one));
}

static bool has_tuple(const struct kp_obj *o)
{
	return o->type == KP_OBJ_SOCKET && (o->family == AF_INET || o->family == AF_INET6) && o->rport;
}

/* Puts the smaller end first; returns which end was the local one. */
static int normalise(const struct kp_obj *o, struct kp_obj *key)
{
	struct end l = end_of(o, false), r = end_of(o, true);
	int c = memcmp(l.addr, r.addr, sizeof(l.addr)), side;

	if (!c)
		c = l.port < r.port ? -1 : l.port > r.port;
	side = c > 0;
	*key = (struct kp_obj){ .type = KP_OBJ_SOCKET, .proto = o->proto };
	memcpy(key->laddr, side ? r.addr : l.addr, 16);
	memcpy(key->raddr, side ? l.addr : r.addr, 16);
	key->lport = side ? r.port : l.port;
	key->rport = side ? l.port : r.port;
	return side;
}

uint32_t kc_conn_hash(const struct kp_obj *k, uint32_t host)
{
	uint64_t x = 0xcbf29ce484222325ull ^ host;

	for (int i = 0; i < 16; i++)
		x = (x ^ k->laddr[i] ^ (uint64_t)k->raddr[i] << 8) * 0x100000001b3ull;
	x = (x ^ k->lport ^ (uint64_t)k->rport << 16 ^ k->id << 1) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(x >> 32);
}

bool kc_conn_same(const struct kp_obj *a, const struct kp_obj *b)
{
	return a->lport == b->lport && a->rport == b->rport && a->id == b->id && !memcmp(a->laddr, b->laddr, 16) &&
	       !memcmp(a->raddr, b->raddr, 16);
}

static int conn_rehash(struct kp_world *w)
{
	uint32_t cap = w->conn_hcap ? w->conn_hcap * 2 : 64;
	uint32_t *h = malloc(cap * sizeof(*h));

	if (!h)
		return -ENOMEM;
	memset(h, 0xff, cap * sizeof(*h));
	for (uint32_t i = 0; i < w->nconn; i++) {
		uint32_t k = kc_conn_hash(&w->conn[i].key, w->conn[i].host) & (cap - 1);

		while (h[k] != KC_NONE)
			k = (k + 1) & (cap - 1);
		h[k] = i;
	}
	free(w->conn_hash);
	w->conn_hash = h;
	w->conn_hcap = cap;
	return 0;
}

static uint32_t conn_of(struct kp_world *w, const struct kp_obj *key, uint32_t host)
{
	uint32_t k, i;

	if (w->nconn * 2 >= w->conn_hcap && conn_rehash(w))
		return KC_NONE;
	k = kc_conn_hash(key, host) & (w->conn_hcap - 1);
	for (; (i = w->conn_hash[k]) != KC_NONE; k = (k + 1) & (w->conn_hcap - 1))
		if (w->conn[i].host == host && kc_conn_same(&w->conn[i].key, key))
			return i;
	if (w->nconn == w->cap_conn) {
		struct kc_conn *n = kc_grow(w->conn, &w->cap_conn, sizeof(*n));

		if (!n)
			return KC_NONE;
		w->conn = n;
	}
	w->conn[w->nconn] = (struct kc_conn){ .key = *key, .host = host, .client = -1 };
	w->conn_hash[k] = w->nconn;
	return w->nconn++;
}

void kc_conn_key(const struct kp_obj *o, uint32_t host, struct kp_obj *key, uint32_t *where, uint8_t *side)
{
	struct end a, b;

	if (!has_tuple(o)) {	/* one end is all that is known: Unix sockets */
		*key = (struct kp_obj){ .type = KP_OBJ_SOCKET, .id = o->id };
		*where = host;
		*side = 0;
		return;
	}
	a = end_of(o, false);
	b = end_of(o, true);
	*side = (uint8_t)normalise(o, key);
	*where = is_loopback(&a) || is_loopback(&b) ? host : KC_NONE;
}

int kc_conn_add(struct kp_world *w, uint32_t host, struct kc_ev *e, uint32_t idx)
{
	struct kp_obj key;
	struct kc_conn *c;
	struct kc_list *l;
	uint32_t where;
	int rc = 0;

	if (!e->obj || e->obj->type != KP_OBJ_SOCKET)
		return 0;
	kc_conn_key(e->obj, host, &key, &where, &e->side);
	e->conn = conn_of(w, &key, where);
	if (e->conn == KC_NONE)
		return -ENOMEM;
	c = &w->conn[e->conn];
	switch (e->kind) {
	case KP_K_TCP_SEND: case KP_K_NET_SEND: l = &c->send[e->side]; break;
	case KP_K_TCP_RECV: case KP_K_NET_RECV: l = &c->recv[e->side]; break;
	case KP_K_TCP_CONNECT: c->client = e->side; /* fall through */
	default: l = &c->other;
	}
	if (l != &c->other && e->ret <= 0)
		return 0;
	rc = kc_list_add(l, idx, e->dur);
	if (!rc && e->th != KC_NONE && l != &c->other)
		rc = kc_list_add(&w->th[e->th].msg, idx, e->dur);
	return rc;
}

/* Which end asks? Who connected; else who sent what looks like a request; else who has the port of a passing guest. */
void kc_conn_roles(struct kp_world *w)
{
	for (uint32_t i = 0; i < w->nconn; i++) {
		struct kc_conn *c = &w->conn[i];

		for (int s = 0; s < 2 && c->client < 0; s++)
			for (uint32_t k = 0; k < c->send[s].n && k < 8 && c->client < 0; k++) {
				uint8_t m = w->ev[c->send[s].v[k]].msg;

				if (m == 1)
					c->client = s;
				else if (m == 2)
					c->client = !s;
			}
		if (c->client < 0 && c->key.lport && (c->key.lport < 32768) != (c->key.rport < 32768))
			c->client = c->key.lport < 32768;
	}
}

static bool covers(const struct kc_ev *s, const struct kc_ev *r)
{
	uint32_t end = (uint32_t)s->a[0], at = (uint32_t)r->a[0];

	return (int32_t)(end - at) >= 0 && (int32_t)(end - (uint32_t)s->ret - at) < 0;
}

const struct kc_ev *kc_sent_for(const struct kp_world *w, const struct kc_ev *r)
{
	const struct kc_list *l;
	uint32_t k;

	if (r->conn == KC_NONE)
		return NULL;
	l = &w->conn[r->conn].send[!r->side];
	k = kc_list_from(w, l, r->t + SEND_ROW_LATE);
	while (k--) {
		const struct kc_ev *s = &w->ev[l->v[k]];

		if (r->kind == KP_K_NET_RECV) {	/* datagrams and Unix sockets have no position */
			if (kc_start(s) <= r->t)
				return s;
			continue;
		}
		if (covers(s, r))
			return s;
		if ((int32_t)((uint32_t)s->a[0] - (uint32_t)r->a[0]) < 0)
			break;
	}
	return NULL;
}

const struct kc_ev *kc_call_of(const struct kp_world *w, const struct kc_ev *answer)
{
	const struct kc_conn *c;
	const struct kc_ev *r, *s;

	if (answer->conn == KC_NONE)
		return NULL;
	c = &w->conn[answer->conn];
	r = kc_last(w, &c->recv[answer->side], answer->t);
	s = r ? kc_sent_for(w, r) : NULL;
	return s ? s : kc_last(w, &c->send[!answer->side], answer->t);
}

const struct kc_ev *kc_outstanding(const struct kp_world *w, uint32_t th, uint64_t t, uint64_t since)
{
	const struct kc_list *l = &w->th[th].msg;
	uint32_t k = kc_list_from(w, l, t + 1);

	while (k--) {
		const struct kc_ev *e = &w->ev[l->v[k]], *r;
		const struct kc_conn *c = &w->conn[e->conn];

		if (e->t < since)
			break;
		if ((e->kind != KP_K_TCP_SEND && e->kind != KP_K_NET_SEND) || e->msg == 2 || c->client == !e->side)
			continue;
		if (e->request && w->target.request && e->request != w->target.request)
			continue;	/* for another request */
		r = kc_last(w, &c->recv[e->side], t);
		if (!r || r->t < e->t)
			return e;
	}
	return NULL;
}

const struct kc_ev *kc_answer_after(const struct kp_world *w, const struct kc_ev *call, uint64_t t)
{
	const struct kc_conn *c = &w->conn[call->conn];
	const struct kc_ev *a = kc_next(w, &c->send[!call->side], t), *next, *last;

	if (!a)
		return NULL;
	/* to the end of this answer: before the other end read the next question */
	next = kc_next(w, &c->recv[!call->side], a->t + 1);
	last = kc_last(w, &c->send[!call->side], next ? next->t : a->t + 100 * KC_MS);
	return last && last->t > a->t ? last : a;
}

const struct kp_str *kc_asked(const struct kp_world *w, const struct kc_ev *call)
{
	const struct kc_conn *c = &w->conn[call->conn];
	const struct kp_str *own = w->target.op;

	if (call->label)
		return call->label;
	/* a prepared statement says only its name; kp-enrich knows what that stands for */
	for (uint32_t k = kc_list_from(w, &c->recv[!call->side], kc_start(call)); k < c->recv[!call->side].n; k++) {
		const struct kc_ev *e = &w->ev[c->recv[!call->side].v[k]];

		if ((int32_t)((uint32_t)e->a[0] - (uint32_t)call->a[0]) >= 0)
			return e->op && e->op != own && !(own && e->op->len == own->len && !memcmp(e->op->p, own->p, own->len)) ? e->op : NULL;
	}
	return NULL;
}

uint32_t kc_reader_of(const struct kp_world *w, const struct kc_ev *call)
{
	const struct kc_conn *c = &w->conn[call->conn];
	uint32_t k = kc_list_from(w, &c->recv[!call->side], kc_start(call));
	const struct kc_ev *e;

	for (; k < c->recv[!call->side].n; k++) {
		e = &w->ev[c->recv[!call->side].v[k]];
		if (kc_sent_for(w, e) == call || (int32_t)((uint32_t)e->a[0] - (uint32_t)call->a[0]) >= 0)
			return e->th;
	}
	e = kc_last(w, &c->recv[!call->side], call->t);
	return e ? e->th : KC_NONE;
}
