/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities of the kernel: which the recorder needs, and what for. */
#ifndef KP_RECORD_PRIVILEGE_H
#define KP_RECORD_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_cap {
	int cap;		/* CAP_... */
	bool loading;		/* without it nothing can be loaded */
	bool later;		/* needed while it records, too */
	const char *name;
	const char *without;	/* what is missing then */
};

/* The i-th that the recorder needs; NULL behind the last. */
const struct kp_cap *kp_cap_needed(size_t i);
/* Effective capabilities of this thread as bits, 0 when they cannot be read. */
uint64_t kp_caps(void);

#endif
