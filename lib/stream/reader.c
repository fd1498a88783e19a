/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading: the rows of all inputs, merged by time. */
#include "reader_int.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

bool kp_kind_always(uint16_t id)
{
	return id >= KP_K_PROC_FORK && id <= KP_K_PROC_CGROUP ? true : id >= KP_K_CLOCK_SYNC && id <= KP_K_LOSS_STREAM;
}

int kp_reader_open(struct kp_reader **out, const char *const *paths, uint32_t n, struct kp_pool *pool,
		   struct kp_kinds *kinds, const struct kp_read_opts *opts, struct kp_err *err)
{
	static const char *const standard_input[] = { "-" };
	struct kp_reader *r = calloc(1, sizeof(*r));
	int rc = -ENOMEM;

	*out = NULL;
	if (!n) {
		paths = standard_input;
		n = 1;
	}
	if (r)
		r->in = calloc(n, sizeof(*r->in));
	if (!r || !r->in || kp_scratch_init(&r->scratch)) {
		kp_err(err, ENOMEM, "out of memory");
		goto fail;
	}
	r->pool = r->values = pool;
	r->kinds = kinds;
	if (opts)
		r->o = *opts;
	r->h.version = 1;
	r->st.complete = true;
	r->st.min_start = UINT64_MAX;
	for (uint32_t i = 0; i < n; i++) {
		r->nin = i + 1;
		rc = kp_input_open(r, &r->in[i], paths[i], err);
		if (rc)
			goto fail;
	}
	for (uint32_t i = 0; i < n; i++) {
		rc = kp_input_begin(r, &r->in[i], err);
		if (rc)
			goto fail;
	}
	*out = r;
	return 0;
fail:
	kp_reader_close(r);
	return rc;
}

int kp_reader_next(struct kp_reader *r, const struct kp_row **row, struct kp_err *err)
{
	struct lane *best = NULL, *l;
	int rc;

	*row = NULL;
	if (r->last)
		r->last->lane[r->last->current].have = false;
	r->last = NULL;
	for (uint32_t i = 0; i < r->nin; i++) {
		struct input *in = &r->in[i];

		rc = kp_input_peek(r, in, &l, err);
		if (rc < 0)
			return rc == -ENOMEM ? kp_err(err, ENOMEM, "out of memory") : rc;
		if (!rc || (best && best->key <= l->key))
			continue;
		best = l;
		r->last = in;
		in->current = (uint32_t)(l - in->lane);
	}
	if (!best)
		return 0;
	if (best->row.end > r->src[best->row.source].last_end)
		r->src[best->row.source].last_end = best->row.end;
	if (best->row.kind == KP_K_CLOCK_SYNC)
		kp_reader_clock(r, &best->row);
	r->st.rows++;
	if (kp_row_start(&best->row) < r->st.min_start)
		r->st.min_start = kp_row_start(&best->row);
	if (best->row.end > r->st.max_end) {
		r->st.max_end = best->row.end;
		kp_reader_saw(r, best->row.source, best->row.end);
	}
	*row = &best->row;
	return 1;
}

int kp_reader_renew(struct kp_reader *r, struct kp_pool *pool)
{
	int rc = 0;

	r->values = pool;
	for (uint32_t i = 0; i < r->nin; i++)
		rc = kp_input_move(&r->in[i], pool) ?: rc;
	return rc;
}

int kp_reader_graph(struct kp_reader *r, struct kp_graph **g)
{
	if (!r->ngraph)
		return 0;
	*g = r->graph[0];
	r->ngraph--;
	memmove(r->graph, r->graph + 1, r->ngraph * sizeof(*r->graph));
	return 1;
}

int kp_reader_pass_graphs(struct kp_reader *r, struct kp_writer *w, struct kp_err *err)
{
	struct kp_graph *g;
	int rc = 0;

	while (!rc && kp_reader_graph(r, &g) == 1) {
		rc = w ? kp_writer_graph(w, g, err) : 0;
		kp_graph_free(g);
	}
	return rc;
}

const struct kp_header *kp_reader_header(const struct kp_reader *r)
{
	return &r->h;
}

void kp_reader_stats(const struct kp_reader *r, struct kp_read_stats *st)
{
	*st = r->st;
	if (!r->st.rows)
		st->min_start = 0;
}

void kp_reader_close(struct kp_reader *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->nin; i++)
		kp_input_close(r, &r->in[i]);
	for (uint32_t i = 0; i < r->h.nsources && r->src; i++)
		free(r->src[i].clock);
	for (uint32_t i = 0; i < r->ngraph; i++)
		kp_graph_free(r->graph[i]);
	free(r->in);
	free(r->src);
	free(r->graph);
	kp_header_free(&r->h);
	kp_scratch_free(&r->scratch);
	free(r);
}

uint64_t kp_row_id(const struct kp_header *h, const struct kp_row *row)
{
	struct { uint64_t session, start, end; uint32_t tid, tgid; uint16_t kind, pad[3]; } id;

	memset(&id, 0, sizeof(id));
	if (row->source < h->nsources)
		id.session = htole64(kp_session_hash(&h->sources[row->source]));
	if (row->task) {
		id.start = htole64(row->task->start);
		id.tid = htole32(row->task->tid);
		id.tgid = htole32(row->task->tgid);
	}
	id.end = htole64(row->end);
	id.kind = htole16(row->kind);
	return kp_hash(&id, sizeof(id), 0);
}
