/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks: who held it. The unlock wakes the waiter in the holder's context; the holder may itself have come late to it. */
#include <stdio.h>

#include <kp/kinds.h>
#include <kp/util.h>

#include "walk.h"

#define FUTEX_CMD(op) ((op) & 0x7f)	/* less PRIVATE and CLOCK_REALTIME */
#define CHAIN 8				/* holders behind holders: more is a convoy, and the last known will do */

/*
 * A futex is a lock or a signal. Locks by convention of glibc, Rust and others wait for the word to be no longer 2
 * ("held, and somebody waits"); PI futexes are nothing but locks.
 */
static bool futex_is_lock(const struct kc_ev *s)
{
	uint64_t cmd = FUTEX_CMD(s->a[1]);

	if (s->kind != KP_K_SYS_futex)
		return false;
	return cmd == 6 || cmd == 13 || ((cmd == 0 || cmd == 9) && (uint32_t)s->a[2] == 2);
}

static bool same_lock(const struct kc_wait *a, const struct kc_wait *b)
{
	if (a->class != b->class)
		return false;
	if (a->class == KC_W_FUTEX)
		return a->sys && b->sys && a->sys->a[0] == b->sys->a[0];
	if (a->class == KC_W_FLOCK)
		return a->sys && b->sys && a->sys->obj && b->sys->obj && a->sys->obj->dev == b->sys->obj->dev &&
		       a->sys->obj->id == b->sys->obj->id;
	return false;
}

/* PostgreSQL's row locks have no address, but a chain of them is handed on by signals from one backend to the next. */
static bool same_kind(struct kc_walk *k, const struct kc_wait *a, const struct kc_wait *b)
{
	return same_lock(a, b) || (kc_signalled(k, a) && kc_signalled(k, b));
}

/* Whoever let go had it for as long as it was not itself waiting for it; before that its own waker had it. */
void kc_accuse_holder(struct kc_walk *k, const struct kc_wait *t, uint32_t holder, uint64_t from, uint64_t to, int depth,
		      struct kc_verdict *v)
{
	static const char why[] = "held the lock: its release woke the waiter";
	uint64_t at = to;

	if (depth >= CHAIN || kc_timeline(k->w, holder)) {
		kc_accuse(v, holder, to - from, why);
		return;
	}
	while (at > from) {
		const struct kc_piece *p = kc_piece_at(k->w, holder, at);
		uint64_t lo = p && p->from > from ? p->from : from;

		if (p && p->state == KC_BLOCKED && p->wake != KC_NONE) {
			struct kc_wait h;

			kc_wait_at(k, holder, p, lo, at, &h);
			if (kc_by_task(k, &h) && same_kind(k, t, &h) && h.wake->pth != t->th) {
				kc_accuse_holder(k, t, h.wake->pth, lo, at, depth + 1, v);
				at = lo;
				continue;
			}
		}
		kc_accuse(v, holder, at - lo, why);
		at = lo;
	}
}

static void held_by_waker(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	kc_leaf(v, KP_C_LOCK, true);
	v->obj = t->sys ? t->sys->obj : NULL;
	if (!kc_by_task(k, t) || kc_is_kthread(k->w, t->wake->pth))
		return;
	v->ev = t->wake;
	v->says = "was woken by the release";
	kc_accuse_holder(k, t, t->wake->pth, t->from, t->to, 0, v);
}

/* The owner that a kernel lock named when the wait began. */
static uint32_t named_owner(struct kc_walk *k, const struct kc_wait *t, const struct kc_ev **ev)
{
	const struct kc_ev *e;

	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->th[t->th].mem, t->from, t->to, &i)); )
		if (e->kind == KP_K_LOCK_WAIT && e->pth != KC_NONE && e->pth != t->th) {
			*ev = e;
			return e->pth;
		}
	return KC_NONE;
}

int kc_cause_lock(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kc_ev *ev = NULL;
	uint32_t owner = t->class == KC_W_KLOCK ? named_owner(k, t, &ev) : KC_NONE;

	held_by_waker(k, t, v);
	if (owner != KC_NONE) {
		v->nculprit = 0;
		v->ev = ev;
		v->says = "the lock named its owner";
		kc_accuse(v, owner, t->to - t->from, "owned the kernel lock when the wait began");
	}
	v->what = kc_what(k, "waits for a %s", t->class == KC_W_FLOCK ? "file lock" : t->class == KC_W_KLOCK ? "kernel lock" : "semaphore");
	return 1;
}

int kc_cause_futex(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	bool lock = t->sys && futex_is_lock(t->sys);

	if (kc_timed_out(t))
		return 0;
	/* a semaphore between processes guards something that they share */
	if (!lock && kc_by_task(k, t) && !kc_same_proc(k->w, t->wake->pth, t->th) && !kc_is_kthread(k->w, t->wake->pth))
		lock = true;
	if (!lock)
		return 0;	/* handed over by a thread of the same process: go on in that one */
	held_by_waker(k, t, v);
	v->what = kc_what(k, "waits for a lock");
	return 1;
}

/* Whoever is told who held the lock asks next: what was it doing all that time? */
void kc_lock_meanwhile(struct kc_walk *k)
{
	struct kc_agg *a = &k->agg[KP_C_LOCK];
	uint64_t to = a->victim_from + a->victim_ns, ns[3] = { 0 }, longest = 0;
	uint32_t th = a->nblame ? a->blame[0].th : KC_NONE;
	const struct kc_piece *p, *blocked = NULL;
	struct kc_wait t;
	char d[32];

	if (th == KC_NONE || kc_timeline(k->w, th))
		return;
	for (uint64_t at = to; at > a->victim_from && (p = kc_piece_at(k->w, th, at)); at = p->from) {
		uint64_t n = kc_overlap_ns(p->from, p->to, a->victim_from, to);

		if (p->state <= KC_BLOCKED)
			ns[p->state] += n;
		if (p->state == KC_BLOCKED && n > longest) {
			longest = n;
			blocked = p;
		}
	}
	if (blocked && ns[KC_BLOCKED] >= ns[KC_RUNNABLE] && ns[KC_BLOCKED] >= ns[KC_RUNNING]) {
		kc_wait_at(k, th, blocked, blocked->from, blocked->to, &t);
		snprintf(a->why[0], sizeof(a->why[0]), "it %s; for %s of that it was asleep (%s)", a->blame[0].why,
			 kp_fmt_dur(d, ns[KC_BLOCKED]), t.class == KC_W_UNKNOWN && t.sys ? kc_sys_name(t.sys) : kc_class_name(t.class));
	} else if (ns[KC_RUNNING] + ns[KC_RUNNABLE]) {
		bool ran = ns[KC_RUNNING] >= ns[KC_RUNNABLE];

		snprintf(a->why[0], sizeof(a->why[0]), "it %s; for %s of that it %s", a->blame[0].why,
			 kp_fmt_dur(d, ns[ran ? KC_RUNNING : KC_RUNNABLE]), ran ? "ran" : "waited for a CPU");
	}
}
