/* SPDX-License-Identifier: BSD-2-Clause */
/* The one hash of the format and of the tables: XXH64, from the header alone, so that nothing more is linked. */
#ifndef KP_STREAM_HASH_H
#define KP_STREAM_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t kp_hash(const void *p, size_t n, uint64_t seed)
{
	return XXH64(p, n, seed);
}

#endif
