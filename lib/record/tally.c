/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts rows by group of kinds on their way to another sink. */
#include "rec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kp/util.h>

enum { GROUPS = 64 };

struct kp_tally {
	struct kp_record_sink next;
	uint8_t of[EV_MAX_KIND];	/* group of a kind */
	struct kp_tally_group group[GROUPS]; /* the first is of losses that can be of any kind */
	char name[GROUPS][24];
	uint32_t n;
	uint64_t last;			/* end of the last event */
};

static uint8_t group_of(struct kp_tally *t, const char *kind)
{
	size_t len = strcspn(kind, ".");
	uint32_t i;

	for (i = 1; i < t->n; i++)
		if (strlen(t->name[i]) == len && !memcmp(t->name[i], kind, len))
			return i;
	if (i == GROUPS || len >= sizeof(*t->name))
		return 0;
	memcpy(t->name[i], kind, len);
	t->group[i].name = t->name[i];
	t->n++;
	return i;
}

int kp_tally_new(struct kp_tally **out, const struct kp_record *r, const struct kp_record_sink *next)
{
	struct kp_tally *t = calloc(1, sizeof(*t));
	const struct kp_kind *k;

	*out = t;
	if (!t)
		return -ENOMEM;
	t->next = *next;
	t->n = 1;
	strcpy(t->name[0], "any");
	t->group[0].name = t->name[0];
	for (uint32_t id = 0; (k = kp_kind_next(r->kinds, id)); id = k->id + 1u)
		if (k->id < EV_MAX_KIND)
			t->of[k->id] = group_of(t, k->name);
	return 0;
}

void kp_tally_free(struct kp_tally *t)
{
	free(t);
}

static void count_loss(struct kp_tally *t, const struct kp_row *row)
{
	struct kp_tally_group *g = &t->group[row->a[1] < EV_MAX_KIND ? t->of[row->a[1]] : 0];

	if (row->a[0] == UINT64_MAX)
		g->unknown++;
	else if (row->kind == KP_K_LOSS_SHED)
		g->shed += row->a[0];
	else
		g->lost += row->a[0];
}

static int row(void *arg, const struct kp_row *row, struct kp_err *err)
{
	struct kp_tally *t = arg;

	if (row->kind == KP_K_LOSS_KERNEL || row->kind == KP_K_LOSS_SHED)
		count_loss(t, row);
	else if (row->kind < EV_MAX_KIND) {
		t->group[t->of[row->kind]].events++;
		if (!(row->flags & (KP_F_KEYFRAME | KP_F_OPEN)) && row->kind != KP_K_CLOCK_SYNC)
			t->last = row->end;
	}
	return t->next.row(t->next.arg, row, err);
}

static int key_begin(void *arg, uint64_t t0, struct kp_err *err)
{
	struct kp_tally *t = arg;

	return t->next.key_begin(t->next.arg, t0, err);
}

static int key_end(void *arg, uint64_t t1, struct kp_err *err)
{
	struct kp_tally *t = arg;

	return t->next.key_end(t->next.arg, t1, err);
}

static int flush(void *arg, struct kp_err *err)
{
	struct kp_tally *t = arg;

	return t->next.flush(t->next.arg, err);
}

static bool full(void *arg)
{
	struct kp_tally *t = arg;

	return t->next.full(t->next.arg);
}

static int turn(void *arg, struct kp_err *err)
{
	struct kp_tally *t = arg;

	return t->next.turn(t->next.arg, err);
}

struct kp_record_sink kp_tally_sink(struct kp_tally *t)
{
	return (struct kp_record_sink){
		.row = row, .key_begin = key_begin, .key_end = key_end, .flush = t->next.flush ? flush : NULL, .arg = t,
		.full = t->next.full ? full : NULL, .turn = t->next.turn ? turn : NULL,
	};
}

const struct kp_tally_group *kp_tally_group(const struct kp_tally *t, uint32_t i)
{
	return i < t->n ? &t->group[i] : NULL;
}

uint64_t kp_tally_last(const struct kp_tally *t)
{
	return t->last;
}
