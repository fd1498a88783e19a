/* SPDX-License-Identifier: BSD-2-Clause */
/* The clocks read together, and what else is true of this host, this boot and this session. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "resolve_int.h"

#define ZONES "/zoneinfo/"

struct reading { uint64_t mono, boot, real, tai, width; };

static uint64_t ns_of(clockid_t id)
{
	struct timespec ts;

	return clock_gettime(id, &ts) ? 0 : (uint64_t)ts.tv_sec * RS_SEC + ts.tv_nsec;
}

/*
 * Each clock is read between two readings of the monotonic one; an interrupt in between makes them wide, so the
 * narrowest of several counts. All are put to one monotonic time, the middle of the reading.
 */
static struct reading read_clocks(void)
{
	struct reading best = { .width = UINT64_MAX };

	for (int i = 0; i < 16; i++) {
		struct reading c;
		uint64_t a = ns_of(CLOCK_MONOTONIC), z;

		c.boot = ns_of(CLOCK_BOOTTIME);
		c.real = ns_of(CLOCK_REALTIME);
		c.tai = ns_of(CLOCK_TAI);
		z = ns_of(CLOCK_MONOTONIC);
		c.width = z - a;
		c.mono = a + c.width / 2;
		if (c.width < best.width)
			best = c;
	}
	return best;
}

void kp_clock_row(struct kp_row *row)
{
	struct reading c = read_clocks();

	*row = (struct kp_row){ .kind = KP_K_CLOCK_SYNC, .end = c.mono, .a = { c.boot, c.real, c.tai, c.width } };
}

static void id_file(const char *path, char *out, size_t cap)
{
	char buf[64];
	ssize_t n = rs_read_at(AT_FDCWD, path, buf, sizeof(buf));

	out[0] = 0;
	if (n <= 0)
		return;
	buf[strcspn(buf, "\n ")] = 0;
	if (strlen(buf) < cap)
		memcpy(out, buf, strlen(buf) + 1);
}

static void random_id(char *out, size_t cap)
{
	uint8_t b[16];
	uint64_t t[2] = { kp_now_wall(), (uint64_t)getpid() << 32 ^ kp_now_mono() };

	/* before the kernel has randomness: another time and pid is another session */
	if (getrandom(b, sizeof(b), GRND_NONBLOCK) != sizeof(b))
		memcpy(b, t, sizeof(b));
	for (size_t i = 0; i < sizeof(b) && 2 * i + 2 < cap; i++)
		snprintf(out + 2 * i, cap - 2 * i, "%02x", b[i]);
}

/* "Europe/Madrid": from TZ, else from where /etc/localtime points to; "" when neither names a zone. */
static const char *zone(char *buf, size_t cap)
{
	const char *tz = getenv("TZ"), *p;
	ssize_t n;

	if (tz && *tz == ':')
		tz++;
	if (tz && *tz && *tz != '/')
		return tz;
	if (tz && *tz) {
		p = strstr(tz, ZONES);
		return p ? p + strlen(ZONES) : "";
	}
	if (tz)
		return "";	/* set and empty: UTC */
	n = readlink("/etc/localtime", buf, cap - 1);
	if (n > 0) {
		buf[n] = 0;
		p = strstr(buf, ZONES);
		if (p)
			return p + strlen(ZONES);
	}
	n = rs_read_at(AT_FDCWD, "/etc/timezone", buf, cap);
	if (n <= 0)
		return "";
	buf[strcspn(buf, "\n")] = 0;
	return buf;
}

int kp_source_fill(struct kp_source *s, struct kp_pool *pool, struct kp_err *err)
{
	struct reading c = read_clocks();
	time_t wall = c.real / RS_SEC;
	struct utsname u;
	struct tm tm;
	char buf[512];

	memset(s, 0, sizeof(*s));
	if (uname(&u))
		return kp_err(err, errno, "uname: %s", strerror(errno));
	id_file("/etc/machine-id", s->machine_id, sizeof(s->machine_id));
	id_file("/proc/sys/kernel/random/boot_id", s->boot_id, sizeof(s->boot_id));
	random_id(s->session, sizeof(s->session));
	s->host = kp_pool_cstr(pool, u.nodename);
	s->kernel = kp_pool_cstr(pool, u.release);
	s->arch = kp_pool_cstr(pool, u.machine);
	s->tz = kp_pool_cstr(pool, zone(buf, sizeof(buf)));
	if (!s->host || !s->kernel || !s->arch || !s->tz)
		return kp_err(err, ENOMEM, "no memory");
	tzset();
	if (localtime_r(&wall, &tm))
		s->utc_offset = tm.tm_gmtoff;
	s->cpus = sysconf(_SC_NPROCESSORS_CONF) > 0 ? sysconf(_SC_NPROCESSORS_CONF) : 1;
	s->page_size = sysconf(_SC_PAGESIZE);
	s->hz = sysconf(_SC_CLK_TCK);
	s->mono0 = c.mono;
	s->real0 = c.real;
	s->boot0 = c.boot;
	return 0;
}
