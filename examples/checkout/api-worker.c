/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api-worker: a small checkout service. POST /checkout reads a cart's items
 * from PostgreSQL, books one of them and answers; it gives up after a limit.
 *
 * Each worker thread has one connection to the database and serves one client
 * at a time: accept, read the request, look at the price file (under a shared
 * flock, as the job that rewrites it takes an exclusive one), talk to the
 * database, answer. When the limit has passed it answers 504 at once, closes
 * the client's connection, and only then waits for the database's late answer,
 * since a connection with an answer under way cannot be used again.
 *
 * A lock that flock(2) waits for cannot be given up halfway without a signal:
 * there the limit is looked at when the lock was got.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_HEAD = 16384, DRAIN_MS = 30000 };

static struct {
	int port, workers, reads, items;
	int64_t timeout_ns;
	const char *db, *prices;
	uint64_t seed;
	int listener;
} conf = {
	.port = 8080, .workers = 4, .reads = 40, .items = 100000,
	.timeout_ns = 750 * INT64_C(1000000), .db = "", .seed = 1,
};

struct worker {
	int nr;
	PGconn *db;
	uint64_t rnd;
	int prices;		/* the price file, -1 none */
	char request[64], trace[64];
	int64_t t0;		/* when the request was received */
};

/* What became of a step. */
enum step { STEP_OK, STEP_TIMEOUT, STEP_ERROR };

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static uint64_t rnd(uint64_t *s)	/* splitmix64 */
{
	uint64_t z = (*s += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static int remaining_ms(const struct worker *w)
{
	int64_t left = conf.timeout_ns - (now_ns() - w->t0);
	return left <= 0 ? 0 : (int)((left + 999999) / 1000000);
}

/* ---- the database ---- */

static const char *const statements[][2] = {
	{ "item", "SELECT price, stock FROM items WHERE id = $1" },
	{ "book", "UPDATE items SET stock = stock - 1 WHERE id = $1" },
	{ "order", "INSERT INTO orders (request, item, total) VALUES ($1, $2, $3)" },
};

static bool db_open(struct worker *w)
{
	if (!w->db)
		w->db = PQconnectdb(conf.db);
	else
		PQreset(w->db);
	if (PQstatus(w->db) != CONNECTION_OK) {
		fprintf(stderr, "api-worker: database: %s", PQerrorMessage(w->db));
		return false;
	}
	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
		PGresult *r = PQprepare(w->db, statements[i][0], statements[i][1], 0, NULL);
		bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
		PQclear(r);
		if (!ok) {
			fprintf(stderr, "api-worker: prepare %s: %s", statements[i][0], PQerrorMessage(w->db));
			return false;
		}
	}
	return true;
}

/* Waits until the answer of the query under way is complete, at most `ms`. */
static enum step db_wait(struct worker *w, bool limited)
{
	int64_t until = now_ns() + DRAIN_MS * INT64_C(1000000);
	for (;;) {
		int f = PQflush(w->db);
		if (f < 0)
			return STEP_ERROR;
		if (!f && !PQisBusy(w->db))
			return STEP_OK;
		int ms = limited ? remaining_ms(w) : (int)((until - now_ns()) / 1000000);
		if (ms <= 0)
			return STEP_TIMEOUT;
		struct pollfd p = { .fd = PQsocket(w->db), .events = POLLIN | (f ? POLLOUT : 0) };
		int n = poll(&p, 1, ms);
		if (n < 0 && errno != EINTR)
			return STEP_ERROR;
		if (n > 0 && !PQconsumeInput(w->db))
			return STEP_ERROR;
	}
}

/* Takes the results of a query that is complete; the first column of the first row into *value. */
static enum step db_results(struct worker *w, long *value)
{
	enum step st = STEP_OK;
	for (PGresult *r; (r = PQgetResult(w->db)); PQclear(r)) {
		ExecStatusType s = PQresultStatus(r);
		if (s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK) {
			fprintf(stderr, "api-worker: %s: %s", w->request, PQerrorMessage(w->db));
			st = STEP_ERROR;
		} else if (value && s == PGRES_TUPLES_OK && PQntuples(r) > 0) {
			*value = strtol(PQgetvalue(r, 0, 0), NULL, 10);
		}
	}
	return st;
}

static enum step db_finish(struct worker *w, int sent, long *value)
{
	enum step st = sent ? db_wait(w, true) : STEP_ERROR;
	return st == STEP_OK ? db_results(w, value) : st;
}

static enum step db_do(struct worker *w, const char *sql)
{
	return db_finish(w, PQsendQuery(w->db, sql), NULL);
}

static enum step db_exec(struct worker *w, const char *name, int n, const char *const *args, long *value)
{
	return db_finish(w, PQsendQueryPrepared(w->db, name, n, args, NULL, NULL, 0), value);
}

/* After a failure: the late answer, then nothing left of the transaction. */
static void db_clean(struct worker *w, bool late)
{
	if (late) {
		if (db_wait(w, false) == STEP_OK) {
			db_results(w, NULL);
			fprintf(stderr, "api-worker: %s: the database's answer came %.1f ms after the request, the limit was %.1f\n",
				w->request, (double)(now_ns() - w->t0) / 1e6, (double)conf.timeout_ns / 1e6);
		}
	} else {
		fprintf(stderr, "api-worker: %s: failed after %.1f ms, no answer of the database is to come\n",
			w->request, (double)(now_ns() - w->t0) / 1e6);
	}
	if (PQtransactionStatus(w->db) != PQTRANS_IDLE) {
		PGresult *r = PQexec(w->db, "ROLLBACK");
		PQclear(r);
	}
	while (PQstatus(w->db) != CONNECTION_OK || PQtransactionStatus(w->db) != PQTRANS_IDLE) {
		if (db_open(w))
			break;
		usleep(200000);
	}
}

/* ---- the checkout ---- */

/* Stands for checking a token and the cart: about half a millisecond of work. */
static uint64_t authorise(const char *head)
{
	uint64_t h = 0xcbf29ce484222325;
	size_t n = strlen(head);
	for (int i = 0; i < 400000; i++)
		h = (h ^ (unsigned char)head[(size_t)i % (n + 1)]) * 0x100000001b3;
	return h;
}

static enum step read_prices(struct worker *w)
{
	char buf[512];
	if (w->prices < 0)
		return STEP_OK;
	if (flock(w->prices, LOCK_SH))
		return STEP_ERROR;
	ssize_t n = pread(w->prices, buf, sizeof buf, 0);
	flock(w->prices, LOCK_UN);
	if (n < 0)
		return STEP_ERROR;
	return remaining_ms(w) ? STEP_OK : STEP_TIMEOUT;
}

static enum step checkout(struct worker *w, bool *late)
{
	enum step st;
	long total = 0, price = 0;
	char item[24], sum[24];

	*late = false;
	if ((st = read_prices(w)))
		return st;
	*late = true;	/* from here on an answer of the database is to be expected */
	if ((st = db_do(w, "BEGIN")))
		return st;
	for (int i = 0; i < conf.reads; i++) {
		snprintf(item, sizeof item, "%" PRIu64, rnd(&w->rnd) % (uint64_t)conf.items + 1);
		if ((st = db_exec(w, "item", 1, (const char *const[]){ item }, &price)))
			return st;
		total += price;
	}
	if ((st = db_exec(w, "book", 1, (const char *const[]){ item }, NULL)))
		return st;
	snprintf(sum, sizeof sum, "%ld", total);
	if ((st = db_exec(w, "order", 3, (const char *const[]){ w->request, item, sum }, NULL)))
		return st;
	return db_do(w, "COMMIT");
}

/* ---- HTTP ---- */

static bool send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

__attribute__((format(printf, 5, 6)))
static bool answer(struct worker *w, int fd, const char *status, bool keep, const char *fmt, ...)
{
	char body[512], msg[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(body, sizeof body, fmt, ap);
	va_end(ap);
	int n = snprintf(msg, sizeof msg, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		"X-Request-ID: %s\r\nX-Backend: %d\r\nConnection: %s\r\n\r\n%s",
		status, strlen(body), w->request, w->db ? PQbackendPID(w->db) : 0, keep ? "keep-alive" : "close", body);
	return send_all(fd, msg, (size_t)n) && keep;
}

/* The value of a header, cleaned of what does not belong into a JSON string. */
static void header(const char *head, const char *name, char *out, size_t max)
{
	size_t n = strlen(name), k = 0;
	*out = 0;
	for (const char *p = head; (p = strstr(p, "\r\n")); ) {
		p += 2;
		if (strncasecmp(p, name, n) || p[n] != ':')
			continue;
		for (p += n + 1; *p == ' '; p++)
			;
		for (; *p && *p != '\r' && k + 1 < max; p++)
			if (isalnum((unsigned char)*p) || strchr("-_.:", *p))
				out[k++] = *p;
		out[k] = 0;
		return;
	}
}

static bool handle(struct worker *w, int fd, const char *head)
{
	header(head, "X-Request-ID", w->request, sizeof w->request);
	header(head, "traceparent", w->trace, sizeof w->trace);
	if (strncmp(head, "POST /checkout ", 15)) {
		if (!strncmp(head, "GET /health ", 12))
			return answer(w, fd, "200 OK", true, "{\"status\":\"ok\"}\n");
		return answer(w, fd, "404 Not Found", true, "{\"error\":\"no such thing\"}\n");
	}
	char closing[16];
	header(head, "Connection", closing, sizeof closing);
	bool keep = strcasecmp(closing, "close") != 0, late;

	if (authorise(head) == 0)
		return answer(w, fd, "403 Forbidden", true, "{\"error\":\"forbidden\"}\n");
	enum step st = checkout(w, &late);
	double ms = (double)(now_ns() - w->t0) / 1e6;
	if (st == STEP_OK)
		return answer(w, fd, "200 OK", keep, "{\"status\":\"ok\",\"request\":\"%s\",\"ms\":%.1f}\n", w->request, ms);
	if (st == STEP_TIMEOUT)
		answer(w, fd, "504 Gateway Timeout", false, "{\"error\":\"timeout\",\"request\":\"%s\",\"ms\":%.1f}\n", w->request, ms);
	else
		answer(w, fd, "500 Internal Server Error", false, "{\"error\":\"database\",\"request\":\"%s\"}\n", w->request);
	shutdown(fd, SHUT_WR);
	db_clean(w, late && st == STEP_TIMEOUT);
	return false;
}

static void serve(struct worker *w, int fd)
{
	char buf[MAX_HEAD + 1];
	size_t have = 0;
	for (;;) {
		char *end;
		buf[have] = 0;
		while (!(end = strstr(buf, "\r\n\r\n"))) {
			if (have == MAX_HEAD)
				return;
			ssize_t n = recv(fd, buf + have, MAX_HEAD - have, 0);
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return;
			if (!have)
				w->t0 = now_ns();
			have += (size_t)n;
			buf[have] = 0;
		}
		char len[16];
		size_t head = (size_t)(end - buf) + 4, body;
		header(buf, "Content-Length", len, sizeof len);
		body = strtoul(len, NULL, 10);
		if (body > MAX_HEAD - head)
			return;
		while (have < head + body) {
			ssize_t n = recv(fd, buf + have, head + body - have, 0);
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return;
			have += (size_t)n;
		}
		*end = 0;
		if (!handle(w, fd, buf))
			return;
		have -= head + body;
		memmove(buf, buf + head + body, have);
		w->t0 = now_ns();
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	char name[16];
	snprintf(name, sizeof name, "api-worker/%d", w->nr % 1000);
	prctl(PR_SET_NAME, name);
	for (;;) {
		int one = 1, fd = accept4(conf.listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			perror("api-worker: accept");
			exit(1);
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		serve(w, fd);
		close(fd);
	}
	return NULL;
}

/* "750", "750ms", "1.5s" in milliseconds; a bare number is milliseconds. */
static int64_t duration(const char *s)
{
	char *e;
	double v = strtod(s, &e);
	if (!strcmp(e, "s"))
		v *= 1000;
	else if (*e && strcmp(e, "ms"))
		v = -1;
	return v > 0 && v < 1e9 ? (int64_t)(v * 1e6) : -1;
}

static const char help[] =
	"usage: api-worker --db CONNINFO [options]\n"
	"  --port N         listen on 127.0.0.1:N (8080)\n"
	"  --db CONNINFO    the database, as libpq wants it\n"
	"  --workers N      threads, each with its own database connection (4)\n"
	"  --timeout TIME   give up after 750ms, 1.5s ... (750ms); --timeout-ms N likewise\n"
	"  --reads N        items looked up per checkout (40)\n"
	"  --items N        items in the table (100000)\n"
	"  --prices FILE    price file, read under a shared flock\n"
	"  --seed N         for the choice of items\n";

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "port", 1, NULL, 'p' }, { "db", 1, NULL, 'd' }, { "workers", 1, NULL, 'w' },
		{ "timeout", 1, NULL, 't' }, { "timeout-ms", 1, NULL, 't' }, { "reads", 1, NULL, 'r' },
		{ "items", 1, NULL, 'i' }, { "prices", 1, NULL, 'P' }, { "seed", 1, NULL, 's' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	for (int c; (c = getopt_long(argc, argv, "h", opts, NULL)) != -1; ) {
		switch (c) {
		case 'p': conf.port = atoi(optarg); break;
		case 'd': conf.db = optarg; break;
		case 'w': conf.workers = atoi(optarg); break;
		case 't': conf.timeout_ns = duration(optarg); break;
		case 'r': conf.reads = atoi(optarg); break;
		case 'i': conf.items = atoi(optarg); break;
		case 'P': conf.prices = optarg; break;
		case 's': conf.seed = strtoull(optarg, NULL, 10); break;
		case 'h': fputs(help, stdout); return 0;
		default: fputs(help, stderr); return 2;
		}
	}
	if (conf.timeout_ns <= 0 || conf.workers < 1 || conf.workers > 256 || conf.items < 1) {
		fputs(help, stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stderr, NULL, _IOLBF, 0);

	struct worker *w = calloc((size_t)conf.workers, sizeof *w);
	if (!w)
		return 1;
	for (int i = 0; i < conf.workers; i++) {
		w[i].nr = i + 1;
		w[i].rnd = conf.seed * 1000003 + (uint64_t)i;
		w[i].prices = -1;
		/* one open file each: flock's locks belong to the open file */
		if (conf.prices && (w[i].prices = open(conf.prices, O_RDONLY | O_CLOEXEC)) < 0) {
			fprintf(stderr, "api-worker: %s: %s\n", conf.prices, strerror(errno));
			return 1;
		}
		if (!db_open(&w[i]))
			return 1;
		/* libpq may block when it writes; our queries are small */
		PQsetnonblocking(w[i].db, 1);
	}

	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)conf.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;
	conf.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(conf.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (conf.listener < 0 || bind(conf.listener, (struct sockaddr *)&a, sizeof a) || listen(conf.listener, 64)) {
		fprintf(stderr, "api-worker: port %d: %s\n", conf.port, strerror(errno));
		return 1;
	}
	for (int i = 0; i < conf.workers; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, work, &w[i]))
			return 1;
	}
	printf("api-worker: ready on port %d\n", conf.port);
	fflush(stdout);
	for (;;)
		pause();
}
