/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Graph records as pictures. The source in Graphviz's language is built up in
 * a buffer: begin, one call a target, end. It can be kept as it is or laid
 * out and rendered with libgvc.
 */
#ifndef KP_DOT_H
#define KP_DOT_H

#include <kp/err.h>
#include <kp/graph.h>
#include <kp/util.h>

enum { KP_DOT_NODES = 25 };	/* nodes a target that still fit a laptop's screen */

/* 0 or -ENOMEM, which also sticks in b->err. */
int kp_dot_begin(struct kp_buf *b);
/*
 * index: of the target, from 0, makes its names unique. At most max_nodes are
 * drawn (0: KP_DOT_NODES), the least of the others are folded into one.
 */
int kp_dot_target(struct kp_buf *b, const struct kp_graph *g, uint32_t index, uint32_t max_nodes);
int kp_dot_end(struct kp_buf *b);

/* format: "svg", "png" or any other that Graphviz knows here. out gets the picture. 0 or -errno. */
int kp_dot_render(const struct kp_buf *src, const char *format, struct kp_buf *out, struct kp_err *err);

#endif
