/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads by (tid, start): a table of all that live and of those that ended a
 * moment ago, since the rings of other CPUs may still name them. The start
 * time is what makes a tid that is used again another thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolve_int.h"

enum { FIRST_HEADS = 1024 };
#define TICK_MAX (10 * RS_MS)	/* at once, since events wait meanwhile */

static uint32_t slot_of(const struct kp_resolve *r, uint32_t id)
{
	return (id * 2654435761u >> 7) & (r->heads - 1);
}

static uint32_t *new_heads(uint32_t n)
{
	uint32_t *h = malloc(n * sizeof(*h));

	if (h)
		memset(h, 0xff, n * sizeof(*h));
	return h;
}

int rs_tasks_new(struct kp_resolve *r)
{
	r->heads = FIRST_HEADS;
	r->by_tid = new_heads(r->heads);
	r->by_tgid = new_heads(r->heads);
	r->pending = calloc(RS_PENDING, sizeof(*r->pending));
	r->free_task = r->dead_first = r->dead_last = RS_NONE;
	if (!r->by_tid || !r->by_tgid || !r->pending)
		return -ENOMEM;
	if (rs_link(r, r->pidns, sizeof(r->pidns), "self/ns/pid") < 0)
		r->pidns[0] = 0;
	return 0;
}

void rs_tasks_free(struct kp_resolve *r)
{
	free(r->task);
	free(r->by_tid);
	free(r->by_tgid);
	free(r->pending);
}

/* ---- the table ---- */

static void link_task(struct kp_resolve *r, uint32_t i)
{
	struct rs_task *t = &r->task[i];
	uint32_t *tid = &r->by_tid[slot_of(r, t->t->tid)], *tg = &r->by_tgid[slot_of(r, t->t->tgid)];

	t->next = *tid;
	*tid = i;
	t->tg_prev = RS_NONE;
	t->tg_next = *tg;
	if (*tg != RS_NONE)
		r->task[*tg].tg_prev = i;
	*tg = i;
}

static int grow_heads(struct kp_resolve *r)
{
	uint32_t *a = new_heads(r->heads * 2), *b = new_heads(r->heads * 2);

	if (!a || !b) {
		free(a);
		free(b);
		return -ENOMEM;
	}
	free(r->by_tid);
	free(r->by_tgid);
	r->by_tid = a;
	r->by_tgid = b;
	r->heads *= 2;
	/* the dead first, so that in each chain those that live come before them */
	for (uint32_t i = 0; i < r->ntask; i++)
		if (r->task[i].t && r->task[i].dead)
			link_task(r, i);
	for (uint32_t i = 0; i < r->ntask; i++)
		if (r->task[i].t && !r->task[i].dead)
			link_task(r, i);
	return 0;
}

/* A free slot, not yet linked. */
static uint32_t new_slot(struct kp_resolve *r)
{
	uint32_t i = r->free_task;

	if (r->st.tasks >= r->heads && grow_heads(r) && r->st.tasks >= r->heads * 16ull)
		return RS_NONE;
	if (i != RS_NONE) {
		r->free_task = r->task[i].next;
	} else {
		if (r->ntask == r->cap_task) {
			uint32_t cap = r->cap_task ? r->cap_task * 2 : 1024;
			struct rs_task *t = realloc(r->task, cap * sizeof(*t));

			if (!t)
				return RS_NONE;
			r->task = t;
			r->cap_task = cap;
		}
		i = r->ntask++;
	}
	r->task[i] = (struct rs_task){ .dead_next = RS_NONE, .seen = r->gen };
	r->st.tasks++;
	return i;
}

static void free_slot(struct kp_resolve *r, uint32_t i)
{
	r->task[i].t = NULL;
	r->task[i].next = r->free_task;
	r->free_task = i;
	r->st.tasks--;
}

static void forget(struct kp_resolve *r, uint32_t i)
{
	struct rs_task *t = &r->task[i];
	struct rs_front *f = &r->front[t->t->tid & (RS_FRONT - 1)];
	uint32_t *p = &r->by_tid[slot_of(r, t->t->tid)];

	if (f->t == t->t)
		*f = (struct rs_front){ 0 };
	while (*p != i)
		p = &r->task[*p].next;
	*p = t->next;
	if (t->tg_next != RS_NONE)
		r->task[t->tg_next].tg_prev = t->tg_prev;
	if (t->tg_prev != RS_NONE)
		r->task[t->tg_prev].tg_next = t->tg_next;
	else
		r->by_tgid[slot_of(r, t->t->tgid)] = t->tg_next;
	free_slot(r, i);
}

/* start 0: the newest of that tid, one that lives if there is one. */
uint32_t rs_task_find(const struct kp_resolve *r, uint32_t tid, uint64_t start)
{
	uint32_t dead = RS_NONE;

	for (uint32_t i = r->by_tid[slot_of(r, tid)]; i != RS_NONE; i = r->task[i].next) {
		const struct rs_task *t = &r->task[i];

		if (t->t->tid != tid)
			continue;
		if (start ? t->t->start == start : !t->dead)
			return i;
		if (!start && dead == RS_NONE)
			dead = i;
	}
	return start ? RS_NONE : dead;
}

void rs_task_become(struct kp_resolve *r, uint32_t i, const struct kp_task *now)
{
	const struct kp_task *t = kp_pool_task(r->pool, now);
	struct rs_front *f = &r->front[now->tid & (RS_FRONT - 1)];

	if (!t)
		return;
	if (f->tid == now->tid && f->start == now->start)
		f->t = t;
	r->task[i].t = t;
	rs_poll_note(r, t);
}

/* ---- from /proc ---- */

static const struct kp_task *usable(const struct kp_resolve *r, uint32_t i, const struct kp_task *of)
{
	const struct rs_task *t = &r->task[i];

	return t->t->tgid == of->tgid && t->t->tid != of->tid && t->loaded && !t->dead ? t->t : NULL;
}

/* Another thread of the process that has been read, the leader or one of a few: what it knows need not be read again. */
static const struct kp_task *sibling(const struct kp_resolve *r, const struct kp_task *of)
{
	uint32_t i = rs_task_find(r, of->tgid, 0), tries = 16;
	const struct kp_task *t = i == RS_NONE ? NULL : usable(r, i, of);

	for (i = r->by_tgid[slot_of(r, of->tgid)]; !t && i != RS_NONE && tries--; i = r->task[i].tg_next)
		t = usable(r, i, of);
	return t;
}

void rs_task_put_off(struct kp_resolve *r, uint32_t i)
{
	struct rs_task *t = &r->task[i];

	if (t->pending || r->npending == RS_PENDING)
		return;		/* the next keyframe finds it */
	t->pending = true;
	r->pending[(r->pend_first + r->npending++) % RS_PENDING] =
		(struct kp_ids){ .tid = t->t->tid, .tgid = t->t->tgid, .start = t->t->start };
}

static void load_slot(struct kp_resolve *r, uint32_t i, bool fresh)
{
	struct kp_task t = *r->task[i].t;

	if (!rs_load(r, &t, sibling(r, &t), fresh)) {
		rs_task_put_off(r, i);
		return;
	}
	r->task[i].loaded = true;
	rs_task_become(r, i, &t);
}

/* ---- tasks by their ids ---- */

uint32_t rs_task_add(struct kp_resolve *r, const struct kp_task *t)
{
	uint32_t i = new_slot(r);

	if (i == RS_NONE)
		return i;
	r->task[i].t = kp_pool_task(r->pool, t);
	if (!r->task[i].t) {
		free_slot(r, i);
		return RS_NONE;
	}
	link_task(r, i);
	return i;
}

uint32_t rs_task_of(const struct kp_resolve *r, uint32_t tgid)
{
	return r->by_tgid[slot_of(r, tgid)];
}

static bool fill_idle(struct kp_resolve *r, struct kp_task *t)
{
	if (t->tid)
		return false;
	t->comm = kp_pool_cstr(r->pool, "swapper");
	t->kthread = true;
	return true;
}

uint32_t rs_task_get(struct kp_resolve *r, uint32_t tid, uint32_t tgid, uint64_t start, const struct rs_known *k)
{
	struct kp_task t = { .tid = tid, .tgid = tgid, .start = start };
	uint32_t i = rs_task_find(r, tid, start);
	bool idle = fill_idle(r, &t);

	if (i != RS_NONE) {
		if (k && !r->task[i].loaded && !r->task[i].dead)
			k->later ? rs_task_put_off(r, i) : load_slot(r, i, r->task[i].t->comm != NULL);
		else if (!k && r->task[i].pending && !r->task[i].loaded && !r->task[i].dead && r->tokens > 0)
			load_slot(r, i, false);	/* one that does something is read before those that wait */
		return i;
	}
	if (k && !idle) {
		t.comm = kp_pool_str(r->pool, k->comm, k->comm_len);
		t.ns_tid = k->ns_tid;
		t.ns_tgid = k->ns_tgid;
		t.kthread = k->kthread;
	}
	i = rs_task_add(r, &t);
	if (i == RS_NONE)
		return i;
	if (idle)
		r->task[i].loaded = true;
	else if (k && k->later)
		rs_task_put_off(r, i);
	else
		load_slot(r, i, t.comm != NULL);
	return i;
}

const struct kp_task *kp_resolve_task(struct kp_resolve *r, uint32_t tid, uint32_t tgid, uint64_t start)
{
	struct rs_front *f = &r->front[tid & (RS_FRONT - 1)];
	uint32_t i;

	if (f->tid == tid && f->start == start && f->t)
		return f->t;
	i = rs_task_get(r, tid, tgid, start, NULL);
	if (i == RS_NONE)
		return NULL;
	/* what a start of 0 means may change */
	if (start || !tid)
		*f = (struct rs_front){ start, r->task[i].t, tid };
	return r->task[i].t;
}

/* ---- upkeep ---- */

void rs_task_bury(struct kp_resolve *r, uint32_t i, uint64_t now)
{
	r->task[i].dead = now + r->o.grace;
	r->task[i].dead_next = RS_NONE;
	if (r->dead_last != RS_NONE)
		r->task[r->dead_last].dead_next = i;
	else
		r->dead_first = i;
	r->dead_last = i;
}

void rs_tasks_tick(struct kp_resolve *r, uint64_t now)
{
	uint64_t begun = kp_now_mono();

	while (r->dead_first != RS_NONE && r->task[r->dead_first].dead <= now) {
		uint32_t i = r->dead_first;

		r->dead_first = r->task[i].dead_next;
		if (r->dead_first == RS_NONE)
			r->dead_last = RS_NONE;
		forget(r, i);
	}
	while (r->npending && r->tokens > 0 && kp_now_mono() - begun < TICK_MAX) {
		struct kp_ids *id = &r->pending[r->pend_first];
		uint32_t i = rs_task_find(r, id->tid, id->start);

		r->pend_first = (r->pend_first + 1) % RS_PENDING;
		r->npending--;
		if (i == RS_NONE)
			continue;
		r->task[i].pending = false;
		if (!r->task[i].dead && !r->task[i].loaded)
			load_slot(r, i, false);
	}
}

void rs_tasks_sweep(struct kp_resolve *r, uint64_t boot)
{
	for (uint32_t i = 0; i < r->ntask; i++) {
		const struct rs_task *t = &r->task[i];

		/* rows of it may still come */
		if (t->t && !t->dead && t->seen != r->gen && t->t->start < boot && t->t->tid)
			rs_task_bury(r, i, kp_now_mono());
	}
}

int rs_tasks_move(struct kp_resolve *r)
{
	int rc = 0;

	memset(r->front, 0, sizeof(r->front));
	for (uint32_t i = 0; i < r->ntask; i++) {
		struct kp_row row = { .task = r->task[i].t };

		if (row.task && !rc)
			rc = kp_pool_adopt(r->pool, &row);
		if (r->task[i].t && !rc)
			r->task[i].t = row.task;
	}
	if (!rc)
		return 0;
	/* half and half would be unsafe: begin anew */
	r->ntask = r->npending = 0;
	r->st.tasks = 0;
	r->free_task = r->dead_first = r->dead_last = RS_NONE;
	memset(r->by_tid, 0xff, r->heads * sizeof(*r->by_tid));
	memset(r->by_tgid, 0xff, r->heads * sizeof(*r->by_tgid));
	return rc;
}
