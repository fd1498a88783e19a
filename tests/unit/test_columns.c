/* SPDX-License-Identifier: BSD-2-Clause */
/* Codings: what goes in comes out, whatever the values; bytes are those that kp-stream(5) shows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stream/block.h"

#define MAX 3000

static uint64_t seed = 1;

static uint64_t rnd(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 33 ^ seed << 20;
}

/* Ways for a column to look: each value from the last one. */
static uint64_t value(unsigned way, uint64_t last)
{
	static const uint64_t edge[] = { 0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, 1ull << 32, INT64_MAX, 1ull << 63, UINT64_MAX };

	switch (way) {
	case 0: return 0;
	case 1: return rnd() % 256;
	case 2: return rnd() % 65536;
	case 3: return rnd() % (1ull << 32);
	case 4: return rnd() << rnd() % 30;
	case 5: return last + rnd() % 1000;
	case 6: return -(uint64_t)(rnd() % 200);
	case 7: return edge[rnd() % (sizeof(edge) / sizeof(*edge))];
	default: return ~0ull;
	}
}

enum { WAYS = 9 };

struct cols { uint64_t v[MAX], kind[MAX], task[MAX], got[MAX]; uint32_t n; struct kp_scratch s; };

static void check(struct cols *c, unsigned coding, bool is_signed)
{
	struct kp_buf out = { 0 };
	struct kp_dec d;

	assert_int_equal(kp_column_encode(&out, coding, c->v, c->n, c->s.perm, c->s.tmp, is_signed), 0);
	d = (struct kp_dec){ .p = out.p, .left = out.len, .budget = 1 << 20 };
	memset(c->got, 0xaa, sizeof(c->got));
	kp_column_decode(&d, coding, c->got, c->n, c->s.perm);
	if (d.err || d.left || memcmp(c->got, c->v, c->n * sizeof(*c->v)))
		fail_msg("coding \"%s\", %u values, from %llx", kp_coding_name(coding), c->n, (unsigned long long)c->v[0]);
	kp_buf_free(&out);
}

static void test_identity(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 1000, MAX };
	struct cols *c = calloc(1, sizeof(*c));

	(void)state;
	assert_int_equal(kp_scratch_init(&c->s), 0);
	for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++)
		for (unsigned way = 0; way < WAYS; way++) {
			uint64_t last = rnd();

			c->n = sizes[k];
			for (uint32_t i = 0; i < c->n; i++) {
				last = c->v[i] = value(way, last);
				c->kind[i] = rnd() % (1 + way * 9000);
				c->task[i] = rnd() % (1 + way * 5);
			}
			kp_group_order(c->kind, way % 2 ? c->task : NULL, c->n, c->s.perm, c->s.perm2, c->s.count);
			for (unsigned coding = 0; coding < KP_CODINGS; coding++)
				check(c, coding, way % 2);
			check(c, 0, true);
			check(c, 0, false);
		}
	kp_scratch_free(&c->s);
	free(c);
}

/* Rows are in order of kind, then task, then as they came; and the counters are zero again. */
static void test_order(void **state)
{
	struct cols *c = calloc(1, sizeof(*c));

	(void)state;
	assert_int_equal(kp_scratch_init(&c->s), 0);
	c->n = MAX;
	for (int round = 0; round < 20; round++) {
		const uint64_t *task = round % 3 ? c->task : NULL;

		for (uint32_t i = 0; i < MAX; i++) {
			c->kind[i] = round % 2 ? rnd() % 7 : rnd() % 65536;
			c->task[i] = round % 4 ? rnd() % 5 : rnd() % KP_GROUPS;
		}
		kp_group_order(c->kind, task, MAX, c->s.perm, c->s.perm2, c->s.count);
		for (uint32_t i = 1; i < MAX; i++) {
			uint32_t a = c->s.perm[i - 1], b = c->s.perm[i];
			uint64_t ta = task ? task[a] : 0, tb = task ? task[b] : 0;

			assert_true(a < MAX && b < MAX);
			assert_true(c->kind[a] < c->kind[b] || (c->kind[a] == c->kind[b] && (ta < tb || (ta == tb && a < b))));
		}
	}
	for (uint32_t i = 0; i < KP_GROUPS; i++)
		assert_int_equal(c->s.count[i], 0);
	kp_scratch_free(&c->s);
	free(c);
}

struct example { const char *coding; uint64_t v[4]; bool is_signed; uint8_t bytes[16]; size_t n; };

/* The example of kp-stream(5), and the tags of RFC 8746 for each width and sign. */
static void test_bytes(void **state)
{
	static const uint64_t kind[4] = { 4096, 1, 4096, 1 }, task[4] = { 2, 1, 1, 1 };
	static const struct example ex[] = {
		{ "planes", { 4096, 1, 4096, 1 }, false, { 0x48, 0x00, 0x01, 0x00, 0x01, 0x10, 0x00, 0x10, 0x00 }, 9 },
		{ "delta planes", { 1000, 1010, 1030, 1030 }, false, { 0x48, 0xd0, 0x14, 0x28, 0x00, 0x07, 0x00, 0x00, 0x00 }, 9 },
		{ "group zigzag planes", { 4096, 0, (uint64_t)-2, 0 }, true, { 0x48, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x20 }, 9 },
		{ "group planes", { 9, 8, 7, 6 }, false, { 0x44, 8, 6, 7, 9 }, 5 },
		{ "group delta planes", { 9, 8, 7, 6 }, false, { 0x44, 16, 3, 2, 4 }, 5 },
		{ "", { 3, 0, 4, 0 }, false, { 0xd8, 64, 0x44, 3, 0, 4, 0 }, 7 },
		{ "", { 256, 0, 4, 0 }, false, { 0xd8, 69, 0x48, 0, 1, 0, 0, 4, 0, 0, 0 }, 11 },
		{ "", { (uint64_t)-1, 0, 1, 127 }, true, { 0xd8, 72, 0x44, 0xff, 0, 1, 0x7f }, 7 },
		{ "", { (uint64_t)-129, 0, 1, 127 }, true, { 0xd8, 77, 0x48, 0x7f, 0xff, 0, 0, 1, 0, 0x7f, 0 }, 11 },
	};
	struct kp_scratch s;

	(void)state;
	assert_int_equal(kp_scratch_init(&s), 0);
	kp_group_order(kind, task, 4, s.perm, s.perm2, s.count);
	for (size_t i = 0; i < sizeof(ex) / sizeof(*ex); i++) {
		struct kp_view name = { (const uint8_t *)ex[i].coding, strlen(ex[i].coding) };
		struct kp_buf out = { 0 };
		int coding = kp_coding_by_name(name);

		assert_true(coding >= 0);
		assert_int_equal(kp_column_encode(&out, (unsigned)coding, ex[i].v, 4, s.perm, s.tmp, ex[i].is_signed), 0);
		if (out.len != ex[i].n || memcmp(out.p, ex[i].bytes, out.len))
			fail_msg("example %zu, \"%s\"", i, ex[i].coding);
		kp_buf_free(&out);
	}
	assert_int_equal(kp_coding_by_name((struct kp_view){ (const uint8_t *)"kind planes", 11 }), -EBADMSG);
	kp_scratch_free(&s);
}

/* Bytes that are not a multiple of the rows, none, or more than 8 for each; a plain array of the wrong type or size. */
static void test_wrong(void **state)
{
	static const uint8_t zeroes[100];
	static const struct { uint64_t tag; size_t n; } plain[] = { { 64, 9 }, { 64, 11 }, { 69, 10 }, { 65, 20 }, { 85, 40 }, { 0, 10 } };
	uint64_t got[10];

	(void)state;
	for (size_t len = 0; len <= sizeof(zeroes); len++) {
		struct kp_buf out = { 0 };
		struct kp_dec d;

		kp_enc_bytes(&out, zeroes, len);
		d = (struct kp_dec){ .p = out.p, .left = out.len };
		kp_column_decode(&d, 2, got, 10, NULL);
		assert_int_equal(d.err, len && len % 10 == 0 && len <= 80 ? 0 : -EBADMSG);
		kp_buf_free(&out);
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		struct kp_buf out = { 0 };
		struct kp_dec d;

		kp_enc_tag(&out, plain[i].tag);
		kp_enc_bytes(&out, zeroes, plain[i].n);
		d = (struct kp_dec){ .p = out.p, .left = out.len };
		kp_column_decode(&d, 0, got, 10, NULL);
		assert_int_equal(d.err, -EBADMSG);
		kp_buf_free(&out);
	}
}

/* A writer may use widths of 3, 5, 6 and 7 bytes, too. */
static void test_odd_widths(void **state)
{
	(void)state;
	for (unsigned w = 1; w <= 8; w++)
		for (uint32_t n = 1; n < 40; n += 6) {
			uint8_t bytes[8 * 40];
			uint64_t want[40] = { 0 }, got[40];
			struct kp_buf out = { 0 };
			struct kp_dec d;

			for (uint32_t i = 0; i < n * w; i++) {
				bytes[i] = (uint8_t)rnd();
				want[i % n] |= (uint64_t)bytes[i] << (8 * (i / n));
			}
			kp_enc_bytes(&out, bytes, n * w);
			d = (struct kp_dec){ .p = out.p, .left = out.len };
			kp_column_decode(&d, 1, got, n, NULL);
			assert_int_equal(d.err, 0);
			assert_memory_equal(got, want, n * sizeof(*want));
			kp_buf_free(&out);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity), cmocka_unit_test(test_order), cmocka_unit_test(test_bytes), cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_odd_widths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
