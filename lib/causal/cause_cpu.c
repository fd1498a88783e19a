/* SPDX-License-Identifier: BSD-2-Clause */
/* Running, and waiting for a CPU: who ran on it meanwhile, or which quota was used up. */
#include "walk.h"

#define CG_BETWEEN (3 * KC_SEC)	/* cgroup figures are polled: one before and one after the wait are enough */
#define RAN_LATELY (100 * KC_MS)	/* a usual quota period */

/* Did the thread's CPU group get throttled around [from, to]? By the growth of throttled_ns between polls. */
static const struct kc_ev *throttled(struct kc_walk *k, uint32_t th, uint64_t from, uint64_t to)
{
	const struct kp_str *cg = kc_cgroup(k->w, th, KP_CG_CPU);
	const struct kc_ev *before = NULL, *e;
	uint32_t i = kc_list_from(k->w, &k->w->cg, from > CG_BETWEEN ? from - CG_BETWEEN : 0);

	for (; cg && i < k->w->cg.n; i++) {
		e = &k->w->ev[k->w->cg.v[i]];
		if (e->t > to + CG_BETWEEN)
			break;
		/* the group or one above it */
		if (e->kind != KP_K_CG_CPU || !e->obj || !e->obj->name || !kc_cg_below(cg->p, cg->len, e->obj->name->p, e->obj->name->len))
			continue;
		if (e->t <= from)
			before = e;
		else if (before && e->obj == before->obj && e->a[0] && e->a[3] > before->a[3])
			return e;
		else if (!before)
			before = e;
	}
	return NULL;
}

/* Who used up the quota: the run time shortly before of all in the group that has it. */
static void blame_group(struct kc_walk *k, uint32_t th, const struct kp_str *group, uint64_t from, uint64_t to, struct kc_verdict *v)
{
	uint64_t since = from > RAN_LATELY ? from - RAN_LATELY : 0;

	for (uint32_t c = 0; c < k->w->ncpu; c++) {
		const struct kc_ev *e;

		for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->cpu[c], since, to, &i)); ) {
			const struct kp_str *cg = kc_cgroup(k->w, e->th, KP_CG_CPU);

			if (cg && kc_cg_below(cg->p, cg->len, group->p, group->len) && !kc_same_proc(k->w, e->th, th))
				kc_accuse(v, e->th, kc_overlap_ns(kc_start(e), e->t, since, to),
					  "ran in the same CPU group and used up its quota");
		}
	}
}

static uint64_t blame_runners(struct kc_walk *k, uint32_t th, const struct kc_piece *p, uint64_t from, uint64_t to,
			      struct kc_verdict *v)
{
	uint32_t slot = k->w->th[th].host * 4096 + (p->cpu & 4095);
	const struct kc_ev *e, *longest = NULL;
	uint64_t busy = 0, most = 0;

	if (slot >= k->w->ncpu)
		return 0;
	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->cpu[slot], from, to, &i)); ) {
		uint64_t ns = kc_overlap_ns(kc_start(e), e->t, from, to);

		if (e->th == KC_NONE || e->th == th || kc_is_idle(k->w, e->th))
			continue;
		busy += ns;
		kc_accuse(v, e->th, ns, "ran on the CPU that was waited for");
		if (ns > most) {
			most = ns;
			longest = e;
		}
	}
	v->ev = longest;
	v->says = "ran on that CPU meanwhile";
	return busy;
}

/* Its stack says so: put to sleep on the way to user space until the quota is filled again (6.18). */
int kc_cause_quota(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kp_str *cg = kc_cgroup(k->w, t->th, KP_CG_CPU);
	const struct kc_ev *q = throttled(k, t->th, t->from, t->to);

	kc_leaf(v, KP_C_CPU_THROTTLED, true);
	v->ev = q ? q : t->wake;
	v->says = q ? "its group's quota was used up" : "its kernel stack shows that it was throttled";
	v->obj = q ? q->obj : NULL;
	v->what = kc_what(k, "throttled: the CPU quota is used up");
	if (q || cg)
		blame_group(k, t->th, q ? q->obj->name : cg, t->from, t->to, v);
	return 1;
}

void kc_cause_cpu(struct kc_walk *k, uint32_t th, const struct kc_piece *p, uint64_t from, uint64_t to, struct kc_verdict *v)
{
	const struct kc_ev *q;
	uint64_t busy;

	*v = (struct kc_verdict){ .kind = KP_C_UNKNOWN };
	if (p->state == KC_RUNNING) {
		kc_leaf(v, KP_C_CPU_SELF, true);
		return;
	}
	kc_leaf(v, KP_C_CPU_CONTENTION, true);
	busy = blame_runners(k, th, p, from, to, v);
	v->what = kc_what(k, "waits for CPU %u", p->cpu);
	if (to - from < KC_MS || busy > (to - from) * 3 / 4)
		return;
	q = throttled(k, th, from, to);
	if (!q)
		return;
	v->nculprit = 0;
	kc_leaf(v, KP_C_CPU_THROTTLED, true);
	v->obj = q->obj;
	v->ev = q;
	v->says = "its group's quota was used up";
	blame_group(k, th, q->obj->name, from, to, v);
}
