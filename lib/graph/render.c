/* SPDX-License-Identifier: BSD-2-Clause */
/* Layout and rendering, by Graphviz. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <graphviz/gvc.h>

#include "draw.h"

enum { SCREEN = 1008 /* points: 1344 of a laptop's 1366 pixels */ };
#define SMALLEST 0.75	/* of the fonts' sizes: 11 pixels; rather scroll than read less */

/* What Graphviz had to say comes as a copy of several lines. */
static int failed(struct kp_err *err, int code, const char *what)
{
	char *why = aglasterr();
	int rc;

	if (why)
		why[strcspn(why, "\n")] = 0;
	rc = kp_err(err, code, "graphviz cannot %s%s%s", what, why && *why ? ": " : "", why ? why : "");
	free(why);
	return rc;
}

/* What is wider than a screen is made smaller, as far as it can still be read. */
static int fit(GVC_t *gvc, Agraph_t *g)
{
	char name[] = "size", size[32], none[] = "";	/* older releases want them writable */
	double width = GD_bb(g).UR.x + 22, to;	/* the margins that are drawn around it */

	if (width <= SCREEN)
		return 0;
	to = width * SMALLEST > SCREEN ? width * SMALLEST : SCREEN;
	snprintf(size, sizeof(size), "%.2f,1000", to / 72);
	agattr(g, AGRAPH, name, none);
	agsafeset(g, name, size, none);
	gvFreeLayout(gvc, g);
	return gvLayout(gvc, g, "dot");
}

/* Graphviz writes each dash as an entity, for the sake of comments, where only our own names are: ids should be found by grep. */
static void plain_dashes(struct kp_buf *b, size_t from)
{
	static const char dash[] = "&#45;";
	const size_t n = sizeof(dash) - 1;
	size_t to = from;

	for (size_t i = from; i < b->len; to++) {
		bool is = b->len - i >= n && !memcmp(b->p + i, dash, n);

		b->p[to] = is ? '-' : b->p[i];
		i += is ? n : 1;
	}
	b->len = to;
}

static int lay_out(GVC_t *gvc, Agraph_t *g, const char *format, struct kp_buf *out, struct kp_err *err)
{
	size_t before = out->len;
	char *data = NULL;
	unsigned int len = 0;
	int rc = 0;

	if (gvLayout(gvc, g, "dot") || fit(gvc, g))
		return failed(err, EIO, "lay the graph out");
	if (gvRenderData(gvc, g, format, &data, &len) || !data) {
		rc = failed(err, EIO, "draw it; is the plugin for this format installed (package graphviz)?");
	} else if (kp_buf_add(out, data, len)) {
		rc = kp_err(err, ENOMEM, "picture: out of memory");
	} else if (!strcmp(format, "svg")) {
		plain_dashes(out, before);
	}
	if (data)
		gvFreeRenderData(data);
	gvFreeLayout(gvc, g);
	return rc;
}

int kp_dot_render(const struct kp_buf *src, const char *format, struct kp_buf *out, struct kp_err *err)
{
	struct kp_buf text = { 0 };
	Agraph_t *g = NULL;
	GVC_t *gvc = NULL;
	char dpi[] = "dpi", pixels[] = "144";	/* older releases want them writable */
	int rc;

	kp_buf_add(&text, src->p, src->len);
	kp_buf_add(&text, "", 1);
	if (src->err || text.err) {
		rc = kp_err(err, ENOMEM, "picture: out of memory");
		goto out;
	}
	agseterr(AGMAX);	/* libraries do not print: the reason is asked for */
	g = agmemread((const char *)text.p);
	if (!g) {
		rc = failed(err, EINVAL, "read the graph");
		goto out;
	}
	/* Pixels are fixed when they are drawn: enough for a screen that shows two to a point. */
	if (!strcmp(format, "png"))
		agattr(g, AGRAPH, dpi, pixels);
	gvc = gvContext();
	rc = gvc ? lay_out(gvc, g, format, out, err) : kp_err(err, ENOMEM, "graphviz: out of memory");
out:
	if (g)
		agclose(g);
	/*
	 * The context stays: Graphviz (2.43 at least) remembers the last font's name by its address and looks at it
	 * again when the next picture is drawn, after the context that it belonged to.
	 */
	kp_buf_free(&text);
	return rc;
}
