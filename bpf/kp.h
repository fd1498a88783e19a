/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Kernel types that the programs look into, by name only: the loader finds
 * their true offsets (CO-RE), so building needs no BTF of the building machine.
 * A suffix ___x is the same type as another kernel version has it.
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
	BPF_ANY = 0, BPF_NOEXIST = 1, BPF_F_NO_PREALLOC = 1, BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
	BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2, BPF_F_USER_STACK = 1 << 8,
};

struct task_struct;
struct bpf_map;
struct sockaddr;
struct sock;
struct tcp_sock;
struct seq_file;

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head { struct list_head *next; };
typedef struct { int counter; } atomic_t;
typedef struct { __s64 counter; } atomic64_t;

struct thread_info { __u32 status, cpu; };
struct upid { int nr; };
struct pid { unsigned int level; struct upid numbers[1]; };

struct kernfs_node { __u64 id; };
struct cgroup;
struct cgroup_subsys_state { struct cgroup *cgroup; struct cgroup_subsys_state *parent; };
struct cgroup_root { int hierarchy_id; };
struct cgroup { struct cgroup_subsys_state self; struct kernfs_node *kn; struct cgroup_root *root; };
struct css_set { struct cgroup_subsys_state *subsys[16]; struct cgroup *dfl_cgrp; };

struct percpu_counter { __s64 count; };
struct mm_struct { struct percpu_counter rss_stat[4]; struct task_struct *owner; };
struct mm_rss_stat { atomic64_t count[4]; };		/* before 6.2 */
struct mm_struct___old { struct mm_rss_stat rss_stat; };

struct super_block { unsigned int s_dev; unsigned long s_magic; };
struct inode { __u16 i_mode; struct super_block *i_sb; unsigned long i_ino; };
struct address_space { struct inode *host; };
struct file { struct inode *f_inode; void *private_data; };
struct fdtable { unsigned int max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };

struct signal_struct { atomic_t live; short oom_score_adj; };

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	unsigned int flags;
	int on_cpu, exit_code, static_prio;
	unsigned int policy;
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

struct task_struct___cpu { unsigned int cpu; };	/* before 5.16 */

#if defined(__TARGET_ARCH_x86)
struct pt_regs { unsigned long di, si, dx, r10, r8, r9, bx, cx, bp, ip, orig_ax, ax; };
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs { __u64 regs[31], sp, pc, pstate, orig_x0; int syscallno; };
#endif

struct page { unsigned long flags; };
struct folio { struct address_space *mapping; unsigned long index; unsigned long flags, _flags_1; unsigned int _nr_pages; };
struct folio___memdesc { struct { unsigned long f; } flags; };	/* from 6.18 on */
struct folio___order { unsigned char _folio_order; unsigned int _folio_nr_pages; };	/* before 6.6 */

struct in6_addr { union { __u8 u6_addr8[16]; } in6_u; };
struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned long skc_flags;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};
struct socket { short type; struct sock *sk; };
struct socket_alloc { struct socket socket; struct inode vfs_inode; };
struct sock { struct sock_common __sk_common; __u16 sk_type, sk_protocol; int sk_err; struct socket *sk_socket; };
struct tcp_skb_cb { __u32 seq; };
struct tcp_sock { __u32 copied_seq, write_seq, rcv_nxt, snd_una; };
struct sk_buff { char cb[48]; };

struct gendisk { int major, first_minor; };
struct block_device { unsigned int bd_dev; struct gendisk *bd_disk; };
struct bvec_iter { unsigned long bi_sector; unsigned int bi_size; };
struct bio_vec { struct page *bv_page; };
struct bio {
	struct block_device *bi_bdev;
	unsigned int bi_opf;
	struct bvec_iter bi_iter;
	void *bi_end_io, *bi_private;
	struct bio_vec *bi_io_vec;
};
struct iomap_dio { union { struct { struct task_struct *waiter; } submit; }; };
struct request_queue { struct gendisk *disk; };
struct request {
	struct request_queue *q;
	unsigned int cmd_flags, __data_len;
	unsigned long __sector;
	struct bio *bio;
};

struct dirty_throttle_control { unsigned long dirty, limit; };
struct trace_event_raw_balance_dirty_pages { unsigned long wb_setpoint; };	/* bdi_setpoint where it has other arguments */
struct trace_event_raw_sock_msg_length { int ret; };	/* sock_send_length and sock_recv_length, from 6.3 on */
struct trace_event_raw_mark_victim { unsigned int uid; };
struct device { unsigned int devt; };
struct backing_dev_info { struct device *owner; };
struct bdi_writeback { struct backing_dev_info *bdi; };
struct journal_s { struct block_device *j_fs_dev; };
struct transaction_s { unsigned int t_tid; };
struct rw_semaphore { atomic64_t owner; };
struct mutex { atomic64_t owner; };
struct kernel_siginfo { int si_code; };
struct linux_binprm { const char *filename; };

struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; };
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; };

#pragma clang attribute pop

/* What a bio of direct I/O calls at its end: by it we know what bi_private is. */
extern const void iomap_dio_bio_end_io __ksym __weak;

/* Of the program interface, the same everywhere. */
struct iovec { void *iov_base; unsigned long iov_len; };
struct user_msghdr { void *msg_name; int msg_namelen; struct iovec *msg_iov; unsigned long msg_iovlen; };

enum pageflags { PG_head = 0 };
enum sock_flags { SOCK_DONE = 1 };
enum special_kfunc_type { KF_bpf_rdonly_cast = 0 };
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

#define PF_KSWAPD	0x00020000
#define PF_MEMALLOC	0x00000800
#define PF_KTHREAD	0x00200000
#define TASK_UNINTERRUPTIBLE 2
#define TASK_DEAD	0x80
#define TS_COMPAT	2
#define S_IFMT		0170000
#define S_IFSOCK	0140000
#define S_IFBLK		0060000
#define PROC_SUPER_MAGIC 0x9fa0
#define MSG_PEEK	2
#define EAGAIN		11
#define EIO		5
#define ECANCELED	125

#include "event.h"

/* Kinds, from the same tables as everybody's. */
enum {
#define KP_KIND(id, sym, name, args, ret, help) KP_K_##sym = (id),
#include <kp/kinds.def>
#undef KP_KIND
	KP_K_SYS = 4096,
#define KP_SYSCALL(nr, name, args, ret, fdarg) NR_##name = (nr),
#include <kp/syscalls.def>
#undef KP_SYSCALL
};

/* kp_row.flags, see kp/row.h */
enum { F_TRUNCATED = 1 << 2, F_SAMPLED = 1 << 3, F_COMPAT = 1 << 4, F_SOFTIRQ = 1 << 6, F_HARDIRQ = 1 << 7, F_KERNEL = 1 << 8, F_SLOW = 1 << 10 };

#endif
