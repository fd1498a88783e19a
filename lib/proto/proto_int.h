/* SPDX-License-Identifier: BSD-2-Clause */
/* What the protocols share: the row of the table, an output that cannot overflow, SQL, trace ids. */
#ifndef KP_PROTO_INT_H
#define KP_PROTO_INT_H

#include <kp/proto.h>

struct kp_out;

struct kp_proto {
	const char *name;
	const char *too_long;	/* stands for a target that does not fit, NULL none */
	/* 1 understood, 0 not this protocol */
	int (*parse)(const uint8_t *p, size_t len, struct kp_msg *m);
	void (*keep)(const struct kp_msg *m, struct kp_out *o);
};

extern const struct kp_proto kp_proto_http1, kp_proto_postgres;

/* Writes past cap are counted but not stored: len > cap tells that it did not fit. */
struct kp_out { uint8_t *p; size_t len, cap; };

void kp_out_add(struct kp_out *o, const void *p, size_t n);
void kp_out_str(struct kp_out *o, const char *s);	/* without its NUL */
void kp_out_span(struct kp_out *o, struct kp_span s);
void kp_out_be16(struct kp_out *o, uint16_t v);
void kp_out_be32(struct kp_out *o, uint32_t v);

static inline struct kp_span kp_span(const void *p, size_t len)
{
	return (struct kp_span){ (const char *)p, len };
}

/* Is it exactly a W3C traceparent: 2-32-16-2 lower-case hex digits? */
bool kp_traceparent_ok(struct kp_span s);

/*
 * Verb, table and traceparent of the (first) statement in s. cut: s is only the beginning of the text, so a
 * word that touches its end is not believed. false: it does not begin as SQL does.
 */
bool kp_sql_scan(struct kp_span s, bool cut, struct kp_msg *m);
/* The least statement that kp_sql_scan understands in the same way. */
void kp_sql_keep(const struct kp_msg *m, struct kp_out *o);
/* Is the word a command of SQL, in any case? */
bool kp_sql_verb(const char *p, size_t len);

#endif
