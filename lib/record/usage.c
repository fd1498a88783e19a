/* SPDX-License-Identifier: BSD-2-Clause */
/* What the recorder itself takes. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <kp/record.h>

static uint64_t ns(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_usec * 1000;
}

void kp_usage_read(struct kp_usage *u)
{
	unsigned long long pages = 0;
	struct rusage ru;
	char text[128];
	ssize_t n;
	int fd;

	*u = (struct kp_usage){ 0 };
	if (!getrusage(RUSAGE_SELF, &ru)) {
		u->user = ns(ru.ru_utime);
		u->system = ns(ru.ru_stime);
	}
	fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	if (sscanf(text, "%*u %llu", &pages) == 1)
		u->rss = pages * sysconf(_SC_PAGESIZE);
}

int kp_usage_line(struct kp_progress *p, const struct kp_record_stats *st, uint64_t bytes, char *out, size_t cap)
{
	uint64_t now = kp_now_mono(), dt = p->when ? now - p->when : 0;
	struct kp_usage u;
	char size[32];
	int len;

	kp_usage_read(&u);
	len = snprintf(out, cap, "%.0f events/s, %llu lost, %s, %.1f %% CPU",
		       dt ? (double)(st->events - p->events) * 1e9 / dt : 0.0, (unsigned long long)st->lost,
		       kp_fmt_bytes(size, bytes),
		       dt ? 100.0 * (u.user + u.system - p->cpu) / dt : 0.0);
	*p = (struct kp_progress){ now, st->events, u.user + u.system };
	return len;
}
