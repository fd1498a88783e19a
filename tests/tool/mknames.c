/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mknames [-n ROWS]: writes a stream to standard output in which hardly a name comes twice, as on a host that
 * compiles or serves mail for days: each process lives for a few rows, opens files of its own, answers one request
 * on a connection of its own, has its own stack. Every other one's end is missing. It needs little memory itself.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kp/stream.h>
#include <kp/util.h>

enum { RENEW = 1 << 16 };	/* processes */
#define GAP 50000		/* ns between rows */
#define MONO0 1000000000000ull

struct world {
	struct kp_pool *pool;	/* of the names of the last processes */
	struct kp_writer *w;
	uint64_t now, rows, want;
	const struct kp_task *init;
};

static void *must(const void *p)
{
	if (!p)
		abort();
	return (void *)p;
}

static const struct kp_str *name(struct world *w, const char *format, uint64_t n)
{
	char b[128];

	snprintf(b, sizeof(b), format, (unsigned long long)n);
	return must(kp_pool_cstr(w->pool, b));
}

static const struct kp_task *task(struct world *w, uint64_t n)
{
	struct kp_task t = { .tid = 1 + n % 4000000, .tgid = 1 + n % 4000000, .start = 1 + n * 1000,
			     .comm = name(w, "cc1-%llx", n), .exe = name(w, "/usr/lib/gcc/cc1", 0) };

	return must(kp_pool_task(w->pool, &t));
}

static const struct kp_obj *file(struct world *w, uint64_t n, int which)
{
	struct kp_obj o = { .type = KP_OBJ_FILE, .dev = 8 << 20 | 1, .id = n * 4 + which,
			    .name = name(w, which ? "/var/spool/build/0f3a/tmp/cc%016llx.s" : "/home/build/src/module/part-%016llx.c", n) };

	return must(kp_pool_obj(w->pool, &o));
}

static const struct kp_obj *sock(struct world *w, uint64_t n)
{
	uint32_t far = htonl(0x0a000000 | (n / 20000 & 0xffffff));
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = IPPROTO_TCP, .lport = 8080,
			    .rport = 40000 + n % 20000, .laddr = { 192, 0, 2, 1 }, .id = n };

	memcpy(o.raddr, &far, 4);
	return must(kp_pool_obj(w->pool, &o));
}

static const struct kp_stack *stack(struct world *w, uint64_t n)
{
	const struct kp_str *f[] = { name(w, "ksys_write+0x6d", 0), name(w, "0x7f%010llx", n * 16), name(w, "0x55%010llx", n * 16) };

	return must(kp_pool_stack(w->pool, f, 3));
}

static int put(struct world *w, struct kp_row r, struct kp_err *err)
{
	r.end = w->now += GAP;
	w->rows++;
	return kp_writer_row(w->w, &r, err);
}

static int process(struct world *w, uint64_t n, struct kp_err *err)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\n\r\n";
	const struct kp_task *t = task(w, n);
	const struct kp_obj *s = sock(w, n);
	char ask[128];
	int len = snprintf(ask, sizeof(ask), "POST /build/%llu HTTP/1.1\r\nX-Request-ID: req-%llx\r\n\r\n", (unsigned long long)n, (unsigned long long)n);
	const struct kp_row rows[] = {
		{ .kind = KP_K_PROC_FORK, .task = w->init, .peer = t },
		{ .kind = KP_K_TCP_RECV, .task = t, .obj = s, .ret = len, .a = { len }, .data = (uint8_t *)ask, .data_len = len },
		{ .kind = KP_K_SYS_openat, .task = t, .dur = GAP / 2, .obj = file(w, n, 0), .ret = 3 },
		{ .kind = KP_K_SYS_openat, .task = t, .dur = GAP / 2, .obj = file(w, n, 1), .ret = 4 },
		{ .kind = KP_K_SCHED_WAKE, .task = t, .dur = GAP / 4, .peer = w->init, .stack = stack(w, n) },
		{ .kind = KP_K_TCP_SEND, .task = t, .obj = s, .ret = sizeof(ok) - 1, .a = { sizeof(ok) - 1 }, .data = (uint8_t *)ok, .data_len = sizeof(ok) - 1 },
		{ .kind = KP_K_TCP_STATE, .task = t, .obj = s, .a = { 8, 7 } },
		{ .kind = KP_K_PROC_EXIT, .task = t },
	};
	int rc = 0;

	for (int i = 0; !rc && i < (n % 2 ? 8 : 7); i++)
		rc = put(w, rows[i], err);
	return rc;
}

/* What has been written is not needed any more. */
static int renew(struct world *w, struct kp_err *err)
{
	int rc = w->w ? kp_writer_flush(w->w, err) : 0;

	kp_pool_free(w->pool);
	w->pool = NULL;
	if (!rc)
		rc = kp_pool_new(&w->pool);
	if (!rc)
		w->init = task(w, 0);
	return rc;
}

static int write_rows(struct world *w, struct kp_pool *stay, struct kp_err *err)
{
	struct kp_source src = { .machine_id = "ab", .boot_id = "b007", .session = "5e55", .host = must(kp_pool_cstr(stay, "build1")),
				 .cpus = 2, .page_size = 4096, .hz = 100, .mono0 = MONO0, .real0 = 1795571100000000000ull };
	struct kp_header h = { .version = 1, .sources = &src, .nsources = 1 };
	struct kp_kinds *kinds = NULL;
	int rc = kp_kinds_new(&kinds), e;

	w->now = MONO0;
	if (!rc)
		rc = kp_writer_open(&w->w, STDOUT_FILENO, false, &h, kinds, NULL, err);
	for (uint64_t n = 0; !rc && w->rows < w->want; n++) {
		if (n % RENEW == 0)
			rc = renew(w, err);
		if (!rc)
			rc = process(w, n + 1, err);
	}
	e = kp_writer_close(w->w, 0, rc ? NULL : err);
	kp_kinds_free(kinds);
	return rc ? rc : e;
}

int main(int argc, char **argv)
{
	struct world w = { .want = 1000 };
	struct kp_err err = { "out of memory" };
	struct kp_pool *stay;
	int c, rc;

	while ((c = getopt(argc, argv, "n:")) != -1) {
		if (c != 'n')
			return 2;
		w.want = strtoull(optarg, NULL, 10);
	}
	rc = kp_pool_new(&stay);
	if (!rc)
		rc = write_rows(&w, stay, &err);
	if (rc)
		fprintf(stderr, "mknames: %s\n", err.msg);
	kp_pool_free(w.pool);
	kp_pool_free(stay);
	return rc ? 1 : 0;
}
