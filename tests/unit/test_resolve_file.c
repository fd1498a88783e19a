/* SPDX-License-Identifier: BSD-2-Clause */
/* Files and other objects: names from rows and from /proc, and how long they are kept. */
#include <sys/eventfd.h>

#include "resolve_rows.h"

/* A device as the kernel has it. */
static void raw_dev(const struct stat *st, uint32_t *dev)
{
	*dev = major(st->st_dev) << 20 | minor(st->st_dev);
}

static void file_by_descriptor(void **state)
{
	struct fixture *f = new();
	char dir[] = "/tmp/kp-resolve-XXXXXX", path[128];
	struct stat st;
	uint32_t dev;
	const struct kp_obj *o, *again;
	int fd, other;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/caf\xe9\x1b[2J", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	other = open("/dev/null", O_RDONLY);
	assert_true(fd >= 0 && other >= 0 && !fstat(fd, &st));
	raw_dev(&st, &dev);
	/* another descriptor's name must not be taken for it */
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino + 1, getpid(), fd);
	assert_int_equal(o->type, KP_OBJ_FILE);
	assert_null(o->name);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), -1);
	assert_null(o->name);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), fd);
	assert_int_equal(o->type, KP_OBJ_FILE);
	assert_int_equal(o->dev, dev);
	assert_int_equal(o->id, st.st_ino);
	assert_string_equal(str(o->name), path);
	close(fd);
	again = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), fd);
	assert_ptr_equal(again, o);
	/* the page cache's rows know no mode */
	assert_ptr_equal(kp_resolve_file(f->r, dev, 0, st.st_ino, 0, -1), o);
	assert_false(fstat(other, &st));
	raw_dev(&st, &dev);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), other);
	assert_int_equal(o->type, KP_OBJ_DEVICE);
	assert_string_equal(str(o->name), "/dev/null");
	close(other);
	unlink(path);
	rmdir(dir);
	done(f);
}

/* A number of which we could not find the name is not asked for again at once, but is after a while. */
static void no_name_is_kept(void **state)
{
	struct fixture *f = new();
	struct kp_resolve_stats a, b;
	uint64_t now = kp_now_mono();

	kp_resolve_file(f->r, 5, S_IFREG | 0600, 77, getpid(), 1000000);
	kp_resolve_stats(f->r, &a);
	assert_true(a.proc_reads > 0);
	for (int i = 0; i < 100; i++)
		assert_null(kp_resolve_file(f->r, 5, S_IFREG | 0600, 77, getpid(), 1000000)->name);
	kp_resolve_stats(f->r, &b);
	assert_int_equal(b.proc_reads, a.proc_reads);
	kp_resolve_tick(f->r, now + 60 * SEC);
	kp_resolve_file(f->r, 5, S_IFREG | 0600, 77, getpid(), 1000000);
	kp_resolve_stats(f->r, &b);
	assert_int_equal(b.proc_reads, a.proc_reads + 1);
	done(f);
}

static void opened(void **state)
{
	struct fixture *f = new();
	char cwd[4096], want[5000];
	const struct kp_obj *o;
	struct kp_resolve_stats a, b;
	int dir = open("/tmp", O_RDONLY | O_DIRECTORY);

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	o = kp_resolve_opened(f->r, 5, S_IFREG, 10, getpid(), AT_FDCWD, "/etc/passwd", 11);
	assert_string_equal(str(o->name), "/etc/passwd");
	assert_ptr_equal(kp_resolve_file(f->r, 5, S_IFREG, 10, getpid(), 3), o);
	o = kp_resolve_opened(f->r, 5, S_IFREG, 11, getpid(), AT_FDCWD, "./data/x\xff\0junk", 14);
	snprintf(want, sizeof(want), "%s/data/x\xff", cwd);
	assert_string_equal(str(o->name), want);
	/* a name that is known costs no look into /proc */
	kp_resolve_stats(f->r, &a);
	assert_ptr_equal(kp_resolve_opened(f->r, 5, S_IFREG, 11, getpid(), AT_FDCWD, "data/x\xff", 7), o);
	kp_resolve_stats(f->r, &b);
	assert_int_equal(a.proc_reads, b.proc_reads);
	o = kp_resolve_opened(f->r, 5, S_IFREG, 12, getpid(), dir, "y", 1);
	assert_string_equal(str(o->name), "/tmp/y");
	o = kp_resolve_opened(f->r, 5, S_IFDIR, 13, getpid(), dir, ".", 1);
	assert_string_equal(str(o->name), "/tmp");
	/* of a process that is gone it stays relative */
	o = kp_resolve_opened(f->r, 5, S_IFREG, 14, P, AT_FDCWD, "rel", 3);
	assert_string_equal(str(o->name), "rel");
	/* the number is another file's now */
	o = kp_resolve_opened(f->r, 5, S_IFREG, 10, getpid(), AT_FDCWD, "/etc/group", 10);
	assert_string_equal(str(kp_resolve_file(f->r, 5, S_IFREG, 10, getpid(), 3)->name), "/etc/group");
	close(dir);
	done(f);
}

static void files_are_bounded(void **state)
{
	struct fixture *f = new_with((struct kp_resolve_opts){ .max_files = 1024 });
	struct kp_resolve_stats st;
	char name[32];
	int kept = 0;

	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "/f/%d", i);
		kp_resolve_opened(f->r, 5, S_IFREG, 1000 + i, P, AT_FDCWD, name, strlen(name));
		/* one that is used all the time stays */
		assert_string_equal(str(kp_resolve_file(f->r, 5, S_IFREG, 1000, P, -1)->name), "/f/0");
	}
	kp_resolve_stats(f->r, &st);
	assert_in_range(st.files, 900, 1024);
	assert_string_equal(str(kp_resolve_file(f->r, 5, S_IFREG, 1000, P, -1)->name), "/f/0");
	for (int i = 9500; i < 10000; i++) {
		const struct kp_obj *f_i = kp_resolve_file(f->r, 5, S_IFREG, 1000 + i, P, -1);

		snprintf(name, sizeof(name), "/f/%d", i);
		if (f_i->name) {
			assert_string_equal(f_i->name->p, name);
			kept++;
		}
	}
	assert_true(kept > 400);
	done(f);
}

static void pipes_and_eventfds(void **state)
{
	struct fixture *f = new();
	struct stat st;
	uint32_t dev;
	const struct kp_obj *o;
	int p[2], e = eventfd(0, 0);

	assert_false(pipe(p) || fstat(p[0], &st));
	raw_dev(&st, &dev);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), p[0]);
	assert_int_equal(o->type, KP_OBJ_PIPE);
	assert_ptr_equal(kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), p[1]), o);
	assert_false(fstat(e, &st));
	raw_dev(&st, &dev);
	o = kp_resolve_file(f->r, dev, st.st_mode, st.st_ino, getpid(), e);
	assert_int_equal(o->type, KP_OBJ_ANON);
	assert_string_equal(str(o->name), "anon_inode:[eventfd]");
	/* as Linux 6.16 and later have it inside */
	o = kp_resolve_file(f->r, dev, S_IFREG | 0600, st.st_ino, getpid(), e);
	assert_int_equal(o->type, KP_OBJ_ANON);
	close(e);
	close(p[0]);
	close(p[1]);
	done(f);
}

static void things_without_inode(void **state)
{
	struct fixture *f = new();
	char line[256], name[64] = "";
	unsigned maj, min;
	FILE *p = fopen("/proc/partitions", "r");
	const struct kp_obj *o;

	while (p && fgets(line, sizeof(line), p))
		if (sscanf(line, "%u %u %*u %63s", &maj, &min, name) == 3)
			break;
	if (p)
		fclose(p);
	if (*name) {
		o = kp_resolve_device(f->r, maj << 20 | min);
		assert_int_equal(o->type, KP_OBJ_DEVICE);
		assert_string_equal(str(o->name), name);
		assert_ptr_equal(kp_resolve_device(f->r, maj << 20 | min), o);
	}
	o = kp_resolve_device(f->r, 4095u << 20 | 77);
	assert_null(o->name);
	assert_int_equal(o->dev, 4095u << 20 | 77);
	assert_ptr_not_equal(kp_resolve_futex(f->r, 1, 0x1000), kp_resolve_futex(f->r, 2, 0x1000));
	assert_int_equal(kp_resolve_futex(f->r, 1, 0x1000)->id, 0x1000);
	assert_string_equal(str(kp_resolve_name(f->r, "abc\0d", 5)->name), "abc");
	assert_int_equal(kp_resolve_cgroup(f->r, "/x", 2)->type, KP_OBJ_CGROUP);
	done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_by_descriptor),
		cmocka_unit_test(no_name_is_kept),
		cmocka_unit_test(opened),
		cmocka_unit_test(files_are_bounded),
		cmocka_unit_test(pipes_and_eventfds),
		cmocka_unit_test(things_without_inode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
