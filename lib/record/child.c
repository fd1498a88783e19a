/* SPDX-License-Identifier: BSD-2-Clause */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The recorder's own handlers end with its image; what it ignores for itself the program must not ignore. */
static void reset_signals(void)
{
	static const int own[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa;
	sigset_t none;

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (!sigaction(own[i], NULL, &sa) && sa.sa_handler != SIG_IGN)
			signal(own[i], SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) child_main(int go, int failed, char *const *argv, int out_fd)
{
	char c;
	ssize_t n;
	int e;

	reset_signals();
	if (out_fd > 0 && out_fd != STDOUT_FILENO && dup2(out_fd, STDOUT_FILENO) < 0)
		_exit(125);
	do
		n = read(go, &c, 1);
	while (n < 0 && errno == EINTR);
	/* The recorder has given up: nothing was run. */
	if (n != 1)
		_exit(125);
	execvp(argv[0], argv);
	e = errno;
	n = write(failed, &e, sizeof(e));
	_exit(e == ENOENT || n != sizeof(e) ? 127 : 126);
}

int kp_child_start(struct kp_child *c, char *const *argv, int out_fd, struct kp_err *err)
{
	int go[2] = { -1, -1 }, failed[2] = { -1, -1 }, rc = 0;

	*c = (struct kp_child){ .go = -1, .failed = -1, .pidfd = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go) || pipe2(failed, O_CLOEXEC)) {
		rc = kp_err(err, errno, "%s: no pipe: %s", argv[0], strerror(errno));
		goto out;
	}
	c->pid = fork();
	if (c->pid < 0) {
		c->pid = 0;
		rc = kp_err(err, errno, "%s: cannot start a process: %s", argv[0], strerror(errno));
		goto out;
	}
	if (!c->pid) {
		close(go[1]);
		close(failed[0]);
		child_main(go[0], failed[1], argv, out_fd);
	}
	c->go = go[1];
	c->failed = failed[0];
	go[1] = failed[0] = -1;
	/* Without pidfds (before 5.3) its end is noticed at the next look. */
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
out:
	close_fd(&go[0]);
	close_fd(&go[1]);
	close_fd(&failed[0]);
	close_fd(&failed[1]);
	return rc;
}

void kp_child_go(struct kp_child *c)
{
	/* To a child that was killed already nothing can be sent, and its status tells all. */
	if (c->go >= 0 && send(c->go, "g", 1, MSG_NOSIGNAL) != 1)
		kp_child_ended(c, true);
	close_fd(&c->go);
}

bool kp_child_gone(const struct kp_child *c)
{
	return c->pid && c->go < 0;
}

bool kp_child_ended(struct kp_child *c, bool wait)
{
	int status, e;
	pid_t p;

	if (!c->pid || c->ended)
		return true;
	do
		p = waitpid(c->pid, &status, wait ? 0 : WNOHANG);
	while (p < 0 && errno == EINTR);
	if (!p)
		return false;
	c->ended = true;
	if (p < 0)
		c->status = 125; /* somebody else has reaped it */
	else
		c->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (c->failed >= 0 && read(c->failed, &e, sizeof(e)) == sizeof(e))
		c->exec_errno = e;
	close_fd(&c->failed);
	close_fd(&c->pidfd);
	return true;
}

int kp_child_status(struct kp_child *c, const char *name, struct kp_err *err)
{
	if (!c->pid)
		return -ECHILD;
	close_fd(&c->go);
	kp_child_ended(c, true);
	if (c->exec_errno)
		kp_err(err, c->exec_errno, "%s: cannot run it: %s", name, strerror(c->exec_errno));
	return c->status;
}

void kp_child_free(struct kp_child *c)
{
	if (!c->pid)
		return;
	if (c->go >= 0) {
		close_fd(&c->go);
		kp_child_ended(c, true);
	}
	close_fd(&c->failed);
	close_fd(&c->pidfd);
}
