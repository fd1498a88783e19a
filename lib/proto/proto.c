/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of protocols, and what they share. */
#include <string.h>

#include "proto_int.h"

static const struct kp_proto *const table[] = { &kp_proto_http1, &kp_proto_postgres };

static const struct kp_proto *find(const void *bytes, size_t len, struct kp_msg *m)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		memset(m, 0, sizeof(*m));
		if (table[i]->parse(bytes, len, m)) {
			m->proto = table[i]->name;
			return table[i];
		}
	}
	memset(m, 0, sizeof(*m));
	return NULL;
}

int kp_proto_parse(const void *bytes, size_t len, struct kp_msg *m)
{
	if (bytes && len)
		return find(bytes, len, m) != NULL;
	memset(m, 0, sizeof(*m));
	return 0;
}

size_t kp_proto_keep(const void *bytes, size_t len, void *out, size_t cap)
{
	struct kp_msg m;
	const struct kp_proto *pr = bytes && len ? find(bytes, len, &m) : NULL;

	if (!pr)
		return 0;
	/* A long path or id is dropped rather than cut: half a name would be taken for a whole one. */
	for (int drop = 0; drop < 3; drop++) {
		struct kp_out o = { out, 0, cap };

		if (drop == 1)
			m.target = kp_span(m.target.p ? pr->too_long : NULL, m.target.p && pr->too_long ? strlen(pr->too_long) : 0);
		if (drop == 2)
			m.request = kp_span(NULL, 0);
		pr->keep(&m, &o);
		if (o.len <= cap)
			return o.len;
	}
	return 0;
}

void kp_out_add(struct kp_out *o, const void *p, size_t n)
{
	if (n && o->len <= o->cap && n <= o->cap - o->len)
		memcpy(o->p + o->len, p, n);
	o->len += n;
}

void kp_out_str(struct kp_out *o, const char *s)
{
	kp_out_add(o, s, strlen(s));
}

void kp_out_span(struct kp_out *o, struct kp_span s)
{
	kp_out_add(o, s.p, s.len);
}

void kp_out_be16(struct kp_out *o, uint16_t v)
{
	uint8_t b[2] = { v >> 8, v & 0xff };

	kp_out_add(o, b, sizeof(b));
}

void kp_out_be32(struct kp_out *o, uint32_t v)
{
	uint8_t b[4] = { v >> 24, v >> 16 & 0xff, v >> 8 & 0xff, v & 0xff };

	kp_out_add(o, b, sizeof(b));
}

bool kp_traceparent_ok(struct kp_span s)
{
	if (s.len != 55)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool dash = i == 2 || i == 35 || i == 52;

		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return true;
}
