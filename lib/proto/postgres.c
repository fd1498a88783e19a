/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PostgreSQL's protocol 3.0. A message is a type byte, a length that counts itself, and a body; what one send
 * carries is a batch of them. The batch is walked to its end, or to the end of the bytes: every message must be of a
 * type and shape that its direction has, so that other traffic is not taken for it.
 */
#include <string.h>

#include "proto_int.h"

enum { MAX_COLUMNS = 1664, MAX_LEN = 1 << 24 /* to us: 4 random bytes are mostly more */, MIN_SEEN = 6, STARTUP = 196608 };

struct pg {		/* one message */
	char type;
	const uint8_t *body;
	size_t len, have;	/* of the body: as declared, and within the bytes */
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static unsigned be16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

/* A string of text at off, with its NUL. false: it is not, as far as it can be seen. *cut: it goes on. */
static bool text_at(const struct pg *g, size_t off, struct kp_span *s, bool *cut)
{
	const uint8_t *nul;

	if (off > g->have)
		return false;
	nul = memchr(g->body + off, 0, g->have - off);
	*cut = !nul;
	if (!nul && g->have == g->len)
		return false;
	*s = kp_span(g->body + off, (nul ? nul : g->body + g->have) - (g->body + off));
	for (size_t i = 0; i < s->len; i++) {
		uint8_t c = s->p[i];

		if (c == 0x7f || (c < ' ' && c != '\t' && c != '\n' && c != '\r'))
			return false;
	}
	return true;
}

static bool plain_name(struct kp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((uint8_t)s.p[i] <= ' ')
			return false;
	return s.len < 64;	/* NAMEDATALEN */
}

static bool statement(struct kp_span s, bool cut, struct kp_msg *m)
{
	if (m->sql.p)	/* the first statement names the batch */
		return true;
	if (!kp_sql_scan(s, cut, m))
		return s.len == 0 && !cut;
	m->sql = s;
	m->more |= cut;
	return true;
}

static bool f_query(const struct pg *g, struct kp_msg *m)
{
	struct kp_span s;
	bool cut;

	return text_at(g, 0, &s, &cut) && (cut || s.len + 1 == g->len) && statement(s, cut, m);
}

static bool f_parse(const struct pg *g, struct kp_msg *m)
{
	struct kp_span name, s;
	bool cut;
	size_t tail;

	if (!text_at(g, 0, &name, &cut) || cut || !plain_name(name))
		return false;
	if (!text_at(g, name.len + 1, &s, &cut) || !statement(s, cut, m))
		return false;
	if (!m->stmt.p)
		m->stmt = name;
	tail = name.len + s.len + 2;
	return cut || (g->len >= tail + 2 && (g->have < tail + 2 || g->len == tail + 2 + 4 * be16(g->body + tail)));
}

static bool f_bind(const struct pg *g, struct kp_msg *m)
{
	struct kp_span portal, stmt;
	bool cut;

	if (g->len < 8 || !text_at(g, 0, &portal, &cut) || cut || !plain_name(portal) ||
	    !text_at(g, portal.len + 1, &stmt, &cut) || cut || !plain_name(stmt))
		return false;
	if (!m->stmt.p)
		m->stmt = stmt;
	return g->len >= portal.len + stmt.len + 8;
}

/* Describe and Close: 'S' or 'P', and a name. */
static bool f_named(const struct pg *g, struct kp_msg *m)
{
	struct kp_span s;
	bool cut;

	if (g->len < 2 || !g->have || (*g->body != 'S' && *g->body != 'P'))
		return false;
	return text_at(g, 1, &s, &cut) && !cut && plain_name(s) && s.len + 2 == g->len;
}

static bool f_execute(const struct pg *g, struct kp_msg *m)
{
	struct kp_span s;
	bool cut;

	return g->len >= 5 && text_at(g, 0, &s, &cut) && !cut && plain_name(s) && s.len + 5 == g->len;
}

static bool empty(const struct pg *g, struct kp_msg *m)
{
	return g->len == 0;
}

static bool any(const struct pg *g, struct kp_msg *m)
{
	return true;
}

static bool b_ready(const struct pg *g, struct kp_msg *m)
{
	if (g->len != 1 || (g->have && !strchr("ITE", *g->body)))
		return false;
	if (g->have)
		m->tx = *g->body;
	return true;
}

static bool b_rows(const struct pg *g, struct kp_msg *m)
{
	struct kp_span s;
	bool cut;
	unsigned n = g->have >= 2 ? be16(g->body) : 0;

	return g->len >= 2 && n <= MAX_COLUMNS && g->len >= 2 + n * 19 && g->len <= 2 + n * 82 && (n || g->len == 2) &&
	       (g->have < 3 || text_at(g, 2, &s, &cut));
}

static bool b_data(const struct pg *g, struct kp_msg *m)
{
	unsigned n = g->have >= 2 ? be16(g->body) : 0;

	if (g->len < 2 || n > MAX_COLUMNS || g->len < 2 + n * 4 || (!n && g->len != 2))
		return false;
	return !n || g->have < 6 || be32(g->body + 2) == UINT32_MAX || be32(g->body + 2) <= g->len - 6;
}

static bool b_complete(const struct pg *g, struct kp_msg *m)
{
	struct kp_span s;
	size_t n = 0;
	bool cut;

	if (g->len < 3 || g->len > 64 || !text_at(g, 0, &s, &cut) || (!cut && s.len + 1 != g->len))
		return false;
	while (n < s.len && s.p[n] >= 'A' && s.p[n] <= 'Z')
		n++;
	if (n == s.len && cut)
		return true;
	if (!kp_sql_verb(s.p, n))
		return false;
	m->verb = kp_span(s.p, n);
	return true;
}

/* ErrorResponse and NoticeResponse: fields of a code letter and a string, and a NUL. */
static bool b_fields(const struct pg *g, struct kp_msg *m)
{
	struct kp_span s;
	bool cut = false;

	if (g->len < 4 || (g->have && *g->body != 'S'))
		return false;
	for (size_t off = 0; off < g->have && g->body[off] && !cut; off += s.len + 2) {
		if (g->body[off] < 'A' || g->body[off] > 't' || !text_at(g, off + 1, &s, &cut) || (!off && cut))
			return false;
		if (g->type == 'E' && g->body[off] == 'C' && !cut && s.len == 5 && plain_name(s))
			m->code = s;
	}
	if (g->type == 'E') {
		m->status = 1;
		m->failed = true;
	}
	return true;
}

static bool b_auth(const struct pg *g, struct kp_msg *m)
{
	return g->len >= 4 && (g->have < 4 || be32(g->body) <= 12);
}

static bool b_parameter(const struct pg *g, struct kp_msg *m)
{
	struct kp_span s;
	bool cut;

	return g->len >= 3 && g->len <= 1024 && text_at(g, 0, &s, &cut) && !cut && s.len && plain_name(s);
}

static bool b_key(const struct pg *g, struct kp_msg *m)
{
	return g->len == 8;
}

static bool b_params(const struct pg *g, struct kp_msg *m)
{
	return g->len >= 2 && (g->have < 2 || g->len == 2 + 4 * (size_t)be16(g->body));
}

struct shape {
	char type;
	bool first;		/* may begin a batch: then its shape says enough, also when it is cut */
	bool (*ok)(const struct pg *g, struct kp_msg *m);
};

static const struct shape front[] = {
	{ 'Q', true, f_query }, { 'P', true, f_parse }, { 'B', true, f_bind }, { 'E', true, f_execute },
	{ 'D', true, f_named }, { 'C', true, f_named }, { 'S', true, empty }, { 'X', true, empty },
	{ 'H', false, empty }, { 'd', false, any }, { 'c', false, empty }, { 0 },
};
static const struct shape back[] = {
	{ 'Z', true, b_ready }, { 'T', true, b_rows }, { 'D', true, b_data }, { 'C', true, b_complete },
	{ 'E', true, b_fields }, { 'N', true, b_fields }, { '1', true, empty }, { '2', true, empty },
	{ '3', true, empty }, { 'n', true, empty }, { 's', true, empty }, { 'I', true, empty }, { 't', true, b_params },
	{ 'R', true, b_auth }, { 'S', true, b_parameter }, { 'K', false, b_key }, { 'A', false, any },
	{ 'G', false, any }, { 'H', false, any }, { 'W', false, any }, { 'd', false, any }, { 'c', false, empty }, { 0 },
};

static const struct shape *shape_of(const struct shape *s, char type, bool first)
{
	for (; s->type; s++)
		if (s->type == type && (s->first || !first))
			return s;
	return NULL;
}

/* Walks the batch; false: it is not one of this direction. seen collects the types. */
static bool walk(const uint8_t *p, size_t len, const struct shape *table, struct kp_msg *m, bool *frontend_work)
{
	const uint8_t *end = p + len;
	bool first = true;

	while (end - p >= 5) {
		struct pg g = { .type = (char)*p, .body = p + 5 };
		uint32_t n = be32(p + 1);
		const struct shape *s = shape_of(table, g.type, first);

		if (!s || n < 4 || n > MAX_LEN)
			return false;
		g.len = n - 4;
		g.have = g.len < (size_t)(end - g.body) ? g.len : (size_t)(end - g.body);
		if (g.have < g.len && first && g.have < MIN_SEEN)
			return false;
		if (!s->ok(&g, m))
			return false;
		*frontend_work |= g.type != 'X';
		first = false;
		m->more |= g.have < g.len;
		p = g.body + g.have;
	}
	m->more |= p < end;
	return !first;
}

static bool startup(const uint8_t *p, size_t len, struct kp_msg *m)
{
	if (len < 13 || be32(p) > 10000 || be32(p) < 13 || be32(p + 4) != STARTUP || memcmp(p + 8, "user", 5))
		return false;
	m->type = KP_MSG_REQUEST;
	m->verb = kp_span("STARTUP", 7);
	m->more = be32(p) > len;
	return true;
}

static int parse(const uint8_t *p, size_t len, struct kp_msg *m)
{
	struct kp_msg none = *m;
	bool work = false;

	if (startup(p, len, m))
		return 1;
	if (walk(p, len, back, m, &work)) {
		m->type = KP_MSG_RESPONSE;
		return 1;
	}
	*m = none;
	work = false;
	if (!walk(p, len, front, m, &work))
		return 0;
	m->type = work ? KP_MSG_REQUEST : KP_MSG_NONE;
	return 1;
}

static void message(struct kp_out *o, char type, const void *body, size_t n)
{
	kp_out_add(o, &type, 1);
	kp_out_be32(o, n + 4);
	kp_out_add(o, body, n);
}

static size_t sql_len(const struct kp_msg *m)
{
	struct kp_out count = { NULL, 0, 0 };

	if (m->verb.p)
		kp_sql_keep(m, &count);
	return count.len;
}

static void keep_request(const struct kp_msg *m, struct kp_out *o)
{
	if (m->stmt.p && m->sql.p) {	/* Parse */
		kp_out_str(o, "P");
		kp_out_be32(o, 4 + m->stmt.len + 1 + sql_len(m) + 1 + 2);
		kp_out_span(o, m->stmt);
		kp_out_add(o, "", 1);
		kp_sql_keep(m, o);
		kp_out_add(o, "\0\0", 3);
	} else if (m->stmt.p) {		/* Bind */
		kp_out_str(o, "B");
		kp_out_be32(o, 4 + 1 + m->stmt.len + 1 + 6);
		kp_out_add(o, "", 1);
		kp_out_span(o, m->stmt);
		kp_out_add(o, "\0\0\0\0\0\0", 7);
	} else if (m->verb.p) {
		kp_out_str(o, "Q");
		kp_out_be32(o, 4 + sql_len(m) + 1);
		kp_sql_keep(m, o);
		kp_out_add(o, "", 1);
	} else {
		message(o, 'S', NULL, 0);
	}
}

static void keep_response(const struct kp_msg *m, struct kp_out *o)
{
	if (m->verb.p) {
		kp_out_str(o, "C");
		kp_out_be32(o, 4 + m->verb.len + 1);
		kp_out_span(o, m->verb);
		kp_out_add(o, "", 1);
	}
	if (m->status) {
		kp_out_str(o, "E");
		kp_out_be32(o, 4 + 7 + (m->code.p ? m->code.len + 2 : 0) + 1);
		kp_out_add(o, "SERROR", 7);
		if (m->code.p) {
			kp_out_str(o, "C");
			kp_out_span(o, m->code);
			kp_out_add(o, "", 1);
		}
		kp_out_add(o, "", 1);
	}
	if (m->tx)
		message(o, 'Z', &m->tx, 1);
	else if (!m->verb.p && !m->status)
		message(o, 'T', "\0", 2);
}

static void keep(const struct kp_msg *m, struct kp_out *o)
{
	static const uint8_t start[] = "\0\0\0\x0f\0\3\0\0user\0\0";

	if (m->type == KP_MSG_NONE)
		message(o, 'X', NULL, 0);
	else if (m->type == KP_MSG_RESPONSE)
		keep_response(m, o);
	else if (m->verb.len == 7 && !memcmp(m->verb.p, "STARTUP", 7))
		kp_out_add(o, start, 15);
	else
		keep_request(m, o);
}

const struct kp_proto kp_proto_postgres = { "postgres", NULL, parse, keep };
