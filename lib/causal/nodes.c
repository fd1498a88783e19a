/* SPDX-License-Identifier: BSD-2-Clause */
/* The path as a small graph: the target, the operations it called, what they waited for, and who made them wait. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "walk.h"

enum { TARGET, OPERATION, EVENT, CULPRIT };

#define MAX_NODES 25
#define MAX_DEPTH 6
#define MIN_SHARE 0.01	/* of the target's time: less is not drawn */
#define MIN_PART 0.1	/* of a cause's blame */

static int str_or(char **to, const char *s)
{
	*to = strdup(s);
	return *to ? 0 : -ENOMEM;
}

static int who_dup(struct kp_who *to, const struct kp_who *w)
{
	int rc;

	*to = (struct kp_who){ .source = w->source, .tid = w->tid, .tgid = w->tgid, .start = w->start };
	rc = str_or(&to->comm, w->comm);
	rc = rc ? rc : str_or(&to->service, w->service);
	rc = rc ? rc : str_or(&to->cgroup, w->cgroup);
	return rc ? rc : str_or(&to->host, w->host);
}

static bool same_proc(const struct kp_who *a, const struct kp_who *b)
{
	return a->source == b->source && a->tgid == b->tgid;
}

/* The node of this kind for this process, made if need be; UINT32_MAX: no room (or no memory, then *rc). */
static uint32_t node(struct kp_graph *g, uint8_t type, const struct kp_who *who, uint32_t cause, const char *name, uint64_t from, int *rc)
{
	struct kp_node *n;

	for (uint32_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].type == type && g->nodes[i].cause == cause && same_proc(&g->nodes[i].who, who))
			return i;
	if (g->nnodes == MAX_NODES)
		return UINT32_MAX;
	n = &g->nodes[g->nnodes];
	*n = (struct kp_node){ .type = type, .from = from, .cause = cause };
	g->nnodes++;
	*rc = str_or(&n->name, name);
	if (!*rc)
		*rc = who_dup(&n->who, who);
	return g->nnodes - 1;
}

static void edge(struct kp_graph *g, uint32_t from, uint32_t to, uint64_t ns, bool observed, const char *label, int *rc)
{
	struct kp_edge *e;

	if (*rc || from == to || from == UINT32_MAX || to == UINT32_MAX)
		return;
	for (uint32_t i = 0; i < g->nedges; i++)
		if (g->edges[i].from == from && g->edges[i].to == to) {
			g->edges[i].ns += ns;
			return;
		}
	if (g->nedges == 3 * MAX_NODES)
		return;
	e = &g->edges[g->nedges++];
	*e = (struct kp_edge){ .from = from, .to = to, .ns = ns, .observed = observed };
	*rc = str_or(&e->label, label);
}

/* An operation is named by what was asked of it: "SELECT items", unless that is empty. */
static void op_name(const struct kp_graph *g, const struct kp_step *s, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s", s->state == KP_ST_RUNNING && s->depth && *s->what ? s->what : s->who.comm);
}

/* Time of each process that was called: what is too short to be seen is not drawn, not even as a call. */
enum { PROCS = 64 };
struct proc_ns { const struct kp_who *who; uint64_t ns; };

static void sum_up(const struct kp_graph *g, struct proc_ns p[PROCS])
{
	for (uint32_t i = 0; i < g->nsteps; i++) {
		uint32_t k = 0;

		while (k < PROCS && p[k].who && !same_proc(p[k].who, &g->steps[i].who))
			k++;
		if (k == PROCS)
			continue;
		p[k].who = &g->steps[i].who;
		p[k].ns += g->steps[i].dur;
	}
}

static bool is_seen(const struct kp_graph *g, const struct proc_ns p[PROCS], const struct kp_who *who)
{
	for (uint32_t k = 0; k < PROCS && p[k].who; k++)
		if (same_proc(p[k].who, who))
			return (double)p[k].ns >= MIN_SHARE * (double)g->dur;
	return false;
}

static void put_step(struct kp_graph *g, const struct kp_step *s, uint32_t *at, int *rc)
{
	uint32_t d = s->depth < MAX_DEPTH ? s->depth : MAX_DEPTH - 1, op, ev;
	const struct kp_cause *c = &g->causes[s->cause];
	bool own = c->kind == KP_C_CPU_SELF || c->kind == KP_C_NET_QUEUE;
	char name[160];

	if (d) {
		op_name(g, s, name, sizeof(name));
		op = node(g, OPERATION, &s->who, UINT32_MAX, name, s->from, rc);
		if (op == UINT32_MAX || *rc)
			return;
		at[d] = op;
		if (s->state == KP_ST_RUNNING && *s->what && !strcmp(g->nodes[op].name, g->nodes[op].who.comm)) {
			free(g->nodes[op].name);
			*rc = str_or(&g->nodes[op].name, s->what);
		}
		/* an edge carries all that went through it, deeper calls too */
		for (uint32_t i = 1; i <= d; i++)
			edge(g, at[i - 1], at[i], s->dur, true, "calls", rc);
		for (uint32_t i = 1; i <= d; i++)
			g->nodes[at[i]].ns += s->dur;
	}
	if (own || c->share < MIN_SHARE || *rc)
		return;
	ev = node(g, EVENT, &s->who, s->cause, *s->what ? s->what : kp_cause_name(c->kind), s->from, rc);
	if (ev == UINT32_MAX || *rc)
		return;
	g->nodes[ev].ns += s->dur;
	edge(g, at[d], ev, s->dur, c->observed, kp_cause_name(c->kind), rc);
}

static void put_culprits(struct kp_graph *g, int *rc)
{
	for (uint32_t i = 0, n = g->nnodes; i < n && !*rc; i++) {
		const struct kp_cause *c = g->nodes[i].cause < g->ncauses ? &g->causes[g->nodes[i].cause] : NULL;

		for (uint32_t b = 0; c && g->nodes[i].type == EVENT && b < c->nblame && b < 3 && !*rc; b++) {
			uint64_t ns = (uint64_t)(c->blame[b].share * (double)g->nodes[i].ns);
			uint32_t to;

			if (c->blame[b].share < MIN_PART || (double)ns < MIN_SHARE * (double)g->dur)
				continue;
			to = node(g, CULPRIT, &c->blame[b].who, UINT32_MAX, c->blame[b].who.comm, g->start, rc);
			if (to == UINT32_MAX || *rc)
				break;
			g->nodes[to].ns += ns;
			edge(g, i, to, ns, strstr(c->blame[b].why, "inferred") == NULL, "by", rc);
		}
	}
}

int kc_nodes(struct kc_walk *k, struct kp_graph *g)
{
	struct proc_ns procs[PROCS] = { 0 };
	uint32_t at[MAX_DEPTH] = { 0 };
	char name[256];
	int rc = 0;

	g->nodes = calloc(MAX_NODES, sizeof(*g->nodes));
	g->edges = calloc(3 * MAX_NODES, sizeof(*g->edges));
	if (!g->nodes || !g->edges)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%s%s%s", g->op, *g->op && *g->request ? " " : "", *g->request ? g->request : *g->op ? "" : g->target.comm);
	node(g, TARGET, &g->target, UINT32_MAX, name, g->start, &rc);
	g->nodes[0].ns = g->dur;
	/* calls first: they must not be crowded out by small waits */
	sum_up(g, procs);
	for (uint32_t i = 0; i < g->nsteps && !rc; i++)
		if (!g->steps[i].depth || is_seen(g, procs, &g->steps[i].who))
			put_step(g, &g->steps[i], at, &rc);
	if (!rc)
		put_culprits(g, &rc);
	return rc;
}
