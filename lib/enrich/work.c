/* SPDX-License-Identifier: BSD-2-Clause */
/* Pieces of work, and which of them a thread was at. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

enum { EN_SEGS_MIN = 64, EN_SEGS = 1 << 16 };	/* kept of a thread: at least, at most */
#define REACH 8	/* windows: how far back rows and messages that are still to come may have begun, when there is much to keep */

struct en_work *en_work_new(struct kp_enrich *e, uint8_t type, uint32_t th, uint64_t begin)
{
	struct en_work *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->refs = 1;
	w->type = type;
	w->th = th;
	w->begin = begin;
	w->end = EN_NEVER;
	return w;
}

struct en_work *en_work_ref(struct en_work *w)
{
	w->refs++;
	return w;
}

void en_work_put(struct en_work *w)
{
	if (w && !--w->refs)
		free(w);
}

/* Forgets what no row can belong to any more: all before the horizon that ended there, but what the thread was at. */
static void prune(struct en_thread *th, uint64_t horizon)
{
	uint32_t last = 0, keep = 0;

	while (last + EN_SEGS_MIN < th->nseg && th->seg[last + 1].at <= horizon)
		last++;
	for (uint32_t i = 0; i < th->nseg; i++) {
		struct en_seg *s = &th->seg[i];

		if (i < last && (s->w ? s->w->end <= horizon : !keep))
			en_work_put(s->w);
		else
			th->seg[keep++] = *s;
	}
	th->nseg = keep;
}

/* In dire need: thousands of open requests in one thread. The oldest go. */
static void shorten(struct en_thread *th)
{
	uint32_t n = th->nseg / 4;

	for (uint32_t i = 0; i < n; i++)
		en_work_put(th->seg[i].w);
	memmove(th->seg, th->seg + n, (th->nseg - n) * sizeof(*th->seg));
	th->nseg -= n;
}

static int room(struct kp_enrich *e, struct en_thread *th)
{
	struct en_seg *s;
	uint32_t cap;

	if (th->nseg >= EN_SEGS_MIN)
		prune(th, e->now > REACH * e->hold ? e->now - REACH * e->hold : 0);
	if (th->nseg >= EN_SEGS)
		shorten(th);
	if (th->cap && th->nseg * 4 <= th->cap * 3)	/* some of it free: the next time is far away */
		return 0;
	cap = th->cap ? th->cap * 2 : 4;
	s = realloc(th->seg, cap * sizeof(*s));
	if (!s)
		return -ENOMEM;
	th->seg = s;
	th->cap = cap;
	return 0;
}

/* Is other work from before the place i still open at that time? */
static bool more_open(const struct en_thread *th, uint32_t i, const struct en_work *w, uint64_t at)
{
	while (i--) {
		const struct en_seg *s = &th->seg[i];

		if (s->w && s->w != w && en_alive(s->w, at))
			return true;
		if (!s->more)
			break;
	}
	return false;
}

int en_turn(struct kp_enrich *e, struct en_thread *th, uint64_t at, struct en_work *w, bool handed)
{
	uint32_t i;

	if (th->nseg == th->cap && room(e, th))
		return -ENOMEM;
	for (i = th->nseg; i && th->seg[i - 1].at > at; i--) {
		th->seg[i] = th->seg[i - 1];
		th->seg[i].more = true;
	}
	th->seg[i] = (struct en_seg){ at, w ? en_work_ref(w) : NULL, handed, more_open(th, i, w, at) };
	th->nseg++;
	return 0;
}

void en_reopened(struct en_thread *th, uint64_t t)
{
	for (uint32_t i = th->nseg; i && th->seg[i - 1].at > t; i--)
		th->seg[i - 1].more = true;
}

/* The number of segments that begin by t. */
static uint32_t begun(const struct en_thread *th, uint64_t t)
{
	uint32_t lo = 0, hi = th->nseg;

	if (hi && th->seg[hi - 1].at <= t)
		return hi;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (th->seg[mid].at <= t)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct en_work *en_work_of(const struct en_thread *th, uint64_t t, uint8_t type, bool waiting)
{
	struct en_work *found = NULL;
	bool current = false, first = true, more = true;

	for (uint32_t i = begun(th, t); i-- && more;) {
		const struct en_seg *s = &th->seg[i];

		more = s->more;
		if (s->w && (s->w->type != type || (type == EN_CALL && s->w->inner)))
			continue;	/* a call for a request is that request's, or nobody's when it is over */
		if (!s->w) {	/* it was handed nothing since */
			if (first)
				return NULL;
			break;
		}
		if (s->w != found && en_alive(s->w, t)) {
			if (found && !current)
				return NULL;	/* several are open, and it turned to none of them last */
			if (found && waiting)
				return NULL;	/* it waits for whichever comes first */
			if (!found)
				current = first;
			found = found ? found : s->w;
			if (current && !waiting)
				return found;
		}
		first = false;
	}
	return found;
}

struct en_work *en_work_at(const struct en_thread *th, uint64_t t, bool waiting)
{
	struct en_work *w;

	if (!th->nseg || th->seg[0].at > t)
		return NULL;
	w = en_work_of(th, t, EN_SERVER, waiting);
	return w ? w : en_work_of(th, t, EN_CALL, waiting);
}

/* What the message did not say itself is that of the sender's request, unless the two contradict. */
static void inherit(struct en_ids *ids, const struct en_ids *up)
{
	bool same = (!ids->request || !up->request || ids->request == up->request) &&
		    (!ids->trace || !up->trace || ids->trace == up->trace);

	if (same) {
		if (!ids->request)
			ids->request = up->request;
		if (!ids->trace)
			ids->trace = up->trace;
	}
	if (!ids->op)
		ids->op = up->op;
}

void en_resolve(struct kp_enrich *e, struct en_work *w, int depth)
{
	const struct en_thread *th;
	struct en_work *up = NULL;

	if (w->resolved || w->busy || depth > EN_DEPTH)
		return;
	w->busy = true;
	th = w->has_from ? &e->th[w->from] : NULL;
	if (th && w->type == EN_SERVER)
		up = en_work_at(th, w->from_t, false);
	else if (th)
		up = en_work_of(th, w->from_t, EN_SERVER, false);
	if (up && up != w) {
		w->inner = up->type == EN_SERVER || up->inner;
		en_resolve(e, up, depth + 1);
		inherit(&w->ids, &up->ids);
	}
	if (e->spans.n && w->ids.trace) {
		if (!w->ids.request)
			w->ids.request = en_span_request(e, w->ids.trace);
		if (w->type == EN_SERVER)
			en_span_claim(e, w->ids.trace, &e->th[w->th]);
		if (w->type == EN_SERVER && w->ids.parent)
			w->span = en_span_child(e, w->ids.trace, w->ids.parent);
	}
	w->busy = false;
	w->resolved = true;
}

void en_queue_push(struct en_queue *q, struct en_work *w)
{
	if (q->n == EN_QUEUE)
		en_work_put(en_queue_pop(q));
	q->w[q->n++] = en_work_ref(w);
}

struct en_work *en_queue_pop(struct en_queue *q)
{
	struct en_work *w;

	if (!q->n)
		return NULL;
	w = q->w[0];
	memmove(q->w, q->w + 1, --q->n * sizeof(*q->w));
	return w;
}
