/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets: a wait is explained by the message that ended it, or by the answer that did not come; go on at the sender's. */
#include <string.h>

#include <kp/kinds.h>
#include <kp/proto.h>
#include <kp/util.h>

#include "walk.h"

#define SOON (50 * KC_MS)	/* within which a woken thread reads what it was woken for, not counting its waits for a CPU */

/* Segments of the connection sent again while the message was under way? */
static const struct kc_ev *retransmitted(struct kc_walk *k, uint32_t conn, uint64_t from, uint64_t to)
{
	const struct kc_ev *e;

	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->conn[conn].other, from, to, &i)); )
		if (e->kind == KP_K_TCP_RETRANSMIT)
			return e;
	return NULL;
}

static bool is_recv(const struct kc_ev *e)
{
	return e->kind == KP_K_TCP_RECV || e->kind == KP_K_NET_RECV;
}

/* When did the thread sleep again? What it received before that may be what it was woken for. */
static uint64_t next_sleep(struct kc_walk *k, const struct kc_wait *t)
{
	const struct kc_thread *th = &k->w->th[t->th];
	const struct kc_piece *end = th->piece + th->npiece;
	uint64_t until = t->p->to + SOON;

	for (const struct kc_piece *p = t->p + 1; p < end && p->from < until; p++) {
		if (p->state == KC_BLOCKED)
			return p->from;
		if (p->state == KC_RUNNABLE)
			until += p->to - p->from;
	}
	return until;
}

/* Asleep on one connection for another request, whose thread this one was waiting for. */
static bool for_other(const struct kc_walk *k, const struct kc_wait *t, const struct kp_str *request)
{
	bool one = t->class == KC_W_RECV || (t->sys && (t->sys->kind == KP_K_SYS_poll || t->sys->kind == KP_K_SYS_ppoll) && t->sys->a[1] == 1);

	return one && t->th != k->target && t->sys && t->sys->request == request;
}

/* One thread may serve many: a message of another request ended its sleep, but is not what this one waited for. */
static bool is_foreign(const struct kc_walk *k, const struct kc_wait *t, const struct kc_ev *r)
{
	const struct kp_target *g = &k->w->target;

	if (g->request && r->request)
		return r->request != g->request && !for_other(k, t, r->request);
	return r->msg == KP_MSG_REQUEST && t->th == k->target && g->recv && r->t > g->recv;
}

/* The message that woke the thread: of those it reads next, the one that was sent first after it fell asleep. */
static const struct kc_ev *woken_by(struct kc_walk *k, const struct kc_wait *t, const struct kc_ev **recv, bool *foreign)
{
	const struct kc_list *l = &k->w->th[t->th].msg;
	uint64_t until = next_sleep(k, t);
	const struct kc_ev *best = NULL;

	*recv = NULL;
	*foreign = false;
	for (uint32_t i = kc_list_from(k->w, l, t->p->to); i < l->n; i++) {
		const struct kc_ev *r = &k->w->ev[l->v[i]], *s;

		if (r->t > until)
			break;
		if (!is_recv(r))
			continue;
		if (is_foreign(k, t, r)) {
			*foreign = true;
			continue;
		}
		s = kc_sent_for(k->w, r);
		/* sent after it was awake: of a wait that it read without sleeping again */
		if (s && kc_start(s) >= t->p->to)
			continue;
		if (!*recv)
			*recv = r;
		/* sent before it fell asleep: that was not what it waited for */
		if (!s || s->t <= t->p->from || (best && s->t >= best->t))
			continue;
		best = s;
		*recv = r;
	}
	return best;
}

static const struct kp_str *says(struct kc_walk *k, const struct kc_ev *m)
{
	return m ? kc_asked(k->w, m) : NULL;
}

/* The last answer that the thread gave to others who came to the same port, after the call was sent and before it read it. */
static const struct kc_ev *busy_until(struct kc_walk *k, const struct kc_ev *call, const struct kc_ev *answer)
{
	const struct kc_ev *read = kc_last(k->w, &k->w->conn[answer->conn].recv[answer->side], answer->t);
	const struct kc_list *l = &k->w->th[answer->th].msg;

	if (!read || read->th != answer->th || kc_sent_for(k->w, read) != call)
		return NULL;
	for (uint32_t i = kc_list_from(k->w, l, read->t); i--; ) {
		const struct kc_ev *e = &k->w->ev[l->v[i]];

		if (e->t < call->t + KC_MS)
			break;
		if (e->kind == KP_K_TCP_SEND && e->conn != answer->conn && e->obj && answer->obj && e->obj->lport == answer->obj->lport)
			return e;
	}
	return NULL;
}

static void go_to_sender(struct kc_walk *k, const struct kc_wait *t, const struct kc_ev *s, const struct kc_ev *r, struct kc_verdict *v)
{
	const struct kc_ev *call = kc_call_of(k->w, s), *again;
	uint64_t at = s->t < t->to ? s->t : t->to, floor = t->from;
	uint32_t back = t->th;

	if (call && call->t < at && call->th != KC_NONE) {
		floor = call->t;
		if (kc_same_proc(k->w, call->th, t->th))
			back = call->th;
	}
	again = retransmitted(k, s->conn, at, t->to);
	kc_follow(v, s->th, at, floor, back, again ? KP_C_NET_RETRANSMIT : KP_C_NET_QUEUE);
	v->busy = call ? busy_until(k, call, s) : NULL;
	v->obj = r->obj;
	v->ev = again ? again : r;
	v->says = again ? "a segment was lost and sent again" : "the message that ended the wait";
	v->what = says(k, call);
}

/* It waited in vain: what did the one that owes the answer do? */
static int no_answer(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kc_ev *call = kc_outstanding(k->w, t->th, t->to, k->start);
	uint32_t who = call ? kc_reader_of(k->w, call) : KC_NONE;

	if (!call)
		return 0;
	v->obj = call->obj;
	v->ev = call;
	v->says = "asked, and had no answer yet";
	if (who == KC_NONE || who == t->th) {
		const struct kc_ev *again = retransmitted(k, call->conn, call->t, t->to);

		kc_leaf(v, again ? KP_C_NET_RETRANSMIT : call->obj && call->obj->rport == 53 ? KP_C_NET_DNS : KP_C_NET_PEER, true);
		v->what = kc_what(k, "no answer, and no reader was seen");
		return 1;
	}
	kc_follow(v, who, t->to, call->t < t->to ? call->t : t->from, t->th, KP_C_NET_QUEUE);
	v->what = says(k, call);
	return 1;
}

/* Signals that mean what processes agree on. Others stop, end, or tell of children and terminals. */
static bool is_message(uint64_t sig)
{
	return sig == 10 || sig == 12 || sig == 23 || sig == 29 || sig >= 32;	/* USR1, USR2, URG, IO, real-time */
}

/* A signal from another process that ended the wait: how PostgreSQL hands over a lock. */
const struct kc_ev *kc_signalled(struct kc_walk *k, const struct kc_wait *t)
{
	if (!kc_by_task(k, t))
		return NULL;
	for (uint32_t i = kc_list_from(k->w, &k->w->sig, t->to > KC_MS ? t->to - KC_MS : 0); i < k->w->sig.n; i++) {
		const struct kc_ev *e = &k->w->ev[k->w->sig.v[i]];

		if (e->t > t->to + KC_MS)
			break;
		if (is_message(e->a[0]) && kc_same_proc(k->w, e->pth, t->th) && e->th == t->wake->pth && !kc_same_proc(k->w, e->th, t->th))
			return e;
	}
	return NULL;
}

int kc_cause_message(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kc_ev *r, *s, *sig;
	bool foreign;

	if (t->class == KC_W_UNKNOWN && (t->p->pstate & 2))	/* uninterruptible: never a socket */
		return 0;
	if (t->p->open || kc_timed_out(t))
		return no_answer(k, t, v);
	s = woken_by(k, t, &r, &foreign);
	if (s && s->th != KC_NONE) {
		go_to_sender(k, t, s, r, v);
		return 1;
	}
	if (foreign && !r)
		return no_answer(k, t, v);
	sig = kc_signalled(k, t);
	if (sig && !kc_works_for(k, sig->th, t)) {
		kc_leaf(v, KP_C_LOCK, true);
		v->ev = sig;
		v->says = "was signalled to go on";
		v->what = kc_what(k, "waits for a lock");
		v->held = true;
		v->holder = sig->th;
		v->how = "ended the wait by a signal, as who held a lock does";
		return 1;
	}
	/* from outside of the recording */
	if (r && (t->class == KC_W_RECV || t->class == KC_W_POLL) && r->obj && !kc_by_task(k, t)) {
		const struct kc_ev *again = retransmitted(k, r->conn, t->from, t->to);

		kc_leaf(v, again ? KP_C_NET_RETRANSMIT : r->obj->rport == 53 ? KP_C_NET_DNS : KP_C_NET_PEER, true);
		v->obj = r->obj;
		v->ev = again ? again : r;
		v->says = again ? "a segment was lost and sent again" : "a message ended the wait; who sent it was not seen";
		v->what = kc_what(k, "waits for a peer that was not seen");
		return 1;
	}
	return 0;
}

/* The window is full as long as the other end does not read: who is that? */
static void blame_reader(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kc_list *l = &k->w->th[t->th].msg;
	uint32_t i = kc_list_from(k->w, l, t->to), reader;
	const struct kc_ev *e = NULL;

	/* the send that slept: its row is written when it returns */
	while (i < l->n && is_recv(&k->w->ev[l->v[i]]))
		i++;
	e = i < l->n ? &k->w->ev[l->v[i]] : NULL;
	if (!e || e->conn == KC_NONE || kc_start(e) > next_sleep(k, t))
		return;
	v->obj = e->obj;
	reader = kc_reader_of(k->w, e);
	if (reader != KC_NONE && !kc_same_proc(k->w, reader, t->th))
		kc_accuse(v, reader, t->to - t->from, "did not read from the connection");
}

/*
 * Whoever waits to the end for another connection, or for the next request on this one, is done with this request, or
 * somebody else has it: not for that does it wait. Without losses a request may come in pieces.
 */
static bool gone_on(const struct kc_walk *k, const struct kc_wait *t)
{
	const struct kp_obj *o = t->sys ? t->sys->obj : NULL, *c = k->w->target.conn;

	if (t->th != k->target || !c || !k->w->target.open)
		return false;
	return (t->class == KC_W_ACCEPT && t->p->open) || (t->class == KC_W_RECV && k->w->losses && o && o->type == KP_OBJ_SOCKET &&
					   o->lport == c->lport && o->rport == c->rport && !memcmp(o->raddr, c->raddr, sizeof(o->raddr)));
}

int kc_cause_net(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	if (gone_on(k, t)) {
		kc_leaf(v, KP_C_UNKNOWN, false);
		v->what = kc_what(k, "waits for another request");
		v->says = "its thread had gone on to other requests";
		return 1;
	}
	v->ev = t->wake;
	v->obj = t->sys ? t->sys->obj : NULL;
	switch (t->class) {
	case KC_W_SEND:
		kc_leaf(v, KP_C_NET_WINDOW, true);
		v->says = "asleep until there was room to send";
		v->what = kc_what(k, "waits for room to send");
		blame_reader(k, t, v);
		return 1;
	case KC_W_CONNECT:
		kc_leaf(v, KP_C_NET_CONNECT, true);
		v->says = "asleep in connect";
		v->what = kc_what(k, "connects");
		return 1;
	case KC_W_ACCEPT:
		kc_leaf(v, KP_C_NET_ACCEPT, true);
		v->says = "asleep in accept";
		v->what = kc_what(k, "accepts");
		return 1;
	default:
		if (t->class == KC_W_RECV && !kc_by_task(k, t) && v->obj && v->obj->type == KP_OBJ_SOCKET && v->obj->rport) {
			kc_leaf(v, KP_C_NET_PEER, true);
			v->says = "asleep in receive";
			v->what = kc_what(k, "waits for a peer");
			return 1;
		}
		v->ev = NULL;
		return 0;
	}
}
