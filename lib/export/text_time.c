/* SPDX-License-Identifier: BSD-2-Clause */
/* The first column of text: local time of day, and a line in between when the day changes. */
#include "export_int.h"

#define SEC 1000000000ull
#define DAY (86400 * SEC)
#define BOLD "\033[1m"
#define OFF "\033[0m"

static void two(char *p, unsigned v)
{
	p[0] = '0' + v / 10;
	p[1] = '0' + v % 10;
}

static void zone_name(struct kp_buf *b, const struct text_clock *s, const struct kp_source *src)
{
	char wall[48];

	kp_fmt_wall(wall, 0, s->zone);
	PUT(b, "UTC");
	if (s->zone)
		kp_buf_str(b, wall + strlen(wall) - 6);
	if (src && src->tz && src->tz->len && src->utc_offset == s->zone) {
		PUT(b, " (");
		kp_buf_escape(b, src->tz->p, src->tz->len);
		kp_buf_char(b, ')');
	}
}

static void new_day(struct kp_export *x, struct text_clock *s, uint64_t wall, const struct kp_source *src)
{
	static const char *const weekday[] = { "Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday" };
		struct kp_buf *b = &x->buf;
	char date[48];

	kp_fmt_wall(date, wall, s->zone);
	if (x->o.color)
		PUT(b, BOLD);
	kp_buf_str(b, weekday[(s->day - 1) % 7]);
	kp_buf_char(b, ' ');
	kp_buf_add(b, date, 10);
	PUT(b, ", ");
	zone_name(b, s, src);
	if (x->o.color)
		PUT(b, OFF);
	kp_buf_char(b, '\n');
}

/* All hosts in one zone, the first one's: times that run backwards and forwards mislead. */
static void new_second(struct kp_export *x, struct text_clock *s, uint64_t wall, uint64_t local, const struct kp_source *src)
{
		unsigned sod = local % DAY / SEC;

	s->second = local / SEC + 1;
	if (s->day != local / DAY + 1) {
		s->day = local / DAY + 1;
		new_day(x, s, wall, src);
	}
	two(s->clock, sod / 3600);
	s->clock[2] = ':';
	two(s->clock + 3, sod / 60 % 60);
	s->clock[5] = ':';
	two(s->clock + 6, sod % 60);
	s->clock[8] = '.';
}

static void put_micros(struct kp_buf *b, unsigned us)
{
	char d[6];

	two(d, us / 10000);
	two(d + 2, us / 100 % 100);
	two(d + 4, us % 100);
	kp_buf_add(b, d, 6);
}

static void put_clock(struct kp_export *x, struct text_clock *s, const struct kp_source *src, uint64_t wall)
{
		uint64_t local;

	if (!s->zoned) {
		s->zoned = true;
		s->zone = x->o.utc ? 0 : src->utc_offset;
	}
	local = wall + (int64_t)s->zone * (int64_t)SEC;
	if (s->second != local / SEC + 1)
		new_second(x, s, wall, local, src);
	kp_buf_add(&x->buf, s->clock, 9);
	put_micros(&x->buf, local % SEC / 1000);
}

void kp_text_time(struct kp_export *x, struct text_clock *s, const struct kp_row *row)
{
	const struct kp_source *src = kp_export_source(x, row);

	if (src && src->real0) {
		put_clock(x, s, src, kp_reader_wall(x->o.reader, row->source, row->end));
		return;
	}
	/* no wall clock is known: seconds since boot */
	char sec[24];
	int n = snprintf(sec, sizeof(sec), "%llu", (unsigned long long)(row->end / SEC));

	for (; n < 8; n++)
		kp_buf_char(&x->buf, ' ');
	kp_buf_str(&x->buf, sec);
	kp_buf_char(&x->buf, '.');
	put_micros(&x->buf, row->end % SEC / 1000);
}
