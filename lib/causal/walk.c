/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backward from the end of the target. At any time the walk is in one thread;
 * it takes the piece of the thread's life that ends there, gives its time to a
 * cause or goes on in the thread that ended it, and comes back to the caller
 * when it reaches the time of the call. Every nanosecond is given once: a step
 * always ends where the one before it began.
 */
#include <errno.h>
#include <stdlib.h>

#include <kp/kinds.h>

#include "walk.h"

#define DEEP 48			/* calls inside calls; more is a cycle */
#define CHAIN 8			/* holders behind holders: more is a convoy, and the last known will do */
#define SAME_TIME 16		/* hops without time passing; more is a cycle */

struct frame { uint32_t th; uint64_t floor; const struct kc_ev *busy; };

struct state {
	struct kc_walk *k;
	struct frame frame[DEEP]; uint32_t depth;
	uint32_t th;		/* where we are */
	uint64_t t;		/* all after it is explained */
	const struct kp_str *label[DEEP + 1]; /* what the call at this depth asked for */
	uint32_t hops;
};

static uint64_t floor_of(const struct state *s)
{
	uint64_t f = s->k->start;

	for (uint32_t i = 0; i < s->depth; i++)
		if (s->frame[i].floor > f)
			f = s->frame[i].floor;
	return f;
}

static void step(struct state *s, uint64_t from, uint16_t kind, uint8_t st, const struct kp_str *what)
{
	struct kc_walk *k = s->k;
	struct kc_step *last = k->nstep ? &k->step[k->nstep - 1] : NULL;

	if (from >= s->t || k->err)
		return;
	k->agg[kind].ns += s->t - from;
	if (last && last->th == s->th && last->depth == s->depth && last->kind == kind && last->state == st && last->what == what) {
		last->from = s->t = from;
		return;
	}
	if (!k->step || k->nstep == k->cap_step) {
		struct kc_step *n = kc_grow(k->step, &k->cap_step, sizeof(*n));

		if (!n) {
			k->err = -ENOMEM;
			return;
		}
		k->step = n;
	}
	k->step[k->nstep++] = (struct kc_step){ from, s->t, s->th, s->depth, kind, st, what };
	s->t = from;
}

static void book(struct state *s, const struct kc_verdict *v, uint16_t kind, uint64_t ns)
{
	struct kc_agg *a = &s->k->agg[kind];
	uint64_t all = 0;

	if (v->observed)
		a->observed_ns += ns;
	if (v->obj && ns > a->obj_ns) {
		a->obj = v->obj;
		a->obj_ns = ns;
	}
	if (ns >= a->victim_ns) {
		a->victim = s->th;
		a->victim_ns = ns;
	}
	if (kind != v->kind)
		return;
	kc_proof_add(a, v->ev, v->says, ns, v->observed);
	for (uint32_t i = 0; i < v->nculprit; i++)
		all += v->culprit[i].weight;
	for (uint32_t i = 0; i < v->nculprit; i++) {
		double part = (double)v->culprit[i].weight / (double)(all > ns ? all : ns);

		kc_blame_add(s->k, kind, v->culprit[i].th, (double)ns * part, v->culprit[i].why);
	}
}

/* Gives [lo, t] to the verdict's cause, or parts of it to two. */
static void give(struct state *s, uint64_t lo, const struct kc_verdict *v, uint8_t st)
{
	uint64_t ns = s->t - lo, first = (uint64_t)(v->part * (double)ns);

	if (first >= ns || v->rest == v->kind)
		first = ns;
	book(s, v, v->kind, first);
	step(s, s->t - first, v->kind, st, v->what);
	if (first < ns) {
		book(s, v, v->rest, ns - first);
		step(s, lo, v->rest, st, v->what);
	}
}

/* Running: its own work, but for the time it spent freeing memory. */
static void running(struct state *s, const struct kc_piece *p, uint64_t lo)
{
	struct kp_world *w = s->k->w;
	const struct kc_list *l = &w->th[s->th].mem;
	const struct kc_ev *busy = s->depth ? s->frame[s->depth - 1].busy : NULL;
	struct kc_verdict v;

	if (busy && busy->t > lo && busy->t < s->t)
		lo = busy->t;
	kc_cause_cpu(s->k, s->th, p, lo, s->t, &v);
	if (busy && busy->t >= s->t) {	/* it ran, but for others */
		kc_leaf(&v, KP_C_NET_ACCEPT, true);
		v.ev = busy;
		v.says = "the thread that was to serve it answered another until then";
		v.obj = busy->obj;
		v.what = kc_what(s->k, "serves others first");
	}
	if (!v.what && s->depth)
		v.what = s->label[s->depth];
	for (;;) {	/* from the end: the reclaim that reaches furthest to it */
		const struct kc_ev *e, *r = NULL;
		struct kc_verdict m;

		for (uint32_t i = KC_NONE; (e = kc_overlap(w, l, lo + 1, s->t, &i)); )
			if (e->kind == KP_K_MM_RECLAIM && kc_start(e) < s->t && (!r || e->t > r->t))
				r = e;
		if (!r)
			break;
		if (r->t < s->t)
			give(s, r->t, &v, KP_ST_RUNNING);
		struct kc_wait t = { .th = s->th, .p = p, .from = kc_start(r) > lo ? kc_start(r) : lo, .to = s->t,
				     .class = KC_W_RECLAIM };
		m = (struct kc_verdict){ 0 };
		kc_cause_reclaim(s->k, &t, &m);
		give(s, t.from, &m, KP_ST_RUNNING);
		if (s->t <= lo || s->k->err)
			return;
	}
	if (s->t > lo)
		give(s, lo, &v, KP_ST_RUNNING);
}

/* Asleep for a resource, and not on its own account. */
static bool for_resource(const struct kc_wait *h)
{
	return KC_IS(h->class) & (KC_IS(KC_W_RECLAIM) | KC_IS(KC_W_SWAP) | KC_IS(KC_W_OOM) | KC_IS(KC_W_PAGE) | KC_IS(KC_W_DIO) |
				  KC_IS(KC_W_BUFFER) | KC_IS(KC_W_BLKQ) | KC_IS(KC_W_SYNC) | KC_IS(KC_W_JOURNAL) |
				  KC_IS(KC_W_DIRTY) | KC_IS(KC_W_QUOTA) | KC_IS(KC_W_STOPPED));
}

static bool for_lock(const struct kc_wait *h)
{
	return KC_IS(h->class) & (KC_IS(KC_W_FUTEX) | KC_IS(KC_W_FLOCK) | KC_IS(KC_W_KLOCK) | KC_IS(KC_W_SYSV));
}

/* Gives [lo, t] to a verdict on what the holder waited for, as something that it did on the waiter's behalf. */
static void give_holder(struct state *s, uint32_t holder, uint64_t lo, const struct kc_verdict *v, uint8_t st)
{
	uint32_t th = s->th;

	s->frame[s->depth++] = (struct frame){ th, lo, NULL };
	s->label[s->depth] = NULL;
	s->th = holder;
	give(s, lo, v, st);
	s->th = th;
	s->depth--;
}

/*
 * A lock is held for as long as its holder takes: where that was waiting for a CPU or a device itself, those are the
 * cause, where it waited for the same lock, or for another, whoever had that then, and else it is the holder's doing.
 */
static void held(struct state *s, const struct kc_wait *t, const struct kc_verdict *lock, uint32_t holder, uint64_t lo, uint32_t chain)
{
	struct kp_world *w = s->k->w;

	s->k->err = s->k->err ? s->k->err : kc_timeline(w, holder);
	while (s->t > lo && !s->k->err) {
		const struct kc_piece *p = kc_piece_at(w, holder, s->t);
		uint64_t from = p && p->from > lo ? p->from : lo;
		struct kc_verdict v = *lock;
		struct kc_wait h = { .class = KC_W_UNKNOWN };
		uint32_t before = KC_NONE;

		if (p && p->state == KC_BLOCKED) {
			kc_wait_at(s->k, holder, p, from, s->t, &h);
			before = kc_lock_before(s->k, t, &h);
		}
		if (before != KC_NONE && chain < CHAIN) {
			held(s, t, lock, before, from, chain + 1);
			continue;
		}
		if ((for_lock(&h) || (h.class == KC_W_POLL && t->class == KC_W_POLL)) && chain < CHAIN) {
			kc_judge(s->k, &h, &v);
			if (v.held && v.holder != t->th && v.holder != s->th) {
				v.how = "held a lock that the holder of this one waited for";
				held(s, &h, &v, v.holder, from, chain + 1);
				continue;
			}
			v = *lock;
		}
		if (p && p->state == KC_RUNNABLE && s->depth < DEEP) {
			kc_cause_cpu(s->k, holder, p, from, s->t, &v);
			give_holder(s, holder, from, &v, KP_ST_RUNNABLE);
			continue;
		}
		if (for_resource(&h) && s->depth < DEEP) {
			kc_judge(s->k, &h, &v);
			if (!v.follow && v.kind != KP_C_UNKNOWN) {
				give_holder(s, holder, from, &v, KP_ST_BLOCKED);
				continue;
			}
			v = *lock;
		}
		kc_accuse(&v, holder, s->t - from, lock->how);
		give(s, from, &v, KP_ST_BLOCKED);
	}
}

static bool can_follow(const struct state *s, const struct kc_verdict *v)
{
	return s->depth < DEEP && s->hops < SAME_TIME && v->next != KC_NONE && v->at <= s->t;
}

static void blocked(struct state *s, const struct kc_piece *p, uint64_t lo)
{
	struct kc_verdict v;
	struct kc_wait t;

	kc_wait_at(s->k, s->th, p, lo, s->t, &t);
	kc_judge(s->k, &t, &v);
	if (v.held) {
		held(s, &t, &v, v.holder, lo, 0);
		s->hops = 0;
		return;
	}
	if (!v.follow) {
		give(s, lo, &v, KP_ST_BLOCKED);
		return;
	}
	if (v.at <= lo) {	/* it was under way before all that is asked about */
		v.follow = false;
		give(s, lo, &v, KP_ST_REMOTE);
		return;
	}
	if (!can_follow(s, &v)) {
		kc_leaf(&v, KP_C_UNKNOWN, false);
		give(s, lo, &v, KP_ST_BLOCKED);
		return;
	}
	s->hops = v.at < s->t ? 0 : s->hops + 1;
	if (v.at < s->t)
		give(s, v.at, &v, KP_ST_REMOTE);
	/* never before the caller's own floor, or it could not be returned to in time */
	if (v.floor < floor_of(s) || v.floor >= s->t)
		v.floor = v.floor >= s->t ? lo : floor_of(s);
	s->frame[s->depth++] = (struct frame){ v.back, v.floor, v.busy };
	s->label[s->depth] = v.what;
	s->th = v.next;
}

/* Before a thread was made, whoever made it had the work. */
static bool unborn(struct state *s, const struct kc_piece *p, uint64_t lo)
{
	const struct kc_thread *t = &s->k->w->th[s->th];
	struct kc_verdict v = { .kind = KP_C_UNKNOWN };

	if (!t->born || t->born <= lo || (t->npiece && (s->t > t->piece[0].to || p != t->piece)) || s->hops >= SAME_TIME)
		return false;
	if (t->born < s->t) {	/* made, and not yet seen to be queued */
		kc_leaf(&v, s->t - t->born < KC_MS ? KP_C_CPU_CONTENTION : KP_C_UNKNOWN, false);
		give(s, t->born, &v, KP_ST_RUNNABLE);
	}
	s->hops++;
	s->th = t->parent;
	return true;
}

static void one(struct state *s, uint64_t lo)
{
	struct kc_walk *k = s->k;
	const struct kc_piece *p = kc_piece_at(k->w, s->th, s->t);
	struct kc_verdict v = { .kind = KP_C_UNKNOWN };
	uint64_t from;

	if ((!p || p->state == KC_NOTHING) && unborn(s, p, lo))
		return;
	if (!p || p->state == KC_NOTHING) {	/* nothing is known: up to the next that is */
		const struct kc_thread *th = &k->w->th[s->th];

		from = lo;
		for (uint32_t i = th->npiece; i--; )
			if (th->piece[i].to < s->t) {
				from = th->piece[i].to > lo ? th->piece[i].to : lo;
				break;
			}
		if (p && p->from > from)
			from = p->from;
		kc_leaf(&v, KP_C_UNKNOWN, false);
		give(s, from, &v, KP_ST_BLOCKED);
		s->hops = 0;
		return;
	}
	from = p->from > lo ? p->from : lo;
	switch (p->state) {
	case KC_RUNNING:
		running(s, p, from);
		s->hops = 0;
		break;
	case KC_RUNNABLE:
		kc_cause_cpu(k, s->th, p, from, s->t, &v);
		give(s, from, &v, KP_ST_RUNNABLE);
		s->hops = 0;
		break;
	default:
		blocked(s, p, from);
	}
}

int kc_walk(struct kc_walk *k, uint32_t th, uint64_t end, uint32_t back, uint64_t floor)
{
	struct state s = { .k = k, .th = th, .t = end };

	if (back != KC_NONE) {
		s.frame[s.depth++] = (struct frame){ back, floor, NULL };
		s.label[s.depth] = k->call ? kc_asked(k->w, k->call) : NULL;
	}
	while (s.t > k->start && !k->err) {
		while (s.depth && s.t <= s.frame[s.depth - 1].floor)
			s.th = s.frame[--s.depth].th;
		k->err = kc_timeline(k->w, s.th);
		if (!k->err)
			one(&s, floor_of(&s));
	}
	return k->err;
}

int kc_give(struct kc_walk *k, uint32_t th, uint64_t from, uint64_t to, const struct kc_verdict *v, uint8_t st)
{
	struct state s = { .k = k, .th = th, .t = to };

	give(&s, from, v, st);
	return k->err;
}

void kc_walk_free(struct kc_walk *k)
{
	for (int i = 0; i < KP_C_MAX; i++)
		free(k->agg[i].blame);
	free(k->step);
	free(k->fault);
	free(k->recl);
}
