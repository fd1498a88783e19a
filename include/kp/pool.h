/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pool interns the dictionary values of rows: equal content gives the same
 * pointer. One pool per thread. Values live until the pool is freed: whoever runs
 * without end begins a new one now and then, moves into it what is still needed
 * (kp_pool_adopt, kp_reader_renew, kp_enrich_renew) and frees the old one.
 */
#ifndef KP_POOL_H
#define KP_POOL_H

#include <kp/row.h>

struct kp_pool;

int kp_pool_new(struct kp_pool **out);		/* 0 or -ENOMEM */
void kp_pool_free(struct kp_pool *p);		/* NULL is fine */
size_t kp_pool_bytes(const struct kp_pool *p);	/* memory held, for limits */
/* How large it may get until it is renewed, when kept bytes were still needed the last time (at first 0). */
enum { KP_POOL_RENEW = 64 << 20 };
static inline size_t kp_pool_limit(size_t kept) { return 2 * kept > KP_POOL_RENEW ? 2 * kept : KP_POOL_RENEW; }

/*
 * Each copies what it is given and returns the interned value, or NULL when
 * memory is short. Members that are pointers must themselves be interned in
 * the same pool.
 */
const struct kp_str *kp_pool_str(struct kp_pool *p, const void *bytes, size_t len);
const struct kp_str *kp_pool_cstr(struct kp_pool *p, const char *s);
const struct kp_task *kp_pool_task(struct kp_pool *p, const struct kp_task *t);
const struct kp_obj *kp_pool_obj(struct kp_pool *p, const struct kp_obj *o);
const struct kp_stack *kp_pool_stack(struct kp_pool *p, const struct kp_str *const *frames, uint32_t n);

/* Copies a row's dictionary values from any pool into p; data is not copied. 0 or -ENOMEM. */
int kp_pool_adopt(struct kp_pool *p, struct kp_row *row);

#endif
