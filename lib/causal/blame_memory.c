/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who made memory scarce. In whose context a page was evicted is seen, but says little: at a limit, whoever
 * allocates next has to evict, the victim included. Whose growth made it so is concluded: a charge evicts
 * something only while the group is under reclaim; what was charged when there was still room evicted nothing.
 * So growth counts from when reclaim began, in the group whose limit it was, to the moment of the eviction.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kp/kinds.h>
#include <kp/util.h>

#include "walk.h"

#define BUCKET (100 * KC_MS)
#define QUIET 10		/* buckets without eviction that still belong to one spell of pressure */
#define FILL_WINDOW (5 * KC_SEC)	/* page cache is given up first: only recent filling pushes others out */
#define SCOPES 4
#define MAX_BUCKETS 360000	/* ten hours */

struct scope {		/* whose memory was short */
	const char *path; size_t len;	/* a cgroup; len 0: the whole host */
	uint32_t host;
	uint8_t *active;	/* per bucket since mem_from: was it under reclaim? */
	double *weight;		/* per bucket: the path's time that its evictions cost, ns */
};

struct proc { uint32_t th; double score, grown, sum, fill; uint64_t since, low_at; double low, evicted; };

struct memory {
	struct kc_walk *k;
	uint32_t victim;
	struct scope scope[SCOPES]; uint32_t nscope;
	struct proc *proc; uint32_t nproc, cap_proc;
	uint32_t nbucket;
	double pages;
};

static struct proc *proc_of(struct memory *m, uint32_t th)
{
	for (uint32_t i = 0; i < m->nproc; i++)
		if (kc_same_proc(m->k->w, m->proc[i].th, th))
			return &m->proc[i];
	if (m->nproc == m->cap_proc) {
		struct proc *p = kc_grow(m->proc, &m->cap_proc, sizeof(*p));

		if (!p) {
			m->k->err = -ENOMEM;
			return NULL;
		}
		m->proc = p;
	}
	m->proc[m->nproc] = (struct proc){ .th = th };
	return &m->proc[m->nproc++];
}

static bool in_scope(const struct memory *m, const struct scope *s, uint32_t th)
{
	const struct kp_str *cg = kc_cgroup(m->k->w, th, KP_CG_MEMORY);

	if (th == KC_NONE || m->k->w->th[th].host != s->host)
		return false;
	return !s->len || (cg && kc_cg_below(cg->p, cg->len, s->path, s->len));
}

static uint32_t bucket(const struct memory *m, uint64_t t)
{
	uint64_t b = t > m->k->w->mem_from ? (t - m->k->w->mem_from) / BUCKET : 0;

	return b < m->nbucket ? (uint32_t)b : m->nbucket - 1;
}

/* The group whose limit was full: the nearest with a limit that is used up; unknown limits leave the group itself. */
static size_t full_group(const struct memory *m, const char *path, size_t len)
{
	const struct kp_world *w = m->k->w;
	size_t best = 0;

	for (uint32_t i = 0; i < w->cg.n; i++) {
		const struct kc_ev *e = &w->ev[w->cg.v[i]];
		const struct kp_str *n = e->obj ? e->obj->name : NULL;

		if (e->kind == KP_K_CG_LIMIT && n && n->len > best && e->a[0] && e->a[1] >= e->a[0] / 5 * 4 &&
		    kc_cg_below(path, len, n->p, n->len))
			best = n->len;
	}
	return best ? best : len;
}

static bool is_kswapd(const struct memory *m, uint32_t th)
{
	const struct kp_str *c = th == KC_NONE ? NULL : m->k->w->th[th].task->comm;

	return c && c->len >= 6 && !memcmp(c->p, "kswapd", 6);
}

/* Did the thread reclaim for the whole host at that time? */
static bool host_wide(const struct memory *m, uint32_t th, uint64_t t)
{
	const struct kc_ev *e;

	if (is_kswapd(m, th))
		return true;
	for (uint32_t i = KC_NONE; th != KC_NONE && (e = kc_overlap(m->k->w, &m->k->w->th[th].mem, t, t, &i)); )
		if (e->kind == KP_K_MM_RECLAIM)
			return e->a[0] == 0;
	return false;
}

static uint32_t scope_of(struct memory *m, uint32_t by, uint64_t t)
{
	const struct kp_world *w = m->k->w;
	const struct kp_str *v = kc_cgroup(w, m->victim, KP_CG_MEMORY), *e = kc_cgroup(w, by, KP_CG_MEMORY);
	const char *path = v ? v->p : "";
	size_t len = v ? v->len : 0;

	if (host_wide(m, by, t)) {
		len = 0;
	} else if (by != KC_NONE && !kc_is_kthread(w, by) && e && v && e != v) {
		size_t n = 0, cut = 0;	/* what both have in common */

		for (; n < v->len && n < e->len && v->p[n] == e->p[n]; n++)
			if (v->p[n] == '/')
				cut = n;
		len = (n == v->len && (n == e->len || e->p[n] == '/')) || (n == e->len && v->p[n] == '/') ? n : cut;
	} else if (len) {
		len = full_group(m, path, len);
	}
	if (len == 1 && *path == '/')
		len = 0;
	for (uint32_t i = 0; i < m->nscope; i++)
		if (m->scope[i].len == len && !memcmp(m->scope[i].path, path, len))
			return i;
	if (m->nscope == SCOPES)
		return SCOPES - 1;
	m->scope[m->nscope] = (struct scope){ path, len, w->th[m->victim].host, calloc(m->nbucket, 1),
						calloc(m->nbucket, sizeof(double)) };
	m->nscope++;
	if (!m->scope[m->nscope - 1].active || !m->scope[m->nscope - 1].weight) {
		m->k->err = -ENOMEM;
		return KC_NONE;
	}
	return m->nscope - 1;
}

/* Marks the buckets in which something of the scope was evicted. */
static void find_pressure(struct memory *m, struct scope *s)
{
	const struct kp_world *w = m->k->w;

	for (uint32_t i = 0; i < w->count.n; i++) {
		const struct kc_ev *e = &w->ev[w->count.v[i]];

		/* reclaimed: freed under pressure; evicted also counts what was merely dropped */
		if (e->a[3] && in_scope(m, s, e->th))
			s->active[bucket(m, e->t)] = 1;
	}
	for (uint32_t i = 0; i < w->reclaim.n; i++) {
		const struct kc_ev *e = &w->ev[w->reclaim.v[i]];

		if (in_scope(m, s, e->th) && (e->a[0] || !s->len))
			for (uint32_t b = bucket(m, kc_start(e)); b <= bucket(m, e->t); b++)
				s->active[b] = 1;
	}
}

static uint64_t spell_began(const struct memory *m, const struct scope *s, uint32_t b)
{
	uint32_t first = b, quiet = 0;

	while (b && quiet <= QUIET) {
		quiet = s->active[b] ? 0 : quiet + 1;
		if (!quiet)
			first = b;
		b--;
	}
	return m->k->w->mem_from + (first ? first - 1 : 0) * BUCKET;
}

/* Cache that a process filled for the first time: what it merely read again did not make memory scarcer. */
static void less_refaults(struct memory *m, uint64_t from, uint64_t to)
{
	const struct kp_world *w = m->k->w;

	for (uint32_t i = kc_list_from(w, &w->faults, from); i < w->faults.n; i++) {
		const struct kc_ev *e = &w->ev[w->faults.v[i]];
		struct proc *p;

		if (e->t > to)
			break;
		p = e->th != KC_NONE ? proc_of(m, e->th) : NULL;
		if (p)
			p->fill -= (double)e->a[0];
	}
}

/* Growth of each process of the scope from the beginning of the pressure, at its lowest, to the end of bucket b. */
static void growth_at(struct memory *m, const struct scope *s, uint32_t b)
{
	const struct kp_world *w = m->k->w;
	uint64_t to = w->mem_from + (b + 1) * BUCKET, from = spell_began(m, s, b);
	uint64_t fill_from = to > FILL_WINDOW && to - FILL_WINDOW > from ? to - FILL_WINDOW : from;

	for (uint32_t i = 0; i < m->nproc; i++)
		m->proc[i].sum = m->proc[i].low = m->proc[i].fill = 0, m->proc[i].low_at = from;
	for (uint32_t i = kc_list_from(w, &w->count, from); i < w->count.n; i++) {
		const struct kc_ev *e = &w->ev[w->count.v[i]];
		struct proc *p;

		if (e->t > to + BUCKET)
			break;
		if (!in_scope(m, s, e->th))
			continue;
		p = proc_of(m, e->th);
		if (!p)
			return;
		if (!p->low_at)
			p->low_at = from;
		p->sum += (double)e->ret;
		if (p->sum < p->low) {
			p->low = p->sum;
			p->low_at = e->t;
		}
		if (e->t > fill_from)
			p->fill += (double)e->a[1];
	}
	less_refaults(m, fill_from, to + BUCKET);
}

static void score(struct memory *m, const struct scope *s, uint32_t b, double weight)
{
	uint64_t to = m->k->w->mem_from + (b + 1) * BUCKET;
	double total = 0;

	growth_at(m, s, b);
	for (uint32_t i = 0; i < m->nproc; i++)
		total += m->proc[i].sum - m->proc[i].low + (m->proc[i].fill > 0 ? m->proc[i].fill : 0);
	if (total < 64)		/* a quarter of a megabyte: nobody grew */
		return;
	for (uint32_t i = 0; i < m->nproc; i++) {
		struct proc *p = &m->proc[i];
		double g = p->sum - p->low + (p->fill > 0 ? p->fill : 0);

		p->score += weight * g / total;
		if (g > p->grown) {
			p->grown = g;
			p->since = to > p->low_at ? to - p->low_at : 0;
		}
	}
}

/* What the group was seen to use, in pages, 0 not known. */
static uint64_t used_by(const struct kp_world *w, const struct scope *s)
{
	uint64_t most = 0;

	for (uint32_t i = 0; s->len && i < w->cg.n; i++) {
		const struct kc_ev *e = &w->ev[w->cg.v[i]];
		const struct kp_str *n = e->obj ? e->obj->name : NULL;

		if (e->kind == KP_K_CG_LIMIT && n && n->len == s->len && !memcmp(n->p, s->path, n->len) && e->a[1] / 4096 > most)
			most = e->a[1] / 4096;
	}
	return most;
}

/* No growth in the recording: it was before. Who holds most was then the likeliest, if it is most by far, and much. */
static struct proc *holder(struct memory *m, const struct scope *s)
{
	const struct kp_world *w = m->k->w;
	uint64_t most = 0, second = 0;
	uint32_t who = KC_NONE;

	for (uint32_t i = 0; i < w->keys.n; i++) {
		const struct kc_ev *e = &w->ev[w->keys.v[i]];

		if (!in_scope(m, s, e->th) || kc_same_proc(w, e->th, who))
			continue;
		if (e->a[2] > most) {
			second = most;
			most = e->a[2];
			who = e->th;
		} else if (e->a[2] > second) {
			second = e->a[2];
		}
	}
	return who != KC_NONE && most > 2 * second && most >= 256 && most >= used_by(w, s) / 2 ? proc_of(m, who) : NULL;
}

static struct proc *best_other(struct memory *m, double *all, double *own)
{
	struct proc *best = NULL;

	*all = *own = 0;
	for (uint32_t i = 0; i < m->nproc; i++) {
		struct proc *p = &m->proc[i];

		*all += p->score;
		if (kc_same_proc(m->k->w, p->th, m->victim))
			*own += p->score;
		else if (p->score > 0 && (!best || p->score > best->score))
			best = p;
	}
	return best;
}

static void in_words(struct memory *m, struct kc_agg *a, const struct proc *p, const struct scope *s, bool guess)
{
	char sz[32], cg[96] = "the host";

	if (s->len)
		kp_escape(cg, sizeof(cg), s->path, s->len);
	if (m->pages > 0)
		snprintf(a->why[0], sizeof(a->why[0]), "%.0f of %.0f pages evicted in its context", p->evicted, m->pages);
	if (guess)
		snprintf(a->why[1], sizeof(a->why[1]), "it holds most memory in %s, and did before the recording began", cg);
	else if (p->grown > 0)
		snprintf(a->why[1], sizeof(a->why[1]), "it grew by %s in %s in the %.1f s before",
			 kp_fmt_bytes(sz, (uint64_t)(p->grown * 4096)), cg, (double)p->since / KC_SEC);
}

static void conclude(struct memory *m, uint16_t kind)
{
	struct kc_agg *a = &m->k->agg[kind];
	const struct scope *s = &m->scope[0];
	struct proc *best, *p;
	double all, own;
	bool guess = false;

	best = best_other(m, &all, &own);
	if (all <= 0 && m->pages > 0) {	/* contexts are all there is */
		for (uint32_t i = 0; i < m->nproc; i++)
			if (!kc_is_kthread(m->k->w, m->proc[i].th))
				m->proc[i].score = m->proc[i].evicted * (double)a->ns / m->pages;
		best = best_other(m, &all, &own);
		a->confidence = 0.5;
		if (own >= all / 2)
			best = NULL, all = 0;
	}
	if (!best && all <= 0 && (p = holder(m, s))) {
		guess = true;
		if (!kc_same_proc(m->k->w, p->th, m->victim)) {
			best = p;
			p->score = all = (double)a->ns;
			a->confidence = 0.3;
		}
	}
	for (uint32_t i = 0; i < m->nproc; i++)
		if (all > 0 && m->proc[i].score / all > 0.01)
			kc_blame_add(m->k, kind, m->proc[i].th, m->proc[i].score / all * (double)a->ns,
				     guess ? "holds most of the group's memory" : "grew while memory was short");
	if (best && best->score > own)
		in_words(m, a, best, s, guess);
	else if (own > 0)
		snprintf(a->why[1], sizeof(a->why[1]), "nobody grew more than the victim itself while memory was short");
	if (!a->confidence)
		a->confidence = best && best->evicted * 2 >= m->pages ? 0.9 : 0.7;
}

static void run(struct memory *m, uint16_t kind)
{
	for (uint32_t s = 0; s < m->nscope && !m->k->err; s++) {
		find_pressure(m, &m->scope[s]);
		for (uint32_t b = 0; b < m->nbucket; b++)
			if (m->scope[s].weight[b] > 0) {
				m->scope[s].active[b] = 1;
				score(m, &m->scope[s], b, m->scope[s].weight[b]);
			}
	}
	if (m->nscope && !m->k->err)
		conclude(m, kind);
	for (uint32_t s = 0; s < m->nscope; s++) {
		free(m->scope[s].active);
		free(m->scope[s].weight);
	}
	free(m->proc);
	free(m);
}

static struct memory *begin(struct kc_walk *k, uint16_t kind)
{
	struct memory *m = calloc(1, sizeof(*m));
	uint64_t n = (k->w->last - k->w->mem_from) / BUCKET + 2;

	if (!m) {
		k->err = -ENOMEM;
		return NULL;
	}
	m->k = k;
	m->victim = k->agg[kind].victim;
	m->nbucket = n < MAX_BUCKETS ? (uint32_t)n : MAX_BUCKETS;
	return m;
}

void kc_blame_refault(struct kc_walk *k)
{
	struct memory *m = k->nfault ? begin(k, KP_C_MEMORY_REFAULT) : NULL;

	for (uint32_t i = 0; m && i < k->nfault; i++) {
		const struct kc_ev *e = k->fault[i].ev;
		uint64_t when = e->a[1] < e->t ? e->t - e->a[1] : 0;
		uint32_t s = scope_of(m, e->pth, when);
		struct proc *p = e->pth != KC_NONE ? proc_of(m, e->pth) : NULL;

		if (s == KC_NONE)
			break;
		m->pages += (double)e->a[0];
		if (p)
			p->evicted += (double)e->a[0];
		if (p && e->a[2] == 2)	/* dropped on purpose: no need to conclude */
			p->score += (double)k->fault[i].ns;
		else
			m->scope[s].weight[bucket(m, when)] += (double)k->fault[i].ns;
	}
	if (m)
		run(m, KP_C_MEMORY_REFAULT);
}

void kc_blame_reclaim(struct kc_walk *k)
{
	struct memory *m = k->nrecl ? begin(k, KP_C_MEMORY_RECLAIM) : NULL;

	for (uint32_t i = 0; m && i < k->nrecl; i++) {
		const struct kc_ev *e = k->recl[i].ev;
		uint32_t s = scope_of(m, e->th, e->t);

		if (s == KC_NONE)
			break;
		m->scope[s].weight[bucket(m, e->t)] += (double)k->recl[i].ns;
	}
	if (m)
		run(m, KP_C_MEMORY_RECLAIM);
}
