/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts the records of all CPUs into one order by `end`. A CPU's records come nearly in order: an interrupt
 * may have got in between taking the time and reserving the record.
 */
#ifndef KP_RECORD_MERGE_H
#define KP_RECORD_MERGE_H

#include <stddef.h>
#include <stdint.h>

struct kp_merge_ent { uint64_t end; uint32_t off, len; }; /* off: in units of 8 bytes */

struct kp_merge_queue {
	struct kp_merge_ent *ent;
	uint32_t head, n, cap;
	uint8_t *buf;
	size_t len, buf_cap;
};

struct kp_merge {
	struct kp_merge_queue *q;
	uint32_t nq;
	uint32_t *heap, nheap;	/* queues with records, least end on top; valid between begin and the last next */
	size_t bytes;		/* held in all queues */
};

struct kp_merged { uint64_t end; const void *rec; uint32_t len, queue; };

int kp_merge_init(struct kp_merge *m, uint32_t nqueues);	/* 0 or -ENOMEM */
void kp_merge_free(struct kp_merge *m);
/* Copies the record. 0 or -ENOMEM. */
int kp_merge_add(struct kp_merge *m, uint32_t queue, uint64_t end, const void *rec, uint32_t len);
/* Before the first kp_merge_next after records were added. */
void kp_merge_begin(struct kp_merge *m);
/* The next record whose end is at most `upto`: 1, or 0 when there is none. Valid until the next add. */
int kp_merge_next(struct kp_merge *m, uint64_t upto, struct kp_merged *out);

#endif
