/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of the BPF programs to rows: taken apart, what they teach, what is kept of messages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/decode.h"

struct built { union { uint64_t w[128]; struct ev_head h; }; uint32_t n; };

static void add(struct built *b, const void *p, size_t len)
{
	memcpy((char *)b->w + b->n, p, len);
	b->n += (len + 7) & ~7u;
}

static struct built full_record(void)
{
	struct ev_head h = { .kind = KP_K_SYS_openat, .nargs = 3, .end = 1000, .dur = 10, .tid = 7, .tgid = 7, .ret = 3,
			     .extra = EX_PEER | EX_FILE | EX_STR | EX_DATA | EX_STACK | EX_NAME };
	struct built b = { .n = 0 };

	add(&b, &h, sizeof(h));
	add(&b, (uint64_t[]){ 11, 12, 13 }, 24);
	add(&b, &(struct ev_peer){ 8, 8, 99 }, sizeof(struct ev_peer));
	add(&b, &(struct ev_file){ 8 << 20, S_IFREG | 0644, 42 }, sizeof(struct ev_file));
	add(&b, &(struct ev_bytes){ 5, 0 }, 8);
	add(&b, "/file", 5);
	add(&b, &(struct ev_bytes){ 3, 300 }, 8);
	add(&b, "GET", 3);
	add(&b, &(struct ev_stack){ 2, 0 }, 8);
	add(&b, (uint64_t[]){ 1, 2 }, 16);
	add(&b, &(struct ev_name){ "worker" }, 16);
	return b;
}

static void record_is_taken_apart(void **state)
{
	struct built b = full_record();
	struct kp_ev ev;

	assert_int_equal(kp_ev_parse(&ev, b.w, b.n), 0);
	assert_int_equal(ev.a[2], 13);
	assert_int_equal(ev.peer->start, 99);
	assert_int_equal(ev.file->ino, 42);
	assert_null(ev.sock);
	assert_int_equal(ev.str_len, 5);
	assert_memory_equal(ev.str, "/file", 5);
	assert_int_equal(ev.data_len, 3);
	assert_int_equal(ev.data_all, 300);
	assert_int_equal(ev.nstack, 2);
	assert_int_equal(ev.stack[1], 2);
	assert_int_equal(ev.comm_len, 6);
}

/* Whatever is cut off, nothing is read that is not there: the record is at the end of its memory. */
static void cut_records_are_refused(void **state)
{
	struct built b = full_record();
	struct kp_ev ev;

	for (uint32_t n = 0; n < b.n; n++) {
		char *p = malloc(n ? n : 1);

		memcpy(p, b.w, n);
		assert_int_equal(kp_ev_parse(&ev, p, n), -EBADMSG);
		free(p);
	}
	b.h.nargs = EV_ARGS + 1;
	assert_int_equal(kp_ev_parse(&ev, b.w, b.n), -EBADMSG);
	b.h.nargs = 3;
	b.h.kind = EV_MAX_KIND;
	assert_int_equal(kp_ev_parse(&ev, b.w, b.n), -EBADMSG);
}

struct world { struct kp_pool *pool; struct kp_kinds *kinds; struct kp_resolve *res; struct kp_decode *d; char dir[64]; };

static void world_new(struct world *w, const char *patterns)
{
	struct kp_resolve_opts o = { .proc = w->dir };

	strcpy(w->dir, "/tmp/kp-record.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(kp_pool_new(&w->pool), 0);
	assert_int_equal(kp_kinds_new(&w->kinds), 0);
	o.kinds = w->kinds;
	assert_int_equal(kp_resolve_new(&w->res, w->pool, &o, NULL), 0);
	w->d = malloc(sizeof(*w->d));
	kp_decode_init(w->d, w->res, w->pool, w->kinds, patterns);
}

static void world_free(struct world *w)
{
	kp_resolve_free(w->res);
	kp_kinds_free(w->kinds);
	kp_pool_free(w->pool);
	free(w->d);
	rmdir(w->dir);
}

static void an_open_teaches_the_name(void **state)
{
	struct built b = full_record(), r = { .n = 0 };
	struct ev_head h = { .kind = KP_K_SYS_read, .nargs = 3, .extra = EX_FILE, .end = 2000, .tid = 7, .tgid = 7, .ret = 1 };
	struct kp_row row;
	struct world w;

	world_new(&w, "sys.read");
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 0); /* not wanted, but learned from */
	add(&r, &h, sizeof(h));
	add(&r, (uint64_t[]){ 3, 0, 1 }, 24);
	add(&r, &(struct ev_file){ 8 << 20, S_IFREG | 0644, 42 }, sizeof(struct ev_file));
	assert_int_equal(kp_decode(w.d, r.w, r.n, &row), 1);
	assert_int_equal(row.kind, KP_K_SYS_read);
	assert_int_equal(row.obj->type, KP_OBJ_FILE);
	assert_non_null(row.obj->name);
	assert_string_equal(row.obj->name->p, "/file");
	world_free(&w);
}

/* It has begun before the recording and ended before anybody asked what it is: then its end tells. */
static void an_exit_teaches_the_name(void **state)
{
	struct ev_head h = { .kind = KP_K_PROC_EXIT, .nargs = 3, .extra = EX_NAME, .end = 2000, .tid = 7, .tgid = 7, .start = 5 };
	struct built b = { .n = 0 };
	struct kp_row row;
	struct world w;

	world_new(&w, NULL);
	add(&b, &h, sizeof(h));
	add(&b, (uint64_t[]){ 0, 0, 1 }, 24);
	add(&b, &(struct ev_name){ "cat" }, sizeof(struct ev_name));
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_non_null(row.task->comm);
	assert_string_equal(row.task->comm->p, "cat");
	world_free(&w);
}

static struct built message(const char *text, uint32_t moved)
{
	struct ev_head h = { .kind = KP_K_TCP_RECV, .nargs = 2, .extra = EX_SOCK | EX_DATA, .end = 5, .tid = 7, .tgid = 7, .ret = moved };
	struct ev_sock s = { .family = 2, .proto = 6, .type = 1, .lport = 80, .rport = 5000, .ino = 77, .laddr = { 127, 0, 0, 1 }, .raddr = { 127, 0, 0, 1 } };
	struct built b = { .n = 0 };

	add(&b, &h, sizeof(h));
	add(&b, (uint64_t[]){ 1, 2 }, 16);
	add(&b, &s, sizeof(s));
	add(&b, &(struct ev_bytes){ strlen(text), moved }, 8);
	add(&b, text, strlen(text));
	return b;
}

/* What must not reach the disk does not. */
static void ids_keep_no_secret(void **state)
{
	static const char text[] = "POST /pay?card=4111111111111111 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n"
				   "X-Request-ID: req-77\r\n\r\n{\"pin\":1234}";
	struct built b = message(text, sizeof(text) - 1);
	struct kp_row row;
	struct world w;

	world_new(&w, NULL);
	w.d->ids = true;
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_true(row.data_len > 0);
	assert_true(row.flags & KP_F_SANITIZED);
	assert_non_null(memmem(row.data, row.data_len, "req-77", 6));
	assert_non_null(memmem(row.data, row.data_len, "/pay", 4));
	assert_null(memmem(row.data, row.data_len, "4111", 4));
	assert_null(memmem(row.data, row.data_len, "s3cret", 6));
	assert_null(memmem(row.data, row.data_len, "1234", 4));

	w.d->ids = false;
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_int_equal(row.data_len, 0);
	assert_false(row.flags & KP_F_SANITIZED);

	w.d->payload = 10;
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_int_equal(row.data_len, 10);
	assert_memory_equal(row.data, "POST /pay?", 10);
	assert_true(row.flags & KP_F_TRUNCATED);
	world_free(&w);
}

static void table_rows_are_not_written(void **state)
{
	struct ev_head h = { .kind = KP_K_PROC_COMM, .extra = EX_STR, .flags = EVF_TABLE, .end = 9, .tid = 7, .tgid = 7, .start = 3 };
	struct built b = { .n = 0 };
	struct kp_row row;
	struct world w;

	world_new(&w, NULL);
	add(&b, &h, sizeof(h));
	add(&b, &(struct ev_bytes){ 7, 0 }, 8);
	add(&b, "renamed", 7);
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 0);
	assert_string_equal(kp_resolve_task(w.res, 7, 7, 3)->comm->p, "renamed");
	b.h.flags = 0;
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_string_equal(row.obj->name->p, "renamed");
	world_free(&w);
}

/* As a program passed them: -1 of 32 bits is -1, a long stays what it is, and so does what has no sign. */
static void ints_have_their_sign(void **state)
{
	struct ev_head h = { .kind = KP_K_SYS_epoll_wait, .nargs = 4, .end = 9, .tid = 7, .tgid = 7, .start = 3 };
	struct built b = { .n = 0 };
	struct kp_row row;
	struct world w;

	world_new(&w, NULL);
	add(&b, &h, sizeof(h));
	add(&b, (uint64_t[]){ 3, 0xffffffff, 1024, 0xffffffff }, 32);
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_int_equal(row.a[1], 0xffffffff);
	assert_int_equal(row.a[2], 1024);
	assert_true((int64_t)row.a[3] == -1);
	b.h.kind = KP_K_SYS_msgrcv;
	b.w[sizeof(h) / 8 + 3] = INT64_C(1) << 40;
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_true(row.a[3] == UINT64_C(1) << 40);
	world_free(&w);
}

/* A place in a file has 64 bits, but 32 for some 32-bit programs; users have no sign, but one that means none. */
static void places_and_users(void **state)
{
	struct ev_head h = { .kind = KP_K_SYS_lseek, .nargs = 3, .end = 9, .tid = 7, .tgid = 7, .start = 3 };
	struct built b = { .n = 0 };
	struct kp_row row;
	struct world w;

	world_new(&w, NULL);
	add(&b, &h, sizeof(h));
	add(&b, (uint64_t[]){ 3, 0xfffffff6, 1 }, 24);
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_int_equal(row.a[1], 0xfffffff6);
	b.h.flags = KP_F_COMPAT;
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_true((int64_t)row.a[1] == -10);
	b.h.kind = KP_K_SYS_pread64; /* the first half of a position */
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_int_equal(row.a[1], 0xfffffff6);
	b.h.flags = 0;
	b.h.kind = KP_K_SYS_setresuid;
	b.w[sizeof(h) / 8] = 0xffffffff;
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_true((int64_t)row.a[0] == -1);
	assert_int_equal(row.a[1], 0xfffffff6);
	world_free(&w);
}

/* An execve that succeeded: its path was an address in the program before. */
static void execs_name_their_program(void **state)
{
	struct ev_head h = { .kind = KP_K_PROC_EXEC, .nargs = 2, .extra = EX_STR | EX_NAME, .end = 9, .tid = 7, .tgid = 7, .start = 3 };
	struct ev_head call = { .kind = KP_K_SYS_execve, .nargs = 3, .end = 10, .tid = 7, .tgid = 7, .start = 3 };
	struct built b = { .n = 0 }, c = { .n = 0 };
	struct kp_row row;
	struct world w;

	world_new(&w, NULL);
	add(&b, &h, sizeof(h));
	add(&b, (uint64_t[]){ 7, 7 }, 16);
	add(&b, &(struct ev_bytes){ 9, 0 }, 8);
	add(&b, "/bin/true", 9);
	add(&b, &(struct ev_name){ "true" }, 16);
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	add(&c, &call, sizeof(call));
	add(&c, (uint64_t[]){ 0, 0, 0 }, 24);
	assert_int_equal(kp_decode(w.d, c.w, c.n, &row), 1);
	assert_string_equal(row.obj->name->p, "/bin/true");
	c.h.ret = -ENOENT;
	assert_int_equal(kp_decode(w.d, c.w, c.n, &row), 1);
	assert_null(row.obj);
	world_free(&w);
}

/* It is woken by a CPU that looked at the clock before its own wrote down that it sleeps. */
static void less_than_no_time_is_none(void **state)
{
	struct ev_head h = { .kind = KP_K_SCHED_WAKE, .nargs = 3, .end = 1000, .dur = -(uint64_t)477, .tid = 7, .tgid = 7 };
	struct built b = { .n = 0 };
	struct kp_row row;
	struct world w;

	world_new(&w, NULL);
	add(&b, &h, sizeof(h));
	add(&b, (uint64_t[]){ 0, 1, 0 }, 24);
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_int_equal(row.end, 1000);
	assert_int_equal(row.dur, 0);
	world_free(&w);
}

/* Who had the CPU before was hidden by the kernel: that is no task, and not the idle one either. */
static void nobody_has_no_task(void **state)
{
	struct ev_head h = { .kind = KP_K_SCHED_SWITCH, .nargs = 3, .extra = EX_PEER, .end = 9, .dur = 4, .tid = EV_NOBODY, .tgid = EV_NOBODY };
	struct built b = { .n = 0 };
	struct kp_row row;
	struct world w;

	world_new(&w, NULL);
	add(&b, &h, sizeof(h));
	add(&b, (uint64_t[]){ 0, 7, 5 }, 24);
	add(&b, &(struct ev_peer){ 7, 7, 3 }, sizeof(struct ev_peer));
	assert_int_equal(kp_decode(w.d, b.w, b.n, &row), 1);
	assert_null(row.task);
	assert_int_equal(row.peer->tid, 7);
	assert_int_equal(row.a[2], 5);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_is_taken_apart),
		cmocka_unit_test(cut_records_are_refused),
		cmocka_unit_test(an_open_teaches_the_name),
		cmocka_unit_test(an_exit_teaches_the_name),
		cmocka_unit_test(ids_keep_no_secret),
		cmocka_unit_test(table_rows_are_not_written),
		cmocka_unit_test(ints_have_their_sign),
		cmocka_unit_test(places_and_users),
		cmocka_unit_test(execs_name_their_program),
		cmocka_unit_test(less_than_no_time_is_none),
		cmocka_unit_test(nobody_has_no_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
