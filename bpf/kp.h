/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Kernel types that the programs look into, by name only: the loader finds
 * their true offsets (CO-RE), so building needs no BTF of the building machine.
 */
#ifndef KP_BPF_KERNEL_H
#define KP_BPF_KERNEL_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6, BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12, BPF_MAP_TYPE_RINGBUF = 27, BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum {
	BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1 << 10, BPF_LOCAL_STORAGE_GET_F_CREATE = 1, BPF_NOEXIST = 1,
	BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2, BPF_RB_AVAIL_DATA = 0, BPF_F_CURRENT_CPU = -1,
};

struct task_struct;
struct bpf_map;
struct sockaddr;

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct thread_info { __u32 status; };
struct upid { int nr; };
struct pid { unsigned int level; struct upid numbers[1]; };
struct kuid { unsigned int val; };

struct kernfs_node { __u64 id; const char *name; };
struct cgroup_root { int hierarchy_id; };
struct cgroup { int level; struct kernfs_node *kn; struct cgroup_root *root; };
struct cgroup_subsys_state { struct cgroup *cgroup; struct cgroup_subsys_state *parent; };
struct css_set { struct cgroup_subsys_state *subsys[16]; struct cgroup *dfl_cgrp; };

struct percpu_counter { __s64 count; };
struct mm_struct { struct percpu_counter rss_stat[4]; };

struct list_head { struct list_head *next; };
struct super_block { unsigned int s_dev; };
struct inode { __u16 i_mode; struct super_block *i_sb; unsigned long i_ino; };
struct address_space { struct inode *host; };
struct file { struct inode *f_inode; };
struct fdtable { unsigned int max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };

struct signal_struct { int group_exit_code; __u64 maj_flt; };

struct sched_entity { __u64 sum_exec_runtime; };

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	void *stack;
	unsigned int flags;
	int on_cpu, exit_code, static_prio;
	unsigned int policy;
	struct sched_entity se;
	struct mm_struct *mm;
	int pid, tgid;
	struct task_struct *real_parent, *group_leader;
	struct pid *thread_pid;
	__u64 utime, start_boottime;
	char comm[16];
	struct files_struct *files;
	struct signal_struct *signal;
	struct css_set *cgroups;
	unsigned long maj_flt;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs { unsigned long di, si, dx, r10, r8, r9, bx, cx, bp, ip, orig_ax, cs; };
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs { __u64 regs[31], sp, pc, pstate, orig_x0; int syscallno; };
#endif

struct page { unsigned long flags; };
struct folio { struct address_space *mapping; unsigned long index; unsigned long _flags_1; };

struct in6_addr { union { __u8 u6_addr8[16]; } in6_u; };
struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};
struct socket { short type; struct file *file; };
struct sock { struct sock_common __sk_common; __u16 sk_type, sk_protocol; struct socket *sk_socket; };
struct tcp_sock { __u32 copied_seq, write_seq, rcv_nxt, snd_una; };
struct sk_buff { unsigned int len; };
struct iovec { void *iov_base; unsigned long iov_len; };
struct user_msghdr { void *msg_name; int msg_namelen; struct iovec *msg_iov; unsigned long msg_iovlen; };

struct gendisk { int major, first_minor; };
struct block_device { unsigned int bd_dev; struct gendisk *bd_disk; };
struct bvec_iter { unsigned long bi_sector; unsigned int bi_size; };
struct bio { struct block_device *bi_bdev; unsigned int bi_opf; struct bvec_iter bi_iter; struct bio *bi_next; };
struct request_queue { struct gendisk *disk; };
struct request {
	struct request_queue *q;
	unsigned int cmd_flags, __data_len;
	unsigned long __sector;
	struct bio *bio;
	struct block_device *part;
};

struct dirty_throttle_control { unsigned long dirty, limit, thresh; };
struct device { unsigned int devt; };
struct backing_dev_info { struct device *dev; };
struct bdi_writeback { struct backing_dev_info *bdi; };
struct journal_s { struct block_device *j_fs_dev; };
struct transaction_s { unsigned int t_tid; };
struct rw_semaphore { long count; long owner; };
struct mutex { long owner; };
struct kernel_siginfo { int si_code; };
struct linux_binprm { const char *filename; };

#pragma clang attribute pop

#define PF_EXITING   0x00000004
#define PF_MEMALLOC  0x00000800
#define PF_KTHREAD   0x00200000
#define TASK_RUNNING 0

#include "event.h"

#endif
