/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which nodes are drawn: all when they are few, else those that carry the
 * most, and never without the target, the root cause and its culprit. The
 * others become one node; links from and to them are summed up there.
 */
#include <errno.h>
#include <stdlib.h>

#include "draw.h"

/* From so many nodes on, those below 1 % are clutter. */
enum { FEW = 12 };

struct rank { uint32_t node; int class; uint64_t ns; };

bool kp_node_root(const struct kp_graph *g, uint32_t node)
{
	const struct kp_cause *c = kp_node_cause(g, &g->nodes[node]);

	if (c || g->nodes[node].type != 3)
		return c && c->root;
	for (uint32_t i = 0; i < g->nedges; i++) {
		if (g->edges[i].to != node || g->edges[i].from >= g->nnodes)
			continue;
		c = kp_node_cause(g, &g->nodes[g->edges[i].from]);
		if (c && c->root)
			return true;
	}
	return false;
}

static int class_of(const struct kp_graph *g, uint32_t node)
{
	return g->nodes[node].type == 0 ? 2 : kp_node_root(g, node);
}

static int by_weight(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->class != y->class)
		return y->class - x->class;
	if (x->ns != y->ns)
		return x->ns < y->ns ? 1 : -1;
	return x->node < y->node ? -1 : 1;
}

static int by_index(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t how_many(const struct rank *r, const struct kp_graph *g, uint32_t max)
{
	uint32_t n = g->nnodes;

	if (n > FEW)
		while (n > 1 && !r[n - 1].class && r[n - 1].ns < g->dur / 100)
			n--;
	/* One node needs no other to stand for it. */
	if (n + 1 >= g->nnodes && g->nnodes <= max)
		return g->nnodes;
	return n < max ? n : max - 1;
}

static int choose(struct kp_fold *f, const struct kp_graph *g, uint32_t max)
{
	struct rank *r = calloc(g->nnodes + 1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->nnodes; i++)
		r[i] = (struct rank){ i, class_of(g, i), g->nodes[i].ns };
	qsort(r, g->nnodes, sizeof(*r), by_weight);
	f->n = how_many(r, g, max);
	f->others = g->nnodes - f->n;
	f->slots = f->n + (f->others > 0);
	f->node = calloc(f->slots + 1, sizeof(*f->node));
	if (f->node) {
		for (uint32_t i = 0; i < f->n; i++)
			f->node[i] = r[i].node;
		qsort(f->node, f->n, sizeof(*f->node), by_index); /* in the order of the record: of time */
		if (f->others)
			f->node[f->n] = KP_FOLD_OTHER;
	}
	free(r);
	return f->node ? 0 : -ENOMEM;
}

static void link_up(struct kp_fold *f, const struct kp_graph *g, const uint32_t *slot)
{
	for (uint32_t i = 0; i < g->nedges; i++) {
		const struct kp_edge *e = &g->edges[i];
		struct kp_link *l;
		uint32_t from, to;

		if (e->from >= g->nnodes || e->to >= g->nnodes)
			continue;
		from = slot[e->from];
		to = slot[e->to];
		if (from == to)
			continue;
		l = &f->links[(size_t)from * f->slots + to];
		l->observed = e->observed && (l->observed || !l->any);
		l->any = true;
		l->ns += e->ns;
		if (!l->label || e->ns > l->label_ns) {
			l->label = e->label;
			l->label_ns = e->ns;
		}
		/* An edge from what is drawn into the others brings their time in; edges among them do not. */
		if (f->others && to == f->n)
			f->other_ns += e->ns;
	}
}

int kp_fold(struct kp_fold *f, const struct kp_graph *g, uint32_t max)
{
	uint32_t *slot = NULL;
	int rc;

	*f = (struct kp_fold){ 0 };
	rc = choose(f, g, max < 2 ? 2 : max);
	if (rc)
		goto out;
	slot = calloc(g->nnodes + 1, sizeof(*slot));
	f->links = calloc((size_t)f->slots * f->slots + 1, sizeof(*f->links));
	if (!slot || !f->links) {
		rc = -ENOMEM;
		goto out;
	}
	for (uint32_t i = 0; i < g->nnodes; i++)
		slot[i] = f->n;
	for (uint32_t i = 0; i < f->n; i++)
		slot[f->node[i]] = i;
	link_up(f, g, slot);
out:
	free(slot);
	if (rc)
		kp_fold_free(f);
	return rc;
}

void kp_fold_free(struct kp_fold *f)
{
	free(f->node);
	free(f->links);
	*f = (struct kp_fold){ 0 };
}
