/* SPDX-License-Identifier: BSD-2-Clause */
/* Running, and waiting for a CPU: who ran on it meanwhile, or which quota was used up. */
#include "walk.h"

#define CG_BETWEEN (3 * KC_SEC)	/* cgroup figures are polled: one before and one after the wait are enough */
#define MOSTLY 0.75		/* of the time: then all of it; the figures are not exact */
#define RAN_LATELY (100 * KC_MS)	/* a usual quota period */

/* Two polls around [from, to] between which the throttled time of the thread's CPU group, or of one above, grew. */
struct polls { const struct kc_ev *before, *after; };

static bool throttled(struct kc_walk *k, uint32_t th, uint64_t from, uint64_t to, struct polls *p)
{
	const struct kp_str *cg = kc_cgroup(k->w, th, KP_CG_CPU);
	uint32_t i = kc_list_from(k->w, &k->w->cg, from > CG_BETWEEN ? from - CG_BETWEEN : 0);

	*p = (struct polls){ 0 };
	for (; cg && i < k->w->cg.n; i++) {
		const struct kc_ev *e = &k->w->ev[k->w->cg.v[i]];

		if (e->t > to + CG_BETWEEN)
			break;
		if (e->kind != KP_K_CG_CPU || !e->obj || !e->obj->name || !kc_cg_below(cg->p, cg->len, e->obj->name->p, e->obj->name->len))
			continue;
		if (e->t <= from || !p->before) {
			p->before = e;
		} else if (e->obj == p->before->obj && e->a[0] && e->a[3] > p->before->a[3]) {
			p->after = e;
			return true;
		}
	}
	return false;
}

static bool in_group(const struct kp_world *w, uint32_t th, const struct kp_str *group)
{
	const struct kp_str *cg = kc_cgroup(w, th, KP_CG_CPU);

	return cg && kc_cg_below(cg->p, cg->len, group->p, group->len);
}

/* On how many CPUs did the group run? Throttled time is counted for each of them. */
static uint32_t cpus_of(const struct kp_world *w, const struct kp_str *group, uint64_t from, uint64_t to)
{
	const struct kc_ev *e;
	uint32_t n = 0;

	for (uint32_t c = 0; c < w->ncpu; c++)
		for (uint32_t i = KC_NONE; (e = kc_overlap(w, &w->cpu[c], from, to, &i)); )
			if (in_group(w, e->th, group)) {
				n++;
				break;
			}
	return n ? n : 1;
}

/*
 * A throttled thread looks like one that is queued, and others run on its CPU as ever. How much of its queueing
 * between the polls was throttling is in their figures: throttled time per CPU, of all the time that it was queued.
 */
static double throttled_part(struct kc_walk *k, uint32_t th, const struct polls *p)
{
	const struct kc_thread *t = &k->w->th[th];
	uint64_t from = p->before->t, to = p->after->t, queued = 0;
	double ns = (double)(p->after->a[3] - p->before->a[3]);

	if (k->quota.ev == p->after && k->quota.th == th)
		return k->quota.part;
	for (uint32_t i = 0; i < t->npiece; i++)
		if (t->piece[i].state == KC_RUNNABLE)
			queued += kc_overlap_ns(t->piece[i].from, t->piece[i].to, from, to);
	ns /= cpus_of(k->w, p->after->obj->name, from, to);
	k->quota.ev = p->after;
	k->quota.th = th;
	k->quota.part = ns >= (double)queued ? 1 : ns / (double)queued;
	return k->quota.part;
}

/* Who used up the quota: the run time shortly before of all in the group that has it, the waiter's own too. */
static void blame_group(struct kc_walk *k, uint32_t th, const struct kp_str *group, uint64_t from, uint64_t to, struct kc_verdict *v)
{
	uint64_t since = from > RAN_LATELY ? from - RAN_LATELY : 0;

	v->nculprit = 0;
	for (uint32_t c = 0; c < k->w->ncpu; c++) {
		const struct kc_ev *e;

		for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->cpu[c], since, to, &i)); )
			if (in_group(k->w, e->th, group))
				kc_accuse(v, kc_same_proc(k->w, e->th, th) ? th : e->th, kc_overlap_ns(kc_start(e), e->t, since, to),
					  "ran in the same CPU group and used up its quota");
	}
	kc_scale(v, to - from);
}

static void blame_runners(struct kc_walk *k, uint32_t th, const struct kc_piece *p, uint64_t from, uint64_t to,
			      struct kc_verdict *v)
{
	uint32_t slot = k->w->th[th].host * 4096 + (p->cpu & 4095);
	const struct kc_ev *e, *longest = NULL;
	uint64_t most = 0;

	if (slot >= k->w->ncpu)
		return;
	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->cpu[slot], from, to, &i)); ) {
		uint64_t ns = kc_overlap_ns(kc_start(e), e->t, from, to);

		if (e->th == KC_NONE || e->th == th || kc_is_idle(k->w, e->th))
			continue;
		kc_accuse(v, e->th, ns, "ran on the CPU that was waited for");
		if (ns > most) {
			most = ns;
			longest = e;
		}
	}
	v->ev = longest;
	v->says = "ran on that CPU meanwhile";
}

/* Its stack says so: put to sleep on the way to user space until the quota is filled again (6.18). */
int kc_cause_quota(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kp_str *cg = kc_cgroup(k->w, t->th, KP_CG_CPU);
	struct polls p;
	bool seen = throttled(k, t->th, t->from, t->to, &p);

	kc_leaf(v, KP_C_CPU_THROTTLED, true);
	v->ev = seen ? p.after : t->wake;
	v->says = seen ? "its group's quota was used up" : "its kernel stack shows that it was throttled";
	v->obj = seen ? p.after->obj : NULL;
	v->what = kc_what(k, "throttled: the CPU quota is used up");
	if (seen || cg)
		blame_group(k, t->th, seen ? p.after->obj->name : cg, t->from, t->to, v);
	return 1;
}

/* An event loop that ran for somebody else, by what kp-enrich says. */
static const struct kc_ev *ran_for_others(struct kc_walk *k, uint32_t th, const struct kc_piece *p)
{
	const struct kp_target *g = &k->w->target;
	const struct kc_list *l = &k->w->th[th].sched;

	if (th != k->target || !g->request || !g->recv || p->from < g->recv || p->to > g->end)
		return NULL;
	for (uint32_t i = kc_list_from(k->w, l, p->to); i < l->n; i++) {
		const struct kc_ev *e = &k->w->ev[l->v[i]];

		if (e->t > p->to)
			break;
		if (e->kind == KP_K_SCHED_SWITCH && e->th == th)
			return e->request && e->request != g->request ? e : NULL;
	}
	return NULL;
}

void kc_cause_cpu(struct kc_walk *k, uint32_t th, const struct kc_piece *p, uint64_t from, uint64_t to, struct kc_verdict *v)
{
	struct polls q = { 0 };
	double part;

	*v = (struct kc_verdict){ .kind = KP_C_UNKNOWN };
	if (p->state == KC_RUNNING) {
		kc_leaf(v, KP_C_CPU_SELF, true);
		v->ev = ran_for_others(k, th, p);
		if (!v->ev)
			return;
		kc_leaf(v, KP_C_CPU_CONTENTION, true);
		v->says = "ran for other requests";
		v->what = kc_what(k, "serves other requests");
		return;
	}
	kc_leaf(v, KP_C_CPU_CONTENTION, true);
	v->what = kc_what(k, "waits for CPU %u", p->cpu);
	part = to - from >= KC_MS && throttled(k, th, from, to, &q) ? throttled_part(k, th, &q) : 0;
	if (!q.after || part < 1 - MOSTLY) {
		blame_runners(k, th, p, from, to, v);
		return;
	}
	v->kind = KP_C_CPU_THROTTLED;
	v->part = part > MOSTLY ? 1 : part;
	v->obj = q.after->obj;
	v->ev = q.after;
	v->says = "its group's quota was used up";
	blame_group(k, th, q.after->obj->name, from, to, v);
}
