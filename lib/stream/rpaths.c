/* SPDX-License-Identifier: BSD-2-Clause */
/* What an input is: a file, a pipe, or a directory of segments. */
#include "reader_int.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_path(struct input *in, const char *dir, const char *name)
{
	char **p = realloc(in->paths, (in->npaths + 1) * sizeof(*p));
	int n;

	if (!p)
		return -ENOMEM;
	in->paths = p;
	n = dir ? asprintf(&p[in->npaths], "%s/%s", dir, name) : asprintf(&p[in->npaths], "%s", name);
	if (n < 0)
		return -ENOMEM;
	in->npaths++;
	return 0;
}

static int list_dir(struct input *in, const char *path, struct kp_err *err)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return kp_err(err, errno, "%s: %s", path, strerror(errno));
	while (!rc && (e = readdir(d))) {
		size_t n = strlen(e->d_name);

		if (n > 3 && e->d_name[0] != '.' && !strcmp(e->d_name + n - 3, ".kp"))
			rc = add_path(in, path, e->d_name);
	}
	closedir(d);
	in->ring = true;
	if (rc)
		return kp_err(err, -rc, "out of memory");
	if (!in->npaths)
		return kp_err(err, ENOENT, "%s: no segments (*.kp) in this directory", path);
	qsort(in->paths, in->npaths, sizeof(*in->paths), compare);
	return 0;
}

int kp_input_open(struct kp_reader *r, struct input *in, const char *path, struct kp_err *err)
{
	struct stat st;
	int rc;

	if (strcmp(path, "-") && !stat(path, &st) && S_ISDIR(st.st_mode))
		return list_dir(in, path, err);
	rc = add_path(in, NULL, path);
	return rc ? kp_err(err, -rc, "out of memory") : 0;
}
