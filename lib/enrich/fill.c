/* SPDX-License-Identifier: BSD-2-Clause */
/* As a row leaves the window: whose work does it belong to, and what is that called. */
#include "en.h"

/* Rows that tell of a host, a cgroup or a whole process, not of what a thread did. */
static bool about_thread(const struct kp_row *r)
{
	if (r->flags & KP_F_KEYFRAME)
		return false;
	switch (r->kind) {	/* in an interrupt the task is a bystander, but not of these */
	case KP_K_SCHED_WAKE: case KP_K_BLK_READ: case KP_K_BLK_WRITE: case KP_K_BLK_FLUSH: case KP_K_BLK_DISCARD: case KP_K_BLK_BIO:
		return true;
	case KP_K_TCP_RETRANSMIT:
		return false;
	}
	if (r->flags & (KP_F_SOFTIRQ | KP_F_HARDIRQ))
		return false;
	return r->kind < KP_K_IRQ_SOFT || kp_kind_is_syscall(r->kind);
}

/* May several requests be what it waits for? */
static bool waiting(const struct kp_row *r)
{
	switch (r->kind) {
	case KP_K_SCHED_WAKE: case KP_K_SCHED_SLEEP: case KP_K_SYS_poll: case KP_K_SYS_ppoll: case KP_K_SYS_select:
	case KP_K_SYS_pselect6: case KP_K_SYS_epoll_wait: case KP_K_SYS_epoll_pwait: case KP_K_SYS_epoll_pwait2:
		return true;
	}
	return false;
}

static struct en_work *work_of_row(const struct en_thread *th, const struct en_held *h)
{
	uint64_t end = h->t, start = end - h->row.dur;
	struct en_work *w = en_work_at(th, start, waiting(&h->row));

	if (w || !h->row.dur)
		return w;
	/* it ran from before the request came, and mostly for it */
	if (h->row.kind == KP_K_SCHED_SWITCH)
		return en_work_at(th, start + h->row.dur / 2, false);
	/* the call that took in the message: it began a little earlier */
	if (kp_kind_is_syscall(h->row.kind) && h->row.dur <= EN_SYSCALL_SLACK)
		return en_work_at(th, end, waiting(&h->row));
	return NULL;
}

/* A message's own work; but what a thread asks while it serves a request is part of that. */
static struct en_work *work_of_message(const struct en_thread *th, struct en_work *own)
{
	struct en_work *up;

	if (own->type != EN_CALL || !th)
		return own;
	up = en_work_of(th, own->begin, EN_SERVER, false);
	return up ? up : own;
}

static void set(struct kp_row *r, enum kp_ctx i, const struct kp_str *s)
{
	if (s && !r->ctx[i])
		r->ctx[i] = s;
}

static void fill_span(struct kp_enrich *e, struct en_held *h, const struct en_work *w)
{
	struct kp_row *r = &h->row;
	const struct kp_str *trace = w ? w->ids.trace : NULL;
	struct en_span *s = NULL;

	/* a request whose trace is not known may be any of those that its process is at */
	if (!e->task[h->task - 1].spanless && (!w || trace || !w->ids.request))
		s = en_span_at(e, r->task, r->source, r->end - r->dur, trace);
	if (!s && w)
		s = (struct en_span *)w->span;
	if (!s)
		return;
	s->matched = true;
	set(r, KP_CTX_SPAN, s->id);
	set(r, KP_CTX_TRACE, s->trace);
	set(r, KP_CTX_SERVICE, s->service);
	set(r, KP_CTX_REQUEST, en_span_request(e, s->trace));
	set(r, KP_CTX_OP, s->name);
}

void en_fill(struct kp_enrich *e, struct en_held *h)
{
	struct kp_row *r = &h->row;
	const struct en_thread *th = h->th ? &e->th[h->th - 1] : NULL;
	struct en_work *w = NULL;
	const struct kp_str *service;
	bool strong = false;

	if (!th || !about_thread(r))
		return;
	w = h->own ? work_of_message(th, h->own) : work_of_row(th, h);
	if (w) {
		en_resolve(e, w, 0);
		set(r, KP_CTX_OP, w->ids.op);
		set(r, KP_CTX_REQUEST, w->ids.request);
		set(r, KP_CTX_TRACE, w->ids.trace);
		set(r, KP_CTX_TXN, w->ids.txn);
	}
	if (e->spans.n)
		fill_span(e, h, w);
	service = en_service(e, &e->task[h->task - 1], th, &strong);
	if (strong || r->ctx[KP_CTX_OP] || r->ctx[KP_CTX_REQUEST])
		set(r, KP_CTX_SERVICE, service);
	e->st.attributed += r->ctx[KP_CTX_OP] || r->ctx[KP_CTX_REQUEST] || r->ctx[KP_CTX_TRACE];
}
