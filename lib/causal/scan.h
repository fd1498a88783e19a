/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first pass: which requests were there? Requests are known by their
 * messages (scan_msg.c), or, where those cannot be read, by what kp-enrich
 * wrote on the rows (scan_ctx.c). Memory is bounded by what is open at a time.
 */
#ifndef KC_SCAN_H
#define KC_SCAN_H

#include <kp/proto.h>

#include "world.h"

enum { SC_SENDS = 4, SC_PIPE = 8, SC_BUCKETS = 8192, SC_NEAR = 3, SC_MAX = 1000 };

struct sc_req {			/* received by a service and not done with */
	struct kp_target t;
	struct sc_req *next, **at; /* of all open ones */
	uint32_t host, tid;	/* who received it */
	uint32_t pos, answer_pos; /* stream positions after it and after its answer */
	uint8_t side;		/* the caller's end of the connection */
	bool answered;
	bool nested;		/* asked for by a thread that itself serves a request */
	bool matched;		/* its send was seen */
	uint64_t next_at;	/* when the next request came on its connection, 0 none did */
	uint64_t losses;	/* rows that had been lost when it came */
};

struct sc_send { uint32_t from, to; uint64_t start, end; uint32_t host, source; const struct kp_task *task; };

struct sc_conn {
	struct sc_conn *next;	/* in its bucket */
	struct kp_obj key; uint32_t where;
	struct sc_send send[2][SC_SENDS]; uint32_t nsend[2];
	struct sc_req *open[SC_PIPE]; uint32_t nopen; /* oldest first; more than one when pipelined */
	uint8_t closed;		/* bit per end */
};

struct sc_ctx {			/* rows of one id */
	const struct kp_str *id;
	struct kp_target t;
	uint32_t host, tgid;
	uint64_t last;
};

struct sc_task {		/* a thread that was asked for */
	const struct kp_task *task;
	uint32_t host, source, tid;
	uint64_t run, first, born, exited; /* born, exited: when, 0 not seen */
};

struct sc_best { struct kp_target t; bool nested; };

struct kp_scan {
	struct kp_pool *pool;
	struct kp_select_opts o;
	const struct kp_str *id;
	struct sc_conn *conn[SC_BUCKETS];
	struct sc_req *open;
	struct sc_best *best; uint32_t nbest, max;
	struct kp_target *out;
	struct sc_ctx *ctx; uint32_t nctx, cap_ctx; /* slots of a hash table, id NULL: free */
	struct sc_best *ctx_best; uint32_t nctx_best;
	struct sc_task *task; uint32_t ntask, cap_task;
	uint64_t first, last;	/* of the recording, unified */
	uint64_t rows, losses, requests, ids;
	bool unknown_loss;
	const struct kp_str *near[SC_NEAR], *seen; uint32_t nnear;
};

/* scan_msg.c */
int sc_message(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, uint64_t t);
void sc_state(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, uint64_t t);
void sc_finish_all(struct kp_scan *s);	/* the recording has ended */
void sc_conns_free(struct kp_scan *s);

/* scan_ctx.c */
int sc_context(struct kp_scan *s, const struct kp_header *h, const struct kp_row *r, uint64_t t);
void sc_ctx_done(struct kp_scan *s);

/* scan.c */
void sc_offer(struct kp_scan *s, struct sc_best *best, uint32_t *n, const struct kp_target *t, bool nested);
bool sc_wanted(const struct kp_scan *s, const struct kp_target *t);
void sc_seen(struct kp_scan *s, const struct kp_str *id);
uint64_t sc_end(const struct kp_target *t);	/* as the caller saw it */

#endif
