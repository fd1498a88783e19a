/* SPDX-License-Identifier: BSD-2-Clause */
/* Forcing data to the disk can take seconds on a busy one: a thread of its own waits, and nobody for it. */
#include "ring_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

void ring_sync_init(struct ring_sync *s)
{
	*s = (struct ring_sync){ .pipe = { -1, -1 } };
}

/* Its queue is a pipe of descriptors. */
static void *run(void *arg)
{
	struct ring_sync *s = arg;
	int fd;

	while (read(s->pipe[0], &fd, sizeof(fd)) == sizeof(fd)) {
		if (fsync(fd) && errno != EINVAL && errno != EROFS)
			s->failed = -errno;
		close(fd);
		s->pending--;
	}
	return NULL;
}

static int start(struct ring_sync *s)
{
	sigset_t all, old;
	int rc;

	if (s->started)
		return 0;
	if (s->pipe[0] < 0 && pipe2(s->pipe, O_CLOEXEC))
		return -errno;
	fcntl(s->pipe[1], F_SETFL, O_NONBLOCK);
	sigfillset(&all); /* signals are for the recorder */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->started = !rc;
	return -rc;
}

void ring_sync_close(struct ring_sync *s, int fd)
{
	if (start(s)) {
		close(fd);	/* the kernel writes it in its own time */
		return;
	}
	s->pending++;
	if (write(s->pipe[1], &fd, sizeof(fd)) == sizeof(fd))
		return;
	s->pending--;
	close(fd);
}

void ring_sync_later(struct ring_sync *s, int fd)
{
	int copy = s->pending ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy >= 0)
		ring_sync_close(s, copy);
}

void ring_sync_end(struct ring_sync *s)
{
	if (s->pipe[1] >= 0)
		close(s->pipe[1]);
	if (s->started)
		pthread_join(s->thread, NULL);
	if (s->pipe[0] >= 0)
		close(s->pipe[0]);
	ring_sync_init(s);
}
