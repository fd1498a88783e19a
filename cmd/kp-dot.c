/* SPDX-License-Identifier: BSD-2-Clause */
/* kp-dot: draws the graph records of a stream. See kp-dot(1). */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kp/dot.h>
#include <kp/stream.h>
#include <kp/util.h>

static const struct kp_opt opts[] = {
	{ 'f', "format", "dot|svg|png", "what to write; default: what the name after -o ends in, else svg, dot on a terminal" },
	{ 'n', "nodes", "N", "draw at most N nodes a target, fold the others into one (default 25)" },
	{ 0 },
};

static const struct kp_tool tool = {
	.name = "kp-dot",
	.usage = "[OPTION]... [FILE]...",
	.about = "Draws why requests were slow: the graphs that kp-causal put into a stream.",
	.opts = opts,
	.examples = "  kp-enrich rec.kp | kp-causal --request req-9f21 | kp-dot > why.svg\n"
		    "  kp-enrich rec.kp | kp-causal --slowest 3 | kp-dot -o why.png\n",
};

struct args {
	struct kp_common common;
	const char *format;
	uint32_t nodes;
};

static int take(void *arg, int key, const char *val, struct kp_err *err)
{
	struct args *a = arg;
	unsigned long n;
	char *end;

	if (key == 'f') {
		if (strcmp(val, "dot") && strcmp(val, "svg") && strcmp(val, "png"))
			return kp_err(err, EINVAL, "--format is dot, svg or png, not %s", val);
		a->format = val;
	} else if (key == 'n') {
		errno = 0;
		n = strtoul(val, &end, 10);
		if (errno || *end || *val == '-' || n < 3 || n > 1000)
			return kp_err(err, EINVAL, "--nodes takes a number from 3 to 1000, not %s", val);
		a->nodes = n;
	}
	return 0;
}

/* Not asked for: as the name of the output says, and on a terminal something that does it no harm. */
static const char *guess(const char *out)
{
	const char *dot = out ? strrchr(out, '.') : NULL;

	if (dot && !strcmp(dot, ".png"))
		return "png";
	if (dot && (!strcmp(dot, ".dot") || !strcmp(dot, ".gv")))
		return "dot";
	return (!out || !strcmp(out, "-")) && isatty(STDOUT_FILENO) ? "dot" : "svg";
}

static void found(void *arg, enum kp_finding f, const char *input, const char *line)
{
	const struct args *a = arg;

	if (!a->common.quiet)
		kp_warn(&tool, "%s: %s", input, line);
}

static int draw_graphs(struct kp_reader *r, struct kp_buf *src, uint32_t *n, uint32_t nodes, struct kp_err *err)
{
	struct kp_graph *g;

	while (kp_reader_graph(r, &g) == 1) {
		int rc = kp_dot_target(src, g, (*n)++, nodes);

		kp_graph_free(g);
		if (rc)
			return kp_err(err, -rc, "picture: out of memory");
	}
	return 0;
}

/* Reads the streams to their end: graphs come between and after rows. */
static int read_all(const struct args *a, const char *const *paths, uint32_t npaths, struct kp_buf *src, struct kp_err *err)
{
	const struct kp_read_opts ro = { .found = found, .found_arg = (void *)a };
	struct kp_kinds *kinds = NULL;
	struct kp_reader *r = NULL;
	struct kp_pool *pool = NULL;
	const struct kp_row *row;
	uint32_t n = 0;
	int rc;

	if (kp_pool_new(&pool) || kp_kinds_new(&kinds) || kp_dot_begin(src)) {
		rc = kp_err(err, ENOMEM, "out of memory");
		goto out;
	}
	rc = kp_reader_open(&r, paths, npaths, pool, kinds, &ro, err);
	while (!rc) {
		int more = kp_reader_next(r, &row, err);

		rc = more < 0 ? more : draw_graphs(r, src, &n, a->nodes, err);
		if (!more)
			break;
	}
	if (!rc && !n)
		rc = kp_err(err, ENODATA, "%s: no graph in it; run kp-causal first: kp-enrich FILE | kp-causal | kp-dot",
			    npaths ? paths[0] : "standard input");
	if (!rc && a->common.verbose)
		kp_warn(&tool, "%u request%s drawn as %s", n, n == 1 ? "" : "s", a->format);
	if (!rc && kp_dot_end(src))
		rc = kp_err(err, ENOMEM, "picture: out of memory");
out:
	kp_reader_close(r);
	kp_kinds_free(kinds);
	kp_pool_free(pool);
	return rc;
}

static int write_out(const struct args *a, struct kp_buf *src, struct kp_err *err)
{
	struct kp_buf picture = { 0 };
	const struct kp_buf *out = src;
	int fd = -1, rc = 0;

	if (strcmp(a->format, "dot")) {
		rc = kp_dot_render(src, a->format, &picture, err);
		out = &picture;
	}
	if (rc)
		goto out;
	fd = kp_open_out(a->common.out, err);
	if (fd < 0) {
		rc = fd;
		goto out;
	}
	if (!strcmp(a->format, "png"))
		rc = kp_check_binary_out(fd, err);
	if (!rc) {
		rc = kp_write_all(fd, out->p, out->len);
		if (rc)
			kp_err(err, -rc, "%s: %s", a->common.out ? a->common.out : "standard output", strerror(-rc));
	}
out:
	/* A full disk may be told only now. */
	if (fd >= 0 && close(fd) && !rc)
		rc = kp_err(err, errno, "%s: %s", a->common.out ? a->common.out : "standard output", strerror(errno));
	kp_buf_free(&picture);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct kp_buf src = { 0 };
	struct kp_err err;
	int status, first, rc;

	first = kp_opts(&tool, argc, argv, false, &a.common, take, &a, &status);
	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if (!a.format)
		a.format = guess(a.common.out);
	/* Known before a long input is read: a picture in bytes is of no use on a terminal. */
	rc = !strcmp(a.format, "png") && !a.common.out ? kp_check_binary_out(STDOUT_FILENO, &err) : 0;
	if (!rc)
		rc = read_all(&a, (const char *const *)argv + first, argc - first, &src, &err);
	if (!rc)
		rc = write_out(&a, &src, &err);
	kp_buf_free(&src);
	return kp_complain(&tool, rc, &err);
}
