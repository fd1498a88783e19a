/* SPDX-License-Identifier: BSD-2-Clause */
/* Options from a file: the same table, one long option a line. */
#include "opts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20 };
#define BLANKS " \t\r"

static int read_all(const char *path, char **text, struct kp_err *err)
{
	struct kp_buf b = { 0 };
	struct stat st;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc = 0;

	*text = NULL;
	if (fd < 0 || fstat(fd, &st))
		rc = kp_err(err, errno, "%s: %s", path, strerror(errno));
	else if (S_ISREG(st.st_mode) && st.st_mode & S_IWOTH) /* they would be anybody's options, for root */
		rc = kp_err(err, EPERM, "%s: anybody can write to it: chmod o-w", path);
	while (!rc && b.len < FILE_MAX) {
		rc = kp_buf_reserve(&b, 4097);
		n = rc ? 0 : read(fd, b.p + b.len, 4096);
		if (n < 0)
			rc = kp_err(err, errno, "%s: %s", path, strerror(errno));
		if (n <= 0)
			break;
		b.len += n;
	}
	if (fd >= 0)
		close(fd);
	if (!rc && b.len && memchr(b.p, 0, b.len))
		rc = kp_err(err, EINVAL, "%s: is not text", path);
	if (rc || !b.p) {
		kp_buf_free(&b);
		return rc;
	}
	b.p[b.len] = 0;
	*text = (char *)b.p;
	return 0;
}

static const struct kp_opt *find(const struct kp_tool *t, const char *name)
{
	const struct kp_opt *o;

	for (size_t i = 0; (o = kp_opt_next(t, &i));)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

static int take(const struct kp_tool *t, const struct kp_opt *o, char *val, struct kp_common *c,
		int (*fn)(void *arg, int key, const char *val, struct kp_err *err), void *arg, struct kp_err *err)
{
	for (size_t i = 0; t->opts && t->opts[i].key; i++)
		if (&t->opts[i] == o)
			return fn(arg, o->key, val, err);
	switch (o->key) {
	case 'o': c->out = val; return 0;
	case 'q': c->quiet = true; return 0;
	case 'v': c->verbose++; return 0;
	}
	return kp_err(err, EINVAL, "has no meaning in a file");
}

/* One line, its newline gone: "name", "name value", or nothing. */
static int one(const struct kp_tool *t, char *line, struct kp_common *c,
	       int (*fn)(void *arg, int key, const char *val, struct kp_err *err), void *arg, struct kp_err *err)
{
	char *name = line + strspn(line, BLANKS), *val = name + strcspn(name, BLANKS "="), *end;
	const struct kp_opt *o;
	bool equals;

	if (!*name || *name == '#')
		return 0;
	equals = *val == '=';
	if (*val)
		*val++ = 0;
	val += strspn(val, BLANKS);
	if (*val == '=' && !equals)
		val += 1 + strspn(val + 1, BLANKS);
	for (end = val + strlen(val); end > val && strchr(BLANKS, end[-1]);)
		*--end = 0;
	o = find(t, name);
	if (!o)
		return kp_err(err, EINVAL, "there is no option '%s' (long names, without dashes)", name);
	if (o->arg && !*val)
		return kp_err(err, EINVAL, "a value is missing after '%s'", name);
	if (!o->arg && *val)
		return kp_err(err, EINVAL, "'%s' takes no value", name);
	return take(t, o, o->arg ? val : NULL, c, fn, arg, err);
}

int kp_opts_file(const struct kp_tool *t, const char *path, struct kp_common *c,
		 int (*fn)(void *arg, int key, const char *val, struct kp_err *err), void *arg, char **text, struct kp_err *err)
{
	struct kp_err why = { 0 };
	unsigned n = 0;
	int rc;

	rc = read_all(path, text, err);
	for (char *p = *text, *next; !rc && p && *p; p = next) {
		char *nl = strchrnul(p, '\n');

		next = *nl ? nl + 1 : nl;
		*nl = 0;
		n++;
		rc = one(t, p, c, fn, arg, &why);
		if (rc)
			kp_err(err, -rc, "%s:%u: %s", path, n, why.msg);
	}
	return rc;
}
