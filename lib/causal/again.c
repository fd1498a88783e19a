/* SPDX-License-Identifier: BSD-2-Clause */
/* Inputs that are read more than once: a pipe is kept, compressed as it came, in a file without a name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kp/causal.h>
#include <kp/util.h>

enum { CHUNK = 1 << 18 };

struct one { char *path; const char *name; int fd; };

struct kp_again { struct one *in; const char **paths; uint32_t n; };

static const char *called(const char *path)
{
	return strcmp(path, "-") ? path : "standard input";
}

static int make_file(struct kp_err *err)
{
	const char *dir = getenv("TMPDIR");
	char name[4096];
	int fd;

	if (!dir || !*dir)
		dir = "/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (snprintf(name, sizeof(name), "%s/kp-causal.XXXXXX", dir) >= (int)sizeof(name))
		return kp_err(err, ENAMETOOLONG, "TMPDIR: too long");
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return kp_err(err, errno, "%s: cannot keep the input to read it again: %s: set TMPDIR or give a file", dir, strerror(errno));
	unlink(name);
	return fd;
}

static int copy(int from, int to, const char *name, struct kp_err *err)
{
	uint8_t *buf = malloc(CHUNK);
	ssize_t n;
	int rc = buf ? 0 : kp_err(err, ENOMEM, "out of memory");

	while (!rc) {
		n = read(from, buf, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = kp_err(err, errno, "%s: %s", name, strerror(errno));
		if (n <= 0)
			break;
		rc = kp_write_all(to, buf, (size_t)n);
		if (rc)
			kp_err(err, -rc, "cannot keep the input to read it again: %s: set TMPDIR or give a file", strerror(-rc));
	}
	free(buf);
	return rc;
}

/* A file at its beginning, and a directory, can be opened again by name. */
static bool is_lasting(const char *path, int fd)
{
	struct stat st;

	if (fd < 0 ? stat(path, &st) : fstat(fd, &st))
		return fd != STDIN_FILENO;	/* whoever opens it will tell what is wrong */
	return S_ISREG(st.st_mode) ? fd < 0 || lseek(fd, 0, SEEK_CUR) == 0 : S_ISDIR(st.st_mode);
}

static int take(struct one *o, const char *path, struct kp_err *err)
{
	bool std = !strcmp(path, "-");
	int from, rc;

	o->fd = -1;
	o->name = called(path);
	if (is_lasting(path, std ? STDIN_FILENO : -1)) {
		o->path = strdup(std ? "/proc/self/fd/0" : path);
		return o->path ? 0 : kp_err(err, ENOMEM, "out of memory");
	}
	from = std ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return kp_err(err, errno, "%s: %s", path, strerror(errno));
	o->fd = make_file(err);
	rc = o->fd < 0 ? o->fd : copy(from, o->fd, o->name, err);
	if (!std)
		close(from);
	if (!rc && asprintf(&o->path, "/proc/self/fd/%d", o->fd) < 0) {
		o->path = NULL;
		rc = kp_err(err, ENOMEM, "out of memory");
	}
	return rc;
}

int kp_again_open(struct kp_again **out, const char *const *paths, uint32_t n, struct kp_err *err)
{
	static const char *const standard_input[] = { "-" };
	struct kp_again *a = calloc(1, sizeof(*a));
	int rc = 0;

	*out = NULL;
	if (!n) {
		paths = standard_input;
		n = 1;
	}
	if (!a)
		return kp_err(err, ENOMEM, "out of memory");
	a->in = calloc(n, sizeof(*a->in));
	a->paths = calloc(n, sizeof(*a->paths));
	if (!a->in || !a->paths) {
		kp_again_close(a);
		return kp_err(err, ENOMEM, "out of memory");
	}
	while (!rc && a->n < n) {
		rc = take(&a->in[a->n], paths[a->n], err);
		a->paths[a->n] = a->in[a->n].path;
		a->n++;
	}
	if (rc)
		kp_again_close(a);
	else
		*out = a;
	return rc;
}

const char *const *kp_again_paths(const struct kp_again *a, uint32_t *n)
{
	*n = a->n;
	return a->paths;
}

const char *kp_again_name(const struct kp_again *a, const char *path)
{
	for (uint32_t i = 0; i < a->n; i++)
		if (a->in[i].path && !strcmp(a->in[i].path, path))
			return a->in[i].name;
	return path;
}

int kp_again_err(const struct kp_again *a, int rc, struct kp_err *err)
{
	for (uint32_t i = 0; a && err && rc < 0 && i < a->n; i++) {
		const char *ours = a->in[i].path;
		size_t n = ours ? strlen(ours) : 0;

		if (n && strcmp(ours, a->in[i].name) != 0 && !strncmp(err->msg, ours, n) && err->msg[n] == ':')
			return kp_err(err, -rc, "%s%s", a->in[i].name, err->msg + n);
	}
	return rc;
}

void kp_again_close(struct kp_again *a)
{
	if (!a)
		return;
	for (uint32_t i = 0; i < a->n; i++) {
		free(a->in[i].path);
		if (a->in[i].fd >= 0)
			close(a->in[i].fd);
	}
	free(a->in);
	free(a->paths);
	free(a);
}
