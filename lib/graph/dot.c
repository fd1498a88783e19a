/* SPDX-License-Identifier: BSD-2-Clause */
/* A graph record in Graphviz's language. Shapes and words say what colour says, so that none is needed. */
#include <string.h>

#include "draw.h"

#define FONT "DejaVu Sans,Verdana,Helvetica,Arial,sans-serif"
#define INK "#1f1f1f"
#define CULPRIT "#123f6d"

int kp_dot_begin(struct kp_buf *b)
{
	return kp_buf_printf(b, "digraph kprobe {\n"
		"graph [rankdir=LR, bgcolor=\"#ffffff\", fontname=\"" FONT "\", fontsize=11, fontcolor=\"" INK "\", "
		"nodesep=0.18, ranksep=0.55, pad=0.15, labelloc=b, labeljust=l, size=\"14,1000\"]\n"
		"node [fontname=\"" FONT "\", fontsize=11, fontcolor=\"" INK "\", color=\"#4d4d4d\", margin=\"0.12,0.06\", "
		"shape=box, style=filled, fillcolor=\"#ffffff\"]\n"
		"edge [fontname=\"" FONT "\", fontsize=10, fontcolor=\"#3a3a3a\", arrowsize=0.7]\n");
}

int kp_dot_end(struct kp_buf *b)
{
	kp_buf_printf(b, "label=<");
	kp_legend(b);
	return kp_buf_printf(b, ">\n}\n");
}

/* The one node of the root cause that carries the most gets the tag; others of it only the frame. */
static uint32_t root_node(const struct kp_graph *g)
{
	uint32_t best = UINT32_MAX;

	for (uint32_t i = 0; i < g->nnodes; i++) {
		const struct kp_node *n = &g->nodes[i];
		const struct kp_cause *c = kp_node_cause(g, n);

		if (c && c->root && (n->type == 1 || n->type == 2) && (best == UINT32_MAX || n->ns > g->nodes[best].ns))
			best = i;
	}
	return best;
}

static bool gave_up(const struct kp_graph *g)
{
	return g->limit || !strcmp(g->outcome, "failed") || !strcmp(g->outcome, "timeout");
}

static void tag(struct kp_buf *b, const char *s)
{
	kp_buf_printf(b, "<font point-size=\"10\"><b>%s</b></font><br/>", s);
}

static void measure(struct kp_buf *b, const struct kp_graph *g, uint64_t ns, const struct kp_cause *c)
{
	char t[32];

	kp_buf_printf(b, "<br/>%s · ", kp_fmt_dur(t, ns));
	kp_text_share(b, kp_share(ns, g->dur));
	if (c)
		kp_buf_printf(b, " · %s", kp_cause_name(c->kind));
}

static void node_label(struct kp_buf *b, const struct kp_graph *g, uint32_t i)
{
	const struct kp_node *n = &g->nodes[i];
	const struct kp_cause *c = kp_node_cause(g, n);
	char t[32];

	kp_buf_printf(b, "label=<");
	if (n->type == 0 && gave_up(g))
		tag(b, g->limit ? "✗ GAVE UP" : "✗ FAILED");
	else if (n->type == 3)
		tag(b, c && c->root ? "► CULPRIT" : "culprit");
	else if (i == root_node(g))
		tag(b, "◆ ROOT CAUSE");
	kp_buf_printf(b, "<b>");
	kp_text_short(b, *n->name ? n->name : "?", 64, 26);
	kp_buf_printf(b, "</b>");
	/* A name often has the process in it already. */
	if (*n->who.comm && !strstr(n->name, n->who.comm)) {
		kp_buf_printf(b, "<br/>");
		kp_text_who(b, &n->who);
	}
	if (n->type == 3 && *n->who.cgroup) {
		kp_buf_printf(b, "<br/>");
		kp_text_short(b, n->who.cgroup, 34, 0);
	}
	if (n->type == 0)
		kp_buf_printf(b, "<br/>%s", kp_fmt_dur(t, g->dur));
	else if (n->ns)
		measure(b, g, n->ns, n->type == 3 ? NULL : c);
	kp_buf_printf(b, ">");
}

static void node_look(struct kp_buf *b, const struct kp_graph *g, const struct kp_node *n)
{
	const struct kp_cause *c = kp_node_cause(g, n);
	struct kp_look l = kp_look_node(kp_share(n->ns, g->dur));
	bool root = c && c->root;

	switch (n->type) {
	case 0:
		kp_buf_printf(b, ", style=\"rounded,filled\", fillcolor=\"#f2f2f2\", penwidth=%s", gave_up(g) ? "3" : "1.5");
		break;
	case 3:
		kp_buf_printf(b, ", shape=octagon, margin=\"0.02,0.02\", color=\"" CULPRIT "\", penwidth=2, fillcolor=\"%s\", fontcolor=\"%s\"",
			      root ? CULPRIT : "#e3edf7", root ? "#ffffff" : INK);
		break;
	default:
		kp_buf_printf(b, ", style=\"%s\", fillcolor=\"%s\", fontcolor=\"%s\"", n->type == 1 ? "rounded,filled" : "filled",
			      l.fill, l.text);
		if (root)
			kp_buf_printf(b, ", peripheries=2, penwidth=2, color=\"" INK "\"");
	}
}

/* The whole of what a label may have cut, and why we believe it. */
static void node_tip(struct kp_buf *b, const struct kp_graph *g, const struct kp_node *n)
{
	const struct kp_cause *c = kp_node_cause(g, n);

	kp_buf_printf(b, ", tooltip=\"");
	kp_text(b, n->name);
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

static void edge(struct kp_buf *b, const struct kp_graph *g, uint32_t index, uint32_t from, uint32_t to, const struct kp_link *l)
{
	double share = kp_share(l->ns, g->dur);
	char t[32];

	kp_buf_printf(b, "t%un%u -> t%un%u [color=\"%s\", penwidth=%.1f, weight=%d", index, from, index, to,
		      kp_look_edge(share), kp_look_width(share), 1 + (int)(kp_look_width(share) * 2));
	if (!l->observed)
		kp_buf_printf(b, ", style=dashed");
	if (l->label && *l->label) {
		/* The last row keeps the text clear of a wide line. */
		kp_buf_printf(b, ", label=<<table border=\"0\" cellspacing=\"0\" cellpadding=\"0\"><tr><td>");
		kp_text_short(b, l->label, 48, 22);
		kp_buf_printf(b, "</td></tr><tr><td height=\"%d\"></td></tr></table>>", 4 + (int)kp_look_width(share));
	}
	kp_buf_printf(b, ", edgetooltip=\"%s, %s\"]\n", kp_fmt_dur(t, l->ns), l->observed ? "observed" : "inferred");
}

int kp_dot_target(struct kp_buf *b, const struct kp_graph *g, uint32_t index, uint32_t max_nodes)
{
	struct kp_fold f;
	int rc = kp_fold(&f, g, max_nodes ? max_nodes : KP_DOT_NODES);

	if (rc)
		return b->err = rc;
	kp_buf_printf(b, "subgraph cluster_%u {\nlabelloc=t; labeljust=l; color=\"#bdbdbd\"; penwidth=1; margin=12\nlabel=<", index);
	kp_title(b, g);
	kp_buf_printf(b, ">\n");
	for (uint32_t i = 0; i < f.slots; i++) {
		kp_buf_printf(b, "t%un%u [", index, i);
		if (f.node[i] == KP_FOLD_OTHER) {
			other_node(b, g, &f);
		} else {
			node_label(b, g, f.node[i]);
			node_look(b, g, &g->nodes[f.node[i]]);
			node_tip(b, g, &g->nodes[f.node[i]]);
		}
		kp_buf_printf(b, "]\n");
	}
	for (uint32_t i = 0; i < f.slots * f.slots; i++)
		if (f.links[i].any)
			edge(b, g, index, i / f.slots, i % f.slots, &f.links[i]);
	kp_buf_printf(b, "}\n");
	kp_fold_free(&f);
	return b->err;
}
