/* SPDX-License-Identifier: BSD-2-Clause */
#include "cbor.h"

#include <cbor.h>
#include <errno.h>
#include <string.h>

static void set(void *ctx, enum kp_tok_type type, uint64_t u)
{
	struct kp_tok *t = ctx;

	t->type = type;
	t->u = u;
}

static void on_u8(void *c, uint8_t v) { set(c, KP_T_UINT, v); }
static void on_u16(void *c, uint16_t v) { set(c, KP_T_UINT, v); }
static void on_u32(void *c, uint32_t v) { set(c, KP_T_UINT, v); }
static void on_u64(void *c, uint64_t v) { set(c, KP_T_UINT, v); }
static void on_n8(void *c, uint8_t v) { set(c, KP_T_NINT, v); }
static void on_n16(void *c, uint16_t v) { set(c, KP_T_NINT, v); }
static void on_n32(void *c, uint32_t v) { set(c, KP_T_NINT, v); }
static void on_n64(void *c, uint64_t v) { set(c, KP_T_NINT, v); }
static void on_array(void *c, size_t n) { set(c, KP_T_ARRAY, n); }
static void on_map(void *c, size_t n) { set(c, KP_T_MAP, n); }
static void on_tag(void *c, uint64_t v) { set(c, KP_T_TAG, v); }
static void on_bool(void *c, bool v) { set(c, KP_T_BOOL, v); }
static void on_null(void *c) { set(c, KP_T_NULL, 0); }
static void on_bad(void *c) { set(c, KP_T_BAD, 0); }

static void on_bytes(void *c, const unsigned char *p, size_t n)
{
	set(c, KP_T_BYTES, n);
	((struct kp_tok *)c)->p = p;
}

static void on_text(void *c, const unsigned char *p, size_t n)
{
	set(c, KP_T_TEXT, n);
	((struct kp_tok *)c)->p = p;
}

static void on_double(void *c, double v)
{
	set(c, KP_T_FLOAT, 0);
	((struct kp_tok *)c)->d = v;
}

static void on_float(void *c, float v)
{
	on_double(c, v);
}

static const struct cbor_callbacks callbacks = {
	.uint8 = on_u8, .uint16 = on_u16, .uint32 = on_u32, .uint64 = on_u64,
	.negint8 = on_n8, .negint16 = on_n16, .negint32 = on_n32, .negint64 = on_n64,
	.byte_string_start = on_bad, .byte_string = on_bytes, .string = on_text, .string_start = on_bad,
	.indef_array_start = on_bad, .array_start = on_array, .indef_map_start = on_bad, .map_start = on_map,
	.tag = on_tag, .float2 = on_float, .float4 = on_float, .float8 = on_double,
	.undefined = on_null, .null = on_null, .boolean = on_bool, .indef_break = on_bad,
};

int kp_tok(const uint8_t *p, size_t n, struct kp_tok *t, size_t *used)
{
	struct cbor_decoder_result r;

	t->type = KP_T_NONE;
	t->p = NULL;
	if (!n)
		return 0;
	r = cbor_stream_decode(p, n, &callbacks, t);
	*used = r.read;
	if (r.status == CBOR_DECODER_NEDATA)
		return 0;
	if (r.status != CBOR_DECODER_FINISHED || t->type == KP_T_NONE || t->type == KP_T_BAD)
		return -EBADMSG;
	return 1;
}

void kp_dec_fail(struct kp_dec *d)
{
	d->err = -EBADMSG;
	d->left = 0;
}

struct kp_tok kp_dec_peek(struct kp_dec *d)
{
	struct kp_tok t = { .type = KP_T_NONE };
	size_t used;

	if (!d->err && kp_tok(d->p, d->left, &t, &used) != 1)
		kp_dec_fail(d);
	return t;
}

struct kp_tok kp_dec_any(struct kp_dec *d)
{
	struct kp_tok t = { .type = KP_T_NONE };
	size_t used;

	if (d->err || kp_tok(d->p, d->left, &t, &used) != 1) {
		kp_dec_fail(d);
		return (struct kp_tok){ .type = KP_T_NONE };
	}
	d->p += used;
	d->left -= used;
	return t;
}

static struct kp_tok expect(struct kp_dec *d, enum kp_tok_type type)
{
	struct kp_tok t = kp_dec_any(d);

	if (t.type != type) {
		kp_dec_fail(d);
		return (struct kp_tok){ .type = KP_T_NONE };
	}
	return t;
}

uint64_t kp_dec_uint(struct kp_dec *d, uint64_t max)
{
	struct kp_tok t = expect(d, KP_T_UINT);

	if (t.u <= max)
		return t.u;
	kp_dec_fail(d);
	return 0;
}

int64_t kp_dec_int(struct kp_dec *d)
{
	struct kp_tok t = kp_dec_any(d);

	if ((t.type == KP_T_UINT || t.type == KP_T_NINT) && t.u <= INT64_MAX)
		return t.type == KP_T_UINT ? (int64_t)t.u : ~(int64_t)t.u;
	kp_dec_fail(d);
	return 0;
}

double kp_dec_double(struct kp_dec *d)
{
	return expect(d, KP_T_FLOAT).d;
}

bool kp_dec_bool(struct kp_dec *d)
{
	return expect(d, KP_T_BOOL).u;
}

static struct kp_view view(struct kp_tok t)
{
	return (struct kp_view){ t.p ? t.p : (const uint8_t *)"", t.p ? t.u : 0 };
}

struct kp_view kp_dec_bytes(struct kp_dec *d)
{
	return view(expect(d, KP_T_BYTES));
}

struct kp_view kp_dec_text(struct kp_dec *d)
{
	return view(expect(d, KP_T_TEXT));
}

static uint32_t count(struct kp_dec *d, enum kp_tok_type type, uint32_t each)
{
	struct kp_tok t = expect(d, type);

	if (t.u <= d->left / each && t.u <= UINT32_MAX)
		return t.u;
	kp_dec_fail(d);
	return 0;
}

uint32_t kp_dec_array(struct kp_dec *d)
{
	return count(d, KP_T_ARRAY, 1);
}

uint32_t kp_dec_map(struct kp_dec *d)
{
	return count(d, KP_T_MAP, 2);
}

void kp_dec_skip(struct kp_dec *d)
{
	struct kp_scan s = { 0 };

	if (d->err || kp_scan_item(&s, d->p, d->left) != 1) {
		kp_dec_fail(d);
		return;
	}
	d->p += s.pos;
	d->left -= s.pos;
}

bool kp_dec_spend(struct kp_dec *d, size_t n)
{
	if (n > d->budget) {
		kp_dec_fail(d);
		return false;
	}
	d->budget -= n;
	return true;
}

bool kp_view_is(struct kp_view v, const char *s)
{
	return v.len == strlen(s) && !memcmp(v.p, s, v.len);
}

int kp_scan_item(struct kp_scan *s, const uint8_t *p, size_t n)
{
	struct kp_tok t;
	size_t used;
	int rc;

	for (;;) {
		rc = kp_tok(p + s->pos, n - s->pos, &t, &used);
		if (rc != 1)
			return rc;
		s->pos += used;
		if (t.type == KP_T_ARRAY || t.type == KP_T_MAP || t.type == KP_T_TAG) {
			uint64_t inner = t.type == KP_T_TAG ? 1 : t.u;

			if (inner > UINT32_MAX || s->depth == KP_CBOR_DEPTH)
				return -EBADMSG;
			if (inner) {
				s->left[s->depth++] = t.type == KP_T_MAP ? inner * 2 : inner;
				continue;
			}
		}
		while (s->depth && !--s->left[s->depth - 1])
			s->depth--;
		if (!s->depth)
			return 1;
	}
}
