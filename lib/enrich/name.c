/* SPDX-License-Identifier: BSD-2-Clause */
/* Names: what a message calls itself, and transactions. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

static const struct kp_str *op_of(struct kp_enrich *e, const struct kp_msg *m)
{
	char buf[512];
	size_t n = 0;

	if (!m->verb.p || m->verb.len > 32)
		return NULL;
	for (; n < m->verb.len; n++)
		buf[n] = toupper((unsigned char)m->verb.p[n]);
	if (m->target.p) {
		size_t len = m->target.len < sizeof(buf) - n - 1 ? m->target.len : sizeof(buf) - n - 1;

		buf[n++] = ' ';
		memcpy(buf + n, m->target.p, len);
		n += len;
	}
	return kp_pool_str(e->pool, buf, n);
}

/* A prepared statement is named once and then bound by name: remember what it does. */
static const struct kp_str *stmt_op(struct kp_enrich *e, struct en_conn *c, const struct kp_msg *m, const struct kp_str *op)
{
	const struct kp_str *name = kp_pool_str(e->pool, m->stmt.p, m->stmt.len);

	for (uint32_t i = 0; i < c->nstmt && i < c->cap_stmt; i++)
		if (c->stmt[i].name == name) {
			if (op)
				c->stmt[i].op = op;
			return c->stmt[i].op;
		}
	if (op && c->nstmt == c->cap_stmt && c->cap_stmt < EN_STMTS) {
		uint32_t cap = c->cap_stmt ? c->cap_stmt * 4 : 8;
		struct en_stmt *n = realloc(c->stmt, cap * sizeof(*n));

		if (!n)
			return op;
		c->stmt = n;
		c->cap_stmt = cap;
	}
	if (op && c->cap_stmt)
		c->stmt[c->nstmt++ % c->cap_stmt] = (struct en_stmt){ name, op };
	return op;
}

struct en_ids en_msg_ids(struct kp_enrich *e, struct en_conn *c, const struct kp_msg *m)
{
	struct en_ids ids = { 0 };

	if (m->type == KP_MSG_REQUEST)
		ids.op = op_of(e, m);
	if (m->stmt.p) {
		ids.op = stmt_op(e, c, m, ids.op);
		if (!ids.op)	/* prepared before the recording */
			ids.op = op_of(e, &(struct kp_msg){ .verb = { "EXECUTE", 7 },
				       .target = m->stmt.len ? m->stmt : (struct kp_span){ NULL, 0 } });
	}
	if (m->request.p)
		ids.request = kp_pool_str(e->pool, m->request.p, m->request.len);
	if (m->traceparent.p) {	/* version-trace-span-flags, its form was checked */
		ids.trace = kp_pool_str(e->pool, m->traceparent.p + 3, 32);
		ids.parent = kp_pool_str(e->pool, m->traceparent.p + 36, 16);
	}
	return ids;
}

static bool begins(const struct kp_str *op, const char *verb)
{
	size_t n = strlen(verb);

	return op && op->len >= n && !memcmp(op->p, verb, n) && (op->len == n || op->p[n] == ' ');
}

/* The wire does not tell the server's own number of a transaction: it is the process and a count. */
static void txn_new(struct kp_enrich *e, struct en_conn *c, uint32_t tgid)
{
	char buf[48];

	snprintf(buf, sizeof(buf), "pg:%u:%u", tgid, ++e->txns);
	c->txn = kp_pool_cstr(e->pool, buf);
}

void en_txn_asked(struct kp_enrich *e, struct en_conn *c, struct en_work *w, uint32_t tgid)
{
	if (c->tx != 'T' && c->tx != 'E' && (begins(w->ids.op, "BEGIN") || begins(w->ids.op, "START")))
		txn_new(e, c, tgid);
	w->ids.txn = c->txn;
	c->tx = 0;
}

/* Also of one that began before the recording: the rest of it is named. */
void en_txn_answered(struct kp_enrich *e, struct en_conn *c, char tx, uint32_t tgid)
{
	if (!tx)
		return;
	c->tx = tx;
	if (tx == 'I')
		c->txn = NULL;
	else if (!c->txn)
		txn_new(e, c, tgid);
}
