/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gives rows their context: service, operation, request, trace, span and
 * transaction. Rows go in in order of time and come out in the same order,
 * held back by a window, so that a message's other end, seen a little later,
 * still names them. One thread at a time; values that it makes live in a pool
 * of its own, until kp_enrich_free or kp_enrich_renew.
 */
#ifndef KP_ENRICH_H
#define KP_ENRICH_H

#include <kp/err.h>
#include <kp/stream.h>

struct kp_enrich;

/* Takes a finished row; it is valid during the call. 0, or an error that kp_enrich_* then returns. */
typedef int (*kp_enrich_fn)(void *arg, const struct kp_row *row, struct kp_err *err);

/* hold: the window in ns, 0: 250 ms. */
int kp_enrich_new(struct kp_enrich **out, uint64_t hold, kp_enrich_fn emit, void *arg, struct kp_err *err);
void kp_enrich_free(struct kp_enrich *e);	/* NULL is fine */

/*
 * OTLP in JSON: one ExportTraceServiceRequest a line, or one value (object, array of them) over many lines.
 * Lines that cannot be read are counted. "-": standard input. Before the first row.
 */
int kp_enrich_spans(struct kp_enrich *e, const char *path, struct kp_err *err);
int kp_enrich_spans_text(struct kp_enrich *e, const char *text, size_t len, struct kp_err *err);
/* Tab-separated lines: comm|exe|port|cgroup, a value (a glob but for port), the service's name; # begins a comment. */
int kp_enrich_map(struct kp_enrich *e, const char *path, struct kp_err *err);

/* What is known of a source, and its wall clock minus monotonic just now. At its first row, and when it changes. */
int kp_enrich_source(struct kp_enrich *e, uint32_t source, const struct kp_source *s, int64_t wall_off);

int kp_enrich_row(struct kp_enrich *e, const struct kp_row *row, struct kp_err *err);
/* Lets go of all rows that are held, when nothing has come for a while. */
int kp_enrich_flush(struct kp_enrich *e, struct kp_err *err);
/* The same, and all requests that were not told yet are. */
int kp_enrich_end(struct kp_enrich *e, struct kp_err *err);

/*
 * A stream need not end, and memory grows with its names and threads. kp_enrich_renew forgets threads that are over
 * and moves what is still needed: values of rows into pool, which is the caller's as the one before was, and what it
 * made itself into a new one of its own. Afterwards nothing of it refers to the pool that rows came from before, and
 * no row that was emitted is good any more: a writer has to be flushed before (see kp_reader_renew, for the input's
 * side). 0 or -ENOMEM: then all that is left to do is kp_enrich_free.
 */
int kp_enrich_renew(struct kp_enrich *e, struct kp_pool *pool);
size_t kp_enrich_bytes(const struct kp_enrich *e);	/* of what can become less by that */

/* A request that a server received; valid during the call. */
struct kp_request {
	uint32_t source;
	const struct kp_task *task;		/* whose thread received it */
	uint64_t start, dur;			/* CLOCK_MONOTONIC of the source; up to its answer */
	const struct kp_str *service, *op, *request, *trace;	/* NULL: not known */
	int status; bool failed;		/* of the answer, see struct kp_msg */
	bool open;				/* not answered */
	bool inner;				/* asked on behalf of another request that was recorded */
};
typedef int (*kp_request_fn)(void *arg, const struct kp_request *r, struct kp_err *err);
/* Before the first row: fn is called for each, about a second after its answer. */
void kp_enrich_requests(struct kp_enrich *e, kp_request_fn fn, void *arg);

struct kp_enrich_stats {
	uint64_t rows, attributed;		/* attributed: given an operation, a request or a trace */
	uint64_t requests;			/* messages that began a request at a server */
	uint64_t sends_matched, sends_unmatched;/* requests sent: seen at their other end or not */
	uint64_t spans, spans_matched, bad_lines;
	uint64_t bad_line;			/* number of the first bad line, 0 none */
};
void kp_enrich_stats(const struct kp_enrich *e, struct kp_enrich_stats *st);

/*
 * Hosts' clocks from their messages: none is received before it was sent, in either direction. Rows in any order;
 * then solve gives n sources their shifts (in addition to what they have) and the bounds of the error, UINT64_MAX
 * where messages went one way only. Source 0's host is the one that stays.
 */
struct kp_clocks;
int kp_clocks_new(struct kp_clocks **out);	/* 0 or -ENOMEM */
void kp_clocks_free(struct kp_clocks *c);	/* NULL is fine */
int kp_clocks_row(struct kp_clocks *c, const struct kp_header *h, const struct kp_row *row); /* 0 or -ENOMEM */
/* How many sources got a shift by messages. */
uint32_t kp_clocks_solve(const struct kp_clocks *c, const struct kp_header *h, int64_t *shift, uint64_t *shift_err, uint32_t n);
/* All of it: reads the inputs once, if they can be read again and are of several hosts. *shifts: to be freed; NULL none. */
int kp_clocks_learn(const char *const *paths, uint32_t n, struct kp_shift **shifts, uint32_t *nshifts, struct kp_err *err);

#endif
