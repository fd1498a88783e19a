/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits, quotas and pressure of control groups: from a made-up /proc and cgroupfs. */
#include "resolve_rows.h"

static void put(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *fp;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *p = path + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = 0;
		mkdir(path, 0700);
	}
	fp = fopen(path, "w");
	assert_non_null(fp);
	fputs(text, fp);
	assert_int_equal(fclose(fp), 0);
}

static struct fixture *made_up(char dir[40], const char *cgroup, const char *mounts)
{
	char text[1024];

	strcpy(dir, "/tmp/kp cgroup-XXXXXX");
	assert_non_null(mkdtemp(dir));
	put(dir, "self/cgroup", cgroup);
	snprintf(text, sizeof(text), mounts, dir + strlen("/tmp/kp cgroup"), dir + strlen("/tmp/kp cgroup"));
	put(dir, "self/mountinfo", text);
	return new_at(dir);
}

static void remove_all(const char *dir)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	assert_int_equal(system(cmd), 0);
}

static void task_in(struct fixture *f, uint32_t tid, uint32_t hierarchy, const char *path)
{
	struct kp_ids p = { tid, tid, 100, 0, 0 };

	kp_resolve_moved(f->r, &p, hierarchy, path, strlen(path), true);
}

static void poll_rows(struct fixture *f, uint64_t now)
{
	f->n = 0;
	assert_int_equal(kp_resolve_poll(f->r, now, emit, f), 0);
}

static void poll_v2(void **state)
{
	char dir[40];
	struct fixture *f = made_up(dir, "0::/\n", "30 1 0:26 / /tmp/kp\\040cgroup%s/cg rw shared:4 - cgroup2 cgroup2 rw\n");
	const struct kp_row *r;

	put(dir, "cg/pod/box/memory.max", "1048576000\n");
	put(dir, "cg/pod/box/memory.high", "max\n");
	put(dir, "cg/pod/box/memory.current", "500000000\n");
	put(dir, "cg/pod/box/memory.events", "low 0\nhigh 3\nmax 4\noom 0\noom_kill 0\n");
	put(dir, "cg/pod/box/cpu.max", "50000 100000\n");
	put(dir, "cg/pod/box/cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 7\nthrottled_usec 12\n");
	put(dir, "cg/pod/box/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=11\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	put(dir, "cg/pod/box/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=22\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=33\n");
	put(dir, "cg/pod/box/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=44\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=55\n");
	put(dir, "cg/pod/memory.max", "max\n");
	put(dir, "cg/pod/memory.high", "2000000000\n");
	put(dir, "cg/pod/memory.current", "600000000\n");
	put(dir, "cg/pod/cpu.max", "max 100000\n");
	put(dir, "pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=6\n");
	task_in(f, P, 0, "/pod/box");
	poll_rows(f, 1000);
	r = row_of(f, KP_K_CG_LIMIT, 0, "/pod/box");
	assert_non_null(r);
	assert_int_equal(r->end, 1000);
	assert_int_equal(r->obj->type, KP_OBJ_CGROUP);
	assert_int_equal(r->a[0], 1048576000);
	assert_int_equal(r->a[1], 500000000);
	assert_int_equal(r->a[2], 7);
	r = row_of(f, KP_K_CG_LIMIT, 0, "/pod");
	assert_non_null(r);
	assert_int_equal(r->a[0], 2000000000);
	r = row_of(f, KP_K_CG_CPU, 0, "/pod/box");
	assert_non_null(r);
	assert_int_equal(r->a[0], 50000000);
	assert_int_equal(r->a[1], 100000000);
	assert_int_equal(r->a[2], 7);
	assert_int_equal(r->a[3], 12000);
	assert_null(row_of(f, KP_K_CG_CPU, 0, "/pod"));
	r = row_of(f, KP_K_CG_PRESSURE, 0, "/pod/box");
	assert_non_null(r);
	for (int i = 0; i < 5; i++)
		assert_int_equal(r->a[i], 11000 * (i + 1));
	r = row_of(f, KP_K_CG_PRESSURE, 0, NULL);
	assert_non_null(r);
	assert_null(r->obj);
	assert_int_equal(r->a[3], 7000);
	assert_int_equal(r->a[4], 6000);
	/* only what changed, and use only when it moved */
	poll_rows(f, 2000);
	assert_int_equal(f->n, 0);
	put(dir, "cg/pod/box/memory.current", "500100000\n");
	put(dir, "cg/pod/memory.current", "700000000\n");
	put(dir, "cg/pod/box/cpu.stat", "nr_throttled 8\nthrottled_usec 13\n");
	put(dir, "cg/pod/box/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5011\n");
	poll_rows(f, 3000);
	assert_int_equal(f->n, 3);
	assert_int_equal(row_of(f, KP_K_CG_LIMIT, 0, "/pod")->a[1], 700000000);
	assert_int_equal(row_of(f, KP_K_CG_CPU, 0, "/pod/box")->a[2], 8);
	assert_int_equal(row_of(f, KP_K_CG_PRESSURE, 0, "/pod/box")->a[0], 5011000);
	/* the quota is taken away: told once */
	put(dir, "cg/pod/box/cpu.max", "max 100000\n");
	poll_rows(f, 4000);
	assert_int_equal(f->n, 1);
	assert_int_equal(f->row[0].a[0], 0);
	remove_all(dir);
	poll_rows(f, 5000);
	assert_int_equal(f->n, 0);
	f->stop = EPIPE;
	done(f);
}

static void poll_v1(void **state)
{
	char dir[40];
	struct fixture *f = made_up(dir, "5:memory:/\n3:cpuacct,cpu:/\n1:name=systemd:/\n",
		"30 1 0:26 /kept /tmp/kp\\040cgroup%s/mem rw - cgroup cgroup rw,memory\n"
		"31 1 0:27 / /tmp/kp\\040cgroup%s/cpu rw - cgroup cgroup rw,cpuacct,cpu\n");
	const struct kp_row *r;

	put(dir, "mem/db/memory.limit_in_bytes", "230686720\n");
	put(dir, "mem/db/memory.usage_in_bytes", "200000000\n");
	put(dir, "mem/db/memory.failcnt", "12\n");
	put(dir, "mem/free/memory.limit_in_bytes", "9223372036854771712\n");
	put(dir, "mem/free/memory.usage_in_bytes", "5\n");
	put(dir, "cpu/web/cpu.cfs_quota_us", "20000\n");
	put(dir, "cpu/web/cpu.cfs_period_us", "100000\n");
	put(dir, "cpu/web/cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_time 345\n");
	put(dir, "cpu/db/cpu.cfs_quota_us", "-1\n");
	task_in(f, P, 5, "/kept/db");
	task_in(f, P, 3, "/web");
	task_in(f, C, 5, "/kept/free");
	task_in(f, C, 3, "/db");
	task_in(f, W, 5, "/elsewhere");
	task_in(f, X, 3, "/../cpu/web");
	poll_rows(f, 1000);
	assert_int_equal(f->n, 3);
	r = row_of(f, KP_K_CG_LIMIT, 0, "/kept/db");
	assert_non_null(r);
	assert_int_equal(r->a[0], 230686720);
	assert_int_equal(r->a[1], 200000000);
	assert_int_equal(r->a[2], 12);
	r = row_of(f, KP_K_CG_LIMIT, 0, "/kept/free");
	assert_non_null(r);
	assert_int_equal(r->a[0], 0);
	r = row_of(f, KP_K_CG_CPU, 0, "/web");
	assert_non_null(r);
	assert_int_equal(r->a[0], 20000000);
	assert_int_equal(r->a[1], 100000000);
	assert_int_equal(r->a[2], 2);
	assert_int_equal(r->a[3], 345);
	f->stop = EPIPE;
	put(dir, "mem/db/memory.failcnt", "13\n");
	assert_int_equal(kp_resolve_poll(f->r, 2000, emit, f), -EPIPE);
	remove_all(dir);
	done(f);
}

/* What a task's lines in /proc say, on version 2, version 1, and both at once. */
static void controllers_of_a_task(void **state)
{
	static const struct { const char *lines, *unified, *cpu, *memory; } c[] = {
		{ "0::/a:b\n", "/a:b", "/a:b", "/a:b" },
		{ "4:memory:/m\n3:cpu,cpuacct:/c\n1:name=systemd:/s\n", NULL, "/c", "/m" },
		{ "4:memory:/m\n1:name=systemd:/s\n0::/u\n", "/u", "/u", "/m" },
		{ "rubbish\n0:/x\n:::\n0::/cut", NULL, NULL, NULL },
	};
	char dir[40];
	struct fixture *f = made_up(dir, "0::/\n", "");

	for (uint32_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
		const char *want[] = { [KP_CG_UNIFIED] = c[i].unified, [KP_CG_CPU] = c[i].cpu, [KP_CG_MEMORY] = c[i].memory };
		uint32_t tid = P + i;
		const struct kp_task *t;
		char name[64];

		snprintf(name, sizeof(name), "%u/task/%u/stat", tid, tid);
		put(dir, name, "1 (x) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n");
		snprintf(name, sizeof(name), "%u/task/%u/cgroup", tid, tid);
		put(dir, name, c[i].lines);
		t = kp_resolve_task(f->r, tid, tid, 500 * (SEC / sysconf(_SC_CLK_TCK)));
		assert_string_equal(str(t->comm), "x");
		for (int k = 0; k < 3; k++)
			assert_string_equal(str(t->cgroup[k]), want[k] ? want[k] : "(null)");
	}
	remove_all(dir);
	done(f);
}

/* The name of a kernel's worker is the same whatever it does. */
static void workers(void **state)
{
	static const char *const name[][2] = {
		{ "kworker/0:1-events", "kworker/0:1" }, { "kworker/u8:3+flush-7:0", "kworker/u8:3" }, { "kworker/R-kvfree_rcu_reclaim", "kworker/R-kvfre" },
		{ "kworker/", "kworker/" }, { "jbd2/vda1-8", "jbd2/vda1-8" }, { "pool_workqueue_release", "pool_workqueue_" },
	};
	char dir[40];
	struct fixture *f = made_up(dir, "0::/\n", "");

	for (uint32_t i = 0; i < sizeof(name) / sizeof(*name); i++) {
		uint32_t tid = P + i;
		char path[64], text[128];
		const struct kp_task *t;

		snprintf(path, sizeof(path), "%u/task/%u/stat", tid, tid);
		snprintf(text, sizeof(text), "1 (%s) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n", name[i][0]);
		put(dir, path, text);
		t = kp_resolve_task(f->r, tid, tid, 500 * (SEC / sysconf(_SC_CLK_TCK)));
		assert_true(t->kthread);
		assert_string_equal(str(t->comm), name[i][1]);
	}
	remove_all(dir);
	done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(poll_v2),
		cmocka_unit_test(poll_v1),
		cmocka_unit_test(controllers_of_a_task),
		cmocka_unit_test(workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
