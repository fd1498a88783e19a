/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * storm SECONDS: a load that is hard to record. 200 threads in pairs hand a byte to and fro (50000 switches a second
 * together, if the machine can), 1000 programs a second are run, and each has a name that was never seen before.
 * Prints what it did: hand-overs and programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 100, SWITCHES = 50000, EXECS = 1000 };

struct pair { int there[2], back[2]; struct storm *s; };
struct storm { struct pair p[PAIRS]; atomic_bool over; atomic_ulong handed; unsigned long ran; };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pause_for(double s)
{
	struct timespec t = { 0, (long)(s * 1e9) };

	if (s > 0)
		nanosleep(&t, NULL);
}

static void *echo(void *arg)
{
	struct pair *p = arg;
	char c;

	while (read(p->there[0], &c, 1) == 1)
		if (write(p->back[1], &c, 1) != 1)
			break;
	return NULL;
}

/* A hand-over there and back is two switches; ten in a row, then rest. */
static void *hand(void *arg)
{
	struct pair *p = arg;
	const double every = 10.0 * 2 * PAIRS / SWITCHES;
	double next = now();
	char c = 'x';

	while (!atomic_load(&p->s->over)) {
		for (int i = 0; i < 10; i++)
			if (write(p->there[1], &c, 1) != 1 || read(p->back[0], &c, 1) != 1)
				return NULL;
		atomic_fetch_add(&p->s->handed, 20);
		next += every;
		pause_for(next - now());
	}
	close(p->there[1]);
	return NULL;
}

/* A program under a name of its own: a link to /bin/true that is gone again at once. */
static int run_one(unsigned long n)
{
	char path[64], *argv[] = { path, NULL }, *envp[] = { NULL };
	pid_t pid;
	int rc;

	snprintf(path, sizeof(path), "storm-%d-%lu", (int)getpid(), n);
	if (symlink("/bin/true", path))
		return -errno;
	rc = posix_spawn(&pid, path, NULL, NULL, argv, envp);
	if (!rc)
		waitpid(pid, NULL, 0);
	unlink(path);
	return -rc;
}

int main(int argc, char **argv)
{
	static struct storm s;
	pthread_t t[2 * PAIRS];
	double from = now(), until = from + (argc > 1 ? atof(argv[1]) : 10);
	int rc = 0;

	for (int i = 0; i < PAIRS; i++) {
		s.p[i].s = &s;
		if (pipe2(s.p[i].there, O_CLOEXEC) || pipe2(s.p[i].back, O_CLOEXEC) ||
		    pthread_create(&t[2 * i], NULL, echo, &s.p[i]) || pthread_create(&t[2 * i + 1], NULL, hand, &s.p[i])) {
			fprintf(stderr, "storm: %s\n", strerror(errno));
			return 1;
		}
	}
	while (!rc && now() < until) {
		rc = run_one(s.ran);
		s.ran++;
		pause_for(from + (double)s.ran / EXECS - now());
	}
	atomic_store(&s.over, true);
	for (int i = 0; i < 2 * PAIRS; i++)
		pthread_join(t[i], NULL);
	printf("%lu %lu\n", atomic_load(&s.handed), s.ran);
	if (rc)
		fprintf(stderr, "storm: %s\n", strerror(-rc));
	return rc ? 1 : 0;
}
