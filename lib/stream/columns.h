/* SPDX-License-Identifier: BSD-2-Clause */
/* Columns of a block: their codings, and the dictionaries that some of them point into. */
#ifndef KP_STREAM_COLUMNS_H
#define KP_STREAM_COLUMNS_H

#include "stream_int.h"

/* ---- codings ---- */

enum { KP_CODINGS = 6 };
/* "" for plain. */
const char *kp_coding_name(unsigned coding);
int kp_coding_by_name(struct kp_view name);	/* -EBADMSG unknown */
bool kp_coding_grouped(unsigned coding);	/* values are permuted, so that those of one kind and task stand together */
/*
 * Appends one column as a CBOR item. perm: rows in order of their groups. tmp: 2 * n values of scratch.
 * is_signed: plain arrays hold signed numbers.
 */
int kp_column_encode(struct kp_buf *out, unsigned coding, const uint64_t *v, uint32_t n, const uint32_t *perm, uint64_t *tmp, bool is_signed);
/* The next item of d into v[n]; mistakes stick in d->err. perm may be NULL when the coding is not grouped. */
void kp_column_decode(struct kp_dec *d, unsigned coding, uint64_t *v, uint32_t n, const uint32_t *perm);
/*
 * perm[i]: which row comes i-th when rows are ordered by kind, and those of one kind by task (NULL: all the same).
 * Both are below KP_GROUPS. tmp: room for n; count: KP_GROUPS zeroes, zero again afterwards.
 */
#define KP_GROUPS (2 * KP_MAX_ROWS + 1)
void kp_group_order(const uint64_t *kind, const uint64_t *task, uint32_t n, uint32_t *perm, uint32_t *tmp, uint32_t *count);

/* ---- dictionaries: from interned pointer to index + 1, 0 for NULL ---- */

struct kp_dict {
	const void **val;
	uint32_t n, cap;
	uint32_t *slot, nslots;
	const void *last;
	uint32_t last_ix;
};
int kp_dict_ix(struct kp_dict *d, const void *p, uint32_t *ix); /* 0 or -ENOMEM */
void kp_dict_clear(struct kp_dict *d);
void kp_dict_free(struct kp_dict *d);

#endif
