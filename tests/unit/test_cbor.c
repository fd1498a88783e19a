/* SPDX-License-Identifier: BSD-2-Clause */
/* CBOR that means harm: lengths, counts and depths that are not there, and what is no CBOR for this format. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stream/cbor.h"

static struct kp_dec dec(const void *p, size_t n)
{
	return (struct kp_dec){ .p = p, .left = n, .budget = 1000 };
}

#define DEC(bytes) dec(bytes, sizeof(bytes) - 1)

static void test_round_trip(void **state)
{
	static const uint64_t u[] = { 0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX };
	static const int64_t i[] = { 0, -1, -24, -25, -256, -257, INT32_MIN, INT64_MIN, INT64_MAX };
	struct kp_buf b = { 0 };
	struct kp_dec d;

	(void)state;
	for (size_t k = 0; k < sizeof(u) / sizeof(*u); k++)
		kp_enc_uint(&b, u[k]);
	for (size_t k = 0; k < sizeof(i) / sizeof(*i); k++)
		kp_enc_int(&b, i[k]);
	kp_enc_bool(&b, true);
	kp_enc_double(&b, -0.1);
	kp_enc_text(&b, "text");
	kp_enc_bytes(&b, "a\0b", 3);
	kp_enc_str(&b, NULL);
	d = dec(b.p, b.len);
	for (size_t k = 0; k < sizeof(u) / sizeof(*u); k++)
		assert_true(kp_dec_uint(&d, UINT64_MAX) == u[k]);
	for (size_t k = 0; k < sizeof(i) / sizeof(*i); k++)
		assert_true(kp_dec_int(&d) == i[k]);
	assert_true(kp_dec_bool(&d));
	assert_true(kp_dec_double(&d) == -0.1);
	assert_true(kp_view_is(kp_dec_text(&d), "text"));
	assert_memory_equal(kp_dec_bytes(&d).p, "a\0b", 3);
	assert_int_equal(kp_dec_bytes(&d).len, 0);
	assert_int_equal(d.err, 0);
	assert_int_equal(d.left, 0);
	kp_buf_free(&b);
}

/* What sticks in err gives zero and empty ever after, and nothing is read behind it. */
static void test_sticky(void **state)
{
	struct kp_dec d = DEC("\x18\x64\x01\x43" "abc");

	(void)state;
	assert_int_equal(kp_dec_uint(&d, 99), 0);
	assert_int_equal(d.err, -EBADMSG);
	assert_int_equal(kp_dec_uint(&d, 99), 0);
	assert_int_equal(kp_dec_bytes(&d).len, 0);
	assert_non_null(kp_dec_bytes(&d).p);
	assert_int_equal(kp_dec_array(&d), 0);
	assert_int_equal(kp_dec_map(&d), 0);
	assert_int_equal(kp_dec_peek(&d).type, KP_T_NONE);
	kp_dec_skip(&d);
	assert_int_equal(d.err, -EBADMSG);
}

static void test_types(void **state)
{
	struct kp_dec d = DEC("\x20");

	(void)state;
	kp_dec_uint(&d, UINT64_MAX);		/* -1 is no uint */
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\x3b\xff\xff\xff\xff\xff\xff\xff\xff");
	kp_dec_int(&d);				/* -2^64 */
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\x1b\x80\0\0\0\0\0\0\0");
	kp_dec_int(&d);				/* 2^63 */
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\x61" "a");
	kp_dec_bytes(&d);			/* text is no byte string */
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\x41" "a");
	kp_dec_text(&d);
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\x01");
	kp_dec_double(&d);
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\xf9\x3c\x00");
	assert_true(kp_dec_double(&d) == 1.0);	/* a half float */
	assert_int_equal(d.err, 0);
}

/* Counts and lengths beyond what is there: 9 bytes must not cost gigabytes. */
static void test_counts(void **state)
{
	struct kp_dec d = DEC("\x9b\0\0\0\1\0\0\0\0");

	(void)state;
	assert_int_equal(kp_dec_array(&d), 0);
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\x83\1\2");
	assert_int_equal(kp_dec_array(&d), 0);
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\x82\1\2");
	assert_int_equal(kp_dec_array(&d), 2);
	d = DEC("\xa2\1\2\3");
	assert_int_equal(kp_dec_map(&d), 0);
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\xa1\1\2");
	assert_int_equal(kp_dec_map(&d), 1);
	d = DEC("\x5b\xff\xff\xff\xff\xff\xff\xff\xff" "abc");
	assert_int_equal(kp_dec_bytes(&d).len, 0);
	assert_int_equal(d.err, -EBADMSG);
	d = DEC("\x7a\0\0\0\4" "abc");
	assert_int_equal(kp_dec_text(&d).len, 0);
	assert_int_equal(d.err, -EBADMSG);
}

static void test_budget(void **state)
{
	struct kp_dec d = DEC("\x01\x02");

	(void)state;
	assert_true(kp_dec_spend(&d, 600));
	assert_true(kp_dec_spend(&d, 400));
	assert_int_equal(kp_dec_uint(&d, 9), 1);
	assert_false(kp_dec_spend(&d, 1));
	assert_int_equal(d.err, -EBADMSG);
	assert_int_equal(kp_dec_uint(&d, 9), 0);
	d = DEC("\x01");
	assert_false(kp_dec_spend(&d, SIZE_MAX));
}

static int scan(const char *p, size_t n, size_t *end)
{
	struct kp_scan s = { 0 };
	int rc = kp_scan_item(&s, (const uint8_t *)p, n);

	*end = s.pos;
	return rc;
}

static void test_depth(void **state)
{
	char deep[KP_CBOR_DEPTH + 2];
	size_t end;

	(void)state;
	for (int tag = 0; tag <= 1; tag++) {
		memset(deep, tag ? 0xc1 : 0x81, sizeof(deep));
		deep[KP_CBOR_DEPTH] = 1;
		assert_int_equal(scan(deep, KP_CBOR_DEPTH + 1, &end), 1);
		assert_int_equal(end, KP_CBOR_DEPTH + 1);
		deep[KP_CBOR_DEPTH] = deep[0];
		deep[KP_CBOR_DEPTH + 1] = 1;
		assert_int_equal(scan(deep, sizeof(deep), &end), -EBADMSG);
	}
	/* empty containers end at once, wherever they are */
	assert_int_equal(scan("\x82\x80\xa0", 3, &end), 1);
	assert_int_equal(end, 3);
}

/* Indefinite lengths, breaks, reserved heads: none of them is written, none is read. */
static void test_refused(void **state)
{
	static const char *const bad[] = { "\x5f\x41" "a\xff", "\x7f\x61" "a\xff", "\x9f\x01\xff", "\xbf\x01\x02\xff", "\xff", "\x1c", "\xfc", "\x81\xff" };
	size_t end;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (scan(bad[i], strlen(bad[i]), &end) != -EBADMSG)
			fail_msg("case %zu was taken", i);
}

/* An item that arrives byte by byte ends where it ends, and not before. */
static void test_scan(void **state)
{
	struct kp_buf b = { 0 };
	struct kp_scan s = { 0 };
	size_t want;

	(void)state;
	kp_enc_tag(&b, 55799);
	kp_enc_map(&b, 2);
	kp_enc_text(&b, "t");
	kp_enc_array(&b, 3);
	kp_enc_bytes(&b, "some bytes", 10);
	kp_enc_double(&b, 1.5);
	kp_enc_map(&b, 0);
	kp_enc_text(&b, "u");
	kp_enc_int(&b, -70000);
	want = b.len;
	kp_enc_uint(&b, 7);	/* the next one */
	for (size_t n = 0; n < want; n++) {
		uint8_t *moved = malloc(n + 1);

		if (n)
			memcpy(moved, b.p, n);
		assert_int_equal(kp_scan_item(&s, moved, n), 0);
		free(moved);
	}
	assert_int_equal(kp_scan_item(&s, b.p, b.len), 1);
	assert_int_equal(s.pos, want);
	kp_buf_free(&b);
}

static void test_skip(void **state)
{
	struct kp_dec d = DEC("\xa1\x61" "a\x82\x01\x42zz\x05");

	(void)state;
	kp_dec_skip(&d);
	assert_int_equal(kp_dec_uint(&d, 9), 5);
	kp_dec_skip(&d);	/* nothing is left */
	assert_int_equal(d.err, -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_sticky), cmocka_unit_test(test_types), cmocka_unit_test(test_counts),
		cmocka_unit_test(test_budget), cmocka_unit_test(test_depth), cmocka_unit_test(test_refused), cmocka_unit_test(test_scan),
		cmocka_unit_test(test_skip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
