/* SPDX-License-Identifier: BSD-2-Clause */
/* What a tool says and where it writes. */
#include <kp/util.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const struct kp_tool *t, const char *line)
{
	char safe[2048];

	kp_escape_line(safe, sizeof(safe), line);
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", t->name, safe);
}

int kp_complain(const struct kp_tool *t, int rc, const struct kp_err *err)
{
	if (rc >= 0 || rc == -EPIPE)
		return KP_EXIT_OK;
	say(t, err && err->msg[0] ? err->msg : strerror(-rc));
	return KP_EXIT_FAIL;
}

void kp_warn(const struct kp_tool *t, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	say(t, line);
}

/* Each gets the lowest free number, which is its own; the mode is the wrong one, so that its use still fails. */
void kp_reserve_std(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", (fd ? O_RDONLY : O_WRONLY) | O_CLOEXEC) != fd)
			return;
}

int kp_check_binary_out(int fd, struct kp_err *err)
{
	if (!isatty(fd))
		return 0;
	return kp_err(err, ENOTTY, "not writing binary to a terminal: use -o FILE, or pipe it into another tool");
}

int kp_open_out(const char *path, struct kp_err *err)
{
	int fd;

	if (!path || !strcmp(path, "-"))
		return STDOUT_FILENO;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return kp_err(err, errno, "%s: cannot write: %s", path, strerror(errno));
	return fd;
}

bool kp_color(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(f)) && !(no && *no) && term && strcmp(term, "dumb");
}

int kp_write_on(int fd, const void *p, size_t n, size_t *done)
{
	const char *s = p;

	while (*done < n) {
		ssize_t w = write(fd, s + *done, n - *done);

		if (w >= 0) {
			*done += w;
		} else if (errno == EAGAIN) {
			struct pollfd pf = { .fd = fd, .events = POLLOUT };

			poll(&pf, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int kp_write_all(int fd, const void *p, size_t n)
{
	size_t done = 0;

	return kp_write_on(fd, p, n, &done);
}
