/* SPDX-License-Identifier: BSD-2-Clause */
/* One call for each request that a server received, once it is known how it ended. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

enum { MAX_OPEN = 1 << 16 };	/* more at once: the oldest are told as open */

void kp_enrich_requests(struct kp_enrich *e, kp_request_fn fn, void *arg)
{
	e->tell = fn;
	e->tell_arg = arg;
}

int en_request_begun(struct kp_enrich *e, struct en_work *w)
{
	if (!e->tell)
		return 0;
	if (e->nreq == e->cap_req) {
		uint32_t cap = e->cap_req ? e->cap_req * 2 : 64;
		struct en_work **n = realloc(e->req, cap * sizeof(*n));

		if (!n)
			return -ENOMEM;
		e->req = n;
		e->cap_req = cap;
	}
	e->req[e->nreq++] = en_work_ref(w);
	return 0;
}

static int tell(struct kp_enrich *e, struct en_work *w, struct kp_err *err)
{
	struct en_task *t = &e->task[w->task - 1];
	const struct en_source *s = t->source < e->nsrc ? &e->src[t->source] : NULL;
	uint64_t end = w->answered ? w->answer : w->end == EN_NEVER ? e->now : w->end;
	struct kp_request r = { .source = t->source, .task = t->task, .start = w->begin - (s ? (uint64_t)s->shift : 0),
				.dur = end > w->begin ? end - w->begin : 0, .status = w->status, .failed = w->failed,
				.open = !w->answered };
	bool strong;

	en_resolve(e, w, 0);
	r.service = en_service(e, t, &e->th[t->thread], &strong);
	r.request = w->ids.request;
	r.trace = w->ids.trace;
	r.op = w->ids.op;
	r.inner = w->inner;
	return e->tell(e->tell_arg, &r, err);
}

int en_requests_told(struct kp_enrich *e, bool all, struct kp_err *err)
{
	uint32_t keep = 0;
	int rc = 0;

	for (uint32_t i = 0; i < e->nreq; i++) {
		struct en_work *w = e->req[i];
		uint64_t end = w->answered ? w->answer : w->end;
		bool over = end != EN_NEVER && (w->end != EN_NEVER || e->now > end + 4 * e->hold) && e->now > end + e->hold;

		if (!rc && (over || all || e->nreq - i > MAX_OPEN)) {
			rc = tell(e, w, err);
			en_work_put(w);
		} else {
			e->req[keep++] = w;
		}
	}
	e->nreq = keep;
	return rc;
}

void en_requests_free(struct kp_enrich *e)
{
	for (uint32_t i = 0; i < e->nreq; i++)
		en_work_put(e->req[i]);
	free(e->req);
}
