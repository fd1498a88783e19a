/* SPDX-License-Identifier: BSD-2-Clause */
#include "items.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ (128u << 10)

int kp_in_open(struct kp_in *in, const char *path, struct kp_err *err)
{
	bool std = !strcmp(path, "-");
	struct stat st;

	memset(in, 0, sizeof(*in));
	in->fd = std ? 0 : open(path, O_RDONLY | O_CLOEXEC);
	in->own = !std;
	if (in->fd < 0)
		return kp_err(err, errno, "%s: %s", path, strerror(errno));
	if (!fstat(in->fd, &st) && S_ISREG(st.st_mode)) {
		off_t at = lseek(in->fd, 0, SEEK_CUR);

		in->size = at >= 0 && at < st.st_size ? (uint64_t)(st.st_size - at) : 0;
	}
	return 0;
}

void kp_in_close(struct kp_in *in)
{
	if (in->own && in->fd >= 0)
		close(in->fd);
	free(in->buf);
	memset(in, 0, sizeof(*in));
	in->fd = -1;
}

static ssize_t read_some(const struct kp_in *in, void *p, size_t n)
{
	int fd = in->fd;

	if (in->idle && !in->size && !poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 0))
		in->idle(in->idle_arg, fd);
	for (;;) {
		ssize_t k = read(fd, p, n);

		if (k >= 0)
			return k;
		if (errno == EAGAIN)
			poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, -1);
		else if (errno != EINTR)
			return -errno;
	}
}

static int make_room(struct kp_in *in, size_t n)
{
	size_t cap = in->cap ? in->cap : READ;
	uint8_t *p;

	if (in->at && in->at + n > in->cap) {
		memmove(in->buf, in->buf + in->at, in->len - in->at);
		in->len -= in->at;
		in->at = 0;
	}
	if (n <= in->cap)
		return 0;
	while (cap < n)
		cap *= 2;
	p = realloc(in->buf, cap);
	if (!p)
		return -ENOMEM;
	in->buf = p;
	in->cap = cap;
	return 0;
}

ssize_t kp_in_fill(struct kp_in *in, size_t n)
{
	ssize_t k;

	/* what a damaged length asks for is not allocated before it is there */
	while (in->len - in->at < n && !in->eof) {
		size_t have = in->len - in->at, step = n < have + READ ? n : have + READ;

		if (make_room(in, step))
			return -ENOMEM;
		k = read_some(in, in->buf + in->len, in->cap - in->len);
		if (k < 0)
			return k;
		if (!k)
			in->eof = true;
		in->len += k;
	}
	return in->len - in->at;
}

void kp_in_take(struct kp_in *in, size_t n)
{
	in->at += n;
	in->off += n;
}

int kp_in_skip(struct kp_in *in, uint64_t n)
{
	while (n) {
		uint64_t have = in->len - in->at;
		ssize_t k;

		if (!have && in->size > in->off) {
			uint64_t step = n < in->size - in->off ? n : in->size - in->off;

			if (lseek(in->fd, (off_t)step, SEEK_CUR) < 0)
				return -errno;
			in->off += step;
			n -= step;
			if (n && in->off >= in->size)
				return 1;
			continue;
		}
		if (!have) {
			k = kp_in_fill(in, 1);
			if (k <= 0)
				return k < 0 ? (int)k : 1;
			continue;
		}
		if (have > n)
			have = n;
		kp_in_take(in, have);
		n -= have;
	}
	return 0;
}
