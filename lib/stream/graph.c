/* SPDX-License-Identifier: BSD-2-Clause */
/* Graph records: the tables of their members. */
#include <kp/graph.h>

#include <errno.h>
#include <stdlib.h>

#include "stream_int.h"

#define F(type, s, key, m)	{ key, KP_FT_##type, offsetof(struct s, m), 0, NULL }
#define WHO(s, key, m)		{ key, KP_FT_REC, offsetof(struct s, m), 0, &rec_who }
#define LIST(s, key, m, nm, sub) { key, KP_FT_LIST, offsetof(struct s, m), offsetof(struct s, nm), sub }
#define REC(fields, s)		{ fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct s) }

static const struct kp_field f_who[] = {
	F(U32, kp_who, "source", source), F(U32, kp_who, "tid", tid), F(U32, kp_who, "tgid", tgid),
	F(U64, kp_who, "start", start), F(CSTR, kp_who, "comm", comm), F(CSTR, kp_who, "service", service),
	F(CSTR, kp_who, "cgroup", cgroup), F(CSTR, kp_who, "host", host),
};
static const struct kp_rec rec_who = REC(f_who, kp_who);

static const struct kp_field f_evidence[] = {
	F(U64, kp_evidence, "row", row), F(U64, kp_evidence, "ts", ts), F(CSTR, kp_evidence, "kind", kind),
	F(CSTR, kp_evidence, "what", what), F(BOOL, kp_evidence, "observed", observed),
};
static const struct kp_rec rec_evidence = REC(f_evidence, kp_evidence);

static const struct kp_field f_step[] = {
	F(U64, kp_step, "from", from), F(U64, kp_step, "dur", dur), WHO(kp_step, "who", who), F(U8, kp_step, "state", state),
	F(U32, kp_step, "cause", cause), F(CSTR, kp_step, "what", what), F(U32, kp_step, "depth", depth),
};
static const struct kp_rec rec_step = REC(f_step, kp_step);

static const struct kp_field f_blame[] = {
	WHO(kp_blame, "who", who), F(F64, kp_blame, "share", share), F(CSTR, kp_blame, "why", why),
};
static const struct kp_rec rec_blame = REC(f_blame, kp_blame);

static const struct kp_field f_cause[] = {
	F(U16, kp_cause, "kind", kind), F(U64, kp_cause, "ns", ns), F(F64, kp_cause, "share", share),
	WHO(kp_cause, "victim", victim), LIST(kp_cause, "blame", blame, nblame, &rec_blame), F(CSTR, kp_cause, "object", object),
	F(BOOL, kp_cause, "observed", observed), F(BOOL, kp_cause, "root", root), F(F64, kp_cause, "confidence", confidence),
	F(CSTR, kp_cause, "runner_up", runner_up), F(U64, kp_cause, "counterfactual", counterfactual),
	LIST(kp_cause, "evidence", ev, nev, &rec_evidence),
};
static const struct kp_rec rec_cause = REC(f_cause, kp_cause);

static const struct kp_field f_mark[] = {
	F(U64, kp_mark, "ts", ts), F(U8, kp_mark, "type", type), WHO(kp_mark, "who", who), F(CSTR, kp_mark, "what", what),
};
static const struct kp_rec rec_mark = REC(f_mark, kp_mark);

static const struct kp_field f_node[] = {
	F(CSTR, kp_node, "name", name), F(U8, kp_node, "type", type), WHO(kp_node, "who", who), F(U64, kp_node, "from", from),
	F(U64, kp_node, "ns", ns), F(U32, kp_node, "cause", cause),
};
static const struct kp_rec rec_node = REC(f_node, kp_node);

static const struct kp_field f_edge[] = {
	F(U32, kp_edge, "from", from), F(U32, kp_edge, "to", to), F(U64, kp_edge, "ns", ns), F(BOOL, kp_edge, "observed", observed),
	F(CSTR, kp_edge, "label", label),
};
static const struct kp_rec rec_edge = REC(f_edge, kp_edge);

static const struct kp_field f_graph[] = {
	F(CSTR, kp_graph, "request", request), F(CSTR, kp_graph, "trace", trace), F(CSTR, kp_graph, "txn", txn),
	F(CSTR, kp_graph, "service", service), F(CSTR, kp_graph, "op", op), F(CSTR, kp_graph, "outcome", outcome),
	WHO(kp_graph, "target", target), F(U64, kp_graph, "start", start), F(U64, kp_graph, "dur", dur),
	F(U64, kp_graph, "limit", limit), F(U64, kp_graph, "late", late), F(U64, kp_graph, "real0", real0),
	F(U64, kp_graph, "losses", losses), LIST(kp_graph, "causes", causes, ncauses, &rec_cause),
	LIST(kp_graph, "steps", steps, nsteps, &rec_step), LIST(kp_graph, "marks", marks, nmarks, &rec_mark),
	LIST(kp_graph, "nodes", nodes, nnodes, &rec_node), LIST(kp_graph, "edges", edges, nedges, &rec_edge),
};
const struct kp_rec kp_rec_graph = REC(f_graph, kp_graph);

void kp_graph_free(struct kp_graph *g)
{
	if (!g)
		return;
	kp_rec_free(&kp_rec_graph, g);
	free(g);
}

/* Readers index arrays with these: a graph that points outside itself is damage. */
static bool consistent(const struct kp_graph *g)
{
	for (uint32_t i = 0; i < g->nsteps; i++)
		if (g->steps[i].cause >= g->ncauses && g->steps[i].cause != UINT32_MAX)
			return false;
	for (uint32_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].cause >= g->ncauses && g->nodes[i].cause != UINT32_MAX)
			return false;
	for (uint32_t i = 0; i < g->nedges; i++)
		if (g->edges[i].from >= g->nnodes || g->edges[i].to >= g->nnodes)
			return false;
	return true;
}

int kp_graph_decode(struct kp_graph **out, const uint8_t *p, size_t n)
{
	struct kp_dec d = { .p = p, .left = n, .budget = KP_MAX_GRAPH };
	struct kp_graph *g = calloc(1, sizeof(*g));

	*out = NULL;
	if (!g)
		return -ENOMEM;
	kp_rec_decode(&d, &kp_rec_graph, g, NULL);
	if (!d.err && (d.left || !consistent(g)))
		kp_dec_fail(&d);
	if (d.err) {
		kp_graph_free(g);
		return d.err;
	}
	*out = g;
	return 0;
}
