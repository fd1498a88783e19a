/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one escape for text from outside. A comm may hold terminal sequences, a
 * path may be in any encoding, and a bidi override can make a name read as
 * another: none of them may reach a person as they are.
 */
#include <kp/util.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Invisible, reordering, private or unassigned for good: ranges of code points, in order. */
static const struct { uint32_t from, to; } hidden[] = {
	{ 0x0000, 0x001f }, { 0x007f, 0x009f }, { 0x00ad, 0x00ad }, { 0x034f, 0x034f },
	{ 0x061c, 0x061c }, { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f },
	{ 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 },
	{ 0xd800, 0xf8ff }, { 0xfdd0, 0xfdef }, { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff },
	{ 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0xfffe, 0xffff }, { 0x110bd, 0x110bd },
	{ 0x110cd, 0x110cd }, { 0x13430, 0x1345f }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a },
	{ 0x1fffe, 0x1ffff }, { 0x2fffe, 0x2ffff }, { 0x3fffe, 0x10ffff },
};

static bool is_hidden(uint32_t c)
{
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (c <= hidden[i].to)
			return c >= hidden[i].from;
	return true;
}

/* Length of the UTF-8 sequence at s that may be shown as it is, 0 when its first byte must be escaped. */
static size_t shown(const uint8_t *s, size_t left)
{
	uint32_t c = s[0], min;
	size_t n;

	if (c < 0x80)
		return c >= 0x20 && c < 0x7f;
	if (c < 0xc2)
		return 0;
	if (c < 0xe0)
		n = 2, c &= 0x1f, min = 0x80;
	else if (c < 0xf0)
		n = 3, c &= 0x0f, min = 0x800;
	else if (c < 0xf5)
		n = 4, c &= 0x07, min = 0x10000;
	else
		return 0;
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < min || is_hidden(c) ? 0 : n;
}

/* A unit (a character or one \xNN) goes out whole or not at all. */
static size_t escape(char *out, size_t cap, const uint8_t *s, size_t len, bool keep_backslash)
{
	size_t need = 0, put = 0;

	for (size_t i = 0; i < len;) {
		char hex[5] = { '\\', 'x', "0123456789abcdef"[s[i] >> 4], "0123456789abcdef"[s[i] & 15] };
		size_t n = s[i] == '\\' && !keep_backslash ? 0 : shown(s + i, len - i);
		const void *from = n ? (const void *)(s + i) : hex;
		size_t units = n ? n : 4;

		if (cap && need == put && put + units <= cap - 1) {
			memcpy(out + put, from, units);
			put += units;
		}
		need += units;
		i += n ? n : 1;
	}
	if (cap)
		out[put] = 0;
	return need;
}

size_t kp_escape(char *out, size_t cap, const void *bytes, size_t len)
{
	return escape(out, cap, bytes, len, false);
}

size_t kp_escape_line(char *out, size_t cap, const char *line)
{
	return escape(out, cap, (const uint8_t *)line, strlen(line), true);
}

/* How many of the first bytes are plain ASCII that nothing would change. */
static size_t plain(const uint8_t *s, size_t len)
{
	size_t i = 0;

	while (i < len && s[i] >= 0x20 && s[i] < 0x7f && s[i] != '\\')
		i++;
	return i;
}

int kp_buf_escape(struct kp_buf *b, const void *bytes, size_t len)
{
	size_t n = plain(bytes, len);
	int rc = kp_buf_add(b, bytes, n);

	if (rc || n == len)
		return rc;
	rc = kp_buf_reserve(b, (len - n) * 4 + 1);
	if (rc)
		return rc;
	b->len += kp_escape((char *)b->p + b->len, b->cap - b->len, (const uint8_t *)bytes + n, len - n);
	return 0;
}

int kp_buf_json(struct kp_buf *b, const void *bytes, size_t len)
{
	size_t at = b->len, extra = 0, from, to;
	int rc = kp_buf_escape(b, bytes, len);

	if (rc)
		return rc;
	for (size_t i = at; i < b->len; i++)
		extra += b->p[i] == '"' || b->p[i] == '\\';
	if (!extra)
		return 0;
	rc = kp_buf_reserve(b, extra);
	if (rc)
		return rc;
	from = b->len;
	to = b->len += extra;
	while (from > at) {
		uint8_t c = b->p[--from];

		b->p[--to] = c;
		if (c == '"' || c == '\\')
			b->p[--to] = '\\';
	}
	return 0;
}

static int put(FILE *f, const void *bytes, size_t len, int (*how)(struct kp_buf *, const void *, size_t))
{
	struct kp_buf b = { 0 };
	int rc = how(&b, bytes, len);

	if (!rc && b.len && fwrite(b.p, 1, b.len, f) != b.len)
		rc = -EIO;
	kp_buf_free(&b);
	return rc;
}

int kp_escape_to(FILE *f, const void *bytes, size_t len)
{
	return put(f, bytes, len, kp_buf_escape);
}

int kp_json_string(FILE *f, const void *bytes, size_t len)
{
	return put(f, bytes, len, kp_buf_json);
}

char *kp_escape_dup(const void *bytes, size_t len)
{
	size_t n = kp_escape(NULL, 0, bytes, len);
	char *s = malloc(n + 1);

	if (s)
		kp_escape(s, n + 1, bytes, len);
	return s;
}

static int hexval(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t kp_unescape(char *s)
{
	char *out = s;

	for (const char *p = s; *p;) {
		int hi = -1, lo = -1;

		if (p[0] == '\\' && p[1] == 'x') {
			hi = hexval(p[2]);
			lo = hi < 0 ? -1 : hexval(p[3]);
		}
		if (lo >= 0) {
			*out++ = (char)(hi << 4 | lo);
			p += 4;
		} else {
			*out++ = *p++;
		}
	}
	*out = 0;
	return out - s;
}
