/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Just enough of SQL's lexical rules to find a statement's verb and table, and never to take a word out of a
 * literal or a comment for one.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "proto_int.h"

enum { MAX_NAME = 128 };

enum token { T_END, T_WORD, T_QUOTED, T_LITERAL, T_COMMENT, T_PUNCT };

struct lex {
	const char *p, *end;
	bool cut;		/* the text goes on behind end */
	const char *tok;
	size_t len;
};

static const char *const verbs[] = {
	"SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "ROLLBACK", "START", "SET", "SHOW", "RESET", "WITH",
	"VALUES", "COPY", "LOCK", "CREATE", "DROP", "ALTER", "TRUNCATE", "EXECUTE", "PREPARE", "DEALLOCATE", "DECLARE",
	"FETCH", "MOVE", "CLOSE", "CALL", "DO", "LISTEN", "NOTIFY", "UNLISTEN", "ANALYZE", "VACUUM", "EXPLAIN",
	"SAVEPOINT", "RELEASE", "ABORT", "END", "CHECKPOINT", "DISCARD", "REINDEX", "CLUSTER", "COMMENT", "GRANT",
	"REVOKE", "MERGE", "TABLE", "REFRESH",
};

bool kp_sql_verb(const char *p, size_t len)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strlen(verbs[i]) == len && !strncasecmp(p, verbs[i], len))
			return true;
	return false;
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80);
}

/* Moves behind the next q that is not doubled (nor behind a backslash, where those count). */
static void skip_quoted(struct lex *l, char q, bool backslash)
{
	for (l->p++; l->p < l->end; l->p++) {
		if (backslash && *l->p == '\\') {
			if (++l->p == l->end)
				return;
		} else if (*l->p == q) {
			if (l->p + 1 < l->end && l->p[1] == q) {
				l->p++;
				continue;
			}
			l->p++;
			return;
		}
	}
}

static void skip_comment(struct lex *l)
{
	int depth = 0;

	for (; l->p < l->end; l->p++) {
		if (l->end - l->p >= 2 && l->p[0] == '/' && l->p[1] == '*') {
			depth++;
			l->p++;
		} else if (l->end - l->p >= 2 && l->p[0] == '*' && l->p[1] == '/') {
			l->p++;
			if (!--depth) {
				l->p++;
				return;
			}
		}
	}
}

/* $tag$ ... $tag$, or a parameter $1 (then nothing is moved). */
static bool skip_dollar(struct lex *l)
{
	const char *e = l->p + 1, *close;
	size_t n;

	if (e < l->end && isdigit((unsigned char)*e))
		return false;
	while (e < l->end && word_char(*e) && *e != '$')
		e++;
	if (e == l->end) {
		l->p = l->end;
		return true;
	}
	if (*e != '$')
		return false;
	n = e + 1 - l->p;
	close = memmem(e + 1, l->end - e - 1, l->p, n);
	l->p = close ? close + n : l->end;
	return true;
}

static enum token finish(struct lex *l, enum token t)
{
	l->len = l->p - l->tok;
	return t;
}

static enum token next(struct lex *l)
{
	while (l->p < l->end && isspace((unsigned char)*l->p))
		l->p++;
	l->tok = l->p;
	l->len = 0;
	if (l->p == l->end)
		return T_END;
	if (*l->p == '\'') {
		skip_quoted(l, '\'', false);
		return finish(l, T_LITERAL);
	}
	if ((*l->p == 'E' || *l->p == 'e') && l->p + 1 < l->end && l->p[1] == '\'') {
		l->p++;
		skip_quoted(l, '\'', true);
		return finish(l, T_LITERAL);
	}
	if (*l->p == '"') {
		skip_quoted(l, '"', false);
		return finish(l, T_QUOTED);
	}
	if (l->end - l->p >= 2 && !memcmp(l->p, "--", 2)) {
		const char *nl = memchr(l->p, '\n', l->end - l->p);

		l->p = nl ? nl : l->end;
		return finish(l, T_COMMENT);
	}
	if (l->end - l->p >= 2 && !memcmp(l->p, "/*", 2)) {
		skip_comment(l);
		return finish(l, T_COMMENT);
	}
	if (*l->p == '$' && skip_dollar(l))
		return finish(l, T_LITERAL);
	if (word_char(*l->p)) {
		while (l->p < l->end && word_char(*l->p))
			l->p++;
		return finish(l, T_WORD);
	}
	l->p++;
	return finish(l, T_PUNCT);
}

static bool is(const struct lex *l, const char *word)
{
	return strlen(word) == l->len && !strncasecmp(l->tok, word, l->len);
}

static void comment_ids(const struct lex *l, struct kp_msg *m)
{
	static const char key[] = "traceparent='";
	const char *at = memmem(l->tok, l->len, key, sizeof(key) - 1), *v, *end = l->tok + l->len;

	if (!at)
		return;
	v = at + sizeof(key) - 1;
	if (end - v > 55 && v[55] == '\'' && kp_traceparent_ok(kp_span(v, 55)))
		m->traceparent = kp_span(v, 55);
}

static enum token next_code(struct lex *l, struct kp_msg *m)
{
	enum token t;

	while ((t = next(l)) == T_COMMENT)
		comment_ids(l, m);
	return t;
}

static bool name_part(const struct lex *l, enum token t)
{
	return t == T_QUOTED || (t == T_WORD && !isdigit((unsigned char)*l->tok) && *l->tok != '$');
}

static bool before_name(const struct lex *l, enum token t)
{
	return t == T_WORD && (is(l, "ONLY") || is(l, "LATERAL") || is(l, "TABLE"));
}

/*
 * A table's name behind FROM, INTO or UPDATE: a, a.b, "a"."b". Only what is whole: a word at the end of a cut
 * text may go on. *t is the token behind it.
 */
static struct kp_span table_name(struct lex *l, struct kp_msg *m, enum token *t)
{
	const char *begin, *end;

	if (before_name(l, *t))
		*t = next_code(l, m);
	if (!name_part(l, *t) || before_name(l, *t))	/* reserved words, so not a table's name */
		return kp_span(NULL, 0);
	begin = l->tok;
	for (;;) {
		end = l->p;
		if (*t == T_QUOTED && (end[-1] != '"' || end - l->tok < 3))
			return kp_span(NULL, 0);
		if (end == l->end && l->cut)
			return kp_span(NULL, 0);
		if (l->p == l->end || *l->p != '.')
			break;
		next(l);
		*t = next(l);
		if (!name_part(l, *t))
			return kp_span(NULL, 0);
	}
	*t = next_code(l, m);
	for (const char *c = begin; c < end; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return kp_span(NULL, 0);
	return end - begin <= MAX_NAME ? kp_span(begin, end - begin) : kp_span(NULL, 0);
}

enum verb_class { V_NONE, V_FROM, V_INTO, V_NEXT, V_WITH };

static enum verb_class class_of(const struct lex *l)
{
	if (is(l, "SELECT") || is(l, "DELETE"))
		return V_FROM;
	if (is(l, "INSERT") || is(l, "MERGE"))
		return V_INTO;
	if (is(l, "UPDATE") || is(l, "TRUNCATE") || is(l, "LOCK") || is(l, "TABLE"))
		return V_NEXT;
	return is(l, "WITH") ? V_WITH : V_NONE;
}

/* Looks at one token at the statement's own depth; true: nothing more to find. */
static bool look(struct lex *l, struct kp_msg *m, enum token *t, enum verb_class *c, int *depth, int *base)
{
	if (*t == T_PUNCT && *l->tok == '(')
		++*depth;
	else if (*t == T_PUNCT && *l->tok == ')')
		--*depth;
	else if (*t == T_PUNCT && *l->tok == ';' && *depth <= 0)
		return true;
	if (*t == T_WORD && *depth <= *base) {
		enum verb_class own = *c == V_WITH ? class_of(l) : V_NONE;

		if (own != V_NONE && own != V_WITH && (!l->cut || l->p < l->end)) {
			m->verb = kp_span(l->tok, l->len);
			*c = own;
			if (own == V_NEXT) {
				*t = next_code(l, m);
				m->target = table_name(l, m, t);
				return true;
			}
		} else if ((*c == V_FROM && is(l, "FROM")) || (*c == V_INTO && is(l, "INTO"))) {
			*t = next_code(l, m);
			if (*t == T_PUNCT && *l->tok == '(') {	/* a subquery: its table stands for it */
				*base = ++*depth;
				*t = next_code(l, m);
				return false;
			}
			m->target = table_name(l, m, t);
			return true;
		}
	}
	*t = next_code(l, m);
	return false;
}

bool kp_sql_scan(struct kp_span s, bool cut, struct kp_msg *m)
{
	struct lex l = { s.p, s.p + s.len, cut, s.p, 0 };
	enum token t = next_code(&l, m);
	int depth = 0, base = 0;
	enum verb_class c;

	while (t == T_PUNCT && (*l.tok == '(' || *l.tok == ';'))
		t = next_code(&l, m);
	if (t != T_WORD || !kp_sql_verb(l.tok, l.len) || (cut && l.p == l.end))
		return false;
	m->verb = kp_span(l.tok, l.len);
	c = class_of(&l);
	t = next_code(&l, m);
	if (c == V_NEXT)
		m->target = table_name(&l, m, &t);
	else
		while (c != V_NONE && t != T_END && !look(&l, m, &t, &c, &depth, &base))
			;
	while (t != T_END)	/* the ids' comment stands at the end as a rule */
		t = next_code(&l, m);
	return true;
}

void kp_sql_keep(const struct kp_msg *m, struct kp_out *o)
{
	struct lex l = { .tok = m->verb.p, .len = m->verb.len };

	kp_out_span(o, m->verb);
	if (m->target.p) {
		enum verb_class c = class_of(&l);

		kp_out_str(o, c == V_FROM ? " FROM " : c == V_INTO ? " INTO " : " ");
		kp_out_span(o, m->target);
	}
	if (m->traceparent.p) {
		kp_out_str(o, " /*traceparent='");
		kp_out_span(o, m->traceparent);
		kp_out_str(o, "'*/");
	}
}
