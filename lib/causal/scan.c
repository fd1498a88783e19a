/* SPDX-License-Identifier: BSD-2-Clause */
/* The first pass: what is asked for, the best of what fits, and what to say when nothing does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kp/expr.h>
#include <kp/util.h>

#include "scan.h"

#define DAY (86400 * KC_SEC)

int kp_scan_new(struct kp_scan **out, struct kp_pool *pool, const struct kp_select_opts *o)
{
	struct kp_scan *s = calloc(1, sizeof(*s));
	char *id;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->pool = pool;
	s->o = *o;
	s->first = UINT64_MAX;
	s->max = o->by != KP_SEL_SLOWEST || !o->n ? 1 : o->n > SC_MAX ? SC_MAX : o->n;
	s->best = calloc(s->max, sizeof(*s->best));
	s->ctx_best = calloc(s->max, sizeof(*s->ctx_best));
	s->out = calloc(s->max, sizeof(*s->out));
	if (!s->best || !s->ctx_best || !s->out)
		goto fail;
	if (o->id && o->by != KP_SEL_SLOWEST && o->by != KP_SEL_TASK) {
		id = strdup(o->id);	/* as reports print it, with escapes, or as it is */
		s->id = id ? kp_pool_str(pool, id, kp_unescape(id)) : NULL;
		free(id);
		if (!s->id)
			goto fail;
	}
	*out = s;
	return 0;
fail:
	kp_scan_free(s);
	return -ENOMEM;
}

void kp_scan_free(struct kp_scan *s)
{
	if (!s)
		return;
	sc_conns_free(s);
	free(s->best);
	free(s->ctx_best);
	free(s->out);
	free(s->ctx);
	free(s->task);
	free(s);
}

uint64_t sc_end(const struct kp_target *t)
{
	return t->got > t->end ? t->got : t->end;
}

/* A request may have been tried several times, and be passed on: the whole of it, failed before slow. */
static bool better(const struct kp_scan *s, const struct sc_best *a, const struct sc_best *b)
{
	if (s->o.by != KP_SEL_SLOWEST) {
		bool fa = a->t.failed || a->t.status >= 500, fb = b->t.failed || b->t.status >= 500;

		if (a->nested != b->nested)
			return b->nested;
		if (fa != fb)
			return fa;
	}
	return sc_end(&a->t) - a->t.start > sc_end(&b->t) - b->t.start;
}

bool sc_wanted(const struct kp_scan *s, const struct kp_target *t)
{
	switch (s->o.by) {
	case KP_SEL_REQUEST: return t->request == s->id;
	case KP_SEL_TRACE: return t->trace == s->id;
	case KP_SEL_TXN: return t->txn == s->id;
	case KP_SEL_SLOWEST: return true;
	default: return false;
	}
}

void sc_offer(struct kp_scan *s, struct sc_best *best, uint32_t *n, const struct kp_target *t, bool nested)
{
	struct sc_best x = { *t, nested };
	uint32_t i;

	if (!sc_wanted(s, t) || (s->o.by == KP_SEL_SLOWEST && nested) || (*n == s->max && !better(s, &x, &best[*n - 1])))
		return;
	if (*n < s->max)
		(*n)++;
	for (i = *n - 1; i && better(s, &x, &best[i - 1]); i--)
		best[i] = best[i - 1];
	best[i] = x;
}

/* Keeps the ids nearest to the one that is looked for, nearest first. */
void sc_seen(struct kp_scan *s, const struct kp_str *id)
{
	if (!id || id == s->seen)
		return;
	s->seen = id;
	s->ids++;
	if (!s->id || id == s->id || !kp_nearest(s->id->p, s->id->len, (const char *const[]){ id->p }, 1))
		return;
	for (uint32_t i = 0; i < s->nnear; i++)
		if (s->near[i] == id)
			return;
	for (uint32_t i = 0; i < SC_NEAR; i++) {
		const struct kp_str *had = s->near[i];

		if (i == s->nnear) {
			s->near[s->nnear++] = id;
			return;
		}
		/* the first of equals is kept where it is */
		if (kp_nearest(s->id->p, s->id->len, (const char *const[]){ had->p, id->p }, 2) == id->p) {
			s->near[i] = id;
			id = had;
		}
	}
}

static struct sc_task *task_of(struct kp_scan *s, uint32_t host, uint32_t source, const struct kp_task *t)
{
	struct sc_task *n;

	for (uint32_t i = 0; i < s->ntask; i++)
		if (s->task[i].host == host && s->task[i].tid == t->tid)
			return &s->task[i];
	if (s->ntask == s->cap_task) {
		n = kc_grow(s->task, &s->cap_task, sizeof(*n));
		if (!n)
			return NULL;
		s->task = n;
	}
	n = &s->task[s->ntask++];
	*n = (struct sc_task){ .task = t, .host = host, .source = source, .tid = t->tid, .first = UINT64_MAX };
	return n;
}

static int see_task(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, const struct kp_task *t, uint64_t at)
{
	struct sc_task *x;

	if (!t || (s->o.process ? t->tgid : t->tid) != s->o.tid)
		return 0;
	x = task_of(s, kc_host_of(h, r->source), r->source, t);
	if (!x)
		return -ENOMEM;
	if (r->flags & KP_F_KEYFRAME)
		return 0;
	if (x->first > at)
		x->first = at;
	if (t == r->peer && r->kind == KP_K_PROC_FORK)
		x->born = at;
	if (t == r->task) {
		x->task = t;
		x->exited = r->kind == KP_K_PROC_EXIT ? at : x->exited;
		if (r->kind == KP_K_SCHED_SWITCH)
			x->run += r->dur;
	}
	return 0;
}

static int see(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, uint64_t t)
{
	int rc;

	if (s->o.by == KP_SEL_TASK) {
		rc = see_task(s, h, r, r->task, t);
		return rc ? rc : see_task(s, h, r, r->peer, t);
	}
	rc = sc_context(s, h, r, t);
	if (rc)
		return rc;
	switch (r->kind) {
	case KP_K_NET_SEND: case KP_K_NET_RECV: case KP_K_TCP_SEND: case KP_K_TCP_RECV:
		return sc_message(s, h, r, t);
	case KP_K_TCP_STATE:
		sc_state(s, h, r, t);
	}
	return 0;
}

int kp_scan_row(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, struct kp_err *err)
{
	uint64_t t = r->end + (uint64_t)kp_unify(h, r->source);

	if (r->kind == KP_K_LOSS_KERNEL || r->kind == KP_K_LOSS_SHED || r->kind == KP_K_LOSS_STREAM) {
		s->unknown_loss |= r->a[0] == UINT64_MAX;
		s->losses += r->a[0] == UINT64_MAX ? 0 : r->a[0];
		return 0;
	}
	s->rows++;
	if (!(r->flags & KP_F_KEYFRAME)) {
		s->first = t < s->first ? t : s->first;
		s->last = t > s->last ? t : s->last;
	}
	return see(s, h, r, t) ? kp_err(err, ENOMEM, "no memory to look for requests") : 0;
}

/* ---- a task and an interval ---- */

static uint64_t wall_of(const struct kp_header *h, const struct kp_reader *r, uint32_t source, uint64_t mono)
{
	return r ? kp_reader_wall(r, source, mono) : h->sources[source].real0 + (mono - h->sources[source].mono0);
}

static uint64_t mono_of(const struct kp_header *h, const struct kp_reader *r, uint32_t source, uint64_t wall)
{
	return r ? kp_reader_mono(r, source, wall) : h->sources[source].mono0 + (wall - h->sources[source].real0);
}

/* A time of day on the line of the first source; what is outside of the recording becomes its end. */
static int time_of(struct kp_scan *s, const struct kp_header *h, const struct kp_reader *r, uint32_t source, const char *text,
		   uint64_t *t, struct kp_err *err)
{
	uint64_t shift = (uint64_t)kp_unify(h, source), wall, last = wall_of(h, r, source, s->last - shift);
	uint64_t first = wall_of(h, r, source, s->first - shift);

	if (kp_parse_time(text, last, h->sources[source].utc_offset, &wall))
		return kp_err(err, EINVAL, "%s: not a time: give it like 2026-11-25T02:45:30+01:00, 02:45, -10m or @seconds", text);
	/* a time of day: the last such time within the recording */
	if (*text != '@' && *text != '-' && (strlen(text) < 10 || text[4] != '-') && wall > last && wall - DAY >= first)
		wall -= DAY;
	*t = wall <= first ? s->first : wall >= last ? s->last : mono_of(h, r, source, wall) + shift;
	return 0;
}

static int find_task(struct kp_scan *s, const struct kp_header *h, const struct kp_reader *r, struct kp_err *err)
{
	struct kp_target *t = &s->out[0];
	const struct sc_task *best = NULL;
	uint64_t from = s->first, to = s->last;
	uint32_t source = s->ntask ? s->task[0].source : 0;
	int rc = 0;

	if (s->o.since)
		rc = time_of(s, h, r, source, s->o.since, &from, err);
	if (!rc && s->o.until)
		rc = time_of(s, h, r, source, s->o.until, &to, err);
	if (rc)
		return rc;
	if (from >= to)
		return kp_err(err, ENOENT, "nothing of the recording lies between --since and --until");
	for (uint32_t i = 0; i < s->ntask; i++) {
		const struct sc_task *x = &s->task[i];

		if (x->first != UINT64_MAX && x->first < to && (!x->exited || x->exited > from) && (!best || x->run > best->run))
			best = x;
	}
	if (!best)
		return 0;
	*t = (struct kp_target){ .source = best->source, .task = best->task, .start = from, .end = to };
	if (best->born > from && best->born < to)
		t->start = best->born;
	if (best->exited && best->exited < to)
		t->end = best->exited;
	return 1;
}

/* ---- nothing found ---- */

static void when(char out[48], const struct kp_header *h, const struct kp_reader *r, uint64_t t)
{
	char *frac, *zone;

	kp_fmt_wall(out, wall_of(h, r, 0, t), h->sources[0].utc_offset);
	frac = strchr(out, '.');	/* to the ms */
	zone = frac ? frac + strspn(frac, ".0123456789") : NULL;
	if (frac && zone > frac + 4)
		memmove(frac + 4, zone, strlen(zone) + 1);
}

static void what_was_asked(const struct kp_scan *s, char *buf, size_t cap)
{
	char id[80];

	kp_escape(id, sizeof(id), s->id ? s->id->p : "", s->id ? s->id->len : 0);
	switch (s->o.by) {
	case KP_SEL_REQUEST: snprintf(buf, cap, "request %s is not in the recording", id); break;
	case KP_SEL_TRACE: snprintf(buf, cap, "trace %s is not in the recording", id); break;
	case KP_SEL_TXN: snprintf(buf, cap, "transaction %s is not in the recording", id); break;
	case KP_SEL_TASK: snprintf(buf, cap, "%s %u did nothing that was recorded then", s->o.process ? "process" : "thread", s->o.tid); break;
	default: snprintf(buf, cap, "no request was recognised in the recording");
	}
}

static void near_ids(const struct kp_scan *s, char *buf, size_t cap)
{
	size_t n;

	*buf = 0;
	if (s->o.by == KP_SEL_TASK)
		return;
	if (s->o.by == KP_SEL_SLOWEST || !s->ids) {
		snprintf(buf, cap, "; it has no ids: was it recorded with --ids and passed through kp-enrich?");
		return;
	}
	n = (size_t)snprintf(buf, cap, "; %s", s->nnear ? "nearest:" : "no id is near it");
	for (uint32_t i = 0; i < s->nnear && n + 8 < cap; i++) {
		buf[n++] = i ? ',' : ' ';
		if (i)
			buf[n++] = ' ';
		kp_escape(buf + n, cap - n < 70 ? cap - n : 70, s->near[i]->p, s->near[i]->len);
		n += strlen(buf + n);
	}
}

static int not_found(const struct kp_scan *s, const struct kp_header *h, const struct kp_reader *r, struct kp_err *err)
{
	char what[140], near[240], from[48], to[48], lost[64] = "";

	what_was_asked(s, what, sizeof(what));
	if (!s->rows || s->first == UINT64_MAX)
		return kp_err(err, ENOENT, "%s, which is empty", what);
	near_ids(s, near, sizeof(near));
	when(from, h, r, s->first);
	when(to, h, r, s->last);
	if (s->unknown_loss && !s->losses)
		snprintf(lost, sizeof(lost), "; rows of it were lost, it is not known how many");
	else if (s->losses)
		snprintf(lost, sizeof(lost), "; %s%llu rows of it were lost", s->unknown_loss ? "at least " : "",
			 (unsigned long long)s->losses);
	return kp_err(err, ENOENT, "%s; it covers %s to %s%s%s", what, from, to, lost, near);
}

int kp_scan_targets(struct kp_scan *s, const struct kp_header *h, const struct kp_reader *r, const struct kp_target **t,
		    uint32_t *n, struct kp_err *err)
{
	int rc = 0;

	*t = s->out;
	*n = 0;
	sc_finish_all(s);
	sc_ctx_done(s);
	if (s->o.by == KP_SEL_TASK) {
		if (s->rows && s->first != UINT64_MAX)
			rc = find_task(s, h, r, err);
		if (rc < 0)
			return rc;
		*n = (uint32_t)rc;
	} else {
		const struct sc_best *b = s->nbest ? s->best : s->ctx_best;

		*n = s->nbest ? s->nbest : s->nctx_best;
		for (uint32_t i = 0; i < *n; i++)
			s->out[i] = b[i].t;
	}
	return *n ? 0 : not_found(s, h, r, err);
}
