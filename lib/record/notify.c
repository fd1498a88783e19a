/* SPDX-License-Identifier: BSD-2-Clause */
/* sd_notify(3)'s protocol: a datagram of lines to the socket that the service manager names. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <kp/record.h>

int kp_notify_open(struct kp_notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;

	*n = (struct kp_notify){ .fd = -1 };
	if (!len)
		return 0;
	if ((*path != '/' && *path != '@') || len >= sizeof(to.sun_path))
		return -EINVAL;
	memcpy(to.sun_path, path, len);
	if (*path == '@')
		to.sun_path[0] = 0; /* without a file */
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0)
		return -errno;
	if (connect(n->fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + len)) {
		int e = errno;

		kp_notify_close(n);
		return -e;
	}
	if (usec && (!pid || (pid_t)strtol(pid, NULL, 10) == getpid()))
		n->watchdog = strtoull(usec, NULL, 10) * 1000;
	return 0;
}

void kp_notify_send(const struct kp_notify *n, const char *lines)
{
	int e = errno;

	if (n->fd >= 0)
		send(n->fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT);
	errno = e;
}

void kp_notify_close(struct kp_notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}
