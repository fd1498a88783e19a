/* SPDX-License-Identifier: BSD-2-Clause */
/* Durations, sizes, times and objects as text. */
#include <kp/util.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SEC 1000000000ull

uint64_t kp_now_mono(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SEC + t.tv_nsec;
}

uint64_t kp_now_wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * SEC + t.tv_nsec;
}

/* v / unit, rounded to a tenth; false when that rounds up to the next unit. */
static bool tenth(char *buf, uint64_t v, uint64_t unit, uint64_t next, const char *name)
{
	uint64_t t = v / unit * 10 + (v % unit * 10 + unit / 2) / unit;

	if (t >= next * 10)
		return false;
	snprintf(buf, 32, "%llu.%llu %s", (unsigned long long)t / 10, (unsigned long long)t % 10, name);
	return true;
}

char *kp_fmt_dur(char buf[32], uint64_t ns)
{
	if (ns < 1000)
		snprintf(buf, 32, "%u ns", (unsigned)ns);
	else if (ns < 1000000 && tenth(buf, ns, 1000, 1000, "us"))
		;
	else if (ns < SEC && tenth(buf, ns, 1000000, 1000, "ms"))
		;
	else if (ns < 1000 * SEC)
		snprintf(buf, 32, "%.2f s", (double)ns / 1e9);
	else
		snprintf(buf, 32, "%llu s", (unsigned long long)(ns / SEC));
	return buf;
}

char *kp_fmt_bytes(char buf[32], uint64_t n)
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };

	if (n < 1024) {
		snprintf(buf, 32, "%u B", (unsigned)n);
		return buf;
	}
	for (int i = 0; i < 6; i++)
		if (tenth(buf, n, 1ull << (10 * (i + 1)), i == 5 ? 1u << 20 : 1024, unit[i]))
			break;
	return buf;
}

/* Days since 1970 to a date of the proleptic Gregorian calendar; years counted from March. */
static void civil(int64_t days, int *y, unsigned *m, unsigned *d)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = z - era * 146097;
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (int)(yoe + era * 400) + (*m <= 2);
}

static char *digits(char *p, uint32_t v, int n)
{
	for (int i = n - 1; i >= 0; i--) {
		p[i] = '0' + v % 10;
		v /= 10;
	}
	return p + n;
}

char *kp_fmt_wall(char buf[48], uint64_t wall_ns, int32_t utc_offset)
{
	int64_t s = (int64_t)(wall_ns / SEC) + utc_offset;
	int64_t days = s >= 0 ? s / 86400 : -((86399 - s) / 86400);
	unsigned sod = s - days * 86400, off = abs(utc_offset) / 60, m, d;
	char *p = buf;
	int y;

	civil(days, &y, &m, &d);
	p = digits(p, y, 4);
	*p++ = '-';
	p = digits(p, m, 2);
	*p++ = '-';
	p = digits(p, d, 2);
	*p++ = 'T';
	p = digits(p, sod / 3600, 2);
	*p++ = ':';
	p = digits(p, sod / 60 % 60, 2);
	*p++ = ':';
	p = digits(p, sod % 60, 2);
	*p++ = '.';
	p = digits(p, wall_ns % SEC, 9);
	*p++ = utc_offset < 0 ? '-' : '+';
	p = digits(p, off / 60, 2);
	*p++ = ':';
	p = digits(p, off % 60, 2);
	*p = 0;
	return buf;
}

static const char *proto_name(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP: return "tcp";
	case IPPROTO_UDP: return "udp";
	case IPPROTO_ICMP: return "icmp";
	case IPPROTO_ICMPV6: return "icmp6";
	case IPPROTO_SCTP: return "sctp";
	case IPPROTO_RAW: return "raw";
	default: return "ip";
	}
}

static bool all_zero(const uint8_t *a)
{
	static const uint8_t none[16];

	return !memcmp(a, none, 16);
}

static void endpoint(char *out, size_t cap, uint8_t family, const uint8_t *addr, uint16_t port)
{
	char a[INET6_ADDRSTRLEN] = "?";

	inet_ntop(family, addr, a, sizeof(a));
	snprintf(out, cap, family == AF_INET6 ? "[%s]:%u" : "%s:%u", a, port);
}

static void fmt_socket(char *buf, size_t cap, const struct kp_obj *o, const char *name)
{
	char l[64], r[64];

	if (o->family == AF_INET || o->family == AF_INET6) {
		endpoint(l, sizeof(l), o->family, o->laddr, o->lport);
		endpoint(r, sizeof(r), o->family, o->raddr, o->rport);
		if (o->rport || !all_zero(o->raddr))
			snprintf(buf, cap, "%s %s>%s", proto_name(o->proto), l, r);
		else
			snprintf(buf, cap, "%s %s", proto_name(o->proto), l);
		return;
	}
	const char *fam = o->family == AF_UNIX ? "unix" : o->family == AF_NETLINK ? "netlink" :
			  o->family == AF_PACKET ? "packet" : "socket";

	if (*name)
		snprintf(buf, cap, "%s %s", fam, name);
	else
		snprintf(buf, cap, "%s #%llu", fam, (unsigned long long)o->id);
}

/* What stands for an object without a name. */
static void fmt_nameless(char *buf, size_t cap, const struct kp_obj *o)
{
	unsigned long long id = o->id;
	unsigned maj = o->dev >> 20, min = o->dev & 0xfffff;

	switch (o->type) {
	case KP_OBJ_FILE: snprintf(buf, cap, "file %u:%u/%llu", maj, min, id); break;
	case KP_OBJ_PIPE: snprintf(buf, cap, "pipe #%llu", id); break;
	case KP_OBJ_ANON: snprintf(buf, cap, "anon #%llu", id); break;
	case KP_OBJ_DEVICE: snprintf(buf, cap, "dev %u:%u", maj, min); break;
	case KP_OBJ_FUTEX: snprintf(buf, cap, "futex 0x%llx", id); break;
	case KP_OBJ_CGROUP: snprintf(buf, cap, "cgroup #%llu", id); break;
	case KP_OBJ_LOCK: snprintf(buf, cap, "lock 0x%llx", id); break;
	default: snprintf(buf, cap, "#%llu", id); break;
	}
}

char *kp_fmt_obj(char *buf, size_t cap, const struct kp_obj *o)
{
	char name[4 * 256];

	if (!cap)
		return buf;
	buf[0] = 0;
	if (!o || o->type == KP_OBJ_NONE)
		return buf;
	if (o->type == KP_OBJ_SOCKET) {
		name[0] = 0;
		if (o->name)
			kp_escape(name, sizeof(name), o->name->p, o->name->len);
		fmt_socket(buf, cap, o, name);
	} else if (o->name && o->name->len) {
		kp_escape(buf, cap, o->name->p, o->name->len);
	} else {
		fmt_nameless(buf, cap, o);
	}
	return buf;
}
