/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread's life as pieces: on a CPU, waiting for one, asleep. Built from
 * switches and wake-ups; every row tells of the past too (how long it ran,
 * slept, was queued), so a lost row costs one piece and not the rest.
 */
#include <errno.h>
#include <stdlib.h>

#include "world.h"

struct build {
	struct kp_world *w;
	struct kc_thread *t;
	uint64_t at;		/* all before is told */
	uint8_t state;		/* since then */
	uint32_t pstate;
	uint16_t cpu;
	int err;
};

static void push(struct build *b, uint64_t to, uint8_t state, uint32_t wake)
{
	struct kc_thread *t = b->t;

	if (b->err || to <= b->at)
		return;
	if (t->npiece == t->cap_piece) {
		struct kc_piece *p = kc_grow(t->piece, &t->cap_piece, sizeof(*p));

		if (!p) {
			b->err = -ENOMEM;
			return;
		}
		t->piece = p;
	}
	t->piece[t->npiece++] = (struct kc_piece){ .from = b->at, .to = to, .state = state, .cpu = b->cpu,
						   .pstate = b->pstate, .wake = wake };
	b->at = to;
}

/* From b->at to `to`, where the last stretch, since `since`, was in `state`. */
static void tell(struct build *b, uint64_t since, uint64_t to, uint8_t state, uint32_t wake)
{
	if (since > b->at)
		push(b, since, b->state, KC_NONE);
	push(b, to, state, wake);
}

static void left_cpu(struct build *b, const struct kc_ev *e)
{
	/* when it got the CPU was not seen, nor who had it until then: it may have run for all we know */
	if (!e->dur && b->state != KC_RUNNING)
		b->state = KC_NOTHING;
	b->cpu = e->cpu;
	tell(b, b->state == KC_RUNNING ? b->at : kc_start(e), e->t, KC_RUNNING, KC_NONE);
	b->pstate = (uint32_t)e->a[0];
	b->state = b->pstate ? KC_BLOCKED : KC_RUNNABLE;
}

static void got_cpu(struct build *b, const struct kc_ev *e)
{
	uint64_t queued = e->a[2] < e->t ? e->t - e->a[2] : 0;

	b->cpu = e->cpu;
	/* its wake-up was lost, or never known: the delay says since when it was queued */
	if (b->state != KC_RUNNABLE)
		tell(b, e->a[2] ? queued : e->t, e->t, KC_RUNNABLE, KC_NONE);
	push(b, e->t, KC_RUNNABLE, KC_NONE);
	b->state = KC_RUNNING;
}

static void woken(struct build *b, const struct kc_ev *e, uint32_t idx)
{
	if (b->state == KC_RUNNABLE || (b->state == KC_RUNNING && !e->dur))
		return;		/* it was about to sleep and did not */
	if (b->state == KC_NOTHING && e->a[1])
		b->pstate = (uint32_t)e->a[1];
	tell(b, b->state == KC_BLOCKED ? b->at : kc_start(e), e->t, KC_BLOCKED, idx);
	b->state = KC_RUNNABLE;
}

/* What it did after the last row of it: as far as the window goes, and said to be open. */
static void finish(struct build *b, bool exited)
{
	struct kc_thread *t = b->t;
	const struct kc_ev *open = NULL;
	uint32_t wake = KC_NONE;

	if (exited || b->state == KC_NOTHING)
		return;
	for (uint32_t k = t->sched.n; k--; ) {
		const struct kc_ev *e = &b->w->ev[t->sched.v[k]];

		if (e->kind == KP_K_SCHED_SLEEP && e->t >= b->at) {
			open = e;
			wake = t->sched.v[k];
			break;
		}
	}
	push(b, b->w->last, b->state, b->state == KC_BLOCKED && open ? wake : KC_NONE);
	if (t->npiece && t->piece[t->npiece - 1].state == KC_BLOCKED)
		t->piece[t->npiece - 1].open = true;
}

/* A thread of which no switch was seen but which is known to sleep all the time. */
static void only_asleep(struct build *b)
{
	for (uint32_t k = b->t->sched.n; k--; ) {
		uint32_t i = b->t->sched.v[k];
		const struct kc_ev *e = &b->w->ev[i];

		if (e->kind != KP_K_SCHED_SLEEP)
			continue;
		b->pstate = (uint32_t)e->a[0];
		b->at = kc_start(e);
		push(b, e->t, KC_BLOCKED, i);
		if (b->t->npiece)
			b->t->piece[b->t->npiece - 1].open = true;
		return;
	}
}

int kc_timeline(struct kp_world *w, uint32_t th)
{
	struct kc_thread *t = &w->th[th];
	struct build b = { .w = w, .t = t, .state = KC_NOTHING };
	bool exited = false, any = false;

	if (t->built)
		return 0;
	t->built = true;
	for (uint32_t k = 0; k < t->sched.n && !b.err; k++) {
		uint32_t i = t->sched.v[k];
		const struct kc_ev *e = &w->ev[i];

		if (e->kind == KP_K_SCHED_SWITCH && e->th == th) {
			left_cpu(&b, e);
			any = true;
		}
		if (e->kind == KP_K_SCHED_SWITCH && e->pth == th) {
			if (e->th == th)
				continue;
			got_cpu(&b, e);
			any = true;
		} else if (e->kind == KP_K_SCHED_WAKE) {
			woken(&b, e, i);
			any = true;
		} else if (e->kind == KP_K_PROC_EXIT) {
			push(&b, e->t, KC_RUNNING, KC_NONE);
			exited = true;
		}
	}
	if (any)
		finish(&b, exited);
	else if (t->sched.n)
		only_asleep(&b);
	return b.err;
}

const struct kc_piece *kc_piece_at(const struct kp_world *w, uint32_t th, uint64_t at)
{
	const struct kc_thread *t = &w->th[th];
	uint32_t lo = 0, hi = t->npiece;

	while (lo < hi) {	/* the first piece with to >= at */
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->piece[mid].to < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->npiece && t->piece[lo].from < at ? &t->piece[lo] : NULL;
}

const struct kc_ev *kc_sys_at(const struct kp_world *w, uint32_t th, uint64_t at)
{
	const struct kc_list *l = &w->th[th].sys;
	const struct kc_ev *open = NULL;

	for (uint32_t k = kc_list_from(w, l, at); k < l->n; k++) {
		const struct kc_ev *e = &w->ev[l->v[k]];

		if (kc_start(e) > at)
			break;
		if (!(e->flags & KP_F_OPEN))
			return e;
		open = e;	/* a later row may tell how it ended */
	}
	return open;
}
