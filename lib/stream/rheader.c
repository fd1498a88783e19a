/* SPDX-License-Identifier: BSD-2-Clause */
/* One header of all that were read: sources, hooks and provenance once each; and what their clocks say. */
#include "reader_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES 65536u
#define DAY 86400	/* no zone is farther from UTC */

/* Room for one more; *p keeps its n elements. */
static int room(void **p, uint32_t *cap, uint32_t n, size_t size)
{
	uint32_t want = *cap ? *cap * 2 : 4;
	void *q;

	if (n < *cap)
		return 0;
	if (n >= MAX_ENTRIES)
		return -EBADMSG;
	q = realloc(*p, want * size);
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = want;
	return 0;
}

static bool same_source(const struct kp_source *a, const struct kp_source *b)
{
	return !strcmp(a->machine_id, b->machine_id) && !strcmp(a->boot_id, b->boot_id) && !strcmp(a->session, b->session) &&
	       a->host == b->host && a->mono0 == b->mono0 && a->real0 == b->real0;
}

/* Recordings of one boot share a monotonic clock: they share a base, too, even if the wall clock was set in between. */
static int64_t base_of(const struct kp_reader *r, const struct kp_source *s)
{
	for (uint32_t i = 0; s->boot_id[0] && i < r->h.nsources; i++)
		if (!strcmp(r->h.sources[i].boot_id, s->boot_id))
			return r->h.sources[i].base;
	return (int64_t)(s->real0 - s->mono0);
}

/* off: of the wall clock. */
static uint64_t limit(uint64_t mono, uint64_t wall, int64_t off, bool until)
{
	uint64_t none = until ? UINT64_MAX : 0, a = mono ? mono : none, b = none;

	if (wall)
		b = (int64_t)wall > off ? wall - (uint64_t)off : until ? 1 : 0;
	return until ? (a < b ? a : b) : (a > b ? a : b);
}

static void set_limits(const struct kp_reader *r, struct per_source *p, int64_t off)
{
	p->since = limit(r->o.since, r->o.since_wall, off, false);
	p->until = limit(r->o.until, r->o.until_wall, off, true);
}

/* The caller may know better than the stream. */
static void set_shift(const struct kp_reader *r, struct kp_source *to, const struct kp_source *s)
{
	to->shift = s->shift;
	to->shift_err = s->shift_err;
	for (uint32_t i = 0; s->boot_id[0] && i < r->o.nshifts; i++)
		if (!strcmp(r->o.shifts[i].boot_id, s->boot_id)) {
			to->shift = r->o.shifts[i].shift;
			to->shift_err = r->o.shifts[i].shift_err;
		}
}

static int add_source(struct kp_reader *r, const struct kp_source *s, uint32_t *ix)
{
	struct per_source *p;
	uint32_t i;
	int rc;

	for (i = 0; i < r->h.nsources; i++)
		if (same_source(&r->h.sources[i], s))
			break;
	if (i == r->h.nsources) {
		if (i >= KP_MAX_SOURCES)
			return -EBADMSG;
		rc = room((void **)&r->h.sources, &r->cap_sources, i, sizeof(*s));
		if (!rc)
			rc = room((void **)&r->src, &r->cap_src, i, sizeof(*r->src));
		if (rc)
			return rc;
		r->h.sources[i] = *s;
		r->h.sources[i].base = base_of(r, s);
		if (s->utc_offset > DAY || s->utc_offset < -DAY)
			r->h.sources[i].utc_offset = 0;
		r->src[i] = (struct per_source){ 0 };
		r->h.nsources++;
	}
	set_shift(r, &r->h.sources[i], s);
	p = &r->src[i];
	p->line = (int64_t)((uint64_t)r->h.sources[i].base + (uint64_t)r->h.sources[i].shift);
	set_limits(r, p, p->nclock ? p->clock[p->nclock - 1].off : (int64_t)(s->real0 - s->mono0));
	*ix = i;
	return 0;
}

static int add_hook(struct kp_reader *r, const struct kp_hook *k)
{
	int rc;

	for (uint32_t i = 0; i < r->h.nhooks; i++)
		if (r->h.hooks[i].what == k->what && r->h.hooks[i].how == k->how && r->h.hooks[i].source == k->source)
			return 0;
	rc = room((void **)&r->h.hooks, &r->cap_hooks, r->h.nhooks, sizeof(*k));
	if (!rc)
		r->h.hooks[r->h.nhooks++] = *k;
	return rc;
}

static int add_prov(struct kp_reader *r, const struct kp_prov *p)
{
	int rc;

	for (uint32_t i = 0; i < r->h.nprov; i++) {
		struct kp_prov *q = &r->h.prov[i];

		if (q->tool != p->tool || q->args != p->args || q->start != p->start)
			continue;
		if (p->end)
			*q = *p;
		return 0;
	}
	rc = room((void **)&r->h.prov, &r->cap_prov, r->h.nprov, sizeof(*p));
	if (!rc)
		r->h.prov[r->h.nprov++] = *p;
	return rc;
}

int kp_reader_take_header(struct kp_reader *r, struct input *in, struct kp_header_in *hi)
{
	struct kp_header *h = &hi->h;
	uint32_t *map = calloc(h->nsources + 1, sizeof(*map));
	int rc = map ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < h->nsources && !rc; i++)
		rc = add_source(r, &h->sources[i], &map[i]);
	for (uint32_t i = 0; i < h->nhooks && !rc; i++)
		if (h->hooks[i].source < h->nsources) {
			h->hooks[i].source = map[h->hooks[i].source];
			rc = add_hook(r, &h->hooks[i]);
		}
	for (uint32_t i = 0; i < h->nprov && !rc; i++)
		rc = add_prov(r, &h->prov[i]);
	if (!rc) {
		free(in->source);
		free(in->remap);
		in->source = map;
		in->nsource = h->nsources;
		in->remap = hi->remap;
		in->nremap = hi->nremap;
		hi->remap = NULL;
		map = NULL;
		if (h->version > r->h.version)
			r->h.version = h->version;
	}
	free(map);
	kp_header_in_free(hi);
	return rc;
}

int kp_reader_take_end(struct kp_reader *r, const struct kp_end *e)
{
	int rc = 0;

	for (uint32_t i = 0; i < e->nprov && !rc; i++)
		rc = add_prov(r, &e->prov[i]);
	return rc;
}

/* ---- clocks ---- */

/* Two readings of one pair of clocks that agree to a microsecond tell nothing new. */
void kp_reader_clock(struct kp_reader *r, const struct kp_row *row)
{
	struct per_source *s = &r->src[row->source];
	int64_t off = (int64_t)(row->a[1] - row->end), now;
	struct kp_clock *c;

	now = (int64_t)(kp_reader_wall(r, row->source, row->end) - row->end);
	/* added to and taken off without a sign: these numbers come from outside */
	if (!row->a[1] || (uint64_t)off - (uint64_t)now + 999 < 1999 || s->nclock >= MAX_ENTRIES)
		return;
	if (s->nclock && s->clock[s->nclock - 1].mono >= row->end)
		return;
	c = realloc(s->clock, (s->nclock + 1) * sizeof(*c));
	if (!c)
		return;	/* less exact wall times are no reason to stop */
	s->clock = c;
	c[s->nclock++] = (struct kp_clock){ row->end, off };
	/* A recorder may run for months, in which the clock is set and the host sleeps. */
	set_limits(r, s, off);
}

uint64_t kp_reader_wall(const struct kp_reader *r, uint32_t source, uint64_t mono)
{
	const struct per_source *s;
	uint32_t i;

	if (source >= r->h.nsources)
		return 0;
	s = &r->src[source];
	for (i = s->nclock; i; i--)
		if (s->clock[i - 1].mono <= mono)
			return mono + (uint64_t)s->clock[i - 1].off;
	return mono + r->h.sources[source].real0 - r->h.sources[source].mono0;
}

uint64_t kp_reader_mono(const struct kp_reader *r, uint32_t source, uint64_t wall)
{
	const struct per_source *s;
	uint32_t i;

	if (source >= r->h.nsources)
		return 0;
	s = &r->src[source];
	for (i = s->nclock; i; i--)
		if (s->clock[i - 1].mono + (uint64_t)s->clock[i - 1].off <= wall)
			return wall - (uint64_t)s->clock[i - 1].off;
	return wall - r->h.sources[source].real0 + r->h.sources[source].mono0;
}
