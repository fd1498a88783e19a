/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream that is cut at a moment must stand alone: it begins with a keyframe
 * of that moment. Here it is made of the last keyframe before the cut and what
 * the lifecycle rows since then changed. Each row keeps the time at which it
 * was true; descriptors are those of the keyframe, less the ended processes'.
 */
#include "query_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A keyframe's rows follow one another; after such a gap another keyframe has begun. */
#define NEXT_KEYFRAME (5 * KP_SEC)

struct state {	/* of one source */
	struct kp_row *row; uint32_t n, cap;	/* without data; kind of a removed task is 0 */
	uint32_t *slot, nslots;			/* tasks by (tid, start): index into row + 1 */
	uint32_t ntasks;
	uint64_t last_key;
	struct kp_row clock;
	bool clocked;
};

struct kp_cut {
	struct state *s; uint32_t n;
	uint32_t at_source, at;	/* what kp_cut_next hands out next; at 0: the clock */
};

int kp_cut_new(struct kp_cut **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void kp_cut_free(struct kp_cut *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n; i++) {
		free(c->s[i].row);
		free(c->s[i].slot);
	}
	free(c->s);
	free(c);
}

static struct state *state_of(struct kp_cut *c, uint32_t source)
{
	struct state *s;

	if (source < c->n)
		return &c->s[source];
	s = realloc(c->s, (source + 1) * sizeof(*s));
	if (!s)
		return NULL;
	memset(s + c->n, 0, (source + 1 - c->n) * sizeof(*s));
	c->s = s;
	c->n = source + 1;
	return &s[source];
}

static uint32_t *find(const struct state *s, uint32_t tid, uint64_t start)
{
	uint32_t i = (uint32_t)(((start ^ tid) * 0x9e3779b97f4a7c15ull) >> 32) & (s->nslots - 1);

	for (; s->slot[i]; i = (i + 1) & (s->nslots - 1)) {
		const struct kp_task *t = s->row[s->slot[i] - 1].task;

		if (t->tid == tid && t->start == start)
			break;
	}
	return &s->slot[i];
}

static int grow(struct state *s)
{
	uint32_t *old = s->slot, nold = old ? s->nslots : 0, n = nold ? nold * 2 : 256;
	uint32_t *slot = calloc(n, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	s->slot = slot;
	s->nslots = n;
	for (uint32_t i = 0; i < nold; i++)
		if (old[i])
			*find(s, s->row[old[i] - 1].task->tid, s->row[old[i] - 1].task->start) = old[i];
	free(old);
	return 0;
}

/* The task's row, NULL when it is not known or has ended. */
static struct kp_row *task_row(const struct state *s, const struct kp_task *t)
{
	uint32_t at = s->row && s->nslots && t ? *find(s, t->tid, t->start) : 0;

	return at && s->row[at - 1].kind ? &s->row[at - 1] : NULL;
}

static int add(struct state *s, const struct kp_row *row)
{
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 256;
		struct kp_row *r = realloc(s->row, cap * sizeof(*r));

		if (!r)
			return -ENOMEM;
		s->row = r;
		s->cap = cap;
	}
	s->row[s->n] = *row;
	s->row[s->n].data = NULL;
	s->row[s->n].data_len = 0;
	s->row[s->n++].flags |= KP_F_KEYFRAME;
	return 0;
}

static int add_task(struct state *s, const struct kp_row *row)
{
	uint32_t *slot;
	int rc;

	if (!row->task)
		return 0;
	if (s->ntasks * 2 >= s->nslots && (rc = grow(s)))
		return rc;
	slot = find(s, row->task->tid, row->task->start);
	if (*slot) {
		s->row[*slot - 1] = *row;
		s->row[*slot - 1].flags |= KP_F_KEYFRAME;
		return 0;
	}
	rc = add(s, row);
	if (rc)
		return rc;
	*slot = s->n;
	s->ntasks++;
	return 0;
}

static int key_row(struct state *s, const struct kp_row *row)
{
	if (s->last_key && row->end > s->last_key + NEXT_KEYFRAME) {
		s->n = s->ntasks = 0;
		if (s->nslots)
			memset(s->slot, 0, s->nslots * sizeof(*s->slot));
	}
	if (row->end > s->last_key)
		s->last_key = row->end;
	return row->kind == KP_K_KEY_TASK ? add_task(s, row) : add(s, row);
}

static int forked(struct state *s, const struct kp_row *row)
{
	struct kp_row r = { .end = row->end, .kind = KP_K_KEY_TASK, .source = row->source, .cpu = row->cpu, .task = row->peer,
			    .peer = row->task, .flags = KP_F_INFERRED };

	return add_task(s, &r);
}

int kp_cut_row(struct kp_cut *c, const struct kp_row *row)
{
	struct state *s = state_of(c, row->source);
	struct kp_row *t;

	if (!s)
		return -ENOMEM;
	if (row->kind == KP_K_CLOCK_SYNC) {
		s->clock = *row;
		s->clocked = true;
		return 0;
	}
	if (row->kind == KP_K_PROC_FORK)
		return forked(s, row);
	if (row->kind < KP_K_PROC_FORK || row->kind > KP_K_PROC_CGROUP)
		return key_row(s, row);
	t = task_row(s, row->task);
	if (!t)
		return 0;
	if (row->kind == KP_K_PROC_EXIT)
		t->kind = 0;
	else
		t->task = row->task;	/* its new name, program or cgroup */
	return 0;
}

int kp_cut_move(struct kp_cut *c, struct kp_pool *pool)
{
	for (uint32_t i = 0; i < c->n; i++)
		for (uint32_t k = 0; k < c->s[i].n; k++)
			if (kp_pool_adopt(pool, &c->s[i].row[k]))
				return -ENOMEM;
	return 0;
}

/* Is the process that row belongs to alive, as far as is known? */
static bool alive(const struct state *s, const struct kp_row *row)
{
	if (!row->kind)
		return false;
	if (row->kind == KP_K_KEY_TASK || !row->task || !s->nslots || !s->row)
		return true;
	return !*find(s, row->task->tid, row->task->start) || task_row(s, row->task);
}

const struct kp_row *kp_cut_next(struct kp_cut *c)
{
	for (; c->at_source < c->n; c->at_source++, c->at = 0) {
		struct state *s = &c->s[c->at_source];

		while (c->at <= s->n) {
			const struct kp_row *r = c->at ? &s->row[c->at - 1] : s->clocked ? &s->clock : NULL;

			c->at++;
			if (r && alive(s, r))
				return r;
		}
	}
	return NULL;
}
