/* SPDX-License-Identifier: BSD-2-Clause */
/* From bytes to items: a file, its zstd frames, with or without indexes, damaged or cut. */
#ifndef KP_STREAM_ITEMS_H
#define KP_STREAM_ITEMS_H

#include "stream_int.h"

/* ---- bytes ---- */

struct kp_in {
	int fd;
	bool own, eof;
	uint64_t size;		/* of a file that can be skipped through, else 0 */
	uint8_t *buf;
	size_t at, len, cap;
	uint64_t off;		/* of buf[at] in the input */
	void (*idle)(void *arg, int fd); void *idle_arg; /* before a pipe is waited for; NULL: none */
};
int kp_in_open(struct kp_in *in, const char *path, struct kp_err *err);
void kp_in_close(struct kp_in *in);
/* Sees to it that n bytes can be looked at. How many can (fewer at the end), or -errno. */
ssize_t kp_in_fill(struct kp_in *in, size_t n);
void kp_in_take(struct kp_in *in, size_t n);	/* of those that can be looked at */
int kp_in_skip(struct kp_in *in, uint64_t n);	/* 0; 1: the input ends before; -errno */
static inline const uint8_t *kp_in_at(const struct kp_in *in) { return in->buf + in->at; }

/* ---- items ---- */

struct kp_items {
	struct kp_in in;
	const char *path;
	ZSTD_DCtx *zd;
	struct kp_buf plain;	/* of frames that no index describes, or of the present item */
	struct kp_scan scan;
	size_t plain_at;
	bool raw, in_frame, seen, resync, item_out;
	/* is a block worth reading? */
	bool (*want)(void *arg, const struct kp_index *x);
	void *arg;
	/* what was found */
	uint64_t first_bad;
	uint32_t bad;		/* places */
	bool torn;
	uint64_t bytes, skipped_blocks, skipped_bytes;
};

struct kp_item_in {
	uint8_t type;		/* enum kp_item, 0: unknown */
	bool bad;		/* p, n are nothing; index tells what it was */
	bool has_index;
	struct kp_index index;	/* of which only the plain members are kept */
	const uint8_t *p;
	size_t n;
};

int kp_items_open(struct kp_items *it, const char *path, struct kp_err *err);
void kp_items_close(struct kp_items *it);
/* 1: an item, valid until the next call; 0: the end; -EBADMSG: this is no kp stream; -ENODATA: empty; -errno. */
int kp_items_next(struct kp_items *it, struct kp_item_in *out, struct kp_err *err);
/* An item that the caller could not make sense of. */
void kp_items_bad(struct kp_items *it);

#endif
