/* SPDX-License-Identifier: BSD-2-Clause */
/* Output formats for rows, by name: one file each in lib/export, one row in its table. */
#ifndef KP_EXPORT_H
#define KP_EXPORT_H

#include <kp/err.h>
#include <kp/kinds.h>
#include <kp/stream.h>

struct kp_export;

struct kp_export_opts {
	/* Kinds, pool and reader must outlive the export; header and wall-clock times are the reader's. */
	const struct kp_kinds *kinds;
	struct kp_pool *pool;
	const struct kp_reader *reader;
	bool color, utc;	/* text: as wanted; utc: rather than in the zone of the recorded host */
	int verbose;		/* text: whole stacks, payload, addresses; twice: keyframe and clock rows, too */
	/* kp: for the entry that is added to the header, see kp_header_pass */
	const char *tool;
	int argc; char *const *argv;
	struct kp_write_opts write;
};

/* Iterates over the formats' names ("text|json|..." in help): NULL at the end. */
const char *kp_export_name(unsigned i);
/* Is this format for machines only? -EINVAL for no such format. */
int kp_export_binary(const char *name, struct kp_err *err);
/* fd stays the caller's. */
int kp_export_open(struct kp_export **out, const char *name, int fd, const struct kp_export_opts *o, struct kp_err *err);
int kp_export_row(struct kp_export *x, const struct kp_row *row, struct kp_err *err);
int kp_export_graph(struct kp_export *x, const struct kp_graph *g, struct kp_err *err);
/* No more rows for now: what is buffered goes out. */
int kp_export_flush(struct kp_export *x, struct kp_err *err);
/* The values of all rows so far are about to go (kp_query_opts.renew): nothing refers to them afterwards. */
int kp_export_forget(struct kp_export *x, struct kp_err *err);
/* Ends the output and frees, also after errors; then (ok false) nothing more is written. rows_in: for the provenance. */
int kp_export_close(struct kp_export *x, bool ok, uint64_t rows_in, struct kp_err *err);

#endif
