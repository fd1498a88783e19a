/* SPDX-License-Identifier: BSD-2-Clause */
/* A request makes forty queries, each with its waits; a reader has thirty seconds: what is alike and near is one line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "story.h"

#define LINES 17		/* besides marks, head and table */
#define LEVELS 4
#define NEAR 20			/* pieces with less than 1 / NEAR of the whole between them are told as one */

static uint64_t gap(const struct kp_graph *g)
{
	return g->dur / NEAR > 1000000 ? g->dur / NEAR : 1000000;
}

static struct st_line *add(struct st_story *s, const struct st_line *l)
{
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 32;
		struct st_line *n = reallocarray(s->line, cap, sizeof(*n));

		if (!n)
			return NULL;
		s->line = n;
		s->cap = cap;
	}
	s->line[s->n] = *l;
	return &s->line[s->n++];
}

static bool same_proc(const struct kp_who *a, const struct kp_who *b)
{
	return a->source == b->source && a->tgid == b->tgid;
}

/* The line that a step goes on with, or a new one. */
static uint32_t line_of(struct st_story *s, const struct kp_graph *g, const struct kp_step *p, uint32_t depth, uint32_t parent, uint32_t cause)
{
	struct st_line l = { .from = p->from, .end = p->from, .who = &p->who, .depth = depth, .parent = parent, .cause = cause };

	for (uint32_t i = s->n; i--; ) {
		const struct st_line *o = &s->line[i];

		/* what is alike within one call is one line, wherever it was */
		if (o->depth == depth && o->parent == parent && o->cause == cause && same_proc(o->who, &p->who) &&
		    (p->from <= o->end + gap(g) || (parent != ST_NONE && cause != ST_NONE)))
			return i;
		if (s->n - i > 256)	/* nothing that far back is near */
			break;
	}
	return add(s, &l) ? s->n - 1 : ST_NONE;
}

static void asked(struct st_line *l, const char *what)
{
	if (!*what || l->nasked == 5)
		return;
	for (uint32_t i = 0; i < l->nasked; i++)
		if (!strcmp(l->asked[i], what))
			return;
	l->asked[l->nasked++] = what;
}

static void extend(struct st_line *l, const struct kp_step *p)
{
	l->ns += p->dur;
	l->end = p->from + p->dur;
}

/* The calls around a step, outermost first; returns the innermost. A caller that had no time of its own is not told. */
static uint32_t calls(struct st_story *s, const struct kp_graph *g, const struct kp_step *p, uint32_t depth, uint32_t at[LEVELS])
{
	uint32_t parent = ST_NONE, level = 1, i;

	for (uint32_t d = 1; d < depth; d++)
		if (at[d] != ST_NONE) {
			extend(&s->line[at[d]], p);
			parent = at[d];
			level++;
		}
	i = line_of(s, g, p, level, parent, ST_NONE);
	if (i == ST_NONE)
		return i;
	if (at[depth] != i)
		for (uint32_t d = depth; d < LEVELS; d++)
			at[d] = ST_NONE;
	at[depth] = i;
	extend(&s->line[i], p);
	return i;
}

static int tell_step(struct st_story *s, const struct kp_graph *g, const struct kp_step *p, uint32_t at[LEVELS])
{
	uint32_t depth = p->depth < LEVELS ? p->depth : LEVELS - 1, in = ST_NONE, i;
	bool work = p->state == KP_ST_RUNNING && p->cause < g->ncauses && g->causes[p->cause].kind == KP_C_CPU_SELF;
	bool label = depth && (work || p->state == KP_ST_REMOTE);
	struct st_line *l;

	if (depth) {
		in = calls(s, g, p, depth, at);
		if (in == ST_NONE)
			return -ENOMEM;
		if (label)
			asked(&s->line[in], p->what);
	} else {
		for (uint32_t d = 0; d < LEVELS; d++)
			at[d] = ST_NONE;
	}
	i = line_of(s, g, p, depth ? s->line[in].depth : 0, in, p->cause);
	if (i == ST_NONE)
		return -ENOMEM;
	l = &s->line[i];
	extend(l, p);
	if (!l->what || p->dur > l->what_ns) {
		l->what = label ? "" : p->what;
		l->what_ns = p->dur;
	}
	return 0;
}

static uint32_t keep_over(struct st_story *s, const struct kp_graph *g, uint64_t ns)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		struct st_line *l = &s->line[i];
		bool root = l->cause < g->ncauses && g->causes[l->cause].root;

		l->keep = l->ns >= ns || (root && l->ns * 2 >= ns);
	}
	for (uint32_t i = 0; i < s->n; i++)	/* what is kept needs what it is part of */
		for (uint32_t p = s->line[i].parent; s->line[i].keep && p != ST_NONE; p = s->line[p].parent)
			s->line[p].keep = true;
	for (uint32_t i = 0; i < s->n; i++)
		n += s->line[i].keep;
	return n;
}

static void put_in_order(struct st_story *s, uint32_t parent)
{
	for (uint32_t i = parent == ST_NONE ? 0 : parent + 1; i < s->n; i++)
		if (s->line[i].keep && s->line[i].parent == parent) {
			s->order[s->norder++] = i;
			if (s->line[i].cause == ST_NONE)
				put_in_order(s, i);
		}
}

void st_free(struct st_story *s)
{
	free(s->line);
	free(s->order);
}

int st_tell(struct st_story *s, const struct kp_graph *g)
{
	uint32_t at[LEVELS] = { ST_NONE, ST_NONE, ST_NONE, ST_NONE };
	uint64_t least = g->dur / 100 ? g->dur / 100 : 1;

	for (uint32_t i = 0; i < g->nsteps; i++)
		if (tell_step(s, g, &g->steps[i], at))
			return -ENOMEM;
	/* the first thing that the target did is told even where it was short */
	while (keep_over(s, g, least) > LINES && least < g->dur)
		least += least / 2 + 1;
	for (uint32_t i = 0; i < s->n && s->n; i++)
		if (!s->line[i].depth && s->line[i].ns * 1000 >= g->dur) {
			s->line[i].keep = true;
			break;
		}
	for (uint32_t i = 0; i < s->n; i++)
		if (!s->line[i].keep && s->line[i].cause != ST_NONE) {
			s->left_out += s->line[i].ns;
			s->nleft++;
		}
	s->order = calloc(s->n + 1, sizeof(*s->order));
	if (!s->order)
		return -ENOMEM;
	put_in_order(s, ST_NONE);
	return 0;
}
