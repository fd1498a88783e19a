/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers with units, and points in time, as people type them. */
#include "expr_int.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define SEC 1000000000ull

static const struct unit { const char *name; uint8_t what; uint64_t mul; } units[] = {
	{ "ns", NUM_TIME, 1 }, { "us", NUM_TIME, 1000 }, { "ms", NUM_TIME, 1000000 }, { "s", NUM_TIME, SEC },
	{ "sec", NUM_TIME, SEC }, { "m", NUM_TIME, 60 * SEC }, { "min", NUM_TIME, 60 * SEC },
	{ "h", NUM_TIME, 3600 * SEC }, { "d", NUM_TIME, 86400 * SEC },
	{ "B", NUM_SIZE, 1 },
	{ "k", NUM_SIZE, 1ull << 10 }, { "K", NUM_SIZE, 1ull << 10 }, { "kB", NUM_SIZE, 1ull << 10 },
	{ "KB", NUM_SIZE, 1ull << 10 }, { "KiB", NUM_SIZE, 1ull << 10 },
	{ "M", NUM_SIZE, 1ull << 20 }, { "MB", NUM_SIZE, 1ull << 20 }, { "MiB", NUM_SIZE, 1ull << 20 },
	{ "G", NUM_SIZE, 1ull << 30 }, { "GB", NUM_SIZE, 1ull << 30 }, { "GiB", NUM_SIZE, 1ull << 30 },
	{ "T", NUM_SIZE, 1ull << 40 }, { "TB", NUM_SIZE, 1ull << 40 }, { "TiB", NUM_SIZE, 1ull << 40 },
};

static const struct unit *unit_of(const char *s, size_t len, int wanted)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].what & wanted && strlen(units[i].name) == len && !memcmp(units[i].name, s, len))
			return &units[i];
	return NULL;
}

static size_t hex_number(const char *s, num_t *v)
{
	size_t n = 2;
	uint64_t u = 0;

	for (; isxdigit((unsigned char)s[n]); n++) {
		if (u >> 60)
			return 0;
		u = u << 4 | (isdigit((unsigned char)s[n]) ? s[n] - '0' : (s[n] | 0x20) - 'a' + 10);
	}
	*v = u;
	return n > 2 ? n : 0;
}

/* Digits behind the point as a fraction of 10^9, and how many characters; more digits than nine are dropped. */
static size_t fraction(const char *s, uint64_t *f)
{
	size_t n = 1;
	uint64_t scale = SEC;

	*f = 0;
	for (; isdigit((unsigned char)s[n]); n++) {
		scale /= 10;
		*f += (s[n] - '0') * scale;
	}
	return n > 1 ? n : 0;
}

size_t kp_expr_number(const char *s, int wanted, num_t *v)
{
	bool minus = *s == '-';
	size_t n = minus, letters = 0;
	const struct unit *u = NULL;
	uint64_t frac = 0;
	num_t x = 0;

	if (s[n] == '0' && s[n + 1] == 'x') {
		size_t h = hex_number(s + n, v);

		if (minus)
			*v = -*v;
		return h ? h + n : 0;
	}
	if (!isdigit((unsigned char)s[n]))
		return 0;
	for (; isdigit((unsigned char)s[n]); n++) {
		x = x * 10 + (s[n] - '0');
		if (x > (num_t)UINT64_MAX)
			return 0;
	}
	bool point = s[n] == '.' && isdigit((unsigned char)s[n + 1]);
	if (point)
		n += fraction(s + n, &frac);
	while (isalpha((unsigned char)s[n + letters]))
		letters++;
	if (letters)
		u = unit_of(s + n, letters, wanted);
	if ((letters && !u) || (point && !u))
		return 0;
	if (u)
		x = x * u->mul + (num_t)frac * u->mul / SEC;
	if (x > (num_t)UINT64_MAX)
		return 0;
	*v = minus ? -x : x;
	return n + letters;
}

static int whole(const char *s, int wanted, uint64_t *out)
{
	size_t n;
	num_t v = 0;

	if (*s == '-')
		return -EINVAL;
	n = kp_expr_number(s, wanted, &v);
	if (!n || s[n])
		return -EINVAL;
	*out = (uint64_t)v;
	return 0;
}

int kp_parse_duration(const char *s, uint64_t *ns)
{
	return whole(s, NUM_TIME, ns);
}

int kp_parse_size(const char *s, uint64_t *bytes)
{
	return whole(s, NUM_SIZE, bytes);
}

/* n digits at *s as a number of at most max; -1 when they are not there. */
static int digits(const char **s, int n, int max)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)(*s)[i]))
			return -1;
		v = v * 10 + ((*s)[i] - '0');
	}
	*s += n;
	return v <= max ? v : -1;
}

/* "02:45[:30[.5]]" as ns since midnight; *s is moved behind it. */
static int time_of_day(const char **s, uint64_t *ns)
{
	uint64_t frac = 0;
	int h = digits(s, 2, 23), m, sec = 0;

	if (h < 0 || *(*s)++ != ':' || (m = digits(s, 2, 59)) < 0)
		return -EINVAL;
	if (**s == ':') {
		(*s)++;
		sec = digits(s, 2, 60);
		if (sec < 0)
			return -EINVAL;
		if (**s == '.') {
			size_t n = fraction(*s, &frac);

			if (!n)
				return -EINVAL;
			*s += n;
		}
	}
	*ns = (h * 3600ull + m * 60ull + sec) * SEC + frac;
	return 0;
}

static int64_t days_from_civil(int y, int m, int d)
{
	y -= m <= 2;
	int era = y / 400, yoe = y - era * 400;
	int doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

	return era * 146097ll + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int days_in(int y, int m)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return m == 2 && (y % 4 == 0 && (y % 100 || y % 400 == 0)) ? 29 : days[m - 1];
}

/* "Z", "+01:00", "-0330", or nothing: then the recording's zone. */
static int zone(const char *s, int32_t *offset)
{
	int sign = *s == '-' ? -1 : 1, h, m = 0;

	if (!*s)
		return 0;
	if ((*s == 'Z' || *s == 'z') && !s[1]) {
		*offset = 0;
		return 0;
	}
	if (*s != '+' && *s != '-')
		return -EINVAL;
	s++;
	h = digits(&s, 2, 18);
	if (*s == ':')
		s++;
	if (h >= 0 && *s)
		m = digits(&s, 2, 59);
	if (h < 0 || m < 0 || *s)
		return -EINVAL;
	*offset = sign * (h * 3600 + m * 60);
	return 0;
}

static int rfc3339(const char *s, int32_t offset, uint64_t *out)
{
	int y = digits(&s, 4, 9999), m, d;
	uint64_t tod = 0;
	int64_t sec;

	if (y < 1970 || *s++ != '-' || (m = digits(&s, 2, 12)) < 1 || *s++ != '-' ||
	    (d = digits(&s, 2, 31)) < 1 || d > days_in(y, m))
		return -EINVAL;
	if (*s) {
		if (*s != 'T' && *s != 't' && *s != ' ')
			return -EINVAL;
		s++;
		if (time_of_day(&s, &tod) || zone(s, &offset))
			return -EINVAL;
	}
	sec = days_from_civil(y, m, d) * 86400 + (int64_t)(tod / SEC) - offset;
	if (sec < 0 || (uint64_t)sec > UINT64_MAX / SEC - 1)
		return -EINVAL;
	*out = sec * SEC + tod % SEC;
	return 0;
}

static int of_day(const char *s, uint64_t ref, int32_t offset, uint64_t *out)
{
	int64_t local = (int64_t)(ref / SEC) + offset, midnight;
	uint64_t tod;

	if (time_of_day(&s, &tod) || *s)
		return -EINVAL;
	midnight = local - local % 86400 - offset;
	if (midnight < 0 && tod < (uint64_t)-midnight * SEC)
		return -EINVAL;
	*out = (uint64_t)midnight * SEC + tod;
	return 0;
}

/* Seconds since 1970, "1764038730.5". */
static int epoch(const char *s, uint64_t *out)
{
	uint64_t sec = 0, frac = 0;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	for (; isdigit((unsigned char)*s); s++) {
		sec = sec * 10 + (*s - '0');
		if (sec > UINT64_MAX / SEC - 1)
			return -EINVAL;
	}
	if (*s == '.')
		s += fraction(s, &frac);
	if (*s)
		return -EINVAL;
	*out = sec * SEC + frac;
	return 0;
}

int kp_parse_time(const char *s, uint64_t ref, int32_t utc_offset, uint64_t *out)
{
	uint64_t ns;

	if (*s == '-') {
		if (kp_parse_duration(s + 1, &ns) || ns > ref)
			return -EINVAL;
		*out = ref - ns;
		return 0;
	}
	if (*s == '@')
		return epoch(s + 1, out);
	return strlen(s) >= 10 && s[4] == '-' ? rfc3339(s, utc_offset, out) : of_day(s, ref, utc_offset, out);
}
