/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mkstream [-n ROWS] [-s SEED] [--gap US] [--hostile] [--graph] [--sources N] [--block-rows N]: writes a stream
 * for the tests to standard output. The same arguments give the same rows on every machine: a keyframe, clock
 * rows, losses, open rows, and rows of every kind. It starts at 2026-11-25T02:45:00+01:00; --gap is the mean
 * time between rows (100 us). --hostile: names that are made to harm a terminal, a page or a spreadsheet.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kp/stream.h>
#include <kp/util.h>

#include "unit/dot_graphs.h"

enum { CUSTOM = 3000, NTASKS = 12, NOBJS = 10, NSTACKS = 4, MAX_SOURCES = 16, LOSS_EVERY = 997, SEC = 1000000000 };
#define REAL0 1795571100000000000ull

struct args { uint64_t rows, seed, gap; uint32_t sources, block_rows; bool hostile, graph; };

struct world {
	struct args a;
	uint64_t rng;
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	struct kp_writer *w;
	struct kp_header hdr;
	struct kp_source src[MAX_SOURCES];
	const struct kp_task *task[NTASKS];
	const struct kp_obj *obj[NOBJS];
	const struct kp_stack *stack[NSTACKS];
	const struct kp_str *service, *op[2];
	uint64_t now[MAX_SOURCES], clocked[MAX_SOURCES];
	uint64_t written;
	uint8_t data[64];
};

/* splitmix64 */
static uint64_t rnd(struct world *w)
{
	uint64_t z = w->rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t below(struct world *w, uint64_t n)
{
	return n ? rnd(w) % n : 0;
}

/* Most small, a few large: what durations and sizes look like. */
static uint64_t skewed(struct world *w, uint64_t max)
{
	uint64_t bits = below(w, 64 - __builtin_clzll(max | 1)) + 1;

	return bits >= 64 ? rnd(w) : rnd(w) & ((1ull << bits) - 1);
}

static const struct kp_str *str(struct world *w, const char *s)
{
	const struct kp_str *r = kp_pool_cstr(w->pool, s);

	if (!r)
		abort();
	return r;
}

static void make_tasks(struct world *w)
{
	static const struct { uint32_t tid, tgid; const char *comm, *exe, *cgroup; } t[NTASKS] = {
		{ 2847, 2847, "api-worker", "/usr/bin/api-worker", "/app" }, { 2851, 2847, "api-worker", "/usr/bin/api-worker", "/app" },
		{ 3101, 3101, "postgres", "/usr/lib/postgresql/15/bin/postgres", "/db" },
		{ 3102, 3102, "postgres", "/usr/lib/postgresql/15/bin/postgres", "/db" },
		{ 4721, 4721, "batch", "/usr/bin/python3.11", "/db" }, { 812, 812, "nginx", "/usr/sbin/nginx", "/" },
		{ 15, 15, "kworker/0:1H", NULL, NULL }, { 0, 0, "swapper/0", NULL, NULL }, { 1, 1, "systemd", "/usr/lib/systemd/systemd", "/init" },
		{ 5001, 5000, "tokio-runtime-w", "/opt/svc/bin/svc", "/svc" }, { 5000, 5000, "svc", "/opt/svc/bin/svc", "/svc" },
		{ 4194304, 4194304, "sshd", "/usr/sbin/sshd", "/user.slice/user-0.slice/session-1.scope" },
	};
	static const char *const bad[] = { "\033[31mred\007", "=cmd|'/C'!A0", "a\"b,c\nd", "\342\200\256gnp.exe", "\xff\xfe\\x41", "<b>&amp;" };

	for (int i = 0; i < NTASKS; i++) {
		struct kp_task k = { .tid = t[i].tid, .tgid = t[i].tgid, .start = t[i].tid * 1000003ull, .ns_tid = t[i].tid % 97,
				     .ns_tgid = t[i].tgid % 97, .kthread = !t[i].exe };

		k.comm = str(w, w->a.hostile && i % 2 == 0 ? bad[i / 2] : t[i].comm);
		k.exe = t[i].exe ? str(w, t[i].exe) : NULL;
		for (int c = 0; t[i].cgroup && c < KP_CG_MAX; c++)
			k.cgroup[c] = str(w, t[i].cgroup);
		w->task[i] = kp_pool_task(w->pool, &k);
	}
}

static void make_objs(struct world *w)
{
	static const uint8_t lo6[16] = { [15] = 1 }, lo4[4] = { 127, 0, 0, 1 }, far[4] = { 10, 0, 0, 7 };
	struct kp_obj o[NOBJS] = {
		{ .type = KP_OBJ_FILE, .dev = 8 << 20 | 1, .id = 131, .name = str(w, "/var/lib/postgresql/base/16384/16402") },
		{ .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = IPPROTO_TCP, .lport = 5432, .rport = 41000, .id = 77 },
		{ .type = KP_OBJ_SOCKET, .family = AF_INET6, .proto = IPPROTO_UDP, .lport = 53, .rport = 4242, .id = 78 },
		{ .type = KP_OBJ_PIPE, .id = 9001 },
		{ .type = KP_OBJ_DEVICE, .dev = 8 << 20, .name = str(w, "sda") },
		{ .type = KP_OBJ_FUTEX, .id = 0x7f3a5c001120 },
		{ .type = KP_OBJ_CGROUP, .id = 42, .name = str(w, "/db") },
		{ .type = KP_OBJ_SOCKET, .family = AF_UNIX, .id = 80, .name = str(w, "/run/postgresql/.s.PGSQL.5432") },
		{ .type = KP_OBJ_FILE, .dev = 8 << 20 | 1, .id = 9007199254740995ull, .name = str(w, w->a.hostile ? "/tmp/\xff\xfe(\xc3(\n=1+1" : "/etc/passwd") },
		{ .type = KP_OBJ_NAME, .name = str(w, w->a.hostile ? "@SUM(1)\"\033]0;x\007" : "renamed") },
	};

	memcpy(o[1].laddr, lo4, 4);
	memcpy(o[1].raddr, far, 4);
	memcpy(o[2].laddr, lo6, 16);
	memcpy(o[2].raddr, lo6, 16);
	for (int i = 0; i < NOBJS; i++)
		w->obj[i] = kp_pool_obj(w->pool, &o[i]);
}

static void make_stacks(struct world *w)
{
	static const char *const f[NSTACKS][4] = {
		{ "io_schedule+0x12", "folio_wait_bit_common+0x13f", "filemap_read+0x2ac", "ksys_read+0x6d" },
		{ "futex_wait_queue+0x66", "futex_wait+0x17d", "do_futex+0x11c" },
		{ "sk_wait_data+0x7a", "tcp_recvmsg+0x1f2", "0x7f3a5c0011ff" },
		{ "ext4_sync_file+0x1b [ext4]" },
	};

	for (int i = 0; i < NSTACKS; i++) {
		const struct kp_str *s[4];
		uint32_t n = 0;

		for (; n < 4 && f[i][n]; n++)
			s[n] = str(w, f[i][n]);
		w->stack[i] = kp_pool_stack(w->pool, s, n);
	}
}

static void make_sources(struct world *w)
{
	static struct kp_hook hooks[MAX_SOURCES][3];
	static struct kp_prov prov;

	for (uint32_t i = 0; i < w->a.sources; i++) {
		struct kp_source *s = &w->src[i];
		char host[32];

		snprintf(host, sizeof(host), i ? "db%u" : "web1", i);
		snprintf(s->machine_id, sizeof(s->machine_id), "%032x", 0xab00 + i);
		snprintf(s->boot_id, sizeof(s->boot_id), "%08x-0000-4000-8000-000000000000", 0xb000 + i);
		snprintf(s->session, sizeof(s->session), "%016llx", 0x5e5510000ull + i + w->a.seed * 256);
		s->host = str(w, w->a.hostile && i == 0 ? "web\0331" : host);
		s->kernel = str(w, "6.12.9-amd64");
		s->arch = str(w, "x86_64");
		s->tz = str(w, "Europe/Madrid");
		s->utc_offset = 3600;
		s->cpus = 2;
		s->page_size = 4096;
		s->hz = 100;
		s->mono0 = w->now[i] = (1000 + 5000ull * i) * SEC;
		s->real0 = REAL0;
		s->boot0 = s->mono0 + 1000;
		hooks[i][0] = (struct kp_hook){ str(w, "sched_switch"), str(w, "tp_btf/sched_switch"), str(w, ""), i };
		hooks[i][1] = (struct kp_hook){ str(w, "sys_enter"), str(w, "raw_tp/sys_enter"), str(w, "no BTF of this module"), i };
		hooks[i][2] = (struct kp_hook){ str(w, "sock_send_length"), str(w, ""), str(w, "kernel 6.12.9 has no such tracepoint"), i };
		w->hdr.nhooks += 3;
	}
	prov = (struct kp_prov){ .tool = str(w, "mkstream"), .version = str(w, "1"), .args = str(w, ""), .start = REAL0 };
	w->hdr.version = 1;
	w->hdr.sources = w->src;
	w->hdr.nsources = w->a.sources;
	w->hdr.hooks = hooks[0];
	w->hdr.prov = &prov;
	w->hdr.nprov = 1;
}

static uint64_t value(struct world *w, uint8_t unit)
{
	switch (unit) {
	case KP_U_FD: return below(w, 20) ? below(w, 64) : (uint64_t)-100;
	case KP_U_TID: return w->task[below(w, NTASKS)]->tid;
	case KP_U_STATE: return below(w, 2) ? 1ull << below(w, 8) : 0;
	case KP_U_CTX: return below(w, 3);
	case KP_U_SIG: return 1 + below(w, 31);
	case KP_U_ERR: return below(w, 6) ? skewed(w, 65536) : (uint64_t)-(1 + (int64_t)below(w, 110));
	case KP_U_INT: return (uint64_t)((int64_t)skewed(w, 1000) - 20);
	case KP_U_OFF: return (uint64_t)((int64_t)skewed(w, 1 << 30) - 4096);
	case KP_U_ID: return (uint64_t)((int64_t)below(w, 70000) - 1);
	case KP_U_NS: return skewed(w, 2000000000);
	case KP_U_BYTES: case KP_U_PAGES: return skewed(w, 1 << 24);
	case KP_U_TCP: return 1 + below(w, 12);
	case KP_U_MODE: return 0644;
	case KP_U_PTR: case KP_U_STR: return 0x7ffc00000000ull + below(w, 1 << 20) * 16;
	case KP_U_OPEN: return below(w, 2) ? 02000000 : 0102;
	case KP_U_FUTEX: return below(w, 14) | 128;
	case KP_U_SOCK: return below(w, 2) ? AF_INET : AF_UNIX;
	case KP_U_HEX: return below(w, 8) ? skewed(w, 1 << 30) : rnd(w);
	default: return below(w, 16) ? skewed(w, 1 << 20) : UINT64_MAX - below(w, 4);
	}
}

static const struct kp_kind *some_kind(struct world *w)
{
	static const uint16_t often[] = {
		KP_K_SCHED_SWITCH, KP_K_SCHED_SWITCH, KP_K_SCHED_WAKE, KP_K_SCHED_WAKE, KP_K_SYS_read, KP_K_SYS_write, KP_K_SYS_openat,
		KP_K_SYS_futex, KP_K_SYS_poll, KP_K_TCP_SEND, KP_K_TCP_RECV, KP_K_BLK_READ, KP_K_BLK_WRITE, KP_K_MM_REFAULT, KP_K_COUNT_MEM,
	};
	const struct kp_kind *k;

	if (below(w, 8))
		return kp_kind_by_id(w->kinds, often[below(w, sizeof(often) / sizeof(often[0]))]);
	do {
		uint64_t from = below(w, 8);

		k = kp_kind_next(w->kinds, from < 6 ? below(w, KP_K_SYS_END) : from < 7 ? below(w, 200) : CUSTOM);
	} while (!k || (k->id >= KP_K_KEY_TASK && k->id <= KP_K_LOSS_STREAM));	/* keyframes, clock and losses come where they belong */
	return k;
}

static const struct kp_obj *obj_for(struct world *w, uint16_t kind)
{
	if (kind >= KP_K_TCP_SEND && kind <= KP_K_TCP_RESET)
		return w->obj[1 + below(w, 2)];
	if (kind >= KP_K_BLK_READ && kind <= KP_K_BLK_BIO)
		return w->obj[4];
	if (kind == KP_K_SCHED_SWITCH || kind == KP_K_SCHED_WAKE || below(w, 4) == 0)
		return NULL;
	return w->obj[below(w, NOBJS)];
}

static void fill(struct world *w, struct kp_row *r, const struct kp_kind *k)
{
	bool two = (k->id < KP_K_NET_SEND && k->id != KP_K_SCHED_MIGRATE) || k->id == KP_K_MM_REFAULT;

	r->kind = k->id;
	r->cpu = below(w, 2);
	r->dur = below(w, 5) ? skewed(w, 1 << 22) : skewed(w, 1 << 30);
	if (r->dur > r->end)
		r->dur = r->end;
	r->task = w->task[below(w, NTASKS)];
	r->peer = two ? w->task[below(w, NTASKS)] : NULL;
	for (int i = 0; i < k->nargs; i++)
		r->a[i] = value(w, k->unit[i]);
	if (k->ret_unit != KP_U_NONE)
		r->ret = (int64_t)value(w, k->ret_unit);
	r->obj = obj_for(w, k->id);
	if (k->id == KP_K_SCHED_WAKE && r->dur > 1000000) {
		r->stack = w->stack[below(w, NSTACKS)];
		r->stack2 = below(w, 2) ? w->stack[below(w, NSTACKS)] : NULL;
	}
	if (below(w, 50) == 0)
		r->flags = 1u << below(w, 5);
	if (below(w, 50) == 0)
		r->flags |= 1u << (6 + below(w, 5));
	if ((k->id == KP_K_TCP_SEND || k->id == KP_K_TCP_RECV) && below(w, 4) == 0) {
		r->data = w->data;
		r->data_len = (uint32_t)snprintf((char *)w->data, sizeof(w->data), "GET /checkout HTTP/1.1\r\nX-Id: %u\r\n", (unsigned)below(w, 1000));
	}
	if (below(w, 4) == 0) {
		char id[32];

		snprintf(id, sizeof(id), "req-%04x", (unsigned)below(w, 100));
		r->ctx[KP_CTX_SERVICE] = w->service;
		r->ctx[KP_CTX_OP] = w->op[below(w, 2)];
		r->ctx[KP_CTX_REQUEST] = str(w, id);
	}
}

static int put(struct world *w, const struct kp_row *r, struct kp_err *err)
{
	w->written++;
	return kp_writer_row(w->w, r, err);
}

static int clock_row(struct world *w, uint32_t s, struct kp_err *err)
{
	uint64_t t = w->now[s], past = t - w->src[s].mono0;
	struct kp_row r = { .end = t, .kind = KP_K_CLOCK_SYNC, .source = s, .a = { t + 1000, REAL0 + past, REAL0 + past + 37ull * SEC, 300 } };

	w->clocked[s] = t;
	return put(w, &r, err);
}

static int loss_row(struct world *w, uint32_t s, struct kp_err *err)
{
	struct kp_row r = { .end = w->now[s], .dur = 5000000, .cpu = 1, .kind = KP_K_LOSS_KERNEL, .source = s };

	r.a[0] = below(w, 8) ? 1 + below(w, 1000) : UINT64_MAX;
	return put(w, &r, err);
}

static int keyframe(struct world *w, uint32_t s, struct kp_err *err)
{
	uint64_t t0 = w->now[s], t1 = t0 + 2000000;
	int rc = kp_writer_key_begin(w->w, t0, err);

	for (int i = 0; !rc && i < NTASKS; i++) {
		struct kp_row r = { .end = t0 + 1000 * i, .kind = KP_K_KEY_TASK, .flags = KP_F_KEYFRAME, .source = s, .task = w->task[i],
				    .peer = w->task[8], .dur = 5ull * SEC, .a = { 1, 1000000, 2000, 300, 0, 0 } };

		rc = put(w, &r, err);
		r = (struct kp_row){ .end = t0 + 1000 * i + 1, .kind = KP_K_KEY_FILE, .flags = KP_F_KEYFRAME, .source = s, .task = w->task[i],
				     .obj = w->obj[i % NOBJS], .a = { i, 2 } };
		if (!rc)
			rc = put(w, &r, err);
	}
	if (!rc)
		rc = kp_writer_key_end(w->w, t1, err);
	w->now[s] = t1;
	return rc;
}

static int graphs(struct world *w, struct kp_err *err)
{
	struct kp_graph g = checkout_graph("req-9f21");
	struct kp_graph q = quiet_graph("req-9f22");
	int rc = kp_writer_graph(w->w, &g, err);

	return rc ? rc : kp_writer_graph(w->w, &q, err);
}

static int write_rows(struct world *w, struct kp_err *err)
{
	int rc = 0;

	for (uint32_t s = 0; !rc && s < w->a.sources; s++) {
		rc = clock_row(w, s, err);
		if (!rc && w->a.rows > 2 * NTASKS)
			rc = keyframe(w, s, err);
	}
	while (!rc && w->written < w->a.rows) {
		uint32_t s = below(w, w->a.sources);
		struct kp_row r = { .source = s };

		w->now[s] += 1 + below(w, 2 * w->a.gap * 1000);
		r.end = w->now[s];
		if (w->now[s] - w->clocked[s] > 10ull * SEC) {
			rc = clock_row(w, s, err);
		} else if (w->written % LOSS_EVERY == LOSS_EVERY - 1) {
			rc = loss_row(w, s, err);
		} else {
			fill(w, &r, some_kind(w));
			rc = put(w, &r, err);
		}
	}
	return rc || !w->a.graph ? rc : graphs(w, err);
}

static int options(int argc, char **argv, struct args *a)
{
	static const struct option longs[] = {
		{ "gap", required_argument, NULL, 'g' }, { "hostile", no_argument, NULL, 'h' }, { "graph", no_argument, NULL, 'G' },
		{ "sources", required_argument, NULL, 'S' }, { "block-rows", required_argument, NULL, 'b' }, { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "n:s:", longs, NULL)) != -1) {
		switch (c) {
		case 'n': a->rows = strtoull(optarg, NULL, 10); break;
		case 's': a->seed = strtoull(optarg, NULL, 10); break;
		case 'g': a->gap = strtoull(optarg, NULL, 10); break;
		case 'b': a->block_rows = strtoul(optarg, NULL, 10); break;
		case 'S': a->sources = strtoul(optarg, NULL, 10); break;
		case 'h': a->hostile = true; break;
		case 'G': a->graph = true; break;
		default: return -EINVAL;
		}
	}
	return optind < argc || !a->gap || !a->sources || a->sources > MAX_SOURCES ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
	static struct world w = { .a = { .rows = 1000, .seed = 1, .gap = 100, .sources = 1 } };
	struct kp_err err = { "out of memory" };
	int rc = -ENOMEM;

	if (options(argc, argv, &w.a)) {
		fprintf(stderr, "usage: mkstream [-n ROWS] [-s SEED] [--gap US] [--hostile] [--graph] [--sources N] [--block-rows N] > FILE\n");
		return 2;
	}
	w.rng = w.a.seed;
	if (kp_pool_new(&w.pool) || kp_kinds_new(&w.kinds))
		goto out;
	make_tasks(&w);
	make_objs(&w);
	make_stacks(&w);
	make_sources(&w);
	w.service = str(&w, "api-worker");
	w.op[0] = str(&w, "POST /checkout");
	w.op[1] = str(&w, "SELECT items");
	struct kp_write_opts wo = { .block_rows = w.a.block_rows };
	uint16_t id = CUSTOM;

	/* a kind that this version does not know: of a later one, or somebody else's */
	kp_kinds_add(w.kinds, &id, "zz.custom", "first:u second:B", "err", "a kind of somebody else");
	rc = kp_writer_open(&w.w, STDOUT_FILENO, false, &w.hdr, w.kinds, &wo, &err);
	if (!rc)
		rc = write_rows(&w, &err);
	if (w.w) {
		int e = kp_writer_close(w.w, 0, rc ? NULL : &err);

		rc = rc ? rc : e;
	}
out:
	if (rc)
		fprintf(stderr, "mkstream: %s\n", err.msg);
	kp_kinds_free(w.kinds);
	kp_pool_free(w.pool);
	return rc ? 1 : 0;
}
