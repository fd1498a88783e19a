/* SPDX-License-Identifier: BSD-2-Clause */
/* What messages say about who works for whom: a request received, sent on, answered. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

#define EPHEMERAL 32768

/* A message as it is handled: the row, its place, what it says. */
struct at {
	struct kp_enrich *e;
	struct en_held *h;
	struct en_conn *c;
	int side;
	uint64_t start, t;
	struct kp_msg m;
	bool known;		/* of a protocol that we speak */
	bool gap;		/* bytes were sent before it of which there is no row */
	struct en_ids ids;
};

static struct en_thread *thread(const struct at *a)
{
	return &a->e->th[a->h->th - 1];
}

static void own(struct at *a, struct en_work *w)
{
	en_work_put(a->h->own);
	a->h->own = en_work_ref(w);
}

/* Which end asks: by what was seen, else the one whose port is nobody's in particular. -1: not known. */
static int client_of(const struct en_conn *c)
{
	bool low0 = (c->key[2] & 0xffff) < EPHEMERAL, low1 = (c->key[5] & 0xffff) < EPHEMERAL;

	if (c->client >= 0)
		return c->client;
	return low0 != low1 ? low0 : -1;
}

static bool interim(const struct kp_msg *m)
{
	return m->type == KP_MSG_RESPONSE && m->status >= 100 && m->status < 200;
}

static int turn_to(struct kp_enrich *e, struct en_thread *th, uint64_t t, struct en_work *w)
{
	const struct en_seg *last = th->nseg ? &th->seg[th->nseg - 1] : NULL;

	return last && last->w == w && last->at <= t ? 0 : en_turn(e, th, t, w, false);
}

static void done(struct en_work *w)
{
	if (w->answered)
		w->end = w->answer;
}

void en_settle(struct en_thread *th)
{
	if (th->pending)
		done(th->pending);
	en_work_put(th->pending);
	th->pending = NULL;
}

/* ---- the end that asks ---- */

static int ask(struct at *a)
{
	struct en_queue *q = &a->c->call;
	struct en_work *w, *up;
	int rc;

	if (a->known && a->m.type == KP_MSG_NONE)
		return 0;
	if (q->n && a->m.type != KP_MSG_REQUEST && a->c->spoken)	/* more of the same */
		return turn_to(a->e, thread(a), a->start, q->w[q->n - 1]);
	while (!a->c->spoken && (w = en_queue_pop(q))) {	/* that one may never be answered */
		w->end = w->end < a->start ? w->end : a->start;
		en_work_put(w);
	}
	w = en_work_new(a->e, EN_CALL, a->h->th - 1, a->start);
	if (!w)
		return -ENOMEM;
	w->ids = a->ids;
	w->has_from = true;
	w->from = a->h->th - 1;
	w->from_t = a->start;
	up = en_work_of(thread(a), a->start, EN_SERVER, false);
	w->inner = up != NULL;
	if (up)
		up->spread = true;
	en_work_put(a->c->last_call);
	a->c->last_call = NULL;
	en_queue_push(q, w);
	rc = en_turn(a->e, thread(a), a->start, w, false);
	en_work_put(w);
	return rc;
}

static int answer_came(struct at *a)
{
	struct en_conn *c = a->c;
	struct en_thread *th = thread(a);
	struct en_work *up, *w;

	if (interim(&a->m))
		return 0;
	if (c->call.n && (a->m.type == KP_MSG_RESPONSE || !c->last_call)) {
		en_work_put(c->last_call);
		c->last_call = en_queue_pop(&c->call);
	}
	w = c->last_call;
	if (!w)
		return 0;
	w->answered = true;
	w->end = a->t;
	if (!w->ids.request && !w->resolved)
		w->ids.request = a->ids.request;
	own(a, w);
	/* back to the request for which it was asked */
	up = en_work_of(th, w->begin, EN_SERVER, false);
	return up && en_alive(up, a->t) ? turn_to(a->e, th, a->t, up) : 0;
}

/* ---- the end that serves ---- */

static int asked(struct at *a, struct en_work **begun)
{
	struct en_queue *q = &a->c->srv;
	struct en_work *w, *last = NULL;
	int rc = 0;

	/* a new question: what was answered is answered to its end */
	while (q->n && q->w[0]->answered) {
		w = en_queue_pop(q);
		done(w);
		en_work_put(w);
	}
	en_work_put(a->c->last_srv);
	a->c->last_srv = NULL;
	if (a->known && a->m.type == KP_MSG_NONE)
		return 0;
	if (q->n)
		last = q->w[q->n - 1];
	if (last && !a->c->spoken) {	/* what came before may be another request's */
		en_queue_pop(q);
		last->end = last->end < a->t ? last->end : a->t;
		en_work_put(last);
		last = NULL;
	}
	if (last && a->m.type != KP_MSG_REQUEST) {
		own(a, last);
		return turn_to(a->e, thread(a), a->t, last);
	}
	w = en_work_new(a->e, EN_SERVER, a->h->th - 1, a->t);
	if (!w)
		return -ENOMEM;
	w->ids = a->ids;
	w->task = a->h->task;
	en_txn_asked(a->e, a->c, w, a->h->row.task->tgid);
	thread(a)->port_service = en_port_service(a->e, a->h->row.obj->lport);
	a->e->st.requests += a->m.type == KP_MSG_REQUEST;
	en_queue_push(q, w);
	own(a, w);
	if (!a->c->spoken) {
		en_work_put(thread(a)->loose);
		thread(a)->loose = en_work_ref(w);
	}
	if (!last)	/* pipelined ones are turned to when their turn comes */
		rc = en_turn(a->e, thread(a), a->t, w, false);
	if (!rc && a->m.type == KP_MSG_REQUEST)
		rc = en_request_begun(a->e, w);
	*begun = w;
	en_work_put(w);
	return rc;
}

/* Its answer is among the rows that were lost; when the next request came it had been given. */
static void answer_lost(struct en_conn *c)
{
	struct en_work *w = en_queue_pop(&c->srv);

	if (w->end > c->srv.w[0]->begin)
		w->end = c->srv.w[0]->begin;
	en_work_put(w);
}

/* Does the answer say itself that it is complete? */
static bool is_final(const struct at *a)
{
	return a->m.tx != 0 || a->h->row.ret <= 0;
}

static int answer(struct at *a)
{
	struct en_conn *c = a->c;
	struct en_thread *th = thread(a);
	struct en_work *w = c->srv.n ? c->srv.w[0] : c->last_srv;
	int rc = 0;

	if (!w || interim(&a->m))
		return 0;
	if (c->srv.n > 1 && w->answered && a->m.type == KP_MSG_RESPONSE) {
		done(w);
		en_work_put(en_queue_pop(&c->srv));
		w = c->srv.w[0];
	} else if (c->srv.n > 1 && !w->answered && a->gap) {
		answer_lost(c);
		w = c->srv.w[0];
	}
	w->answered = true;
	w->answer = a->t;
	if (a->m.type == KP_MSG_RESPONSE && (!w->status || a->m.failed)) {
		w->status = a->m.status;
		w->failed |= a->m.failed;
	}
	w->th = a->h->th - 1;
	if (w->end != EN_NEVER) {	/* it was thought to have ended: this is more of the answer */
		en_reopened(th, w->end);
		w->end = a->t;
	}
	if (!w->ids.request && !w->resolved)
		w->ids.request = a->ids.request;
	en_txn_answered(a->e, c, a->m.tx, a->h->row.task->tgid);
	own(a, w);
	en_work_put(th->pending);
	th->pending = en_work_ref(w);
	if (is_final(a)) {
		en_settle(th);
		if (c->srv.n && c->srv.w[0] == w) {
			en_work_put(c->last_srv);
			c->last_srv = en_queue_pop(&c->srv);
			if (c->srv.n)
				rc = turn_to(a->e, th, a->t, c->srv.w[0]);
		}
	} else if (c->srv.n > 1 && c->srv.w[0] == w) {
		rc = turn_to(a->e, th, a->t, c->srv.w[1]);
	}
	return rc;
}

/* ---- both ends of a message ---- */

static bool overlap(const struct en_sent *s, const struct en_got *g)
{
	if (!s->position)
		return !s->matched && s->start <= g->end;
	return (int32_t)(s->to - g->from) > 0 && (int32_t)(g->to - s->from) > 0;
}

static void deliver(struct kp_enrich *e, struct en_sent *s, struct en_work *w)
{
	if (!s->matched && s->msg == KP_MSG_REQUEST)
		e->st.sends_matched++;
	s->matched = true;
	if (w->resolved)
		return;
	w->has_from = true;
	w->from = s->th;
	w->from_t = s->start;
	if (!w->ids.op)
		w->ids.op = s->ids.op;
	if (!w->ids.request)
		w->ids.request = s->ids.request;
	if (!w->ids.trace) {
		w->ids.trace = s->ids.trace;
		w->ids.parent = s->ids.parent;
	}
}

static struct en_sent *sent_for(struct en_wire *c, int side, const struct en_got *g)
{
	struct en_sent *best = NULL;
	uint32_t n = c->nsent[side] < EN_SENDS ? c->nsent[side] : EN_SENDS;

	for (uint32_t i = 1; i <= n; i++) {	/* newest first; the oldest that fits, but rather a request */
		struct en_sent *s = &c->sent[side][(c->nsent[side] - i) % EN_SENDS];

		if (!overlap(s, g)) {
			if (s->position && best)
				break;
			continue;
		}
		if (!best || s->msg == KP_MSG_REQUEST || best->msg != KP_MSG_REQUEST)
			best = s;
	}
	return best;
}

static bool has_position(const struct kp_row *r)
{
	return r->kind == KP_K_TCP_SEND || r->kind == KP_K_TCP_RECV;
}

/* The body of a long message goes out in many sends. */
static bool continues(const struct at *a, const struct en_sent *s)
{
	const struct kp_row *r = &a->h->row;

	return a->c->spoken && a->m.type == KP_MSG_NONE && a->c->wire->spoke == a->side && s->position && has_position(r) && s->th == a->h->th - 1 &&
	       s->to == (uint32_t)(r->a[0] - r->ret);
}

/* Remembers what was sent for the other end, which may have received it already. */
static int sent(struct at *a)
{
	const struct kp_row *r = &a->h->row;
	struct en_wire *c = a->c->wire;
	struct en_sent *s = c->nsent[a->side] ? &c->sent[a->side][(c->nsent[a->side] - 1) % EN_SENDS] : NULL;
	int client = client_of(a->c);
	bool longer = s && continues(a, s);

	a->gap = s && s->position && has_position(r) && s->to != (uint32_t)(r->a[0] - r->ret);
	if (longer) {
		s->to = (uint32_t)r->a[0];
	} else {
		s = &c->sent[a->side][c->nsent[a->side]++ % EN_SENDS];
		*s = (struct en_sent){ .to = (uint32_t)r->a[0], .from = (uint32_t)(r->a[0] - r->ret), .start = a->start,
				       .end = a->t, .th = a->h->th - 1, .ids = a->ids, .msg = a->m.type,
				       .position = has_position(r) };
	}
	c->spoke = a->side;
	a->e->st.sends_unmatched += a->m.type == KP_MSG_REQUEST;	/* until it is matched, see kp_enrich_stats */
	for (int i = 0; i < EN_GOTS; i++) {
		struct en_got *g = &c->got[a->side][i];

		if (g->w && overlap(s, g)) {
			deliver(a->e, s, g->w);
			en_work_put(g->w);
			g->w = NULL;
		}
	}
	return client == a->side ? ask(a) : client >= 0 ? answer(a) : 0;
}

static int got(struct at *a)
{
	const struct kp_row *r = &a->h->row;
	struct en_conn *c = a->c;
	int client = client_of(c), from = !a->side, rc;
	struct en_got g = { .to = (uint32_t)r->a[0], .from = (uint32_t)(r->a[0] - r->ret), .end = a->t }, *slot;
	struct en_work *begun = NULL;
	struct en_sent *s = sent_for(c->wire, from, &g);

	if (s && !s->position)
		s->matched = true;
	if (client < 0)
		return 0;
	rc = client == a->side ? answer_came(a) : asked(a, &begun);
	if (rc || !begun)
		return rc;
	if (s) {
		s->matched &= s->msg != KP_MSG_REQUEST;
		deliver(a->e, s, begun);
		return 0;
	}
	slot = &c->wire->got[from][c->wire->ngot[from]++ % EN_GOTS];
	en_work_put(slot->w);
	*slot = g;
	slot->w = en_work_ref(begun);
	return 0;
}

int en_message(struct kp_enrich *e, struct en_held *h)
{
	const struct kp_row *r = &h->row;
	bool send = r->kind == KP_K_TCP_SEND || r->kind == KP_K_NET_SEND;
	struct at a = { .e = e, .h = h, .t = h->t, .start = h->t - r->dur };
	bool unix_socket;
	int rc;

	if (!h->th || (r->ret <= 0 && !send) || r->ret == -EAGAIN)
		return 0;
	unix_socket = en_is_unix(r);
	if (unix_socket && !send)
		en_unix_got(e, h);
	a.c = en_conn_of(e, r, &a.side);
	if (!a.c)
		return 0;
	if (r->ret <= 0)	/* nobody is there to hear the answer */
		return client_of(a.c) == !a.side ? answer(&a) : 0;
	if (r->data_len)
		a.known = kp_proto_parse(r->data, r->data_len, &a.m);
	if (a.m.type == KP_MSG_REQUEST)
		a.c->client = send ? a.side : !a.side;
	else if (a.m.type == KP_MSG_RESPONSE)
		a.c->client = send ? !a.side : a.side;
	a.c->spoken |= a.m.type != KP_MSG_NONE;
	if (a.known)
		a.ids = en_msg_ids(e, a.c, &a.m);
	rc = send ? sent(&a) : got(&a);
	if (unix_socket && send && !rc)
		en_unix_sent(e, h);
	return rc;
}

/* What b has received already may be what a has sent. */
void en_wire_join(struct kp_enrich *e, struct en_conn *a, struct en_conn *b)
{
	struct en_wire *own = b->wire;
	int from = !b->side;	/* as b saw it */

	b->wire = a->wire;
	a->wire->refs++;
	b->side = !a->side;
	b->client = b->client < 0 ? -1 : !b->client;
	for (int i = 0; i < EN_GOTS; i++) {
		struct en_got *g = &own->got[from][i];
		struct en_sent *s = g->w ? sent_for(a->wire, a->side, g) : NULL;

		if (s)
			deliver(e, s, g->w);
	}
	en_wire_clear(own);
	free(own);
}

void en_conn_end(struct en_conn *c, int side, uint64_t t)
{
	int client = client_of(c);
	struct en_work *w;

	if (client != !side)
		while ((w = en_queue_pop(&c->call))) {
			w->end = w->end < t ? w->end : t;
			en_work_put(w);
		}
	if (client != side)
		while ((w = en_queue_pop(&c->srv))) {
			w->end = w->answered ? w->answer : t;
			en_work_put(w);
		}
}

void en_conn_reset(struct en_conn *c, uint64_t t)
{
	en_conn_end(c, 0, t);
	en_conn_end(c, 1, t);
	if (c->wire->refs == 1)	/* else positions tell old from new */
		en_wire_clear(c->wire);
	c->client = -1;
	c->spoken = false;
	c->nstmt = 0;
	c->txn = NULL;
	c->tx = 0;
	c->closed = false;
}
