/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets: their addresses from rows and from /proc/net. */
#include "resolve_rows.h"

struct pair { int listen, client, server; };

static struct pair connected(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	struct pair p = { .listen = socket(AF_INET, SOCK_STREAM, 0), .client = socket(AF_INET, SOCK_STREAM, 0) };

	assert_false(bind(p.listen, (struct sockaddr *)&a, n) || listen(p.listen, 1) || getsockname(p.listen, (struct sockaddr *)&a, &n));
	assert_false(connect(p.client, (struct sockaddr *)&a, n));
	p.server = accept(p.listen, NULL, NULL);
	assert_true(p.server >= 0);
	return p;
}

static void disconnect(const struct pair *p)
{
	close(p->listen);
	close(p->client);
	close(p->server);
}

/* What the kernel side would send of a socket. */
static struct ev_sock event_of(int fd)
{
	struct sockaddr_in l, r;
	socklen_t nl = sizeof(l), nr = sizeof(r);
	struct stat st;
	struct ev_sock s = { .family = AF_INET, .proto = IPPROTO_TCP, .type = SOCK_STREAM };

	assert_false(fstat(fd, &st) || getsockname(fd, (struct sockaddr *)&l, &nl) || getpeername(fd, (struct sockaddr *)&r, &nr));
	s.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	s.ino = st.st_ino;
	s.lport = ntohs(l.sin_port);
	s.rport = ntohs(r.sin_port);
	memcpy(s.laddr, &l.sin_addr, 4);
	memcpy(s.raddr, &r.sin_addr, 4);
	return s;
}

static void is_sock(const struct kp_obj *o, const struct ev_sock *s)
{
	assert_non_null(o);
	assert_int_equal(o->type, KP_OBJ_SOCKET);
	assert_int_equal(o->family, s->family);
	assert_int_equal(o->proto, s->proto);
	assert_int_equal(o->lport, s->lport);
	assert_int_equal(o->rport, s->rport);
	assert_memory_equal(o->laddr, s->laddr, 16);
	assert_memory_equal(o->raddr, s->raddr, 16);
	assert_int_equal(o->id, s->ino);
	assert_int_equal(o->dev, s->dev);
}

/* A message's row teaches the addresses to the reads and writes of the descriptor. */
static void taught_by_rows(void **state)
{
	struct fixture *f = new();
	struct ev_sock s = { .dev = 8, .family = AF_INET, .proto = IPPROTO_TCP, .ino = 123456789, .lport = 80, .rport = 4000,
			     .laddr = { 10, 0, 0, 1 }, .raddr = { 10, 0, 0, 2 } }, moved;
	const struct kp_obj *o;

	o = kp_resolve_file(f->r, 8, S_IFSOCK, s.ino, 0x7000001, 5);
	assert_int_equal(o->type, KP_OBJ_SOCKET);
	assert_int_equal(o->family, 0);
	assert_int_equal(o->id, s.ino);
	o = kp_resolve_sock(f->r, &s);
	is_sock(o, &s);
	assert_ptr_equal(kp_resolve_file(f->r, 8, S_IFSOCK, s.ino, 0x7000001, 5), o);
	assert_ptr_equal(kp_resolve_sock(f->r, &s), o);
	/* the number is another socket's now */
	moved = s;
	moved.rport = 4001;
	is_sock(kp_resolve_sock(f->r, &moved), &moved);
	is_sock(kp_resolve_file(f->r, 8, S_IFSOCK, s.ino, 0x7000001, 5), &moved);
	done(f);
}

/* In the accept queue and after close a connection has no inode: it is still the same one, until it is over. */
static void without_inode(void **state)
{
	struct fixture *f = new();
	struct ev_sock s = { .dev = 8, .family = AF_INET, .proto = IPPROTO_TCP, .ino = 1001, .lport = 80, .rport = 4000,
			     .laddr = { 10, 0, 0, 1 }, .raddr = { 10, 0, 0, 2 } }, bare = s;
	const struct kp_obj *o = kp_resolve_sock(f->r, &s);

	bare.ino = 0;
	assert_ptr_equal(kp_resolve_sock(f->r, &bare), o);
	kp_resolve_sock_closed(f->r, &bare);
	assert_int_equal(kp_resolve_sock(f->r, &bare)->id, 0);
	/* its last row comes without its port */
	s.ino = 1005;
	o = kp_resolve_sock(f->r, &s);
	s.lport = 0;
	assert_ptr_equal(kp_resolve_sock(f->r, &s), o);
	kp_resolve_sock_closed(f->r, &s);
	s.lport = 80;
	assert_int_equal(kp_resolve_sock(f->r, &bare)->id, 0);
	/* a later connection with these addresses, closed by an older one's late row: stays */
	s.ino = 1002;
	kp_resolve_sock(f->r, &s);
	s.ino = 1001;
	kp_resolve_sock_closed(f->r, &s);
	assert_int_equal(kp_resolve_sock(f->r, &bare)->id, 1002);
	done(f);
}

static void mapped_addresses(void **state)
{
	struct fixture *f = new();
	struct ev_sock s = { .dev = 8, .family = AF_INET6, .proto = IPPROTO_TCP, .ino = 7, .lport = 80, .rport = 4000,
			     .laddr = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 }, .raddr = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 2 } };
	const struct kp_obj *o = kp_resolve_sock(f->r, &s);
	static const uint8_t l[16] = { 127, 0, 0, 1 }, r[16] = { 127, 0, 0, 2 }, any[16];

	assert_int_equal(o->family, AF_INET);
	assert_memory_equal(o->laddr, l, 16);
	assert_memory_equal(o->raddr, r, 16);
	assert_ptr_equal(kp_resolve_sock(f->r, &s), o);
	memset(s.laddr, 0, 16);
	memset(s.raddr, 0, 16);
	s.ino = 8;
	o = kp_resolve_sock(f->r, &s);
	assert_int_equal(o->family, AF_INET6);
	assert_memory_equal(o->laddr, any, 16);
	s.laddr[0] = 0xfe;
	s.ino = 9;
	assert_int_equal(kp_resolve_sock(f->r, &s)->family, AF_INET6);
	done(f);
}

static void from_proc_net(void **state)
{
	struct pair p = connected();
	struct ev_sock c = event_of(p.client), s = event_of(p.server);
	struct fixture *f = new(), *g;

	kp_resolve_sock_preload(f->r);
	is_sock(kp_resolve_file(f->r, c.dev, S_IFSOCK, c.ino, getpid(), p.client), &c);
	is_sock(kp_resolve_file(f->r, s.dev, S_IFSOCK, s.ino, getpid(), p.server), &s);
	c.ino = 0;
	assert_int_equal(kp_resolve_sock(f->r, &c)->id, event_of(p.client).ino);
	done(f);
	/* and, without having been loaded before, when one is met */
	g = new();
	is_sock(kp_resolve_file(g->r, s.dev, S_IFSOCK, s.ino, getpid(), p.server), &s);
	done(g);
	disconnect(&p);
}

static void unix_path(void **state)
{
	struct fixture *f;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	const struct kp_obj *o;

	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/kp-unix-%d", getpid());
	unlink(a.sun_path);
	assert_false(bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1) || fstat(fd, &st));
	f = new();
	kp_resolve_sock_preload(f->r);
	o = kp_resolve_file(f->r, major(st.st_dev) << 20 | minor(st.st_dev), S_IFSOCK, st.st_ino, getpid(), fd);
	assert_int_equal(o->family, AF_UNIX);
	assert_string_equal(str(o->name), a.sun_path);
	close(fd);
	unlink(a.sun_path);
	done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taught_by_rows),
		cmocka_unit_test(without_inode),
		cmocka_unit_test(mapped_addresses),
		cmocka_unit_test(from_proc_net),
		cmocka_unit_test(unix_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
