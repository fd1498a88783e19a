/* SPDX-License-Identifier: BSD-2-Clause */
/* A block: rows of one source as columns, being filled (build) or read (block). */
#ifndef KP_STREAM_BLOCK_H
#define KP_STREAM_BLOCK_H

#include "columns.h"

/* An item on its way out: its frames, compressed, and what its index says of them. */
struct kp_packer {
	ZSTD_CCtx *zc;
	struct kp_buf plain, frames, out;
	struct kp_frame *frame;	uint32_t nframes, cap;
};
int kp_packer_init(struct kp_packer *p, int level);
void kp_packer_free(struct kp_packer *p);
void kp_packer_begin(struct kp_packer *p);
int kp_packer_frame(struct kp_packer *p);	/* compresses plain into a frame, and empties it */
int kp_packer_end(struct kp_packer *p, struct kp_index *x); /* index and frames, behind what is in out */

struct kp_build_col { uint64_t *v; uint32_t filled, cap; };

struct kp_build {
	struct kp_build_col c[KP_COL_DATA];
	struct kp_buf data;
	uint32_t n;
	struct kp_dict task, obj, stack, str;
	uint64_t min_start, max_end, max_dur, extra_bytes;
	uint64_t kinds[1024];		/* set of kind ids */
	uint8_t coding[KP_COL_DATA];
	uint64_t blocks;		/* built so far */
};
int kp_build_row(struct kp_build *b, const struct kp_row *r);
uint64_t kp_build_bytes(const struct kp_build *b); /* about, at most */
struct kp_block_head { uint32_t source; uint64_t seq, session /* kp_session_hash */; uint8_t flags; uint64_t t0, t1; };
/* Packs the rows as one item and empties b. scratch is kept from block to block. */
struct kp_room { uint64_t *v; size_t cap; };	/* of the columns of a block */
enum { KP_ROOMS = 4 };
struct kp_scratch { uint64_t *tmp; uint32_t *perm, *perm2, *count; struct kp_room room[KP_ROOMS]; };
int kp_scratch_init(struct kp_scratch *s);
void kp_scratch_free(struct kp_scratch *s);
int kp_build_pack(struct kp_build *b, const struct kp_block_head *h, struct kp_packer *p, struct kp_scratch *s);
void kp_build_free(struct kp_build *b);

struct kp_block {
	struct kp_block_head head;
	uint32_t n, next;
	uint64_t *c[KP_COL_DATA];	/* NULL: all zero */
	struct kp_room room;		/* where they are */
	size_t bytes;			/* about the memory that it takes */
	uint8_t *data; size_t data_len, data_at;
	const struct kp_task **task;	uint32_t ntask;
	const struct kp_obj **obj;	uint32_t nobj;
	const struct kp_stack **stack;	uint32_t nstack;
	const struct kp_str **str;	uint32_t nstr;
	uint32_t unknown_columns;
};
int kp_block_decode(struct kp_block **out, const uint8_t *p, size_t n, struct kp_pool *pool, struct kp_scratch *s);
void kp_block_free(struct kp_block *b, struct kp_scratch *s);	/* s, which may be NULL, gets the room for the next block */
int kp_block_move(struct kp_block *b, struct kp_pool *pool);	/* its values into another pool: 0 or -ENOMEM */
/* Row number b->next into r (source is that of the block's header, kind as stored), and on to the next. */
void kp_block_row(struct kp_block *b, struct kp_row *r);

#endif
