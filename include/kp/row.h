/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The row: one event of any kind. See kp-stream(5) for how rows are stored and
 * kinds.def / syscalls.def for what the arguments of each kind mean.
 *
 * All dictionary values (task, obj, stack, strings) are interned in a struct
 * kp_pool: equal content is the same pointer, and it lives as long as the pool.
 */
#ifndef KP_ROW_H
#define KP_ROW_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Bytes from outside: no encoding is promised, not even a terminating NUL's meaning. p[len] is 0. */
struct kp_str {
	uint32_t len;
	char p[];
};

/* Controllers whose cgroup a task names; they differ under cgroup v1. */
enum kp_cg { KP_CG_UNIFIED, KP_CG_CPU, KP_CG_MEMORY, KP_CG_BLKIO, KP_CG_FREEZER, KP_CG_MAX };

/* Who. (host, tgid/tid, start) is the identity; the rest may change in a life (exec, rename). */
struct kp_task {
	uint32_t tid, tgid;
	uint64_t start;		/* ns since boot (CLOCK_BOOTTIME) at which the thread began; 0 unknown */
	uint32_t ns_tid, ns_tgid; /* the same as seen in its own pid namespace; 0 unknown */
	const struct kp_str *comm, *exe;	/* NULL unknown */
	const struct kp_str *cgroup[KP_CG_MAX];	/* path per controller, NULL unknown; v2: all equal */
	bool kthread;
};

enum kp_obj_type {
	KP_OBJ_NONE, KP_OBJ_FILE, KP_OBJ_SOCKET, KP_OBJ_PIPE, KP_OBJ_ANON /* eventfd, epoll ... */,
	KP_OBJ_DEVICE, KP_OBJ_FUTEX, KP_OBJ_CGROUP, KP_OBJ_LOCK, KP_OBJ_NAME /* just text */,
};

/* What. id: inode number, socket cookie, futex address...; dev: kernel dev_t (major << 20 | minor). */
struct kp_obj {
	uint8_t type;		/* enum kp_obj_type */
	uint8_t family;		/* AF_*; sockets only, 0 unknown */
	uint8_t proto;		/* IPPROTO_*; sockets only */
	uint16_t lport, rport;	/* host order */
	uint8_t laddr[16], raddr[16]; /* network order; IPv4 in the first 4 bytes */
	uint32_t dev;
	uint64_t id;
	const struct kp_str *name; /* path, device name, Unix socket path...; NULL none */
};

/* Frames, innermost first, each "function+0x12" or "function+0x12 [module]" or "0x7f..." */
struct kp_stack {
	uint32_t n;
	const struct kp_str *frame[];
};

enum {	/* kp_row.flags */
	KP_F_OPEN	= 1 << 0,  /* has not ended: end is when it was looked at */
	KP_F_INFERRED	= 1 << 1,  /* not seen, concluded */
	KP_F_TRUNCATED	= 1 << 2,  /* data or a name was cut */
	KP_F_SAMPLED	= 1 << 3,  /* one of many: stands for 1/p */
	KP_F_COMPAT	= 1 << 4,  /* 32-bit system call */
	KP_F_KEYFRAME	= 1 << 5,  /* belongs to a keyframe */
	KP_F_SOFTIRQ	= 1 << 6,  /* seen in a softirq: task is a bystander */
	KP_F_HARDIRQ	= 1 << 7,  /* seen in a hard interrupt: task is a bystander */
	KP_F_KERNEL	= 1 << 8,  /* on behalf of a kernel thread */
	KP_F_SANITIZED	= 1 << 9,  /* data holds only what --ids keeps, see kp-record(1) */
	KP_F_SLOW	= 1 << 10, /* crossed the threshold at which a stack is taken */
};

/* Dictionary columns added by kp-enrich. */
enum kp_ctx { KP_CTX_SERVICE, KP_CTX_OP, KP_CTX_REQUEST, KP_CTX_TRACE, KP_CTX_SPAN, KP_CTX_TXN, KP_CTX_LOG, KP_CTX_MAX };

struct kp_row {
	uint64_t end, dur;	/* ns, CLOCK_MONOTONIC of the source; start = end - dur */
	uint16_t kind;		/* id in the kind table of the built-in program; unknown ones: see kp_kinds */
	uint16_t cpu;
	uint32_t flags;
	uint32_t source;	/* index into the reader's or writer's sources */
	uint32_t data_len;
	const struct kp_task *task, *peer; /* NULL none */
	uint64_t a[6];
	int64_t ret;
	const struct kp_obj *obj;
	const struct kp_stack *stack, *stack2;
	const uint8_t *data;	/* owned by the reader's block: valid until the next row is asked for */
	const struct kp_str *ctx[KP_CTX_MAX];
};

static inline uint64_t kp_row_start(const struct kp_row *r) { return r->end - r->dur; }

#endif
