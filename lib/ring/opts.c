/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring's limits as they are typed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kp/expr.h>
#include <kp/ring.h>

static int take_size(struct kp_diskring_opts *o, const char *val, struct kp_err *err)
{
	if (kp_parse_size(val, &o->size) || o->size < 1 << 20)
		return kp_err(err, EINVAL, "--ring-size takes a size from 1M on, not %s", val);
	return 0;
}

static int take_age(struct kp_diskring_opts *o, const char *val, struct kp_err *err)
{
	bool bare = val[strspn(val, "0123456789.")] == 0;

	if (kp_parse_duration(val, &o->age) || (bare && o->age))
		return kp_err(err, EINVAL, "--ring-age takes a duration with its unit, such as 10m or 24h, not %s", val);
	if (o->age && o->age < 10000000000ull)
		return kp_err(err, EINVAL, "--ring-age takes a duration from 10s on, or 0, not %s", val);
	return 0;
}

static int take_free(struct kp_diskring_opts *o, const char *val, struct kp_err *err)
{
	char *end;
	double part = strtod(val, &end);

	o->free_part = 0;
	if (end != val && !strcmp(end, "%") && part >= 0 && part <= 90)
		o->free_part = part / 100;
	else if (kp_parse_size(val, &o->free_bytes))
		return kp_err(err, EINVAL, "--min-free takes a part of the file system such as 5%%, at most 90%%, or a size, not %s", val);
	return 0;
}

static int take_sync(struct kp_diskring_opts *o, const char *val, struct kp_err *err)
{
	static const char *const sync[] = { [KP_SYNC_SECOND] = "second", [KP_SYNC_SEGMENT] = "segment", [KP_SYNC_NEVER] = "never" };

	for (o->sync = 0; o->sync <= KP_SYNC_NEVER; o->sync++)
		if (!strcmp(val, sync[o->sync]))
			return 0;
	return kp_err(err, EINVAL, "--fsync takes second, segment or never, not %s", val);
}

int kp_diskring_opt(struct kp_diskring_opts *o, const char *name, const char *val, struct kp_err *err)
{
	if (!strcmp(name, "ring-size"))
		return take_size(o, val, err);
	if (!strcmp(name, "ring-age"))
		return take_age(o, val, err);
	if (!strcmp(name, "min-free"))
		return take_free(o, val, err);
	if (!strcmp(name, "fsync"))
		return take_sync(o, val, err);
	if (!strcmp(name, "group")) {
		o->group = val;
		return 0;
	}
	if (strcmp(name, "ring") != 0 || !*val)
		return kp_err(err, EINVAL, "--%s must not be empty", name);
	o->dir = val;
	return 0;
}
