/* SPDX-License-Identifier: BSD-2-Clause */
/* What is wanted, as the BPF programs are told. */
#ifndef KP_RECORD_FILTER_H
#define KP_RECORD_FILTER_H

#include <linux/types.h>

#include <bpf/event.h>
#include <kp/err.h>
#include <kp/kinds.h>

struct btf;

/* Fills one entry a system call of this machine, and those of 32-bit programs from SYS_MAX on. patterns: kinds wanted, NULL all. messages: their bytes are, too. */
void kp_filter_syscalls(struct sys_info *info, const struct kp_kinds *kinds, const char *patterns, bool messages);
/*
 * Finds a cgroup by its directory, or by its path inside a hierarchy ("/kpdemo"), where the unified one is tried
 * first, then those with controllers. mountinfo: /proc/self/mountinfo. Fills cgroup_id, cgroup_subsys, filter_cgroup.
 */
int kp_filter_cgroup(struct rec_cfg *cfg, const char *path, const char *mountinfo, const struct btf *vmlinux, struct kp_err *err);
/* Do the patterns name any kind? -EINVAL with the name that does not. */
int kp_filter_check(const struct kp_kinds *kinds, const char *patterns, struct kp_err *err);
bool kp_filter_any(const struct kp_kinds *kinds, const char *patterns, const char *of);

#endif
