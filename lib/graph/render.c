/* SPDX-License-Identifier: BSD-2-Clause */
/* Layout and rendering, by Graphviz. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <graphviz/gvc.h>

#include "draw.h"

static int lay_out(GVC_t *gvc, Agraph_t *g, const char *format, struct kp_buf *out, struct kp_err *err)
{
	const char *why;
	char *data = NULL;
	unsigned int len = 0;
	int rc = 0;

	if (gvLayout(gvc, g, "dot")) {
		why = aglasterr();
		return kp_err(err, EIO, "graphviz could not lay the graph out: %s", why ? why : "no reason given");
	}
	if (gvRenderData(gvc, g, format, &data, &len) || !data) {
		why = aglasterr();
		rc = kp_err(err, EIO, "graphviz cannot write %s: %s", format, why ? why : "is its plugin installed? (package graphviz)");
	} else if (kp_buf_add(out, data, len)) {
		rc = kp_err(err, ENOMEM, "picture: out of memory");
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
	const char *why;
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
		why = aglasterr();
		rc = kp_err(err, EINVAL, "graphviz does not understand the graph: %s", why ? why : "no reason given");
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
	if (gvc)
		gvFreeContext(gvc);
	kp_buf_free(&text);
	return rc;
}
