/* SPDX-License-Identifier: BSD-2-Clause */
/* Stacks of sleepers as kernels of different versions show them, innermost first, and what each was asleep in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <kp/pool.h>

#include "causal/walk.h"

struct sleeper { const char *frames; enum kc_class class; };

/* Seen on 6.18 (x86-64). */
static const struct sleeper v6_18[] = {
	{ "hrtimer_nanosleep common_nsleep __x64_sys_clock_nanosleep do_syscall_64", KC_W_TIMER },
	{ "futex_do_wait __futex_wait futex_wait do_futex __x64_sys_futex do_syscall_64", KC_W_FUTEX },
	{ "poll_schedule_timeout.constprop.0 do_sys_poll __x64_sys_poll do_syscall_64", KC_W_POLL },
	{ "do_epoll_wait __x64_sys_epoll_wait do_syscall_64", KC_W_POLL },
	{ "wait_woken sk_wait_data tcp_recvmsg_locked tcp_recvmsg sock_recvmsg __sys_recvfrom", KC_W_RECV },
	{ "unix_stream_read_generic unix_stream_recvmsg sock_recvmsg sock_read_iter vfs_read ksys_read", KC_W_RECV },
	{ "do_wait kernel_wait4 do_syscall_64", KC_W_CHILD },
	{ "kernel_clone __do_sys_vfork do_syscall_64", KC_W_CHILD },
	{ "anon_pipe_read vfs_read ksys_read do_syscall_64", KC_W_PIPE },
	{ "anon_pipe_write vfs_write ksys_write do_syscall_64", KC_W_PIPE },
	{ "submit_bio_wait blkdev_issue_flush ext4_sync_file do_fsync __x64_sys_fdatasync", KC_W_SYNC },
	{ "folio_wait_bit folio_wait_writeback __filemap_fdatawait_range file_write_and_wait_range ext4_sync_file do_fsync", KC_W_SYNC },
	{ "folio_wait_bit_common filemap_get_pages filemap_read vfs_read __x64_sys_pread64", KC_W_PAGE },
	{ "folio_wait_bit_common filemap_fault __do_fault do_fault __handle_mm_fault handle_mm_fault exc_page_fault", KC_W_PAGE },
	{ "read_events do_io_getevents __x64_sys_io_getevents do_syscall_64", KC_W_DIO },
	{ "inet_csk_accept inet_accept do_accept __sys_accept4", KC_W_ACCEPT },
	{ "sigsuspend.isra.0 __x64_sys_rt_sigsuspend do_syscall_64", KC_W_SIGNAL },
	{ "ptrace_stop get_signal arch_do_signal_or_restart exit_to_user_mode_loop", KC_W_STOPPED },
	{ "reclaim_throttle shrink_lruvec shrink_node do_try_to_free_pages try_to_free_mem_cgroup_pages try_charge_memcg "
	  "charge_memcg __mem_cgroup_charge do_anonymous_page __handle_mm_fault", KC_W_RECLAIM },
	{ "locks_lock_inode_wait __do_sys_flock do_syscall_64", KC_W_FLOCK },
	{ "rq_qos_wait wbt_wait __rq_qos_throttle blk_mq_submit_bio __submit_bio ext4_io_submit ext4_do_writepages", KC_W_BLKQ },
	{ "ext4_read_bh ext4_bread ext4_get_link vfs_readlink do_readlinkat.part.0", KC_W_BUFFER },
	{ "throttle_cfs_rq_work task_work_run exit_to_user_mode_loop", KC_W_QUOTA },
	{ "worker_thread kthread ret_from_fork ret_from_fork_asm", KC_W_UNKNOWN },
};

/* Debian's 6.1 and 6.12, from their sources. */
static const struct sleeper v6_1[] = {
	{ "schedule futex_wait_queue futex_wait do_futex __x64_sys_futex", KC_W_FUTEX },
	{ "schedule io_schedule folio_wait_bit_common filemap_update_page filemap_get_pages filemap_read ext4_file_read_iter", KC_W_PAGE },
	{ "schedule schedule_hrtimeout_range_clock ep_poll do_epoll_wait __x64_sys_epoll_wait", KC_W_POLL },
	{ "schedule pipe_read vfs_read ksys_read", KC_W_PIPE },
	{ "schedule jbd2_log_wait_commit ext4_sync_file do_fsync __x64_sys_fsync", KC_W_SYNC },
	{ "schedule wait_transaction_locked add_transaction_credits start_this_handle jbd2__journal_start", KC_W_JOURNAL },
	{ "schedule io_schedule_timeout balance_dirty_pages balance_dirty_pages_ratelimited generic_perform_write", KC_W_DIRTY },
	{ "schedule rwsem_down_write_slowpath down_write ext4_buffered_write_iter", KC_W_KLOCK },
	{ "schedule schedule_preempt_disabled __mutex_lock.constprop.0 pipe_write", KC_W_KLOCK },
	{ "schedule request_wait_answer fuse_simple_request fuse_readahead", KC_W_FUSE },
	{ "schedule io_schedule folio_wait_bit_common do_swap_page __handle_mm_fault", KC_W_SWAP },
	{ "schedule sk_stream_wait_memory tcp_sendmsg_locked tcp_sendmsg", KC_W_SEND },
	{ "schedule inet_wait_for_connect __inet_stream_connect inet_stream_connect __sys_connect", KC_W_CONNECT },
	{ "schedule io_schedule blk_mq_get_tag __blk_mq_alloc_requests blk_mq_submit_bio", KC_W_BLKQ },
	{ "schedule io_schedule __iomap_dio_rw iomap_dio_rw ext4_file_read_iter", KC_W_DIO },
	{ "schedule do_freezer_trap get_signal arch_do_signal_or_restart", KC_W_STOPPED },
};

/* 5.15, from its sources. */
static const struct sleeper v5_15[] = {
	{ "__schedule schedule futex_wait_queue_me futex_wait do_futex", KC_W_FUTEX },
	{ "__schedule schedule io_schedule wait_on_page_bit_common filemap_update_page filemap_get_pages", KC_W_PAGE },
	{ "__schedule schedule io_schedule wait_on_page_writeback __filemap_fdatawait_range file_write_and_wait_range ext4_sync_file", KC_W_SYNC },
	{ "__schedule schedule schedule_timeout io_schedule_timeout congestion_wait shrink_inactive_list shrink_lruvec", KC_W_RECLAIM },
	{ "__schedule schedule do_nanosleep hrtimer_nanosleep", KC_W_TIMER },
	{ "__schedule schedule schedule_timeout unix_stream_data_wait unix_stream_read_generic", KC_W_RECV },
	{ "__schedule schedule __refrigerator unix_stream_read_generic", KC_W_STOPPED },
};

static const struct kp_stack *stack_of(struct kp_pool *p, const char *text, bool offsets)
{
	const struct kp_str *f[32];
	uint32_t n = 0;
	char buf[160];

	for (const char *s = text; *s && n < 32; s += strspn(s, " ")) {
		size_t len = strcspn(s, " ");

		snprintf(buf, sizeof(buf), "%.*s%s", (int)len, s, !offsets ? "" : n % 2 ? "+0x1f" : "+0x1f [module]");
		f[n++] = kp_pool_cstr(p, buf);
		s += len;
	}
	return kp_pool_stack(p, f, n);
}

static void check(const struct sleeper *v, size_t n)
{
	struct kp_pool *p;

	assert_int_equal(kp_pool_new(&p), 0);
	for (size_t i = 0; i < n; i++)
		for (int offsets = 0; offsets < 2; offsets++) {
			enum kc_class got = kc_class_of_stack(stack_of(p, v[i].frames, offsets));

			if (got != v[i].class)
				fail_msg("%s: %s, not %s", v[i].frames, kc_class_name(got), kc_class_name(v[i].class));
		}
	kp_pool_free(p);
}

static void kernel_6_18(void **state) { check(v6_18, sizeof(v6_18) / sizeof(*v6_18)); }
static void kernel_6_1(void **state) { check(v6_1, sizeof(v6_1) / sizeof(*v6_1)); }
static void kernel_5_15(void **state) { check(v5_15, sizeof(v5_15) / sizeof(*v5_15)); }

/* Whatever stands in a stack is compared, and no more. */
static void odd_stacks(void **state)
{
	struct kp_pool *p;

	assert_int_equal(kp_pool_new(&p), 0);
	assert_int_equal(kc_class_of_stack(NULL), KC_W_UNKNOWN);
	assert_int_equal(kc_class_of_stack(stack_of(p, "", false)), KC_W_UNKNOWN);
	assert_int_equal(kc_class_of_stack(stack_of(p, "ep_poll_callback 0x7f001234 + . [x]", false)), KC_W_UNKNOWN);
	assert_int_equal(kc_class_of_stack(stack_of(p, "my_pipe_read pipe_reader", false)), KC_W_UNKNOWN);
	kp_pool_free(p);
}

/* Each symbol stands once: a second row would never be looked at. */
static void table_is_unambiguous(void **state)
{
	static const char *const sym[] = {
#define KC_FRAME(s, class, rank) s,
#include "causal/frames.def"
#undef KC_FRAME
	};
	size_t n = sizeof(sym) / sizeof(*sym);

	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			assert_string_not_equal(sym[i], sym[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_6_18), cmocka_unit_test(kernel_6_1), cmocka_unit_test(kernel_5_15), cmocka_unit_test(odd_stacks),
		cmocka_unit_test(table_is_unambiguous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
