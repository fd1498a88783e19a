/* SPDX-License-Identifier: BSD-2-Clause */
#include "exclude.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool add(struct kp_excluded *x, uint32_t pid)
{
	for (uint32_t i = 0; i < x->n; i++)
		if (x->pid[i] == pid)
			return false;
	if (x->n == sizeof(x->pid) / sizeof(*x->pid))
		return false;
	x->pid[x->n++] = pid;
	return true;
}

/* Does this process have the pipe open for reading? The link's own mode says how a descriptor was opened. */
static bool reads_pipe(const char *proc, uint32_t pid, ino_t ino)
{
	char dir[300], path[600], want[64], to[64];
	struct dirent *d;
	struct stat st;
	bool found = false;
	ssize_t n;
	DIR *fds;

	snprintf(want, sizeof(want), "pipe:[%llu]", (unsigned long long)ino);
	snprintf(dir, sizeof(dir), "%.200s/%u/fd", proc, pid);
	fds = opendir(dir);
	if (!fds)
		return false;
	while (!found && (d = readdir(fds))) {
		snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		n = readlink(path, to, sizeof(to) - 1);
		if (n <= 0)
			continue;
		to[n] = 0;
		found = !strcmp(to, want) && !lstat(path, &st) && (st.st_mode & S_IRUSR);
	}
	closedir(fds);
	return found;
}

static void add_readers(struct kp_excluded *x, const char *proc, const struct stat *pipe)
{
	struct dirent *d;
	DIR *procs;

	if (!S_ISFIFO(pipe->st_mode) || !(procs = opendir(proc)))
		return;
	while ((d = readdir(procs)))
		if (isdigit((unsigned char)*d->d_name) && reads_pipe(proc, strtoul(d->d_name, NULL, 10), pipe->st_ino))
			add(x, strtoul(d->d_name, NULL, 10));
	closedir(procs);
}

/* Name and parent: the name is in parentheses and may hold some itself. 0 or -1. */
static int read_stat(const char *proc, uint32_t pid, char comm[64], uint32_t *ppid)
{
	char path[300], line[512], *open, *close;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%.200s/%u/stat", proc, pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = 0;
	open = strchr(line, '(');
	close = strrchr(line, ')');
	if (!open || !close || close < open || sscanf(close + 1, " %*c %u", ppid) != 1)
		return -1;
	snprintf(comm, 64, "%.*s", (int)(close - open - 1 > 63 ? 63 : close - open - 1), open + 1);
	return 0;
}

static void add_ssh(struct kp_excluded *x, const char *proc, uint32_t pid)
{
	uint32_t parent;
	char comm[64];

	for (int depth = 0; depth < 64 && pid > 1 && !read_stat(proc, pid, comm, &parent); depth++) {
		/* "sshd", and since OpenSSH 9.8 "sshd-session" */
		if (!strncmp(comm, "sshd", 4))
			add(x, pid);
		pid = parent;
	}
}

void kp_exclude_find(struct kp_excluded *x, const char *proc, const int *fds, uint32_t nfds)
{
	char path[300];
	struct stat st;

	x->n = 0;
	add(x, getpid());
	for (uint32_t i = 0; i < nfds; i++)
		if (fds[i] >= 0 && !fstat(fds[i], &st))
			add_readers(x, proc, &st);
	/* Down the pipeline: the list grows while it is walked. */
	for (uint32_t i = 1; i < x->n; i++) {
		snprintf(path, sizeof(path), "%.200s/%u/fd/1", proc, x->pid[i]);
		if (!stat(path, &st))
			add_readers(x, proc, &st);
	}
	add_ssh(x, proc, getppid());
}
