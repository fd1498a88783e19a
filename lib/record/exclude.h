/* SPDX-License-Identifier: BSD-2-Clause */
/* Who must not be recorded, or the recording would feed on itself. */
#ifndef KP_RECORD_EXCLUDE_H
#define KP_RECORD_EXCLUDE_H

#include <stdint.h>

struct kp_excluded { uint32_t pid[256]; uint32_t n; };

/*
 * This process; the readers of the pipes that fds (-1: none) are, the readers of what those write to their
 * standard output, and so on; of the parents those that are sshd. proc: where /proc is mounted.
 */
void kp_exclude_find(struct kp_excluded *x, const char *proc, const int *fds, uint32_t nfds);

#endif
