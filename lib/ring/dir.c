/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory of a ring. The recorder is root and the directory may lie where
 * others can write: all that is opened or removed is so relative to a descriptor
 * of a directory that was found to be ours alone, and no link is followed.
 */
#include "ring_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK "lock"

static int find_group(const char *name, gid_t *gid, struct kp_err *err)
{
	struct group g, *found = NULL;
	char *end, buf[16384];
	unsigned long n;

	if (!getgrnam_r(name, &g, buf, sizeof(buf), &found) && found) {
		*gid = found->gr_gid;
		return 0;
	}
	errno = 0;
	n = strtoul(name, &end, 10);
	if (errno || *end || end == name || *name == '-' || n > UINT32_MAX - 1)
		return kp_err(err, EINVAL, "--group %s: there is no such group", name);
	*gid = (gid_t)n;
	return 0;
}

/* With a slash behind, the last part of the path would be followed if it is a link. */
static int open_dir(const char *path, struct kp_err *err)
{
	char *p = strdup(path);
	size_t n = p ? strlen(p) : 0;
	int fd, e;

	if (!p)
		return kp_err(err, ENOMEM, "out of memory");
	while (n > 1 && p[n - 1] == '/')
		p[--n] = 0;
	if (mkdir(p, 0700) && errno != EEXIST) {
		e = errno;
		free(p);
		return kp_err(err, e, "%s: cannot make this directory: %s", path, strerror(e));
	}
	fd = open(p, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	e = errno;
	free(p);
	if (fd >= 0)
		return fd;
	if (e == ENOTDIR || e == ELOOP)
		return kp_err(err, ENOTDIR, "%s: no directory, or a link to one, which is not followed", path);
	return kp_err(err, e, "%s: %s", path, strerror(e));
}

static int check_dir(struct ring_dir *d, const char *group, struct kp_err *err)
{
	struct stat st;
	int rc = 0;

	if (fstat(d->fd, &st))
		return kp_err(err, errno, "%s: %s", d->path, strerror(errno));
	if (st.st_uid != geteuid())
		return kp_err(err, EPERM, "%s: belongs to user %u, not to us: whoever owns it could make us write elsewhere", d->path,
			      (unsigned)st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return kp_err(err, EPERM, "%s: others may write into it: chmod go-w %s", d->path, d->path);
	if (!group)
		return 0;
	rc = find_group(group, &d->gid, err);
	if (rc)
		return rc;
	d->chown = true;
	d->mode = 0640;
	if (fchown(d->fd, -1, d->gid) || fchmod(d->fd, 0750))
		return kp_err(err, errno, "%s: cannot give it to group %s: %s", d->path, group, strerror(errno));
	return 0;
}

/* Held as long as it is open: a recorder that is killed leaves none behind. */
static int take_lock(struct ring_dir *d, struct kp_err *err)
{
	char pid[24] = "";
	struct stat st;
	ssize_t n;

	d->lock = openat(d->fd, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (d->lock < 0)
		return kp_err(err, errno, "%s/%s: %s", d->path, LOCK, errno == ELOOP ? "a link, which is not followed" : strerror(errno));
	if (fstat(d->lock, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return kp_err(err, EPERM, "%s/%s: no file of our own", d->path, LOCK);
	if (flock(d->lock, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return kp_err(err, errno, "%s/%s: %s", d->path, LOCK, strerror(errno));
		n = pread(d->lock, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? strspn(pid, "0123456789") : 0] = 0;
		return kp_err(err, EBUSY, "%s: process %s records there already", d->path, *pid ? pid : "(unknown)");
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(d->lock, 0) || pwrite(d->lock, pid, n, 0) != n) {
		/* a full disk is no reason: there may be room soon, and the lock holds without its text */
		if (errno != ENOSPC && errno != EDQUOT)
			return kp_err(err, errno, "%s/%s: %s", d->path, LOCK, strerror(errno));
	}
	return 0;
}

int ring_dir_open(struct ring_dir *d, const char *path, const char *group, struct kp_err *err)
{
	int rc;

	*d = (struct ring_dir){ .fd = -1, .lock = -1, .mode = 0600, .path = path };
	d->fd = open_dir(path, err);
	if (d->fd < 0)
		return d->fd;
	rc = check_dir(d, group, err);
	if (!rc)
		rc = take_lock(d, err);
	if (rc)
		ring_dir_close(d);
	return rc;
}

void ring_dir_close(struct ring_dir *d)
{
	if (d->lock >= 0)
		close(d->lock);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = d->lock = -1;
}

/* ---- files in it ---- */

void ring_temp_name(char temp[RING_NAME], const char *name)
{
	snprintf(temp, RING_NAME, ".%.26s", name);	/* its ending remains: a copy is found again by it */
}

int ring_dir_create(const struct ring_dir *d, const char *name)
{
	int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), rc;

	if (fd < 0)
		return -errno;
	if (!d->chown || (!fchown(fd, -1, d->gid) && !fchmod(fd, d->mode)))
		return fd;
	rc = -errno;
	close(fd);
	unlinkat(d->fd, name, 0);
	return rc;
}

/* What was written may not have its place on the disk yet; what is preallocated counts, too. */
static uint64_t bytes_of(const struct stat *st)
{
	uint64_t blocks = (uint64_t)st->st_blocks * 512, size = ((uint64_t)st->st_size + 4095) / 4096 * 4096;

	return blocks > size ? blocks : size;
}

int ring_dir_stat(const struct ring_dir *d, const char *name, struct ring_seg *seg)
{
	struct stat st;

	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	seg->bytes = bytes_of(&st);
	seg->end = (uint64_t)st.st_mtim.tv_sec * RING_SEC + st.st_mtim.tv_nsec;
	return 0;
}

uint64_t ring_fd_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : bytes_of(&st);
}

static int by_name(const void *a, const void *b)
{
	const struct ring_seg *x = a, *y = b;

	return x->us < y->us ? -1 : x->us > y->us;
}

int ring_dir_scan(const struct ring_dir *d, struct ring_segs *s, struct kp_err *err)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		rc = kp_err(err, errno, "%s: %s", d->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (!rc && (e = readdir(dir))) {
		struct ring_seg seg = { 0 };

		if (*e->d_name == '.' && ring_name_is(e->d_name + 1, &seg.us))
			unlinkat(d->fd, e->d_name, 0);
		else if (ring_name_is(e->d_name, &seg.us) && !ring_dir_stat(d, e->d_name, &seg))
			rc = ring_segs_add(s, &seg);
	}
	closedir(dir);
	if (rc)
		return kp_err(err, -rc, "out of memory");
	if (s->n)
		qsort(s->seg, s->n, sizeof(*s->seg), by_name);
	return 0;
}
