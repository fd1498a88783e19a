/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wire protocols at a socket, from the first bytes of each message. One file
 * in lib/proto and one row in its table per protocol; the recorder uses it to
 * keep ids and drop the rest (--ids), kp-enrich to name requests.
 */
#ifndef KP_PROTO_H
#define KP_PROTO_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

enum kp_msg_type { KP_MSG_NONE, KP_MSG_REQUEST, KP_MSG_RESPONSE };

/* Spans of the message's own bytes: valid as long as they are. p NULL: absent. */
struct kp_span { const char *p; size_t len; };

struct kp_msg {
	const char *proto;	/* "http", "postgres", ... */
	uint8_t type;		/* enum kp_msg_type */
	struct kp_span verb, target; /* "POST", "/checkout" (no query); "SELECT", "items" */
	struct kp_span request, traceparent, sql; /* X-Request-ID; whole header value; statement as far as seen */
	int status;		/* HTTP status, 0 none; postgres: 0 ok, 1 error */
	bool failed;		/* status says so */
	bool more;		/* the head did not end inside the bytes */
	struct kp_span stmt;	/* postgres: name of the prepared statement that is parsed or bound ("" unnamed) */
	struct kp_span code;	/* postgres: SQLSTATE of an error, "57014" */
	char tx;		/* postgres: state of ReadyForQuery, I T or E; 0 not seen (the answer may go on) */
};

/* 1: understood; 0: no protocol that is known; never fails on any bytes. */
int kp_proto_parse(const void *bytes, size_t len, struct kp_msg *m);
/*
 * Writes to out (cap bytes) a message of the same protocol with only what --ids keeps: method, path without query,
 * status, request and trace ids, SQL verb and table. Its length, or 0 when nothing is to be kept.
 */
size_t kp_proto_keep(const void *bytes, size_t len, void *out, size_t cap);

#endif
