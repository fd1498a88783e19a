/* SPDX-License-Identifier: BSD-2-Clause */
/* A graph record in Graphviz's language. Shapes and words say what colour says, so that none is needed. */
#include <string.h>

#include "draw.h"

#define FONT "DejaVu Sans,Verdana,Helvetica,Arial,sans-serif"
#define INK "#1f1f1f"
#define CULPRIT "#123f6d"

static const char head[] = "digraph kprobe {\n"
	"graph [rankdir=LR, bgcolor=\"#ffffff\", fontname=\"" FONT "\", fontsize=11, fontcolor=\"" INK "\", "
	"nodesep=0.18, ranksep=0.4, pad=0.15, labelloc=b, labeljust=l]\n"
	"node [fontname=\"" FONT "\", fontsize=11, fontcolor=\"" INK "\", color=\"#4d4d4d\", margin=\"0.12,0.06\", "
	"shape=box, style=filled, fillcolor=\"#ffffff\"]\n"
	"edge [fontname=\"" FONT "\", fontsize=11, fontcolor=\"#3a3a3a\", arrowsize=0.7]\n";

int kp_dot_begin(struct kp_buf *b) { return kp_buf_add(b, head, sizeof(head) - 1); }

int kp_dot_end(struct kp_buf *b)
{
	kp_buf_printf(b, "label=<");
	kp_legend(b);
	return kp_buf_printf(b, ">\n}\n");
}

/* The one node of a type that carries the most of the root cause gets the tag; others of it only the look. */
static bool is_chief(const struct kp_graph *g, uint32_t node)
{
	const struct kp_node *n = &g->nodes[node];

	if (!kp_node_root(g, node))
		return false;
	for (uint32_t i = 0; i < g->nnodes; i++) {
		const struct kp_node *o = &g->nodes[i];
		bool same = n->type == 3 ? o->type == 3 : o->type == 1 || o->type == 2;

		if (same && (o->ns > n->ns || (o->ns == n->ns && i < node)) && kp_node_root(g, i))
			return false;
	}
	return true;
}

static bool gave_up(const struct kp_graph *g)
{
	return g->limit || g->late || !strcmp(g->outcome, "failed") || !strcmp(g->outcome, "timeout");
}

static void tag(struct kp_buf *b, const char *s)
{
	kp_buf_printf(b, "<b>%s</b><br/>", s);
}

static void measure(struct kp_buf *b, const struct kp_graph *g, uint64_t ns, const struct kp_cause *c)
{
	char t[32];

	kp_buf_printf(b, "<br/>%s · ", kp_fmt_dur(t, ns));
	kp_text_share(b, kp_share(ns, g->dur));
	if (c)
		kp_buf_printf(b, " · %s", kp_cause_name(c->kind));
}

/* "SELECT items" and below it whose; or just who, where the name says no more. */
static void names(struct kp_buf *b, const struct kp_node *n)
{
	bool alone = !*n->name || !strcmp(n->name, n->who.comm);

	kp_buf_printf(b, "<b>");
	if (alone && *n->who.comm)
		kp_text_who(b, &n->who);
	else
		kp_text_short(b, *n->name ? n->name : "?", 64, 22);
	kp_buf_printf(b, "</b>");
	if (!alone && *n->who.comm && !strstr(n->name, n->who.comm)) {
		kp_buf_printf(b, "<br/>");
		kp_text_who(b, &n->who);
	}
}

/* Why this one is blamed, from the cause that carries most to it; the edge's own words where no cause tells. */
static const char *why(const struct kp_graph *g, uint32_t node)
{
	const struct kp_edge *best = NULL;
	const struct kp_cause *c;

	for (uint32_t i = 0; i < g->nedges; i++)
		if (g->edges[i].to == node && g->edges[i].from < g->nnodes && (!best || g->edges[i].ns > best->ns))
			best = &g->edges[i];
	if (!best)
		return "";
	c = kp_node_cause(g, &g->nodes[best->from]);
	for (uint32_t i = 0; c && i < c->nblame; i++)
		if (kp_same_who(&c->blame[i].who, &g->nodes[node].who) && *c->blame[i].why)
			return c->blame[i].why;
	return best->label;
}

static void culprit(struct kp_buf *b, const struct kp_graph *g, uint32_t i)
{
	const struct kp_node *n = &g->nodes[i];

	if (strlen(n->who.cgroup) > 1) {
		kp_buf_printf(b, "<br/>in ");
		kp_text_short(b, n->who.cgroup, 30, 0);
	}
	measure(b, g, n->ns, NULL);
	if (*why(g, i)) {
		kp_buf_printf(b, "<br/>");
		kp_text_lead(b, why(g, i), 130, 26);
	}
}

static void node_label(struct kp_buf *b, const struct kp_graph *g, uint32_t i)
{
	const struct kp_node *n = &g->nodes[i];
	char t[32];

	kp_buf_printf(b, "label=<");
	if (n->type == 0 && gave_up(g))
		tag(b, g->limit || g->late ? "✗ GAVE UP" : "✗ FAILED");
	else if (n->type == 3)
		tag(b, is_chief(g, i) ? "► CULPRIT" : "culprit");
	else if (is_chief(g, i))
		tag(b, "◆ ROOT CAUSE");
	names(b, n);
	if (n->type == 3)
		culprit(b, g, i);
	else if (n->type == 0)
		kp_buf_printf(b, "<br/>%s", kp_fmt_dur(t, g->dur));
	else if (n->ns)
		measure(b, g, n->ns, kp_node_cause(g, n));
	kp_buf_printf(b, ">");
}

static void node_look(struct kp_buf *b, const struct kp_graph *g, uint32_t i)
{
	const struct kp_node *n = &g->nodes[i];
	struct kp_look l = kp_look_node(kp_share(n->ns, g->dur));
	bool chief = is_chief(g, i);

	switch (n->type) {
	case 0:
		kp_buf_printf(b, ", style=\"rounded,filled\", fillcolor=\"#f2f2f2\", penwidth=%s", gave_up(g) ? "3" : "1.5");
		break;
	case 3:
		kp_buf_printf(b, ", style=\"filled,diagonals\", margin=\"0.16,0.08\", color=\"%s\", penwidth=2, fillcolor=\"%s\", fontcolor=\"%s\"",
			      chief ? "#ffffff" : CULPRIT, chief ? CULPRIT : "#e3edf7", chief ? "#ffffff" : INK);
		break;
	default:
		kp_buf_printf(b, ", style=\"%s\", fillcolor=\"%s\", fontcolor=\"%s\"", n->type == 1 ? "rounded,filled" : "filled",
			      l.fill, l.text);
		if (kp_node_root(g, i))
			kp_buf_printf(b, ", peripheries=2, penwidth=2, color=\"" INK "\"");
	}
}

/* The whole of what a label may have cut, and why we believe it. */
static void node_tip(struct kp_buf *b, const struct kp_graph *g, uint32_t at)
{
	const struct kp_node *n = &g->nodes[at];
	const struct kp_cause *c = kp_node_cause(g, n);

	kp_buf_printf(b, ", tooltip=\"");
	kp_text(b, n->name);
	if (n->type == 3) {
		kp_buf_printf(b, "; ");
		kp_text(b, why(g, at));
	}
	for (uint32_t i = 0; c && i < c->nev && i < 6; i++) {
		kp_buf_printf(b, "; %s: ", c->ev[i].observed ? "observed" : "inferred");
		kp_text_short(b, c->ev[i].what, 160, 0);
	}
	kp_buf_printf(b, "\"");
}

static void other_node(struct kp_buf *b, const struct kp_graph *g, const struct kp_fold *f)
{
	struct kp_look l = kp_look_node(kp_share(f->other_ns, g->dur));
	char t[32];

	kp_buf_printf(b, "label=<%u others, %s>, style=\"rounded,filled,dashed\", fillcolor=\"%s\", fontcolor=\"%s\"",
		      f->others, kp_fmt_dur(t, f->other_ns), l.fill, l.text);
}

/* What the record calls an edge, unless the node at its end says it already: that of a call, a cause, a culprit does. */
static const char *edge_text(const struct kp_graph *g, const struct kp_fold *f, uint32_t to, const struct kp_link *l)
{
	const struct kp_node *n = f->node[to] == KP_FOLD_OTHER ? NULL : &g->nodes[f->node[to]];

	return !l->label || !n || n->type == 1 || n->type == 3 || kp_node_cause(g, n) ? "" : l->label;
}

static void edge(struct kp_buf *b, const struct kp_graph *g, const struct kp_fold *f, uint32_t index, uint32_t from, uint32_t to)
{
	const struct kp_link *l = &f->links[from * f->slots + to];
	const char *text = edge_text(g, f, to, l);
	double share = kp_share(l->ns, g->dur);
	char t[32];

	kp_buf_printf(b, "t%un%u -> t%un%u [color=\"%s\", penwidth=%.1f, weight=%d", index, from, index, to,
		      kp_look_edge(share), kp_look_width(share), 1 + (int)(kp_look_width(share) * 2));
	if (!l->observed)
		kp_buf_printf(b, ", style=dashed");
	if (*text) {
		/* The last row keeps the text clear of a wide line. */
		kp_buf_printf(b, ", label=<<table border=\"0\" cellspacing=\"0\" cellpadding=\"0\"><tr><td>");
		kp_text_short(b, text, 48, 22);
		kp_buf_printf(b, "</td></tr><tr><td height=\"%d\"></td></tr></table>>", 4 + (int)kp_look_width(share));
	}
	kp_buf_printf(b, ", edgetooltip=\"%s, %s\"]\n", kp_fmt_dur(t, l->ns), l->observed ? "observed" : "inferred");
}

static void cluster(struct kp_buf *b, const struct kp_graph *g, const struct kp_fold *f, uint32_t index)
{
	kp_buf_printf(b, "subgraph cluster_%u {\nlabelloc=t; labeljust=l; color=\"#bdbdbd\"; penwidth=1; margin=12\nlabel=<", index);
	kp_title(b, g);
	kp_buf_printf(b, ">\n");
	/* Graphviz leaves out what is empty, and its title with it. */
	if (!f->slots)
		kp_buf_printf(b, "t%un0 [style=\"\", shape=plaintext, label=\"nothing was found to draw\"]\n", index);
	for (uint32_t i = f->slots; i-- > 0;) {
		kp_buf_printf(b, "t%un%u [", index, i);
		if (f->node[i] == KP_FOLD_OTHER) {
			other_node(b, g, f);
		} else {
			node_label(b, g, f->node[i]);
			node_look(b, g, f->node[i]);
			node_tip(b, g, f->node[i]);
		}
		kp_buf_printf(b, "]\n");
	}
	for (uint32_t i = f->slots * f->slots; i-- > 0;)
		if (f->links[i].any)
			edge(b, g, f, index, i / f->slots, i % f->slots);
	kp_buf_printf(b, "}\n");
}

/*
 * From left to right Graphviz stacks things from the bottom up, in the order in which it meets them: so each
 * target goes in front of those before it, and its nodes and edges go backwards; then time runs downwards.
 */
int kp_dot_target(struct kp_buf *b, const struct kp_graph *g, uint32_t index, uint32_t max_nodes)
{
	struct kp_buf one = { 0 };
	struct kp_fold f;
	int rc = kp_fold(&f, g, max_nodes ? max_nodes : KP_DOT_NODES);

	if (rc)
		return b->err = rc;
	cluster(&one, g, &f, index);
	kp_fold_free(&f);
	if (one.err)
		b->err = one.err;
	else if (!kp_buf_reserve(b, one.len)) {
		uint8_t *at = b->p + sizeof(head) - 1;

		memmove(at + one.len, at, b->len - (sizeof(head) - 1));
		memcpy(at, one.p, one.len);
		b->len += one.len;
	}
	kp_buf_free(&one);
	return b->err;
}
