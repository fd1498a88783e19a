/* SPDX-License-Identifier: BSD-2-Clause */
/* Who gave up, after what limit, and what came too late. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kp/kinds.h>

#include "walk.h"

#define RIGHT_BEFORE (20 * KC_MS)	/* between the wait that ran out and the error that is answered */
#define LONG_ENOUGH (1 * KC_MS)		/* less is a look, not a wait */

static bool ran_out(const struct kc_ev *s)
{
	if (s->dur < LONG_ENOUGH || (s->flags & KP_F_OPEN))
		return false;
	switch (s->kind) {
	case KP_K_SYS_poll: case KP_K_SYS_ppoll: case KP_K_SYS_select: case KP_K_SYS_pselect6:
	case KP_K_SYS_epoll_wait: case KP_K_SYS_epoll_pwait: case KP_K_SYS_epoll_pwait2:
		return s->ret == 0;
	case KP_K_SYS_futex:
		return s->ret == -ETIMEDOUT;
	case KP_K_SYS_recvfrom: case KP_K_SYS_recvmsg: case KP_K_SYS_read: case KP_K_SYS_connect: case KP_K_SYS_sendto:
		return s->ret == -EAGAIN || s->ret == -ETIMEDOUT || s->ret == -EINPROGRESS;
	}
	return false;
}

/* Limits are round numbers; the largest step that fits within 1 % says which one was meant. */
static uint64_t round_limit(uint64_t ns)
{
	static const uint64_t steps[] = { 1000, 500, 250, 100, 50, 10, 5, 1 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		uint64_t s = steps[i] * KC_MS, r = (ns + s / 2) / s * s, off = r > ns ? r - ns : ns - r;

		if (r && off * 100 <= ns)
			return r;
	}
	return ns;
}

static void find_timeout(struct kc_walk *k, uint32_t th, uint64_t since, uint64_t answered)
{
	const struct kc_list *l = &k->w->th[th].sys;
	uint32_t i = kc_list_from(k->w, l, answered + 1);

	while (i--) {
		const struct kc_ev *s = &k->w->ev[l->v[i]];

		if (s->t < since || s->t + RIGHT_BEFORE < answered)
			return;
		if (ran_out(s)) {
			k->timeout = s;
			return;
		}
	}
}

/* The caller closed before the answer: all that came after that was for nobody. */
static void caller_gave_up(struct kc_walk *k, uint32_t th)
{
	const struct kp_target *t = &k->w->target;
	uint32_t who = t->caller ? kc_thread_of(k->w, kc_host_of(k->h, t->caller_source), t->caller_source, t->caller) : KC_NONE;

	k->failed = k->timed_out = true;
	k->give_up = t->gave_up;
	k->give_up_th = who;
	if (who != KC_NONE)
		find_timeout(k, who, t->start, t->gave_up);
	k->limit = round_limit(t->gave_up > t->start ? t->gave_up - t->start : 0);
	if (!t->open && t->end > t->gave_up) {
		k->late = t->end;
		k->late_th = th;
	}
}

/* It answered that it failed, perhaps since it had waited in vain: for what, and when did that come? */
static void gave_up(struct kc_walk *k, uint32_t th)
{
	const struct kp_target *t = &k->w->target;
	uint64_t base = t->recv ? t->recv : t->start;
	uint64_t when;

	find_timeout(k, th, t->start, t->end);
	if (!k->failed && !k->timeout)
		return;
	when = k->timeout ? k->timeout->t : t->end;
	k->call = kc_outstanding(k->w, th, when, t->start);
	if (!k->failed && !k->call) {	/* a loop's tick, or a wait that was not for the request */
		k->timeout = NULL;
		return;
	}
	if (k->timeout) {
		k->failed = k->timed_out = true;
		k->give_up = when;
		k->give_up_th = th;
		k->limit = round_limit(when > base ? when - base : 0);
	}
	k->answer = k->call ? kc_answer_after(k->w, k->call, when) : NULL;
	if (!k->answer || k->answer->th == KC_NONE || k->answer->t <= t->end) {
		k->answer = NULL;
		return;
	}
	k->give_up = when;
	k->give_up_th = th;
	k->end = k->late = k->answer->t;
	k->late_th = k->answer->th;
}

static const struct kc_ev *exit_of(const struct kp_world *w, uint32_t th)
{
	const struct kc_list *l = &w->th[th].sched;

	for (uint32_t i = l->n; i--; )
		if (w->ev[l->v[i]].kind == KP_K_PROC_EXIT)
			return &w->ev[l->v[i]];
	return NULL;
}

static bool out_of_memory(const struct kp_world *w, uint32_t th, uint64_t t)
{
	for (uint32_t i = 0; i < w->oom.n; i++) {
		const struct kc_ev *e = &w->ev[w->oom.v[i]];

		if (kc_same_proc(w, e->pth, th) && e->t <= t + KC_SEC && e->t + KC_SEC >= t)
			return true;
	}
	return false;
}

void kc_how_it_ended(struct kc_walk *k, uint32_t th, char *buf, size_t cap)
{
	const struct kc_ev *e = exit_of(k->w, th);
	uint64_t sig = e ? e->a[1] : 0;
	const char *name = sig && sig < 65 ? sigabbrev_np((int)sig) : NULL;

	if (!e || e->t > k->w->target.end + KC_SEC)
		snprintf(buf, cap, "closes without an answer");
	else if (sig && out_of_memory(k->w, th, e->t))
		snprintf(buf, cap, "killed: out of memory (SIG%s)", name ? name : "?");
	else if (sig && name)
		snprintf(buf, cap, "killed (SIG%s)", name);
	else if (sig)
		snprintf(buf, cap, "killed (signal %llu)", (unsigned long long)sig);
	else
		snprintf(buf, cap, "exits without an answer (code %lld)", (long long)e->a[0]);
}

void kc_outcome(struct kc_walk *k, uint32_t th)
{
	const struct kp_target *t = &k->w->target;

	k->end = t->end;
	k->failed = t->failed || t->status >= 500;
	k->give_up_th = k->late_th = KC_NONE;
	if (!t->conn && !t->request && !t->trace && !t->txn)
		return;		/* an interval of a task: it has no outcome */
	if (t->gave_up)
		caller_gave_up(k, th);
	else if (k->failed || (!t->open && !t->status))
		gave_up(k, th);
	if (!k->late && !t->open && t->caller && t->got > t->end)
		k->end = t->got;
}
