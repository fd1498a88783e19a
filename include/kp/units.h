/* SPDX-License-Identifier: BSD-2-Clause */
/* Values by the unit of their argument: as text, and names back to numbers. */
#ifndef KP_UNITS_H
#define KP_UNITS_H

#include <kp/kinds.h>
#include <kp/util.h>

/* Appends v as a person wants to read it: "-ENOENT", "D", "SIGTERM", "O_RDONLY|O_CLOEXEC", "0x1f". */
int kp_unit_put(struct kp_buf *b, uint8_t unit, uint64_t v);
/* Is a value of this unit signed? */
bool kp_unit_signed(uint8_t unit);
/*
 * The number that a name stands for in a unit: "ENOENT" or "-ENOENT" -> -2 (KP_U_ERR), "SIGTERM" or "TERM",
 * "ESTABLISHED", "softirq", "AF_INET", "FUTEX_WAIT". 0 or -ENOENT. States are letters, see kp_state_letter.
 */
int kp_unit_const(uint8_t unit, const char *name, size_t len, int64_t *v);
/* R S D T t X Z P I of a kernel task state (0: R, preempted or runnable); '?' for none of these. */
char kp_state_letter(uint64_t state);
/* Did a call with this result fail? Only where ret holds -errno, an address or an id. */
bool kp_failed(const struct kp_kind *k, int64_t ret);

#endif
