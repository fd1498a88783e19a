/* SPDX-License-Identifier: BSD-2-Clause */
/* Who made memory scarce: growth while the group was under reclaim, and nobody else. */
#include "causal_rows.h"

enum { VICTIM = 2847, HOG = 4721, IDLE = 4700, ALIEN = 4800 };

struct scene {
	struct rows *w;
	struct thread th, hog, idle, alien;
	const struct kp_obj *data, *disk;
};

/* The victim and the hog in one group, an idle process that had grown long before, a bigger hog in another group. */
static struct scene scene(void)
{
	struct scene s = { .w = rows_new() };

	s.hog = thread(s.w, HOG, HOG, "batch", "/kpdemo", -9000);
	s.idle = thread(s.w, IDLE, IDLE, "idle", "/kpdemo", -50000);
	s.alien = thread(s.w, ALIEN, ALIEN, "hog", "/elsewhere", -9000);
	s.data = file(s.w, "base/16384/16402", 16402);
	s.disk = device(s.w, "loop0", 9);
	grows(s.w, &s.idle, -50000, -45000, 1024, 0);		/* 200 MB, when there was room */
	s.th = server(s.w, "/kpdemo");
	return s;
}

/* Reads `n` pages again, 20 ms each, that left memory 500 ms ago in the context of `by`. */
static void reads_again(struct scene *s, int n, const struct thread *by)
{
	for (int i = 0; i < n; i++) {
		double at = 10 + 25 * i;

		refault(s->w, &s->th, at - 0.005, 1, 500, by, s->data);
		reads(s->w, &s->th, at, at + 20, s->data, s->disk);
	}
}

static const struct kp_graph *finish(struct scene *s, double at)
{
	respond(s->w, &s->th, at, HTTP_OK);
	return explain(s->w);
}

static void hog_is_blamed(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;
	const struct kp_cause *c;

	grows(s.w, &s.hog, -6000, 500, 640, 300);
	grows(s.w, &s.alien, -6000, 500, 2048, 500);
	reads_again(&s, 10, &s.hog);
	g = finish(&s, 300);
	c = cause(g, KP_C_MEMORY_REFAULT);
	is_about(ms_of(g, KP_C_MEMORY_REFAULT), 200);
	assert_int_equal(root(g), KP_C_MEMORY_REFAULT);
	assert_int_equal(culprit(g, KP_C_MEMORY_REFAULT), HOG);
	assert_int_equal(c->nblame, 1);
	assert_true(c->blame[0].share > 0.95);
	assert_non_null(strstr(c->blame[0].why, "observed: 10 of 10 pages evicted in its context; inferred: it grew by "));
	assert_non_null(strstr(c->blame[0].why, " in /kpdemo in the "));
	assert_true(c->observed && c->confidence > 0.8);
	assert_false(is_blamed(g, IDLE));
	assert_false(is_blamed(g, ALIEN));
	rows_free(s.w);
}

/* At a limit whoever allocates next must evict, the victim included: the context says little, growth does. */
static void evicted_by_the_victim_itself(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;

	grows(s.w, &s.hog, -6000, 500, 640, 300);
	reads_again(&s, 10, &s.th);
	g = finish(&s, 300);
	assert_int_equal(culprit(g, KP_C_MEMORY_REFAULT), HOG);
	assert_non_null(strstr(cause(g, KP_C_MEMORY_REFAULT)->blame[0].why, "0 of 10 pages evicted in its context"));
	assert_false(is_blamed(g, IDLE));
	rows_free(s.w);
}

static void evicted_by_kswapd(void **state)
{
	struct scene s = scene();
	struct thread k = kthread(s.w, 60, "kswapd0");
	const struct kp_graph *g;

	grows(s.w, &s.alien, -6000, 500, 2048, 500);	/* the host's memory is short: now the other group counts */
	reads_again(&s, 10, &k);
	g = finish(&s, 300);
	assert_int_equal(culprit(g, KP_C_MEMORY_REFAULT), ALIEN);
	assert_false(is_blamed(g, 60));
	assert_false(is_blamed(g, IDLE));
	rows_free(s.w);
}

/* Evicted in the context of an idle process's neighbour that grew before the pressure and not since. */
static void early_growth_is_free(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;

	grows(s.w, &s.hog, -6000, -4000, 1024, 0);	/* no reclaim then: that evicted nothing */
	grows(s.w, &s.th, -1000, 500, 512, 200);	/* the victim itself grew while memory was short */
	reads_again(&s, 10, &s.th);
	g = finish(&s, 300);
	is_about(ms_of(g, KP_C_MEMORY_REFAULT), 200);
	assert_false(blamed_for_memory(g));
	rows_free(s.w);
}

/* Pages that are read for the first time: a hog may grow beside it as it likes. */
static void first_read_is_no_refault(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;

	grows(s.w, &s.hog, -6000, 500, 640, 300);
	for (int i = 0; i < 10; i++)
		reads(s.w, &s.th, 10 + 25 * i, 30 + 25 * i, s.data, s.disk);
	g = finish(&s, 300);
	assert_int_equal(cause(g, KP_C_MEMORY_REFAULT)->ns, 0);
	is_about(ms_of(g, KP_C_DISK_READ), 200);
	assert_false(blamed_for_memory(g));
	rows_free(s.w);
}

/* The I/O limit of its group holds the re-reads back: they are re-reads all the same. */
static void refault_through_a_limit(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;

	grows(s.w, &s.hog, -6000, 500, 640, 300);
	for (int i = 0; i < 10; i++) {
		double at = 10 + 25 * i;

		refault(s.w, &s.th, at - 0.005, 1, 500, &s.hog, s.data);
		io(s.w, KP_K_BLK_BIO, &s.th, at, at + 18, s.disk);
		io(s.w, KP_K_BLK_READ, &s.th, at + 18, at + 19.9, s.disk);
		sys(s.w, KP_K_SYS_pread64, &s.th, at - 0.01, at + 20.02, 8192)->obj = s.data;
		sleeps(s.w, &s.th, at, at + 20, D, NULL, NULL, HARDIRQ);
	}
	g = finish(&s, 300);
	is_about(ms_of(g, KP_C_MEMORY_REFAULT), 200);
	assert_int_equal(cause(g, KP_C_DISK_THROTTLED)->ns, 0);
	assert_int_equal(culprit(g, KP_C_MEMORY_REFAULT), HOG);
	rows_free(s.w);
}

/* As the recorder writes it: when the operation ends, after the wait. The next operation's wait is none of it. */
static void told_when_the_operation_ends(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;
	struct kp_row *r;

	grows(s.w, &s.hog, -6000, 500, 640, 300);
	reads(s.w, &s.th, 10, 60, s.data, s.disk);
	refault(s.w, &s.th, 60.14, 1, 500, &s.hog, s.data);
	r = &s.w->v[s.w->n - 1];
	r->dur = (uint64_t)(50.15 * 1e6);
	reads(s.w, &s.th, 60.3, 100.3, s.data, s.disk);
	g = finish(&s, 200);
	is_about(ms_of(g, KP_C_MEMORY_REFAULT), 50);
	is_about(ms_of(g, KP_C_DISK_READ), 40);
	assert_int_equal(culprit(g, KP_C_MEMORY_REFAULT), HOG);
	rows_free(s.w);
}

/* The disk is a file on a disk on a disk: one page, three requests. */
static void devices_on_devices(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;

	grows(s.w, &s.hog, -6000, 500, 640, 300);
	refault(s.w, &s.th, 60.14, 1, 500, &s.hog, s.data);
	s.w->v[s.w->n - 1].dur = (uint64_t)(50.15 * 1e6);
	reads(s.w, &s.th, 10, 60, s.data, s.disk);
	io(s.w, KP_K_BLK_READ, &s.th, 59, 59.8, device(s.w, "loop1", 10));
	io(s.w, KP_K_BLK_READ, &s.th, 59.1, 59.7, device(s.w, "vda", 11));
	g = finish(&s, 200);
	is_about(ms_of(g, KP_C_MEMORY_REFAULT), 50);
	assert_int_equal(cause(g, KP_C_DISK_READ)->ns, 0);
	rows_free(s.w);
}

/* Half of what is read had been there before. */
static void part_refault(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;

	grows(s.w, &s.hog, -6000, 500, 640, 300);
	refault(s.w, &s.th, 9.995, 5, 500, &s.hog, s.data);
	reads(s.w, &s.th, 10, 110, s.data, s.disk);
	for (unsigned i = 0; i < s.w->n; i++)
		if (s.w->v[i].kind == KP_K_BLK_READ)
			s.w->v[i].a[1] = 10 * 4096;
	g = finish(&s, 200);
	is_about(ms_of(g, KP_C_MEMORY_REFAULT), 50);
	is_about(ms_of(g, KP_C_DISK_READ), 50);
	rows_free(s.w);
}

/* The recording began too late to see the growth: the keyframe tells who holds memory, and that is a guess. */
static void held_before(uint64_t used, bool blamed)
{
	struct scene s = { .w = rows_new() };
	const struct kp_graph *g;
	struct kp_row *r;

	s.hog = thread(s.w, HOG, HOG, "batch", "/kpdemo", -900);
	s.alien = thread(s.w, ALIEN, ALIEN, "hog", "/elsewhere", -900);
	s.data = file(s.w, "base/1", 1);
	s.disk = device(s.w, "loop0", 9);
	r = event(s.w, KP_K_KEY_TASK, &s.hog, -1000, -1000);
	r->a[2] = 40000;
	r->flags = KP_F_KEYFRAME;
	r = event(s.w, KP_K_KEY_TASK, &s.alien, -1000, -1000);
	r->a[2] = 90000;
	r->flags = KP_F_KEYFRAME;
	if (used) {
		r = event(s.w, KP_K_CG_LIMIT, NULL, -500, -500);
		r->obj = cgroup(s.w, "/kpdemo");
		r->a[0] = r->a[1] = used * 4096;
	}
	s.th = server(s.w, "/kpdemo");
	for (int i = 0; i < 10; i++) {
		refault(s.w, &s.th, 9.995 + 25 * i, 1, 0.5, NULL, s.data);
		reads(s.w, &s.th, 10 + 25 * i, 30 + 25 * i, s.data, s.disk);
	}
	g = finish(&s, 300);
	assert_int_equal(culprit(g, KP_C_MEMORY_REFAULT), blamed ? HOG : 0);
	if (blamed) {
		assert_true(cause(g, KP_C_MEMORY_REFAULT)->confidence < 0.5);
		assert_non_null(strstr(cause(g, KP_C_MEMORY_REFAULT)->blame[0].why, "before the recording began"));
	}
	assert_false(is_blamed(g, ALIEN));
	rows_free(s.w);
}

static void holder_of_the_keyframe(void **state)
{
	held_before(0, true);
	held_before(50000, true);
	held_before(100000, false);	/* most of it is somebody else's, or page cache */
}

/* It has to free memory itself, at the limit of its group. */
static void direct_reclaim(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;
	struct kp_row *r;

	grows(s.w, &s.hog, -3000, 500, 640, 300);
	grows(s.w, &s.alien, -3000, 500, 2048, 300);
	r = event(s.w, KP_K_MM_RECLAIM, &s.th, 50, 120);
	r->a[0] = 1;
	r->a[1] = 32;
	sleeps(s.w, &s.th, 60, 110, D, "reclaim_throttle+0x1", NULL, SOFTIRQ);
	g = finish(&s, 200);
	is_about(ms_of(g, KP_C_MEMORY_RECLAIM), 70);	/* asleep in it and running in it */
	assert_int_equal(culprit(g, KP_C_MEMORY_RECLAIM), HOG);
	assert_false(is_blamed(g, ALIEN));
	assert_false(is_blamed(g, IDLE));
	rows_free(s.w);
}

static void fault_swap_oom(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;

	event(s.w, KP_K_MM_FAULT, &s.th, 9.99, 30.02);
	io(s.w, KP_K_BLK_READ, &s.th, 10, 29, s.disk);
	sleeps(s.w, &s.th, 10, 30, D, "filemap_fault+0x1", NULL, HARDIRQ);
	event(s.w, KP_K_MM_FAULT, &s.th, 39.99, 70.02);
	sleeps(s.w, &s.th, 40, 70, D, "do_swap_page+0x1", NULL, HARDIRQ);
	sleeps(s.w, &s.th, 80, 120, D, "mem_cgroup_out_of_memory+0x1", NULL, SOFTIRQ);
	g = finish(&s, 200);
	is_about(ms_of(g, KP_C_MEMORY_FAULT), 20);
	is_about(ms_of(g, KP_C_MEMORY_SWAP), 30);
	is_about(ms_of(g, KP_C_MEMORY_OOM), 40);
	assert_false(blamed_for_memory(g));
	rows_free(s.w);
}

/* What left memory was dropped on purpose: whoever did that is known, growth or not. */
static void dropped_on_purpose(void **state)
{
	struct scene s = scene();
	const struct kp_graph *g;

	grows(s.w, &s.hog, -3000, 500, 640, 300);
	reads_again(&s, 10, &s.idle);
	for (unsigned i = 0; i < s.w->n; i++)
		if (s.w->v[i].kind == KP_K_MM_REFAULT)
			s.w->v[i].a[2] = 2;
	g = finish(&s, 300);
	assert_int_equal(culprit(g, KP_C_MEMORY_REFAULT), IDLE);
	assert_false(is_blamed(g, HOG));
	rows_free(s.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hog_is_blamed), cmocka_unit_test(evicted_by_the_victim_itself), cmocka_unit_test(evicted_by_kswapd),
		cmocka_unit_test(early_growth_is_free), cmocka_unit_test(first_read_is_no_refault),
		cmocka_unit_test(refault_through_a_limit), cmocka_unit_test(part_refault), cmocka_unit_test(told_when_the_operation_ends),
		cmocka_unit_test(devices_on_devices), cmocka_unit_test(holder_of_the_keyframe),
		cmocka_unit_test(direct_reclaim), cmocka_unit_test(fault_swap_oom), cmocka_unit_test(dropped_on_purpose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
