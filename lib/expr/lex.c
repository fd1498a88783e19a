/* SPDX-License-Identifier: BSD-2-Clause */
#include "expr_int.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const struct { const char *s; uint8_t type, op; } ops[] = {	/* longer ones first */
	{ "==", T_OP, N_EQ }, { "!=", T_OP, N_NE }, { "<=", T_OP, N_LE }, { ">=", T_OP, N_GE },
	{ "!~", T_OP, N_NMATCH }, { "&&", T_AND, 0 }, { "||", T_OR, 0 }, { "~", T_OP, N_MATCH },
	{ "<", T_OP, N_LT }, { ">", T_OP, N_GT }, { "!", T_NOT, 0 }, { "(", T_LP, 0 }, { ")", T_RP, 0 },
	{ ",", T_COMMA, 0 },
};

static const struct { const char *s; uint8_t type; } words[] = {
	{ "and", T_AND }, { "or", T_OR }, { "not", T_NOT }, { "has", T_HAS }, { "in", T_IN },
};

static bool in_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '*';
}

static void bad(struct tok *t, const char *why)
{
	t->type = T_BAD;
	t->bad = why;
}

static void lex_text(const char *s, struct tok *t)
{
	char quote = s[t->at];
	size_t i = t->at + 1;

	t->at = i;
	for (; s[i] && s[i] != quote; i++)
		if (s[i] == '\\' && s[i + 1])
			i++;
	t->len = i - t->at;
	t->type = T_TEXT;
	if (!s[i]) {
		t->at--;
		bad(t, "this text has no closing quote");
	}
}

static void lex_name(const char *s, struct tok *t)
{
	while (in_name(s[t->at + t->len]))
		t->len++;
	t->type = T_NAME;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i].s) == t->len && !memcmp(words[i].s, s + t->at, t->len))
			t->type = words[i].type;
}

static void lex_number(const char *s, struct tok *t)
{
	const char *p = s + t->at;
	bool minus = *p == '-';

	if (minus && isalpha((unsigned char)p[1])) {	/* -ENOENT */
		t->len = 1;
		lex_name(s, t);
		t->type = T_NAME;
		return;
	}
	t->type = T_NUM;
	t->len = kp_expr_number(p, NUM_TIME | NUM_SIZE, &t->num);
	if (!t->len || in_name(p[t->len]))
		bad(t, "no such number: whole, or with a unit (ns us ms s m h d, k M G T)");
}

static void lex_op(const char *s, struct tok *t)
{
	const char *p = s + t->at;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		t->len = strlen(ops[i].s);
		if (strncmp(p, ops[i].s, t->len))
			continue;
		t->type = ops[i].type;
		t->op = ops[i].op;
		return;
	}
	if (*p == '=')
		bad(t, "'=' is no operator: use '=='");
	else if (*p == '&' || *p == '|')
		bad(t, "use '&&' and '||'");
	else
		bad(t, "unexpected character");
}

void kp_expr_lex(const char *s, size_t at, struct tok *t)
{
	while (isspace((unsigned char)s[at]))
		at++;
	*t = (struct tok){ .at = at };
	if (!s[at])
		t->type = T_END;
	else if (s[at] == '"' || s[at] == '\'')
		lex_text(s, t);
	else if (isdigit((unsigned char)s[at]) || s[at] == '-')
		lex_number(s, t);
	else if (in_name(s[at]))
		lex_name(s, t);
	else
		lex_op(s, t);
}

static int hexval(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	return isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

int kp_expr_pattern(struct kp_expr *e, const char *s, size_t len, struct konst *k)
{
	k->pat = kp_expr_alloc(e, (len + 1) * sizeof(*k->pat));
	if (!k->pat)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		uint16_t c = (uint8_t)s[i];

		if (c == '*') {
			c = WILD;
			k->wild = true;
		} else if (c == '\\' && i + 3 < len && s[i + 1] == 'x' && hexval(s[i + 2]) >= 0 && hexval(s[i + 3]) >= 0) {
			c = (unsigned)hexval(s[i + 2]) << 4 | (unsigned)hexval(s[i + 3]);
			i += 3;
		} else if (c == '\\' && i + 1 < len && strchr("\\\"'*nt", s[i + 1])) {
			c = (uint8_t)s[++i];
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		k->pat[k->len++] = c;
	}
	return 0;
}

/* Only the last WILD needs to be tried again: at most len * pattern steps. */
bool kp_expr_glob(const struct konst *k, const uint8_t *s, size_t len)
{
	size_t i = 0, p = 0, back_p = SIZE_MAX, back_i = 0;

	if (!k->wild && k->len != len)
		return false;
	while (i < len) {
		if (p < k->len && k->pat[p] == WILD) {
			back_p = ++p;
			back_i = i;
		} else if (p < k->len && k->pat[p] == s[i]) {
			p++;
			i++;
		} else if (back_p != SIZE_MAX) {
			p = back_p;
			i = ++back_i;
		} else {
			return false;
		}
	}
	while (p < k->len && k->pat[p] == WILD)
		p++;
	return p == k->len;
}
