/* SPDX-License-Identifier: BSD-2-Clause */
/* Stopped, slept on purpose, and all that another thread ended: there the walk goes on in that thread. */
#include <errno.h>

#include <kp/kinds.h>

#include "walk.h"

#define HANDLER (10 * KC_MS)	/* as long as the handler of a signal may take */
#define RESUMED 256		/* times that a wait was taken up again */
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

/* Between two sleeps: did it anything that others could have been waiting for? A handler of a signal calls this and that. */
static bool did_something(struct kc_walk *k, const struct kc_wait *a, const struct kc_wait *b)
{
	const struct kc_thread *th = &k->w->th[a->th];
	const struct kc_list *l = a->class == KC_W_FUTEX ? &th->sys : &th->msg;

	for (uint32_t i = kc_list_from(k->w, l, a->p->to); i < l->n; i++) {
		const struct kc_ev *e = &k->w->ev[l->v[i]];

		if (e != a->sys && e->t <= b->p->from)
			return true;
		if (e->t > b->p->from)
			break;
	}
	return b->p->from > a->p->to + HANDLER;
}

static bool broke_off(const struct kc_wait *t)
{
	return t->sys && !t->p->open && (t->sys->ret == -EINTR || (t->class == KC_W_FUTEX && t->sys->ret == -ETIMEDOUT));
}

/* The next sleep of the thread, if it is the same wait again. */
static bool same_again(struct kc_walk *k, const struct kc_wait *t, struct kc_wait *next)
{
	const struct kc_thread *th = &k->w->th[t->th];
	const struct kc_piece *p = t->p + 1, *end = th->piece + th->npiece;

	while (p < end && p->state != KC_BLOCKED && p->from < t->p->to + HANDLER)
		p++;
	if (p >= end || p->state != KC_BLOCKED)
		return false;
	kc_wait_at(k, t->th, p, p->from, p->to, next);
	return next->class == t->class && next->sys && next->sys != t->sys && next->sys->kind == t->sys->kind &&
	       (t->class == KC_W_FUTEX ? next->sys->a[0] == t->sys->a[0] : next->sys->obj == t->sys->obj) && !did_something(k, t, next);
}

/*
 * A signal or a limit broke off the wait, and it was taken up again: PostgreSQL looks for deadlocks after a second,
 * Python asks for its lock every 5 ms. What ended the last of these waits is what all of them were for.
 */
int kc_cause_resumed(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	struct kc_wait last = *t, next;
	uint32_t n = 0;

	while (broke_off(&last) && n < RESUMED && same_again(k, &last, &next)) {
		last = next;
		n++;
	}
	if (!n || broke_off(&last))
		return 0;
	kc_judge(k, &last, v);
	if (!v->held && !v->follow)
		return 0;
	if (v->follow && (v->next == t->th || kc_timeline(k->w, v->next) || !kc_piece_at(k->w, v->next, t->to)))
		return 0;
	v->at = t->to;
	if (v->floor > t->from)
		v->floor = t->from;
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
