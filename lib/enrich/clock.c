/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts hosts' clocks on one line. A message that left host a at s (its clock)
 * and was read on host b at r says shift(b) - shift(a) >= s - r. The best bounds
 * of both directions enclose the difference; their middle is taken.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

enum { SEEN = 1 << 18 };	/* messages remembered: 6 MB */

struct seen { uint64_t key; int64_t t; uint32_t source; bool send; };

/* shift(b) - shift(a) is from lo to hi; a < b. */
struct bound { uint32_t a, b; int64_t lo, hi; };

struct kp_clocks {
	struct seen *seen;
	struct bound *v; uint32_t n, cap;
};

int kp_clocks_new(struct kp_clocks **out)
{
	struct kp_clocks *c = calloc(1, sizeof(*c));

	if (c)
		c->seen = calloc(SEEN, sizeof(*c->seen));
	if (!c || !c->seen) {
		free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void kp_clocks_free(struct kp_clocks *c)
{
	if (!c)
		return;
	free(c->seen);
	free(c->v);
	free(c);
}

/* Sources of one boot have one clock: that of the first of them. */
static uint32_t clock_of(const struct kp_header *h, uint32_t source)
{
	if (*h->sources[source].boot_id)
		for (uint32_t i = 0; i < source; i++)
			if (!memcmp(h->sources[i].boot_id, h->sources[source].boot_id, sizeof(h->sources[i].boot_id)))
				return i;
	return source;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0xff51afd7ed558ccdull;
	return h ^ h >> 32;
}

static struct bound *bound_of(struct kp_clocks *c, uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->v[i].a == a && c->v[i].b == b)
			return &c->v[i];
	if (c->n == c->cap) {
		uint32_t cap = c->cap ? c->cap * 2 : 8;
		struct bound *v = realloc(c->v, cap * sizeof(*v));

		if (!v)
			return NULL;
		c->v = v;
		c->cap = cap;
	}
	c->v[c->n] = (struct bound){ a, b, INT64_MIN, INT64_MAX };
	return &c->v[c->n++];
}

static int note(struct kp_clocks *c, uint32_t from, int64_t sent, uint32_t to, int64_t got)
{
	struct bound *b = bound_of(c, from < to ? from : to, from < to ? to : from);

	if (!b)
		return -ENOMEM;
	if (from == b->a && sent - got > b->lo)
		b->lo = sent - got;
	if (from == b->b && got - sent < b->hi)
		b->hi = got - sent;
	return 0;
}

int kp_clocks_row(struct kp_clocks *c, const struct kp_header *h, const struct kp_row *row)
{
	bool send = row->kind == KP_K_TCP_SEND;
	uint64_t ends[6], key = 0;
	const struct kp_source *src;
	struct seen *s, now;

	if ((!send && row->kind != KP_K_TCP_RECV) || row->ret <= 0 || row->source >= h->nsources ||
	    !en_ends(row->obj, ends, ends + 3))
		return 0;
	/* from the sender's end to the receiver's, up to this byte */
	for (int i = 0; i < 6; i++)
		key = mix(key + i, ends[send ? i : (i + 3) % 6]);
	key = mix(key, row->a[0]) | 1;
	src = &h->sources[row->source];
	now = (struct seen){ key, (int64_t)(send ? row->end - row->dur : row->end) + src->base + src->shift,
			     clock_of(h, row->source), send };
	s = &c->seen[key >> 1 & (SEEN - 1)];
	if (s->key == key && s->send != send) {
		bool far = s->source != now.source;
		const struct seen *from = send ? &now : s, *to = send ? s : &now;

		return far ? note(c, from->source, from->t, to->source, to->t) : 0;
	}
	if (s->key != key)
		*s = now;
	return 0;
}

/* The difference that a bound tells, and its error. false: nothing is known. */
static bool middle(const struct bound *b, int64_t *d, uint64_t *err)
{
	if (b->lo == INT64_MIN && b->hi == INT64_MAX)
		return false;
	*err = UINT64_MAX;
	if (b->hi == INT64_MAX) {	/* one way: only so far that nothing arrives before it was sent */
		*d = b->lo > 0 ? b->lo : 0;
	} else if (b->lo == INT64_MIN) {
		*d = b->hi < 0 ? b->hi : 0;
	} else {	/* clocks that ran apart may contradict themselves a little */
		*d = b->lo + (b->hi - b->lo) / 2;
		*err = (uint64_t)(b->hi > b->lo ? b->hi - b->lo : b->lo - b->hi) / 2;
	}
	return true;
}

/* Of the bounds between a host that is placed and one that is not, the tightest. NULL: none. */
static const struct bound *next_bound(const struct kp_clocks *c, const bool *placed, uint32_t n, uint64_t *best_err)
{
	const struct bound *best = NULL;
	uint64_t err;
	int64_t d;

	for (uint32_t i = 0; i < c->n; i++) {
		const struct bound *b = &c->v[i];

		if (b->b >= n || placed[b->a] == placed[b->b] || !middle(b, &d, &err))
			continue;
		if (!best || err < *best_err) {
			best = b;
			*best_err = err;
		}
	}
	return best;
}

uint32_t kp_clocks_solve(const struct kp_clocks *c, const struct kp_header *h, int64_t *shift, uint64_t *shift_err, uint32_t n)
{
	bool *placed = calloc(n + 1, sizeof(*placed));
	uint32_t found = 0;

	memset(shift, 0, n * sizeof(*shift));
	memset(shift_err, 0, n * sizeof(*shift_err));
	for (uint32_t root = 0; placed && root < n; root++) {
		const struct bound *b;
		uint64_t err;

		if (placed[root] || clock_of(h, root) != root)
			continue;
		placed[root] = true;
		while ((b = next_bound(c, placed, n, &err))) {
			uint32_t from = placed[b->a] ? b->a : b->b, to = placed[b->a] ? b->b : b->a;
			int64_t d;

			middle(b, &d, &err);
			shift[to] = shift[from] + (to == b->b ? d : -d);
			shift_err[to] = err > UINT64_MAX - shift_err[from] ? UINT64_MAX : shift_err[from] + err;
			placed[to] = true;
			found++;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = clock_of(h, i);

		if (k != i && (shift_err[k] || shift[k])) {
			shift[i] = shift[k];
			shift_err[i] = shift_err[k];
			found++;
		}
	}
	free(placed);
	return found;
}
