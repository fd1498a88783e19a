/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of the BPF programs (bpf/event.h) to rows. */
#ifndef KP_RECORD_DECODE_H
#define KP_RECORD_DECODE_H

#include <linux/types.h>

#include <bpf/event.h>
#include <kp/kinds.h>
#include <kp/row.h>

#include "resolve.h"

/* A record taken apart: pointers into it, NULL for what it does not have. */
struct kp_ev {
	const struct ev_head *h;
	const __u64 *a;
	const struct ev_peer *peer;
	const struct ev_file *file;
	const struct ev_sock *sock;
	const char *str, *data, *comm; uint32_t str_len, data_len, comm_len;
	uint32_t data_all;		/* bytes that the call moved */
	const __u64 *stack, *stack2; uint32_t nstack, nstack2;
	bool user;			/* stack is that of the program, not of the kernel */
};
/* 0, or -EBADMSG when it does not hold what its head says. */
int kp_ev_parse(struct kp_ev *ev, const void *rec, uint32_t len);

/* What is known of each kind, so that no table is searched for a record. */
struct kp_decode_kind {
	uint8_t known, wanted;	/* wanted: the row is written; else it only teaches the resolver */
	uint8_t ints, ids;	/* arguments that are signed numbers, users or groups: a bit each */
	int8_t shortoff;	/* which is a place in a file that has 32 bits in a 32-bit call, -1 none */
	uint8_t nargs, has_ret;	/* what lies beyond is for our tables */
	int8_t fdarg, dirarg, futexarg; /* -1 none */
	uint8_t retfd;		/* the result is a descriptor */
	uint8_t opens;		/* ... and the string names what it refers to */
	uint8_t special;	/* row in the table of decode.c */
};

struct kp_decode {
	struct kp_resolve *res;
	struct kp_pool *pool;
	const struct kp_kinds *kinds;
	struct kp_decode_kind kind[EV_MAX_KIND];
	uint32_t payload;	/* > 0: so many bytes are kept as they are */
	bool ids;		/* else: what kp_proto_keep keeps; neither: none */
	uint8_t kept[EV_DATA];	/* of the last row */
};

/* patterns: kinds that are wanted, NULL all. */
void kp_decode_init(struct kp_decode *d, struct kp_resolve *res, struct kp_pool *pool, const struct kp_kinds *kinds,
		    const char *patterns);
/*
 * 1 a row, 0 none is wanted (the resolver has learned from it), -EBADMSG. The row points into the record and
 * into d until the next call.
 */
int kp_decode(struct kp_decode *d, const void *rec, uint32_t len, struct kp_row *row);

#endif
