/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks: who held it. The unlock wakes the waiter in the holder's context; the holder may itself have come late to it. */
#include <stdio.h>

#include <kp/kinds.h>
#include <kp/util.h>

#include "walk.h"

#define FUTEX_PRIVATE 128
#define FUTEX_REALTIME 256
#define LOOK_BACK 512		/* pieces of a thread's life */
#define FUTEX_CMD(op) ((op) & 0x7f)	/* less PRIVATE and CLOCK_REALTIME */

/*
 * A futex is a lock or a signal. Locks by convention of glibc, Rust and others wait for the word to be no longer 2
 * ("held, and somebody waits"); PI futexes are nothing but locks. glibc's rwlocks wait, always with the real-time
 * clock, for 2 (readers have it) or 3 (a writer has); its condition variables do so for even numbers.
 */
static bool futex_is_lock(const struct kc_ev *s)
{
	uint64_t cmd = FUTEX_CMD(s->a[1]);

	if (s->kind != KP_K_SYS_futex)
		return false;
	if (cmd == 9 && (s->a[1] & FUTEX_REALTIME) && (uint32_t)s->a[2] == 3)
		return true;
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

uint32_t kc_lock_before(struct kc_walk *k, const struct kc_wait *t, const struct kc_wait *h)
{
	return kc_by_task(k, h) && h->wake->pth != t->th && same_kind(k, t, h) ? h->wake->pth : KC_NONE;
}

static void held_by_waker(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	kc_leaf(v, KP_C_LOCK, true);
	v->obj = t->sys ? t->sys->obj : NULL;
	if (!kc_by_task(k, t) || kc_is_kthread(k->w, t->wake->pth))
		return;
	v->ev = t->wake;
	v->says = "was woken by the release";
	v->held = true;
	v->holder = t->wake->pth;
	v->how = "held the lock: its release woke the waiter";
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
		v->ev = ev;
		v->says = "the lock named its owner";
		v->held = true;
		v->holder = owner;
		v->how = "owned the kernel lock when the wait began";
	}
	v->what = kc_what(k, "waits for a %s", t->class == KC_W_FLOCK ? "file lock" : t->class == KC_W_KLOCK ? "kernel lock" : "semaphore");
	return 1;
}

/* Was it asked for something since it was made? */
static bool was_asked(struct kc_walk *k, uint32_t who, uint64_t until)
{
	const struct kc_list *l = &k->w->th[who].msg;

	for (uint32_t i = 0; i < l->n && k->w->ev[l->v[i]].t <= until; i++)
		if (k->w->ev[l->v[i]].kind == KP_K_TCP_RECV || k->w->ev[l->v[i]].kind == KP_K_NET_RECV)
			return true;
	return false;
}

/* The wake-up of another by the waiter: by its release of what it waits for now? Then both want the same lock by turns. */
static bool by_release(struct kc_walk *k, const struct kc_wait *t, const struct kc_ev *wake)
{
	const struct kc_ev *s = kc_sys_at(k->w, wake->pth, wake->t);

	return s && s->kind == KP_K_SYS_futex && t->sys && s->a[0] == t->sys->a[0];
}

/* Did the waiter's process send it a signal before, other than the one that ended the wait? That would be an order. */
static bool was_ordered(struct kc_walk *k, uint32_t who, const struct kc_wait *t, uint64_t until)
{
	const struct kc_ev *answer = kc_signalled(k, t);
	const struct kc_list *l = &k->w->sig;

	for (uint32_t i = answer ? kc_list_from(k->w, l, k->start) : l->n; i < l->n; i++) {
		const struct kc_ev *e = &k->w->ev[l->v[i]];

		if (e->t > until)
			break;
		if (e->th != KC_NONE && kc_same_proc(k->w, e->th, t->th) && kc_same_proc(k->w, e->pth, who) && e->a[0] != answer->a[0])
			return true;
	}
	return false;
}

/*
 * Who ended the wait may have worked for the waiter rather than have kept something from it: it was made while the
 * request was under way and nobody else asked it for anything, such as a worker of a parallel query; or the waiter
 * woke it before it began to wait, and that was no release of the same lock; or had sent it another signal.
 */
bool kc_works_for(struct kc_walk *k, uint32_t who, const struct kc_wait *t)
{
	const struct kc_thread *th = &k->w->th[who];
	const struct kc_piece *p;
	uint64_t at = t->from + KC_MS < t->to ? t->from + KC_MS : t->to;

	if (th->born > k->start && !was_asked(k, who, t->to))
		return true;
	if (was_ordered(k, who, t, at))
		return true;
	if (t->class != KC_W_FUTEX || kc_timeline(k->w, who))
		return false;
	th = &k->w->th[who];
	p = kc_piece_at(k->w, who, at);
	for (uint32_t n = 0; p && p >= th->piece && p->to > k->start && n < LOOK_BACK; p--, n++) {
		const struct kc_ev *w = p->state == KC_BLOCKED && p->wake != KC_NONE && p->to <= at ? &k->w->ev[p->wake] : NULL;

		if (w && !w->a[0] && w->pth != KC_NONE && kc_same_proc(k->w, w->pth, t->th))
			return !by_release(k, t, w);
	}
	return false;
}

int kc_cause_futex(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	bool lock = t->sys && futex_is_lock(t->sys);

	if (kc_timed_out(t))
		return 0;
	/* a semaphore between processes guards something that they share */
	if (!lock && kc_by_task(k, t) && !kc_same_proc(k->w, t->wake->pth, t->th) && !kc_is_kthread(k->w, t->wake->pth))
		lock = !kc_works_for(k, t->wake->pth, t);
	/* nor is it known who would have ended this one, but it is shared with other processes */
	if (t->p->open && t->sys && t->sys->kind == KP_K_SYS_futex && !(t->sys->a[1] & FUTEX_PRIVATE))
		lock = true;
	if (!lock)
		return 0;	/* handed over by a thread of the same process: go on in that one */
	held_by_waker(k, t, v);
	v->what = kc_what(k, "waits for a lock");
	return 1;
}

/* Adds to of[] how long the holder ran [0], was queued [1], and was asleep in each class [2 + class], within [from, to]. */
static void did(struct kc_walk *k, uint32_t th, uint64_t from, uint64_t to, uint64_t *of)
{
	const struct kc_piece *p;
	struct kc_wait h;

	for (uint64_t at = to; at > from && (p = kc_piece_at(k->w, th, at)); at = p->from) {
		uint64_t ns = kc_overlap_ns(p->from, p->to, from, to);

		if (p->state == KC_BLOCKED) {
			kc_wait_at(k, th, p, p->from, p->to, &h);
			of[2 + h.class] += ns;
		} else if (p->state != KC_NOTHING) {
			of[p->state == KC_RUNNABLE] += ns;
		}
	}
}

/* Whoever is told who held the lock asks next: what was it doing all that time? */
void kc_lock_meanwhile(struct kc_walk *k)
{
	enum { N = 2 + KC_W_QUOTA + 1 };
	struct kc_agg *a = &k->agg[KP_C_LOCK];
	uint32_t th = a->nblame ? a->blame[0].th : KC_NONE, most = 0;
	uint64_t of[N] = { 0 };
	char d[32], doing[64];

	if (th == KC_NONE || kc_timeline(k->w, th))
		return;
	for (uint32_t i = 0; i < k->nstep; i++)
		if (k->step[i].kind == KP_C_LOCK)
			did(k, th, k->step[i].from, k->step[i].to, of);
	for (uint32_t i = 1; i < N; i++)
		most = of[i] > of[most] ? i : most;
	if (!of[most])
		return;
	snprintf(doing, sizeof(doing), "was asleep (%s)", kc_class_name(most >= 2 ? (enum kc_class)(most - 2) : KC_W_UNKNOWN));
	snprintf(a->why[0], sizeof(a->why[0]), "it %s; for %s of that it %s", a->blame[0].why, kp_fmt_dur(d, of[most]),
		 !most ? "ran" : most == 1 ? "waited for a CPU" : doing);
}
