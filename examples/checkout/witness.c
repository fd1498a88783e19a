/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * witness: what the kernel's own delay accounting says about some threads,
 * asked every few milliseconds through taskstats. It shares no code and no
 * event source with kprobe, so the two can be compared (see verdict).
 *
 *   witness -o witness.csv TID...     until SIGINT or SIGTERM
 *
 * One line each time a thread's figures changed: monotonic ns, tid, and the
 * totals so far in ns. A delay is added by the kernel when the wait ends.
 * sysctl kernel.task_delayacct must have been 1 when the threads were made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/genetlink.h>
#include <linux/taskstats.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

struct msg {
	struct nlmsghdr n;
	struct genlmsghdr g;
	char data[2048];
};

/* Sends one generic netlink request with one attribute, receives one answer into *m. 0 or -errno. */
static int ask(int fd, uint16_t family, uint8_t cmd, uint16_t attr, const void *value, size_t len, struct msg *m)
{
	static uint32_t seq;
	memset(m, 0, sizeof *m);
	struct nlattr *a = (struct nlattr *)m->data;
	a->nla_type = attr;
	a->nla_len = (uint16_t)(NLA_HDRLEN + len);
	memcpy(m->data + NLA_HDRLEN, value, len);
	m->n = (struct nlmsghdr){ .nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = ++seq,
		.nlmsg_len = (uint32_t)(NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(a->nla_len)) };
	m->g = (struct genlmsghdr){ .cmd = cmd, .version = 1 };
	if (send(fd, m, m->n.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(fd, m, sizeof *m, 0);
		if (n < 0 && errno == EINTR && !stop)
			continue;
		if (n < 0)
			return -errno;
		if (!NLMSG_OK(&m->n, (unsigned)n))
			return -EBADMSG;
		if (m->n.nlmsg_seq != seq)
			continue;
		if (m->n.nlmsg_type == NLMSG_ERROR) {
			struct nlmsgerr *e = NLMSG_DATA(&m->n);
			return e->error ? e->error : -EBADMSG;
		}
		return 0;
	}
}

/* The attribute `type` among those in [p, p+len), NULL if there is none. */
static const struct nlattr *find(const void *p, size_t len, uint16_t type)
{
	while (len >= NLA_HDRLEN) {
		const struct nlattr *a = p;
		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		size_t step = NLA_ALIGN(a->nla_len);
		if (step >= len)
			return NULL;
		p = (const char *)p + step;
		len -= step;
	}
	return NULL;
}

static const struct nlattr *payload(const struct msg *m, uint16_t type)
{
	size_t head = NLMSG_LENGTH(GENL_HDRLEN);
	return m->n.nlmsg_len < head ? NULL : find(m->data, m->n.nlmsg_len - head, type);
}

/* The header of the building machine may be older than the kernel: version 14 put irq_count and irq_delay_total here. */
enum { IRQ_DELAY = offsetof(struct taskstats, wpcopy_delay_total) + 16 };

static int stats(int fd, uint16_t family, uint32_t tid, unsigned char *out, size_t max, size_t *have)
{
	struct msg m;
	int err = ask(fd, family, TASKSTATS_CMD_GET, TASKSTATS_CMD_ATTR_PID, &tid, sizeof tid, &m);
	if (err)
		return err;
	const struct nlattr *a = payload(&m, TASKSTATS_TYPE_AGGR_PID);
	const struct nlattr *s = a ? find((const char *)a + NLA_HDRLEN, a->nla_len - NLA_HDRLEN, TASKSTATS_TYPE_STATS) : NULL;
	if (!s)
		return -EBADMSG;
	*have = s->nla_len - NLA_HDRLEN;
	if (*have > max)
		*have = max;
	memset(out, 0, max);
	memcpy(out, (const char *)s + NLA_HDRLEN, *have);
	return 0;
}

static uint64_t u64(const unsigned char *p, size_t at)
{
	uint64_t v;
	memcpy(&v, p + at, sizeof v);
	return v;
}

static const struct { const char *name; size_t at; } columns[] = {
	{ "cpu_delay", offsetof(struct taskstats, cpu_delay_total) },
	{ "blkio_delay", offsetof(struct taskstats, blkio_delay_total) },
	{ "swapin_delay", offsetof(struct taskstats, swapin_delay_total) },
	{ "reclaim_delay", offsetof(struct taskstats, freepages_delay_total) },
	{ "thrashing_delay", offsetof(struct taskstats, thrashing_delay_total) },
	{ "compact_delay", offsetof(struct taskstats, compact_delay_total) },
	{ "wpcopy_delay", offsetof(struct taskstats, wpcopy_delay_total) },
	{ "irq_delay", IRQ_DELAY },
	{ "cpu_run", offsetof(struct taskstats, cpu_run_virtual_total) },
};
enum { NCOL = sizeof columns / sizeof *columns };

static const char help[] =
	"usage: witness [-o FILE] [--every MS] TID...\n"
	"  -o FILE       CSV (standard output)\n"
	"  --every MS    how often to ask (2)\n";

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "every", 1, NULL, 'e' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	FILE *out = stdout;
	double every = 2;
	for (int c; (c = getopt_long(argc, argv, "o:h", opts, NULL)) != -1; ) {
		switch (c) {
		case 'o':
			if (!(out = fopen(optarg, "we"))) {
				fprintf(stderr, "witness: %s: %s\n", optarg, strerror(errno));
				return 1;
			}
			break;
		case 'e': every = atof(optarg); break;
		case 'h': fputs(help, stdout); return 0;
		default: fputs(help, stderr); return 2;
		}
	}
	int n = argc - optind;
	if (n < 1 || every < 0.1) {
		fputs(help, stderr);
		return 2;
	}
	struct sigaction sa = { .sa_handler = on_signal };
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);

	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct msg m;
	int err;
	if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof kernel)) {
		fprintf(stderr, "witness: netlink: %s\n", strerror(errno));
		return 1;
	}
	err = ask(fd, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, TASKSTATS_GENL_NAME, sizeof TASKSTATS_GENL_NAME, &m);
	const struct nlattr *a = err ? NULL : payload(&m, CTRL_ATTR_FAMILY_ID);
	if (!a) {
		fprintf(stderr, "witness: the kernel has no taskstats (CONFIG_TASKSTATS): %s\n", strerror(err ? -err : ENOENT));
		return 1;
	}
	uint16_t family;
	memcpy(&family, (const char *)a + NLA_HDRLEN, sizeof family);

	enum { MAX = 1024 };
	uint32_t *tid = calloc((size_t)n, sizeof *tid);
	uint64_t (*last)[NCOL] = calloc((size_t)n, sizeof *last);
	if (!tid || !last)
		return 1;
	for (int i = 0; i < n; i++) {
		tid[i] = (uint32_t)atoi(argv[optind + i]);
		last[i][0] = UINT64_MAX;
	}
	fprintf(out, "time_ns,tid");
	for (int c = 0; c < NCOL; c++)
		fprintf(out, ",%s", columns[c].name);
	fputc('\n', out);
	bool checked = false;
	while (!stop) {
		int alive = 0;
		for (int i = 0; i < n; i++) {
			unsigned char s[MAX];
			size_t have;
			if (!tid[i])
				continue;
			if ((err = stats(fd, family, tid[i], s, sizeof s, &have))) {
				if (err == -EPERM || !checked) {
					fprintf(stderr, "witness: thread %u: %s\n", tid[i], strerror(-err));
					if (err == -EPERM)
						return 1;
				}
				tid[i] = 0;
				continue;
			}
			uint16_t version;
			memcpy(&version, s, sizeof version);
			/* version 15 moved the fields (6.14 to 6.16), 16 moved them back */
			if (version == 15 || version < 11) {
				fprintf(stderr, "witness: taskstats version %u is laid out otherwise\n", version);
				return 1;
			}
			checked = true;
			alive++;
			uint64_t v[NCOL];
			for (int c = 0; c < NCOL; c++)
				v[c] = columns[c].at + 8 <= have ? u64(s, columns[c].at) : 0;
			if (!memcmp(v, last[i], sizeof v))
				continue;
			memcpy(last[i], v, sizeof v);
			fprintf(out, "%" PRId64 ",%u", now_ns(), tid[i]);
			for (int c = 0; c < NCOL; c++)
				fprintf(out, ",%" PRIu64, v[c]);
			fputc('\n', out);
		}
		if (!alive)
			break;
		struct timespec t = { .tv_sec = (time_t)(every / 1000), .tv_nsec = (long)(every * 1e6) % 1000000000 };
		nanosleep(&t, NULL);
	}
	return fclose(out) ? 1 : 0;
}
