/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside lib/query: what is known about a stream, and who words it. */
#ifndef KP_QUERY_INFO_H
#define KP_QUERY_INFO_H

#include "query_int.h"

struct info {
	const struct kp_header *h;
	const struct kp_kinds *kinds;
	struct kp_read_stats st;
	uint64_t *count;	/* per kind id */
	uint64_t rows, graphs, lost, gaps, unknown_gaps;
	uint64_t begin, end;	/* wall clock; 0: not known */
};

int kp_info_text(struct kp_buf *b, const struct info *i);
int kp_info_json(struct kp_buf *b, const struct info *i);

#endif
