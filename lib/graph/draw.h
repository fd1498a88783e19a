/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside lib/graph: what to draw, how it looks, and its text. */
#ifndef KP_GRAPH_DRAW_H
#define KP_GRAPH_DRAW_H

#include <string.h>

#include <kp/dot.h>

/* ---- fold.c: which nodes are drawn ---- */

enum { KP_FOLD_OTHER = 0xfffffffe };	/* slot of what stands for all others */

struct kp_link { uint64_t ns; const char *label; uint64_t label_ns; bool any, observed; };

struct kp_fold {
	uint32_t n, slots;	/* nodes drawn; slots = n, or n + 1 with the one for the others */
	uint32_t *node;		/* of each slot: index into the graph's nodes, or KP_FOLD_OTHER */
	struct kp_link *links;	/* slots * slots: [from * slots + to] */
	uint32_t others;	/* nodes folded into the last slot */
	uint64_t other_ns;	/* latency that they carry, each nanosecond once */
};

/* Does a node belong to the root cause? A culprit does when an edge comes to it from one that does. */
bool kp_node_root(const struct kp_graph *g, uint32_t node);

int kp_fold(struct kp_fold *f, const struct kp_graph *g, uint32_t max);
void kp_fold_free(struct kp_fold *f);

/* ---- look.c: colour and width by share ---- */

struct kp_look { const char *fill, *text; };	/* "#rrggbb" */

/* share: of the target's duration, 0..1; anything else is brought there. */
struct kp_look kp_look_node(double share);
const char *kp_look_edge(double share);
double kp_look_width(double share);		/* of an edge, points */

/* ---- text.c: text from outside into labels and tooltips ---- */

/* Safe inside an HTML-like label and inside a quoted string alike. */
int kp_text(struct kp_buf *b, const char *s);
/* At most max characters of it, with an ellipsis in the middle; broken into lines of about width, 0 one line. */
int kp_text_short(struct kp_buf *b, const char *s, uint32_t max, uint32_t width);
/* At most max characters from its beginning, for prose: a figure must not lose its middle. */
int kp_text_lead(struct kp_buf *b, const char *s, uint32_t max, uint32_t width);
/* "batch[4721]", with the service where it adds something. Nothing for nobody. */
int kp_text_who(struct kp_buf *b, const struct kp_who *w);
/* "96 %", "0.4 %", "< 0.1 %" */
int kp_text_share(struct kp_buf *b, double share);

/* ---- title.c ---- */

int kp_title(struct kp_buf *b, const struct kp_graph *g);	/* a target's heading: the inside of an HTML-like label */
int kp_legend(struct kp_buf *b);

static inline double kp_share(uint64_t ns, uint64_t of) { return of ? (double)ns / (double)of : 0; }
static inline const struct kp_cause *kp_node_cause(const struct kp_graph *g, const struct kp_node *n)
{
	return n->cause < g->ncauses ? &g->causes[n->cause] : NULL;
}
static inline bool kp_same_who(const struct kp_who *a, const struct kp_who *b)
{
	return a->source == b->source && a->tgid == b->tgid && (a->tgid || a->tid == b->tid) && !strcmp(a->comm, b->comm);
}

#endif
