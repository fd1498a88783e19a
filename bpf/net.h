/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* net.*, tcp.*: messages with their place in the stream, and the life of connections. */

enum { AF_INET = 2, AF_INET6 = 10, IPPROTO_TCP = 6 };
enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_SYN_RECV = 3, TCP_TIME_WAIT = 6, TCP_CLOSE = 7, TCP_LISTEN = 10, TCP_NEW_SYN_RECV = 12 };

/*
 * What is remembered of a TCP socket: whose it is, for the rows that interrupts write. The key is its address;
 * for a listener its port, too, since the connections that come to it are made in interrupts.
 */
struct sock_state { __u64 since, opened; struct ev_peer owner; __u32 want, pad; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct sock_state);
} socks SEC(".maps");

/* sk may have been read from memory: no direct loads. */
static __always_inline void fill_sock(struct ev_sock *e, const struct sock *sk)
{
	const struct socket *so;
	const struct socket_alloc *sa;
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);
	__be32 v4[2];

	__builtin_memset(e, 0, sizeof *e);
	e->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (e->family == AF_INET || e->family == AF_INET6) {
		e->lport = BPF_CORE_READ(sk, __sk_common.skc_num);
		e->rport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	}
	if (e->family == AF_INET) {
		v4[0] = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		v4[1] = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		__builtin_memcpy(e->laddr, &v4[0], 4);
		__builtin_memcpy(e->raddr, &v4[1], 4);
	} else if (e->family == AF_INET6) {
		BPF_CORE_READ_INTO(&e->laddr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&e->raddr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV) {
		e->proto = IPPROTO_TCP;	/* a small socket: it has no more than the addresses */
		return;
	}
	e->proto = BPF_CORE_READ(sk, sk_protocol);
	e->type = BPF_CORE_READ(sk, sk_type);
	so = BPF_CORE_READ(sk, sk_socket);
	if (so) {
		sa = (const void *)((const char *)so - bpf_core_field_offset(struct socket_alloc, socket));
		e->ino = BPF_CORE_READ(sa, vfs_inode.i_ino);
		e->dev = BPF_CORE_READ(sa, vfs_inode.i_sb, s_dev);
	}
}

static __always_inline __u32 put_sock_of_file(struct scratch *s, __u32 off, const struct file *f)
{
	const struct socket *so = BPF_CORE_READ(f, private_data);
	const struct file *self = f;
	__u16 mode = BPF_CORE_READ(self, f_inode, i_mode);
	struct ev_sock *e = (void *)(s->b + (off & 255));

	if ((mode & S_IFMT) == S_IFSOCK)
		fill_sock(e, BPF_CORE_READ(so, sk));
	else
		__builtin_memset(e, 0, sizeof *e);
	return off + sizeof *e;
}

/* Where the present call has its bytes: what is at the address, or in the first pieces of a vector. */
static __always_inline __u32 put_pieces(struct scratch *s, __u32 off, const struct iovec *iov, __u64 n, __u32 want)
{
	struct iovec v;
	__u32 got = 0, len;

	for (int i = 0; i < 4 && i < n && got < want; i++) {
		if (bpf_probe_read_user(&v, sizeof v, iov + i))
			break;
		len = v.iov_len < want - got ? v.iov_len : want - got;
		barrier_var(len);	/* the masks are for the verifier: keep them */
		barrier_var(got);
		len &= EV_DATA - 1;
		got &= EV_DATA - 1;
		if (bpf_probe_read_user(s->b + (off & 255) + got, len, v.iov_base))
			break;
		got += len;
	}
	return got;
}

/* The first bytes of a message of n bytes into the record; returns how many. */
static __always_inline __u32 put_data(struct scratch *s, __u32 off, struct task_struct *p, struct task_state *t, __u32 want)
{
	__u32 nr = call_nr(p);
	struct sys_info *si = info_of(nr);
	struct user_msghdr m;
	__u64 at;

	if (si->bufarg < 0 || nr >= SYS_MAX || p->flags & PF_KTHREAD)
		return 0;
	at = sys_arg((struct pt_regs *)bpf_task_pt_regs(p), si->bufarg, false);
	if (si->bufkind == 0) {
		barrier_var(want);
		want &= EV_DATA - 1;
		return bpf_probe_read_user(s->b + (off & 255), want, (void *)at) ? 0 : want;
	}
	if (si->bufkind == 1)
		return put_pieces(s, off, (const void *)at, 4, want);
	if (bpf_probe_read_user(&m, sizeof m, (void *)at))
		return 0;
	return put_pieces(s, off, m.msg_iov, m.msg_iovlen, want);
}

static __noinline int write_message(struct sock *sk, int ret, bool send)
{
	struct task_struct *p = me();
	struct task_state *t;
	struct tcp_sock *tcp = NULL;
	__u64 now = bpf_ktime_get_ns(), began;
	__u32 kind, off, want, got;
	struct scratch *s;
	struct ev_head *h;
	struct ev_bytes *d;
	__u64 *a;

	if (!(t = wanted_me(p)))
		return 0;
	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP && (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET ||
							   BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6))
		tcp = (struct tcp_sock *)sk;
	kind = tcp ? send ? KP_K_TCP_SEND : KP_K_TCP_RECV : send ? KP_K_NET_SEND : KP_K_NET_RECV;
	began = entered(t);
	if (!began)
		began = now;
	if (now - began < cfg.min_dur || (ret >= 0 && now - began < cfg.message_min) || shed_message(now - began, ret, kind) || !(s = scratch(SCRATCH_TASK)))
		return 0;
	h = (void *)s->b;
	a = (void *)(h + 1);
	head(h, kind, tcp ? 2 : 0, EX_SOCK, irq_flags(), now, now - began, p);
	h->ret = ret;
	off = sizeof *h;
	if (tcp) {
		__u32 copied = BPF_CORE_READ(tcp, copied_seq), written = BPF_CORE_READ(tcp, write_seq);
		__u32 unread = BPF_CORE_READ(tcp, rcv_nxt) - copied;

		/* The end of the stream counts as a byte for TCP, but the sender's position has none for it. */
		if (!send && !unread && BPF_CORE_READ(sk, __sk_common.skc_flags) >> bpf_core_enum_value(enum sock_flags, SOCK_DONE) & 1)
			copied--;
		a[0] = send ? written : copied;
		a[1] = send ? written - BPF_CORE_READ(tcp, snd_una) : unread;
		off += 16;
	}
	fill_sock((void *)(s->b + off), sk);
	off += sizeof(struct ev_sock);
	if (cfg.data_max && ret > 0) {
		want = ret < cfg.data_max ? ret : cfg.data_max;
		if (want > EV_DATA - 1)
			want = EV_DATA - 1;
		got = put_data(s, off + sizeof *d, p, t, want) & (EV_DATA - 1);
		if (got) {
			d = (void *)(s->b + (off & 255));
			d->len = got;
			d->tag = ret;
			h->extra |= EX_DATA;
			if (got < ret)
				h->flags |= F_TRUNCATED;
			off += sizeof *d + ((got + 7) & ~7u);
		}
	}
	emit(s->b, off & 8191 & ~7u, kind);
	return 0;
}

static __always_inline void count_bytes(int n, bool send)
{
	struct proc_count *c;

	if (n <= 0 || !cfg.count_io || !(c = count_of(me())))
		return;
	if (send)
		__sync_fetch_and_add(&c->tx, n);
	else
		__sync_fetch_and_add(&c->rx, n);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send_length, struct sock *sk, int ret, int flags)
{
	count_bytes(ret, true);
	if (live.on && ret != -EAGAIN)
		write_message(sk, ret, true);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv_length, struct sock *sk, int ret, int flags)
{
	if (flags & MSG_PEEK)
		return 0;
	count_bytes(ret, false);
	if (live.on && ret != -EAGAIN)
		write_message(sk, ret, false);
	return 0;
}

/*
 * Before 6.3 no tracepoint tells of messages: the calls that send and receive are looked at when they return.
 * What several of them move at once (sendmmsg) and what io_uring does is missing there.
 */
static __noinline int message_by_call(struct task_struct *p, const struct pt_regs *regs, __u32 nr, long ret)
{
	const struct file *f;
	struct socket *so;
	__u32 flags = 0;
	bool send = false;

	switch (nr) {
	case NR_write: case NR_writev: case NR_sendto: case NR_sendmsg: case NR_sendfile:
		send = true;
		break;
	case NR_recvfrom:
		flags = sys_arg(regs, 3, false);
		break;
	case NR_recvmsg:
		flags = sys_arg(regs, 2, false);
		break;
	case NR_read: case NR_readv:
		break;
	default:
		return 0;
	}
	if (ret == -EAGAIN || flags & MSG_PEEK || is_compat(p) || !(f = file_at(p, sys_arg(regs, 0, false))) ||
	    (BPF_CORE_READ(f, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	so = BPF_CORE_READ(f, private_data);
	count_bytes(ret, send);
	return write_message(BPF_CORE_READ(so, sk), ret, send);
}

/* Is a row about sk wanted that the present task may have nothing to do with? */
static __always_inline bool wanted_sock(const struct sock *sk, struct task_struct *p, __u16 irq)
{
	__u64 key = (__u64)sk;
	struct sock_state *k = NULL;

	if (!live.on)
		return false;
	if (any_filter() || cfg.exclude)
		k = bpf_map_lookup_elem(&socks, &key);
	if (!k && irq && any_filter()) {
		key = BPF_CORE_READ(sk, __sk_common.skc_num);
		k = bpf_map_lookup_elem(&socks, &key);
	}
	if (k)
		return k->want;
	return irq ? !any_filter() : wanted_any(p, 0);
}

struct rec_sock { struct ev_head h; __u64 a[2]; struct ev_sock sock; };

static __always_inline void write_connection(const struct sock *sk, __u32 kind, __u64 now, __u64 began, struct ev_peer *who, __u16 flags, int ret)
{
	struct { struct ev_head h; struct ev_sock sock; } r;

	head(&r.h, kind, 0, EX_SOCK, flags, now, now - began, me());
	if (who) {
		r.h.tid = who->tid;
		r.h.tgid = who->tgid;
		r.h.start = who->start;
		r.h.flags &= ~(F_SOFTIRQ | F_HARDIRQ);
	}
	r.h.ret = ret;
	fill_sock(&r.sock, sk);
	emit(&r, sizeof r, kind);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(inet_sock_set_state, const struct sock *sk, int old, int new)
{
	struct task_struct *p = me();
	__u64 now = bpf_ktime_get_ns(), key = (__u64)sk;
	__u16 irq = irq_flags();
	struct sock_state *k, fresh = { .since = now };
	struct rec_sock r;
	bool want;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	k = bpf_map_lookup_elem(&socks, &key);
	want = wanted_sock(sk, p, irq);
	if (want && new != old) {
		head(&r.h, KP_K_TCP_STATE, 2, EX_SOCK, irq, now, k ? now - k->since : 0, p);
		r.a[0] = old;
		r.a[1] = new;
		fill_sock(&r.sock, sk);
		emit(&r, sizeof r, KP_K_TCP_STATE);
	}
	if (want && k && k->opened && old == TCP_SYN_SENT)
		write_connection(sk, KP_K_TCP_CONNECT, now, k->opened, &k->owner, irq,
				 new == TCP_ESTABLISHED ? 0 : sk->sk_err ? -sk->sk_err : -ECANCELED);	/* or closed meanwhile */
	if (want && old == TCP_SYN_RECV && new == TCP_ESTABLISHED)
		write_connection(sk, KP_K_TCP_ACCEPT, now, now, NULL, irq, 0);
	if (new == TCP_LISTEN || old == TCP_LISTEN) {
		__u64 port = sk->__sk_common.skc_num;

		fresh.want = want;
		if (new == TCP_LISTEN)
			bpf_map_update_elem(&socks, &port, &fresh, BPF_ANY);
		else if (new == TCP_CLOSE)
			bpf_map_delete_elem(&socks, &port);
	}
	if (new == TCP_CLOSE) {
		bpf_map_delete_elem(&socks, &key);
	} else if (new == TCP_SYN_SENT || !k) {
		if (new == TCP_SYN_SENT)
			fresh.opened = now;
		fresh.want = want;
		peer(&fresh.owner, p);
		bpf_map_update_elem(&socks, &key, &fresh, BPF_ANY);
	} else {
		k->since = now;
	}
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit_skb, const struct sock *sk, const struct sk_buff *skb)
{
	struct task_struct *p = me();
	const struct tcp_skb_cb *cb = (const void *)&skb->cb[0];
	__u16 irq = irq_flags();
	struct rec_sock r;

	if (!wanted_sock(sk, p, irq))
		return 0;
	head(&r.h, KP_K_TCP_RETRANSMIT, 2, EX_SOCK, irq, bpf_ktime_get_ns(), 0, p);
	r.a[0] = BPF_CORE_READ(cb, seq);
	r.a[1] = sk->__sk_common.skc_state;
	fill_sock(&r.sock, sk);
	emit(&r, sizeof r, KP_K_TCP_RETRANSMIT);
	return 0;
}

static __always_inline void write_reset(const struct sock *sk, bool sent)
{
	struct { struct ev_head h; __u64 a; struct ev_sock sock; } r;
	struct task_struct *p = me();
	__u16 irq = irq_flags();

	if (!sk || !wanted_sock(sk, p, irq))
		return;
	head(&r.h, KP_K_TCP_RESET, 1, EX_SOCK, irq, bpf_ktime_get_ns(), 0, p);
	r.a = sent;
	fill_sock(&r.sock, sk);
	emit(&r, sizeof r, KP_K_TCP_RESET);
}

SEC("tp_btf/tcp_send_reset")
int BPF_PROG(tcp_send_reset, const struct sock *sk)
{
	write_reset(sk, true);
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(tcp_receive_reset, const struct sock *sk)
{
	write_reset(sk, false);
	return 0;
}
