/* SPDX-License-Identifier: BSD-2-Clause */
/* Profiles: names for how much is recorded. */
#include <stdio.h>

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

static const char *from(char buf[32], uint64_t ns)
{
	bool ms = ns % 1000000 == 0;

	if (!ns)
		return "all";
	snprintf(buf, 32, "%llu%s", (unsigned long long)(ns / (ms ? 1000000 : 1000)), ms ? "ms" : "us");
	return buf;
}

/* As kp-record(1) has it. */
int kp_record_profiles(struct kp_buf *out)
{
	const struct kp_record_profile *p;
	char b[4][32];

	kp_buf_printf(out, "profile\tcalls\tmessages\tstacks\tlocks\tprograms\tkinds\n");
	for (uint32_t i = 0; (p = kp_record_profile(i)); i++)
		kp_buf_printf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p->name, from(b[0], p->call_min), from(b[1], p->message_min),
		       from(b[2], p->stack_min), from(b[3], p->lock_min), p->user_stack ? "yes" : "no", p->kinds);
	return out->err;
}
