/* SPDX-License-Identifier: BSD-2-Clause */
/* Stopped, slept on purpose, and all that another thread ended: there the walk goes on in that thread. */
#include <kp/kinds.h>

#include "walk.h"

#define ERESTART_RESTARTBLOCK 516	/* the kernel's own */

static bool stops(uint64_t sig)
{
	return sig == 19 || sig == 20 || sig == 21 || sig == 22;
}

int kc_cause_stopped(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kc_ev *e;

	kc_leaf(v, KP_C_PROCESS_STOPPED, true);
	v->ev = t->wake;
	v->says = "was stopped until then";
	v->what = kc_what(k, "stopped");
	for (uint32_t i = kc_list_from(k->w, &k->w->sig, t->p->from > KC_SEC ? t->p->from - KC_SEC : 0); i < k->w->sig.n; i++) {
		e = &k->w->ev[k->w->sig.v[i]];
		if (e->t > t->p->from + KC_MS)
			break;
		if (!kc_same_proc(k->w, e->pth, t->th) || !stops(e->a[0]))
			continue;
		v->nculprit = 0;	/* the last one before it stopped */
		v->ev = e;
		v->says = "the signal that stopped it";
		kc_accuse(v, e->th, t->to - t->from, "sent the signal that stopped it");
	}
	return 1;
}

int kc_cause_timer(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	bool irq = t->wake && t->wake->kind == KP_K_SCHED_WAKE && t->wake->a[0] != 0;
	bool goes_on = t->sys && t->sys->ret == -ERESTART_RESTARTBLOCK; /* it was stopped, and sleeps on after that */

	if (t->class == KC_W_TIMER && kc_by_task(k, t) && !irq && !goes_on)
		return 0;	/* a signal ended the sleep: the waker's doing */
	if (t->class != KC_W_TIMER && !kc_timed_out(t))
		return 0;
	kc_leaf(v, KP_C_TIMER, true);
	v->ev = t->wake;
	v->says = goes_on ? "was in a sleep of its own, which was interrupted" : "its own timer ended the sleep";
	v->what = kc_what(k, "sleeps (%s)", t->sys ? kc_sys_name(t->sys) : kc_class_name(t->class));
	return 1;
}

/* What a thread was working on: the last that it had been asked for. */
static const struct kp_str *working_on(struct kc_walk *k, uint32_t th, uint64_t from, uint64_t to)
{
	const struct kc_list *l = &k->w->th[th].msg;
	uint32_t i = kc_list_from(k->w, l, to + 1);

	while (i--) {
		const struct kc_ev *e = &k->w->ev[l->v[i]];

		if (e->t < from)
			break;
		if (e->label && (e->kind == KP_K_TCP_RECV || e->kind == KP_K_NET_RECV))
			return e->label;
	}
	return NULL;
}

/* Woken by a task: what did that one do meanwhile? Kernel threads are followed too, as they sleep and run like others. */
int kc_cause_waker(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	uint16_t kind = t->class == KC_W_PIPE ? KP_C_PIPE : t->class == KC_W_CHILD ? KP_C_CHILD :
			t->class == KC_W_TIMER ? KP_C_TIMER : KP_C_UNKNOWN;

	v->ev = t->wake;
	v->what = kc_what(k, "waits (%s)", t->class == KC_W_UNKNOWN && t->sys ? kc_sys_name(t->sys) : kc_class_name(t->class));
	if (kc_by_task(k, t) && t->class != KC_W_UNKNOWN && !kc_timeline(k->w, t->wake->pth)) {
		/* only where it is known what the waker did; else the wait keeps its own name */
		if (kc_piece_at(k->w, t->wake->pth, t->to)) {
			kc_follow(v, t->wake->pth, t->to, t->from, t->th, KP_C_UNKNOWN);
			v->what = working_on(k, v->next, t->from, t->to);
			v->says = "woke it";
			return 1;
		}
	}
	if (t->class == KC_W_SIGNAL && !t->p->open && t->wake && !kc_by_task(k, t))
		kind = KP_C_TIMER;	/* an alarm */
	kc_leaf(v, kind, kind != KP_C_UNKNOWN);
	v->says = t->p->open ? "asleep in it until the end" : "ended the wait";
	if (kind != KP_C_UNKNOWN && kc_by_task(k, t))
		kc_accuse(v, t->wake->pth, t->to - t->from, "was at the other end");
	return 1;
}
