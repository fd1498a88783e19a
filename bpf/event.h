/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What the BPF programs and the recorder say to each other: configuration,
 * records in the ring buffers, counters. Included by both sides, so only
 * fixed-size types.
 *
 * One object, bpf/kprobe.bpf.c, skeleton kprobe_bpf. Its maps:
 *
 *   rings      ARRAY_OF_MAPS, key cpu. The recorder sets max_entries to the number of possible CPUs before
 *              loading, creates a RINGBUF for each (a power of two of bytes) and puts its fd in. A CPU without
 *              a ring: every record there counts as dropped.
 *   drops      PERCPU_ARRAY of __u64, key kind: records that found no room, exactly one each. They only grow.
 *              What the kernel did not run since a program was already running on that CPU is in
 *              bpf_prog_info.recursion_misses: a loss too, of the program's kinds.
 *   shed       the same for rows left out by rec_live.shed
 *   costs      PERCPU_ARRAY[1] of struct cost
 *   excluded   HASH of __u32, key tgid: tasks that never make rows (the recorder, its pipe, its ssh ancestors)
 *   pids       HASH of __u32, key tgid: the processes wanted when cfg.filter_pid; children are added by fork
 *   counts     HASH of struct proc_count, key tgid. The recorder deletes what has exited, after its last reading.
 *   cpus       PERCPU_ARRAY[1] of struct cpu_state: time taken by interrupts
 *   gone       LRU_HASH page_key -> page_gone; max_entries is the recorder's choice (64 KiB of a file an entry)
 *   tasks      task storage; others are for the programs alone
 *
 * Global data: `cfg` in .rodata (before loading), `live` and `sys_info` in .bss (any time; a changed filter,
 * `excluded` or `pids`: change the map, then live.gen++). Start with live.on = 0, attach, then set it.
 *
 * Programs are named after their tracepoint ("tp_btf/sched_switch" is sched_switch); it_tasks is the iterator.
 * Leave out those whose tracepoint the kernel has not (no btf_trace_NAME in its BTF). Which kinds each serves:
 *
 *   sys_enter sys_exit                       sys.*  (sys_enter also ends what a fault began)
 *   sched_switch                             sched.switch mm.fault fs.dirty_wait; needed by all that sleep
 *   sched_waking sched_wakeup_new            sched.wake, and the delay in sched.switch
 *   sched_migrate_task                       sched.migrate
 *   sched_process_fork sched_process_exec sched_process_exit task_rename cgroup_attach_task
 *                                            proc.*: needed always
 *   signal_generate                          sig.send
 *   sock_send_length sock_recv_length        net.send net.recv tcp.send tcp.recv; before 6.3 sys_exit makes them, of
 *                                            the calls whose sys_info.want is set
 *   inet_sock_set_state                      tcp.state tcp.connect tcp.accept
 *   tcp_retransmit_skb tcp_send_reset tcp_receive_reset   tcp.retransmit tcp.reset
 *   block_io_start block_rq_insert block_rq_issue block_rq_complete block_rq_merge block_rq_requeue
 *                                            blk.read blk.write blk.flush blk.discard
 *   block_bio_queue block_getrq              blk.bio, and the owner of what kthrotld submits
 *   page_fault_user                          mm.fault
 *   mm_vmscan_{direct,memcg}_reclaim_{begin,end} mm.reclaim;  mm_vmscan_throttled mm.throttled
 *   mark_victim mm.oom;                      mm_vmscan_kswapd_{wake,sleep} mm.kswapd
 *   mm_filemap_{delete_from,add_to}_page_cache            mm.refault, counts
 *   rss_stat writeback_dirty_folio           counts only
 *   balance_dirty_pages fs.dirty_wait; jbd2_{start,end}_commit fs.commit; ext4_sync_file_{enter,exit} fs.sync
 *   contention_begin contention_end          lock.wait
 *   softirq_* irq_handler_* local_timer_* irq_work_*
 *                                            cpus; needed by sched.wake and by every row for its flags
 */
#ifndef KP_EVENT_H
#define KP_EVENT_H

/*
 * A record: the head, then nargs arguments of 8 bytes, then the extras whose
 * bits are set in `extra`, in order of the bits, each padded to 8 bytes.
 *
 * kind, end, dur, ret and the arguments are those of kinds.def and
 * syscalls.def, task is (tid, tgid, start). Arguments beyond those that the
 * kind has are for the recorder's own tables:
 *
 *   proc.fork    a1, a2: ns_tid, ns_tgid of the child; PEER the child, NAME its comm
 *   proc.exec    a0, a1: ns_tid, ns_tgid; ret the old tid (another thread than the leader has called exec);
 *                NAME the new comm, STR the path as given to exec
 *   proc.exit    a2: 1 when it was the last thread; NAME
 *   proc.comm    STR the new name (NAME too)
 *   proc.cgroup  ret: id of the hierarchy (as in /proc/cgroups; 0 is version 2); STR the path. Threads of
 *                the process move with it when a0 is 1
 * Those five come for every task, wanted or not: EVF_TABLE says that the row is not to be written.
 *
 *   sys.*        FILE: what the descriptor named (the new one where the result is one). Where a path is an
 *                argument: STR instead (where it could be read), FILE only for a new descriptor, or when the path
 *                is empty and the descriptor meant (AT_EMPTY_PATH). SOCK: where sys_info.sock.
 *                The row comes at the exit; a call that began before the recording, and exit and exit_group
 *                (see proc.exit), give none. Of an execve that succeeded the arguments are gone:
 *                its path is in the proc.exec right before it. The low bits of flags are kp_row.flags.
 *                STACK: user frames of the caller, when it took stack_min or longer.
 *   sched.switch PEER next; tid EV_NOBODY: who had the CPU before is not told (some kernels hide switches away from
 *                some tasks); that another has it now was seen when its system call ended
 *                            sched.wake   PEER waker, STACK sleeper, STACK2 waker: only with SLOW or SAMPLED
 *   sig.send     PEER target
 *   net.* tcp.*  SOCK; DATA: tag is the number of bytes that the call moved (len of them follow)
 *   blk.*        FILE: dev of the disk, mode S_IFBLK; a row comes at the completion, so end is later than
 *                the task's own last row. ret: 0 or -errno
 *   mm.fault     one row a sleep in the fault (a0..a2 alike): their durs add up
 *   mm.refault   PEER who evicted, FILE the file (mode 0: unknown); dur: from the first page to the end
 *   mm.oom       PEER the victim, NAME its comm
 *   Stacks of the present task (the waker's, lock.wait) begin with the tracing itself: leave out all down to
 *   the last bpf_trace_run*, __bpf_trace_*, __traceiter_*.
 *   fs.*         FILE     lock.wait    PEER the owner, STACK the waiter
 *
 * In one ring records come in order of their end but for some microseconds (an interrupt between reading the
 * clock and taking the room). Rings of different CPUs are merged by the recorder.
 */
struct ev_head {
	__u16 kind;
	__u8 nargs, extra;
	__u16 flags;		/* the low 16 bits of kp_row.flags, and EVF_* */
	__u16 cpu;
	__u64 end, dur;
	__u32 tid, tgid;
	__u64 start;		/* of the task: CLOCK_BOOTTIME */
	__s64 ret;
};

enum { EV_NOBODY = 0xffffffffu };	/* as a tid: of no task */

struct ev_peer { __u32 tid, tgid; __u64 start; };
struct ev_file { __u32 dev, mode; __u64 ino; };	/* dev: major << 20 | minor */
struct ev_sock {
	__u32 dev;
	__u16 lport, rport;	/* host order */
	__u8 family, proto, type, pad;
	__u32 pad2;
	__u64 ino;		/* 0: no socket yet (a connection that waits for accept) */
	__u8 laddr[16], raddr[16]; /* IPv4 in the first four bytes */
};
struct ev_bytes { __u32 len, tag; };	/* len bytes follow, padded; tag: see the kinds, else 0 */
struct ev_stack { __u32 n, user; };	/* n addresses follow, innermost first; user 1: of the program */
struct ev_name { char comm[16]; };

enum {	/* ev_head.extra: struct ev_peer, ev_file, ev_sock, ev_bytes, ev_bytes, ev_stack, ev_stack, ev_name */
	EX_PEER = 1, EX_FILE = 2, EX_SOCK = 4, EX_STR = 8, EX_DATA = 16, EX_STACK = 32, EX_STACK2 = 64, EX_NAME = 128,
};
enum { EV_ARGS = 6, EV_STR = 256, EV_DATA = 4096, EV_FRAMES = 32 };
enum { EVF_TABLE = 1 << 15 };	/* ev_head.flags: only for the recorder's tables, not a row */

enum { EV_MAX_KIND = 8192 };

/* Why a task's rows are wanted, in struct task_state.want. */
enum { WANT_UNKNOWN, WANT_YES, WANT_NO, WANT_EXCLUDED };

/*
 * rec_live.shed: successful calls below rec_cfg.call_short become count.sys; switches and wakes of less than SWITCH_SHORT, and
 * messages whose call took less than CALL_SHORT, are counted in the map shed.
 */
enum { SHED_CALLS = 1, SHED_SWITCHES = 2, SHED_MESSAGES = 4 };
enum { CALL_SHORT = 1000000, SWITCH_SHORT = 100000 };

struct rec_cfg {
	__u64 min_dur;		/* ns: shorter operations give no row (sys.*, tcp.*, net.*, blk.*, fs.*, mm.fault) */
	__u64 stack_min;	/* ns: sleeps from here on get stacks; 0 never */
	__u64 blk_wait_min;	/* ns: a bio held back longer gets a row */
	__u64 lock_min;		/* ns: waits for kernel locks from here on */
	__u32 data_max;		/* bytes of a message's start to take, 0 none, EV_DATA at most */
	__u32 wake_bytes;	/* wake the consumer each time so many bytes have been written on a CPU */
	__u32 filter_pid, filter_comm, filter_cgroup, exclude; /* not 0: on; all that are on must agree */
	__u32 ncpu;
	__u32 cgroup_subsys;	/* v1: index of the controller whose cgroup is meant; ~0: the default hierarchy */
	__u64 cgroup_id;	/* kernfs id (inode number of its directory); those below it count too */
	char comm[16];
	__u32 pidns_self;
	__u32 count_mem, count_io, refault; /* which counters are wanted */
	__u32 user_stack;	/* frames of the program for slow calls */
	__u32 call_short, message_min;	/* ns: see SHED_CALLS; messages that succeeded in less give no row */
	__u32 cost;		/* time one run in COST_EVERY of all programs, see struct cost */
};

/* May be written at any time. */
struct rec_live {
	__u32 on;		/* 0: no records; state is kept all the same */
	__u32 gen;		/* counted up when filters or maps have changed */
	__u32 shed;		/* bits SHED_*: what is left out, and counted */
	__u32 sum_flush;	/* the iterator writes what the tasks have summed up: only while no program runs */
	__u32 sys_gen, sched_gen; /* counted up when these hooks were taken off: what tasks remember is stale */
	__u32 bio_owner;	/* remember who waits for which page: set when a cgroup has an I/O limit, or by the programs
				   themselves, as a kernel thread submits somebody's bio */
	__u64 since;		/* CLOCK_MONOTONIC when `on` was set: who has not been seen since then slept longer than that */
};

enum { SYS_MAX = 512 };
/*
 * Per syscall, indexed by this machine's number; the 32-bit ones (compat) from
 * SYS_MAX on. All zero is a call that nobody wants.
 */
struct sys_info {
	__u8 want, nargs;
	__s8 fdarg, strarg;	/* -1 none */
	__u8 retfd;		/* the result is a descriptor */
	__u8 enter_fd;		/* the descriptor is gone at the exit (close) */
	__s8 bufarg;		/* where a message's bytes are, -1 none */
	__u8 bufkind;		/* 0: an address, 1: struct iovec[], 2: struct msghdr */
	__u16 nr;		/* x86-64 number: the kind is KP_K_SYS + nr */
	__u8 sock;		/* add the socket's addresses (connect, accept, bind, listen) */
	__u8 keep;		/* tells what descriptors and names are: never left out */
	__u8 bytes;		/* the result is a number of bytes */
	__u8 pad[3];
};

/* Counters per process; the recorder writes the differences of what it has read. */
struct proc_count {
	__u64 start;		/* of the group leader */
	__u64 filled, evicted, reclaimed, dirtied, major;
	__u64 rbytes, wbytes, tx, rx, cpu;
	__s64 anon;		/* pages, as last seen */
	__u64 anon_seen;	/* anon has been set */
};

struct cpu_state {
	__u64 hard_ns, soft_ns;	/* so far */
	__u64 hard_at, soft_at;	/* inside one since, 0 not */
	__u64 queued;		/* bytes since the consumer was woken */
	__u64 switch_at;	/* when its task changed last */
};

/*
 * What the programs take, by what they are for: the times of one run in COST_EVERY (a prime: calls come in patterns).
 * One that took longer than COST_MAX_NS was interrupted.
 */
enum { COST_REST, COST_SYS, COST_SCHED, COST_NET, COST_MEM, COST_CLASSES };
enum { COST_EVERY = 127, COST_MAX_NS = 50000 };
struct cost { __u64 runs[COST_CLASSES], ns[COST_CLASSES], until; };

/* 16 pages of a file, and in whose context those in the mask have left memory last. */
struct page_key { __u64 ino, index; __u32 dev, pad; };
struct page_gone { __u64 ts, start; __u32 tid, tgid; __u16 how, mask; __u32 pad; };

/* What the task iterator writes, one a task; only nframes of the frames are set, all are written. */
struct it_task {
	__u32 tid, tgid, ns_tid, ns_tgid;
	__u64 start, now;
	__u32 ppid;		/* tgid of the parent */
	__u32 at_least;		/* set by the recorder: sys_start is not when the call began, but as far back as is known */
	__u64 pstart;
	__u32 state, flags;	/* task state; PF_* */
	__s32 nice; __u32 policy;
	__u64 utime, anon, file;
	char comm[16];
	__u64 off_since;	/* asleep since, 0 unknown or not */
	__u64 sys_start;	/* inside a call since, 0: since before it could be seen */
	__s64 sys_nr;		/* x86-64 number; -1: not in a call */
	__u64 a[EV_ARGS];
	__u32 nframes, fdmode;	/* frames: kernel stack of a task that sleeps, its call's descriptor */
	__u32 fddev, want;
	__u64 fdino;
	__u64 frame[EV_FRAMES];
};

#endif
