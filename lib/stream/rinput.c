/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One input: a file, a pipe, or the segments of a directory one after the
 * other. Its items become rows. Blocks that were flushed together (an epoch)
 * are lanes, whose rows are merged by time.
 */
#include "reader_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EPOCH (32u << 20)	/* an epoch that is larger is cut: order may suffer, memory not */

static void clear_lanes(struct kp_reader *r, struct input *in)
{
	for (uint32_t i = 0; i < in->nlane; i++)
		kp_block_free(in->lane[i].b, &r->scratch);
	in->nlane = 0;
	in->epoch_bytes = 0;
}

void kp_input_close(struct kp_reader *r, struct input *in)
{
	clear_lanes(r, in);
	free(in->lane);
	if (in->open)
		kp_items_close(&in->items);
	for (uint32_t i = 0; i < in->npaths; i++)
		free(in->paths[i]);
	free(in->paths);
	free(in->source);
	free(in->remap);
}

int kp_input_move(struct input *in, struct kp_pool *pool)
{
	for (uint32_t i = 0; i < in->nlane; i++) {
		struct lane *l = &in->lane[i];

		if (kp_block_move(l->b, pool) || (l->have && kp_pool_adopt(pool, &l->row)))
			return -ENOMEM;
	}
	return 0;
}

/* ---- what was found wrong, in one line for each file ---- */

static const char *name_of(const struct input *in)
{
	const char *p = in->paths[in->path];

	return strcmp(p, "-") ? p : "standard input";
}

static int report(struct kp_reader *r, struct input *in, struct kp_err *err)
{
	const struct kp_items *it = &in->items;
	enum kp_finding f = it->bad ? KP_DAMAGED : it->torn ? KP_TORN : KP_NO_END;
	unsigned long long at = it->bad ? it->first_bad : it->in.off, rows = in->bad_rows;
	char line[256];

	if (!it->bad && !it->torn && !in->no_end)
		return 0;
	r->st.damaged |= it->bad != 0;
	r->st.torn |= !it->bad;
	r->st.complete = false;
	if (f == KP_NO_END)
		snprintf(line, sizeof(line), "torn: no end record: it was cut off, or is still being written");
	else if (f == KP_TORN)
		snprintf(line, sizeof(line), "torn: ends in the middle of an item (%llu bytes, %llu rows in a block that was begun)", at, rows);
	else
		snprintf(line, sizeof(line), "damaged: first near byte %llu, %llu blocks with %llu rows left out%s", at,
			 (unsigned long long)in->bad_blocks, rows, it->torn || in->no_end ? "; and its end is missing" : "");
	if (r->o.found)
		r->o.found(r->o.found_arg, f, name_of(in), line);
	return r->o.strict ? kp_err(err, EBADMSG, "%s: %s", name_of(in), line) : 0;
}

/* ---- items ---- */

static uint32_t source_of(const struct input *in, uint32_t local)
{
	return in->headed && !in->header_bad && !in->ended && local < in->nsource ? in->source[local] : UINT32_MAX;
}

static bool always(const struct kp_index *x)
{
	if (x->nkinds == KP_IX_ANY_KINDS || (x->flags & KP_IX_KEYFRAME))
		return true;
	for (uint32_t i = 0; i < x->nkinds; i++)
		if (kp_kind_always(kp_index_kind(x, i)))
			return true;
	return false;
}

struct want_arg { struct kp_reader *r; struct input *in; };

static bool want(void *arg, const struct kp_index *x)
{
	struct want_arg *w = arg;
	uint32_t s = source_of(w->in, x->source);

	if (s != UINT32_MAX)
		kp_reader_saw(w->r, s, x->max_end);
	if (s == UINT32_MAX || (x->max_end >= w->r->src[s].since && x->min_start <= w->r->src[s].until) || always(x))
		return true;
	w->in->blocks++;
	w->in->rows += x->rows;
	return false;
}

/* A filter's row where rows are missing. */
static void lost(struct kp_reader *r, struct input *in, uint32_t s, uint64_t from, uint64_t to, uint64_t rows, uint64_t blocks)
{
	if (!r->o.loss_rows || s == UINT32_MAX || from > to)
		return;
	in->loss = (struct kp_row){ .end = to, .dur = to - from, .kind = KP_K_LOSS_STREAM, .source = s, .a = { rows, blocks } };
	in->have_loss = true;
}

static void bad_block(struct kp_reader *r, struct input *in, const struct kp_item_in *item)
{
	const struct kp_index *x = &item->index;

	in->bad_blocks++;
	r->st.bad_blocks++;
	if (!item->has_index)
		return;
	in->blocks++;
	in->rows += x->rows;
	in->bad_rows += x->rows;
	r->st.bad_rows += x->rows;
	lost(r, in, source_of(in, x->source), x->min_start, x->max_end, x->rows, 1);
}

/* What the end record counts and nobody has seen: a hole, or blocks so damaged that their index went, too. */
static void missing(struct kp_reader *r, struct input *in, const struct kp_end *e)
{
	uint64_t rows = e->rows > in->rows ? e->rows - in->rows : 0, blocks = e->blocks > in->blocks ? e->blocks - in->blocks : 0;
	uint32_t s = source_of(in, 0);

	if (!rows)
		return;
	if (!in->items.bad)
		kp_items_bad(&in->items);
	in->bad_rows += rows;
	r->st.bad_rows += rows;
	if (in->bad_blocks < blocks) {
		r->st.bad_blocks += blocks - in->bad_blocks;
		in->bad_blocks = blocks;
	}
	/* whose, and when, is unknown */
	lost(r, in, s, 0, s == UINT32_MAX ? 0 : r->src[s].last_end, rows, blocks);
}

static int add_lane(struct kp_reader *r, struct input *in, struct kp_block *b)
{
	if (in->nlane == in->cap) {
		uint32_t cap = in->cap ? in->cap * 2 : 4;
		struct lane *l = realloc(in->lane, cap * sizeof(*l));

		if (!l) {
			kp_block_free(b, &r->scratch);
			return -ENOMEM;
		}
		in->lane = l;
		in->cap = cap;
	}
	b->head.source = source_of(in, b->head.source);
	in->lane[in->nlane++] = (struct lane){ .b = b };
	in->epoch_bytes += b->bytes;
	in->blocks += b->n != 0;
	in->rows += b->n;
	r->st.blocks += b->n != 0;
	r->st.unknown_columns += b->unknown_columns;
	return 0;
}

/* Is the header that was read last the block's own? Not where damage took the one in between. */
static bool belongs(const struct kp_reader *r, const struct input *in, const struct kp_block *b)
{
	uint32_t s = source_of(in, b->head.source);

	return s != UINT32_MAX && b->head.session == kp_session_hash(&r->h.sources[s]);
}

/* 0 read on, 1 an epoch is complete, -errno. */
static int take_block(struct kp_reader *r, struct input *in, const struct kp_item_in *item)
{
	struct kp_block *b = NULL;
	int rc = item->bad ? -EBADMSG : kp_block_decode(&b, item->p, item->n, r->values, &r->scratch);
	uint8_t flags;

	if (!rc && !belongs(r, in, b)) {
		kp_block_free(b, &r->scratch);
		rc = -EBADMSG;
	}
	if (rc == -EBADMSG) {
		if (!item->bad)
			kp_items_bad(&in->items);
		bad_block(r, in, item);
		return in->have_loss;
	}
	if (rc)
		return rc;
	flags = b->head.flags;
	rc = add_lane(r, in, b);
	if (rc)
		return rc;
	return !(flags & KP_IX_MORE) || in->epoch_bytes > MAX_EPOCH;
}

static int take_header(struct kp_reader *r, struct input *in, const struct kp_item_in *item, struct kp_err *err)
{
	struct kp_header_in hi;
	int rc;

	if (in->headed && !in->ended)
		in->no_end |= !in->header_bad;
	in->ended = false;
	in->rows = in->blocks = 0;
	in->headed = true;
	in->header_bad = item->bad;
	if (item->bad)
		return 0;
	rc = kp_header_decode(&hi, item->p, item->n, r->pool, r->kinds);
	if (!rc)
		rc = kp_reader_take_header(r, in, &hi);
	if (rc == -ENOTSUP)
		return kp_err(err, ENOTSUP, "%s: needs a newer version of kprobe to be read", name_of(in));
	if (rc == -EBADMSG) {
		kp_items_bad(&in->items);
		in->header_bad = true;
		return 0;
	}
	return rc;
}

static int take_graph(struct kp_reader *r, struct input *in, const struct kp_item_in *item)
{
	struct kp_graph *g = NULL;
	int rc = item->bad ? 0 : kp_graph_decode(&g, item->p, item->n);

	if (rc == -EBADMSG) {
		kp_items_bad(&in->items);
		return 0;
	}
	if (rc || !g)
		return rc;
	if (r->ngraph == r->cap_graph) {
		uint32_t cap = r->cap_graph ? r->cap_graph * 2 : 4;
		struct kp_graph **p = realloc(r->graph, cap * sizeof(*p));

		if (!p) {
			kp_graph_free(g);
			return -ENOMEM;
		}
		r->graph = p;
		r->cap_graph = cap;
	}
	r->graph[r->ngraph++] = g;
	return 0;
}

static int take_end(struct kp_reader *r, struct input *in, const struct kp_item_in *item)
{
	struct kp_dec d = { .p = item->p, .left = item->n, .budget = KP_MAX_ITEM };
	struct kp_end e = { 0 };
	int rc = 0;

	if (item->bad) {
		in->ended = true;
		return 0;
	}
	kp_rec_decode(&d, &kp_rec_end, &e, r->pool);
	if (d.err == -EBADMSG)
		kp_items_bad(&in->items);
	else
		rc = d.err ? d.err : kp_reader_take_end(r, &e);
	if (!d.err)
		missing(r, in, &e);
	in->ended = true;
	kp_rec_free(&kp_rec_end, &e);
	return rc ? rc : in->have_loss;
}

/* The next item of the present file. 0 read on, 1 an epoch is complete, 2 the file has ended, -errno. */
static int take_item(struct kp_reader *r, struct input *in, struct kp_err *err)
{
	struct want_arg w = { r, in };
	struct kp_item_in item;
	uint64_t before;
	int rc;

	in->items.want = want;
	in->items.arg = &w;
	before = in->items.bytes;
	rc = kp_items_next(&in->items, &item, err);
	r->st.bytes += in->items.bytes - before;
	r->st.skipped_blocks += in->items.skipped_blocks;
	r->st.skipped_bytes += in->items.skipped_bytes;
	in->items.skipped_blocks = in->items.skipped_bytes = 0;
	if (rc == -ENODATA && in->ring)	/* the host went down before the first block came to the disk */
		return 2;
	if (rc <= 0)
		return rc ? rc : 2;
	switch (item.type) {
	case KP_I_HEADER:
		return take_header(r, in, &item, err);
	case KP_I_BLOCK:
		return take_block(r, in, &item);
	case KP_I_GRAPH:
		return take_graph(r, in, &item);
	case KP_I_END:
		return take_end(r, in, &item);
	}
	r->st.unknown_items++;
	if (r->o.found && r->st.unknown_items == 1)
		r->o.found(r->o.found_arg, KP_UNKNOWN_ITEM, name_of(in), "holds items of a newer version, which are left out");
	return 0;
}

static int next_file(struct kp_reader *r, struct input *in, struct kp_err *err)
{
	int rc;

	if (in->open) {
		in->no_end |= in->headed ? !in->ended : true;
		rc = report(r, in, err);
		kp_items_close(&in->items);
		in->open = false;
		in->path++;
		if (rc)
			return rc;
	}
	if (in->path == in->npaths) {
		in->done = true;
		return 0;
	}
	in->headed = in->header_bad = in->ended = in->no_end = false;
	in->rows = in->blocks = 0;
	in->bad_blocks = in->bad_rows = 0;
	do	/* what is not there is older than the ring by now */
		rc = kp_items_open(&in->items, in->paths[in->path], err);
	while (rc == -ENOENT && in->ring && ++in->path < in->npaths);
	if (in->path == in->npaths) {
		in->done = true;
		return 0;
	}
	in->items.in.idle = r->o.idle;
	in->items.in.idle_arg = r->o.idle_arg;
	in->open = !rc;
	return rc;
}

/* Reads on until an epoch is there. 1, 0 at the end, -errno. */
static int next_epoch(struct kp_reader *r, struct input *in, struct kp_err *err)
{
	int rc = 0;

	clear_lanes(r, in);
	while (!in->done) {
		rc = in->open ? take_item(r, in, err) : 2;
		if (rc == 1)
			return 1;
		if (rc < 0)
			return rc;
		if (rc == 2 && in->nlane)	/* the file ends within an epoch */
			return 1;
		if (rc == 2 && (rc = next_file(r, in, err)))
			return rc;
	}
	return 0;
}

int kp_input_begin(struct kp_reader *r, struct input *in, struct kp_err *err)
{
	int rc = next_file(r, in, err);

	while (!rc && in->open && !in->headed && !in->nlane && !in->have_loss) {
		rc = take_item(r, in, err);
		if (rc == 2)
			rc = next_file(r, in, err);
		else if (rc == 1)
			rc = 0;
	}
	return rc < 0 ? rc : 0;
}

/* ---- rows ---- */

static void translate(const struct input *in, struct kp_row *row)
{
	for (uint32_t i = 0; i < in->nremap; i++)
		if (in->remap[i].from == row->kind) {
			row->kind = in->remap[i].to;
			return;
		}
}

/* The lane's next row that is within the limits of time. */
static void advance(struct kp_reader *r, struct input *in, struct lane *l)
{
	const struct per_source *s = &r->src[l->b->head.source];

	l->have = false;
	while (l->b->next < l->b->n) {
		kp_block_row(l->b, &l->row);
		translate(in, &l->row);
		if ((l->row.end >= s->since && kp_row_start(&l->row) <= s->until) || kp_kind_always(l->row.kind) ||
		    (l->row.flags & KP_F_KEYFRAME)) {
			l->key = l->row.end + (uint64_t)s->line;
			l->have = true;
			return;
		}
	}
}

static struct lane *first_lane(struct kp_reader *r, struct input *in)
{
	struct lane *best = NULL;

	for (uint32_t i = 0; i < in->nlane; i++) {
		struct lane *l = &in->lane[i];

		if (!l->have)
			advance(r, in, l);
		if (l->have && (!best || l->key < best->key))
			best = l;
	}
	return best;
}

/* A row of the reader's own, where damaged blocks were left out. */
static int loss_lane(struct kp_reader *r, struct input *in)
{
	struct kp_block *b = calloc(1, sizeof(*b));
	struct lane *l;
	int rc;

	in->have_loss = false;
	if (!b)
		return -ENOMEM;
	rc = add_lane(r, in, b);
	if (rc)
		return rc;
	l = &in->lane[in->nlane - 1];
	b->head.source = in->loss.source;
	l->row = in->loss;
	l->key = l->row.end + (uint64_t)r->src[l->row.source].line;
	l->have = true;
	return 0;
}

int kp_input_peek(struct kp_reader *r, struct input *in, struct lane **out, struct kp_err *err)
{
	for (;;) {
		int rc;

		*out = in->nlane ? first_lane(r, in) : NULL;
		if (*out)
			return 1;
		if (in->have_loss) {
			clear_lanes(r, in);
			rc = loss_lane(r, in);
			if (rc)
				return rc;
			continue;
		}
		rc = next_epoch(r, in, err);
		if (rc <= 0 && !in->have_loss)
			return rc;
	}
}
