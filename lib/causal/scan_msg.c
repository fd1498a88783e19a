/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests as messages tell of them: received on a connection, answered on it, and who had sent them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scan.h"

enum { STATE_FIN_WAIT1 = 4, STATE_CLOSE = 7, STATE_LAST_ACK = 9 };

/* A message as it is looked at. */
struct at {
	struct kp_scan *s;
	const struct kp_row *r;
	uint64_t t;
	uint32_t host;
	struct sc_conn *c;
	uint8_t side;
	struct kp_msg m;
	bool gap;		/* bytes were sent before it of which there is no row */
};

static struct sc_conn *conn_of(struct kp_scan *s, const struct kp_obj *o, uint32_t host, bool make, uint8_t *side)
{
	struct sc_conn *c, **b;
	struct kp_obj key;
	uint32_t where;

	kc_conn_key(o, host, &key, &where, side);
	b = &s->conn[kc_conn_hash(&key, where) % SC_BUCKETS];
	for (c = *b; c; c = c->next)
		if (c->where == where && kc_conn_same(&c->key, &key))
			return c;
	c = make ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return NULL;
	c->key = key;
	c->where = where;
	c->next = *b;
	*b = c;
	return c;
}

static void unlink_req(struct sc_req *q)
{
	*q->at = q->next;
	if (q->next)
		q->next->at = q->at;
}

static void finish(struct kp_scan *s, struct sc_conn *c)
{
	struct sc_req *q = c->open[0];

	c->nopen--;
	for (uint32_t i = 0; i < c->nopen; i++)
		c->open[i] = c->open[i + 1];
	unlink_req(q);
	sc_offer(s, s->best, &s->nbest, &q->t, q->nested);
	free(q);
}

/* Its answer is among the rows that were lost: it had come before the next request, or else that is not known. */
static void answer_lost(struct kp_scan *s, struct sc_conn *c)
{
	struct sc_req *q = c->open[0];

	q->t.open = false;
	q->t.end = q->next_at;
	finish(s, c);
}

static void give_up(struct sc_req *q, uint64_t t)
{
	if (!q->answered && !q->t.gave_up)
		q->t.gave_up = t;
}

static void drop_conn(struct kp_scan *s, struct sc_conn *c)
{
	struct sc_conn **p = &s->conn[kc_conn_hash(&c->key, c->where) % SC_BUCKETS];

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	free(c);
}

/* Does a thread that serves a request ask for this one, or is it the same request again, passed on? */
static bool is_nested(const struct kp_scan *s, const struct sc_req *q, const struct sc_send *by)
{
	for (const struct sc_req *o = s->open; o; o = o->next) {
		if (o == q || (o->answered && !by))
			continue;
		if (by && by->task && o->host == by->host && o->tid == by->task->tid && o->t.recv <= by->start &&
		    (!o->answered || o->t.end >= by->start))
			return true;
		if (q->t.request && o->t.request == q->t.request && o->t.recv < q->t.recv && !o->answered)
			return true;
	}
	return false;
}

static bool covers(const struct sc_send *d, uint32_t pos)
{
	return (int32_t)(d->to - pos) >= 0 && (int32_t)(d->from - pos) < 0;
}

static void match(struct kp_scan *s, struct sc_req *q, const struct sc_send *by)
{
	q->matched = true;
	q->nested = is_nested(s, q, by);
	if (by->start > q->t.recv)
		return;		/* another clock's idea of time: what the service saw is safe */
	q->t.start = by->start;
	q->t.caller = by->task;
	q->t.caller_source = by->source;
}

static bool has_position(const struct kp_row *r)
{
	return r->kind == KP_K_TCP_SEND || r->kind == KP_K_TCP_RECV;
}

static void name(struct at *a, struct kp_target *t)
{
	const struct kp_row *r = a->r;
	char buf[300];
	int n;

	t->service = t->service ? t->service : r->ctx[KP_CTX_SERVICE];
	t->request = t->request ? t->request : r->ctx[KP_CTX_REQUEST];
	t->trace = t->trace ? t->trace : r->ctx[KP_CTX_TRACE];
	t->txn = t->txn ? t->txn : r->ctx[KP_CTX_TXN];
	t->op = t->op ? t->op : r->ctx[KP_CTX_OP];
	if (!t->request && a->m.request.len)
		t->request = kp_pool_str(a->s->pool, a->m.request.p, a->m.request.len);
	if (!t->trace && a->m.traceparent.len >= 35)
		t->trace = kp_pool_str(a->s->pool, a->m.traceparent.p + 3, 32);
	if (!t->op && a->m.type == KP_MSG_REQUEST && a->m.verb.len) {
		n = snprintf(buf, sizeof(buf), "%.*s%s%.*s", (int)(a->m.verb.len < 32 ? a->m.verb.len : 32), a->m.verb.p,
			     a->m.target.len ? " " : "", (int)(a->m.target.len < 200 ? a->m.target.len : 200),
			     a->m.target.len ? a->m.target.p : "");
		t->op = kp_pool_str(a->s->pool, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
	}
	sc_seen(a->s, a->s->o.by == KP_SEL_TRACE ? t->trace : t->request);
}

/* More of the request that is there already, rather than one behind it? */
static bool same_request(struct at *a, const struct sc_req *q)
{
	struct kp_target t = { 0 };

	name(a, &t);
	return !q->answered && (!t.request || !q->t.request || t.request == q->t.request) && !(t.request && !q->t.request);
}

static int begin(struct at *a)
{
	struct sc_conn *c = a->c;
	struct kp_scan *s = a->s;
	struct sc_req *q;

	while (c->nopen && c->open[0]->answered)
		finish(s, c);
	if (c->nopen && same_request(a, c->open[c->nopen - 1])) {
		c->open[c->nopen - 1]->pos = (uint32_t)a->r->a[0];
		return 0;
	}
	if (c->nopen)
		c->open[c->nopen - 1]->next_at = a->t;
	if (c->nopen == SC_PIPE)
		finish(s, c);
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->t = (struct kp_target){ .source = a->r->source, .task = a->r->task, .start = a->t, .end = a->t, .recv = a->t,
				   .conn = a->r->obj, .open = true };
	q->host = a->host;
	q->tid = a->r->task->tid;
	q->pos = (uint32_t)a->r->a[0];
	q->side = !a->side;
	q->losses = s->losses;
	name(a, &q->t);
	q->next = s->open;
	q->at = &s->open;
	if (q->next)
		q->next->at = &q->next;
	s->open = q;
	c->open[c->nopen++] = q;
	s->requests++;
	q->nested = is_nested(s, q, NULL);
	for (uint32_t i = 0; has_position(a->r) && i < SC_SENDS; i++)
		if (c->send[q->side][i].task && covers(&c->send[q->side][i], q->pos))
			match(s, q, &c->send[q->side][i]);
	return 0;
}

static void answer(struct at *a)
{
	struct sc_conn *c = a->c;
	struct sc_req *q = c->open[0];

	if (a->m.type == KP_MSG_RESPONSE && a->m.status >= 100 && a->m.status < 200 && a->m.status != 101)
		return;
	if (q->answered && a->m.type == KP_MSG_RESPONSE && c->nopen > 1) {
		finish(a->s, c);
		q = c->open[0];
	} else if (!q->answered && a->gap && c->nopen > 1) {
		answer_lost(a->s, c);
		q = c->open[0];
	}
	q->answered = true;
	q->t.open = false;
	q->t.end = a->t;
	q->answer_pos = (uint32_t)a->r->a[0];
	q->t.got = 0;		/* what was read until now was not all of it */
	q->t.task = a->r->task;
	q->t.source = a->r->source;
	if (a->m.type == KP_MSG_RESPONSE) {
		q->t.status = a->m.status;
		q->t.failed |= a->m.failed;
	}
	name(a, &q->t);
}

static void sent(struct at *a)
{
	struct sc_conn *c = a->c;
	const struct sc_send *last = &c->send[a->side][(c->nsend[a->side] - 1) % SC_SENDS];
	struct sc_send *d = &c->send[a->side][c->nsend[a->side]++ % SC_SENDS];

	a->gap = has_position(a->r) && last->task && last->to != (uint32_t)(a->r->a[0] - (uint64_t)a->r->ret);
	*d = (struct sc_send){ (uint32_t)(a->r->a[0] - (uint64_t)a->r->ret), (uint32_t)a->r->a[0], a->t - a->r->dur, a->t,
			       a->host, a->r->source, a->r->task };
	if (!c->nopen)
		return;
	if (c->open[0]->side != a->side) {
		answer(a);
		return;
	}
	/* its row is written when the call returns: the receiver may have been faster */
	for (uint32_t i = 0; has_position(a->r) && i < c->nopen; i++)
		if (!c->open[i]->matched && covers(d, c->open[i]->pos))
			match(a->s, c->open[i], d);
}

static void got(struct at *a)
{
	struct sc_req *q = a->c->nopen ? a->c->open[0] : NULL;

	if (!q || q->side != a->side || !q->answered || !q->t.caller || a->r->task->tid != q->t.caller->tid)
		return;
	if (has_position(a->r) && !q->t.got && (int32_t)((uint32_t)a->r->a[0] - q->answer_pos) >= 0 && a->t >= q->t.end)
		q->t.got = a->t;
}

int sc_message(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, uint64_t t)
{
	struct at a = { .s = s, .r = r, .t = t, .host = kc_host_of(h, r->source) };
	bool send = r->kind == KP_K_TCP_SEND || r->kind == KP_K_NET_SEND;

	if (!r->task || !r->obj || r->obj->type != KP_OBJ_SOCKET)
		return 0;
	if (r->ret <= 0) {	/* nobody is there to hear the answer, but it was given */
		if (send && (r->ret == -EPIPE || r->ret == -ECONNRESET)) {
			a.c = conn_of(s, r->obj, a.host, false, &a.side);
			if (a.c && a.c->nopen && a.c->open[0]->side != a.side && !a.c->open[0]->answered)
				answer(&a);
		}
		return 0;
	}
	if (r->data_len)
		kp_proto_parse(r->data, r->data_len, &a.m);
	a.c = conn_of(s, r->obj, a.host, true, &a.side);
	if (!a.c)
		return -ENOMEM;
	if (send)
		sent(&a);
	else if (a.m.type == KP_MSG_REQUEST)
		return begin(&a);
	else
		got(&a);
	return 0;
}

void sc_state(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, uint64_t t)
{
	struct sc_conn *c;
	uint64_t new = r->a[1];
	uint8_t side;

	if (!r->obj || r->obj->type != KP_OBJ_SOCKET)
		return;
	if (new != STATE_FIN_WAIT1 && new != STATE_CLOSE && new != STATE_LAST_ACK)
		return;
	c = conn_of(s, r->obj, kc_host_of(h, r->source), false, &side);
	if (!c)
		return;
	for (uint32_t i = c->nopen; i--; ) {
		struct sc_req *q = c->open[i];

		if (q->side == side) {
			give_up(q, t);
		} else if (!q->answered) {	/* the service closed without a word */
			q->t.open = false;
			q->t.failed = true;
			q->t.end = t;
			q->answered = true;
		}
	}
	c->closed |= new == STATE_CLOSE ? 1u << side : 0;
	/* an end that is not recorded will not tell that it closed */
	if (c->closed != 3 && !(c->closed && !c->nsend[!side] && !c->nopen))
		return;
	while (c->nopen)
		finish(s, c);
	drop_conn(s, c);
}

void sc_finish_all(struct kp_scan *s)
{
	for (int b = 0; b < SC_BUCKETS; b++)
		for (struct sc_conn *c = s->conn[b]; c; c = c->next)
			while (c->nopen) {
				struct sc_req *q = c->open[0];

				if (q->t.open && q->next_at && (s->losses > q->losses || s->unknown_loss)) {
					answer_lost(s, c);
					continue;
				}
				if (q->t.open)
					q->t.end = s->last;
				finish(s, c);
			}
}

void sc_conns_free(struct kp_scan *s)
{
	for (int b = 0; b < SC_BUCKETS; b++)
		for (struct sc_conn *c = s->conn[b], *next; c; c = next) {
			next = c->next;
			for (uint32_t i = 0; i < c->nopen; i++)
				free(c->open[i]);
			free(c);
		}
}
