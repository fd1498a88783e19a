/* SPDX-License-Identifier: BSD-2-Clause */
#include "cbor.h"

#include <cbor.h>
#include <string.h>

#define HEAD 9	/* the longest head of an item */

#define PUT(b, call) do { \
	if (!kp_buf_reserve(b, HEAD)) \
		(b)->len += call; \
} while (0)

void kp_enc_uint(struct kp_buf *b, uint64_t v)
{
	PUT(b, cbor_encode_uint(v, b->p + b->len, HEAD));
}

void kp_enc_int(struct kp_buf *b, int64_t v)
{
	if (v >= 0)
		kp_enc_uint(b, v);
	else
		PUT(b, cbor_encode_negint(~(uint64_t)v, b->p + b->len, HEAD));
}

void kp_enc_bytes_head(struct kp_buf *b, uint64_t n)
{
	PUT(b, cbor_encode_bytestring_start(n, b->p + b->len, HEAD));
}

void kp_enc_bytes(struct kp_buf *b, const void *p, size_t n)
{
	kp_enc_bytes_head(b, n);
	kp_buf_add(b, p, n);
}

void kp_enc_str(struct kp_buf *b, const struct kp_str *s)
{
	kp_enc_bytes(b, s ? s->p : "", s ? s->len : 0);
}

void kp_enc_text(struct kp_buf *b, const char *s)
{
	size_t n = strlen(s);

	PUT(b, cbor_encode_string_start(n, b->p + b->len, HEAD));
	kp_buf_add(b, s, n);
}

void kp_enc_array(struct kp_buf *b, uint64_t n)
{
	PUT(b, cbor_encode_array_start(n, b->p + b->len, HEAD));
}

void kp_enc_map(struct kp_buf *b, uint64_t n)
{
	PUT(b, cbor_encode_map_start(n, b->p + b->len, HEAD));
}

void kp_enc_tag(struct kp_buf *b, uint64_t tag)
{
	PUT(b, cbor_encode_tag(tag, b->p + b->len, HEAD));
}

void kp_enc_bool(struct kp_buf *b, bool v)
{
	PUT(b, cbor_encode_bool(v, b->p + b->len, HEAD));
}

void kp_enc_double(struct kp_buf *b, double v)
{
	PUT(b, cbor_encode_double(v, b->p + b->len, HEAD));
}
