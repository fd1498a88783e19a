/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict: compares what kp-causal said (-f json) with what the demo knows:
 * the kind of the fault and the pid of the process that it started. With
 * --witness it also compares times with the kernel's delay accounting.
 *
 * The witness's totals grow when a wait ends: growth by d, seen at time t, is
 * taken as a wait from t - d to t, and cut to the time that kp-causal explains.
 * So the two may differ by one polling interval at either end.
 *
 * No wait can be longer than the time since the thread's last one ended; yet
 * kernels since 6.12 count such: where a sleeper's dequeue is delayed,
 * delayacct_blkio_start() notes the time for whoever is current, and at its end
 * the sleeper's wait is counted from the start of an earlier one (or from boot).
 * What is impossible is cut off, and how much is said.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number, or a string that holds one: those above 2^53 are strings. */
static int64_t num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	if (json_is_string(v))
		return strtoll(json_string_value(v), NULL, 10);
	return json_is_real(v) ? (int64_t)json_real_value(v) : (int64_t)json_integer_value(v);
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static bool in_list(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; n && (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ',') && (!p[n] || p[n] == ','))
			return true;
	return false;
}

/* The target of this request; the first one when id is NULL. The text is one object, several, or an array. */
static json_t *load(const char *path, const char *id)
{
	json_error_t e;
	FILE *f = strcmp(path, "-") ? fopen(path, "r") : stdin;
	if (!f) {
		perror(path);
		return NULL;
	}
	json_t *root, *found = NULL;
	while (!found && (root = json_loadf(f, JSON_DISABLE_EOF_CHECK, &e))) {
		size_t n = json_is_array(root) ? json_array_size(root) : 1;
		for (size_t i = 0; i < n && !found; i++) {
			json_t *t = json_is_array(root) ? json_array_get(root, i) : root;
			if (json_object_get(t, "causes") && (!id || !strcmp(text(json_object_get(t, "target"), "request"), id)))
				found = json_incref(t);
		}
		json_decref(root);
	}
	if (f != stdin)
		fclose(f);
	if (!found)
		fprintf(stderr, "verdict: %s: no account of %s\n", path, id ? id : "a request");
	return found;
}

/* ---- time per cause against the witness ---- */

enum { CPU, IO, RECLAIM, NCLASS };
static const char *const class_name[NCLASS] = { "waiting for a CPU", "waiting for a disk", "reclaiming memory" };

static int class_of(const char *cause)
{
	if (!strncmp(cause, "cpu.", 4))
		return strcmp(cause, "cpu.self") ? CPU : -1;
	if (!strcmp(cause, "memory.reclaim"))
		return RECLAIM;
	if (!strcmp(cause, "memory.refault") || !strcmp(cause, "memory.fault") || !strncmp(cause, "disk.", 5) || !strncmp(cause, "fs.", 3))
		return IO;
	return -1;
}

struct span { int64_t from, to; };	/* CLOCK_MONOTONIC */

/* How much of the wait from..to lies in the window? */
static int64_t within(struct span s, int64_t from, int64_t to)
{
	int64_t a = from > s.from ? from : s.from, b = to < s.to ? to : s.to;
	return b > a ? b - a : 0;
}

/* When did the client send this request? From the load generator's log. */
static int64_t sent_at(const char *log, const char *id)
{
	char line[256], got[64];
	int64_t t = -1, v;
	FILE *f = fopen(log, "r");
	while (f && t < 0 && fgets(line, sizeof line, f))
		if (sscanf(line, "%63s %*s %*s %*s %" SCNd64, got, &v) == 2 && !strcmp(got, id))
			t = v;
	if (f)
		fclose(f);
	return t;
}

static bool compare(const json_t *why, const char *csv, const char *log)
{
	const json_t *target = json_object_get(why, "target"), *path = json_object_get(why, "path"), *p;
	int64_t start = num(target, "start_ns"), sent = sent_at(log, text(target, "request"));
	size_t i, np = json_array_size(path);
	if (sent < 0 || !np) {
		printf("  witness: no %s to compare\n", np ? "line in the load generator's log" : "path");
		return false;
	}
	FILE *f = fopen(csv, "r");
	char line[512];
	if (!f || !fgets(line, sizeof line, f)) {
		printf("  witness: %s is empty\n", csv);
		if (f)
			fclose(f);
		return false;
	}
	/* from_ns may count from the start of the request, or be a time like start_ns */
	struct span whole = { INT64_MAX, 0 };
	int64_t said[NCLASS] = { 0 }, saw[NCLASS] = { 0 }, last[NCLASS] = { 0 }, ended[NCLASS] = { 0 }, cut = 0;
	int64_t tid = 0;
	bool known = false;
	/* the witness's thread on the path: take the tid from the file, line by line */
	int64_t tids[256];
	size_t nt = 0;
	while (fgets(line, sizeof line, f)) {
		int64_t t = strtoll(strchr(line, ',') ? strchr(line, ',') + 1 : "0", NULL, 10);
		size_t k = 0;
		while (k < nt && tids[k] != t)
			k++;
		if (k == nt && nt < 256)
			tids[nt++] = t;
	}
	json_array_foreach(path, i, p) {
		for (size_t k = 0; k < nt; k++)
			if (tids[k] == num(p, "tid"))
				tid = tids[k];
	}
	if (!tid) {
		printf("  witness: the path does not go through a thread that was watched\n");
		fclose(f);
		return false;
	}
	json_array_foreach(path, i, p) {
		int64_t from = num(p, "from_ns"), dur = num(p, "dur_ns");
		if (from > start / 2 && start > INT64_C(1000000000000))
			from -= start;
		from += sent;
		if (from < whole.from)
			whole.from = from;
		if (from + dur > whole.to)
			whole.to = from + dur;
		if (num(p, "tid") != tid)
			continue;
		int c = class_of(text(p, "cause"));
		if (c >= 0)
			said[c] += dur;
	}
	rewind(f);
	if (!fgets(line, sizeof line, f))
		line[0] = 0;
	while (fgets(line, sizeof line, f)) {
		int64_t t, id, cpu, io, swapin, reclaim;
		if (sscanf(line, "%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%" SCNd64, &t, &id, &cpu, &io, &swapin, &reclaim) != 6 || id != tid)
			continue;
		int64_t v[NCLASS] = { [CPU] = cpu, [IO] = io, [RECLAIM] = reclaim };
		for (int c = 0; c < NCLASS; c++) {
			int64_t from = t - (v[c] - last[c]);
			if (!known)
				ended[c] = t;
			else if (v[c] != last[c]) {
				if (from < ended[c]) {
					cut += within(whole, from, t) - within(whole, ended[c], t);
					from = ended[c];
				}
				saw[c] += within(whole, from, t);
				ended[c] = t;
			}
			last[c] = v[c];
		}
		known = true;
	}
	fclose(f);
	bool all = true;
	printf("  %-20s %12s %12s   (thread %" PRId64 ")\n", "witness", "kp-causal", "taskstats", tid);
	for (int c = 0; c < NCLASS; c++) {
		double a = (double)said[c] / 1e6, b = (double)saw[c] / 1e6;
		bool ok = fabs(a - b) <= fmax(5, 0.05 * b);
		printf("  %-20s %9.1f ms %9.1f ms   %s\n", class_name[c], a, b, ok ? "agree" : "DIFFER");
		all &= ok;
	}
	if (cut > 1000000)
		printf("  (taskstats had %.1f ms more, in waits longer than the time since the one before: an error of the kernel's)\n", (double)cut / 1e6);
	return all;
}

static const char help[] =
	"usage: verdict [options] WHY.json\n"
	"  --request ID          which target (the first)\n"
	"  --kind A,B --pid N    the first cause must be of such a kind, and its culprit that process\n"
	"  --none                nobody is to blame for memory, and less than 5 % is unknown\n"
	"  --witness CSV --log L compare with the witness; --strict: fail when they differ\n";

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "request", 1, NULL, 'r' }, { "kind", 1, NULL, 'k' }, { "pid", 1, NULL, 'p' }, { "none", 0, NULL, 'n' },
		{ "witness", 1, NULL, 'w' }, { "log", 1, NULL, 'l' }, { "strict", 0, NULL, 's' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	const char *id = NULL, *kinds = NULL, *csv = NULL, *log = NULL;
	int64_t pid = 0;
	bool none = false, strict = false, good;
	for (int c; (c = getopt_long(argc, argv, "h", opts, NULL)) != -1; ) {
		switch (c) {
		case 'r': id = optarg; break;
		case 'k': kinds = optarg; break;
		case 'p': pid = atoll(optarg); break;
		case 'n': none = true; break;
		case 'w': csv = optarg; break;
		case 'l': log = optarg; break;
		case 's': strict = true; break;
		case 'h': fputs(help, stdout); return 0;
		default: fputs(help, stderr); return 2;
		}
	}
	if (optind != argc - 1 || none == (kinds != NULL) || (csv && !log)) {
		fputs(help, stderr);
		return 2;
	}
	json_t *why = load(argv[optind], id), *c, *first = NULL;
	if (!why)
		return 1;
	size_t i;
	double sum = 0, unknown = 0;
	const char *blamed = "";
	json_array_foreach(json_object_get(why, "causes"), i, c) {
		double share = json_number_value(json_object_get(c, "share"));
		sum += share;
		if (!first || num(c, "rank") < num(first, "rank"))
			first = c;
		if (!strcmp(text(c, "kind"), "unknown"))
			unknown += share;
		if (!strncmp(text(c, "kind"), "memory.", 7) && num(json_object_get(c, "culprit"), "pid"))
			blamed = text(c, "kind");
	}
	bool adds = fabs(sum - 1) <= 0.001;
	const json_t *who = first ? json_object_get(first, "culprit") : NULL;
	int64_t seen = num(who, "pid");
	if (none) {
		good = adds && unknown < 0.05 && !*blamed;
		printf("verdict: expected nobody blamed for memory and unknown below 5 %%; saw %s%s, unknown %.1f %%, shares add up to %.4f: %s\n",
		       *blamed ? blamed : "nobody", *blamed ? " blamed" : "", unknown * 100, sum, good ? "right" : "WRONG");
	} else {
		good = adds && first && in_list(kinds, text(first, "kind")) && seen == pid;
		printf("verdict: expected %s by %" PRId64 "; saw %s by %s[%" PRId64 "] (%.0f %%), shares add up to %.4f: %s\n",
		       kinds, pid, first ? text(first, "kind") : "nothing", *text(who, "comm") ? text(who, "comm") : "nobody", seen,
		       first ? 100 * json_number_value(json_object_get(first, "share")) : 0.0, sum, good ? "right" : "WRONG");
	}
	fflush(stdout);
	if (csv && !compare(why, csv, log) && strict)
		good = false;
	json_decref(why);
	return good ? 0 : 1;
}
