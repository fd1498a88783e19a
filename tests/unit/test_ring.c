/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring on disk: what goes and what stays, whose directory it is, and that no row is lost on the way. */
#include "stream_rows.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <ring/ring_int.h>

#define MB (1ull << 20)
#define DAY (86400 * RING_SEC)

static const uint8_t payload[64] = "what was said";

static char *temp_dir(void)
{
	char *d = strdup("/tmp/kp-ring-XXXXXX");

	assert_non_null(mkdtemp(d));
	return d;
}

static void remove_dir(char *d)
{
	DIR *dir = opendir(d);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(d);
	free(d);
}

static void touch(const char *dir, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool there(const char *dir, const char *name)
{
	char path[200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !lstat(path, &st);
}

static unsigned mode_of(const char *dir, const char *name)
{
	char path[200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

/* ---- names ---- */

static void names(void **state)
{
	static const char *const none[] = { "20231114T221320.000000Z", "20231114T221320.00000Z.kp", "20231114T221320Z.kp", "20230231T000000.000000Z.kp",
		"20231114T221320.000000Z.kp~", ".20231114T221320.000000Z.kp", "20231114T221320.+00001Z.kp", "2023111 T221320.000000Z.kp", "build.kp", "lock", "" };
	static const uint64_t us[] = { 0, 1, 999999, 1700000000000000, 1700000000000001, 1700000001000000, 1764115200000000, 4102444800000000 };
	char last[RING_NAME] = "", name[RING_NAME];
	uint64_t back;

	for (unsigned i = 0; i < sizeof(us) / sizeof(*us); i++) {
		ring_name(name, us[i]);
		assert_true(strcmp(last, name) < 0);
		assert_true(ring_name_is(name, &back));
		assert_int_equal(back, us[i]);
		strcpy(last, name);
	}
	ring_name(name, 1700000000000000);
	assert_string_equal(name, "20231114T221320.000000Z.kp");
	for (unsigned i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_false(ring_name_is(none[i], &back));
}

/* ---- what has to go ---- */

static uint32_t surplus(uint64_t size, uint64_t age, uint64_t min_free, uint64_t other, uint64_t free_now)
{
	/* ten of 1 MB, which ended 10, 9 ... 1 hours ago */
	const uint64_t now = 100 * DAY, hour = DAY / 24;
	struct ring_limits l = { size, age, min_free };
	struct ring_state st = { other, now, free_now };
	struct ring_segs s = { 0 };
	uint32_t n;

	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(ring_segs_add(&s, &(struct ring_seg){ .us = i, .bytes = MB, .end = now - (10 - i) * hour }), 0);
	assert_int_equal(s.bytes, 10 * MB);
	n = ring_surplus(&s, &l, &st);
	ring_segs_free(&s);
	return n;
}

static void limits(void **state)
{
	const uint64_t hour = DAY / 24;

	assert_int_equal(surplus(10 * MB, 0, 0, 0, 0), 0);
	assert_int_equal(surplus(10 * MB - 1, 0, 0, 0, 0), 1);
	assert_int_equal(surplus(10 * MB, 0, 0, 1, 0), 1);		/* what is being written counts */
	assert_int_equal(surplus(10 * MB, 0, 0, 2 * MB + 1, 0), 3);
	assert_int_equal(surplus(MB, 0, 0, 5 * MB, 0), 10);		/* more cannot go */
	assert_int_equal(surplus(100 * MB, 10 * hour, 0, 0, 0), 0);	/* as old as may be */
	assert_int_equal(surplus(100 * MB, 10 * hour - 1, 0, 0, 0), 1);
	assert_int_equal(surplus(100 * MB, 4 * hour, 0, 0, 0), 6);
	assert_int_equal(surplus(100 * MB, 1, 0, 0, 0), 10);
	assert_int_equal(surplus(100 * MB, 0, 5 * MB, 0, 5 * MB), 0);
	assert_int_equal(surplus(100 * MB, 0, 5 * MB, 0, 2 * MB + 1), 3);
	assert_int_equal(surplus(100 * MB, 0, 50 * MB, 0, 0), 10);
	assert_int_equal(surplus(8 * MB, 5 * hour, 5 * MB, 0, MB), 5);	/* the strictest of all */
	assert_int_equal(surplus(3 * MB, 5 * hour, 5 * MB, 0, MB), 7);
}

static void clock_back(void **state)
{
	struct ring_segs s = { 0 };
	struct ring_limits l = { 10 * MB, DAY, 0 };
	struct ring_state st = { 0, DAY, 0 };

	/* ended in the future: not old */
	assert_int_equal(ring_segs_add(&s, &(struct ring_seg){ .bytes = MB, .end = 300 * DAY }), 0);
	assert_int_equal(ring_surplus(&s, &l, &st), 0);
	ring_segs_free(&s);
}

static void sizes(void **state)
{
	assert_int_equal(ring_seg_size(MB), 256 << 10);
	assert_int_equal(ring_seg_size(64 * MB), 4 * MB);
	assert_int_equal(ring_seg_size(2048 * MB), 64 * MB);
	assert_int_equal(ring_seg_size(1ull << 40), 64 * MB);
	assert_int_equal(ring_seg_time(0), 600 * RING_SEC);
	assert_int_equal(ring_seg_time(DAY), 600 * RING_SEC);
	assert_int_equal(ring_seg_time(3600 * RING_SEC), 225 * RING_SEC);
	assert_int_equal(ring_seg_time(10 * RING_SEC), RING_SEC);
}

/* ---- whose directory ---- */

static int try_open(const char *dir, const char *group, struct kp_err *err)
{
	struct kp_diskring_opts o = { .dir = dir, .size = MB, .sync = KP_SYNC_NEVER, .group = group };
	struct kp_diskring *r;
	int rc = kp_diskring_open(&r, &o, err);

	kp_diskring_free(r);
	return rc;
}

static void directories(void **state)
{
	char *top = temp_dir(), dir[40], link[100], slash[101], group[16];
	struct kp_err err = { "" };

	snprintf(dir, sizeof(dir), "%s/a", top);
	snprintf(link, sizeof(link), "%s/link", top);
	snprintf(slash, sizeof(slash), "%s/", link);
	assert_int_equal(try_open(dir, NULL, &err), 0);
	assert_int_equal(mode_of(top, "a"), 0700);
	assert_int_equal(mode_of(dir, "lock"), 0600);
	/* again, and with a slash behind it */
	snprintf(slash, sizeof(slash), "%s/", dir);
	assert_int_equal(try_open(slash, NULL, &err), 0);
	/* no link, however it is written */
	assert_int_equal(symlink(dir, link), 0);
	assert_int_equal(try_open(link, NULL, &err), -ENOTDIR);
	snprintf(slash, sizeof(slash), "%s/", link);
	assert_int_equal(try_open(slash, NULL, &err), -ENOTDIR);
	unlink(link);
	touch(top, "link", "");
	assert_int_equal(try_open(link, NULL, &err), -ENOTDIR);
	unlink(link);
	/* nobody else may write there */
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(try_open(dir, NULL, &err), -EPERM);
	assert_non_null(strstr(err.msg, "others may write"));
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(try_open(dir, NULL, &err), 0);
	/* a group, by its number */
	snprintf(group, sizeof(group), "%u", (unsigned)getegid());
	assert_int_equal(try_open(dir, group, &err), 0);
	assert_int_equal(mode_of(top, "a"), 0750);
	assert_int_equal(try_open(dir, "no-such-group", &err), -EINVAL);
	/* a lock that is a link */
	snprintf(link, sizeof(link), "%s/lock", dir);
	unlink(link);
	touch(top, "victim", "precious");
	snprintf(slash, sizeof(slash), "%s/victim", top);
	assert_int_equal(symlink(slash, link), 0);
	assert_int_equal(try_open(dir, NULL, &err), -ELOOP);
	unlink(link);
	assert_int_equal(try_open("/tmp/kp-ring-none/of/it", NULL, &err), -ENOENT);
	unlink(slash);
	unlink(link);
	rmdir(dir);
	remove_dir(top);
}

static void foreign(void **state)
{
	char *dir = temp_dir();
	struct kp_err err;

	if (geteuid()) {
		remove_dir(dir);
		skip();
	}
	assert_int_equal(chown(dir, 1, -1), 0);
	assert_int_equal(try_open(dir, NULL, &err), -EPERM);
	assert_non_null(strstr(err.msg, "belongs to user 1"));
	remove_dir(dir);
}

static void lock(void **state)
{
	char *dir = temp_dir(), pid[32];
	struct kp_diskring_opts o = { .dir = dir, .size = MB, .sync = KP_SYNC_NEVER };
	struct kp_err err = { "" };
	struct kp_diskring *r;

	assert_int_equal(kp_diskring_open(&r, &o, &err), 0);
	assert_int_equal(try_open(dir, NULL, &err), -EBUSY);
	snprintf(pid, sizeof(pid), "process %d ", (int)getpid());
	assert_non_null(strstr(err.msg, pid));
	kp_diskring_free(r);
	assert_int_equal(try_open(dir, NULL, &err), 0);
	remove_dir(dir);
}

/* ---- rows ---- */

struct test { struct world w; struct kp_diskring *r; char *dir; uint64_t t; struct kp_err err; };

/* What is on the disk: the sum of all that is there. */
static uint64_t disk(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint64_t sum = 0;

	while ((e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] != '.' || e->d_name[1] == '2')
			if (!fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
				sum += (uint64_t)st.st_blocks * 512;
	}
	closedir(d);
	return sum;
}

static void begin(struct test *t, uint64_t size, uint8_t sync)
{
	struct kp_diskring_opts o = { .dir = t->dir, .size = size, .sync = sync };

	assert_int_equal(kp_diskring_open(&t->r, &o, &t->err), 0);
	assert_int_equal(kp_diskring_begin(t->r, &t->w.h, t->w.kinds, &t->err), 0);
}

static void end(struct test *t)
{
	assert_int_equal(kp_diskring_end(t->r, &t->err), 0);
	kp_diskring_free(t->r);
}

static struct kp_row next_row(struct test *t)
{
	struct kp_row row = row_make(&t->w, t->t, payload);

	t->t += 100;
	return row;
}

static void write_rows(struct test *t, uint32_t n, uint64_t limit)
{
	for (uint32_t i = 0; i < n; i++) {
		struct kp_row row = next_row(t);

		assert_int_equal(kp_diskring_row(t->r, &row, &t->err), 0);
		if (i % 100)
			continue;
		assert_int_equal(kp_diskring_flush(t->r, &t->err), 0);
		if (kp_diskring_full(t->r))
			assert_int_equal(kp_diskring_turn(t->r, &t->err), 0);
		if (limit && disk(t->dir) > limit)
			fail_msg("%llu bytes on disk", (unsigned long long)disk(t->dir));
	}
}

static void start(struct test *t)
{
	memset(t, 0, sizeof(*t));
	world_init(&t->w, 1, 7);
	t->dir = temp_dir();
	t->t = 5000;
}

static void stop(struct test *t)
{
	world_free(&t->w);
	remove_dir(t->dir);
}

static void count_finding(void *arg, enum kp_finding f, const char *input, const char *line)
{
	++*(int *)arg;
}

/* All rows of the directory are those of a world of this seed, without the first ones; any: whatever they are. */
static uint32_t compare(struct test *t, bool any, uint32_t without, int *found)
{
	struct kp_read_opts ro = { .found = found ? count_finding : NULL, .found_arg = found };
	const char *path = t->dir;
	struct test same = { .t = 5000 };
	struct kp_reader *in;
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	const struct kp_row *row;
	uint32_t n = 0;
	int rc;

	world_init(&same.w, 1, 7);
	assert_int_equal(kp_pool_new(&pool), 0);
	assert_int_equal(kp_kinds_new(&kinds), 0);
	assert_int_equal(kp_reader_open(&in, &path, 1, pool, kinds, &ro, &t->err), 0);
	for (uint32_t i = 0; i < without; i++)
		next_row(&same);
	while ((rc = kp_reader_next(in, &row, &t->err)) == 1) {
		struct kp_row want = next_row(&same);

		if (!any)
			same_row(&want, row);
		n++;
	}
	assert_int_equal(rc, 0);
	kp_reader_close(in);
	kp_kinds_free(kinds);
	kp_pool_free(pool);
	world_free(&same.w);
	return n;
}

static void until_rewritten(struct test *t, uint64_t n)
{
	struct kp_diskring_stats st = { 0 };

	for (int i = 0; i < 2000 && st.rewritten < n; i++) {
		usleep(5000);
		kp_diskring_full(t->r);
		kp_diskring_stats(t->r, &st);
	}
	assert_int_equal(st.rewritten, n);
}

static void all_rows(void **state)
{
	struct kp_diskring_stats st;
	struct test t;

	start(&t);
	begin(&t, 64 * MB, KP_SYNC_SECOND);
	for (int i = 0; i < 4; i++) {
		write_rows(&t, 3000, 0);
		assert_int_equal(kp_diskring_flush(t.r, &t.err), 0);
		assert_int_equal(compare(&t, false, 0, NULL), 3000 * (i + 1)); /* while it is written */
		if (i < 3)
			assert_int_equal(kp_diskring_turn(t.r, &t.err), 0);
	}
	until_rewritten(&t, 3);
	kp_diskring_stats(t.r, &st);
	assert_true(st.after < st.before);
	assert_int_equal(st.rows, 12000);
	assert_int_equal(st.segments, 4);
	assert_int_equal(compare(&t, false, 0, NULL), 12000);
	end(&t);
	int found = 0;
	assert_int_equal(compare(&t, false, 0, &found), 12000);
	assert_int_equal(found, 0);	/* each has its end */
	stop(&t);
}

/* What is a keyframe stays one, with its rows, and rows are in order. */
static void keyframes(void **state)
{
	struct test t;
	struct kp_row key;

	start(&t);
	begin(&t, 64 * MB, KP_SYNC_NEVER);
	for (int i = 0; i < 300; i++) {
		write_rows(&t, 1, 0);
		if (i % 100)
			continue;
		t.t += 2 * RING_SEC;
		assert_int_equal(kp_diskring_key_begin(t.r, t.t, &t.err), 0);
		for (int k = 0; k < 10; k++) {
			key = next_row(&t);
			key.flags |= KP_F_KEYFRAME;
			assert_int_equal(kp_diskring_row(t.r, &key, &t.err), 0);
		}
		assert_int_equal(kp_diskring_key_end(t.r, t.t, &t.err), 0);
	}
	assert_int_equal(kp_diskring_turn(t.r, &t.err), 0);
	until_rewritten(&t, 1);
	end(&t);

	const char *path = t.dir;
	struct kp_reader *in;
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	const struct kp_row *row;
	uint64_t last = 0;
	int rows = 0, keys = 0;

	assert_int_equal(kp_pool_new(&pool), 0);
	assert_int_equal(kp_kinds_new(&kinds), 0);
	assert_int_equal(kp_reader_open(&in, &path, 1, pool, kinds, NULL, &t.err), 0);
	while (kp_reader_next(in, &row, &t.err) == 1) {
		assert_true(row->end >= last);
		last = row->end;
		rows++;
		keys += (row->flags & KP_F_KEYFRAME) != 0;
	}
	assert_int_equal(rows, 330);
	assert_int_equal(keys, 30);
	kp_reader_close(in);
	kp_kinds_free(kinds);
	kp_pool_free(pool);
	stop(&t);
}

static void bounded(void **state)
{
	struct kp_diskring_stats st;
	struct test t;

	start(&t);
	begin(&t, MB, KP_SYNC_SEGMENT);
	write_rows(&t, 60000, MB + ring_seg_size(MB));
	kp_diskring_stats(t.r, &st);
	assert_true(st.removed > 3);
	assert_true(st.held <= MB);
	assert_true(st.segments >= 2);
	end(&t);
	assert_true(disk(t.dir) <= MB + ring_seg_size(MB));
	/* what is left are the last ones */
	uint32_t n = compare(&t, true, 0, NULL);
	assert_true(n > 1000 && n < 60000);
	assert_int_equal(compare(&t, false, 60000 - n, NULL), n);
	stop(&t);
}

static void restart(void **state)
{
	char name[RING_NAME], future[RING_NAME], temp[RING_NAME];
	struct kp_diskring_stats st;
	struct ring_segs s = { 0 };
	struct ring_dir d;
	struct test t;

	start(&t);
	begin(&t, MB, KP_SYNC_NEVER);
	write_rows(&t, 500, 0);
	end(&t);
	/* another's file, a copy that was begun, and a segment of a time when the clock was wrong */
	touch(t.dir, "build.kp", "mine");
	ring_name(name, 1700000000000000);
	ring_temp_name(temp, name);
	touch(t.dir, temp, "half");
	assert_int_equal(ring_dir_open(&d, t.dir, NULL, &t.err), 0);
	assert_int_equal(ring_dir_scan(&d, &s, &t.err), 0);
	assert_int_equal(s.n, 1);
	assert_false(there(t.dir, temp));
	ring_name(name, s.seg[0].us);
	ring_name(future, s.seg[0].us + 86400000000ull);
	assert_int_equal(renameat(d.fd, name, d.fd, future), 0);
	ring_segs_free(&s);
	ring_dir_close(&d);

	begin(&t, MB, KP_SYNC_NEVER);
	write_rows(&t, 500, 0);
	kp_diskring_stats(t.r, &st);
	assert_int_equal(st.segments, 2);
	end(&t);
	assert_int_equal(ring_dir_open(&d, t.dir, NULL, &t.err), 0);
	assert_int_equal(ring_dir_scan(&d, &s, &t.err), 0);
	assert_int_equal(s.n, 2);
	ring_name(name, s.seg[0].us);
	assert_string_equal(name, future);	/* still the older */
	ring_segs_free(&s);
	ring_dir_close(&d);
	/* limits hold for what was there before, and for nothing else */
	begin(&t, MB, KP_SYNC_NEVER);
	write_rows(&t, 60000, 0);
	assert_false(there(t.dir, future));
	assert_true(there(t.dir, "build.kp"));
	end(&t);
	stop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names), cmocka_unit_test(limits), cmocka_unit_test(clock_back), cmocka_unit_test(sizes),
		cmocka_unit_test(directories), cmocka_unit_test(foreign), cmocka_unit_test(lock), cmocka_unit_test(all_rows),
		cmocka_unit_test(keyframes), cmocka_unit_test(bounded), cmocka_unit_test(restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
