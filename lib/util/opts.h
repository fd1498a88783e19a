/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside lib/util: the options that every tool has, and what is made from a tool's table. */
#ifndef KP_UTIL_OPTS_H
#define KP_UTIL_OPTS_H

#include <kp/util.h>

enum { KP_OPT_COMPLETION = 0x7f00, KP_OPT_OPTIONS };

extern const struct kp_opt kp_common_opts[];

/* Iterates over own and common options alike, headings left out; NULL at the end. *i starts at 0. */
const struct kp_opt *kp_opt_next(const struct kp_tool *t, size_t *i);
void kp_opts_help(const struct kp_tool *t);
/* 0, or -EINVAL for a shell that is not known. */
int kp_opts_completion(const struct kp_tool *t, const char *shell);

#endif
