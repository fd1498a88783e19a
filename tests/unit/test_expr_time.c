/* SPDX-License-Identifier: BSD-2-Clause */
#include <kp/expr.h>
#include <kp/util.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SEC 1000000000ull

static void durations(void **state)
{
	static const struct { const char *s; uint64_t want; } t[] = {
		{ "100", 100 }, { "10ms", 10000000 }, { "1.5s", 1500000000 }, { "2us", 2000 }, { "3m", 180 * SEC },
		{ "0.001us", 1 }, { "2h", 7200 * SEC }, { "1d", 86400 * SEC }, { "0x10", 16 },
	};
	static const char *const bad[] = { "", "x", "-1s", "1.5", "1..5s", "10 ms", "1k", "10msx", "99999999999999999999", "300000d", "0x", ".5s", "1.s" };
	uint64_t v;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(kp_parse_duration(t[i].s, &v), 0);
		assert_int_equal(v, t[i].want);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(kp_parse_duration(bad[i], &v), -EINVAL);
	assert_int_equal(kp_parse_size("4k", &v), 0);
	assert_int_equal(v, 4096);
	assert_int_equal(kp_parse_size("1.5M", &v), 0);
	assert_int_equal(v, 1572864);
	assert_int_equal(kp_parse_size("2GiB", &v), 0);
	assert_int_equal(v, 2ull << 30);
	assert_int_equal(kp_parse_size("3s", &v), -EINVAL);
}

static void times(void **state)
{
	/* 2025-11-25T02:45:30.5+01:00 */
	const uint64_t ref = 1764035130ull * SEC + SEC / 2, midnight = 1764025200ull * SEC;
	static const struct { const char *s, *want; } t[] = {
		{ "2025-11-25T02:45:30.5+01:00", "2025-11-25T02:45:30.500000000+01:00" },
		{ "2025-11-25T01:45:30.5Z", "2025-11-25T02:45:30.500000000+01:00" },
		{ "2025-11-25 02:45", "2025-11-25T02:45:00.000000000+01:00" },
		{ "2025-11-25", "2025-11-25T00:00:00.000000000+01:00" },
		{ "2024-02-29T12:00:00-0330", "2024-02-29T16:30:00.000000000+01:00" },
		{ "02:45", "2025-11-25T02:45:00.000000000+01:00" },
		{ "23:59:59.123456789", "2025-11-25T23:59:59.123456789+01:00" },
		{ "-10m", "2025-11-25T02:35:30.500000000+01:00" },
		{ "-0.5s", "2025-11-25T02:45:30.000000000+01:00" },
		{ "@1764035130.25", "2025-11-25T02:45:30.250000000+01:00" },
	};
	static const char *const bad[] = { "", "2:45", "24:00", "02:60", "02:45:61", "02:45x", "02:45:", "02:45:30.", "2025-13-01", "2025-02-29",
		"2025-11-25T", "2025-11-25T02:45+25:00", "2025-11-25X02:45", "1969-01-01", "-", "-x", "-99999d", "@", "@x", "@1x", "@99999999999999", "now", "10m" };
	char buf[48];
	uint64_t v;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (kp_parse_time(t[i].s, ref, 3600, &v))
			fail_msg("%s", t[i].s);
		assert_string_equal(kp_fmt_wall(buf, v, 3600), t[i].want);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (kp_parse_time(bad[i], ref, 3600, &v) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(kp_parse_time("00:00", ref, 3600, &v), 0);
	assert_int_equal(v, midnight);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(durations), cmocka_unit_test(times) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
