/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why was it slow: finds targets in a stream and explains each of them, as a
 * graph (kp/graph.h). Reads the input twice: once to find the targets, once
 * for the rows of each target's window. Memory is bounded by the window.
 */
#ifndef KP_CAUSAL_H
#define KP_CAUSAL_H

#include <stdio.h>

#include <kp/err.h>
#include <kp/graph.h>
#include <kp/stream.h>

enum kp_select { KP_SEL_SLOWEST, KP_SEL_REQUEST, KP_SEL_TRACE, KP_SEL_TXN, KP_SEL_TASK };

struct kp_select_opts {
	enum kp_select by;
	const char *id;		/* request, trace or transaction */
	uint32_t n;		/* slowest: how many */
	uint32_t tid;		/* task: a thread */
	bool process;		/* task: tid is a process: its thread that ran most */
	const char *since, *until; /* task: as kp_parse_time takes them; NULL the ends of the recording */
};

/* What is to be explained. Times are unified: monotonic of the first source, other hosts put on its line. */
struct kp_target {
	const struct kp_str *request, *trace, *txn, *service, *op;
	uint32_t source;
	const struct kp_task *task; /* who served it */
	uint64_t start, end;	/* sent or else received, and answered (or the end of the recording: open) */
	uint64_t recv;		/* the service read it, 0 unknown */
	const struct kp_task *caller; /* who sent it and waited, NULL not recorded */
	uint32_t caller_source;
	uint64_t got;		/* the caller had read the answer, 0 unknown */
	uint64_t gave_up;	/* the caller closed the connection before it was answered, 0 not */
	const struct kp_obj *conn; /* it came on this connection, NULL unknown */
	int status;		/* HTTP status, 0 unknown */
	bool open, failed;
};

/* ---- inputs that are read more than once ---- */
struct kp_again;
/* What can be read only once ("-", a pipe) is kept in a file in $TMPDIR that has no name and goes with the process. */
int kp_again_open(struct kp_again **out, const char *const *paths, uint32_t n, struct kp_err *err);
const char *const *kp_again_paths(const struct kp_again *a, uint32_t *n);
const char *kp_again_name(const struct kp_again *a, const char *path); /* what the user called it */
/* Puts what the user called an input in front of an error, where a name of ours stands. Returns rc. */
int kp_again_err(const struct kp_again *a, int rc, struct kp_err *err);
void kp_again_close(struct kp_again *a);

/* ---- the first pass ---- */
struct kp_scan;
int kp_scan_new(struct kp_scan **out, struct kp_pool *pool, const struct kp_select_opts *o);
int kp_scan_row(struct kp_scan *s, const struct kp_header *h, const struct kp_row *row, struct kp_err *err);
/*
 * The targets, best first; they live as long as the scan. -ENOENT: none, and err says what the recording covers
 * and what is near. r: for times of day, NULL: those of the header.
 */
int kp_scan_targets(struct kp_scan *s, const struct kp_header *h, const struct kp_reader *r, const struct kp_target **t,
		    uint32_t *n, struct kp_err *err);
void kp_scan_free(struct kp_scan *s);

/* ---- the second pass, per target ---- */
struct kp_world;
int kp_world_new(struct kp_world **out, struct kp_pool *pool, const struct kp_target *t);
/* The times (unified) between which rows are of use; and those for a reader of the same inputs as r, which has read them. */
void kp_world_window(const struct kp_world *w, uint64_t *since, uint64_t *until);
void kp_world_limits(const struct kp_world *w, const struct kp_header *h, const struct kp_reader *r, struct kp_read_opts *ro);
int kp_world_row(struct kp_world *w, const struct kp_header *h, const struct kp_row *row, struct kp_err *err);
/* Explains the target from the rows given so far. The caller frees *g with kp_graph_free. */
int kp_world_explain(struct kp_world *w, const struct kp_header *h, struct kp_graph **g, struct kp_err *err);
void kp_world_free(struct kp_world *w);
/* ns to add to a source's monotonic time to put it on the line of the first source. */
int64_t kp_unify(const struct kp_header *h, uint32_t source);

/* ---- reports ---- */
int kp_report_text(FILE *f, const struct kp_graph *g, bool color);	/* the story */
int kp_report_json(FILE *f, const struct kp_graph *g);	/* one object a target, a line each */

#endif
