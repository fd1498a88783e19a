/* SPDX-License-Identifier: BSD-2-Clause */
/* The heading of a target and the legend of the picture. */
#include <stdlib.h>
#include <string.h>

#include "draw.h"

static void name(struct kp_buf *b, const struct kp_graph *g)
{
	const char *id = *g->request ? g->request : *g->trace ? g->trace : g->txn;

	if (*id) {
		kp_buf_printf(b, "<b>");
		kp_text_short(b, id, 48, 0);
		kp_buf_printf(b, "</b>");
	}
	if (*g->op) {
		kp_buf_printf(b, "%s", *id ? "   " : "");
		kp_text_short(b, g->op, 60, 0);
	}
	kp_buf_printf(b, "   ");
	kp_text_who(b, &g->target);
}

/* "FAILED after 750 ms; the answer came at 812 ms, 62 ms too late" */
static void outcome(struct kp_buf *b, const struct kp_graph *g)
{
	bool bad = !strcmp(g->outcome, "failed") || !strcmp(g->outcome, "timeout") || g->limit || g->late;
	char t[32], u[32];

	if (!bad) {
		if (!strcmp(g->outcome, "open"))
			kp_buf_printf(b, "<b>still open</b> after %s", kp_fmt_dur(t, g->dur));
		else
			kp_buf_printf(b, "%s after %s", *g->outcome ? "answered" : "took", kp_fmt_dur(t, g->dur));
		return;
	}
	/* All of the duration but what came after; the limit is that, in a round figure. */
	kp_buf_printf(b, "<b>✗ FAILED</b> after %s", kp_fmt_dur(t, g->limit || g->late > g->dur ? g->limit : g->dur - g->late));
	if (g->late)
		kp_buf_printf(b, "; the answer came at %s, %s too late", kp_fmt_dur(t, g->dur), kp_fmt_dur(u, g->late));
}

static void without(struct kp_buf *b, const struct kp_graph *g)
{
	char t[32];

	for (uint32_t i = 0; i < g->ncauses; i++) {
		const struct kp_cause *c = &g->causes[i];

		if (!c->root || !c->counterfactual)
			continue;
		kp_buf_printf(b, "   ·   without %s: %s", kp_cause_name(c->kind), kp_fmt_dur(t, c->counterfactual));
		return;
	}
}

int kp_title(struct kp_buf *b, const struct kp_graph *g)
{
	kp_buf_printf(b, "<table border=\"0\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"2\">"
		      "<tr><td align=\"left\"><font point-size=\"16\">");
	name(b, g);
	kp_buf_printf(b, "</font></td></tr><tr><td align=\"left\"><font point-size=\"13\">");
	outcome(b, g);
	without(b, g);
	if (g->losses)
		kp_buf_printf(b, "   ·   <b>%llu rows were lost in this time</b>", (unsigned long long)g->losses);
	return kp_buf_printf(b, "</font></td></tr></table>");
}

int kp_legend(struct kp_buf *b)
{
	static const double at[] = { 0.01, 0.1, 0.25, 0.5, 0.75, 1 };

	kp_buf_printf(b, "<table border=\"0\" cellborder=\"0\" cellspacing=\"1\" cellpadding=\"3\"><tr><td>share of the time </td>");
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct kp_look l = kp_look_node(at[i]);

		kp_buf_printf(b, "<td bgcolor=\"%s\"><font color=\"%s\">%.0f %%</font></td>", l.fill, l.text, at[i] * 100);
	}
	return kp_buf_printf(b, "<td align=\"left\">   effect → cause:   ──  observed   ‒ ‒  inferred</td></tr>"
			     "<tr><td colspan=\"8\" align=\"left\">round: operation    square: kernel    double frame: root cause"
			     "    cut corners: culprit</td></tr></table>");
}
