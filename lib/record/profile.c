/* SPDX-License-Identifier: BSD-2-Clause */
/* Profiles: names for how much is recorded. */
#include <stddef.h>

#include <kp/record.h>

static const struct kp_record_profile profiles[] = {
#define KP_PROFILE(name, kinds, call_min, message_min, stack_min, lock_min, user_stack) \
	{ name, kinds, call_min, message_min, stack_min, lock_min, user_stack },
#include "profile.def"
#undef KP_PROFILE
};

const struct kp_record_profile *kp_record_profile(uint32_t i)
{
	return i < sizeof(profiles) / sizeof(*profiles) ? &profiles[i] : NULL;
}
