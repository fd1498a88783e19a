/* SPDX-License-Identifier: BSD-2-Clause */
/* The spans: which of them a thread's moment lies in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

int en_span_add(struct kp_enrich *e, const struct en_span *s)
{
	struct en_spans *sp = &e->spans;

	if (sp->n == sp->cap) {
		uint32_t cap = sp->cap ? sp->cap * 2 : 256;
		struct en_span *v = realloc(sp->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		sp->v = v;
		sp->cap = cap;
	}
	sp->v[sp->n++] = *s;
	sp->sorted = false;
	return 0;
}

static int by_start(const struct en_span *a, const struct en_span *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

static int cmp_pid(const void *x, const void *y, void *arg)
{
	const struct en_span *v = arg, *a = &v[*(const uint32_t *)x], *b = &v[*(const uint32_t *)y];

	return a->pid != b->pid ? (a->pid < b->pid ? -1 : 1) : by_start(a, b);
}

static int cmp_trace(const void *x, const void *y, void *arg)
{
	const struct en_span *v = arg, *a = &v[*(const uint32_t *)x], *b = &v[*(const uint32_t *)y];

	return a->trace != b->trace ? (a->trace < b->trace ? -1 : 1) : by_start(a, b);
}

int en_spans_sort(struct kp_enrich *e)
{
	struct en_spans *sp = &e->spans;
	uint32_t *p = realloc(sp->by_pid, (sp->n + 1) * sizeof(*p)), *t;
	uint64_t *top;

	if (!p)
		return -ENOMEM;
	sp->by_pid = p;
	t = realloc(sp->by_trace, (sp->n + 1) * sizeof(*t));
	if (!t)
		return -ENOMEM;
	sp->by_trace = t;
	for (uint32_t i = 0; i < sp->n; i++)
		p[i] = t[i] = i;
	qsort_r(p, sp->n, sizeof(*p), cmp_pid, sp->v);
	qsort_r(t, sp->n, sizeof(*t), cmp_trace, sp->v);
	for (sp->width = 1; sp->width < sp->n; sp->width *= 2)
		;
	top = realloc(sp->top, 2 * sp->width * sizeof(*top));
	if (!top)
		return -ENOMEM;
	sp->top = top;
	for (uint32_t i = 0; i < sp->width; i++)
		top[sp->width + i] = i < sp->n ? sp->v[p[i]].end : 0;
	for (uint32_t i = sp->width; --i;)
		top[i] = top[2 * i] > top[2 * i + 1] ? top[2 * i] : top[2 * i + 1];
	sp->sorted = true;
	return 0;
}

/* The last place in by_pid, from i downwards, of a span that ends after wall; -1 none. A long span hides no others. */
static int64_t ends_after(const struct en_spans *sp, int64_t i, uint64_t wall)
{
	uint32_t node = sp->width + (uint32_t)i;

	if (i < 0)
		return -1;
	while (sp->top[node] <= wall) {
		while (!(node & 1))
			node /= 2;
		if (node == 1)
			return -1;
		node--;
	}
	while (node < sp->width)
		node = 2 * node + (sp->top[2 * node + 1] > wall);
	return node - sp->width;
}

static bool has(const struct kp_str *path, const struct kp_str *part)
{
	return path && part->len && memmem(path->p, path->len, part->p, part->len);
}

static bool same_file(const struct kp_str *exe, const struct kp_str *name)
{
	const char *a = strrchr(exe->p, '/'), *b = strrchr(name->p, '/');

	return !strcmp(a ? a + 1 : exe->p, b ? b + 1 : name->p);
}

/* A pid alone is little proof: each container has its own 1, each host its own 4711. */
static bool same_process(struct kp_enrich *e, const struct en_span *s, const struct kp_task *t, uint32_t source)
{
	bool named = false, told = false;

	if (s->host && source < e->nsrc && e->src[source].host)
		for (uint32_t i = 0; i < e->nsrc; i++)
			named |= e->src[i].host == s->host;
	if (named && e->src[source].host != s->host)
		return false;
	if (s->container) {
		for (int i = 0; i < KP_CG_MAX; i++) {
			told |= t->cgroup[i] != NULL;
			if (has(t->cgroup[i], s->container))
				return true;
		}
		if (told && t->ns_tgid && t->ns_tgid != t->tgid)
			return false;
	}
	return !s->exe || !t->exe || same_file(t->exe, s->exe);
}

/* The last of those with this pid that began by wall; -1 none. */
static int64_t last_of(const struct en_spans *sp, uint32_t pid, uint64_t wall)
{
	int64_t lo = 0, hi = sp->n;

	while (lo < hi) {
		int64_t mid = (lo + hi) / 2;
		const struct en_span *s = &sp->v[sp->by_pid[mid]];

		if (s->pid < pid || (s->pid == pid && s->start <= wall))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

/* Looks through the spans of pid around wall. false: they are of several traces, and none was asked for. */
static bool look(struct kp_enrich *e, uint32_t pid, const struct kp_task *t, uint32_t source, uint64_t wall,
		 const struct kp_str *trace, struct en_span **best)
{
	const struct en_spans *sp = &e->spans;

	for (int64_t i = pid ? ends_after(sp, last_of(sp, pid, wall), wall) : -1; i >= 0; i = ends_after(sp, i - 1, wall)) {
		struct en_span *s = &sp->v[sp->by_pid[i]];

		if (s->pid != pid)
			break;
		if ((trace ? s->trace != trace : s->claimed) || !same_process(e, s, t, source))
			continue;
		if (*best && (*best)->trace != s->trace)
			return false;
		if (!*best)	/* began last: the innermost */
			*best = s;
	}
	return true;
}

bool en_span_any(const struct kp_enrich *e, const struct kp_task *task)
{
	const struct en_spans *sp = &e->spans;
	uint32_t pid[2] = { task->ns_tgid, task->tgid };

	for (int k = 0; k < 2; k++) {
		int64_t i = pid[k] ? last_of(sp, pid[k], UINT64_MAX) : -1;

		if (i >= 0 && sp->v[sp->by_pid[i]].pid == pid[k])
			return true;
	}
	return false;
}

struct en_span *en_span_at(struct kp_enrich *e, const struct kp_task *task, uint32_t source, uint64_t mono,
			   const struct kp_str *trace)
{
	struct en_span *best = NULL;
	uint64_t wall;

	if (source >= e->nsrc || !e->src[source].known)
		return NULL;
	wall = mono + (uint64_t)e->src[source].wall_off;
	if (!look(e, task->ns_tgid ? task->ns_tgid : task->tgid, task, source, wall, trace, &best))
		return NULL;
	if (!best && task->ns_tgid && task->ns_tgid != task->tgid &&
	    !look(e, task->tgid, task, source, wall, trace, &best))
		return NULL;
	return best;
}

/* The first index of the trace in by_trace; n: none. */
static uint32_t first_of(const struct en_spans *sp, const struct kp_str *trace)
{
	uint32_t lo = 0, hi = sp->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (sp->v[sp->by_trace[mid]].trace < trace)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct en_span *en_span_child(struct kp_enrich *e, const struct kp_str *trace, const struct kp_str *parent)
{
	const struct en_spans *sp = &e->spans;

	for (uint32_t i = first_of(sp, trace); i < sp->n && sp->v[sp->by_trace[i]].trace == trace; i++) {
		struct en_span *s = &sp->v[sp->by_trace[i]];

		if (s->parent == parent && s->kind == 2)
			return s;
	}
	return NULL;
}

void en_span_claim(struct kp_enrich *e, const struct kp_str *trace, const struct en_thread *th)
{
	const struct en_spans *sp = &e->spans;

	for (uint32_t i = first_of(sp, trace); i < sp->n && sp->v[sp->by_trace[i]].trace == trace; i++) {
		struct en_span *s = &sp->v[sp->by_trace[i]];

		s->claimed |= s->pid && (s->pid == th->ns_tgid || s->pid == th->tgid);
	}
}

const struct kp_str *en_span_request(struct kp_enrich *e, const struct kp_str *trace)
{
	const struct en_spans *sp = &e->spans;

	for (uint32_t i = first_of(sp, trace); i < sp->n && sp->v[sp->by_trace[i]].trace == trace; i++)
		if (sp->v[sp->by_trace[i]].request)
			return sp->v[sp->by_trace[i]].request;
	return NULL;
}

const struct kp_str *en_span_service(struct kp_enrich *e, const struct kp_task *task, uint32_t source)
{
	const struct en_spans *sp = &e->spans;
	uint32_t pid[2] = { task->ns_tgid, task->tgid };

	for (int k = 0; k < 2; k++)
		for (int64_t i = pid[k] ? last_of(sp, pid[k], UINT64_MAX) : -1; i >= 0; i--) {
			const struct en_span *s = &sp->v[sp->by_pid[i]];

			if (s->pid != pid[k])
				break;
			if (s->service && same_process(e, s, task, source))
				return s->service;
		}
	return NULL;
}
