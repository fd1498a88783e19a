/* SPDX-License-Identifier: BSD-2-Clause */
/* The command that is recorded: it waits between fork and exec until the recorder is ready. */
#ifndef KP_RECORD_CHILD_H
#define KP_RECORD_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include <kp/err.h>

struct kp_child {
	pid_t pid;	/* 0: none */
	int go;		/* a byte into it lets the child go on; -1 done */
	int failed;	/* the child writes errno of its exec into it; -1 read */
	int pidfd;	/* readable when it has ended; -1 none */
	bool ended;
	int status;	/* as a shell has it, once ended */
	int exec_errno;
};

/* c is zeroed by the caller or was never started. out_fd > 0 becomes its standard output. */
int kp_child_start(struct kp_child *c, char *const *argv, int out_fd, struct kp_err *err);
void kp_child_go(struct kp_child *c);
bool kp_child_gone(const struct kp_child *c);	/* was it let go? */
/* Has it ended? With wait: waits for it. */
bool kp_child_ended(struct kp_child *c, bool wait);
/* Waits for it; its status. One that was not let go ends without having run: 125. err is set when it could not be executed. */
int kp_child_status(struct kp_child *c, const char *name, struct kp_err *err);
/* A child that was never let go must not linger: it is told to end. */
void kp_child_free(struct kp_child *c);

#endif
