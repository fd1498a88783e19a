/* SPDX-License-Identifier: BSD-2-Clause */
#include <kp/util.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

struct name { int64_t v; const char *name; };

static const struct name ctx_names[] = { { 0, "task" }, { 1, "softirq" }, { 2, "hardirq" }, { 0 } };

static const struct name tcp_names[] = {
	{ TCP_ESTABLISHED, "ESTABLISHED" }, { TCP_SYN_SENT, "SYN_SENT" }, { TCP_SYN_RECV, "SYN_RECV" },
	{ TCP_FIN_WAIT1, "FIN_WAIT1" }, { TCP_FIN_WAIT2, "FIN_WAIT2" }, { TCP_TIME_WAIT, "TIME_WAIT" },
	{ TCP_CLOSE, "CLOSE" }, { TCP_CLOSE_WAIT, "CLOSE_WAIT" }, { TCP_LAST_ACK, "LAST_ACK" },
	{ TCP_LISTEN, "LISTEN" }, { TCP_CLOSING, "CLOSING" }, { 12, "NEW_SYN_RECV" }, { 0 },
};

static const struct name sock_names[] = {
	{ AF_UNSPEC, "AF_UNSPEC" }, { AF_UNIX, "AF_UNIX" }, { AF_INET, "AF_INET" }, { AF_INET6, "AF_INET6" },
	{ AF_NETLINK, "AF_NETLINK" }, { AF_PACKET, "AF_PACKET" }, { AF_ALG, "AF_ALG" }, { AF_VSOCK, "AF_VSOCK" },
	{ AF_XDP, "AF_XDP" }, { AF_KEY, "AF_KEY" }, { 0 },
};

static const struct name futex_names[] = {
	{ FUTEX_WAIT, "FUTEX_WAIT" }, { FUTEX_WAKE, "FUTEX_WAKE" }, { FUTEX_REQUEUE, "FUTEX_REQUEUE" },
	{ FUTEX_CMP_REQUEUE, "FUTEX_CMP_REQUEUE" }, { FUTEX_WAKE_OP, "FUTEX_WAKE_OP" },
	{ FUTEX_LOCK_PI, "FUTEX_LOCK_PI" }, { FUTEX_UNLOCK_PI, "FUTEX_UNLOCK_PI" },
	{ FUTEX_TRYLOCK_PI, "FUTEX_TRYLOCK_PI" }, { FUTEX_WAIT_BITSET, "FUTEX_WAIT_BITSET" },
	{ FUTEX_WAKE_BITSET, "FUTEX_WAKE_BITSET" }, { FUTEX_WAIT_REQUEUE_PI, "FUTEX_WAIT_REQUEUE_PI" },
	{ FUTEX_CMP_REQUEUE_PI, "FUTEX_CMP_REQUEUE_PI" }, { FUTEX_LOCK_PI2, "FUTEX_LOCK_PI2" }, { 0 },
};

/* Flags of several bits stand before those they contain. */
static const struct name open_names[] = {
	{ O_TMPFILE, "O_TMPFILE" }, { O_SYNC, "O_SYNC" }, { O_CREAT, "O_CREAT" }, { O_EXCL, "O_EXCL" },
	{ O_NOCTTY, "O_NOCTTY" }, { O_TRUNC, "O_TRUNC" }, { O_APPEND, "O_APPEND" }, { O_NONBLOCK, "O_NONBLOCK" },
	{ O_DSYNC, "O_DSYNC" }, { O_ASYNC, "O_ASYNC" }, { O_DIRECT, "O_DIRECT" }, { 0100000, "O_LARGEFILE" },
	{ O_DIRECTORY, "O_DIRECTORY" }, { O_NOFOLLOW, "O_NOFOLLOW" }, { O_NOATIME, "O_NOATIME" },
	{ O_CLOEXEC, "O_CLOEXEC" }, { O_PATH, "O_PATH" }, { 0 },
};

static const struct name *table(uint8_t unit)
{
	switch (unit) {
	case KP_U_CTX: return ctx_names;
	case KP_U_TCP: return tcp_names;
	case KP_U_SOCK: return sock_names;
	case KP_U_FUTEX: return futex_names;
	default: return NULL;
	}
}

static const char *name_of(const struct name *t, int64_t v)
{
	for (; t->name; t++)
		if (t->v == v)
			return t->name;
	return NULL;
}

bool kp_unit_signed(uint8_t unit)
{
	return unit == KP_U_INT || unit == KP_U_ERR || unit == KP_U_OFF || unit == KP_U_ID;
}

char kp_state_letter(uint64_t state)
{
	static const char letter[] = "SDTtXZP";

	if (!state)
		return 'R';
	if ((state & 0x402) == 0x402)	/* uninterruptible, but no load: an idle kernel thread */
		return 'I';
	for (int i = 0; letter[i]; i++)
		if (state & (1u << i))
			return letter[i];
	return state & 0x8000 ? 'F' : '?';	/* frozen */
}

bool kp_failed(const struct kp_kind *k, int64_t ret)
{
	if (ret >= 0 || ret < -4095 || !k)
		return false;
	return k->ret_unit == KP_U_ERR || k->ret_unit == KP_U_FD || k->ret_unit == KP_U_TID ||
	       k->ret_unit == KP_U_HEX;
}

static int put_open(struct kp_buf *b, uint64_t v)
{
	static const char *const mode[] = { "O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE" };

	kp_buf_str(b, mode[v & O_ACCMODE]);
	v &= ~(uint64_t)O_ACCMODE;
	for (const struct name *n = open_names; n->name; n++) {
		if ((v & n->v) != (uint64_t)n->v)
			continue;
		v &= ~(uint64_t)n->v;
		kp_buf_char(b, '|');
		kp_buf_str(b, n->name);
	}
	if (!v)
		return b->err;
	kp_buf_char(b, '|');
	return kp_buf_hex(b, v);
}

static int put_futex(struct kp_buf *b, uint64_t v)
{
	const char *s = name_of(futex_names, v & FUTEX_CMD_MASK);

	if (!s)
		return kp_buf_hex(b, v);
	kp_buf_str(b, s);
	if (v & FUTEX_PRIVATE_FLAG)
		kp_buf_str(b, "|PRIVATE");
	return v & FUTEX_CLOCK_REALTIME ? kp_buf_str(b, "|REALTIME") : b->err;
}

static int put_octal(struct kp_buf *b, uint64_t v)
{
	char d[24], *p = d + sizeof(d);

	do {
		*--p = '0' + (v & 7);
		v >>= 3;
	} while (v);
	*--p = '0';
	return kp_buf_add(b, p, d + sizeof(d) - p);
}

static int put_error(struct kp_buf *b, int64_t v)
{
	const char *s = v < 0 && v >= -4095 ? strerrorname_np(-v) : NULL;

	/* what a signal interrupts and the kernel starts again; user space has no names for these */
	if (v <= -512 && v >= -516) {
		static const char *const restart[] = { "ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND", "ENOIOCTLCMD",
						       "ERESTART_RESTARTBLOCK" };
		s = restart[-v - 512];
	}
	if (!s)
		return kp_buf_i64(b, v);
	kp_buf_char(b, '-');
	return kp_buf_str(b, s);
}

static int put_signal(struct kp_buf *b, uint64_t v)
{
	const char *s = v < 65 ? sigabbrev_np((int)v) : NULL;

	if (!s)
		return kp_buf_u64(b, v);
	kp_buf_str(b, "SIG");
	return kp_buf_str(b, s);
}

int kp_unit_put(struct kp_buf *b, uint8_t unit, uint64_t v)
{
	const struct name *t = table(unit);
	const char *s;
	char d[32];

	switch (unit) {
	case KP_U_HEX: case KP_U_PTR: case KP_U_STR: case KP_U_GFP: return kp_buf_hex(b, v);
	case KP_U_NS: return kp_buf_str(b, kp_fmt_dur(d, v));
	case KP_U_ERR: return put_error(b, (int64_t)v);
	case KP_U_FD: case KP_U_TID:
		if (unit == KP_U_FD && (int32_t)v == AT_FDCWD)
			return kp_buf_str(b, "AT_FDCWD");
		return kp_buf_i64(b, (int32_t)v);	/* an int in a register: the upper half is not promised */
	case KP_U_INT: case KP_U_OFF: case KP_U_ID: return kp_buf_i64(b, (int64_t)v);
	case KP_U_STATE: return kp_buf_char(b, kp_state_letter(v));
	case KP_U_SIG: return put_signal(b, v);
	case KP_U_MODE: return put_octal(b, v);
	case KP_U_OPEN: return put_open(b, v);
	case KP_U_FUTEX: return put_futex(b, v);
	default:
		s = t ? name_of(t, (int64_t)v) : NULL;
		return s ? kp_buf_str(b, s) : kp_buf_u64(b, v);
	}
}

static bool same(const char *a, const char *name, size_t len)
{
	return a && strlen(a) == len && !memcmp(a, name, len);
}

int kp_unit_const(uint8_t unit, const char *name, size_t len, int64_t *v)
{
	const struct name *t = table(unit);

	if (unit == KP_U_ERR) {
		if (len && *name == '-')
			name++, len--;
		for (int e = 1; e < 134; e++)
			if (same(strerrorname_np(e), name, len))
				return *v = -e, 0;
	} else if (unit == KP_U_SIG) {
		if (len > 3 && !memcmp(name, "SIG", 3))
			name += 3, len -= 3;
		for (int s = 1; s < 65; s++)
			if (same(sigabbrev_np(s), name, len))
				return *v = s, 0;
	}
	for (; t && t->name; t++)
		if (same(t->name, name, len))
			return *v = t->v, 0;
	return -ENOENT;
}
