/* SPDX-License-Identifier: BSD-2-Clause */
/* What a stream says about itself: collected here, worded in info_text.c and info_json.c. */
#include "info.h"

#include <errno.h>
#include <stdlib.h>

static void count_row(struct info *i, struct kp_reader *r, const struct kp_row *row)
{
	uint64_t end = kp_reader_wall(r, row->source, row->end);
	const struct kp_header *h = kp_reader_header(r);

	i->count[row->kind]++;
	i->rows++;
	if (row->kind >= KP_K_LOSS_KERNEL && row->kind <= KP_K_LOSS_STREAM) {
		i->gaps++;
		i->unknown_gaps += row->a[0] == UINT64_MAX;
		i->lost += row->a[0] == UINT64_MAX ? 0 : row->a[0];
	}
	/* by ends: what began long before was not recorded all that time */
	if (row->source >= h->nsources || !h->sources[row->source].real0)
		return;
	if (!i->begin || end < i->begin)
		i->begin = end;
	if (end > i->end)
		i->end = end;
}

int kp_query_info(struct kp_query *q, struct kp_buf *b, bool json, struct kp_err *err)
{
	struct kp_reader *r = kp_query_reader(q);
	struct info i = { .h = kp_reader_header(r), .kinds = kp_query_kinds(q) };
	const struct kp_row *row;
	struct kp_graph *g;
	int rc;

	i.count = calloc(UINT16_MAX + 1, sizeof(*i.count));
	if (!i.count)
		return kp_err(err, ENOMEM, "no memory");
	do {
		rc = kp_query_next(q, &row, err);
		if (rc > 0)
			count_row(&i, r, row);
		while (kp_reader_graph(r, &g) == 1) {
			i.graphs++;
			kp_graph_free(g);
		}
	} while (rc > 0);
	if (rc)
		goto out;
	i.h = kp_reader_header(r);
	kp_reader_stats(r, &i.st);
	rc = json ? kp_info_json(b, &i) : kp_info_text(b, &i);
	if (rc)
		kp_err(err, rc, "no memory");
out:
	free(i.count);
	return rc;
}
