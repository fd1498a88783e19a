/* SPDX-License-Identifier: BSD-2-Clause */
/* Sorted lists of events and what is asked of them. */
#include <errno.h>
#include <stdlib.h>

#include "world.h"

void *kc_grow(void *p, uint32_t *cap, size_t size)
{
	uint32_t want = *cap ? *cap * 2 : 16;
	void *q;

	if (want < *cap)
		return NULL;
	q = reallocarray(p, want, size);
	if (q)
		*cap = want;
	return q;
}

int kc_list_add(struct kc_list *l, uint32_t i, uint64_t dur)
{
	if (l->n == l->cap) {
		uint32_t *v = kc_grow(l->v, &l->cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
	}
	l->v[l->n++] = i;
	if (dur > l->longest)
		l->longest = dur;
	return 0;
}

uint32_t kc_list_from(const struct kp_world *w, const struct kc_list *l, uint64_t t)
{
	uint32_t lo = 0, hi = l->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (w->ev[l->v[mid]].t < t)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct kc_ev *kc_overlap(const struct kp_world *w, const struct kc_list *l, uint64_t a, uint64_t b, uint32_t *i)
{
	uint32_t k = *i == KC_NONE ? kc_list_from(w, l, a) : *i + 1;

	for (; k < l->n; k++) {
		const struct kc_ev *e = &w->ev[l->v[k]];

		if (e->t > b && e->t - b > l->longest)
			break;
		if (kc_start(e) <= b) {
			*i = k;
			return e;
		}
	}
	return NULL;
}

const struct kc_ev *kc_last(const struct kp_world *w, const struct kc_list *l, uint64_t at)
{
	uint32_t k = kc_list_from(w, l, at + 1);

	return k ? &w->ev[l->v[k - 1]] : NULL;
}

const struct kc_ev *kc_next(const struct kp_world *w, const struct kc_list *l, uint64_t at)
{
	uint32_t k = kc_list_from(w, l, at);

	return k < l->n ? &w->ev[l->v[k]] : NULL;
}

uint64_t kc_overlap_ns(uint64_t a1, uint64_t b1, uint64_t a2, uint64_t b2)
{
	uint64_t a = a1 > a2 ? a1 : a2, b = b1 < b2 ? b1 : b2;

	return b > a ? b - a : 0;
}
