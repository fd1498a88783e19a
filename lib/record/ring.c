/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A record that begins at the end goes on in the second mapping: as much of that as the longest one needs. */
static size_t mapped(const struct kp_ring *r)
{
	enum { LONGEST = 1 << 16 };
	uint64_t size = r->mask + 1;

	return r->page + size + (size < LONGEST ? size : LONGEST);
}

int kp_ring_map(struct kp_ring *r, int map_fd, uint64_t size)
{
	void *p;

	memset(r, 0, sizeof(*r));
	r->page = sysconf(_SC_PAGESIZE);
	r->mask = size - 1;
	p = mmap(NULL, r->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	r->consumer = p;
	p = mmap(NULL, mapped(r), PROT_READ, MAP_SHARED, map_fd, r->page);
	if (p == MAP_FAILED) {
		int rc = -errno;

		kp_ring_unmap(r);
		return rc;
	}
	r->producer = p;
	r->data = (const uint8_t *)p + r->page;
	return 0;
}

void kp_ring_unmap(struct kp_ring *r)
{
	if (r->consumer)
		munmap(r->consumer, r->page);
	if (r->producer)
		munmap((void *)r->producer, mapped(r));
	memset(r, 0, sizeof(*r));
}

uint64_t kp_ring_used(const struct kp_ring *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_RELAXED) - *r->consumer;
}

long kp_ring_drain(struct kp_ring *r, int (*fn)(void *arg, const void *rec, uint32_t len), void *arg)
{
	/* The end is taken once: a fast producer must not keep the other CPUs waiting. */
	uint64_t prod = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
	uint64_t cons = *r->consumer, given = cons;
	long n = 0;

	while (cons < prod) {
		const uint8_t *rec = r->data + (cons & r->mask);
		uint32_t head = __atomic_load_n((const uint32_t *)rec, __ATOMIC_ACQUIRE);
		uint32_t len = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		int rc = 0;

		if (head & BPF_RINGBUF_BUSY_BIT)
			break;
		cons += (len + BPF_RINGBUF_HDR_SZ + 7) & ~7u;
		if (!(head & BPF_RINGBUF_DISCARD_BIT)) {
			rc = fn(arg, rec + BPF_RINGBUF_HDR_SZ, len);
			n++;
		}
		/* Room is given back in steps, not at the end: a full ring loses records. */
		if (rc < 0 || cons - given > r->mask / 8) {
			__atomic_store_n(r->consumer, cons, __ATOMIC_RELEASE);
			given = cons;
		}
		if (rc < 0)
			return rc;
	}
	if (cons != given)
		__atomic_store_n(r->consumer, cons, __ATOMIC_RELEASE);
	return n;
}

bool kp_cpu_listed(const char *list, uint32_t cpu)
{
	uint32_t from, to;
	int n;

	for (; sscanf(list, "%u%n", &from, &n) == 1; list += n + (list[n] == ',')) {
		to = from;
		list += n;
		n = 0;
		if (*list == '-' && sscanf(list, "-%u%n", &to, &n) != 1)
			return false;
		if (cpu >= from && cpu <= to)
			return true;
	}
	return false;
}
