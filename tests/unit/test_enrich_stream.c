/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A shop on two hosts as a stream: customers ask the api for checkouts, the api asks the database. With an argument
 * it writes that stream for tests/tool: "all" on one host; "web" or "db", whose wall clock is 5 ms ahead; "hostile",
 * where the api's name is an escape sequence; "live", a request every 300 ms, then nothing for 20 s.
 * Without, it tests what the reader and the writer do for kp-enrich: shifts and provenance.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "enrich_rows.h"

#define SEC (1000 * MS)
#define REAL0 1764038700000000000ull	/* 2025-11-25T02:45:00Z */
#define DB_AHEAD (5 * MS)

enum host { WEB_HOST, DB_HOST };
enum { REQUESTS = 5, SLOW = 2, API = 8080, PG = 5432, CUSTOMER = 40001, POOLED = 50001 };

struct scene {
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	struct kp_writer *w;
	struct kp_header h;
	struct kp_source src;
	struct kp_prov prov;
	int only;		/* this host's rows, -1 all */
	const char *api;	/* its name */
	uint32_t pos[65536];	/* stream position by sending port */
	uint64_t mono0;
};

static const struct kp_task *who(struct scene *s, uint32_t tid, const char *comm)
{
	struct kp_task t = { .tid = tid, .tgid = tid, .ns_tid = tid, .ns_tgid = tid, .start = 1, .comm = kp_pool_cstr(s->pool, comm) };

	return kp_pool_task(s->pool, &t);
}

static void emit(struct scene *s, enum host host, struct kp_row *r, double ms)
{
	struct kp_err err = { "" };

	if (s->only >= 0 && s->only != (int)host)
		return;
	r->end = s->mono0 + (uint64_t)(ms * MS);
	if (kp_writer_row(s->w, r, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
}

static void event(struct scene *s, enum host host, uint16_t kind, const struct kp_task *t, double from, double to)
{
	struct kp_row r = { .kind = kind, .task = t, .dur = (uint64_t)((to - from) * MS) };

	emit(s, host, &r, to);
}

static const struct kp_obj *sock_of(struct scene *s, enum host host, uint16_t lport, uint16_t rport, bool apart)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = 6, .lport = lport, .rport = rport, .id = lport };
	uint8_t here = host + 1, there = apart ? 2 - host : here;

	memcpy(o.laddr, (uint8_t[]){ 10, 0, 0, here }, 4);
	memcpy(o.raddr, (uint8_t[]){ 10, 0, 0, there }, 4);
	return kp_pool_obj(s->pool, &o);
}

/* A message from lport on one host, 0.1 ms later at rport. */
static void say(struct scene *s, double ms, enum host from, const struct kp_task *a, uint16_t lport, enum host to,
		const struct kp_task *b, uint16_t rport, const char *bytes, size_t n)
{
	struct kp_row r = { .kind = KP_K_TCP_SEND, .task = a, .dur = 20000, .ret = n, .data = (const uint8_t *)bytes, .data_len = n,
			    .obj = sock_of(s, from, lport, rport, from != to) };

	s->pos[lport] += n;
	r.a[0] = s->pos[lport];
	emit(s, from, &r, ms);
	r.kind = KP_K_TCP_RECV;
	r.task = b;
	r.dur = 5000;
	r.obj = sock_of(s, to, rport, lport, from != to);
	emit(s, to, &r, ms + 0.1);
}

static void checkout(struct scene *s, int i)
{
	const struct kp_task *load = who(s, 5, "loadgen"), *api = who(s, 10, s->api), *db = who(s, 20, "postgres");
	double t = 1000.0 * (i + 1), slow = i == SLOW ? 800 : 8;
	char buf[256];
	size_t n;

	n = snprintf(buf, sizeof(buf), "POST /checkout HTTP/1.1\r\nX-Request-ID: req-%d\r\n"
		     "traceparent: 00-%032x-b7ad6b7169203331-01\r\n\r\n", i, i + 1);
	say(s, t, WEB_HOST, load, CUSTOMER, WEB_HOST, api, API, buf, n);
	event(s, WEB_HOST, KP_K_SYS_getpid, api, t + 0.5, t + 0.6);
	n = query(buf, "SELECT * FROM items WHERE id = 7");
	say(s, t + 1, WEB_HOST, api, POOLED, DB_HOST, db, PG, buf, n);
	event(s, DB_HOST, KP_K_BLK_READ, db, t + 2, t + slow / 2);
	if (i == SLOW) {
		event(s, WEB_HOST, KP_K_SYS_poll, api, t + 1.1, t + 751);
		n = snprintf(buf, sizeof(buf), "HTTP/1.1 504 Gateway Timeout\r\n\r\n");
		say(s, t + 752, WEB_HOST, api, API, WEB_HOST, load, CUSTOMER, buf, n);
	}
	event(s, DB_HOST, KP_K_MM_REFAULT, db, t + slow / 2, t + slow);
	say(s, t + slow + 1, DB_HOST, db, PG, WEB_HOST, api, POOLED, "C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I", 20);
	if (i != SLOW) {
		n = snprintf(buf, sizeof(buf), "HTTP/1.1 200 OK\r\n\r\n");
		say(s, t + slow + 2, WEB_HOST, api, API, WEB_HOST, load, CUSTOMER, buf, n);
	}
	event(s, DB_HOST, KP_K_SYS_getpid, db, t + 900, t + 901);
}

static void scene(int fd, int only, const char *api, bool live)
{
	struct scene *s = calloc(1, sizeof(*s));
	bool db = only == DB_HOST;
	struct kp_row clock = { .kind = KP_K_CLOCK_SYNC };

	if (!s || kp_pool_new(&s->pool) || kp_kinds_new(&s->kinds))
		exit(1);
	s->only = only;
	s->api = api;
	s->mono0 = (db ? 777 : 1000) * SEC;
	s->src = (struct kp_source){ .host = kp_pool_cstr(s->pool, db ? "db1" : "web1"), .cpus = 2, .page_size = 4096, .hz = 100,
				     .mono0 = s->mono0, .real0 = REAL0 + (db ? DB_AHEAD : 0), .boot0 = s->mono0, .utc_offset = 3600 };
	snprintf(s->src.boot_id, sizeof(s->src.boot_id), "boot-%s", s->src.host->p);
	snprintf(s->src.machine_id, sizeof(s->src.machine_id), "machine-%s", s->src.host->p);
	snprintf(s->src.session, sizeof(s->src.session), "session-%s", s->src.host->p);
	s->prov = (struct kp_prov){ kp_pool_cstr(s->pool, "scene"), kp_pool_cstr(s->pool, "1"), kp_pool_cstr(s->pool, ""), REAL0, 0, 0, 0 };
	s->h = (struct kp_header){ .version = 1, .sources = &s->src, .nsources = 1, .prov = &s->prov, .nprov = 1 };
	if (kp_writer_open(&s->w, fd, false, &s->h, s->kinds, NULL, NULL))
		exit(1);
	clock.a[0] = clock.end = s->mono0;
	clock.a[1] = clock.a[2] = s->src.real0;
	if (kp_writer_row(s->w, &clock, NULL))
		exit(1);
	for (int i = 0; i < REQUESTS; i++) {
		checkout(s, i);
		if (live && kp_writer_flush(s->w, NULL))
			exit(1);
		if (live)
			usleep(300000);
	}
	if (live)
		sleep(20);
	if (kp_writer_close(s->w, 0, NULL))
		exit(1);
	kp_kinds_free(s->kinds);
	kp_pool_free(s->pool);
	free(s);
}

/* ---- what kp-enrich needs of lib/stream ---- */

static int scene_file(int only, char path[32])
{
	int fd = memfd_create("scene", 0);

	assert_true(fd >= 0);
	scene(fd, only, "api", false);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

struct files { int fd[2]; char name[2][32]; const char *path[2]; struct kp_pool *pool; struct kp_kinds *kinds; struct kp_reader *r; };

static void files_open(struct files *f)
{
	for (int i = 0; i < 2; i++) {
		f->fd[i] = scene_file(i, f->name[i]);
		f->path[i] = f->name[i];
	}
	assert_int_equal(kp_pool_new(&f->pool), 0);
	assert_int_equal(kp_kinds_new(&f->kinds), 0);
}

static void files_close(struct files *f)
{
	kp_reader_close(f->r);
	kp_kinds_free(f->kinds);
	kp_pool_free(f->pool);
	close(f->fd[0]);
	close(f->fd[1]);
}

/* Two clocks 5 ms apart: the shifts found by the messages merge the rows so that none arrives before it was sent. */
static void shifts(void **state)
{
	struct kp_shift sh[2] = { { .boot_id = "boot-web1" }, { .boot_id = "boot-db1" } };
	struct kp_read_opts ro = { .shifts = sh, .nshifts = 2 };
	struct files f = { 0 };
	const struct kp_header *h;
	const struct kp_row *row;
	struct kp_clocks *c;
	int64_t shift[2];
	uint64_t err[2], last = 0;
	unsigned n = 0, early = 0;

	files_open(&f);
	assert_int_equal(kp_clocks_new(&c), 0);
	assert_int_equal(kp_reader_open(&f.r, f.path, 2, f.pool, f.kinds, NULL, NULL), 0);
	while (kp_reader_next(f.r, &row, NULL) == 1)
		assert_int_equal(kp_clocks_row(c, kp_reader_header(f.r), row), 0);
	assert_int_equal(kp_reader_header(f.r)->nsources, 2);
	assert_int_equal(kp_clocks_solve(c, kp_reader_header(f.r), shift, err, 2), 1);
	assert_int_equal(shift[0], 0);
	assert_in_range(-shift[1], DB_AHEAD - MS / 5, DB_AHEAD + MS / 5);
	assert_in_range(err[1], 1, MS / 5);
	kp_clocks_free(c);
	kp_reader_close(f.r);
	sh[1].shift = shift[1];
	sh[1].shift_err = err[1];
	assert_int_equal(kp_reader_open(&f.r, f.path, 2, f.pool, f.kinds, &ro, NULL), 0);
	h = kp_reader_header(f.r);
	while (kp_reader_next(f.r, &row, NULL) == 1) {
		uint64_t at = row->end + h->sources[row->source].base + h->sources[row->source].shift;

		early += at < last;
		last = at;
		n++;
	}
	assert_int_equal(early, 0);
	assert_int_equal(h->sources[1].shift, shift[1]);
	assert_int_equal(h->sources[1].shift_err, err[1]);
	assert_in_range(n, 60, 100);
	files_close(&f);
}

/* A filter's own entry stays when its input's header has news, and is the one that is completed at the end. */
static void provenance(void **state)
{
	struct files f = { 0 };
	int out = memfd_create("out", 0);
	char *argv[] = { (char *)"filter", (char *)"--flag", NULL };
	const struct kp_header *h;
	struct kp_writer *w;
	struct kp_header mine;
	const struct kp_row *row;
	char name[32];
	const char *path = name;

	assert_true(out >= 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", out);
	files_open(&f);
	assert_int_equal(kp_reader_open(&f.r, f.path, 1, f.pool, f.kinds, NULL, NULL), 0);
	assert_int_equal(kp_header_pass(&mine, kp_reader_header(f.r), f.pool, "filter", 2, argv), 0);
	assert_int_equal(kp_writer_open(&w, out, false, &mine, f.kinds, NULL, NULL), 0);
	kp_header_free(&mine);
	assert_int_equal(kp_reader_next(f.r, &row, NULL), 1);
	assert_int_equal(kp_writer_row(w, row, NULL), 0);
	while (kp_reader_next(f.r, &row, NULL) == 1)
		;
	assert_int_equal(kp_writer_update(w, kp_reader_header(f.r), NULL), 0);
	assert_int_equal(kp_writer_close(w, 77, NULL), 0);
	kp_reader_close(f.r);
	assert_int_equal(kp_reader_open(&f.r, &path, 1, f.pool, f.kinds, NULL, NULL), 0);
	while (kp_reader_next(f.r, &row, NULL) == 1)
		;
	h = kp_reader_header(f.r);
	assert_int_equal(h->nprov, 2);
	assert_string_equal(h->prov[0].tool->p, "scene");
	assert_true(h->prov[0].end != 0);
	assert_true(h->prov[0].rows_out > 30);
	assert_string_equal(h->prov[1].tool->p, "filter");
	assert_string_equal(h->prov[1].args->p, "--flag");
	assert_int_equal(h->prov[1].rows_in, 77);
	assert_int_equal(h->prov[1].rows_out, 1);
	files_close(&f);
	close(out);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(shifts), cmocka_unit_test(provenance) };

	if (argc > 1) {
		scene(STDOUT_FILENO, !strcmp(argv[1], "web") ? WEB_HOST : !strcmp(argv[1], "db") ? DB_HOST : -1,
		      strcmp(argv[1], "hostile") ? "api" : "\033]0;pwned\007\n\xff", !strcmp(argv[1], "live"));
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
