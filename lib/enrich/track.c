/* SPDX-License-Identifier: BSD-2-Clause */
/* What rows other than messages say about who works for whom: hand-overs, waits, ends. */
#include "en.h"

enum { TCP_SYN_SENT = 2, TCP_FIN_WAIT1 = 4, TCP_CLOSE = 7, TCP_LAST_ACK = 9, TCP_CLOSING = 11 };
enum { TASK_INTERRUPTIBLE = 1 };

#define LOOK (100 * 1000)	/* ns: a call that took less did not wait */

bool en_busy(const struct en_thread *th, uint64_t t)
{
	for (uint32_t i = th->nseg; i--;) {
		const struct en_seg *s = &th->seg[i];

		if (s->w && !s->handed && s->w->type == EN_SERVER && en_alive(s->w, t))
			return true;
	}
	return false;
}

/*
 * A thread that works for a request wakes an idle one of its own process, in task context: the work goes on there,
 * until the request is answered or somebody else wakes that thread.
 */
static int woken(struct kp_enrich *e, struct en_held *h)
{
	const struct kp_row *r = &h->row;
	struct en_thread *from, *to;
	struct en_work *w = NULL;
	uint32_t peer;
	int rc;

	if (r->a[0] != 0 || !r->peer || !r->peer->tid || (r->flags & (KP_F_SOFTIRQ | KP_F_HARDIRQ)))
		return 0;
	rc = en_task_of(e, r->source, r->peer, &peer);
	if (rc)
		return rc;
	from = &e->th[e->task[peer - 1].thread];
	to = &e->th[h->th - 1];
	en_unix_wake(e, e->task[peer - 1].thread, h->th - 1, h->t);
	if (from != to && from->tgid == to->tgid)
		w = en_work_of(from, h->t, EN_SERVER, false);
	if (w && !en_busy(to, h->t)) {
		if (en_work_of(to, h->t, EN_SERVER, false) == w)
			return 0;
		w->spread = true;
		return en_turn(e, to, h->t, w, true);
	}
	if (!w && to->nseg && to->seg[to->nseg - 1].handed)
		return en_turn(e, to, h->t, NULL, false);
	return 0;
}

static int forked(struct kp_enrich *e, struct en_held *h)
{
	struct en_work *w = en_work_of(&e->th[h->th - 1], h->t, EN_SERVER, false);
	uint32_t child;
	int rc;

	if (!w || !h->row.peer)
		return 0;
	w->spread = true;
	rc = en_task_of(e, h->row.source, h->row.peer, &child);
	return rc ? rc : en_turn(e, &e->th[e->task[child - 1].thread], h->t, w, true);
}

static void exited(struct kp_enrich *e, struct en_held *h)
{
	struct en_thread *th = &e->th[h->th - 1];

	en_settle(th);
	for (uint32_t i = 0; i < th->nseg; i++) {
		struct en_work *w = th->seg[i].w;

		if (w && w->th == h->th - 1 && w->end == EN_NEVER)
			w->end = w->answered ? w->answer : h->t;
	}
	th->exited = true;
	th->last = h->t;
}

static void state(struct kp_enrich *e, struct en_held *h)
{
	uint64_t new = h->row.a[1];
	int side;
	struct en_conn *c = en_conn_of(e, &h->row, &side);

	if (!c)
		return;
	if (new == TCP_SYN_SENT)
		en_conn_reset(c, h->t);
	else if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK || new == TCP_CLOSING || new == TCP_CLOSE)
		en_conn_end(c, side, h->t);
	if (new == TCP_SYN_SENT)
		c->client = side;
	c->closed = new == TCP_CLOSE;
}

static void role(struct kp_enrich *e, struct en_held *h, bool connects)
{
	int side;
	struct en_conn *c = en_conn_of(e, &h->row, &side);

	if (!c)
		return;
	/* where both ends are on this machine the client's SYN was seen */
	if (!connects && c->closed)
		en_conn_reset(c, h->t);
	if (c->client < 0)
		c->client = connects ? side : !side;
}

/* Calls in which a thread waits for what comes next, once it has answered. */
static bool waits(uint16_t kind)
{
	switch (kind) {
	case KP_K_SYS_read: case KP_K_SYS_readv: case KP_K_SYS_recvfrom: case KP_K_SYS_recvmsg: case KP_K_SYS_recvmmsg:
	case KP_K_SYS_poll: case KP_K_SYS_ppoll: case KP_K_SYS_select: case KP_K_SYS_pselect6:
	case KP_K_SYS_epoll_wait: case KP_K_SYS_epoll_pwait: case KP_K_SYS_epoll_pwait2:
	case KP_K_SYS_accept: case KP_K_SYS_accept4: case KP_K_SYS_close: case KP_K_SYS_shutdown:
	case KP_K_SYS_nanosleep: case KP_K_SYS_clock_nanosleep: case KP_K_SYS_io_uring_enter:
		return true;
	}
	return false;
}

/* Waits for input from others, and not only looks whether there is some. */
static bool waits_for_input(const struct kp_row *r)
{
	if (r->dur < LOOK)
		return false;
	switch (r->kind) {
	case KP_K_SYS_read: case KP_K_SYS_readv:
		return r->obj && r->obj->type == KP_OBJ_SOCKET;
	case KP_K_SYS_recvfrom: case KP_K_SYS_recvmsg: case KP_K_SYS_recvmmsg: case KP_K_SYS_accept: case KP_K_SYS_accept4:
	case KP_K_SYS_poll: case KP_K_SYS_ppoll: case KP_K_SYS_select: case KP_K_SYS_pselect6:
	case KP_K_SYS_epoll_wait: case KP_K_SYS_epoll_pwait: case KP_K_SYS_epoll_pwait2:
		return true;
	}
	return false;
}

/* Who waits for the next message, and has neither asked anybody nor handed anything on, is done with the last one. */
static void loose_end(struct en_thread *th, uint64_t start)
{
	struct en_work *w = th->loose;

	if (start < w->begin)
		return;
	if (!w->spread && !w->answered && w->end > start)
		w->end = start;
	th->loose = NULL;
	en_work_put(w);
}

int en_track(struct kp_enrich *e, struct en_held *h)
{
	const struct kp_row *r = &h->row;
	struct en_thread *th;

	if (!h->th || (r->flags & KP_F_KEYFRAME))
		return 0;
	th = &e->th[h->th - 1];
	if (th->pending && h->t - r->dur >= th->pending->answer && waits(r->kind))
		en_settle(th);
	if (th->loose && waits_for_input(r))
		loose_end(th, h->t - r->dur);
	switch (r->kind) {
	case KP_K_TCP_SEND: case KP_K_TCP_RECV: case KP_K_NET_SEND: case KP_K_NET_RECV:
		return en_message(e, h);
	case KP_K_SCHED_WAKE:
		return woken(e, h);
	case KP_K_SYS_read: case KP_K_SYS_readv: case KP_K_SYS_write: case KP_K_SYS_writev:
		return en_pipe(e, h);
	case KP_K_SCHED_SWITCH:
		if (th->pending && h->t > th->pending->answer && (r->a[0] & TASK_INTERRUPTIBLE))
			en_settle(th);
		return 0;
	case KP_K_PROC_FORK:
		return forked(e, h);
	case KP_K_PROC_EXIT:
		exited(e, h);
		return 0;
	case KP_K_TCP_STATE:
		state(e, h);
		return 0;
	case KP_K_TCP_CONNECT: case KP_K_TCP_ACCEPT:
		role(e, h, r->kind == KP_K_TCP_CONNECT);
		return 0;
	}
	return 0;
}
