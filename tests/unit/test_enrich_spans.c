/* SPDX-License-Identifier: BSD-2-Clause */
/* Spans and the map of services: which rows are theirs, and which lines are none. */
#include <unistd.h>

#include "enrich_rows.h"

#define READ KP_K_SYS_pread64
#define TRACE2 "4bf92f3577b34da6a3ce929d0e0e4736"

enum { WALL = 1000000 };	/* ms that the world's wall clock is ahead of its monotonic one */

struct span { const char *trace, *id, *parent, *name; int kind; double from, to; const char *more; };

/* A line of OTLP: spans of one process. resource: further attributes of it. */
static void add(char **text, int pid, const char *service, const char *resource, const struct span *s, int n)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&line, &len);

	fprintf(f, "%s{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"process.pid\",\"value\":{\"intValue\":\"%d\"}},"
		"{\"key\":\"service.name\",\"value\":{\"stringValue\":\"%s\"}}%s]},\"scopeSpans\":[{\"spans\":[",
		*text ? *text : "", pid, service, resource);
	for (int i = 0; i < n; i++)
		fprintf(f, "%s{\"traceId\":\"%s\",\"spanId\":\"%s\",\"parentSpanId\":\"%s\",\"name\":\"%s\",\"kind\":%d,"
			"\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"%s}", i ? "," : "", s[i].trace, s[i].id,
			s[i].parent, s[i].name, s[i].kind, (unsigned long long)((WALL + s[i].from) * MS),
			(unsigned long long)((WALL + s[i].to) * MS), s[i].more ? s[i].more : "");
	fprintf(f, "]}]}]}\n");
	fclose(f);
	free(*text);
	*text = line;
}

static void spans(struct world *w, char **text)
{
	assert_int_equal(kp_enrich_spans_text(w->e, *text, strlen(*text), NULL), 0);
	free(*text);
	*text = NULL;
}

/* The innermost span of the process at that time, whatever its thread; none before and after. */
static void by_time(void **state)
{
	static const struct span s[] = {
		{ TRACE1, "00000000000000a1", "", "checkout", 2, 100, 200,
		  ",\"attributes\":[{\"key\":\"http.request.header.x-request-id\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"r1\"}]}}}]" },
		{ TRACE1, "00000000000000a2", "00000000000000a1", "query", 1, 120, 150, NULL },
	};
	struct world *w = world_new();
	const struct kp_task *t = task(w, 10, 11, "java"), *other = task(w, 12, 12, "java");
	unsigned before, outer, inner, after, stranger;
	struct kp_enrich_stats st;
	char *text = NULL;

	add(&text, 10, "shop", "", s, 2);
	spans(w, &text);
	before = row(w, READ, t, 90, 99);
	outer = row(w, READ, t, 101, 119);
	stranger = row(w, READ, other, 101, 119.5);
	inner = row(w, READ, t, 121, 300);
	after = row(w, READ, t, 301, 302);
	done(w);
	assert_string_equal(got(w, before, KP_CTX_SPAN), "");
	assert_string_equal(got(w, before, KP_CTX_SERVICE), "shop");
	assert_string_equal(got(w, outer, KP_CTX_SPAN), "00000000000000a1");
	assert_string_equal(got(w, outer, KP_CTX_TRACE), TRACE1);
	assert_string_equal(op(w, outer), "checkout");
	assert_string_equal(req(w, outer), "r1");
	assert_string_equal(got(w, inner, KP_CTX_SPAN), "00000000000000a2");
	assert_string_equal(req(w, inner), "r1");
	assert_string_equal(got(w, after, KP_CTX_TRACE), "");
	assert_string_equal(got(w, stranger, KP_CTX_TRACE), "");
	assert_string_equal(got(w, stranger, KP_CTX_SERVICE), "");
	kp_enrich_stats(w->e, &st);
	assert_int_equal(st.spans, 2);
	assert_int_equal(st.spans_matched, 2);
	world_free(w);
}

/* Two traces at once in a process: a row that no message tells apart is nobody's. */
static void two_at_once(void **state)
{
	static const struct span s[] = {
		{ TRACE1, "00000000000000a1", "", "one", 2, 100, 200, NULL },
		{ TRACE2, "00000000000000b1", "", "two", 2, 150, 250, NULL },
	};
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 11, "java"), *b = task(w, 10, 12, "java");
	unsigned alone, both, last, told;
	char *text = NULL;

	add(&text, 10, "shop", "", s, 2);
	spans(w, &text);
	alone = row(w, READ, a, 110, 111);
	both = row(w, READ, a, 160, 161);
	rx(w, b, 170, 8080, 40001, "GET /two HTTP/1.1\r\ntraceparent: " TP(TRACE2, SPAN1) "\r\n\r\n");
	told = row(w, READ, b, 180, 181);
	last = row(w, READ, a, 210, 211);
	done(w);
	assert_string_equal(got(w, alone, KP_CTX_SPAN), "00000000000000a1");
	assert_string_equal(got(w, both, KP_CTX_TRACE), "");
	assert_string_equal(got(w, both, KP_CTX_SPAN), "");
	assert_string_equal(got(w, told, KP_CTX_SPAN), "00000000000000b1");
	assert_string_equal(got(w, told, KP_CTX_TRACE), TRACE2);
	assert_string_equal(op(w, told), "GET /two");
	assert_string_equal(got(w, last, KP_CTX_TRACE), "");	/* thread b is known to be the one that is at it */
	world_free(w);
}

/* Each container has a process 1: its own number is what OpenTelemetry knows, the container's id tells them apart. */
static void in_containers(void **state)
{
	static const struct span s1 = { TRACE1, "00000000000000a1", "", "one", 2, 100, 200, NULL };
	static const struct span s2 = { TRACE2, "00000000000000b1", "", "two", 2, 100, 200, NULL };
	struct world *w = world_new();
	struct kp_task t = { .tid = 501, .tgid = 501, .ns_tid = 1, .ns_tgid = 1, .start = 5 };
	const struct kp_task *a, *b, *host;
	unsigned ra, rb, rh;
	char *text = NULL;

	t.cgroup[KP_CG_UNIFIED] = kp_pool_cstr(w->pool, "/docker/aaaa1111");
	a = kp_pool_task(w->pool, &t);
	t.tid = t.tgid = 601;
	t.cgroup[KP_CG_UNIFIED] = kp_pool_cstr(w->pool, "/docker/bbbb2222");
	b = kp_pool_task(w->pool, &t);
	t = (struct kp_task){ .tid = 1, .tgid = 1, .ns_tid = 1, .ns_tgid = 1, .start = 1 };
	t.exe = kp_pool_cstr(w->pool, "/usr/lib/systemd/systemd");
	host = kp_pool_task(w->pool, &t);
	add(&text, 1, "one", ",{\"key\":\"container.id\",\"value\":{\"stringValue\":\"aaaa1111\"}},"
	    "{\"key\":\"process.executable.name\",\"value\":{\"stringValue\":\"node\"}}", &s1, 1);
	add(&text, 1, "two", ",{\"key\":\"container.id\",\"value\":{\"stringValue\":\"bbbb2222\"}},"
	    "{\"key\":\"process.executable.name\",\"value\":{\"stringValue\":\"node\"}}", &s2, 1);
	spans(w, &text);
	ra = row(w, READ, a, 110, 111);
	rb = row(w, READ, b, 110, 112);
	rh = row(w, READ, host, 110, 113);
	done(w);
	assert_string_equal(got(w, ra, KP_CTX_TRACE), TRACE1);
	assert_string_equal(got(w, rb, KP_CTX_TRACE), TRACE2);
	assert_string_equal(got(w, rb, KP_CTX_SERVICE), "two");
	assert_string_equal(got(w, rh, KP_CTX_TRACE), "");
	world_free(w);
}

/* The lookup through the tree finds what a walk over all spans finds, also beside spans that last long. */
static void many(void **state)
{
	enum { N = 300 };
	static struct span s[N];
	static char trace[N][33], id[N][17];
	struct world *w = world_new();
	const struct kp_task *t = task(w, 10, 11, "java"), *sole = task(w, 7, 7, "sole");
	unsigned serial[400], x = 12345, n = 0;
	char *text = NULL;

	add(&text, 7, "sole", "", (struct span[]){ { TRACE1, "00000000000000a1", "", "sole", 1, 0, 2000, NULL } }, 1);
	for (int i = 0; i < N; i++) {
		x = x * 1103515245 + 12345;
		snprintf(trace[i], sizeof(trace[i]), "%032x", i + 1);
		snprintf(id[i], sizeof(id[i]), "%016x", i + 1);
		s[i] = (struct span){ trace[i], id[i], "", "x", 1, 10 + i * 3, 0, NULL };
		s[i].to = s[i].from + (x >> 16) % (i % 50 ? 4 : 40) + 0.5;
	}
	add(&text, 10, "many", "", s, N);
	spans(w, &text);
	for (unsigned i = 0; i < 400; i++)
		serial[i] = row(w, READ, t, 2.25 * i, 2.25 * i + 0.1);
	n = row(w, READ, sole, 950, 951);
	done(w);
	for (unsigned i = 0; i < 400; i++) {
		double at = 2.25 * i;
		const char *want = "";
		int found = 0;

		for (int k = 0; k < N; k++)
			if (s[k].from <= at && at < s[k].to) {
				want = found ? "" : s[k].id;
				found++;
			}
		assert_string_equal(got(w, serial[i], KP_CTX_SPAN), want);
	}
	assert_string_equal(got(w, n, KP_CTX_SPAN), "00000000000000a1");
	world_free(w);
}

/* What is no span is counted, and the number of the first such line told; the others are used. */
static void bad_lines(void **state)
{
	static const struct span s = { TRACE1, "00000000000000a1", "", "ok", 2, 100, 200, NULL };
	struct world *w = world_new();
	struct kp_enrich_stats st;
	char *text = NULL, *all;

	add(&text, 10, "shop", "", &s, 1);
	assert_true(asprintf(&all, "%s\n{\"resourceMetrics\":[]}\nnot json\n[1,[2]]\n{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":"
			     "[{\"traceId\":\"zz\",\"spanId\":\"1\"}]}]}]}\n%s\n\n{\"resourceSpans\"", text, text) > 0);
	assert_int_equal(kp_enrich_spans_text(w->e, all, strlen(all), NULL), 0);
	kp_enrich_stats(w->e, &st);
	assert_int_equal(st.spans, 2);
	assert_int_equal(st.bad_lines, 4);
	assert_int_equal(st.bad_line, 4);
	free(all);
	free(text);
	world_free(w);
}

/* One value over many lines, as a person would look at it. */
static void pretty(void **state)
{
	static const char text[] = "{\n \"resourceSpans\": [\n  {\"resource\": {\"attributes\": [{\"key\": \"process.pid\",\n"
		"\"value\": {\"intValue\": 10}}]},\n\"scopeSpans\": [{\"spans\": [{\"traceId\": \"0AF7651916CD43DD8448EB211C80319C\",\n"
		"\"spanId\": \"00000000000000A1\", \"kind\": \"SPAN_KIND_SERVER\", \"name\": \"n\",\n"
		"\"startTimeUnixNano\": 1000000000000, \"endTimeUnixNano\": 1000200000000}]}]}]}\n";
	struct world *w = world_new();
	unsigned in;
	struct kp_enrich_stats st;

	assert_int_equal(kp_enrich_spans_text(w->e, text, sizeof(text) - 1, NULL), 0);
	in = row(w, READ, task(w, 10, 11, "x"), 10, 11);
	done(w);
	assert_string_equal(got(w, in, KP_CTX_TRACE), TRACE1);
	kp_enrich_stats(w->e, &st);
	assert_int_equal(st.bad_lines, 0);
	world_free(w);
}

static int map(struct world *w, const char *text, struct kp_err *err)
{
	char path[] = "/tmp/kp-map-XXXXXX";
	int fd = mkstemp(path), rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	rc = kp_enrich_map(w->e, path, err);
	unlink(path);
	return rc;
}

static void services(void **state)
{
	struct world *w = world_new();
	struct kp_task t = { .tid = 30, .tgid = 30, .start = 5, .exe = kp_pool_cstr(w->pool, "/usr/lib/postgresql/15/bin/postgres"),
			     .comm = kp_pool_cstr(w->pool, "postgres: shop") };
	unsigned by_comm, by_exe, by_cgroup, nothing, by_port;
	struct kp_err err = { "" };

	assert_int_equal(map(w, "# a comment\n\ncomm\tworker-*\tworkers\nexe\tpostgres\tthe database\n"
			     "cgroup\t/shop/*\tshop\r\nport\t8080\tfront\n", &err), 0);
	by_comm = row(w, READ, task(w, 10, 11, "worker-7"), 1, 2);
	by_exe = row(w, READ, kp_pool_task(w->pool, &t), 3, 4);
	t = (struct kp_task){ .tid = 40, .tgid = 40, .start = 5, .comm = kp_pool_cstr(w->pool, "x") };
	t.cgroup[KP_CG_MEMORY] = kp_pool_cstr(w->pool, "/shop/cart");
	by_cgroup = row(w, READ, kp_pool_task(w->pool, &t), 5, 6);
	nothing = row(w, READ, task(w, 50, 50, "cron"), 6, 7);
	rx(w, task(w, 60, 60, "java"), 10, 8080, 40001, "GET / HTTP/1.1\r\n\r\n");
	by_port = row(w, READ, task(w, 60, 60, "java"), 11, 12);
	done(w);
	assert_string_equal(got(w, by_comm, KP_CTX_SERVICE), "workers");
	assert_string_equal(got(w, by_exe, KP_CTX_SERVICE), "the database");
	assert_string_equal(got(w, by_cgroup, KP_CTX_SERVICE), "shop");
	assert_string_equal(got(w, nothing, KP_CTX_SERVICE), "");
	assert_string_equal(got(w, by_port, KP_CTX_SERVICE), "front");
	assert_int_equal(map(w, "comm\tx\tok\nport\t99999\tp\n", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "line 2"));
	assert_int_equal(map(w, "colour\tred\tp\n", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "colour"));
	assert_int_equal(map(w, "comm x p\n", &err), -EINVAL);
	assert_int_equal(kp_enrich_map(w->e, "/nonexistent/map", &err), -ENOENT);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_time), cmocka_unit_test(two_at_once), cmocka_unit_test(in_containers),
		cmocka_unit_test(many), cmocka_unit_test(bad_lines), cmocka_unit_test(pretty), cmocka_unit_test(services),
	};

	return run_both_ways(tests);
}
