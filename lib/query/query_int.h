/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside lib/query. */
#ifndef KP_QUERY_INT_H
#define KP_QUERY_INT_H

#include <kp/expr.h>
#include <kp/query.h>

#define KP_SEC 1000000000ull

/* What the input covers, by the wall clock of its hosts. */
struct kp_cover { uint64_t begin, end; int32_t utc_offset; };	/* 0: not known */
struct kp_window { uint64_t since, until; };			/* 0: no limit */

/* Reads as little of the files as tells what they cover; nothing of standard input. */
int kp_cover_find(struct kp_cover *c, const struct kp_query_opts *o, struct kp_err *err);
/* The first source's clock and zone, for an input that can be read only once. */
void kp_cover_header(struct kp_cover *c, const struct kp_header *h);
/* now: for "-10m" when the end is not known. */
int kp_window_parse(struct kp_window *w, const struct kp_query_opts *o, const struct kp_cover *c, uint64_t now, struct kp_err *err);
bool kp_window_wanted(const struct kp_query_opts *o);

/* The state of each source at a cut: see cut.c. */
struct kp_cut;
int kp_cut_new(struct kp_cut **out);
void kp_cut_free(struct kp_cut *c);
/* A keyframe, clock or lifecycle row from before the cut. 0 or -ENOMEM. */
int kp_cut_row(struct kp_cut *c, const struct kp_row *row);
int kp_cut_move(struct kp_cut *c, struct kp_pool *pool);	/* their values into another pool: 0 or -ENOMEM */
/* The rows that stand for what came before the cut, one a call; NULL at the end. */
const struct kp_row *kp_cut_next(struct kp_cut *c);

#endif
