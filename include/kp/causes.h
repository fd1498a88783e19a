/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KP_CAUSES_H
#define KP_CAUSES_H

#include <stdint.h>

enum kp_cause_kind {
#define KP_CAUSE(id, sym, name, help) KP_C_##sym = (id),
#include <kp/causes.def>
#undef KP_CAUSE
	KP_C_MAX,
};

/* Name and one-line meaning; an id of a newer version gives "unknown". */
const char *kp_cause_name(uint16_t kind);
const char *kp_cause_help(uint16_t kind);
int kp_cause_by_name(const char *name);	/* id or -ENOENT */

#endif
