/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside lib/record: the recorder and its steps. */
#ifndef KP_RECORD_REC_H
#define KP_RECORD_REC_H

#include <linux/types.h>

#include <kp/record.h>

#include "child.h"
#include "decode.h"
#include "exclude.h"
#include "hooks.h"
#include "merge.h"
#include "ring.h"

enum {
	MS = 1000000,
	TICK = 100 * MS,	/* counters, losses, polled things; the longest a record stays in its ring */
	HOLD = 50 * MS,		/* so long a record may still be under way: a stalled virtual CPU */
};
#define SEC 1000000000ull

struct kprobe_bpf;
struct kp_counts;
struct kp_losses;
struct kp_shed;

struct kp_record {
	struct kp_record_opts o;
	struct kp_record_profile profile;
	/* what the kernel side is */
	struct kprobe_bpf *skel;
	struct kp_hooks hooks;
	uint32_t ncpu;			/* possible CPUs */
	uint64_t ring_size;
	struct kp_ring *ring;		/* one a CPU; not mapped where there was none to be had */
	int *ring_fd;
	struct bpf_link *iter;		/* of the task iterator, NULL: /proc has to do */
	/* what rows are made of */
	struct kp_kinds *kinds;
	struct kp_pool *texts;		/* of the header: lives as long as we */
	struct kp_pool *pool;		/* of the rows: replaced when it has grown */
	struct kp_header header;
	struct kp_source source;
	struct kp_resolve *res;
	struct kp_decode *dec;
	struct kp_merge merge;		/* a queue for each CPU and one, the last, for rows of our own */
	struct kp_counts *counts;
	struct kp_losses *losses;
	struct kp_shed *shed;		/* NULL: no budget */
	struct it_task *task; uint32_t ntask, task_cap; /* of the last look at all tasks */
	/* running */
	const struct kp_record_sink *sink;
	struct kp_err *err;		/* of the present kp_record_run: emitters have no other way */
	struct kp_child child;
	struct kp_excluded excluded;	/* who makes no rows */
	int epfd, stopfd;
	volatile int stops;		/* calls of kp_record_stop */
	uint64_t started, last_drain;
	uint64_t last_end;		/* of the last row given to the sink */
	uint64_t next_tick, next_second, next_open, next_key, next_clock;
	int64_t wall_off;		/* wall clock less monotonic, at the last look */
	bool counted_out;		/* o.count is reached */
	bool behind;			/* rows were left that could be written */
	bool pressed;			/* a ring was half full since losses were last read */
	struct kp_record_stats st;
};

/* Says a line when the level is wanted. */
void kp_rec_say(const struct kp_record *r, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Is a kind wanted, by its id? */
bool kp_rec_wants(const struct kp_record *r, uint16_t kind);

/* ---- load.c ---- */
int kp_rec_load(struct kp_record *r, struct kp_err *err);
/* A ring for each CPU that has come online; until it has one, what happens there is lost, and counted. 0 or -errno. */
int kp_rec_more_rings(struct kp_record *r);
/* No more records; those under way are complete when it returns. */
void kp_rec_detach(struct kp_record *r);
void kp_rec_unload(struct kp_record *r);
int kp_rec_map_fd(const struct kp_record *r, const char *name);	/* -1: there is none */

/* ---- counts.c: rows from the counters in the kernel ---- */
int kp_counts_new(struct kp_counts **c, const struct kp_record *r);
/* Rows for the time since the last call go into r's own queue. 0 or -ENOMEM. */
int kp_counts_read(struct kp_counts *c, struct kp_record *r, uint64_t now);
/* The process ended at that time (CLOCK_BOOTTIME): its counters go once they were read. */
void kp_counts_exited(struct kp_counts *c, uint32_t tgid, uint64_t when);
void kp_counts_free(struct kp_counts *c);

/* ---- losses.c: rows for what the kernel side dropped ---- */
int kp_losses_new(struct kp_losses **l, const struct kp_record *r);
int kp_losses_read(struct kp_losses *l, struct kp_record *r, uint64_t now);
void kp_losses_free(struct kp_losses *l);

/* ---- shed.c: keeps to the budget ---- */
int kp_shed_new(struct kp_shed **s, struct kp_record *r);
/* A record of that kind has come: its row will be paid for. */
void kp_shed_record(struct kp_shed *s, uint16_t kind);
/* Now and then; rows of steps go into r's own queue. */
int kp_shed_look(struct kp_shed *s, struct kp_record *r, uint64_t now);
/* What the recorder does between the two is its own, and no row's: it is spread over the time since it came last. */
void kp_shed_apart_begin(struct kp_shed *s);
void kp_shed_apart_end(struct kp_shed *s, uint64_t now);
/* The step, from 1 on, that leaves out short ones of a kind. */
uint32_t kp_shed_step_of(uint16_t kind);
/* Steps that are still taken at the end: rows, flagged open. */
int kp_shed_finish(struct kp_shed *s, struct kp_record *r, uint64_t now);
void kp_shed_free(struct kp_shed *s);	/* NULL is fine, here and above */

/* ---- tasks.c: keyframes and what has not ended ---- */
int kp_rec_look(struct kp_record *r);		/* all tasks into r->task; 0 or -errno */
int kp_rec_flush_sums(struct kp_record *r);	/* after kp_rec_detach: what tasks have summed up goes into the rings */
int kp_rec_keyframe(struct kp_record *r);
int kp_rec_open(struct kp_record *r, uint64_t min_dur);	/* after kp_rec_look */

/* ---- sources.c ---- */
/* Fills r with what can be said of hooks without privilege, for kp_rec_survey_end to free, also after errors. */
int kp_rec_survey(struct kp_record *r, const struct kp_record_opts *o);
void kp_rec_survey_end(struct kp_record *r);

/* ---- run.c ---- */
/* Is it a row of an excluded process? Takes the name off one that says more of others. */
bool kp_rec_left_out(const struct kp_record *r, struct kp_row *row);
/* Reads all rings into the queues. 0 or -errno. */
int kp_rec_drain(struct kp_record *r);
/* A row of our own joins the others in order of time. */
int kp_rec_queue(struct kp_record *r, const struct kp_row *row);
/* The same of a process that is looked up only when the row's turn has come: what began it may still be in the queues. */
int kp_rec_queue_of(struct kp_record *r, const struct kp_row *row, uint32_t tgid, uint64_t start);

#endif
