/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recording: loads the BPF programs, turns what they send into rows and hands
 * these to a sink, in order of `end`. One recorder belongs to one thread.
 *
 *	kp_record_new(&r, &opts, &err);			loads and attaches
 *	kp_writer_open(&w, fd, false, kp_record_header(r), kp_record_kinds(r), NULL, &err);
 *	kp_record_run(r, &sink, &err);			until its end, or kp_record_stop
 *	kp_record_free(r);
 */
#ifndef KP_RECORD_H
#define KP_RECORD_H

#include <kp/err.h>
#include <kp/kinds.h>
#include <kp/row.h>
#include <kp/stream.h>
#include <kp/util.h>

/* What is kept of the first bytes of messages on sockets. */
enum kp_record_data { KP_DATA_IDS /* what kp_proto_keep keeps */, KP_DATA_NONE, KP_DATA_RAW };

struct kp_record_stats {
	uint64_t events;	/* rows that tell of something that happened: not keyframes, clocks, losses */
	uint64_t lost;		/* events that the kernel side had to drop */
	uint64_t late;		/* events whose end was put off a little, since they came after later ones */
	uint64_t bad;		/* records that could not be understood: never, but for a bug */
	uint64_t ring_bytes, ring_max;	/* room for records per CPU, and the most that one ever held */
	uint64_t gap_max;	/* ns: the longest time between two looks at the rings */
};

/* What the recorder has to say while it works; level as -v counts: 0 important, 1 and 2 details. */
typedef void (*kp_record_say_fn)(void *arg, int level, const char *line);

/* Zeroed members are the defaults. Texts and arrays must live until kp_record_free. */
struct kp_record_opts {
	const uint32_t *pids; uint32_t npids;	/* only these processes, and what they start from now on */
	uint32_t cpu_budget;			/* thousandths of a CPU for all that recording takes, 0: 20; ~0: no limit */
	const char *comm;			/* only tasks of this name (the kernel keeps 15 bytes) */
	const char *cgroup;			/* only tasks in or below this cgroup: a path */
	const char *kinds;			/* only these: names and globs, separated by commas */
	uint64_t min_dur;			/* ns: no rows for shorter operations */
	uint64_t stack_min;			/* ns: sleeps from here on get stacks; 0: 1 ms, ~0 never */
	uint64_t duration;			/* ns, 0: no end */
	uint64_t count;				/* events, 0: no end */
	uint64_t buffer;			/* bytes per CPU, 0: 16 MiB, less with many CPUs; rounded up to a power of two */
	const char *profile;			/* a name of kp_record_profile; NULL: default */
	uint8_t data;				/* enum kp_record_data */
	bool all;				/* with a command: record everything meanwhile */
	bool no_exclude;			/* record also the recorder's own party, see below */
	bool libbpf_prints;			/* libbpf may print on standard error, what the verifier says too */
	uint32_t payload;			/* KP_DATA_RAW: bytes of each message at most */
	int stream_fd;				/* where the stream goes: readers of that pipe are not recorded; -1: nowhere */
	int command_stdout;			/* the command's standard output; 0: the recorder's own */
	char *const *command;			/* started when all is set up; NULL none */
	kp_record_say_fn say; void *say_arg;	/* NULL: keep quiet */
	void (*second)(void *arg, const struct kp_record_stats *st); /* called once a second, with say_arg; NULL: not */
};

/* Takes what is recorded. Each returns 0 or an error, which ends the recording and is returned by kp_record_run. */
struct kp_record_sink {
	int (*row)(void *arg, const struct kp_row *row, struct kp_err *err);
	int (*key_begin)(void *arg, uint64_t t0, struct kp_err *err); /* the rows of a keyframe follow */
	int (*key_end)(void *arg, uint64_t t1, struct kp_err *err);
	/*
	 * Once a second. Tasks, objects and stacks of the rows before it may be forgotten after it; with NULL they
	 * are kept to the end, and memory grows.
	 */
	int (*flush)(void *arg, struct kp_err *err);
	void *arg;
	/*
	 * Asked ten times a second: true, and all rows so far are given, turn called, and what follows can be read
	 * without what came before: it begins with a keyframe. NULL: never.
	 */
	bool (*full)(void *arg);
	int (*turn)(void *arg, struct kp_err *err);
};
/* A sink that hands all to a writer. */
struct kp_record_sink kp_record_to_writer(struct kp_writer *w);

struct kp_record;

/* Are these kinds, as in opts.kinds? -EINVAL with a line that is meant for who typed them. */
int kp_record_check_kinds(const char *patterns, struct kp_err *err);
/* How much is recorded when nothing else is said: a row of profile.def. */
struct kp_record_profile {
	const char *name;
	const char *kinds;	/* as in opts.kinds; NULL all */
	uint64_t call_min, message_min;	/* ns: shorter ones that succeeded become count.sys, have no rows; 0: all have rows */
	uint64_t stack_min, lock_min;	/* ns */
	bool user_stack;	/* stacks of the program for calls of stack_min or longer */
};
const struct kp_record_profile *kp_record_profile(uint32_t i);	/* NULL behind the last */
int kp_record_profiles(struct kp_buf *out);	/* as a table; 0 or -ENOMEM */

/*
 * Loads and attaches; from here on rows are collected. -EPERM without privilege, -ENOTSUP without BTF or BPF.
 * A command is started but stops before it becomes the program; see kp_record_run.
 */
int kp_record_new(struct kp_record **out, const struct kp_record_opts *o, struct kp_err *err);
/* Source and hooks, and no provenance yet. Valid until kp_record_free. */
const struct kp_header *kp_record_header(const struct kp_record *r);
const struct kp_kinds *kp_record_kinds(const struct kp_record *r);
struct kp_pool *kp_record_pool(struct kp_record *r);	/* for texts that live as long as the recorder */
/* Lets the command go on and records until a limit, the command's end or kp_record_stop. */
int kp_record_run(struct kp_record *r, const struct kp_record_sink *sink, struct kp_err *err);
/*
 * Ends kp_record_run; may be called from a signal handler. While a command runs, sig (0: none) is sent to
 * it and the recording ends when it has ended; a second call ends it at once.
 */
void kp_record_stop(struct kp_record *r, int sig);

void kp_record_stats(const struct kp_record *r, struct kp_record_stats *st);
/*
 * Waits for the command, if it still runs. Its status as a shell would have it: 128 + signal; 127 not found,
 * 126 not executable (err says which). -ECHILD: there was none.
 */
int kp_record_command(struct kp_record *r, struct kp_err *err);
void kp_record_free(struct kp_record *r);	/* NULL is fine */

/* ---- what this host can do, and what it costs ---- */

/* A line for each thing that matters, "ok" or "missing" and what to do. 1: recording is possible, 0: it is not, -errno. */
int kp_record_check(struct kp_buf *out, const struct kp_record_opts *o, struct kp_err *err);
/* From here on the kernel counts runs of BPF programs and their time, which costs a little: fd, to be closed to end it; or -errno. */
int kp_record_measure(void);
/* Time spent in the programs so far, ns; only while it is measured. */
uint64_t kp_record_bpf_time(const struct kp_record *r);
/*
 * The event sources as a table. r, made with o and a duration, runs meanwhile to see what they cost; NULL, where
 * there is no privilege: without.
 */
int kp_record_sources(struct kp_record *r, const struct kp_record_opts *o, struct kp_buf *out, struct kp_err *err);

/*
 * Runs r, made with a duration, and throws away what it would write with these options. Says into out how much
 * that is, what it costs, and how long a ring of so many bytes would last.
 */
int kp_record_dry(struct kp_record *r, const struct kp_header *hdr, const struct kp_write_opts *wo, uint64_t ring,
		  struct kp_buf *out, struct kp_err *err);

/* Counts what goes by on its way to another sink, which is copied. 0 or -ENOMEM. */
struct kp_tally;
struct kp_tally_group { const char *name; uint64_t events, lost, shed, unknown /* losses of unknown size */; };
int kp_tally_new(struct kp_tally **out, const struct kp_record *r, const struct kp_record_sink *next);
struct kp_record_sink kp_tally_sink(struct kp_tally *t);
/* The i-th group of kinds ("sys", "tcp"); 0 is "any", for losses whose kind is not known; NULL behind the last. */
const struct kp_tally_group *kp_tally_group(const struct kp_tally *t, uint32_t i);
uint64_t kp_tally_last(const struct kp_tally *t);	/* end of the last event; 0 none */
void kp_tally_free(struct kp_tally *t);

/* What this process takes: CPU time in ns, memory in bytes. */
struct kp_usage { uint64_t user, system, rss; };
void kp_usage_read(struct kp_usage *u);
/* A line of how it goes, since the last call with p (zeroed for the first); bytes: written so far. As snprintf. */
struct kp_progress { uint64_t when, events, cpu; };
int kp_usage_line(struct kp_progress *p, const struct kp_record_stats *st, uint64_t bytes, char *out, size_t cap);

/* The state of the recorder for Prometheus; written under another name first, so that no half of it is ever seen. */
int kp_metrics_text(struct kp_buf *b, const struct kp_record *r, const struct kp_tally *t, uint64_t bytes);
int kp_metrics_write(const char *path, const struct kp_record *r, const struct kp_tally *t, uint64_t bytes, struct kp_err *err);

/* To the service manager, if there is one. watchdog: ns within which it wants a sign of life, 0: never. */
struct kp_notify { int fd; uint64_t watchdog; };
int kp_notify_open(struct kp_notify *n);	/* 0, also where there is none; -errno */
void kp_notify_send(const struct kp_notify *n, const char *lines); /* may be called in a signal handler */
void kp_notify_close(struct kp_notify *n);

/* What a recorder that runs as a service does once a second, and at both ends. */
struct kp_service {
	const char *metrics;		/* the file, NULL none */
	struct kp_notify notify;
	/* its own */
	const struct kp_record *r;
	const struct kp_tally *tally;	/* NULL without metrics */
	struct kp_progress progress;
	uint64_t next_metrics, next_status;
	bool failed;
	char line[160];			/* how it goes, in words */
};
/* All is set up. An error when metrics cannot be written. */
int kp_service_ready(struct kp_service *s, const struct kp_record *r, const struct kp_tally *tally, struct kp_err *err);
void kp_service_second(struct kp_service *s, const struct kp_record_stats *st, uint64_t bytes);
void kp_service_end(struct kp_service *s, uint64_t bytes);

/* ---- safety ---- */

/* Capabilities that are needed for as long as it records, as bits. */
uint64_t kp_record_caps(void);
/* Those needed to make files in the directory of this file: none where it is our own. */
uint64_t kp_record_caps_for(const char *file);
/* To be called before there are threads: gives up all capabilities but those in keep, for good. */
int kp_record_drop(uint64_t keep, struct kp_err *err);
/* To be first where many want the CPU, unless it was decided otherwise already. */
void kp_record_hurry(void);
/* Asks the OOM killer to take others first. 0 or -errno: it may not be allowed. */
int kp_record_spare(void);

#endif
