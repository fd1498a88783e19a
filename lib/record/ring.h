/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading one BPF ring buffer. */
#ifndef KP_RECORD_RING_H
#define KP_RECORD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_ring {
	uint64_t *consumer;		/* ours to advance */
	const uint64_t *producer;	/* the kernel's */
	const uint8_t *data;		/* its beginning is mapped once more behind its end, so that no record is split */
	uint64_t mask;
	size_t page;
};

/* 0 or -errno. size: of the data, as the map was made. */
int kp_ring_map(struct kp_ring *r, int map_fd, uint64_t size);
void kp_ring_unmap(struct kp_ring *r);
/* Bytes in it that were not read yet. */
uint64_t kp_ring_used(const struct kp_ring *r);
/*
 * Hands the records that are there now to fn, in order, and gives their room back. Stops at one that is still
 * being written. Returns how many, or what fn returned when it was negative (that record counts as read).
 */
long kp_ring_drain(struct kp_ring *r, int (*fn)(void *arg, const void *rec, uint32_t len), void *arg);
/* Is a CPU in a list like "0-3,8" (/sys/devices/system/cpu/online)? Of those that could be plugged in there may be many more. */
bool kp_cpu_listed(const char *list, uint32_t cpu);

#endif
