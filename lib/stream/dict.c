/* SPDX-License-Identifier: BSD-2-Clause */
/* A block's dictionary. Values are interned, so a pointer stands for its content. */
#include "columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t hash_ptr(const void *p)
{
	return (uint32_t)(((uint64_t)(uintptr_t)p * 0x9E3779B97F4A7C15u) >> 32);
}

static int rehash(struct kp_dict *d)
{
	uint32_t n = d->nslots ? d->nslots * 2 : 64;
	uint32_t *slot = calloc(n, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->n; i++) {
		uint32_t at = hash_ptr(d->val[i]) & (n - 1);

		while (slot[at])
			at = (at + 1) & (n - 1);
		slot[at] = i + 1;
	}
	free(d->slot);
	d->slot = slot;
	d->nslots = n;
	return 0;
}

static int add(struct kp_dict *d, const void *p)
{
	if (d->n == d->cap) {
		uint32_t cap = d->cap ? d->cap * 2 : 32;
		const void **val = realloc(d->val, cap * sizeof(*val));

		if (!val)
			return -ENOMEM;
		d->val = val;
		d->cap = cap;
	}
	d->val[d->n++] = p;
	return 0;
}

int kp_dict_ix(struct kp_dict *d, const void *p, uint32_t *ix)
{
	uint32_t at;
	int err;

	*ix = 0;
	if (!p)
		return 0;
	if (p == d->last) {
		*ix = d->last_ix;
		return 0;
	}
	if ((d->n + 1) * 2 > d->nslots && (err = rehash(d)))
		return err;
	at = hash_ptr(p) & (d->nslots - 1);
	while (d->slot[at] && d->val[d->slot[at] - 1] != p)
		at = (at + 1) & (d->nslots - 1);
	if (!d->slot[at]) {
		err = add(d, p);
		if (err)
			return err;
		d->slot[at] = d->n;
	}
	d->last = p;
	*ix = d->last_ix = d->slot[at];
	return 0;
}

void kp_dict_clear(struct kp_dict *d)
{
	d->n = 0;
	d->last = NULL;
	if (d->slot)
		memset(d->slot, 0, d->nslots * sizeof(*d->slot));
}

void kp_dict_free(struct kp_dict *d)
{
	free(d->val);
	free(d->slot);
	memset(d, 0, sizeof(*d));
}
