/* SPDX-License-Identifier: BSD-2-Clause */
#include <kp/util.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int kp_buf_reserve(struct kp_buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 256;
	uint8_t *p;

	if (b->err)
		return b->err;
	if (b->cap - b->len >= more)
		return 0;
	if (more > SIZE_MAX / 2 - b->len)
		return b->err = -ENOMEM;
	while (cap - b->len < more)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p)
		return b->err = -ENOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

int kp_buf_add(struct kp_buf *b, const void *p, size_t n)
{
	int rc = kp_buf_reserve(b, n);

	if (rc || !n)
		return rc;
	memcpy(b->p + b->len, p, n);
	b->len += n;
	return 0;
}

int kp_buf_str(struct kp_buf *b, const char *s)
{
	return kp_buf_add(b, s, strlen(s));
}

int kp_buf_char(struct kp_buf *b, char c)
{
	return kp_buf_add(b, &c, 1);
}

/* Rows are printed by the million: printf would take most of that time. */
int kp_buf_u64(struct kp_buf *b, uint64_t v)
{
	char d[20], *p = d + sizeof(d);

	do {
		*--p = '0' + v % 10;
		v /= 10;
	} while (v);
	return kp_buf_add(b, p, d + sizeof(d) - p);
}

int kp_buf_i64(struct kp_buf *b, int64_t v)
{
	if (v >= 0)
		return kp_buf_u64(b, v);
	kp_buf_char(b, '-');
	return kp_buf_u64(b, -(uint64_t)v);
}

int kp_buf_hex(struct kp_buf *b, uint64_t v)
{
	char d[16], *p = d + sizeof(d);

	do {
		*--p = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v);
	kp_buf_add(b, "0x", 2);
	return kp_buf_add(b, p, d + sizeof(d) - p);
}

int kp_buf_printf(struct kp_buf *b, const char *fmt, ...)
{
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return b->err = -EINVAL;
	rc = kp_buf_reserve(b, (size_t)n + 1);
	if (rc)
		return rc;
	va_start(ap, fmt);
	vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += n;
	return 0;
}

void kp_buf_free(struct kp_buf *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}
