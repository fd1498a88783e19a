/* SPDX-License-Identifier: BSD-2-Clause */
/* What was a thread asleep in? By its stack; short sleeps have none, then by the call and what went on in it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "walk.h"

#define TASK_STOPPED_BITS 0x0c	/* stopped or traced */
#define TASK_D 0x02

const struct kp_str *kc_what(struct kc_walk *k, const char *fmt, ...)
{
	char buf[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	return kp_pool_cstr(k->w->pool, buf);
}

const char *kc_sys_name(const struct kc_ev *sys)
{
	switch (sys ? sys->kind : 0) {
#define KP_SYSCALL(nr, name, args, ret, fdarg) case KP_K_SYS_##name: return #name;
#include <kp/syscalls.def>
#undef KP_SYSCALL
	}
	return "";
}

/* System calls by what they wait for when they sleep and no stack says it. */
static enum kc_class of_syscall(const struct kc_ev *s)
{
	uint8_t type = s->obj ? s->obj->type : KP_OBJ_NONE;

	switch (s->kind) {
	case KP_K_SYS_futex: case KP_K_SYS_futex_wait: case KP_K_SYS_futex_waitv:
		return KC_W_FUTEX;
	case KP_K_SYS_flock:
		return KC_W_FLOCK;
	case KP_K_SYS_fcntl:	/* F_SETLKW, F_OFD_SETLKW */
		return s->a[1] == 7 || s->a[1] == 38 ? KC_W_FLOCK : KC_W_UNKNOWN;
	case KP_K_SYS_semop: case KP_K_SYS_semtimedop:
		return KC_W_SYSV;
	case KP_K_SYS_poll: case KP_K_SYS_ppoll: case KP_K_SYS_select: case KP_K_SYS_pselect6:
	case KP_K_SYS_epoll_wait: case KP_K_SYS_epoll_pwait: case KP_K_SYS_epoll_pwait2:
		return KC_W_POLL;
	case KP_K_SYS_nanosleep: case KP_K_SYS_clock_nanosleep:
		return KC_W_TIMER;
	case KP_K_SYS_wait4: case KP_K_SYS_waitid: case KP_K_SYS_vfork:
		return KC_W_CHILD;
	case KP_K_SYS_pause: case KP_K_SYS_rt_sigsuspend: case KP_K_SYS_rt_sigtimedwait:
		return KC_W_SIGNAL;
	case KP_K_SYS_fsync: case KP_K_SYS_fdatasync: case KP_K_SYS_msync: case KP_K_SYS_sync: case KP_K_SYS_syncfs:
	case KP_K_SYS_sync_file_range:
		return KC_W_SYNC;
	case KP_K_SYS_connect:
		return KC_W_CONNECT;
	case KP_K_SYS_accept: case KP_K_SYS_accept4:
		return KC_W_ACCEPT;
	case KP_K_SYS_recvfrom: case KP_K_SYS_recvmsg: case KP_K_SYS_recvmmsg:
		return KC_W_RECV;
	case KP_K_SYS_sendto: case KP_K_SYS_sendmsg: case KP_K_SYS_sendmmsg:
		return KC_W_SEND;
	case KP_K_SYS_io_getevents: case KP_K_SYS_io_pgetevents:
		return KC_W_DIO;
	case KP_K_SYS_io_uring_enter:
		return KC_W_EVENT;
	case KP_K_SYS_read: case KP_K_SYS_pread64: case KP_K_SYS_readv: case KP_K_SYS_preadv: case KP_K_SYS_preadv2:
		return type == KP_OBJ_SOCKET ? KC_W_RECV : type == KP_OBJ_PIPE ? KC_W_PIPE :
		       type == KP_OBJ_ANON ? KC_W_EVENT : type == KP_OBJ_FILE ? KC_W_PAGE : KC_W_UNKNOWN;
	case KP_K_SYS_write: case KP_K_SYS_writev: case KP_K_SYS_pwrite64: case KP_K_SYS_pwritev: case KP_K_SYS_pwritev2:
		return type == KP_OBJ_SOCKET ? KC_W_SEND : type == KP_OBJ_PIPE ? KC_W_PIPE : KC_W_UNKNOWN;
	}
	return KC_W_UNKNOWN;
}

/* How much of the wait do rows of this kind of the thread cover? */
static uint64_t covered(struct kc_walk *k, const struct kc_wait *t, const struct kc_list *l, uint16_t kind, uint16_t kind2)
{
	const struct kc_ev *e;
	uint64_t sum = 0;

	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, l, t->from, t->to, &i)); )
		if (e->kind == kind || e->kind == kind2)
			sum += kc_overlap_ns(kc_start(e), e->t, t->from, t->to);
	return sum;
}

/* Rows say more than the call: a read that sleeps in reclaim is no read. */
static enum kc_class of_rows(struct kc_walk *k, const struct kc_wait *t)
{
	const struct kc_thread *th = &k->w->th[t->th];
	uint64_t half = (t->to - t->from) / 2;
	bool asleep_for_good = t->p->pstate & TASK_D;

	if (covered(k, t, &th->mem, KP_K_MM_RECLAIM, KP_K_MM_THROTTLED) > half)
		return KC_W_RECLAIM;
	if (covered(k, t, &th->mem, KP_K_LOCK_WAIT, KP_K_LOCK_WAIT) > half)
		return KC_W_KLOCK;
	if (covered(k, t, &th->mem, KP_K_FS_DIRTY_WAIT, KP_K_FS_DIRTY_WAIT) > half)
		return KC_W_DIRTY;
	if (!asleep_for_good)
		return KC_W_UNKNOWN;
	if (t->sys && of_syscall(t->sys) == KC_W_SYNC)
		return KC_W_SYNC;
	if (covered(k, t, &th->mem, KP_K_FS_SYNC, KP_K_FS_SYNC) > half)
		return KC_W_SYNC;
	if (covered(k, t, &th->blk, KP_K_BLK_READ, KP_K_BLK_BIO))
		return KC_W_PAGE;
	if (covered(k, t, &th->blk, KP_K_BLK_WRITE, KP_K_BLK_FLUSH))
		return KC_W_DIO;
	return KC_W_UNKNOWN;
}

static enum kc_class classify(struct kc_walk *k, struct kc_wait *t)
{
	const struct kp_stack *s = t->wake ? t->wake->stack : NULL;
	enum kc_class c = KC_W_UNKNOWN;

	if (t->p->pstate & TASK_STOPPED_BITS)
		return KC_W_STOPPED;
	if (s && s->n)
		c = kc_class_of_stack(s);
	t->by_stack = c != KC_W_UNKNOWN;
	if (c == KC_W_UNKNOWN)
		c = of_rows(k, t);
	if (c == KC_W_UNKNOWN && t->fault)
		return KC_W_PAGE;
	if (c == KC_W_UNKNOWN && t->sys)
		c = of_syscall(t->sys);
	/* uninterruptible outside of any call: a page fault whose row was too short to be written */
	if (c == KC_W_UNKNOWN && !t->sys && (t->p->pstate & TASK_D))
		c = KC_W_PAGE;
	return c;
}

void kc_wait_at(struct kc_walk *k, uint32_t th, const struct kc_piece *p, uint64_t from, uint64_t to, struct kc_wait *out)
{
	const struct kc_ev *e;

	*out = (struct kc_wait){ .th = th, .p = p, .from = from, .to = to };
	out->sys = kc_sys_at(k->w, th, p->from + 1);
	if (out->sys && out->sys->t < p->to && !(out->sys->flags & KP_F_OPEN))
		out->sys = kc_sys_at(k->w, th, p->to);
	if (p->wake != KC_NONE)
		out->wake = &k->w->ev[p->wake];
	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->th[th].mem, p->from, p->to, &i)); )
		if (e->kind == KP_K_MM_FAULT && kc_start(e) <= p->from && e->t >= p->to)
			out->fault = e;
	out->class = classify(k, out);
}

bool kc_by_task(const struct kc_walk *k, const struct kc_wait *t)
{
	const struct kc_ev *w = t->wake;

	return w && w->kind == KP_K_SCHED_WAKE && w->a[0] == 0 && w->pth != KC_NONE && w->pth != t->th &&
	       t->to == t->p->to && !kc_is_idle(k->w, w->pth);
}

bool kc_timed_out(const struct kc_wait *t)
{
	if (!t->sys || (t->sys->flags & KP_F_OPEN))
		return false;
	if (t->class == KC_W_POLL && t->sys->ret == 0)
		return true;
	return t->sys->ret == -ETIMEDOUT || (t->class == KC_W_RECV && t->sys->ret == -EAGAIN);
}
