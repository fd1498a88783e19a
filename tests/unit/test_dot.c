/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pictures of graph records. With an argument this program is a tool of its
 * own: `test_dot c q b h` writes a stream with these graphs to standard
 * output, for the tests of kp-dot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include <kp/dot.h>
#include <kp/stream.h>

#include "dot_graphs.h"

static char *source(const struct kp_graph *g, uint32_t n, uint32_t max)
{
	struct kp_buf b = { 0 };

	assert_int_equal(kp_dot_begin(&b), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(kp_dot_target(&b, &g[i], i, max), 0);
	assert_int_equal(kp_dot_end(&b), 0);
	assert_int_equal(kp_buf_add(&b, "", 1), 0);
	return (char *)b.p;
}

static char *svg(const struct kp_graph *g, uint32_t n)
{
	struct kp_buf b = { 0 }, out = { 0 };
	struct kp_err err = { "" };

	kp_dot_begin(&b);
	for (uint32_t i = 0; i < n; i++)
		kp_dot_target(&b, &g[i], i, 0);
	kp_dot_end(&b);
	if (kp_dot_render(&b, "svg", &out, &err))
		fail_msg("%s", err.msg);
	kp_buf_free(&b);
	kp_buf_add(&out, "", 1);
	return (char *)out.p;
}

static uint32_t times(const char *text, const char *what)
{
	uint32_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static void marks_say_what_colour_says(void **state)
{
	struct kp_graph g = checkout_graph("req-9f21");
	char *s = source(&g, 1, 0);

	assert_int_equal(times(s, "ROOT CAUSE"), 1);
	assert_int_equal(times(s, "CULPRIT"), 1);
	assert_int_equal(times(s, "diagonals"), 1);
	assert_int_equal(times(s, "evicted 94 of 94 pages"), 2);	/* on the culprit, and in its tip */
	assert_int_equal(times(s, "peripheries=2"), 1);
	assert_int_equal(times(s, "GAVE UP"), 1);
	assert_non_null(strstr(s, "req-9f21"));
	assert_non_null(strstr(s, "</b> after 750.0 ms; the answer came at 812.0 ms, 62.0 ms too late"));
	assert_non_null(strstr(s, "without memory.refault: 31.0 ms"));
	/* inferred: the one edge to the culprit */
	assert_int_equal(times(s, "style=dashed"), 1);
	free(s);
}

/* Culprits that belong to no single cause, and edges whose labels repeat what the nodes say. */
static void culprits_are_known_by_their_edges(void **state)
{
	struct kp_graph g = deep_graph("req-deep");
	char *s = source(&g, 1, 0);

	assert_int_equal(times(s, "► CULPRIT</b><br/><b>postgres[5120]</b>"), 1);
	assert_int_equal(times(s, "CULPRIT"), 1);
	assert_int_equal(times(s, "<b>culprit</b>"), 3);
	assert_int_equal(times(s, "ROOT CAUSE"), 1);
	assert_int_equal(times(s, ">calls<") + times(s, ">by<"), 0);
	assert_non_null(strstr(s, "observed: 212 requests"));
	assert_non_null(strstr(s, "17 rows were lost"));
	/* one small node is drawn as what it is */
	assert_null(strstr(s, " others, "));
	free(s);
}

/* From left to right Graphviz stacks from the bottom up: the picture's own coordinates tell. */
static double y_of(const char *s, const char *text)
{
	const char *at = strstr(s, text);
	double y = 0;

	assert_non_null(at);
	while (at > s && strncmp(at, " y=\"", 4))
		at--;
	assert_int_equal(sscanf(at, " y=\"%lf", &y), 1);
	return y;
}

static void time_runs_downwards(void **state)
{
	struct kp_graph g[] = { checkout_graph("req-1"), quiet_graph("req-2"), checkout_graph("req-3") };
	char *s = svg(g, 3);

	assert_true(y_of(s, ">req-1<") < y_of(s, ">req-2<"));
	assert_true(y_of(s, ">req-2<") < y_of(s, ">req-3<"));
	free(s);
	s = svg(g, 1);
	assert_true(y_of(s, ">auth, validation<") < y_of(s, ">COMMIT<"));
	free(s);
}

/* Wide graphs are made smaller, but their text never less than 11 pixels. */
static void a_laptop_shows_it(void **state)
{
	struct kp_graph g[] = { checkout_graph("req-1"), deep_graph("req-2") };

	for (uint32_t i = 0; i < COUNT(g); i++) {
		char *s = svg(&g[i], 1), *at = strstr(s, "font-size=\"");
		double width = 0, scale = 0, font = 0;

		assert_int_equal(sscanf(strstr(s, "<svg width"), "<svg width=\"%lfpt", &width), 1);
		assert_int_equal(sscanf(strstr(s, "scale("), "scale(%lf", &scale), 1);
		assert_true(width > 500 && width * 96 / 72 <= 1366);
		for (; at; at = strstr(at + 1, "font-size=\"")) {
			assert_int_equal(sscanf(at, "font-size=\"%lf", &font), 1);
			assert_true(font * scale * 96 / 72 >= 10.95);
		}
		assert_true(font > 0);
		free(s);
	}
}

/* kp-causal knows no limit where nothing timed out: then the moment counts at which the caller had its answer. */
static void late_without_a_limit(void **state)
{
	struct kp_graph g = checkout_graph("req-late");
	char *s;

	g.limit = 0;
	g.late = 100 * MS;
	s = source(&g, 1, 0);
	assert_non_null(strstr(s, "</b> after 712.0 ms; the answer came at 812.0 ms, 100.0 ms too late"));
	free(s);
}

static void long_text_is_cut(void **state)
{
	struct kp_graph g = checkout_graph("req-cut");
	struct kp_node n[] = { g.nodes[0], { .name = "", .type = 3, .who = WHO(9, "x", "", ""), .ns = MS, .cause = UINT32_MAX } };
	char name[200], prose[400], *s;
	struct kp_edge e = { 0, 1, MS, true, prose };

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	memcpy(name + sizeof(name) - 4, "END", 3);
	for (size_t i = 0; i + 4 < sizeof(prose); i += 4)
		memcpy(prose + i, "123 ", 5);
	n[0].name = name;
	g.nodes = n, g.nnodes = 2, g.edges = &e, g.nedges = 1;
	s = source(&g, 1, 0);
	assert_int_equal(times(s, "…"), 2);
	assert_non_null(strstr(s, "END</b>"));	/* a name keeps its end, */
	assert_non_null(strstr(s, "…>, style"));	/* prose its beginning */
	free(s);
}

static void nothing_is_blamed_without_a_root(void **state)
{
	struct kp_graph g = quiet_graph("req-0042");
	char *s = source(&g, 1, 0);

	assert_null(strstr(s, "ROOT CAUSE"));
	assert_null(strstr(s, "CULPRIT"));
	assert_null(strstr(s, "FAILED"));
	assert_non_null(strstr(s, "answered after 12.0 ms"));
	free(s);
}

static void targets_are_clusters(void **state)
{
	struct kp_graph g[] = { checkout_graph("req-1"), quiet_graph("req-2"), checkout_graph("req-3") };
	char *s = svg(g, 3);

	assert_int_equal(times(s, "class=\"cluster\""), 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_non_null(strstr(s, g[i].request));
	free(s);
}

static void small_nodes_fold_and_their_time_stays(void **state)
{
	struct kp_graph g = big_graph("req-b1gg", 200);
	char *s = source(&g, 1, 0);
	uint64_t ns = 800000;	/* auth, validation: below 1 % as well */
	char want[64], t[32];

	for (uint32_t i = 0; i < 200; i++)
		ns += 100000 + i;
	snprintf(want, sizeof(want), "201 others, %s", kp_fmt_dur(t, ns));
	assert_non_null(strstr(s, want));
	assert_non_null(strstr(s, "ROOT CAUSE"));
	assert_non_null(strstr(s, "CULPRIT"));
	free(s);
	free(g.nodes);
	free(g.edges);
}

static void no_more_nodes_than_asked_for(void **state)
{
	struct kp_graph g = big_graph("req-b1gg", 60);
	char *s;

	for (uint32_t i = 0; i < g.nnodes; i++)
		g.nodes[i].ns += 20 * MS;
	s = source(&g, 1, 10);
	assert_int_equal(times(s, "tooltip=") - times(s, "edgetooltip="), 9);
	assert_int_equal(times(s, " others, "), 1);
	assert_non_null(strstr(s, "ROOT CAUSE"));
	assert_non_null(strstr(s, "CULPRIT"));
	free(s);
	free(g.nodes);
	free(g.edges);
}

/* Each character with a meaning comes out as text; Graphviz's own \N is not one of ours. */
static void hostile_text_stays_text(void **state)
{
	struct kp_graph g = hostile_graph();
	char *d = source(&g, 1, 0), *s = svg(&g, 1);

	assert_null(strstr(d, "<b>&\""));
	assert_null(strstr(d, "\x1b"));
	assert_non_null(strstr(d, "&lt;b&gt;&amp;&quot;&#92;x0a&#92;x1b[31m&lt;/table&gt;]"));
	assert_null(strstr(s, "\x1b"));
	assert_null(strstr(s, "\xff"));
	assert_null(strstr(s, "\xe2\x80\xae"));
	assert_non_null(strstr(s, "&lt;b&gt;&amp;&quot;\\x0a\\x1b[31m&lt;/table&gt;]"));
	assert_non_null(strstr(s, "\\x5cN \\x5cG \\x1b\\x5c"));
	/* what was injected would be a node */
	assert_int_equal(times(s, "class=\"node\""), 2);
	free(d);
	free(s);
}

static void edges_of_damaged_graphs_are_left_out(void **state)
{
	struct kp_graph g = checkout_graph("req-x");
	struct kp_edge e[] = { { 0, 4000000000u, 1, true, "" }, { 4000000000u, 0, 1, true, "" }, { 0, 0, 5, true, "" }, { 0, 2, 5, true, "" } };
	struct kp_node n[COUNT(checkout_nodes)];
	char *s;

	memcpy(n, checkout_nodes, sizeof(n));
	n[1].cause = 7777;
	g.nodes = n;
	g.edges = e;
	g.nedges = COUNT(e);
	s = source(&g, 1, 0);
	assert_int_equal(times(s, " -> "), 1);
	free(s);
}

static void empty_graph_has_its_title(void **state)
{
	struct kp_graph g = checkout_graph("req-empty");
	char *s;

	g.nnodes = g.nedges = g.ncauses = 0;
	s = svg(&g, 1);
	assert_non_null(strstr(s, "req-empty"));
	free(s);
}

/* Every step of the scale, by the fill colour of a node, is darker than the one before; edges only get wider. */
static void scale_gets_darker_and_wider(void **state)
{
	struct kp_graph g = quiet_graph("req-scale");
	unsigned int light = 256 * 3, steps = 0;
	double width = 0;

	for (uint32_t p = 0; p <= 100; p++) {
		struct kp_node n[] = { g.nodes[0], { .name = "x", .type = 2, .who = NOBODY, .ns = p * g.dur / 100, .cause = UINT32_MAX } };
		struct kp_edge e = { 0, 1, n[1].ns, true, "" };
		struct kp_graph one = g;
		unsigned int rgb, sum;
		double w;
		char *s, *at;

		one.nodes = n, one.nnodes = 2, one.edges = &e, one.nedges = 1;
		s = source(&one, 1, 0);
		at = strstr(strstr(s, "t0n1 ["), "fillcolor=\"#");
		assert_int_equal(sscanf(at, "fillcolor=\"#%x", &rgb), 1);
		assert_int_equal(sscanf(strstr(strstr(s, "t0n0 -> t0n1"), "penwidth="), "penwidth=%lf", &w), 1);
		sum = (rgb >> 16) + (rgb >> 8 & 255) + (rgb & 255);
		assert_true(sum <= light);
		assert_true(w >= width);
		steps += sum < light;
		light = sum;
		width = w;
		free(s);
	}
	assert_true(steps >= 8);
	assert_true(width > 6);
}

static int write_stream(int argc, char **argv)
{
	struct kp_source src = { .machine_id = "m", .boot_id = "b", .session = "s", .cpus = 1, .page_size = 4096, .hz = 100 };
	struct kp_header h = { .version = 1, .sources = &src, .nsources = 1 };
	struct kp_writer *w = NULL;
	struct kp_kinds *kinds = NULL;
	struct kp_pool *pool = NULL;
	struct kp_err err = { "out of memory" };
	int rc = -1;

	if (kp_pool_new(&pool) || kp_kinds_new(&kinds))
		goto out;
	src.host = src.kernel = src.arch = src.tz = kp_pool_cstr(pool, "x");
	rc = kp_writer_open(&w, STDOUT_FILENO, false, &h, kinds, NULL, &err);
	for (int i = 1; !rc && i < argc; i++) {
		bool big = *argv[i] == 'b';
		struct kp_graph g = *argv[i] == 'h' ? hostile_graph() : big ? big_graph(argv[i], 200) :
				    *argv[i] == 'd' ? deep_graph(argv[i]) : *argv[i] == 'q' ? quiet_graph(argv[i]) : checkout_graph(argv[i]);

		if (*argv[i] == '-')
			continue;
		rc = kp_writer_graph(w, &g, &err);
		if (big) {
			free(g.nodes);
			free(g.edges);
		}
	}
	if (w && kp_writer_close(w, 0, rc ? NULL : &err))
		rc = -1;
out:
	if (rc)
		fprintf(stderr, "test_dot: %s\n", err.msg);
	kp_kinds_free(kinds);
	kp_pool_free(pool);
	return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_say_what_colour_says),
		cmocka_unit_test(culprits_are_known_by_their_edges),
		cmocka_unit_test(time_runs_downwards),
		cmocka_unit_test(a_laptop_shows_it),
		cmocka_unit_test(late_without_a_limit),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(nothing_is_blamed_without_a_root),
		cmocka_unit_test(targets_are_clusters),
		cmocka_unit_test(small_nodes_fold_and_their_time_stays),
		cmocka_unit_test(no_more_nodes_than_asked_for),
		cmocka_unit_test(hostile_text_stays_text),
		cmocka_unit_test(edges_of_damaged_graphs_are_left_out),
		cmocka_unit_test(empty_graph_has_its_title),
		cmocka_unit_test(scale_gets_darker_and_wider),
	};

	if (argc > 1)
		return write_stream(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
