/* SPDX-License-Identifier: BSD-2-Clause */
/* Protocols: what is recognised, what is not, and that --ids keeps the ids and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <kp/proto.h>

#define TP "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define MSG(s) (s), sizeof(s) - 1

static void span_is(struct kp_span s, const char *want)
{
	if (!want) {
		assert_null(s.p);
		return;
	}
	assert_non_null(s.p);
	assert_int_equal(s.len, strlen(want));
	assert_memory_equal(s.p, want, s.len);
}

static void same_span(struct kp_span a, struct kp_span b)
{
	assert_int_equal(!a.p, !b.p);
	assert_int_equal(a.len, b.len);
	if (a.len)
		assert_memory_equal(a.p, b.p, a.len);
}

/* parse(keep(x)) == parse(x), for x and each prefix of x; no secret survives. */
static void kept(const char *bytes, size_t len)
{
	for (size_t n = 0; n <= len; n++) {
		/* exact size on the heap, so that the sanitizer sees a read behind it */
		uint8_t *in = malloc(n + 1), out[1024];
		struct kp_msg a, b;
		size_t k;

		assert_non_null(in);
		memcpy(in, bytes, n);
		in = realloc(in, n ? n : 1);
		k = kp_proto_keep(in, n, out, sizeof(out));
		assert_true(k <= sizeof(out));
		if (!kp_proto_parse(in, n, &a)) {
			assert_int_equal(k, 0);
			free(in);
			continue;
		}
		assert_true(k > 0);
		assert_null(memmem(out, k, "SECRET", 6));
		assert_null(memmem(out, k, "secret", 6));
		assert_int_equal(kp_proto_parse(out, k, &b), 1);
		assert_string_equal(a.proto, b.proto);
		assert_int_equal(a.type, b.type);
		assert_int_equal(a.status, b.status);
		assert_int_equal(a.failed, b.failed);
		assert_int_equal(a.tx, b.tx);
		same_span(a.verb, b.verb);
		same_span(a.target, b.target);
		same_span(a.request, b.request);
		same_span(a.traceparent, b.traceparent);
		same_span(a.stmt, b.stmt);
		same_span(a.code, b.code);
		free(in);
	}
}

static void http_request(void **state)
{
	struct kp_msg m;

	assert_int_equal(kp_proto_parse(MSG("POST /checkout?card=SECRET HTTP/1.1\r\nHost: secret\r\n"
		"x-ReQuest-ID:  req-9f21 \r\nTraceparent: " TP "\r\nCookie: secret\r\n\r\nbody SECRET"), &m), 1);
	assert_string_equal(m.proto, "http");
	assert_int_equal(m.type, KP_MSG_REQUEST);
	span_is(m.verb, "POST");
	span_is(m.target, "/checkout");
	span_is(m.request, "req-9f21");
	span_is(m.traceparent, TP);
	assert_false(m.more);
	/* the id is not believed before its line has ended */
	assert_int_equal(kp_proto_parse(MSG("GET / HTTP/1.1\r\nX-Request-ID: req-9"), &m), 1);
	span_is(m.request, NULL);
	assert_true(m.more);
	assert_int_equal(kp_proto_parse(MSG("GET http://u:secret@h/a/b#x HTTP/1.0\n\n"), &m), 1);
	span_is(m.target, "/a/b");
	assert_int_equal(kp_proto_parse(MSG("GET http://h?x=/secret HTTP/1.0\n\n"), &m), 1);
	span_is(m.target, "/");
	/* a bad traceparent, a header's name in a body */
	assert_int_equal(kp_proto_parse(MSG("GET / HTTP/1.1\r\ntraceparent: 00-xyz\r\n\r\nX-Request-ID: no\r\n"), &m), 1);
	span_is(m.traceparent, NULL);
	span_is(m.request, NULL);
}

static void http_response(void **state)
{
	struct kp_msg m;

	assert_int_equal(kp_proto_parse(MSG("HTTP/1.1 504 Gateway Timeout\r\nX-Request-Id: a\r\n\r\n"), &m), 1);
	assert_int_equal(m.type, KP_MSG_RESPONSE);
	assert_int_equal(m.status, 504);
	assert_true(m.failed);
	span_is(m.request, "a");
	assert_int_equal(kp_proto_parse(MSG("HTTP/1.1 200\r\n\r\n"), &m), 1);
	assert_false(m.failed);
}

static void not_http(void **state)
{
	struct kp_msg m;

	assert_int_equal(kp_proto_parse(MSG("GETTING / HTTP/1.1\r\n"), &m), 0);
	assert_int_equal(kp_proto_parse(MSG("GET lost\r\n"), &m), 0);
	assert_int_equal(kp_proto_parse(MSG("GET / HTTP/2.0\r\n"), &m), 0);
	assert_int_equal(kp_proto_parse(MSG("HTTP/1.1 2000 x\r\n"), &m), 0);
	assert_int_equal(kp_proto_parse(MSG("HTTP/1.1 999 x\r\n"), &m), 0);
	assert_int_equal(kp_proto_parse("", 0, &m), 0);
	assert_int_equal(kp_proto_parse(NULL, 0, &m), 0);
}

/* A simple query around the text. */
static int query(const char *sql, struct kp_msg *m, char buf[1024])
{
	size_t n = strlen(sql) + 5;

	memset(buf, 0, 1024);
	buf[0] = 'Q';
	buf[3] = n >> 8;
	buf[4] = n & 0xff;
	strcpy(buf + 5, sql);
	kept(buf, n + 1);
	return kp_proto_parse(buf, n + 1, m);
}

static void sql(void **state)
{
	static const struct { const char *sql, *verb, *table; } t[] = {
		{ "SELECT * FROM items WHERE name = 'SECRET'", "SELECT", "items" },
		{ "select price, extract(epoch from ts) from public.items where id=$1", "select", "public.items" },
		{ "SELECT 'it''s FROM secret' AS x FROM \"My Items\"", "SELECT", "\"My Items\"" },
		{ "SELECT E'\\' FROM secret' FROM a", "SELECT", "a" },
		{ "SELECT $q$ FROM secret $q$ FROM b", "SELECT", "b" },
		{ "SELECT -- FROM secret\n 1 FROM c", "SELECT", "c" },
		{ "SELECT /* FROM /* secret */ x */ 1 FROM d", "SELECT", "d" },
		{ "SELECT * FROM (SELECT 1 FROM inner_t) x", "SELECT", "inner_t" },
		{ "SELECT 4111111111111111", "SELECT", NULL },
		{ "INSERT INTO orders (id, note) VALUES (1, 'secret')", "INSERT", "orders" },
		{ "INSERT INTO orders SELECT * FROM items", "INSERT", "orders" },
		{ "UPDATE ONLY items SET stock = 'secret'", "UPDATE", "items" },
		{ "DELETE FROM items WHERE x = 'secret'", "DELETE", "items" },
		{ "WITH x AS (SELECT 1 FROM y) INSERT INTO z SELECT 'secret'", "INSERT", "z" },
		{ "COMMIT", "COMMIT", NULL },
		{ "BEGIN; SELECT * FROM t", "BEGIN", NULL },
		{ "  SET password = 'secret'", "SET", NULL },
		{ "SELECT 1; SELECT * FROM t", "SELECT", NULL },
	};
	struct kp_msg m;
	char buf[1024];

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		assert_int_equal(query(t[i].sql, &m, buf), 1);
		assert_int_equal(m.type, KP_MSG_REQUEST);
		span_is(m.verb, t[i].verb);
		span_is(m.target, t[i].table);
		span_is(m.sql, t[i].sql);
	}
	assert_int_equal(query("SELECT 1 FROM t /*action='secret',traceparent='" TP "',x='secret'*/", &m, buf), 1);
	span_is(m.traceparent, TP);
	span_is(m.target, "t");
	/* in a literal it is not ours */
	assert_int_equal(query("SELECT '/*traceparent=''" TP "''*/'", &m, buf), 1);
	span_is(m.traceparent, NULL);
	assert_int_equal(query("hello world", &m, buf), 0);
	/* the table's name touches the end of what was seen: not believed */
	query("SELECT * FROM items_hidden WHERE x", &m, buf);
	assert_int_equal(kp_proto_parse(buf, 5 + 24, &m), 1);
	span_is(m.target, NULL);
	assert_true(m.more);
}

static void postgres_frontend(void **state)
{
	static const char batch[] = "P\0\0\0\x2f" "st1\0SELECT * FROM items WHERE x='SECRET'\0\0\0"
		"B\0\0\0\x1f\0st1\0\0\0\0\1\0\0\0\014SECRET value\0\0" "D\0\0\0\6P\0" "E\0\0\0\x9\0\0\0\0\0" "S\0\0\0\4";
	struct kp_msg m;

	assert_int_equal(kp_proto_parse(MSG(batch), &m), 1);
	assert_int_equal(m.type, KP_MSG_REQUEST);
	span_is(m.verb, "SELECT");
	span_is(m.target, "items");
	span_is(m.stmt, "st1");
	kept(MSG(batch));
	/* bound by name only */
	assert_int_equal(kp_proto_parse(batch + 48, sizeof(batch) - 1 - 48, &m), 1);
	span_is(m.verb, NULL);
	span_is(m.stmt, "st1");
	kept(batch + 48, sizeof(batch) - 1 - 48);
	assert_int_equal(kp_proto_parse(MSG("X\0\0\0\4"), &m), 1);
	assert_int_equal(m.type, KP_MSG_NONE);
	kept(MSG("X\0\0\0\4"));
	assert_int_equal(kp_proto_parse(MSG("\0\0\0\x25\0\3\0\0user\0secret\0database\0SECRET\0\0"), &m), 1);
	span_is(m.verb, "STARTUP");
	kept(MSG("\0\0\0\x25\0\3\0\0user\0secret\0database\0SECRET\0\0"));
}

static void postgres_backend(void **state)
{
	static const char rows[] = "T\0\0\0\x1a\0\1x\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"
		"D\0\0\0\x10\0\1\0\0\0\6SECRET" "C\0\0\0\x0dSELECT 1\0" "Z\0\0\0\5T";
	static const char error[] = "E\0\0\0\x37" "SERROR\0VERROR\0C57014\0Mcanceling statement: secret\0\0" "Z\0\0\0\5E";
	static const char insert[] = "2\0\0\0\4" "n\0\0\0\4" "C\0\0\0\x0fINSERT 0 1\0" "Z\0\0\0\5I";
	struct kp_msg m;

	assert_int_equal(kp_proto_parse(MSG(rows), &m), 1);
	assert_int_equal(m.type, KP_MSG_RESPONSE);
	span_is(m.verb, "SELECT");
	assert_int_equal(m.tx, 'T');
	assert_int_equal(m.status, 0);
	kept(MSG(rows));
	assert_int_equal(kp_proto_parse(MSG(error), &m), 1);
	assert_true(m.failed);
	span_is(m.code, "57014");
	assert_int_equal(m.tx, 'E');
	kept(MSG(error));
	assert_int_equal(kp_proto_parse(MSG(insert), &m), 1);
	span_is(m.verb, "INSERT");
	kept(MSG(insert));
	/* lengths that do not fit, states that do not exist, trailing bytes that are no message */
	assert_int_equal(kp_proto_parse(MSG("Z\0\0\0\5X"), &m), 0);
	assert_int_equal(kp_proto_parse(MSG("Z\0\0\0\6II"), &m), 0);
	assert_int_equal(kp_proto_parse(MSG("C\0\0\0\x0dSECRET 1\0"), &m), 0);
	assert_int_equal(kp_proto_parse(MSG("Z\0\0\0\5Ihello world"), &m), 0);
}

static void http_kept(void **state)
{
	char big[1500];
	uint8_t out[256];
	struct kp_msg m;
	size_t n;

	kept(MSG("POST /checkout?card=SECRET HTTP/1.1\r\nHost: secret\r\nX-Request-ID: req-9f21\r\ntraceparent: " TP
		 "\r\nAuthorization: Bearer SECRET\r\n\r\n{\"SECRET\":1}"));
	kept(MSG("GET /a;jsessionid=SECRET HTTP/1.1\r\n\r\n"));
	assert_int_equal(kp_proto_keep(MSG("CONNECT user:secret@h:443 HTTP/1.1\r\n\r\n"), out, sizeof(out)), 0);
	kept(MSG("HTTP/1.1 200 OK\r\nSet-Cookie: SECRET\r\nX-Request-ID: q\r\n\r\nSECRET"));
	/* a path that does not fit costs the path, not the id */
	n = snprintf(big, sizeof(big), "GET /%0*d HTTP/1.1\r\nX-Request-ID: long\r\n\r\n", 1000, 7);
	n = kp_proto_keep(big, n, out, sizeof(out));
	assert_in_range(n, 1, sizeof(out));
	assert_int_equal(kp_proto_parse(out, n, &m), 1);
	span_is(m.target, "/*");
	span_is(m.request, "long");
	assert_int_equal(kp_proto_keep(MSG("GET / HTTP/1.1\r\n\r\n"), out, 4), 0);
}

static void random_bytes(void **state)
{
	uint8_t b[64];
	struct kp_msg m;
	unsigned hits = 0;

	srand(1);
	for (int i = 0; i < 1000000; i++) {
		for (size_t j = 0; j < sizeof(b); j++)
			b[j] = rand() >> 8;
		hits += kp_proto_parse(b, 1 + i % sizeof(b), &m);
	}
	assert_int_equal(hits, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_request), cmocka_unit_test(http_response), cmocka_unit_test(not_http),
		cmocka_unit_test(sql), cmocka_unit_test(postgres_frontend), cmocka_unit_test(postgres_backend),
		cmocka_unit_test(http_kept), cmocka_unit_test(random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
