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

static int put_planes(struct kp_buf *out, const uint64_t *v, uint32_t n)
{
	uint64_t all = 0;
	unsigned w;
	uint8_t *p;

	for (uint32_t i = 0; i < n; i++)
		all |= v[i];
	w = width_of(all);
	kp_enc_bytes_head(out, (uint64_t)n * w);
	if (kp_buf_reserve(out, (size_t)n * w))
		return out->err;
	p = out->p + out->len;
	for (unsigned b = 0; b < w; b++)
		for (uint32_t i = 0; i < n; i++)
			*p++ = v[i] >> (8 * b);
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

int kp_column_encode(struct kp_buf *out, unsigned coding, const uint64_t *v, uint32_t n, const uint32_t *perm, uint64_t *tmp, bool is_signed)
{
	uint8_t how = codings[coding].how;
	uint64_t last = 0;

	if (!how)
		return put_plain(out, v, n, is_signed);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t x = v[how & GROUP ? perm[i] : i], y = x;

		if (how & DELTA)
			y -= last;
		last = x;
		tmp[i] = how & ZIGZAG ? zigzag(y) : y;
	}
	return put_planes(out, tmp, n);
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
	for (uint32_t i = 0; i < n; i++) {
		uint64_t x = 0;

		memcpy(&x, b.p + (size_t)i * w, w);
		x = le64toh(x);
		if (is_signed)
			x = (uint64_t)((int64_t)(x << (64 - 8 * w)) >> (64 - 8 * w));
		v[i] = x;
	}
}

static bool get_planes(struct kp_dec *d, uint64_t *v, uint32_t n)
{
	struct kp_view b = kp_dec_bytes(d);
	size_t w = n ? b.len / n : 0;

	if (d->err || !n || b.len != w * n || !w || w > 8) {
		kp_dec_fail(d);
		return false;
	}
	for (uint32_t i = 0; i < n; i++)
		v[i] = b.p[i];
	for (size_t k = 1; k < w; k++)
		for (uint32_t i = 0; i < n; i++)
			v[i] |= (uint64_t)b.p[k * n + i] << (8 * k);
	return true;
}

void kp_column_decode(struct kp_dec *d, unsigned coding, uint64_t *v, uint32_t n, const uint32_t *perm, uint64_t *tmp)
{
	uint8_t how = codings[coding].how;
	uint64_t last = 0;

	if (!how) {
		get_plain(d, v, n);
		return;
	}
	if (!get_planes(d, how & GROUP ? tmp : v, n))
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t x = how & GROUP ? tmp[i] : v[i];

		if (how & ZIGZAG)
			x = unzigzag(x);
		if (how & DELTA)
			x += last;
		last = x;
		v[how & GROUP ? perm[i] : i] = x;
	}
}
