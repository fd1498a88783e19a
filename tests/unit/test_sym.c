/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel symbols: from made-up tables, and from this kernel's where it shows its addresses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <kp/sym.h>

static struct kp_sym *parse(const char *text)
{
	struct kp_sym *s;
	struct kp_err err;

	assert_int_equal(kp_sym_parse(&s, text, strlen(text), &err), 0);
	return s;
}

static const char *text(const struct kp_sym *s, uint64_t addr)
{
	static char buf[128];
	size_t n = kp_sym_text(s, addr, buf, sizeof(buf));

	assert_int_equal(n, strlen(buf));
	return buf;
}

static void kernel_and_modules(void **state)
{
	struct kp_sym *s = parse(
		"ffffffff81000000 T _stext\n"
		"ffffffff81000000 T _text\n"
		"ffffffff81000100 t do_one\n"
		"ffffffff81000180 T schedule\n"
		"ffffffff81000200 W weak_one\n"
		"ffffffff81000300 T _etext\n"
		"ffffffff82000000 D jiffies\n"
		"ffffffffc0001000 t ext4_sync_file\t[ext4]\n"
		"ffffffffc0001100 T ext4_map_blocks\t[ext4]\n"
		"ffffffffc0000000 t jbd2_log_wait_commit\t[jbd2]\n"
		"ffffffffc0400000 t bpf_prog_6deef7357e7b4530_on_switch\t[bpf]\n");

	assert_int_equal(kp_sym_count(s), 9);
	assert_string_equal(text(s, 0xffffffff81000000), "_stext+0x0");
	assert_string_equal(text(s, 0xffffffff8100017f), "do_one+0x7f");
	assert_string_equal(text(s, 0xffffffff81000192), "schedule+0x12");
	assert_string_equal(text(s, 0xffffffff81000210), "weak_one+0x10");
	assert_string_equal(text(s, 0xffffffffc0001010), "ext4_sync_file+0x10 [ext4]");
	assert_string_equal(text(s, 0xffffffffc0001104), "ext4_map_blocks+0x4 [ext4]");
	assert_string_equal(text(s, 0xffffffffc0000ffe), "jbd2_log_wait_commit+0xffe [jbd2]");
	assert_string_equal(text(s, 0xffffffffc0400001), "bpf_prog_6deef7357e7b4530_on_switch+0x1 [bpf]");
	/* before the first, behind the code, data, far behind the last */
	assert_string_equal(text(s, 0xffffffff80ffffff), "0xffffffff80ffffff");
	assert_string_equal(text(s, 0xffffffff81000301), "0xffffffff81000301");
	assert_string_equal(text(s, 0xffffffff82000000), "0xffffffff82000000");
	assert_string_equal(text(s, 0xffffffffff000000), "0xffffffffff000000");
	assert_string_equal(text(s, 0), "0x0");
	kp_sym_free(s);
}

/* kptr_restrict: all addresses are 0. */
static void hidden(void **state)
{
	struct kp_sym *s = parse("0000000000000000 T _stext\n0000000000000000 T schedule\n"), *none;

	assert_int_equal(kp_sym_count(s), 0);
	assert_string_equal(text(s, 0xffffffff81000192), "0xffffffff81000192");
	assert_string_equal(text(NULL, 0xffffffff81000192), "0xffffffff81000192");
	kp_sym_free(s);
	none = parse("");
	assert_int_equal(kp_sym_count(none), 0);
	kp_sym_free(none);
}

static void odd_lines(void **state)
{
	struct kp_sym *s = parse(
		"\n\nrubbish\n"
		"zzzz T name\n"
		"ffffffff81000000\n"
		"ffffffff81000000 T\n"
		"ffffffff81000000 T \n"
		"ffffffff81000000Tname\n"
		"ffffffff8100000000 T too_long_a_number\n"
		"ffffffff81000400 T good\t[\n"
		"ffffffff81000500 T last [mod]");

	assert_int_equal(kp_sym_count(s), 2);
	assert_string_equal(text(s, 0xffffffff81000401), "good+0x1");
	assert_string_equal(text(s, 0xffffffff81000501), "last+0x1 [mod]");
	kp_sym_free(s);
}

/* A name is cut where it does not fit, and never runs over. */
static void cut(void **state)
{
	struct kp_sym *s = parse("ffffffff81000000 T a_function\n");
	char buf[8];

	memset(buf, 'x', sizeof(buf));
	assert_int_equal(kp_sym_text(s, 0xffffffff81000001, buf, 7), 6);
	assert_string_equal(buf, "a_func");
	assert_int_equal(buf[7], 'x');
	kp_sym_free(s);
}

/* Reading in pieces gives what reading at once does, whatever the lengths of the lines. */
static void from_a_file(void **state)
{
	char path[] = "/tmp/kp-sym-XXXXXX";
	int fd = mkstemp(path);
	FILE *f;
	struct kp_sym *s;
	struct kp_err err;
	char want[128];

	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	for (int i = 0; i < 20000; i++)
		fprintf(f, "%016llx t fn_%d%.*s%s\n", 0xffffffff81000000ull + i * 64ull, i, i % 50,
			"__________________________________________________", i % 3 ? "" : "\t[mod]");
	assert_int_equal(fclose(f), 0);
	assert_int_equal(kp_sym_open(&s, path, &err), 0);
	unlink(path);
	assert_int_equal(kp_sym_count(s), 20000);
	for (int i = 0; i < 20000; i++) {
		snprintf(want, sizeof(want), "fn_%d%.*s+0x3f%s", i, i % 50,
			 "__________________________________________________", i % 3 ? "" : " [mod]");
		assert_string_equal(text(s, 0xffffffff81000000ull + i * 64ull + 63), want);
	}
	kp_sym_free(s);
}

static void no_file(void **state)
{
	struct kp_sym *s;
	struct kp_err err;

	assert_int_equal(kp_sym_open(&s, "/nonexistent/kallsyms", &err), -ENOENT);
	assert_null(s);
	assert_non_null(strstr(err.msg, "/nonexistent/kallsyms"));
}

/* Every function that the kernel lists first at its address is found under its name. */
static void this_kernel(void **state)
{
	struct kp_sym *s;
	struct kp_err err;
	char line[512], name[256], type;
	unsigned long long addr, last = 0;
	unsigned tried = 0, seen = 0;
	FILE *f = fopen("/proc/kallsyms", "r");

	if (!f || kp_sym_open(&s, NULL, &err) || !kp_sym_count(s))
		skip();
	while (tried < 2000 && fgets(line, sizeof(line), f)) {
		struct kp_sym_hit h;

		if (sscanf(line, "%llx %c %255s", &addr, &type, name) != 3 || (type != 't' && type != 'T') || strchr(line, '['))
			continue;
		if (addr <= last || seen++ % 16) {
			last = addr > last ? addr : last;
			continue;
		}
		last = addr;
		if (!strcmp(name, "_etext") || !strcmp(name, "_einittext"))
			continue;
		tried++;
		assert_int_equal(kp_sym_find(s, addr, &h), 1);
		assert_string_equal(h.name, name);
		assert_string_equal(h.module, "");
		assert_int_equal(h.offset, 0);
	}
	assert_true(tried > 100);
	fclose(f);
	kp_sym_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_and_modules), cmocka_unit_test(hidden), cmocka_unit_test(odd_lines),
		cmocka_unit_test(cut), cmocka_unit_test(from_a_file), cmocka_unit_test(no_file), cmocka_unit_test(this_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
