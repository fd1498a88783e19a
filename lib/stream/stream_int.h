/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of lib/stream share: limits of the format, its columns, the index, and the codecs of its items. */
#ifndef KP_STREAM_INT_H
#define KP_STREAM_INT_H

#include <kp/stream.h>
#include <kp/util.h>
#include <zstd.h>

#include "cbor.h"

/* Limits of the format (kp-stream(5)): what is beyond them is damage. */
#define KP_MAX_ROWS	65536u			/* in a block */
#define KP_MAX_ITEM	(16u << 20)		/* bytes of CBOR in an item */
/* ns, so that a time, what puts it on the line of all sources, and a shift never overflow together: 73 years of uptime */
#define KP_MAX_TIME	(1ull << 61)
#define KP_MAX_WALL	(1ull << 62)		/* until 2116 */
#define KP_MAX_INDEX	(1u << 20)
#define KP_MAX_SOURCES	4096u
#define KP_MAX_CLASHES	1024u			/* kinds of a header whose id or name stands for another already */
#define KP_MAX_STRS	(1u << 20)		/* strings in a block's dictionary */
#define KP_MAX_STR	(1u << 20)		/* bytes of a string in a dictionary: what is longer is cut */
#define KP_MAX_FRAMES	256u			/* in a stack */
#define KP_MAX_GRAPH	(32u << 20)		/* memory of one graph */
#define KP_WINDOW_LOG	25			/* the largest zstd window that is accepted */

#define KP_INDEX_MAGIC	0x184D2A5Bu
#define KP_TAG_SELF	55799

enum kp_item { KP_I_HEADER = 1, KP_I_BLOCK, KP_I_GRAPH, KP_I_END };

enum kp_col {
	KP_COL_KIND, KP_COL_TASK /* these first: others are in their order */, KP_COL_END, KP_COL_DUR, KP_COL_FLAGS, KP_COL_CPU, KP_COL_PEER,
	KP_COL_A0, KP_COL_A5 = KP_COL_A0 + 5, KP_COL_RET, KP_COL_OBJ, KP_COL_STACK, KP_COL_STACK2, KP_COL_DLEN,
	KP_COL_CTX, KP_COL_DATA = KP_COL_CTX + KP_CTX_MAX, KP_COL_MAX,
};
extern const char *const kp_col_names[KP_COL_MAX];
int kp_col_by_name(struct kp_view name);	/* -1 unknown */

/* Loss, clock and life of tasks: what every reader gets, whatever it asked for. */
bool kp_kind_always(uint16_t id);

/* ---- the index in front of an item ---- */

enum { KP_IX_KEYFRAME = 1, KP_IX_MORE = 2 };
#define KP_IX_ANY_KINDS	0xffffu
#define KP_IX_ANY_TASKS	0xffffffffu

struct kp_index {
	uint8_t type, flags;
	uint32_t source, rows;
	uint64_t seq, min_start, max_end, max_dur;
	const uint16_t *kinds;	uint32_t nkinds; /* KP_IX_ANY_KINDS: not listed */
	const uint32_t *tasks;	uint32_t ntasks; /* pairs of tid, tgid; KP_IX_ANY_TASKS: not listed */
	const uint8_t *frames;	uint32_t nframes; /* in stored form */
};
struct kp_frame { uint32_t size, hash; };
void kp_index_encode(struct kp_buf *b, const struct kp_index *x, const struct kp_frame *frames);
/* p, n: the whole skippable frame, tasks stays NULL, kinds is for kp_index_kind. 0 or -EBADMSG. */
int kp_index_decode(struct kp_index *x, const uint8_t *p, size_t n);
/* Is this the beginning of an index, as far as it goes? */
bool kp_index_torn(const uint8_t *p, size_t n);
/* Kinds lie unaligned in their stored form: only through this. */
uint16_t kp_index_kind(const struct kp_index *x, uint32_t i);
struct kp_frame kp_index_frame(const struct kp_index *x, uint32_t i);
uint32_t kp_frame_hash(const void *p, size_t n);

/* ---- maps of fixed shape, by table ---- */

enum kp_ftype { KP_FT_U8, KP_FT_U16, KP_FT_U32, KP_FT_U64, KP_FT_I32, KP_FT_I64, KP_FT_F64, KP_FT_BOOL,
	KP_FT_CSTR /* char *, owned */, KP_FT_STR /* kp_str in a pool */, KP_FT_ID /* char[40] */, KP_FT_REC, KP_FT_LIST };
struct kp_rec;
struct kp_field { const char *key; uint8_t type; uint16_t off, count_off; const struct kp_rec *sub; };
struct kp_rec { const struct kp_field *f; uint16_t n, size; };
/* Members that are zero or empty are left out. "t", when not NULL, goes in front. */
void kp_rec_encode(struct kp_buf *b, const struct kp_rec *r, const void *rec, const char *t);
void kp_rec_list_encode(struct kp_buf *b, const struct kp_rec *r, const void *list, uint32_t n);
/* Into zeroed memory; keys that are not known are skipped. What it has allocated, kp_rec_free frees, also after an error. */
void kp_rec_decode(struct kp_dec *d, const struct kp_rec *r, void *rec, struct kp_pool *pool);
void kp_rec_list_decode(struct kp_dec *d, const struct kp_rec *r, void **list, uint32_t *n, struct kp_pool *pool);
void kp_rec_free(const struct kp_rec *r, void *rec);

/* ---- items ---- */

extern const struct kp_rec kp_rec_graph, kp_rec_source, kp_rec_hook, kp_rec_prov;

void kp_header_encode(struct kp_buf *b, const struct kp_header *h, const struct kp_kinds *kinds, uint64_t chunk);
/* Kind ids of the stream that are others in this process. */
struct kp_remap { uint16_t from, to; };
struct kp_header_in {
	struct kp_header h;	/* arrays owned, texts in the pool */
	uint64_t chunk;
	struct kp_remap *remap; uint32_t nremap;
};
int kp_header_decode(struct kp_header_in *in, const uint8_t *p, size_t n, struct kp_pool *pool, struct kp_kinds *kinds);
void kp_header_in_free(struct kp_header_in *in);
int kp_header_copy(struct kp_header *out, const struct kp_header *in, uint32_t more_prov); /* with room for more entries */

/* By which blocks and row identities name their source. */
uint64_t kp_session_hash(const struct kp_source *s);

struct kp_end { uint64_t rows, blocks, graphs; struct kp_prov *prov; uint32_t nprov; };
extern const struct kp_rec kp_rec_end;

int kp_graph_decode(struct kp_graph **g, const uint8_t *p, size_t n);

#endif
