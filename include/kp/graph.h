/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A graph record: the explanation of one target (a request, or a task and an
 * interval). Written by kp-causal, read by kp-dot and whoever wants to. The
 * path steps partition the target's interval; the causes sum to it.
 */
#ifndef KP_GRAPH_H
#define KP_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include <kp/causes.h>

/* Strings are NUL-terminated copies owned by the graph, already escaped (\xNN); "" for none. */
struct kp_who {
	uint32_t source, tid, tgid;
	uint64_t start;		/* of the task, see kp_task */
	char *comm, *service, *cgroup, *host;
};

/* A row that supports a claim, by identity and in words. */
struct kp_evidence {
	uint64_t row;		/* kp_row_id; 0: no single row */
	uint64_t ts;		/* ns, monotonic of the source */
	char *kind, *what;
	bool observed;
};

enum kp_step_state { KP_ST_RUNNING, KP_ST_RUNNABLE, KP_ST_BLOCKED, KP_ST_REMOTE /* in flight between tasks */ };

struct kp_step {		/* one piece of the critical path, in order of time */
	uint64_t from, dur;	/* ns; from is monotonic */
	struct kp_who who;
	uint8_t state;		/* enum kp_step_state */
	uint32_t cause;		/* index into causes */
	char *what;		/* "read of base/16384/16402", "SELECT items" */
	uint32_t depth;		/* 0 = the target's own task, +1 for each task called on its behalf */
};

struct kp_blame {
	struct kp_who who;
	double share;		/* of this cause's ns */
	char *why;
};

struct kp_cause {
	uint16_t kind;		/* enum kp_cause_kind */
	uint64_t ns;		/* sum over the path */
	double share;		/* of the target's duration */
	struct kp_who victim;
	struct kp_blame *blame; uint32_t nblame; /* largest first; none: nobody to blame */
	char *object;
	bool observed;		/* the wait and its reason were seen; the culprit may be inferred, see evidence */
	bool root;
	double confidence;	/* 0..1 */
	char *runner_up;	/* what else it could have been, "" nothing */
	uint64_t counterfactual;/* duration of the target without this cause, ns */
	struct kp_evidence *ev; uint32_t nev;
};

/* Marks on the time line: received, gave up, answered too late, log lines. */
enum kp_mark_type { KP_MARK_START, KP_MARK_NOTE, KP_MARK_GAVE_UP, KP_MARK_LATE, KP_MARK_END, KP_MARK_LOG };
struct kp_mark { uint64_t ts; uint8_t type; struct kp_who who; char *what; };

struct kp_node { char *name; uint8_t type; /* 0 target, 1 operation, 2 kernel event, 3 culprit */ struct kp_who who; uint64_t from, ns; uint32_t cause; /* UINT32_MAX none */ };
struct kp_edge { uint32_t from, to; /* nodes; effect -> its cause */ uint64_t ns; bool observed; char *label; };

struct kp_graph {
	char *request, *trace, *txn, *service, *op, *outcome; /* outcome: "ok", "failed", "timeout", "open" */
	struct kp_who target;
	uint64_t start, dur;	/* as the client or caller saw it */
	uint64_t limit;		/* the timeout that fired, ns; 0 none */
	uint64_t late;		/* how long after giving up the answer came, ns; 0 not */
	uint64_t real0;		/* wall clock of start, ns */
	uint64_t losses;	/* rows lost inside the window */
	struct kp_cause *causes; uint32_t ncauses; /* by ns, largest first */
	struct kp_step *steps; uint32_t nsteps;
	struct kp_mark *marks; uint32_t nmarks;
	struct kp_node *nodes; uint32_t nnodes;
	struct kp_edge *edges; uint32_t nedges;
};

void kp_graph_free(struct kp_graph *g); /* also everything it owns; NULL is fine */

#endif
