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
	const char *comm;			/* only tasks of this name (the kernel keeps 15 bytes) */
	const char *cgroup;			/* only tasks in or below this cgroup: a path */
	const char *kinds;			/* only these: names and globs, separated by commas */
	bool all;				/* with a command: record everything meanwhile */
	uint64_t min_dur;			/* ns: no rows for shorter operations */
	uint64_t stack_min;			/* ns: sleeps from here on get stacks; 0: 1 ms, ~0 never */
	uint64_t duration;			/* ns, 0: no end */
	uint64_t count;				/* events, 0: no end */
	uint64_t buffer;			/* bytes per CPU, 0: 16 MiB, less with many CPUs; rounded up to a power of two */
	uint8_t data;				/* enum kp_record_data */
	uint32_t payload;			/* KP_DATA_RAW: bytes of each message at most */
	const char *profile;			/* a name of kp_record_profile; NULL: default */
	uint32_t cpu_budget;			/* thousandths of a CPU for all that recording takes, 0: 20; ~0: no limit */
	bool no_exclude;			/* record also the recorder's own party, see below */
	int stream_fd;				/* where the stream goes: readers of that pipe are not recorded; -1: nowhere */
	char *const *command;			/* started when all is set up; NULL none */
	int command_stdout;			/* the command's standard output; 0: the recorder's own */
	kp_record_say_fn say; void *say_arg;	/* NULL: keep quiet */
	void (*second)(void *arg, const struct kp_record_stats *st); /* called once a second, with say_arg; NULL: not */
	bool libbpf_prints;			/* libbpf may print on standard error, what the verifier says too */
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

#endif
