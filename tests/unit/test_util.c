/* SPDX-License-Identifier: BSD-2-Clause */
#include <kp/util.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static uint64_t seed = 88172645463325252ull;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void check_escape(const void *bytes, size_t len, const char *want)
{
	char *s = kp_escape_dup(bytes, len);

	assert_non_null(s);
	assert_string_equal(s, want);
	free(s);
}

#define ESC(in, want) check_escape(in, sizeof(in) - 1, want)

static void escape_table(void **state)
{
	ESC("", "");
	ESC("postgres: writer", "postgres: writer");
	ESC("a\\b", "a\\x5cb");
	ESC("\x1b[31mred\x07", "\\x1b[31mred\\x07");
	ESC("a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f");
	ESC("gr\xc3\xbc\xc3\x9f \xe6\x97\xa5 \xf0\x9f\x90\x98", "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5 \xf0\x9f\x90\x98");
	ESC("\xff\xc3", "\\xff\\xc3");
	ESC("\xc0\xaf", "\\xc0\\xaf");				/* overlong '/' */
	ESC("\xed\xa0\x80", "\\xed\\xa0\\x80");			/* surrogate */
	ESC("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");	/* above U+10FFFF */
	ESC("\xc2\x9b" "31m", "\\xc2\\x9b31m");			/* C1: CSI */
	ESC("\xe2\x80\xae" "gpj", "\\xe2\\x80\\xaegpj");	/* right-to-left override */
	ESC("\xe2\x81\xa6", "\\xe2\\x81\\xa6");			/* isolate */
	ESC("\xe2\x80\x8b", "\\xe2\\x80\\x8b");			/* zero width */
	ESC("\xef\xbb\xbf", "\\xef\\xbb\\xbf");			/* byte order mark */
	ESC("\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81");	/* tag character */
	ESC("nul\0in", "nul\\x00in");
}

/* Half of the bytes are drawn from what makes trouble, so that sequences really form. */
static size_t random_bytes(uint8_t *b, size_t max)
{
	static const uint8_t trouble[] = "\\x5c\xc2\x80\xe2\x80\xae\xf0\x9f\xed\xa0\xef\xbb\xbf\x1b\"\0";
	size_t n = rnd() % max;

	for (size_t i = 0; i < n; i++)
		b[i] = rnd() & 1 ? trouble[rnd() % sizeof(trouble)] : rnd();
	return n;
}

static bool harmless(const char *s)
{
	for (; *s; s++)
		if ((uint8_t)*s < 0x20 || *s == 0x7f || ((uint8_t)*s == 0xc2 && (uint8_t)s[1] < 0xa0))
			return false;
	return true;
}

static void escape_round_trip(void **state)
{
	uint8_t b[64];

	for (int i = 0; i < 20000; i++) {
		size_t n = random_bytes(b, sizeof(b));
		char *s = kp_escape_dup(b, n);
		struct kp_buf buf = { 0 };

		assert_non_null(s);
		assert_true(harmless(s));
		assert_int_equal(kp_buf_escape(&buf, b, n), 0);
		assert_int_equal(buf.len, strlen(s));
		assert_memory_equal(buf.len ? buf.p : (void *)s, s, buf.len);
		assert_int_equal(kp_unescape(s), n);
		assert_memory_equal(s, b, n);
		kp_buf_free(&buf);
		free(s);
	}
}

/* A small buffer never gets half an escape or half a character, and the length needed is told. */
static void escape_cut(void **state)
{
	const char in[] = "a\xc3\xbc\x01z";
	char out[16];

	assert_int_equal(kp_escape(NULL, 0, in, 5), 8);
	for (size_t cap = 1; cap <= 9; cap++) {
		static const char *const want[] = { "", "a", "a", "a\xc3\xbc", "a\xc3\xbc", "a\xc3\xbc", "a\xc3\xbc",
						    "a\xc3\xbc\\x01", "a\xc3\xbc\\x01z" };
		memset(out, '#', sizeof(out));
		assert_int_equal(kp_escape(out, cap, in, 5), 8);
		assert_string_equal(out, want[cap - 1]);
		assert_int_equal(out[cap], '#');
	}
}

static void json_text(void **state)
{
	struct kp_buf b = { 0 };

	kp_buf_json(&b, "say \"\\\x1b\" \xff", 10);
	kp_buf_char(&b, 0);
	assert_int_equal(b.err, 0);
	assert_string_equal((char *)b.p, "say \\\"\\\\x5c\\\\x1b\\\" \\\\xff");
	kp_buf_free(&b);
}

static void durations(void **state)
{
	static const struct { uint64_t ns; const char *want; } t[] = {
		{ 0, "0 ns" }, { 812, "812 ns" }, { 999, "999 ns" }, { 1000, "1.0 us" }, { 1949, "1.9 us" },
		{ 999949, "999.9 us" }, { 999950, "1.0 ms" }, { 798100000, "798.1 ms" }, { 999960000, "1.00 s" },
		{ 2500000000, "2.50 s" }, { 61000000000, "61.00 s" }, { 3600000000000, "3600 s" },
		{ UINT64_MAX, "18446744073 s" },
	};
	char buf[32];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(kp_fmt_dur(buf, t[i].ns), t[i].want);
	assert_string_equal(kp_fmt_bytes(buf, 1023), "1023 B");
	assert_string_equal(kp_fmt_bytes(buf, 1536), "1.5 KiB");
	assert_string_equal(kp_fmt_bytes(buf, UINT64_MAX), "16.0 EiB");
}

static void wall_times(void **state)
{
	char buf[48];

	assert_string_equal(kp_fmt_wall(buf, 0, 0), "1970-01-01T00:00:00.000000000+00:00");
	assert_string_equal(kp_fmt_wall(buf, 1764035130123456789ull, 3600), "2025-11-25T02:45:30.123456789+01:00");
	assert_string_equal(kp_fmt_wall(buf, 1709251199000000001ull, -12600), "2024-02-29T20:29:59.000000001-03:30");
	assert_string_equal(kp_fmt_wall(buf, 10, -3600), "1969-12-31T23:00:00.000000010-01:00");
	/* the date by the C library, on many days */
	for (int i = 0; i < 5000; i++) {
		time_t s = rnd() % 15000000000ull;
		struct tm tm;
		char want[32];

		gmtime_r(&s, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm);
		kp_fmt_wall(buf, s * 1000000000ull, 0);
		assert_memory_equal(buf, want, 19);
	}
}

static void objects(void **state)
{
	struct kp_str *name = calloc(1, sizeof(*name) + 8);
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = IPPROTO_TCP, .lport = 80, .rport = 4411,
			    .laddr = { 127, 0, 0, 1 }, .raddr = { 10, 1, 2, 3 }, .id = 7, .dev = 8u << 20 | 1 };
	char buf[256];

	assert_string_equal(kp_fmt_obj(buf, sizeof(buf), &o), "tcp 127.0.0.1:80>10.1.2.3:4411");
	o.rport = 0;
	memset(o.raddr, 0, 16);
	assert_string_equal(kp_fmt_obj(buf, sizeof(buf), &o), "tcp 127.0.0.1:80");
	o.family = AF_INET6;
	o.proto = IPPROTO_UDP;
	memset(o.laddr, 0, 16);
	o.laddr[15] = 1;
	assert_string_equal(kp_fmt_obj(buf, sizeof(buf), &o), "udp [::1]:80");
	o.family = AF_UNIX;
	assert_string_equal(kp_fmt_obj(buf, sizeof(buf), &o), "unix #7");
	o.type = KP_OBJ_FILE;
	assert_string_equal(kp_fmt_obj(buf, sizeof(buf), &o), "file 8:1/7");
	memcpy(name->p, "/a\x1b", name->len = 3);
	o.name = name;
	assert_string_equal(kp_fmt_obj(buf, sizeof(buf), &o), "/a\\x1b");
	assert_string_equal(kp_fmt_obj(buf, 4, &o), "/a");
	assert_string_equal(kp_fmt_obj(buf, sizeof(buf), NULL), "");
	free(name);
}

static void errors(void **state)
{
	struct kp_err e;
	char longer[700];

	assert_int_equal(kp_err(&e, EINVAL, "block %d", 3), -EINVAL);
	assert_int_equal(kp_err(&e, -EIO, "%s: again", e.msg), -EIO);
	assert_string_equal(e.msg, "block 3: again");
	assert_int_equal(kp_err_prefix(&e, -EIO, "%s", "a.kp"), -EIO);
	assert_string_equal(e.msg, "a.kp: block 3: again");
	assert_int_equal(kp_err_prefix(&e, 1, "x"), 1);
	assert_string_equal(e.msg, "a.kp: block 3: again");
	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	kp_err_prefix(&e, -EIO, "%s", longer);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	assert_int_equal(kp_err(NULL, EINVAL, "nobody asks"), -EINVAL);
}

static void buffers(void **state)
{
	struct kp_buf b = { 0 };

	kp_buf_u64(&b, 0);
	kp_buf_char(&b, ' ');
	kp_buf_u64(&b, UINT64_MAX);
	kp_buf_char(&b, ' ');
	kp_buf_i64(&b, INT64_MIN);
	kp_buf_char(&b, ' ');
	kp_buf_hex(&b, 0xdeadbeef);
	kp_buf_printf(&b, " %s", "end");
	kp_buf_char(&b, 0);
	assert_string_equal((char *)b.p, "0 18446744073709551615 -9223372036854775808 0xdeadbeef end");
	assert_int_equal(kp_buf_reserve(&b, SIZE_MAX / 2), -ENOMEM);
	assert_int_equal(kp_buf_add(&b, "x", 1), -ENOMEM);	/* sticks */
	kp_buf_free(&b);
	assert_int_equal(b.err, 0);
}

static void check_unit(uint8_t unit, uint64_t v, const char *want)
{
	struct kp_buf b = { 0 };

	kp_unit_put(&b, unit, v);
	kp_buf_char(&b, 0);
	assert_string_equal((char *)b.p, want);
	kp_buf_free(&b);
}

static void units(void **state)
{
	int64_t v;

	check_unit(KP_U_ERR, (uint64_t)-ENOENT, "-ENOENT");
	check_unit(KP_U_ERR, 17, "17");
	check_unit(KP_U_ERR, (uint64_t)-512, "-ERESTARTSYS");
	check_unit(KP_U_ERR, (uint64_t)-4000, "-4000");
	check_unit(KP_U_FD, (uint32_t)AT_FDCWD, "AT_FDCWD");
	check_unit(KP_U_FD, (uint32_t)-1, "-1");
	check_unit(KP_U_TID, (uint32_t)-1, "-1");	/* of wait4: any child, and no error */
	check_unit(KP_U_OPEN, O_RDWR | O_CREAT | O_CLOEXEC, "O_RDWR|O_CREAT|O_CLOEXEC");
	check_unit(KP_U_OPEN, O_TMPFILE | O_SYNC, "O_RDONLY|O_TMPFILE|O_SYNC");
	check_unit(KP_U_STATE, 0, "R");
	check_unit(KP_U_STATE, 0x2002, "D");
	check_unit(KP_U_STATE, 0x402, "I");
	check_unit(KP_U_SIG, 15, "SIGTERM");
	check_unit(KP_U_TCP, 1, "ESTABLISHED");
	check_unit(KP_U_CTX, 1, "softirq");
	check_unit(KP_U_MODE, 0644, "0644");
	check_unit(KP_U_FUTEX, 128, "FUTEX_WAIT|PRIVATE");
	check_unit(KP_U_TCP, 99, "99");
	check_unit(KP_U_OFF, (uint64_t)-10, "-10");
	check_unit(KP_U_OFF, 3000000000, "3000000000");
	check_unit(KP_U_ID, (uint64_t)-1, "-1");
	check_unit(KP_U_ID, 4294967294, "4294967294");
	assert_int_equal(kp_unit_const(KP_U_ERR, "-ENOENT", 7, &v), 0);
	assert_int_equal(v, -ENOENT);
	assert_int_equal(kp_unit_const(KP_U_SIG, "SIGKILL", 7, &v), 0);
	assert_int_equal(v, 9);
	assert_int_equal(kp_unit_const(KP_U_TCP, "ESTABLISH", 9, &v), -ENOENT);
	/* every name that is printed is understood */
	for (int e = 1; e < 134; e++) {
		const char *s = strerrorname_np(e);

		if (!s)
			continue;
		assert_int_equal(kp_unit_const(KP_U_ERR, s, strlen(s), &v), 0);
		assert_int_equal(v, -e);
	}
}

static void nearest(void **state)
{
	static const char *const names[] = { "kind", "comm", "count", "dur", "stack", "stack2" };

	assert_string_equal(kp_nearest("cmm", 3, names, 6), "comm");
	assert_string_equal(kp_nearest("cuont", 5, names, 6), "count");	/* a swap is one mistake */
	assert_string_equal(kp_nearest("stak", 4, names, 6), "stack");
	assert_null(kp_nearest("zzzzzz", 6, names, 6));
	assert_null(kp_nearest("", 0, names, 6));
}

static int set_opt(void *arg, int key, const char *val, struct kp_err *err)
{
	if (key == 'n' && atoi(val) < 1)
		return kp_err(err, EINVAL, "-n: '%s' is no count", val);
	*(int *)arg = key == 'n' ? atoi(val) : -1;
	return 0;
}

static int opts(char **argv, struct kp_common *c, int *n, int *status)
{
	static const struct kp_opt own[] = { { -1, NULL, NULL, "Which" }, { 'n', "count", "COUNT", "so many" }, { 0 } };
	const struct kp_tool t = { "kp-test", "", "", own, NULL };
	int argc = 0, null = open("/dev/null", O_WRONLY), rc, out = dup(1), err = dup(2);

	while (argv[argc])
		argc++;
	fflush(stdout);
	dup2(null, 1);
	dup2(null, 2);
	rc = kp_opts(&t, argc, argv, false, c, set_opt, n, status);
	fflush(stdout);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	close(null);
	return rc;
}

static void options(void **state)
{
	struct kp_common c;
	int n = 0, st;

	assert_int_equal(opts((char *[]){ "kp-test", "a", "-vv", "--count=3", "-o", "x", "b", NULL }, &c, &n, &st), 5);
	assert_int_equal(n, 3);
	assert_int_equal(c.verbose, 2);
	assert_string_equal(c.out, "x");
	assert_int_equal(opts((char *[]){ "kp-test", "--help", NULL }, &c, &n, &st), -1);
	assert_int_equal(st, 0);
	assert_int_equal(opts((char *[]){ "kp-test", "--cuont=3", NULL }, &c, &n, &st), -1);
	assert_int_equal(st, 2);
	assert_int_equal(opts((char *[]){ "kp-test", "-n", NULL }, &c, &n, &st), -1);
	assert_int_equal(st, 2);
	assert_int_equal(opts((char *[]){ "kp-test", "-n", "zero", NULL }, &c, &n, &st), -1);
	assert_int_equal(st, 2);
	assert_int_equal(opts((char *[]){ "kp-test", "--completion", "tcsh", NULL }, &c, &n, &st), -1);
	assert_int_equal(st, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escape_table), cmocka_unit_test(escape_round_trip), cmocka_unit_test(escape_cut),
		cmocka_unit_test(json_text), cmocka_unit_test(durations), cmocka_unit_test(wall_times),
		cmocka_unit_test(objects), cmocka_unit_test(errors), cmocka_unit_test(buffers),
		cmocka_unit_test(units), cmocka_unit_test(nearest), cmocka_unit_test(options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
