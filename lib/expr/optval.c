/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of options: what is typed is read whole, or refused in one line that names the option. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kp/expr.h>
#include <kp/util.h>

int kp_opt_number(const char *opt, const char *val, uint64_t min, uint64_t max, uint64_t *out, struct kp_err *err)
{
	char *end;

	errno = 0;
	*out = strtoull(val, &end, 10);
	if (errno || *end || end == val || *val == '-' || *out < min || *out > max)
		return kp_err(err, EINVAL, "--%s takes a number from %llu to %llu, not %s", opt,
			      (unsigned long long)min, (unsigned long long)max, val);
	return 0;
}

int kp_opt_duration(const char *opt, const char *val, uint64_t *out, struct kp_err *err)
{
	bool bare = val[strspn(val, "0123456789.")] == 0;

	/* elsewhere it would be nanoseconds, and -d takes seconds */
	if (kp_parse_duration(val, out) || (bare && *out))
		return kp_err(err, EINVAL, "--%s takes a duration with its unit, such as 10ms or 1.5s, not %s", opt, val);
	return 0;
}

int kp_opt_seconds(const char *opt, const char *val, uint64_t *out, struct kp_err *err)
{
	char *end;
	double s = strtod(val, &end);

	if (end != val && !*end && s > 0 && s < 1e9) {
		*out = (uint64_t)(s * 1e9);
		return 0;
	}
	if (kp_parse_duration(val, out) || !*out)
		return kp_err(err, EINVAL, "--%s takes seconds, or a duration such as 500ms or 10m, not %s", opt, val);
	return 0;
}
