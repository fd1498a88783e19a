/* SPDX-License-Identifier: BSD-2-Clause */
/* Segments: their names, and which of them have to go. */
#include "ring_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIN_SEG	(256ull << 10)
#define MAX_SEG	(64ull << 20)
#define US	1000000ull
#define LAST	(253402300800ull * US - 1)	/* the year 9999 ends: names would no longer sort */

/* ---- names ---- */

void ring_name(char name[RING_NAME], uint64_t us)
{
	time_t t = (time_t)((us < LAST ? us : LAST) / US);
	char day[20];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(day, sizeof(day), "%Y%m%dT%H%M%S", &tm);
	snprintf(name, RING_NAME, "%s.%06uZ.kp", day, (unsigned)(us % US));
}

bool ring_name_is(const char *name, uint64_t *us)
{
	char again[RING_NAME];
	struct tm tm = { 0 };
	unsigned frac;
	int n = 0;
	time_t t;

	if (sscanf(name, "%4d%2d%2dT%2d%2d%2d.%6uZ.kp%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &frac, &n) != 7 || !n || name[n])
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = timegm(&tm);
	if (t < 0)
		return false;
	*us = (uint64_t)t * US + frac;
	ring_name(again, *us);	/* the 31st of February, blanks, signs */
	return !strcmp(name, again);
}

/* ---- the list ---- */

int ring_segs_add(struct ring_segs *s, const struct ring_seg *seg)
{
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? 2 * s->cap : 64;
		struct ring_seg *p = realloc(s->seg, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		s->seg = p;
		s->cap = cap;
	}
	s->seg[s->n++] = *seg;
	s->bytes += seg->bytes;
	return 0;
}

struct ring_seg *ring_segs_find(struct ring_segs *s, uint64_t us)
{
	for (uint32_t i = s->n; i; i--)
		if (s->seg[i - 1].us == us)
			return &s->seg[i - 1];
	return NULL;
}

void ring_segs_drop(struct ring_segs *s, uint32_t i)
{
	s->bytes -= s->seg[i].bytes;
	s->n--;
	memmove(s->seg + i, s->seg + i + 1, (s->n - i) * sizeof(*s->seg));
}

void ring_segs_free(struct ring_segs *s)
{
	free(s->seg);
	*s = (struct ring_segs){ 0 };
}

/* ---- limits ---- */

uint32_t ring_surplus(const struct ring_segs *s, const struct ring_limits *l, const struct ring_state *st)
{
	uint64_t gone = 0;
	uint32_t i;

	for (i = 0; i < s->n; i++) {
		const struct ring_seg *g = &s->seg[i];
		bool old = l->age && st->now > g->end && st->now - g->end > l->age;

		if (!old && s->bytes - gone + st->other <= l->size && st->free + gone >= l->min_free)
			break;
		gone += g->bytes;
	}
	return i;
}

uint64_t ring_seg_size(uint64_t ring_size)
{
	uint64_t n = ring_size / 16;

	return n < MIN_SEG ? MIN_SEG : n > MAX_SEG ? MAX_SEG : n;
}

/* So that age removes it in small steps, and what was recorded is packed well soon, also on a host where little happens. */
uint64_t ring_seg_time(uint64_t ring_age)
{
	uint64_t max = 600 * RING_SEC, n = ring_age / 16;

	return !n || n > max ? max : n < RING_SEC ? RING_SEC : n;
}
