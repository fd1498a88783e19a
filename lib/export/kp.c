/* SPDX-License-Identifier: BSD-2-Clause */
/* The stream format itself: rows pass through, and the header gains an entry about this tool. */
#include "export_int.h"

struct pass { struct kp_writer *w; uint32_t nsources; };

static int pass_open(struct kp_export *x, struct kp_err *err)
{
	const struct kp_header *in = kp_reader_header(x->o.reader);
	struct kp_write_opts wo = x->o.write;
	struct pass *p = x->own;
	struct kp_header h;
	int rc;

	wo.concat = true;
	rc = kp_header_pass(&h, in, x->o.pool, x->o.tool, x->o.argc, x->o.argv);
	if (rc)
		return kp_err(err, rc, "no memory");
	p->nsources = in->nsources;
	rc = kp_writer_open(&p->w, x->fd, false, &h, x->o.kinds, &wo, err);
	kp_header_free(&h);
	return rc;
}

static int pass_row(struct kp_export *x, const struct kp_row *row, struct kp_err *err)
{
	const struct kp_header *in = kp_reader_header(x->o.reader);
	struct pass *p = x->own;

	if (in->nsources != p->nsources) {	/* a concatenation of streams went on with another host */
		int rc = kp_writer_update(p->w, in, err);

		if (rc)
			return rc;
		p->nsources = in->nsources;
	}
	return kp_writer_row(p->w, row, err);
}

static int pass_graph(struct kp_export *x, const struct kp_graph *g, struct kp_err *err)
{
	struct pass *p = x->own;

	return kp_writer_graph(p->w, g, err);
}

static int pass_flush(struct kp_export *x, struct kp_err *err)
{
	struct pass *p = x->own;

	return kp_writer_flush(p->w, err);
}

static int pass_close(struct kp_export *x, bool ok, uint64_t rows_in, struct kp_err *err)
{
	struct pass *p = x->own;
	int rc;

	if (!p->w)
		return 0;
	if (!ok) {
		kp_writer_abandon(p->w);
		return 0;
	}
	/* what the tools before counted is known now */
	rc = kp_writer_update(p->w, kp_reader_header(x->o.reader), err);
	if (rc)
		kp_writer_abandon(p->w);
	return rc ? rc : kp_writer_close(p->w, rows_in, err);
}

const struct format kp_format_kp = {
	.name = "kp", .binary = true, .size = sizeof(struct pass), .open = pass_open, .row = pass_row, .graph = pass_graph,
	.flush = pass_flush, .forget = pass_flush, .close = pass_close,
};
