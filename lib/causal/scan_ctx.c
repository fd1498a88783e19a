/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests whose messages cannot be read (TLS, other protocols, transactions): from the first to the last row of an id. */
#include <errno.h>
#include <stdlib.h>

#include "scan.h"

#define STALE (30 * KC_SEC)	/* no row for so long: it is over */
#define MANY 65536u		/* ids at a time */

static uint32_t slot_of(const struct kp_scan *s, const struct kp_str *id)
{
	uint32_t k = (uint32_t)((uintptr_t)id * 0x9e3779b97f4a7c15ull >> 40) & (s->cap_ctx - 1);

	while (s->ctx[k].id && s->ctx[k].id != id)
		k = (k + 1) & (s->cap_ctx - 1);
	return k;
}

static void over(struct kp_scan *s, const struct sc_ctx *c)
{
	sc_offer(s, s->ctx_best, &s->nctx_best, &c->t, false);
}

/* Twice the room, or the same without what is over; the oldest go where there are too many. */
static int rehash(struct kp_scan *s, uint64_t now)
{
	struct sc_ctx *old = s->ctx;
	uint32_t n = s->cap_ctx, cap = n ? n : 64, live = 0;

	for (uint32_t i = 0; i < n; i++)
		live += old[i].id && old[i].last + STALE >= now;
	if (live * 2 >= cap && cap < MANY * 2)
		cap *= 2;
	s->ctx = calloc(cap, sizeof(*s->ctx));
	if (!s->ctx) {
		s->ctx = old;
		return -ENOMEM;
	}
	s->cap_ctx = cap;
	s->nctx = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (!old[i].id)
			continue;
		if (old[i].last + STALE < now || s->nctx >= MANY - MANY / 4) {
			over(s, &old[i]);
			continue;
		}
		s->ctx[slot_of(s, old[i].id)] = old[i];
		s->nctx++;
	}
	free(old);
	return 0;
}

static void put(struct sc_ctx *c, const struct kp_row *r, uint32_t host, uint64_t start, uint64_t end)
{
	struct kp_target *t = &c->t;
	const struct kp_str *const *x = r->ctx;

	c->last = end;
	/* the first service that had to do with it is the one that is explained */
	if (!t->task || (start < t->start && (host != c->host || r->task->tgid != c->tgid))) {
		*t = (struct kp_target){ .source = r->source, .task = r->task, .start = start, .end = end };
		c->host = host;
		c->tgid = r->task->tgid;
	} else if (host != c->host || r->task->tgid != c->tgid) {
		return;
	}
	t->start = start < t->start ? start : t->start;
	if (end >= t->end) {
		t->end = end;
		t->task = r->task;
		t->source = r->source;
	}
	t->request = t->request ? t->request : x[KP_CTX_REQUEST];
	t->trace = t->trace ? t->trace : x[KP_CTX_TRACE];
	t->txn = t->txn ? t->txn : x[KP_CTX_TXN];
	t->service = t->service ? t->service : x[KP_CTX_SERVICE];
	t->op = t->op ? t->op : x[KP_CTX_OP];
}

int sc_context(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, uint64_t t)
{
	const struct kp_str *id = r->ctx[s->o.by == KP_SEL_TXN ? KP_CTX_TXN : s->o.by == KP_SEL_TRACE ? KP_CTX_TRACE : KP_CTX_REQUEST];
	uint32_t k;

	if (!id || !r->task || (r->flags & (KP_F_KEYFRAME | KP_F_SOFTIRQ | KP_F_HARDIRQ | KP_F_OPEN)))
		return 0;
	if (s->id && id != s->id) {
		sc_seen(s, id);
		return 0;
	}
	/* without spans messages tell better */
	if (!s->id && !r->ctx[KP_CTX_SPAN])
		return 0;
	if (s->nctx * 2 >= s->cap_ctx && rehash(s, t))
		return -ENOMEM;
	k = slot_of(s, id);
	if (!s->ctx[k].id) {
		s->ctx[k].id = id;
		s->nctx++;
	}
	put(&s->ctx[k], r, kc_host_of(h, r->source), t - r->dur, t);
	return 0;
}

void sc_ctx_done(struct kp_scan *s)
{
	for (uint32_t i = 0; i < s->cap_ctx; i++)
		if (s->ctx[i].id)
			over(s, &s->ctx[i]);
}
