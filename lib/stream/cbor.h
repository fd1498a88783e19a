/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CBOR (RFC 8949) on top of libcbor's encoders and its streaming decoder.
 * Decoding never builds a tree: lengths come from outside, so nothing is
 * allocated because of one, and nesting is limited. Only definite lengths.
 */
#ifndef KP_STREAM_CBOR_H
#define KP_STREAM_CBOR_H

#include <kp/row.h>
#include <kp/util.h>

#define KP_CBOR_DEPTH 16

void kp_enc_uint(struct kp_buf *b, uint64_t v);
void kp_enc_int(struct kp_buf *b, int64_t v);
void kp_enc_bytes(struct kp_buf *b, const void *p, size_t n);
void kp_enc_bytes_head(struct kp_buf *b, uint64_t n);
void kp_enc_str(struct kp_buf *b, const struct kp_str *s); /* NULL: empty */
void kp_enc_text(struct kp_buf *b, const char *s);
void kp_enc_array(struct kp_buf *b, uint64_t n);
void kp_enc_map(struct kp_buf *b, uint64_t n);
void kp_enc_tag(struct kp_buf *b, uint64_t tag);
void kp_enc_bool(struct kp_buf *b, bool v);
void kp_enc_double(struct kp_buf *b, double v);

enum kp_tok_type { KP_T_NONE, KP_T_UINT, KP_T_NINT, KP_T_BYTES, KP_T_TEXT, KP_T_ARRAY, KP_T_MAP, KP_T_TAG, KP_T_BOOL, KP_T_NULL, KP_T_FLOAT, KP_T_BAD };

struct kp_tok {
	enum kp_tok_type type;
	uint64_t u;		/* value; NINT: -1 - u; length; count; tag; bool */
	const uint8_t *p;	/* of a string */
	double d;
};

/* 1: a token, *used bytes long; 0: more bytes are needed; -EBADMSG. */
int kp_tok(const uint8_t *p, size_t n, struct kp_tok *t, size_t *used);

/*
 * A cursor. The first mistake sticks in err, and from there on every call gives zero or empty, so that
 * callers check once at the end of a loop. budget is what decoding may still allocate.
 */
struct kp_dec {
	const uint8_t *p;
	size_t left;
	size_t budget;
	int err;
};

struct kp_view { const uint8_t *p; size_t len; };

void kp_dec_fail(struct kp_dec *d);
struct kp_tok kp_dec_peek(struct kp_dec *d);
struct kp_tok kp_dec_any(struct kp_dec *d);
uint64_t kp_dec_uint(struct kp_dec *d, uint64_t max);
int64_t kp_dec_int(struct kp_dec *d);
double kp_dec_double(struct kp_dec *d);
bool kp_dec_bool(struct kp_dec *d);
struct kp_view kp_dec_bytes(struct kp_dec *d);
struct kp_view kp_dec_text(struct kp_dec *d);
/* Counts are never larger than the bytes that are left. */
uint32_t kp_dec_array(struct kp_dec *d);
uint32_t kp_dec_map(struct kp_dec *d);
void kp_dec_skip(struct kp_dec *d);	/* any one item */
/* Takes n bytes from the budget; false (and err) when it is used up. */
bool kp_dec_spend(struct kp_dec *d, size_t n);
bool kp_view_is(struct kp_view v, const char *s);

/* Finds the end of an item in bytes that are still arriving. Zero it to start. */
struct kp_scan { size_t pos; uint32_t depth; uint64_t left[KP_CBOR_DEPTH]; };
/* 1: an item ends at s->pos; 0: more bytes are needed; -EBADMSG. p may move between calls, not change. */
int kp_scan_item(struct kp_scan *s, const uint8_t *p, size_t n);

#endif
