/* SPDX-License-Identifier: BSD-2-Clause */
/* After kp_export_forget the address of a value may be another's: nothing printed before comes back for it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <kp/export.h>
#include <kp/util.h>

#define MONO0 1000000000000ull

/* Values that stay where they are, but become others. */
struct values { struct kp_task task, peer; struct kp_obj obj; struct kp_stack *stack; };

static const struct kp_str *str(struct kp_pool *pool, const char *when, const char *what)
{
	char b[64];

	snprintf(b, sizeof(b), "%s-%s", when, what);
	return kp_pool_cstr(pool, b);
}

static void become(struct values *v, struct kp_pool *pool, const char *when)
{
	v->task = (struct kp_task){ .tid = 5, .tgid = 5, .comm = str(pool, when, "task") };
	v->peer = (struct kp_task){ .tid = 6, .tgid = 6, .comm = str(pool, when, "peer") };
	v->obj = (struct kp_obj){ .type = KP_OBJ_FILE, .name = str(pool, when, "obj") };
	v->stack->n = 1;
	v->stack->frame[0] = str(pool, when, "frame");
}

static struct kp_row row_of(const struct values *v, uint64_t end)
{
	return (struct kp_row){ .end = MONO0 + end, .kind = KP_K_SCHED_WAKE, .task = &v->task, .peer = &v->peer, .obj = &v->obj,
				.stack = v->stack };
}

/* A stream without rows, for its header. */
static int empty_stream(struct kp_pool *pool, const struct kp_kinds *kinds)
{
	struct kp_source s = { .boot_id = "b", .session = "s", .host = str(pool, "a", "host"), .mono0 = MONO0, .real0 = 1795571100000000000ull };
	struct kp_header h = { .version = 1, .sources = &s, .nsources = 1 };
	int fd = memfd_create("empty", 0);
	struct kp_writer *w;

	assert_int_equal(kp_writer_open(&w, fd, false, &h, kinds, NULL, NULL), 0);
	assert_int_equal(kp_writer_close(w, 0, NULL), 0);
	return fd;
}

static struct kp_reader *reader_of(int fd, struct kp_pool *pool, struct kp_kinds *kinds)
{
	struct kp_reader *r;
	const char *p;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	p = path;
	assert_int_equal(kp_reader_open(&r, &p, 1, pool, kinds, NULL, NULL), 0);
	return r;
}

/* The row twice, then another at the same place; what came out is behind out. */
static void print_three(const char *format, int out, struct kp_pool *pool, struct kp_kinds *kinds)
{
	int fd = empty_stream(pool, kinds);
	struct kp_reader *r = reader_of(fd, pool, kinds);
	struct kp_export_opts o = { .kinds = kinds, .pool = pool, .reader = r, .verbose = 1, .tool = "test", .argc = 0 };
	struct kp_export *x;
	struct values v;
	struct kp_row row;

	assert_int_equal(kp_export_open(&x, format, out, &o, NULL), 0);
	v.stack = malloc(sizeof(*v.stack) + sizeof(*v.stack->frame));
	assert_non_null(v.stack);
	become(&v, pool, "before");
	for (uint64_t i = 0; i < 3; i++) {
		if (i == 2) {
			assert_int_equal(kp_export_forget(x, NULL), 0);
			become(&v, pool, "after");
		}
		row = row_of(&v, i);
		assert_int_equal(kp_export_row(x, &row, NULL), 0);
	}
	assert_int_equal(kp_export_close(x, true, 3, NULL), 0);
	free(v.stack);
	kp_reader_close(r);
	close(fd);
}

static unsigned times(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

/* known: how many of what the format tells. */
static void as_text(const char *format, int known)
{
	static const char *const what[] = { "task", "obj", "peer", "frame" };
	struct kp_kinds *kinds;
	struct kp_pool *pool;
	int out = memfd_create("out", 0);
	static char text[1 << 16];

	assert_int_equal(kp_pool_new(&pool), 0);
	assert_int_equal(kp_kinds_new(&kinds), 0);
	print_three(format, out, pool, kinds);
	memset(text, 0, sizeof(text));
	assert_true(pread(out, text, sizeof(text) - 1, 0) > 0);
	for (int i = 0; i < known; i++) {
		char b[32];

		snprintf(b, sizeof(b), "before-%s", what[i]);
		assert_int_equal(times(text, b), 2);
		snprintf(b, sizeof(b), "after-%s", what[i]);
		assert_int_equal(times(text, b), 1);
	}
	close(out);
	kp_kinds_free(kinds);
	kp_pool_free(pool);
}

static void json(void **state)
{
	as_text("json", 4);
}

static void csv(void **state)
{
	as_text("csv", 2);
}

static void text(void **state)
{
	as_text("text", 4);
}

/* What a writer has not written yet goes out. */
static void stream(void **state)
{
	static const char *const want[] = { "before-task", "before-task", "after-task" };
	const struct kp_row *row;
	struct kp_kinds *kinds;
	struct kp_reader *r;
	struct kp_pool *pool;
	int out = memfd_create("out", 0);
	unsigned n = 0;

	assert_int_equal(kp_pool_new(&pool), 0);
	assert_int_equal(kp_kinds_new(&kinds), 0);
	print_three("kp", out, pool, kinds);
	r = reader_of(out, pool, kinds);
	for (; kp_reader_next(r, &row, NULL) == 1; n++)
		assert_string_equal(row->task->comm->p, want[n]);
	assert_int_equal(n, 3);
	kp_reader_close(r);
	close(out);
	kp_kinds_free(kinds);
	kp_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(json), cmocka_unit_test(csv), cmocka_unit_test(text), cmocka_unit_test(stream) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
