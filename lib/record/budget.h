/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU that recording may take: what is measured in, what is left out or taken up again out. Nothing here touches
 * the kernel; shed.c does what it says.
 */
#ifndef KP_RECORD_BUDGET_H
#define KP_RECORD_BUDGET_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include <bpf/event.h>

/* In the order in which they are taken; kp-record(1) documents it. */
struct kp_budget_step {
	const char *name;
	uint8_t class;		/* COST_*: whose cost it lowers */
	uint32_t shed;		/* SHED_*: left out in the kernel, and counted; or */
	const char *hooks;	/* globs: taken off, so that nobody knows how much is missing */
};
enum { KP_BUDGET_STEPS = 7, KP_BUDGET_SPAN = 4 };
extern const struct kp_budget_step kp_budget_steps[KP_BUDGET_STEPS];

/* What was taken since the last look, ns of CPU and runs of programs by class, in dt ns. */
struct kp_load { double ns[COST_CLASSES], runs[COST_CLASSES]; uint64_t dt; };

struct kp_budget {
	double budget;		/* ns of CPU in a second */
	uint32_t active;	/* steps that are taken, a bit each */
	uint32_t fixed;		/* those that a profile has taken for good */
	struct kp_load look[KP_BUDGET_SPAN]; /* the last ones since the last change, the newest at nlook - 1 */
	uint32_t nlook;
	bool settling;		/* what was under way at the last change is still being worked off */
	uint64_t quiet_since;	/* the next step back could be taken since then; 0: it cannot */
	uint32_t measuring;	/* the step, + 1, whose effect is not known yet */
	double before;		/* what was used before that */
	struct {
		uint64_t taken, back;	/* when, last */
		uint64_t wait;		/* so long it has to be quiet before it is given back */
		double saved, runs;	/* what it saved, at so many runs a second of its class */
	} step[KP_BUDGET_STEPS];
	double used;		/* ns of CPU in a second, over the last looks */
};

/* budget: ns of CPU a second. fixed: SHED_* that are on for good. */
void kp_budget_init(struct kp_budget *b, double budget, uint32_t fixed);
/* After each fraction of a second. i + 1: take step i, -(i + 1): give it back, 0: nothing. */
int kp_budget_look(struct kp_budget *b, uint64_t now, const struct kp_load *l);

#endif
