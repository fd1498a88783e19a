/* SPDX-License-Identifier: BSD-2-Clause */
#include <kp/err.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int kp_err(struct kp_err *err, int eno, const char *fmt, ...)
{
	if (err) {
		char line[sizeof(err->msg)];	/* an argument may be the old line */
		va_list ap;

		va_start(ap, fmt);
		vsnprintf(line, sizeof(line), fmt, ap);
		va_end(ap);
		memcpy(err->msg, line, sizeof(line));
	}
	return -abs(eno);
}

/* "text: line"; the colon may be part of the text already. */
int kp_err_prefix(struct kp_err *err, int rc, const char *fmt, ...)
{
	char front[sizeof(err->msg)] = "", old[sizeof(err->msg)];
	const char *sep = ": ";
	va_list ap;
	size_t n;

	if (!err || rc >= 0)
		return rc;
	va_start(ap, fmt);
	vsnprintf(front, sizeof(front), fmt, ap);
	va_end(ap);
	n = strlen(front);
	if (!n || front[n - 1] == ' ')
		sep = "";
	else if (front[n - 1] == ':')
		sep = " ";
	memcpy(old, err->msg, sizeof(old));
	/* what does not fit is cut: the end of the old line tells least */
	kp_err(err, rc, "%s%s%s", front, sep, old);
	return rc;
}
