/* SPDX-License-Identifier: BSD-2-Clause */
/* The kind table: the built-in kinds, those of streams of other versions, and names as patterns. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <kp/kinds.h>

static int setup(void **state)
{
	return kp_kinds_new((struct kp_kinds **)state);
}

static int teardown(void **state)
{
	kp_kinds_free(*state);
	return 0;
}

static const struct kp_kind *named(const struct kp_kinds *k, const char *name)
{
	return kp_kind_by_name(k, name, strlen(name));
}

static void test_builtin(void **state)
{
	const struct kp_kinds *k = *state;
	const struct kp_kind *i, *last = NULL;
	unsigned n = 0, calls = 0;

	for (i = kp_kind_next(k, 0); i; i = kp_kind_next(k, i->id + 1u)) {
		assert_true(!last || last->id < i->id);
		assert_ptr_equal(kp_kind_by_id(k, i->id), i);
		assert_ptr_equal(named(k, i->name), i);	/* so names are unique, too */
		assert_true(strchr(i->name, '.') && i->help[0] && i->nargs <= 6);
		for (int a = 0; a < i->nargs; a++)
			if (!i->arg[a][0] || strlen(i->arg[a]) >= 15 || i->unit[a] >= KP_U_NONE)
				fail_msg("%s: argument \"%s\", unit %d", i->name, i->arg[a], i->unit[a]);
		/* a unit that kinds.def names and the library does not know would be taken for a number */
		for (int a = 0; a < i->nargs; a++)
			if (i->unit[a] == KP_U_NUM) {
				char word[32];

				snprintf(word, sizeof(word), "%s:u", i->arg[a]);
				if (!strstr(i->args, word))
					fail_msg("%s: unit of %s", i->name, i->arg[a]);
			}
		assert_true(i->ret_unit != KP_U_NUM || !strcmp(i->ret, "u"));
		assert_int_equal(kp_kind_is_syscall(i->id), !strncmp(i->name, "sys.", 4));
		assert_true(i->fdarg < i->nargs && (i->fdarg < 0 || kp_kind_is_syscall(i->id)));
		calls += kp_kind_is_syscall(i->id);
		n++;
		last = i;
	}
	assert_true(calls > 300 && n > calls + 40);
	assert_null(kp_kind_by_id(k, 0));
	assert_null(kp_kind_next(k, 65536));
	assert_null(named(k, "sys"));
}

static void test_args(void **state)
{
	const struct kp_kind *k = kp_kind_by_id(*state, KP_K_SYS_read);

	assert_string_equal(k->name, "sys.read");
	assert_int_equal(k->nargs, 3);
	assert_string_equal(k->arg[0], "fd");
	assert_int_equal(k->unit[0], KP_U_FD);
	assert_int_equal(k->fdarg, 0);
	assert_string_equal(k->arg[2], "count");
	assert_int_equal(k->unit[2], KP_U_BYTES);
	assert_int_equal(k->ret_unit, KP_U_ERR);
	assert_int_equal(named(*state, "sched.switch")->ret_unit, KP_U_NONE);
}

static void test_add_same(void **state)
{
	uint16_t id = KP_K_SYS_read;

	assert_int_equal(kp_kinds_add(*state, &id, "sys.read", "other:x", "u", "of an older version"), 0);
	assert_int_equal(id, KP_K_SYS_read);
	assert_string_equal(kp_kind_by_id(*state, id)->arg[0], "fd");
}

/* A new kind is copied, with words that are longer than ours, units that we do not know, and more arguments. */
static void test_add_new(void **state)
{
	char name[] = "zz.new", args[] = "a:ns  averyveryverylongname:B c:parsec d e:x f:i g:u";
	uint16_t id = 3000;
	const struct kp_kind *k;

	assert_int_equal(kp_kinds_add(*state, &id, name, args, "fathom", "help"), 0);
	assert_int_equal(id, 3000);
	memset(name, 'x', sizeof(name) - 1);
	memset(args, 'x', sizeof(args) - 1);
	k = kp_kind_by_id(*state, 3000);
	assert_string_equal(k->name, "zz.new");
	assert_int_equal(k->nargs, 6);
	assert_int_equal(k->unit[0], KP_U_NS);
	assert_string_equal(k->arg[1], "averyveryverylo");
	assert_int_equal(k->unit[1], KP_U_BYTES);
	assert_int_equal(k->unit[2], KP_U_NUM);
	assert_string_equal(k->arg[3], "d");
	assert_int_equal(k->unit[3], KP_U_NUM);
	assert_string_equal(k->arg[5], "f");
	assert_int_equal(k->unit[5], KP_U_INT);
	assert_int_equal(k->ret_unit, KP_U_NUM);
	assert_int_equal(k->fdarg, -1);
	assert_ptr_equal(named(*state, "zz.new"), k);
}

/* Another kind under our id gets an id of its own; our kind under another id is still ours. */
static void test_clash(void **state)
{
	uint16_t id = KP_K_SYS_read, second = KP_K_SYS_read, other = 777;
	const struct kp_kind *read = kp_kind_by_id(*state, KP_K_SYS_read);

	assert_int_equal(kp_kinds_add(*state, &id, "zz.clash", "a:u", "", ""), -EEXIST);
	assert_int_not_equal(id, KP_K_SYS_read);
	assert_string_equal(kp_kind_by_id(*state, id)->name, "zz.clash");
	assert_ptr_equal(kp_kind_by_id(*state, KP_K_SYS_read), read);
	assert_int_equal(kp_kinds_add(*state, &second, "zz.clash", "a:u", "", ""), -EEXIST);
	assert_int_equal(second, id);
	assert_int_equal(kp_kinds_add(*state, &other, "sys.read", "", "", ""), -EEXIST);
	assert_int_equal(other, KP_K_SYS_read);
	assert_null(kp_kind_by_id(*state, 777));
}

/* When no id is left for a kind that clashes, that is an error, not an endless search. */
static void test_full(void **state)
{
	uint16_t id;
	int rc = 0;

	for (uint32_t n = 32768; n < 65536 && !rc; n++) {
		char name[24];

		id = (uint16_t)n;
		snprintf(name, sizeof(name), "zz.n%u", n);
		rc = kp_kinds_add(*state, &id, name, "", "", "");
	}
	assert_int_equal(rc, 0);
	id = KP_K_SYS_read;
	assert_int_equal(kp_kinds_add(*state, &id, "zz.one_more", "", "", ""), -ENOSPC);
	assert_int_equal(named(*state, "zz.n40000")->id, 40000);
	assert_null(named(*state, "zz.one_more"));
}

static void test_match(void **state)
{
	static const struct { const char *patterns; bool read, reclaim; } cases[] = {
		{ "sys.read", true, false }, { "sys.*", true, false }, { "*", true, true }, { "mm.*,sys.re[ab]d", true, true },
		{ "", false, false }, { ",", false, false }, { "sys", false, false }, { "sys.rea", false, false }, { ",,mm.reclaim", false, true },
		{ "sys.readv", false, false }, { "*.re*", true, true }, { "tcp.*,blk.*", false, false }, { "mm.reclaim,", false, true },
		{ "a-pattern-that-is-longer-than-any-name-of-a-kind-could-possibly-be-but-still,sys.read", true, false },
	};
	const struct kp_kind *read = kp_kind_by_id(*state, KP_K_SYS_read), *reclaim = kp_kind_by_id(*state, KP_K_MM_RECLAIM);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (kp_kind_match(read, cases[i].patterns) != cases[i].read || kp_kind_match(reclaim, cases[i].patterns) != cases[i].reclaim)
			fail_msg("\"%s\"", cases[i].patterns);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_builtin), TEST(test_args), TEST(test_add_same), TEST(test_add_new), TEST(test_clash), TEST(test_full), TEST(test_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
