/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Choosing rows of streams: by an expression, by kinds, by wall-clock time; and
 * what a stream says about itself. Prints nothing: rows are handed out one by
 * one, reports are appended to a buffer.
 */
#ifndef KP_QUERY_H
#define KP_QUERY_H

#include <kp/err.h>
#include <kp/kinds.h>
#include <kp/stream.h>
#include <kp/util.h>

enum {	/* kp_query_opts.keep: rows inside the time limits that come although nothing asked for them */
	KP_QUERY_LOSSES = 1,	/* so that nobody reads past a hole */
	/*
	 * What makes a stream that others go on with: losses, clocks, life of tasks, keyframes; at --since what
	 * was alive and open then, from the keyframe before it and what happened since.
	 */
	KP_QUERY_CONTEXT = 2,
	KP_QUERY_NO_NOISE = 4,	/* the opposite: keyframe and clock rows only where kinds or where names them */
};

struct kp_query_opts {
	const char *const *paths; uint32_t npaths; /* as for kp_reader_open */
	const char *where;	/* expression, NULL: all */
	const char *kinds;	/* "sys.*,tcp.*", NULL: all */
	/*
	 * Times as in kp_parse_time, NULL: no limit. A time of day is the last one within the recording, "-10m" is
	 * before its end; on standard input, whose end is not known, a time of day is the first that is not more
	 * than 12 hours before the beginning and "-10m" is before now.
	 * around: "TIME" or "TIME,WIDTH", the time and so much (30s) before and after it.
	 */
	const char *since, *until, *around;
	uint64_t count;		/* so many rows at most, 0: all */
	unsigned keep;
	bool strict;
	kp_find_fn found; void *found_arg;
	void (*tick)(void *arg); void *tick_arg; /* called every few thousand rows read, NULL: not */
	void (*idle)(void *arg, int fd); void *idle_arg; /* see kp_read_opts */
	/*
	 * Called between two rows, when the values of all rows so far are about to be freed: whoever keeps any lets go
	 * of them (kp_export_forget). 0, or an error that ends the query. NULL: values stay, and memory grows with them.
	 */
	int (*renew)(void *arg, struct kp_err *err); void *renew_arg;
};

struct kp_query;

/* Is text an expression? 0, or -EINVAL with what is wrong with it. */
int kp_query_check(const char *text, struct kp_err *err);
int kp_query_open(struct kp_query **out, const struct kp_query_opts *o, struct kp_err *err);
/* 1 and a row (valid until the next call), 0 at the end, -errno. */
int kp_query_next(struct kp_query *q, const struct kp_row **row, struct kp_err *err);
void kp_query_close(struct kp_query *q);

struct kp_reader *kp_query_reader(struct kp_query *q);
struct kp_pool *kp_query_pool(struct kp_query *q);	/* for texts that live as long as the query; rows' own are in another */
const struct kp_kinds *kp_query_kinds(struct kp_query *q);

struct kp_query_stats {
	uint64_t rows_in, rows_out;
	uint64_t lost;		/* rows that were lost inside the time limits, as far as they were counted */
	bool lost_unknown;	/* and more of which nobody knows how many */
	uint64_t bytes, total;	/* read so far, and of how many; total 0: not known */
	/* wall clock, ns: the limits asked for, and what the input covers; 0: none, not known */
	uint64_t since, until, begin, end;
	int32_t utc_offset;	/* of the host that was recorded */
};
void kp_query_stats(const struct kp_query *q, struct kp_query_stats *st);

/* Reads q to its end and appends what its rows and its header say: for people, or as one JSON object. */
int kp_query_info(struct kp_query *q, struct kp_buf *b, bool json, struct kp_err *err);
/* The kind table (kinds that match patterns, NULL all), likewise. -ENOENT when none matches. */
int kp_query_list_kinds(struct kp_buf *b, const char *patterns, bool json, struct kp_err *err);

#endif
