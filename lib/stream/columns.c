/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Codings. A value is 64 bits; a column is stored in the smallest width that
 * holds all its values. What makes them small: the difference to the one
 * before, the ones of the same kind and task side by side, and the bytes of equal
 * weight side by side, for zstd to find.
 */
#include "columns.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { PLANES = 1, DELTA = 2, ZIGZAG = 4, GROUP = 8 };

static const struct { const char *name; uint8_t how; } codings[KP_CODINGS] = {
	{ "", 0 },
	{ "planes", PLANES },
	{ "delta planes", DELTA | ZIGZAG | PLANES },
	{ "group planes", GROUP | PLANES },
	{ "group zigzag planes", GROUP | ZIGZAG | PLANES },
	{ "group delta planes", GROUP | DELTA | ZIGZAG | PLANES },
};

const char *kp_coding_name(unsigned coding)
{
	return codings[coding].name;
}

int kp_coding_by_name(struct kp_view name)
{
	for (unsigned i = 0; i < KP_CODINGS; i++)
		if (kp_view_is(name, codings[i].name))
			return i;
	return -EBADMSG;
}

bool kp_coding_grouped(unsigned coding)
{
	return codings[coding].how & GROUP;
}

/* One pass of a stable sort: the rows of in (NULL: all, as they are) by v. */
static void order_by(const uint64_t *v, uint32_t n, const uint32_t *in, uint32_t *out, uint32_t *count)
{
	uint32_t at = 0, max = 0;

	for (uint32_t i = 0; i < n; i++) {
		count[v[i]]++;
		if (v[i] > max)
			max = v[i];
	}
	for (uint32_t k = 0; k <= max; k++) {
		uint32_t c = count[k];

		count[k] = at;
		at += c;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t row = in ? in[i] : i;

		out[count[v[row]]++] = row;
	}
	memset(count, 0, (max + 1) * sizeof(*count));
}

void kp_group_order(const uint64_t *kind, const uint64_t *task, uint32_t n, uint32_t *perm, uint32_t *tmp, uint32_t *count)
{
	if (task)
		order_by(task, n, NULL, tmp, count);
	order_by(kind, n, task ? tmp : NULL, perm, count);
}

static unsigned width_of(uint64_t all)
{
	return all >> 32 ? 8 : all >> 16 ? 4 : all >> 8 ? 2 : 1;
}

/* RFC 8746: typed arrays, little-endian. */
static uint64_t tag_of(unsigned width, bool is_signed)
{
	unsigned ll = width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;

	return 64 + (is_signed ? 8 : 0) + (width > 1 ? 4 : 0) + ll;
}

static bool tag_parse(uint64_t tag, unsigned *width, bool *is_signed)
{
	for (unsigned w = 1; w <= 8; w *= 2)
		for (unsigned s = 0; s <= 1; s++)
			if (tag == tag_of(w, s)) {
				*width = w;
				*is_signed = s;
				return true;
			}
	return false;
}

static unsigned signed_width(const uint64_t *v, uint32_t n)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < n; i++)
		all |= (v[i] ^ (uint64_t)((int64_t)v[i] >> 63)) << 1;
	return width_of(all);
}

static int put_plain(struct kp_buf *out, const uint64_t *v, uint32_t n, bool is_signed)
{
	uint64_t all = 0;
	unsigned w;
	uint8_t *p;

	for (uint32_t i = 0; i < n; i++)
		all |= v[i];
	w = is_signed ? signed_width(v, n) : width_of(all);
	kp_enc_tag(out, tag_of(w, is_signed));
	kp_enc_bytes_head(out, (uint64_t)n * w);
	if (kp_buf_reserve(out, (size_t)n * w))
		return out->err;
	p = out->p + out->len;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t le = htole64(v[i]);

		memcpy(p + (size_t)i * w, &le, w);
	}
	out->len += (size_t)n * w;
	return 0;
}

static uint64_t zigzag(uint64_t v)
{
	return v << 1 ^ (uint64_t)((int64_t)v >> 63);
}

static uint64_t unzigzag(uint64_t v)
{
	return v >> 1 ^ -(v & 1);
}

/* ---- planes: eight values at a time, as eight rows of eight bytes that are transposed ---- */

static inline void cross(uint64_t *a, uint64_t *b, unsigned shift, uint64_t mask)
{
	uint64_t t = (*a >> shift ^ *b) & mask;

	*a ^= t << shift;
	*b ^= t;
}

/* Byte i of x[j] and byte j of x[i] change places. What the caller knows to be zero, or does not use, costs nothing. */
static inline __attribute__((always_inline)) void transpose(uint64_t x[8])
{
	static const uint64_t m4 = 0xffffffffu, m2 = 0x0000ffff0000ffffu, m1 = 0x00ff00ff00ff00ffu;

	cross(&x[0], &x[4], 32, m4), cross(&x[1], &x[5], 32, m4), cross(&x[2], &x[6], 32, m4), cross(&x[3], &x[7], 32, m4);
	cross(&x[0], &x[2], 16, m2), cross(&x[1], &x[3], 16, m2), cross(&x[4], &x[6], 16, m2), cross(&x[5], &x[7], 16, m2);
	cross(&x[0], &x[1], 8, m1), cross(&x[2], &x[3], 8, m1), cross(&x[4], &x[5], 8, m1), cross(&x[6], &x[7], 8, m1);
}

/* Written out, as not every compiler unrolls what it should. */
#define EIGHT(f, ...) f(0, __VA_ARGS__), f(1, __VA_ARGS__), f(2, __VA_ARGS__), f(3, __VA_ARGS__), \
		      f(4, __VA_ARGS__), f(5, __VA_ARGS__), f(6, __VA_ARGS__), f(7, __VA_ARGS__)

static inline uint64_t get8(const uint8_t *p)
{
	uint64_t le;

	memcpy(&le, p, 8);
	return le64toh(le);
}

static inline void put8(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, 8);
}

static inline __attribute__((always_inline)) void split(uint8_t *restrict p, const uint64_t *restrict v, uint32_t n, unsigned w)
{
	uint32_t i = 0;

#define VALUE(k, at) (at)[k]
#define PUT(b, at) (void)((b) < w ? put8((at) + (size_t)(b) * n, x[b]) : (void)0)
	for (; i + 8 <= n; i += 8) {
		uint64_t x[8] = { EIGHT(VALUE, v + i) };

		transpose(x);
		EIGHT(PUT, p + i);
	}
#undef PUT
	for (; i < n; i++)
		for (unsigned b = 0; b < w; b++)
			p[(size_t)b * n + i] = v[i] >> (8 * b);
}

static int put_planes(struct kp_buf *out, const uint64_t *v, uint32_t n, uint64_t all)
{
	unsigned w = width_of(all);
	uint8_t *p;

	kp_enc_bytes_head(out, (uint64_t)n * w);
	if (kp_buf_reserve(out, (size_t)n * w))
		return out->err;
	p = out->p + out->len;
	switch (w) {
	case 1: split(p, v, n, 1); break;
	case 2: split(p, v, n, 2); break;
	case 4: split(p, v, n, 4); break;
	default: split(p, v, n, 8);
	}
	out->len += (size_t)n * w;
	return 0;
}

/* Values as they are stored; returns all their bits. */
static inline __attribute__((always_inline)) uint64_t prepare(uint64_t *restrict out, const uint64_t *restrict v, uint32_t n, const uint32_t *perm, uint8_t how)
{
	uint64_t last = 0, all = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t x = v[how & GROUP ? perm[i] : i], y = how & DELTA ? x - last : x;

		last = x;
		if (how & ZIGZAG)
			y = zigzag(y);
		out[i] = y;
		all |= y;
	}
	return all;
}

int kp_column_encode(struct kp_buf *out, unsigned coding, const uint64_t *v, uint32_t n, const uint32_t *perm, uint64_t *tmp, bool is_signed)
{
	uint64_t all;

	switch (codings[coding].how) {	/* one loop for each */
	case 0: return put_plain(out, v, n, is_signed);
	case PLANES: all = prepare(tmp, v, n, perm, 0); break;
	case PLANES | ZIGZAG | DELTA: all = prepare(tmp, v, n, perm, ZIGZAG | DELTA); break;
	case PLANES | GROUP: all = prepare(tmp, v, n, perm, GROUP); break;
	case PLANES | GROUP | ZIGZAG: all = prepare(tmp, v, n, perm, GROUP | ZIGZAG); break;
	default: all = prepare(tmp, v, n, perm, GROUP | ZIGZAG | DELTA);
	}
	return put_planes(out, tmp, n, all);
}

static void get_plain(struct kp_dec *d, uint64_t *v, uint32_t n)
{
	struct kp_tok t = kp_dec_any(d);
	struct kp_view b = kp_dec_bytes(d);
	bool is_signed = false;
	unsigned w = 0;

	if (d->err || t.type != KP_T_TAG || !tag_parse(t.u, &w, &is_signed) || b.len != (size_t)n * w) {
		kp_dec_fail(d);
		return;
	}
	for (uint32_t i = 0; w && i < n; i++) {
		uint64_t x = 0;

		for (unsigned k = 0; k < w; k++)
			x |= (uint64_t)b.p[(size_t)i * w + k] << (8 * k);
		v[i] = is_signed ? (uint64_t)((int64_t)(x << (64 - 8 * w)) >> (64 - 8 * w)) : x;
	}
}

static inline __attribute__((always_inline)) void restore(uint64_t *restrict v, const uint8_t *restrict p, uint32_t n, const uint32_t *perm,
								 unsigned w, uint8_t how)
{
	uint64_t last = 0, y;
	uint32_t i = 0;

#define GET(b, at) (b) < w ? get8((at) + (size_t)(b) * n) : 0
#define STORE(k, value) (y = (value)[k], y = how & ZIGZAG ? unzigzag(y) : y, y = last = how & DELTA ? last + y : y, \
			 v[how & GROUP ? perm[i + (k)] : i + (k)] = y)
	for (; i + 8 <= n; i += 8) {
		uint64_t x[8] = { EIGHT(GET, p + i) };

		transpose(x);
		EIGHT(STORE, x);
	}
	for (; i < n; i++) {
		uint64_t x = 0;

		for (unsigned b = 0; b < w; b++)
			x |= (uint64_t)p[(size_t)b * n + i] << (8 * b);
		STORE(0, &x);
	}
#undef GET
#undef STORE
}

static void get_planes(uint64_t *v, const uint8_t *p, uint32_t n, const uint32_t *perm, unsigned w, uint8_t how)
{
	switch (w) {	/* one loop for each width that writers use */
	case 1: restore(v, p, n, perm, 1, how); break;
	case 2: restore(v, p, n, perm, 2, how); break;
	case 4: restore(v, p, n, perm, 4, how); break;
	default: restore(v, p, n, perm, w, how);
	}
}

void kp_column_decode(struct kp_dec *d, unsigned coding, uint64_t *v, uint32_t n, const uint32_t *perm)
{
	struct kp_view b;
	size_t w;

	if (!codings[coding].how) {
		get_plain(d, v, n);
		return;
	}
	b = kp_dec_bytes(d);
	w = n ? b.len / n : 0;
	if (d->err || !n || b.len != w * n || !w || w > 8)
		kp_dec_fail(d);
	else
		get_planes(v, b.p, n, perm, w, codings[coding].how);
}
