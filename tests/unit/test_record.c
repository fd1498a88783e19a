/* SPDX-License-Identifier: BSD-2-Clause */
/* The recorder's parts that need no kernel: order, rings, who is excluded, filters, the command. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/bpf.h>

#include <kp/util.h>

#include "record/child.h"
#include "record/exclude.h"
#include "record/filter.h"
#include "record/merge.h"
#include "record/ring.h"

/* ---- merge ---- */

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Any order within 20 ns of disorder per queue comes out in order, complete, each record as it went in. */
static void merges_in_order(void **state)
{
	enum { QUEUES = 5, ROUNDS = 200, EACH = 50 };
	uint64_t seed = 88172645463325252ull, sum_in = 0, sum_out = 0, last = 0, n = 0, base = 1000;
	struct kp_merged out;
	struct kp_merge m;

	assert_int_equal(kp_merge_init(&m, QUEUES), 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < EACH; i++) {
			uint64_t rec[6] = { base + i * 10 + next_random(&seed) % 20 };
			uint32_t words = 1 + next_random(&seed) % 6;

			for (uint32_t w = 1; w < words; w++)
				rec[w] = rec[0] * w;
			assert_int_equal(kp_merge_add(&m, next_random(&seed) % QUEUES, rec[0], rec, words * 8), 0);
			sum_in += rec[0];
		}
		base += EACH * 10;
		kp_merge_begin(&m);
		/* what may still be preceded by something stays */
		while (kp_merge_next(&m, round == ROUNDS - 1 ? UINT64_MAX : base - 1, &out)) {
			const uint64_t *rec = out.rec;

			assert_true(out.end >= last);
			assert_int_equal(rec[0], out.end);
			for (uint32_t w = 1; w < out.len / 8; w++)
				assert_int_equal(rec[w], rec[0] * w);
			last = out.end;
			sum_out += out.end;
			n++;
		}
	}
	assert_int_equal(n, ROUNDS * EACH);
	assert_int_equal(sum_in, sum_out);
	assert_int_equal(m.bytes, 0);
	kp_merge_free(&m);
}

static void merge_holds_back(void **state)
{
	struct kp_merged out;
	struct kp_merge m;

	assert_int_equal(kp_merge_init(&m, 2), 0);
	kp_merge_add(&m, 0, 10, "a", 1);
	kp_merge_add(&m, 1, 30, "c", 1);
	kp_merge_begin(&m);
	assert_int_equal(kp_merge_next(&m, 20, &out), 1);
	assert_int_equal(*(const char *)out.rec, 'a');
	assert_int_equal(kp_merge_next(&m, 20, &out), 0);
	assert_int_equal(m.bytes, 8);
	kp_merge_add(&m, 0, 25, "b", 1);
	kp_merge_begin(&m);
	assert_int_equal(kp_merge_next(&m, UINT64_MAX, &out), 1);
	assert_int_equal(*(const char *)out.rec, 'b');
	assert_int_equal(kp_merge_next(&m, UINT64_MAX, &out), 1);
	assert_int_equal(*(const char *)out.rec, 'c');
	assert_int_equal(kp_merge_next(&m, UINT64_MAX, &out), 0);
	kp_merge_free(&m);
}

/* ---- ring ---- */

struct ring_mem { struct kp_ring ring; uint64_t cons, prod; uint8_t data[2 * 4096]; };
struct got { uint32_t n; uint64_t sum; int stop_at; };

static int take(void *arg, const void *rec, uint32_t len)
{
	struct got *g = arg;
	uint64_t v;

	assert_int_equal(len, 12);
	memcpy(&v, rec, sizeof(v));
	g->sum += v;
	return (int)++g->n == g->stop_at ? -ENOMEM : 0;
}

/* As the kernel does it; the data is there twice. */
static void put(struct ring_mem *m, uint64_t v, uint32_t bits)
{
	uint32_t len = 12, head = len | bits;

	for (uint32_t i = 0; i < 24; i++) {
		uint8_t b = i < 4 ? ((uint8_t *)&head)[i] : i >= 8 && i < 16 ? ((uint8_t *)&v)[i - 8] : 0;
		uint64_t at = (m->prod + i) & 4095;

		m->data[at] = m->data[at + 4096] = b;
	}
	m->prod += 24;
}

static void ring_reads_to_the_busy_one(void **state)
{
	struct ring_mem *m = calloc(1, sizeof(*m));
	struct got g = { 0 };
	uint64_t want = 0;

	m->ring = (struct kp_ring){ &m->cons, &m->prod, m->data, 4095, 4096 };
	for (uint64_t i = 1; i <= 1000; i++) { /* round the end several times */
		put(m, i, i % 7 ? 0 : BPF_RINGBUF_DISCARD_BIT);
		want += i % 7 ? i : 0;
		if (i % 100 == 0)
			assert_true(kp_ring_drain(&m->ring, take, &g) > 0);
	}
	assert_int_equal(g.sum, want);
	assert_int_equal(kp_ring_used(&m->ring), 0);
	put(m, 5, 0);
	put(m, 6, BPF_RINGBUF_BUSY_BIT);
	put(m, 7, 0);
	assert_int_equal(kp_ring_drain(&m->ring, take, &g), 1);
	assert_int_equal(kp_ring_used(&m->ring), 48);
	m->data[m->cons & 4095] = m->data[(m->cons & 4095) + 4096] = 12;
	m->data[(m->cons & 4095) + 3] = 0; /* done */
	assert_int_equal(kp_ring_drain(&m->ring, take, &g), 2);
	assert_int_equal(g.sum, want + 5 + 6 + 7);
	free(m);
}

static void ring_stops_on_error(void **state)
{
	struct ring_mem *m = calloc(1, sizeof(*m));
	struct got g = { .stop_at = 2 };

	m->ring = (struct kp_ring){ &m->cons, &m->prod, m->data, 4095, 4096 };
	for (int i = 0; i < 5; i++)
		put(m, 1, 0);
	assert_int_equal(kp_ring_drain(&m->ring, take, &g), -ENOMEM);
	assert_int_equal(kp_ring_used(&m->ring), 3 * 24);
	free(m);
}

static void lists_of_cpus(void **state)
{
	static const struct { const char *list; uint32_t cpu; bool is; } t[] = {
		{ "0\n", 0, true }, { "0\n", 1, false }, { "0-3\n", 3, true }, { "0-3\n", 4, false },
		{ "0-1,4,8-9\n", 4, true }, { "0-1,4,8-9\n", 5, false }, { "0-1,4,8-9\n", 9, true }, { "0-1,4,8-9\n", 10, false },
		{ "2-3,5", 0, false }, { "", 0, false }, { "x", 0, false }, { "0-", 0, false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		assert_int_equal(kp_cpu_listed(t[i].list, t[i].cpu), t[i].is);
}

/* ---- who is excluded ---- */

static bool has(const struct kp_excluded *x, uint32_t pid)
{
	for (uint32_t i = 0; i < x->n; i++)
		if (x->pid[i] == pid)
			return true;
	return false;
}

/* A child that holds a pipe's end until it is told to go. */
static pid_t holder(int fd, int other)
{
	pid_t p = fork();

	if (!p) {
		close(other);
		dup2(fd, STDIN_FILENO);
		pause();
		_exit(0);
	}
	return p;
}

static void readers_of_the_pipe_are_excluded(void **state)
{
	struct kp_excluded x;
	int out[2], down[2];
	pid_t reader, next, bystander;

	/* we -> reader -> next; the bystander has only the writing end */
	assert_int_equal(pipe(out), 0);
	bystander = holder(out[1], out[0]);
	assert_int_equal(pipe(down), 0);
	reader = fork();
	if (!reader) {
		close(out[1]);
		close(down[0]);
		dup2(out[0], STDIN_FILENO);
		dup2(down[1], STDOUT_FILENO);
		pause();
		_exit(0);
	}
	close(out[0]);
	next = holder(down[0], down[1]);
	for (int i = 0; i < 100; i++) { /* until they have set their descriptors up */
		kp_exclude_find(&x, "/proc", (int[]){ out[1], -1 }, 2);
		if (has(&x, reader) && has(&x, next) && !has(&x, bystander))
			break;
		usleep(10000);
	}
	assert_true(has(&x, getpid()));
	assert_true(has(&x, reader));
	assert_true(has(&x, next));
	assert_false(has(&x, bystander));
	kill(reader, SIGKILL);
	kill(next, SIGKILL);
	kill(bystander, SIGKILL);
	waitpid(reader, NULL, 0);
	waitpid(next, NULL, 0);
	waitpid(bystander, NULL, 0);
	kp_exclude_find(&x, "/proc", (int[]){ -1, -1 }, 2);
	assert_false(has(&x, reader));
	close(out[1]);
	close(down[0]);
	close(down[1]);
}

/* ---- filters ---- */

static void syscall_table(void **state)
{
	struct sys_info *s = calloc(2 * SYS_MAX, sizeof(*s));
	struct kp_kinds *kinds;

	assert_int_equal(kp_kinds_new(&kinds), 0);
	kp_filter_syscalls(s, kinds, "sys.re*,sys.close", true);
	assert_true(s[0].want && s[3].want && !s[1].want && !s[257].want);
	assert_int_equal(s[0].bufarg, 1);
	assert_int_equal(s[0].fdarg, 0);
	assert_int_equal(s[0].strarg, -1);
	assert_true(s[3].enter_fd);
	assert_int_equal(s[257].strarg, 1);
	assert_true(s[257].retfd);
	assert_true(s[42].sock);
#ifdef __x86_64__
	assert_true(s[SYS_MAX + 3].want && !s[SYS_MAX + 4].want); /* read and write of 32-bit programs */
	assert_int_equal(s[SYS_MAX + 3].nr, 0);
	assert_int_equal(s[SYS_MAX + 145].nr, 19); /* readv: its structures are other ones */
	assert_int_equal(s[SYS_MAX + 145].bufarg, -1);
#endif
	kp_filter_syscalls(s, kinds, NULL, false);
	assert_true(s[257].want);
	assert_int_equal(s[0].bufarg, -1);
	kp_kinds_free(kinds);
	free(s);
}

static void kinds_are_checked(void **state)
{
	struct kp_kinds *kinds;
	struct kp_err err;

	assert_int_equal(kp_kinds_new(&kinds), 0);
	assert_int_equal(kp_filter_check(kinds, "sys.*,tcp.send", &err), 0);
	assert_int_equal(kp_filter_check(kinds, "sys.raed", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "sys.read"));
	assert_int_equal(kp_filter_check(kinds, "sys.read,", &err), -EINVAL);
	assert_int_equal(kp_filter_check(kinds, "", &err), -EINVAL);
	kp_kinds_free(kinds);
}

static void cgroups_are_found(void **state)
{
	char dir[] = "/tmp/kp-record.XXXXXX", path[300], mounts[64];
	struct rec_cfg cfg = { 0 };
	struct kp_err err;
	struct stat st;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/group", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(stat(path, &st), 0);
	snprintf(mounts, sizeof(mounts), "%s.mounts", dir);
	f = fopen(mounts, "w");
	fprintf(f, "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 20 0:26 / %s rw,nosuid shared:9 - cgroup2 cgroup2 rw\n", dir);
	fclose(f);
	assert_int_equal(kp_filter_cgroup(&cfg, "/group", mounts, NULL, &err), 0);
	assert_int_equal(cfg.cgroup_id, st.st_ino);
	assert_int_equal(cfg.cgroup_subsys, ~0u);
	cfg = (struct rec_cfg){ 0 };
	assert_int_equal(kp_filter_cgroup(&cfg, path, mounts, NULL, &err), 0);
	assert_int_equal(cfg.cgroup_id, st.st_ino);
	assert_true(cfg.filter_cgroup);
	assert_int_equal(kp_filter_cgroup(&cfg, "/none", mounts, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/none"));
	rmdir(path);
	rmdir(dir);
	unlink(mounts);
}

/* ---- the command ---- */

static int run(char *const *argv, struct kp_err *err)
{
	struct kp_child c;
	int status;

	assert_int_equal(kp_child_start(&c, argv, 0, err), 0);
	assert_false(kp_child_ended(&c, false));
	kp_child_go(&c);
	status = kp_child_status(&c, argv[0], err);
	kp_child_free(&c);
	return status;
}

static void command_status(void **state)
{
	struct kp_err err = { 0 };

	assert_int_equal(run((char *[]){ "true", NULL }, &err), 0);
	assert_int_equal(run((char *[]){ "sh", "-c", "exit 7", NULL }, &err), 7);
	assert_int_equal(run((char *[]){ "sh", "-c", "kill -9 $$", NULL }, &err), 137);
	assert_string_equal(err.msg, "");
	assert_int_equal(run((char *[]){ "/nowhere/at/all", NULL }, &err), 127);
	assert_non_null(strstr(err.msg, "/nowhere/at/all"));
	assert_int_equal(run((char *[]){ "/dev/null", NULL }, &err), 126);
}

/* A command that was never let go has not run. */
static void command_waits(void **state)
{
	char path[] = "/tmp/kp-record.XXXXXX", cmd[64];
	struct kp_child c;
	struct kp_err err;
	pid_t pid;
	int fd = mkstemp(path);

	close(fd);
	snprintf(cmd, sizeof(cmd), "rm %s", path);
	assert_int_equal(kp_child_start(&c, (char *[]){ "sh", "-c", cmd, NULL }, 0, &err), 0);
	pid = c.pid;
	usleep(20000);
	assert_int_equal(access(path, F_OK), 0);
	assert_false(kp_child_gone(&c));
	assert_int_equal(kp_child_status(&c, "sh", &err), 125);
	kp_child_free(&c);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merges_in_order),
		cmocka_unit_test(merge_holds_back),
		cmocka_unit_test(ring_reads_to_the_busy_one),
		cmocka_unit_test(ring_stops_on_error),
		cmocka_unit_test(lists_of_cpus),
		cmocka_unit_test(readers_of_the_pipe_are_excluded),
		cmocka_unit_test(syscall_table),
		cmocka_unit_test(kinds_are_checked),
		cmocka_unit_test(cgroups_are_found),
		cmocka_unit_test(command_status),
		cmocka_unit_test(command_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
