/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loadgen: customers. A few connections, each sends POST /checkout with a
 * request id of its own, waits for the answer, pauses, and goes on. One line
 * per request goes to the log:
 *
 *   id start-wall-time duration-ms status start-monotonic-ns backend-pid
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
	int port, n, conns, until_failure;
	double pause_ms, linger_ms, max_s;
	uint64_t seed;
	const char *label;
	FILE *log;
} conf = { .port = 8080, .n = 100, .conns = 2, .pause_ms = 5, .linger_ms = 1500, .max_s = 60, .label = "load" };

static atomic_int taken, answered, failed;
static atomic_llong stop_at;
static double *took;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static int64_t now_ns(clockid_t c)
{
	struct timespec t;
	clock_gettime(c, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static uint64_t rnd(uint64_t *s)	/* splitmix64 */
{
	uint64_t z = (*s += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static int dial(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)conf.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = 20 };
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Sends one request and reads the whole answer. Returns the status, 0 when there was none. */
static int ask(int *fd, const char *id, const uint64_t trace[3], int *backend, bool *reuse)
{
	char buf[4096], *end = NULL;
	static const char body[] = "{\"cart\":\"a few things\"}";
	int n = snprintf(buf, sizeof buf, "POST /checkout HTTP/1.1\r\nHost: shop.example\r\nX-Request-ID: %s\r\n"
		"traceparent: 00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-01\r\n"
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		id, trace[0], trace[1], trace[2], sizeof body - 1, body);
	*reuse = false;
	*backend = 0;
	if (*fd < 0 && (*fd = dial()) < 0)
		return 0;
	if (send(*fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
		return 0;
	size_t have = 0, want = SIZE_MAX;
	while (have < want) {
		ssize_t k = recv(*fd, buf + have, sizeof buf - 1 - have, 0);
		if (k <= 0)
			return 0;
		have += (size_t)k;
		buf[have] = 0;
		if (!end && (end = strstr(buf, "\r\n\r\n"))) {
			const char *l = strcasestr(buf, "\r\nContent-Length:");
			want = (size_t)(end - buf) + 4 + (l ? strtoul(l + 17, NULL, 10) : 0);
			if (want >= sizeof buf)
				return 0;
		}
	}
	const char *b = strcasestr(buf, "\r\nX-Backend:");
	*backend = b ? atoi(b + 12) : 0;
	*reuse = !strcasestr(buf, "\r\nConnection: close");
	return strncmp(buf, "HTTP/1.1 ", 9) ? 0 : atoi(buf + 9);
}

static void *customer(void *arg)
{
	int nr = (int)(intptr_t)arg, fd = -1, i;
	uint64_t s = conf.seed * 7919 + (uint64_t)nr;
	char name[16], when[64];
	snprintf(name, sizeof name, "loadgen/%d", nr % 1000);
	prctl(PR_SET_NAME, name);
	while ((i = atomic_fetch_add(&taken, 1)) < conf.n && now_ns(CLOCK_MONOTONIC) < atomic_load(&stop_at)) {
		char id[32];
		uint64_t trace[3] = { rnd(&s), rnd(&s), rnd(&s) };
		snprintf(id, sizeof id, "req-%08" PRIx64, rnd(&s) >> 32);
		int64_t wall = now_ns(CLOCK_REALTIME), t0 = now_ns(CLOCK_MONOTONIC);
		int backend;
		bool reuse;
		int status = ask(&fd, id, trace, &backend, &reuse);
		int64_t t1 = now_ns(CLOCK_MONOTONIC);
		if (!reuse && fd >= 0) {
			close(fd);
			fd = -1;
		}
		time_t sec = wall / 1000000000;
		struct tm tm;
		gmtime_r(&sec, &tm);
		strftime(when, sizeof when, "%FT%T", &tm);
		double ms = (double)(t1 - t0) / 1e6;
		pthread_mutex_lock(&log_lock);
		fprintf(conf.log, "%s %s.%09dZ %.3f %d %" PRId64 " %d\n", id, when, (int)(wall % 1000000000), ms, status, t0, backend);
		fflush(conf.log);
		took[atomic_fetch_add(&answered, 1)] = ms;
		if (status != 200 && !atomic_fetch_add(&failed, 1) && conf.until_failure) {
			long long late = t1 + (long long)(conf.linger_ms * 1e6);
			if (late < atomic_load(&stop_at))
				atomic_store(&stop_at, late);
		}
		pthread_mutex_unlock(&log_lock);
		if (!status)
			usleep(100000);
		if (conf.pause_ms > 0)
			usleep((useconds_t)(conf.pause_ms * 1000));
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static const char help[] =
	"usage: loadgen [options]\n"
	"  --port N           the service's port on 127.0.0.1 (8080)\n"
	"  -n, --requests N   how many (100)\n"
	"  -c, --conns N      connections (2)\n"
	"  --pause MS         think time between an answer and the next request (5)\n"
	"  --until-failure    stop --linger MS (1500) after the first failure\n"
	"  --max-seconds S    stop after that in any case (60)\n"
	"  --seed N           makes the request ids\n"
	"  --log FILE         one line per request: id, wall time, ms, status, monotonic ns, backend pid\n"
	"  --label TEXT       for the summary\n";

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "port", 1, NULL, 'p' }, { "requests", 1, NULL, 'n' }, { "conns", 1, NULL, 'c' }, { "pause", 1, NULL, 'P' },
		{ "until-failure", 0, NULL, 'u' }, { "linger", 1, NULL, 'L' }, { "max-seconds", 1, NULL, 'm' },
		{ "seed", 1, NULL, 's' }, { "log", 1, NULL, 'l' }, { "label", 1, NULL, 't' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	conf.log = stdout;
	for (int c; (c = getopt_long(argc, argv, "n:c:h", opts, NULL)) != -1; ) {
		switch (c) {
		case 'p': conf.port = atoi(optarg); break;
		case 'n': conf.n = atoi(optarg); break;
		case 'c': conf.conns = atoi(optarg); break;
		case 'P': conf.pause_ms = atof(optarg); break;
		case 'u': conf.until_failure = 1; break;
		case 'L': conf.linger_ms = atof(optarg); break;
		case 'm': conf.max_s = atof(optarg); break;
		case 's': conf.seed = strtoull(optarg, NULL, 10); break;
		case 't': conf.label = optarg; break;
		case 'l':
			if (!(conf.log = fopen(optarg, "ae"))) {
				fprintf(stderr, "loadgen: %s: %s\n", optarg, strerror(errno));
				return 1;
			}
			break;
		case 'h': fputs(help, stdout); return 0;
		default: fputs(help, stderr); return 2;
		}
	}
	if (conf.n < 1 || conf.n > 10000000 || conf.conns < 1 || conf.conns > 1000 || !(took = calloc((size_t)conf.n, sizeof *took))) {
		fputs(help, stderr);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	atomic_store(&stop_at, now_ns(CLOCK_MONOTONIC) + (long long)(conf.max_s * 1e9));
	pthread_t *t = calloc((size_t)conf.conns, sizeof *t);
	if (!t)
		return 1;
	int started = 0;
	for (; started < conf.conns; started++)
		if (pthread_create(&t[started], NULL, customer, (void *)(intptr_t)(started + 1)))
			break;
	for (int i = 0; i < started; i++)
		pthread_join(t[i], NULL);
	int n = atomic_load(&answered);
	qsort(took, (size_t)n, sizeof *took, order);
	if (n)
		printf("%s: %d checkouts, %d failed; p50 %.1f ms, p99 %.1f ms, slowest %.1f ms\n", conf.label, n,
			atomic_load(&failed), took[n / 2], took[(int)((n - 1) * 0.99)], took[n - 1]);
	else
		printf("%s: no checkouts\n", conf.label);
	return 0;
}
