/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors: every function that can fail returns 0 (or a count) or -errno, and
 * puts one line of context into the caller's struct kp_err. Nothing in lib/
 * prints. A tool prints the line once, behind its own name.
 */
#ifndef KP_ERR_H
#define KP_ERR_H

struct kp_err {
	char msg[512];
};

/* Sets the line ("what: which file or source: what to do"), returns -eno. err may be NULL. */
int kp_err(struct kp_err *err, int eno, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts text in front of the line that is already there; returns rc unchanged. */
int kp_err_prefix(struct kp_err *err, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
