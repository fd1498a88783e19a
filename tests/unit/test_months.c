/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams of a recorder that never ends: segments go while they are read, clocks are set, and disks are full for a while. */
#include "stream_rows.h"

#include <fcntl.h>
#include <stdio.h>

#define SEC 1000000000ull

struct test { struct world w; uint64_t t; };

static void start(struct test *t)
{
	memset(t, 0, sizeof(*t));
	world_init(&t->w, 1, 7);
	t->t = 5000;
}

static struct kp_row next_row(struct test *t)
{
	static const uint8_t payload[64] = "what was said";
	struct kp_row row = row_make(&t->w, t->t, payload);

	t->t += 100;
	return row;
}

static void write_rows(struct test *t, struct kp_writer *w, int n)
{
	struct kp_err err = { "" };

	while (n--) {
		struct kp_row row = next_row(t);

		assert_int_equal(kp_writer_row(w, &row, &err), 0);
	}
}

/* ---- reading ---- */

struct in { struct kp_pool *pool; struct kp_kinds *kinds; struct kp_reader *r; };

static void in_open(struct in *in, const char *path, const struct kp_read_opts *o)
{
	struct kp_err err = { "" };

	assert_int_equal(kp_pool_new(&in->pool), 0);
	assert_int_equal(kp_kinds_new(&in->kinds), 0);
	assert_int_equal(kp_reader_open(&in->r, &path, 1, in->pool, in->kinds, o, &err), 0);
}

/* Reads to the end and closes; how many rows of that kind, 0: of all, there were. */
static uint32_t in_count(struct in *in, uint16_t kind)
{
	struct kp_err err = { "" };
	const struct kp_row *row;
	uint32_t n = 0;
	int rc;

	while ((rc = kp_reader_next(in->r, &row, &err)) == 1)
		n += !kind || row->kind == kind;
	assert_int_equal(rc, 0);
	kp_reader_close(in->r);
	kp_kinds_free(in->kinds);
	kp_pool_free(in->pool);
	return n;
}

/* ---- readers of what goes away ---- */

static void count_finding(void *arg, enum kp_finding f, const char *input, const char *line)
{
	++*(int *)arg;
}

static const char *segment(char path[64], const char *dir, int i)
{
	snprintf(path, 64, "%s/%d.kp", dir, i);
	return path;
}

static void segments_that_go(void **state)
{
	char dir[] = "/tmp/kp-months-XXXXXX", path[64];
	int found = 0;
	struct kp_read_opts ro = { .found = count_finding, .found_arg = &found };
	struct kp_err err = { "" };
	struct kp_writer *w;
	struct test t;
	struct in in;

	start(&t);
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < 5; i++) {
		int fd = open(segment(path, dir, i), O_WRONLY | O_CREAT, 0600);

		assert_int_equal(kp_writer_open(&w, fd, true, &t.w.h, t.w.kinds, NULL, &err), 0);
		write_rows(&t, w, 1000);
		assert_int_equal(kp_writer_close(w, 1000, &err), 0);
	}
	/* the first is open, the others were listed */
	in_open(&in, dir, &ro);
	for (int i = 0; i < 5; i++)
		if (i != 3)
			unlink(segment(path, dir, i));
	assert_int_equal(in_count(&in, 0), 2000);
	assert_int_equal(found, 0);
	/* a host that went down leaves an empty file: that is said, and no reason to fail */
	for (int i = 0; i < 5; i += 4)
		close(open(segment(path, dir, i), O_WRONLY | O_CREAT, 0600));
	in_open(&in, dir, &ro);
	assert_int_equal(in_count(&in, 0), 1000);
	assert_int_equal(found, 2);
	for (int i = 0; i < 5; i++)
		unlink(segment(path, dir, i));
	rmdir(dir);
	world_free(&t.w);
}

/* ---- months ---- */

/* How many rows there are between two wall-clock times, of one a second for 20 seconds; after 9 the host slept for 8 hours. */
static uint32_t between(uint64_t since, uint64_t until)
{
	const int64_t slept = 8 * 3600 * (int64_t)SEC;
	struct kp_read_opts ro = { .since_wall = since, .until_wall = until };
	int fd = memfd_create("months", 0);
	struct kp_err err = { "" };
	struct kp_writer *w;
	char path[32];
	struct test t;
	struct in in;
	uint32_t n;

	start(&t);
	t.w.src[0].mono0 = SEC;
	t.w.src[0].real0 = 1700000001 * SEC;
	assert_int_equal(kp_writer_open(&w, fd, false, &t.w.h, t.w.kinds, NULL, &err), 0);
	for (uint64_t i = 1; i <= 20; i++) {
		struct kp_row row = { .end = i * SEC, .kind = KP_K_SYS_read, .task = t.w.task[0] };

		if (i == 10) {
			row.kind = KP_K_CLOCK_SYNC;
			row.a[1] = (uint64_t)(1700000000 * (int64_t)SEC + slept) + row.end;
		}
		assert_int_equal(kp_writer_row(w, &row, &err), 0);
		assert_int_equal(kp_writer_flush(w, &err), 0);
	}
	assert_int_equal(kp_writer_close(w, 20, &err), 0);
	in_open(&in, fd_path(path, fd), &ro);
	n = in_count(&in, KP_K_SYS_read);
	close(fd);
	world_free(&t.w);
	return n;
}

static void clock_moved(void **state)
{
	const uint64_t day = 1700000000 * SEC, woken = day + 8 * 3600 * SEC;

	assert_int_equal(between(0, 0), 19);
	assert_int_equal(between(day + 3 * SEC, day + 6 * SEC), 4);
	assert_int_equal(between(woken + 15 * SEC, 0), 6);
	assert_int_equal(between(woken + 12 * SEC, woken + 14 * SEC), 3);
	assert_int_equal(between(0, day + 3600 * SEC), 9);	/* asleep by then */
}

/* ---- a disk that is full for a while ---- */

struct disk { int fd, tries; };

static int make_room(void *arg, int rc)
{
	struct disk *d = arg;
	int file;

	assert_int_equal(rc, -ENOSPC);
	if (++d->tries < 3)
		return 0;
	/* from now on there is room */
	file = memfd_create("room", 0);
	assert_true(dup2(file, d->fd) == d->fd);
	close(file);
	return 0;
}

static int no_room(void *arg, int rc)
{
	++*(int *)arg;
	return rc;
}

static void full_disk(void **state)
{
	struct disk d = { .fd = open("/dev/full", O_WRONLY) };
	struct kp_write_opts wo = { .stuck = make_room, .stuck_arg = &d };
	struct kp_err err = { "" };
	struct kp_writer *w;
	char path[32];
	struct test t;
	struct in in;
	int asked = 0;

	start(&t);
	assert_int_equal(kp_writer_open(&w, d.fd, false, &t.w.h, t.w.kinds, &wo, &err), 0);
	assert_int_equal(d.tries, 3);
	write_rows(&t, w, 1000);
	assert_int_equal(kp_writer_close(w, 1000, &err), 0);
	in_open(&in, fd_path(path, d.fd), &(struct kp_read_opts){ .strict = true });
	assert_int_equal(in_count(&in, 0), 1000);
	close(d.fd);
	/* whoever cannot make room fails */
	d.fd = open("/dev/full", O_WRONLY);
	wo = (struct kp_write_opts){ .stuck = no_room, .stuck_arg = &asked };
	assert_int_equal(kp_writer_open(&w, d.fd, false, &t.w.h, t.w.kinds, &wo, &err), -ENOSPC);
	assert_int_equal(asked, 1);
	close(d.fd);
	world_free(&t.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_that_go), cmocka_unit_test(clock_moved), cmocka_unit_test(full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
