/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that every tool shares: options, escaping, times as text. */
#ifndef KP_UTIL_H
#define KP_UTIL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stddef.h>

#include <kp/err.h>
#include <kp/kinds.h>
#include <kp/row.h>

#define KP_VERSION "0.1"

enum { KP_EXIT_OK = 0, KP_EXIT_FAIL = 1, KP_EXIT_USAGE = 2 };

/*
 * A tool's options stand in one table: parsing, --help, completion and the
 * check of the man page come from it. The table ends with an all-zero row; a
 * row with a negative key is a heading in --help (its help is the text). An arg
 * like "text|json" lists the values (completed as such), one that ends in FILE,
 * PATH or DIR completes file names.
 */
struct kp_opt {
	int key;		/* short letter, or >= 256 for long-only */
	const char *name;	/* long name without dashes */
	const char *arg;	/* "FILE"; NULL takes none */
	const char *help;
};
struct kp_tool {
	const char *name;	/* "kp-query" */
	const char *usage;	/* "[OPTION]... [FILE]..." */
	const char *about;	/* one line */
	const struct kp_opt *opts; /* own options; -h -V -o -q -v are added to all (and, hidden, --completion bash|zsh|fish, --options) */
	const char *examples;	/* two, each line indented by two blanks */
};
struct kp_common { const char *out; bool quiet; int verbose; };
/*
 * getopt_long over the table. fn gets each own option (return 0, or -errno with err set).
 * Returns the index of the first operand, or -1: the tool must exit now with *status
 * (help, version and usage errors were printed). An option list that stops at the first operand: stop.
 */
int kp_opts(const struct kp_tool *t, int argc, char **argv, bool stop, struct kp_common *c,
	    int (*fn)(void *arg, int key, const char *val, struct kp_err *err), void *arg, int *status);
/*
 * The same from a file: a line is empty, a comment (#), or a long option without its dashes and, behind blanks or
 * "=", its value. Values point into *text, which is to be freed when they are no longer needed; also after an
 * error, of which err says the line. 0 or -errno.
 */
int kp_opts_file(const struct kp_tool *t, const char *path, struct kp_common *c,
		 int (*fn)(void *arg, int key, const char *val, struct kp_err *err), void *arg, char **text, struct kp_err *err);
/*
 * "kp-query: line" on stderr; returns the exit status for rc: 0 for success, and for EPIPE, of which
 * nothing is said (whoever read had enough). Lines of kp_complain and kp_warn are made safe for a terminal.
 */
int kp_complain(const struct kp_tool *t, int rc, const struct kp_err *err);
void kp_warn(const struct kp_tool *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Takes the numbers of standard input, output and error where they are closed, lest a file opened later gets
 * one and what is meant for a terminal is written into it. kp_opts does it.
 */
void kp_reserve_std(void);
/* May text go to fd as binary? -ENOTTY with a line when fd is a terminal. */
int kp_check_binary_out(int fd, struct kp_err *err);
/* Opens c->out ("-" or NULL: stdout) for writing, mode 0600. fd or -errno. */
int kp_open_out(const char *path, struct kp_err *err);
/* Colour wanted on this FILE? A terminal, NO_COLOR unset, TERM not dumb. */
bool kp_color(FILE *f);

/*
 * The one escape: bytes that are not printable UTF-8, and backslash, become \xNN
 * ("\x5c"). Reversible. Also C1 controls, bidi overrides and other invisible
 * format characters. Writes at most cap - 1 bytes and a NUL; returns the length it needs.
 */
size_t kp_escape(char *out, size_t cap, const void *bytes, size_t len);
/* For a line of our own that may quote text from outside: as above, but backslashes stay. */
size_t kp_escape_line(char *out, size_t cap, const char *line);
int kp_escape_to(FILE *f, const void *bytes, size_t len);
char *kp_escape_dup(const void *bytes, size_t len);	/* malloc; NULL: no memory */
size_t kp_unescape(char *s);	/* in place; new length */
/* As the inside of a JSON string: the escape above (whose backslashes JSON doubles), then JSON's own. */
int kp_json_string(FILE *f, const void *bytes, size_t len);

/* Which of n names is nearest to word, NULL when none is near (Damerau-Levenshtein). */
const char *kp_nearest(const char *word, size_t len, const char *const *names, size_t n);

/* "812 ns" "1.9 us" "798.1 ms" "2.50 s" */
char *kp_fmt_dur(char buf[32], uint64_t ns);
char *kp_fmt_bytes(char buf[32], uint64_t n);
/* "2026-11-25T02:45:30.123456789+01:00" */
char *kp_fmt_wall(char buf[48], uint64_t wall_ns, int32_t utc_offset);
/* an obj in words: "tcp 127.0.0.1:80>127.0.0.1:4411", "/etc/passwd", "loop0"; escaped */
char *kp_fmt_obj(char *buf, size_t cap, const struct kp_obj *o);
uint64_t kp_now_mono(void);
uint64_t kp_now_wall(void);

/* A buffer that grows. Zero it to start; kp_buf_free ends. -ENOMEM sticks in err. */
struct kp_buf { uint8_t *p; size_t len, cap; int err; };
int kp_buf_reserve(struct kp_buf *b, size_t more);
int kp_buf_add(struct kp_buf *b, const void *p, size_t n);
int kp_buf_str(struct kp_buf *b, const char *s);
int kp_buf_char(struct kp_buf *b, char c);
int kp_buf_u64(struct kp_buf *b, uint64_t v);
int kp_buf_i64(struct kp_buf *b, int64_t v);
int kp_buf_hex(struct kp_buf *b, uint64_t v);	/* "0x1f" */
int kp_buf_escape(struct kp_buf *b, const void *bytes, size_t len); /* kp_escape */
int kp_buf_json(struct kp_buf *b, const void *bytes, size_t len); /* kp_json_string, without the quotes */
int kp_buf_printf(struct kp_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void kp_buf_free(struct kp_buf *b);

/* ---- values by the unit of their argument ---- */

/* Appends v as a person wants to read it: "-ENOENT", "D", "SIGTERM", "O_RDONLY|O_CLOEXEC", "0x1f". */
int kp_unit_put(struct kp_buf *b, uint8_t unit, uint64_t v);
/* Is a value of this unit signed? */
bool kp_unit_signed(uint8_t unit);
/*
 * The number that a name stands for in a unit: "ENOENT" or "-ENOENT" -> -2 (KP_U_ERR), "SIGTERM" or "TERM",
 * "ESTABLISHED", "softirq", "AF_INET", "FUTEX_WAIT". 0 or -ENOENT. States are letters, see kp_state_letter.
 */
int kp_unit_const(uint8_t unit, const char *name, size_t len, int64_t *v);
/* R S D T t X Z P I of a kernel task state (0: R, preempted or runnable); '?' for none of these. */
char kp_state_letter(uint64_t state);
/* Did a call with this result fail? Only where ret holds -errno, an address or an id. */
bool kp_failed(const struct kp_kind *k, int64_t ret);

int kp_write_all(int fd, const void *p, size_t n);	/* 0 or -errno; retries on EINTR and EAGAIN (poll) */
/* The same from byte *done on, which tells how far it came: after an error it may be tried again. */
int kp_write_on(int fd, const void *p, size_t n, size_t *done);

#endif
