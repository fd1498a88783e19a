/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KP_STREAM_READER_INT_H
#define KP_STREAM_READER_INT_H

#include "block.h"
#include "items.h"

/* ---- what all inputs share ---- */

struct kp_clock { uint64_t mono; int64_t off; };	/* from mono on, wall = mono + off */

struct per_source {
	uint64_t last_end;
	struct kp_clock *clock; uint32_t nclock;
	int64_t line;		/* end + line is a row's place on the line of all sources */
	uint64_t since, until;	/* monotonic; UINT64_MAX no limit */
};

/* A block of the present epoch, and its next row. */
struct lane { struct kp_block *b; struct kp_row row; uint64_t key; bool have; };

struct input {
	char **paths; uint32_t npaths, path; /* files read one after the other */
	struct kp_items items;
	bool open, done;
	bool ring;		/* a directory: its oldest segments may be removed at any moment */
	/* since the last header */
	bool headed, header_bad, ended;
	uint64_t rows, blocks;	/* found, passed over, or known to be bad: what the end record counts */
	uint32_t *source; uint32_t nsource;	/* from the header's number to the reader's */
	struct kp_remap *remap; uint32_t nremap;
	struct lane *lane; uint32_t nlane, cap, current;
	size_t epoch_bytes;
	bool no_end;
	uint64_t bad_blocks, bad_rows;
	struct kp_row loss; bool have_loss;
};

struct kp_reader {
	struct kp_pool *pool;	/* of headers */
	struct kp_pool *values;	/* of rows */
	struct kp_kinds *kinds;
	struct kp_read_opts o;
	struct kp_header h;
	uint32_t cap_sources, cap_hooks, cap_prov;
	struct per_source *src;	uint32_t cap_src;
	struct kp_scratch scratch;
	struct input *in; uint32_t nin;
	struct input *last;	/* whose row was handed out */
	struct kp_graph **graph; uint32_t ngraph, cap_graph;
	struct kp_read_stats st;
};

/* ---- headers (rheader.c) ---- */

/* Takes a header of this input into the reader's. Consumes hi. 0 or -errno. */
int kp_reader_take_header(struct kp_reader *r, struct input *in, struct kp_header_in *hi);
int kp_reader_take_end(struct kp_reader *r, const struct kp_end *e);
void kp_reader_clock(struct kp_reader *r, const struct kp_row *row);
/* The input has rows until then. */
static inline void kp_reader_saw(struct kp_reader *r, uint32_t source, uint64_t end)
{
	uint64_t wall = kp_reader_wall(r, source, end);

	if (wall > r->st.end_wall)
		r->st.end_wall = wall;
}

/* ---- inputs (rpaths.c, rinput.c) ---- */

int kp_input_open(struct kp_reader *r, struct input *in, const char *path, struct kp_err *err);
void kp_input_close(struct kp_reader *r, struct input *in);
int kp_input_move(struct input *in, struct kp_pool *pool);	/* what was read and not yet handed out, too: 0 or -ENOMEM */
/* Reads until there is a header or anything else that tells what the input is. */
int kp_input_begin(struct kp_reader *r, struct input *in, struct kp_err *err);
/* The lane with the next row, in *out. 1, 0 at the end, -errno. */
int kp_input_peek(struct kp_reader *r, struct input *in, struct lane **out, struct kp_err *err);

#endif
