/* SPDX-License-Identifier: BSD-2-Clause */
/* Output formats: rows go through a stream, a reader and a format, and what comes out is compared word for word. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <kp/export.h>
#include <kp/util.h>

#define MS 1000000ull
#define SEC 1000000000ull
#define REAL0 1795571100000000000ull	/* 2026-11-25T02:45:00+01:00 */
#define MONO0 (1000 * SEC)

struct world {
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	struct kp_source src[2];
	struct kp_header h;
	const struct kp_task *api, *thread, *batch, *evil;
	struct kp_export_opts o;
};

static const struct kp_str *str(struct world *w, const char *s)
{
	const struct kp_str *r = kp_pool_cstr(w->pool, s);

	assert_non_null(r);
	return r;
}

static const struct kp_task *task(struct world *w, uint32_t tgid, uint32_t tid, const char *comm)
{
	struct kp_task t = { .tid = tid, .tgid = tgid, .start = 7, .comm = str(w, comm) };

	t.cgroup[KP_CG_MEMORY] = str(w, "/app");
	return kp_pool_task(w->pool, &t);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(kp_pool_new(&w->pool), 0);
	assert_int_equal(kp_kinds_new(&w->kinds), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(w->src[i].session, sizeof(w->src[i].session), "session%d", i);
		snprintf(w->src[i].boot_id, sizeof(w->src[i].boot_id), "boot%d", i);
		w->src[i].host = str(w, i ? "db1" : "web1");
		w->src[i].tz = str(w, "Europe/Madrid");
		w->src[i].utc_offset = 3600;
		w->src[i].mono0 = MONO0;
		w->src[i].real0 = REAL0;
	}
	w->h = (struct kp_header){ .version = 1, .sources = w->src, .nsources = 1 };
	w->api = task(w, 2847, 2847, "api-worker");
	w->thread = task(w, 2847, 2851, "api-worker");
	w->batch = task(w, 4721, 4721, "batch");
	w->evil = task(w, 66, 66, "\033[2J=\"\n\xff");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kp_kinds_free(w->kinds);
	kp_pool_free(w->pool);
	free(w);
	return 0;
}

static void must(int rc, const struct kp_err *err)
{
	if (rc)
		fail_msg("%s", err->msg);
}

static int temp(void)
{
	int fd = memfd_create("test_export", 0);

	assert_true(fd >= 0);
	return fd;
}

static int stream_of(struct world *w, const struct kp_row *rows, unsigned n)
{
	struct kp_err err = { "" };
	struct kp_writer *wr;
	int fd = temp();

	must(kp_writer_open(&wr, fd, false, &w->h, w->kinds, NULL, &err), &err);
	for (unsigned i = 0; i < n; i++)
		must(kp_writer_row(wr, &rows[i], &err), &err);
	must(kp_writer_close(wr, 0, &err), &err);
	return fd;
}

/* What the format makes of the stream in fd (which is closed), as a string and its length. */
static char *export(struct world *w, const char *format, int fd, size_t *len)
{
	char path[32], *out;
	const char *paths[] = { path };
	const struct kp_row *row;
	struct kp_err err = { "" };
	struct kp_reader *r;
	struct kp_export *x;
	int to = temp(), rc;
	off_t size;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(kp_reader_open(&r, paths, 1, w->pool, w->kinds, NULL, &err), &err);
	w->o.kinds = w->kinds;
	w->o.pool = w->pool;
	w->o.reader = r;
	must(kp_export_open(&x, format, to, &w->o, &err), &err);
	while ((rc = kp_reader_next(r, &row, &err)) > 0)
		must(kp_export_row(x, row, &err), &err);
	must(rc, &err);
	must(kp_export_close(x, true, 0, &err), &err);
	kp_reader_close(r);
	close(fd);
	size = lseek(to, 0, SEEK_END);
	out = calloc(1, size + 1);
	assert_non_null(out);
	assert_int_equal(pread(to, out, size, 0), size);
	close(to);
	if (len)
		*len = size;
	return out;
}

static void prints(struct world *w, const char *format, const struct kp_row *rows, unsigned n, const char *expected)
{
	char *out = export(w, format, stream_of(w, rows, n), NULL);

	assert_string_equal(out, expected);
	free(out);
}

#define DATE "Wednesday 2026-11-25, UTC+01:00 (Europe/Madrid)\n"

static const struct kp_obj *file_obj(struct world *w, const char *path)
{
	struct kp_obj o = { .type = KP_OBJ_FILE, .dev = 8 << 20 | 1, .id = (1ull << 53) + 1, .name = str(w, path) };

	return kp_pool_obj(w->pool, &o);
}

static void text_is_a_line_a_row(void **state)
{
	struct world *w = *state;
	struct kp_row r[] = {
		{ .end = MONO0 + 1123456789, .dur = 1200000, .kind = KP_K_SYS_read, .task = w->api, .a = { 7, 0x7f00, 8192 }, .ret = 8192,
		  .obj = file_obj(w, "/etc/passwd"), .ctx = { [KP_CTX_SERVICE] = str(w, "api"), [KP_CTX_REQUEST] = str(w, "req-1") } },
		{ .end = MONO0 + 1123457789, .kind = KP_K_SYS_openat, .task = w->thread, .a = { (uint32_t)-100, 1, 02000000 }, .ret = -ENOENT,
		  .obj = file_obj(w, "/no\\pe") },
	};

	prints(w, "text", r, 2, DATE
	       "02:45:01.123456    1.2 ms  api-worker[2847]         sys.read       /etc/passwd fd=7 count=8192 = 8192  [req-1, api]\n"
	       "02:45:01.123457            api-worker[2847/2851]    sys.openat     /no\\x5cpe dfd=AT_FDCWD flags=O_RDONLY|O_CLOEXEC mode=00 = -ENOENT\n");
	w->o.utc = true;
	prints(w, "text", r, 1, "Wednesday 2026-11-25, UTC\n"
	       "01:45:01.123456    1.2 ms  api-worker[2847]         sys.read       /etc/passwd fd=7 count=8192 = 8192  [req-1, api]\n");
}

static void text_names_wakers_but_no_bystanders(void **state)
{
	struct world *w = *state;
	struct kp_row r[] = {
		{ .end = MONO0, .dur = 3 * MS, .kind = KP_K_SCHED_WAKE, .task = w->api, .peer = w->batch, .a = { 0, 1, 0 } },
		{ .end = MONO0, .dur = 3 * MS, .kind = KP_K_SCHED_WAKE, .task = w->api, .peer = w->batch, .a = { 2, 2, 0 } },
		{ .end = MONO0, .dur = 3 * MS, .kind = KP_K_SCHED_SWITCH, .task = w->api, .peer = w->batch, .a = { 0, 4721, 2500 } },
		{ .end = MONO0, .kind = KP_K_TCP_RETRANSMIT, .task = w->batch, .a = { 7, 1 }, .flags = KP_F_SOFTIRQ },
	};

	prints(w, "text", r, 4, DATE
	       "02:45:00.000000    3.0 ms  api-worker[2847]         sched.wake     woken by batch[4721] state=S\n"
	       "02:45:00.000000    3.0 ms  api-worker[2847]         sched.wake     woken by a hardirq state=D\n"
	       "02:45:00.000000    3.0 ms  api-worker[2847]         sched.switch   to batch[4721] state=R delay=2.5us\n"
	       "02:45:00.000000            (batch[4721])            tcp.retransmit seq=7 state=ESTABLISHED {softirq}\n");
}

static void text_makes_losses_and_open_rows_stand_out(void **state)
{
	struct world *w = *state;
	struct kp_row r[] = {
		{ .end = MONO0, .dur = 5 * MS, .kind = KP_K_LOSS_KERNEL, .cpu = 1, .a = { 341 } },
		{ .end = MONO0, .kind = KP_K_LOSS_KERNEL, .a = { UINT64_MAX } },
		{ .end = MONO0, .dur = 2 * SEC, .kind = KP_K_SYS_fsync, .task = w->api, .a = { 3 }, .flags = KP_F_OPEN },
		{ .end = MONO0, .dur = 20 * MS, .kind = KP_K_SYS_fsync, .task = w->api, .a = { 3 }, .ret = -EIO },
	};

	prints(w, "text", r, 3, DATE
	       "02:45:00.000000    *** 341 rows are missing here: the buffer was full on CPU 1, in the last 5.0ms (loss.kernel)\n"
	       "02:45:00.000000    *** an unknown number of rows are missing here: the buffer was full on CPU 0 (loss.kernel)\n"
	       "02:45:00.000000   >2.00 s  api-worker[2847]         sys.fsync      fd=3 ... has not ended\n");
	w->o.color = true;
	prints(w, "text", r + 3, 1, "\033[1mWednesday 2026-11-25, UTC+01:00 (Europe/Madrid)\033[0m\n"
	       "02:45:00.000000   \033[33m20.0 ms\033[0m  api-worker[2847]         sys.fsync      fd=3 = \033[31m-EIO\033[0m\n");
}

static void text_tells_days_and_hosts_apart(void **state)
{
	struct world *w = *state;
	uint64_t midnight = MONO0 + (21 * 3600 + 15 * 60) * SEC;
	struct kp_row r[] = {
		{ .end = midnight - 1000, .kind = KP_K_SCHED_MIGRATE, .task = w->api, .a = { 0, 1 } },
		{ .end = midnight, .kind = KP_K_SCHED_MIGRATE, .task = w->api, .a = { 1, 0 }, .source = 1 },
	};

	w->h.nsources = 2;
	prints(w, "text", r, 2, DATE
	       "23:59:59.999999            web1  api-worker[2847]         sched.migrate  from=0 to=1\n"
	       "Thursday 2026-11-26, UTC+01:00 (Europe/Madrid)\n"
	       "00:00:00.000000            db1   api-worker[2847]         sched.migrate  from=1 to=0\n");
	/* without a wall clock: seconds since boot */
	w->h.nsources = 1;
	w->src[0].real0 = w->src[0].mono0 = 0;
	prints(w, "text", r, 1,
	       "   77499.999999            api-worker[2847]         sched.migrate  from=0 to=1\n");
}

static void text_tells_all_when_asked(void **state)
{
	struct world *w = *state;
	const struct kp_str *f[] = { str(w, "io_schedule+0x12"), str(w, "\033evil") };
	struct kp_row r = { .end = MONO0, .dur = 2 * MS, .kind = KP_K_SCHED_WAKE, .task = w->api, .peer = w->batch, .a = { 1, 2, 1 }, .cpu = 1,
			    .data = (const uint8_t *)"GET /\r\n", .data_len = 7, .flags = KP_F_SLOW };

	r.stack = kp_pool_stack(w->pool, f, 2);
	w->o.verbose = 1;
	prints(w, "text", &r, 1, DATE
	       "02:45:00.000000    2.0 ms  api-worker[2847]         sched.wake     woken by a softirq (over batch[4721]) ctx=softirq state=D target=1 cpu=1 {slow}\n"
	       "                           sleeper: io_schedule+0x12\n"
	       "                                    \\x1bevil\n"
	       "                           data:    GET /\\x0d\\x0a\n");
}

static void json_has_all_of_a_row(void **state)
{
	struct world *w = *state;
	struct kp_obj sock = { .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = IPPROTO_TCP, .lport = 80, .rport = 4411, .id = 5,
			       .laddr = { 127, 0, 0, 1 }, .raddr = { 10, 0, 0, 7 } };
	const struct kp_str *f[] = { str(w, "a+0x1"), str(w, "b\"") };
	struct kp_row r[] = {
		{ .end = MONO0 + 1, .dur = 1, .kind = KP_K_TCP_SEND, .cpu = 1, .task = w->thread, .peer = w->batch, .a = { UINT64_MAX, 1ull << 53 },
		  .ret = -ENOENT, .obj = kp_pool_obj(w->pool, &sock), .data = (const uint8_t *)"a\n\"\\", .data_len = 4,
		  .flags = KP_F_OPEN | KP_F_SLOW, .ctx = { [KP_CTX_SERVICE] = str(w, "api"), [KP_CTX_LOG] = str(w, "oops") } },
		{ .end = (1ull << 53) + 1, .kind = KP_K_SCHED_MIGRATE, .task = w->evil },
	};

	r[0].stack = r[0].stack2 = kp_pool_stack(w->pool, f, 2);
	prints(w, "json", r, 1,
	       "{\"end\":1000000000001,\"dur\":1,\"kind\":\"tcp.send\",\"cpu\":1,\"host\":\"web1\",\"time\":\"2026-11-25T02:45:00.000000001+01:00\","
	       "\"pid\":2847,\"tid\":2851,\"comm\":\"api-worker\",\"start\":7,\"cgroup\":\"/app\",\"peer\":{\"pid\":4721,\"tid\":4721,\"comm\":\"batch\",\"start\":7},"
	       "\"args\":{\"pos\":\"18446744073709551615\",\"unacked\":9007199254740992},\"ret\":-2,"
	       "\"obj\":{\"type\":\"socket\",\"id\":5,\"family\":2,\"proto\":6,\"laddr\":\"127.0.0.1\",\"lport\":80,\"raddr\":\"10.0.0.7\",\"rport\":4411},"
	       "\"stack\":[\"a+0x1\",\"b\\\"\"],\"stack2\":[\"a+0x1\",\"b\\\"\"],\"data\":\"a\\\\x0a\\\"\\\\x5c\",\"flags\":[\"open\",\"slow\"],"
	       "\"service\":\"api\",\"log\":\"oops\"}\n");
	w->src[0].real0 = 0;
	prints(w, "json", r + 1, 1,
	       "{\"end\":\"9007199254740993\",\"dur\":0,\"kind\":\"sched.migrate\",\"host\":\"web1\",\"pid\":66,\"tid\":66,"
	       "\"comm\":\"\\\\x1b[2J=\\\"\\\\x0a\\\\xff\",\"start\":7,\"cgroup\":\"/app\",\"args\":{\"from\":0,\"to\":0}}\n");
}

static void csv_is_safe_in_a_spreadsheet(void **state)
{
	struct world *w = *state;
	struct kp_row r[] = {
		{ .end = MONO0, .dur = 2500, .kind = KP_K_SYS_read, .task = task(w, 1, 2, "=1+1"), .a = { (uint64_t)-1, 0x10, 5 }, .ret = -EBADF,
		  .obj = file_obj(w, "/a,\"b\"\n"), .flags = KP_F_OPEN | KP_F_SLOW, .ctx = { [KP_CTX_OP] = str(w, "@op"), [KP_CTX_REQUEST] = str(w, "-r") } },
		{ .end = MONO0, .kind = KP_K_CLOCK_SYNC, .a = { 1, REAL0 - SEC + 3, 3, 4 } },
	};

	prints(w, "csv", r, 2,
	       "time,host,end,dur,kind,cpu,pid,tid,comm,args,ret,obj,flags,service,op,request\r\n"
	       "2026-11-25T02:45:00.000000000+01:00,web1,1000000000000,2500,sys.read,0,1,2,\"'=1+1\",\"fd=-1 buf=0x10 count=5\",-9,"
	       "\"/a,\"\"b\"\"\\x0a\",\"open slow\",,\"'@op\",\"'-r\"\r\n"
	       "2026-11-25T02:44:59.000000003+01:00,web1,1000000000000,0,clock.sync,0,,,,\"boot=1 real=1795571099000000003 tai=3 width=4\",,,,,,\r\n");
}

static void a_stream_passes_through(void **state)
{
	struct world *w = *state;
	char *argv[] = { "kp-query", "-f", "kp", NULL };
	struct kp_row r[] = {
		{ .end = MONO0, .kind = KP_K_SCHED_MIGRATE, .task = w->api, .a = { 1, 2 } },
		{ .end = MONO0 + 1, .dur = 1, .kind = KP_K_SYS_read, .task = w->evil, .ret = 3, .obj = file_obj(w, "/x\xff") },
	};
	char *plain = export(w, "json", stream_of(w, r, 2), NULL), *again, *kp, *info;
	size_t len;
	int fd = temp();

	w->o.tool = "kp-query";
	w->o.argc = 3;
	w->o.argv = argv;
	kp = export(w, "kp", stream_of(w, r, 2), &len);
	assert_int_equal(write(fd, kp, len), len);
	again = export(w, "json", fd, NULL);
	assert_string_equal(plain, again);

	struct kp_err err = { "" };
	struct kp_reader *rd;
	const char *paths[1];
	char path[32];

	fd = temp();
	assert_int_equal(write(fd, kp, len), len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	paths[0] = path;
	must(kp_reader_open(&rd, paths, 1, w->pool, w->kinds, NULL, &err), &err);
	assert_int_equal(kp_reader_header(rd)->nprov, 1);
	info = kp_escape_dup(kp_reader_header(rd)->prov[0].args->p, kp_reader_header(rd)->prov[0].args->len);
	assert_string_equal(info, "-f kp");
	kp_reader_close(rd);
	close(fd);
	free(info);
	free(plain);
	free(again);
	free(kp);
}

static void formats_are_known_by_name(void **state)
{
	struct kp_err err = { "" };

	assert_int_equal(kp_export_binary("text", &err), 0);
	assert_int_equal(kp_export_binary("json", &err), 0);
	assert_int_equal(kp_export_binary("csv", &err), 0);
	assert_int_equal(kp_export_binary("kp", &err), 1);
	assert_int_equal(kp_export_binary("xml", &err), -EINVAL);
	assert_string_equal(err.msg, "no format 'xml': there are text, json, csv, kp");
	assert_null(kp_export_name(4));
}

static void a_full_disk_is_told(void **state)
{
	struct world *w = *state;
	struct kp_row r = { .end = MONO0, .kind = KP_K_SCHED_MIGRATE, .task = w->api };
	struct kp_export_opts o = { .kinds = w->kinds, .pool = w->pool };
	struct kp_err err = { "" };
	const char *paths[1];
	struct kp_reader *rd;
	struct kp_export *x;
	char path[32];
	int fd = stream_of(w, &r, 1);
	FILE *full = fopen("/dev/full", "w");

	assert_non_null(full);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	paths[0] = path;
	must(kp_reader_open(&rd, paths, 1, w->pool, w->kinds, NULL, &err), &err);
	o.reader = rd;
	must(kp_export_open(&x, "json", fileno(full), &o, &err), &err);
	must(kp_export_row(x, &r, &err), &err);
	assert_int_equal(kp_export_close(x, true, 1, &err), -ENOSPC);
	assert_string_equal(err.msg, "write: No space left on device");
	kp_reader_close(rd);
	close(fd);
	fclose(full);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(text_is_a_line_a_row),
		TEST(text_names_wakers_but_no_bystanders),
		TEST(text_makes_losses_and_open_rows_stand_out),
		TEST(text_tells_days_and_hosts_apart),
		TEST(text_tells_all_when_asked),
		TEST(json_has_all_of_a_row),
		TEST(csv_is_safe_in_a_spreadsheet),
		TEST(a_stream_passes_through),
		TEST(formats_are_known_by_name),
		TEST(a_full_disk_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
