/* SPDX-License-Identifier: BSD-2-Clause */
/* Graph records for the tests of the pictures: the checkout of the README, a quiet one, a huge one, a hostile one. */
#ifndef TESTS_DOT_GRAPHS_H
#define TESTS_DOT_GRAPHS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kp/graph.h>

#define MS 1000000ull
#define WHO(p, name, svc, cg) { .tid = (p), .tgid = (p), .start = 1, .comm = (name), .service = (svc), .cgroup = (cg), .host = "web1" }
#define NOBODY { .comm = "", .service = "", .cgroup = "", .host = "" }
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct kp_evidence refault_ev[] = {
	{ .kind = "mm.refault", .what = "94 of 94 pages evicted in its context", .observed = true },
	{ .kind = "count.mem", .what = "it grew by 150 MB in /kpdemo in the 6 s before", .observed = false },
};
static struct kp_blame refault_blame[] = { { .who = WHO(4721, "batch", "", "/kpdemo"), .share = 1, .why = "evicted 94 of 94 pages" } };

static struct kp_cause checkout_causes[] = {
	{ .kind = KP_C_MEMORY_REFAULT, .ns = 781 * MS, .share = .96, .victim = WHO(3101, "postgres", "postgres", "/kpdemo"),
	  .blame = refault_blame, .nblame = 1, .object = "base/16384/16402", .observed = true, .root = true, .confidence = .97,
	  .runner_up = "", .counterfactual = 31 * MS, .ev = refault_ev, .nev = 2 },
	{ .kind = KP_C_DISK_SYNC, .ns = 17 * MS, .share = .02, .victim = WHO(3101, "postgres", "postgres", "/kpdemo"),
	  .object = "pg_wal", .observed = true, .runner_up = "", .counterfactual = 795 * MS },
	{ .kind = KP_C_CPU_SELF, .ns = 14 * MS, .share = .02, .victim = NOBODY, .object = "", .observed = true, .runner_up = "", .counterfactual = 798 * MS },
};
static struct kp_node checkout_nodes[] = {
	{ .name = "POST /checkout", .type = 0, .who = WHO(2847, "api-worker", "api-worker", "/app"), .ns = 812 * MS, .cause = UINT32_MAX },
	{ .name = "auth, validation", .type = 1, .who = WHO(2847, "api-worker", "api-worker", "/app"), .ns = 800000, .cause = 2 },
	{ .name = "SELECT items, UPDATE items", .type = 1, .who = WHO(3101, "postgres", "postgres", "/kpdemo"), .ns = 798 * MS, .cause = UINT32_MAX },
	{ .name = "COMMIT", .type = 1, .who = WHO(3101, "postgres", "postgres", "/kpdemo"), .ns = 18 * MS, .cause = UINT32_MAX },
	{ .name = "reads 94 pages of base/16384/16402 again", .type = 2, .who = WHO(3101, "postgres", "postgres", "/kpdemo"), .ns = 781 * MS, .cause = 0 },
	{ .name = "on CPU", .type = 2, .who = WHO(3101, "postgres", "postgres", "/kpdemo"), .ns = 13 * MS, .cause = 2 },
	{ .name = "fsync of pg_wal/000000010000000000000001", .type = 2, .who = WHO(3101, "postgres", "postgres", "/kpdemo"), .ns = 17 * MS, .cause = 1 },
	{ .name = "batch[4721]", .type = 3, .who = WHO(4721, "batch", "", "/kpdemo"), .ns = 781 * MS, .cause = 0 },
};
static struct kp_edge checkout_edges[] = {
	{ 0, 1, 800000, true, "" }, { 0, 2, 798 * MS, true, "" }, { 0, 3, 18 * MS, true, "" }, { 2, 4, 781 * MS, true, "" },
	{ 2, 5, 13 * MS, true, "" }, { 3, 6, 17 * MS, true, "" }, { 4, 7, 781 * MS, false, "grew by 150 MB, pushed them out" },
};

static struct kp_graph checkout_graph(const char *request)
{
	return (struct kp_graph){
		.request = (char *)request, .trace = "", .txn = "", .service = "api-worker", .op = "POST /checkout", .outcome = "timeout",
		.target = WHO(2847, "api-worker", "api-worker", "/app"), .dur = 812 * MS, .limit = 750 * MS, .late = 62 * MS,
		.causes = checkout_causes, .ncauses = COUNT(checkout_causes), .nodes = checkout_nodes, .nnodes = COUNT(checkout_nodes),
		.edges = checkout_edges, .nedges = COUNT(checkout_edges),
	};
}

static struct kp_cause quiet_causes[] = {
	{ .kind = KP_C_CPU_SELF, .ns = 9 * MS, .share = .75, .victim = NOBODY, .object = "", .runner_up = "" },
	{ .kind = KP_C_DISK_SYNC, .ns = 3 * MS, .share = .25, .victim = NOBODY, .object = "", .runner_up = "" },
};
static struct kp_node quiet_nodes[] = {
	{ .name = "POST /checkout", .type = 0, .who = WHO(2847, "api-worker", "api-worker", "/app"), .ns = 12 * MS, .cause = UINT32_MAX },
	{ .name = "SELECT items", .type = 1, .who = WHO(3101, "postgres", "postgres", "/kpdemo"), .ns = 9 * MS, .cause = 0 },
	{ .name = "fdatasync of pg_wal", .type = 2, .who = WHO(3101, "postgres", "postgres", "/kpdemo"), .ns = 3 * MS, .cause = 1 },
};
static struct kp_edge quiet_edges[] = { { 0, 1, 9 * MS, true, "" }, { 0, 2, 3 * MS, true, "" } };

static inline struct kp_graph quiet_graph(const char *request)
{
	struct kp_graph g = checkout_graph(request);

	g.outcome = "ok";
	g.limit = g.late = 0;
	g.dur = 12 * MS;
	g.causes = quiet_causes, g.ncauses = COUNT(quiet_causes);
	g.nodes = quiet_nodes, g.nnodes = COUNT(quiet_nodes);
	g.edges = quiet_edges, g.nedges = COUNT(quiet_edges);
	return g;
}

/* The checkout with n more small reads below the database's operation. Free nodes and edges. */
static inline struct kp_graph big_graph(const char *request, uint32_t n)
{
	struct kp_graph g = checkout_graph(request);
	struct kp_node *nodes = calloc(g.nnodes + n, sizeof(*nodes));
	struct kp_edge *edges = calloc(g.nedges + n, sizeof(*edges));

	if (!nodes || !edges)
		abort();
	memcpy(nodes, g.nodes, g.nnodes * sizeof(*nodes));
	memcpy(edges, g.edges, g.nedges * sizeof(*edges));
	for (uint32_t i = 0; i < n; i++) {
		nodes[g.nnodes + i] = (struct kp_node){ .name = "read of base/16384/2619", .type = 2, .who = NOBODY, .ns = 100000 + i, .cause = UINT32_MAX };
		edges[g.nedges + i] = (struct kp_edge){ 2, g.nnodes + i, 100000 + i, true, "" };
	}
	g.nodes = nodes, g.nnodes += n;
	g.edges = edges, g.nedges += n;
	return g;
}

/*
 * As kp-causal writes a request that goes through three services and fails for a lock whose holder waits for a disk:
 * edges named by what they are, culprits that belong to no single cause.
 */
static struct kp_blame lock_blame[] = {
	{ .who = WHO(5120, "postgres", "postgres", "/system.slice/postgresql@15-main.service"), .share = .9,
	  .why = "observed: it held the row lock of UPDATE stock SET quantity, its signal ended the wait; inferred: nothing" },
	{ .who = WHO(5121, "postgres", "postgres", "/system.slice/postgresql@15-main.service"), .share = .1, .why = "inferred: was in the queue before" },
};
static struct kp_blame disk_blame[] = {
	{ .who = WHO(911, "rsync", "", "/user.slice/user-1000.slice/session-4.scope"), .share = .7, .why = "observed: 212 requests ahead in the queue of sdb" },
	{ .who = WHO(6, "kworker/u4:0", "", "/"), .share = .3, .why = "inferred: writeback of sdb" },
};
static struct kp_cause deep_causes[] = {
	{ .kind = KP_C_LOCK, .ns = 1400 * MS, .victim = NOBODY, .blame = lock_blame, .nblame = 2, .object = "", .observed = true,
	  .root = true, .runner_up = "", .counterfactual = 700 * MS },
	{ .kind = KP_C_DISK_READ, .ns = 380 * MS, .victim = NOBODY, .blame = disk_blame, .nblame = 2, .object = "sdb", .observed = true, .runner_up = "" },
	{ .kind = KP_C_NET_RETRANSMIT, .ns = 210 * MS, .victim = NOBODY, .object = "", .observed = true, .runner_up = "" },
	{ .kind = KP_C_CPU_CONTENTION, .ns = 90 * MS, .victim = NOBODY, .object = "", .observed = false, .runner_up = "" },
	{ .kind = KP_C_UNKNOWN, .ns = 20 * MS, .victim = NOBODY, .object = "", .observed = false, .runner_up = "" },
};
static struct kp_node deep_nodes[] = {
	{ .name = "POST /cart/checkout req-4c0ffee-2026-11-25", .type = 0, .who = WHO(2847, "gateway", "gateway", "/"), .ns = 2100 * MS, .cause = UINT32_MAX },
	{ .name = "POST /orders/create", .type = 1, .who = WHO(3001, "java", "order-service", "/"), .ns = 2080 * MS, .cause = UINT32_MAX },
	{ .name = "POST /inventory/reserve", .type = 1, .who = WHO(3100, "inventory", "inventory", "/"), .ns = 1830 * MS, .cause = UINT32_MAX },
	{ .name = "UPDATE stock", .type = 1, .who = WHO(5119, "postgres", "postgres", "/"), .ns = 1800 * MS, .cause = UINT32_MAX },
	{ .name = "waits for a row lock (epoll_wait, woken by SIGURG)", .type = 2, .who = WHO(5119, "postgres", "postgres", "/"), .ns = 1400 * MS, .cause = 0 },
	{ .name = "read of /var/lib/postgresql/15/main/base/16384/16402", .type = 2, .who = WHO(5119, "postgres", "postgres", "/"), .ns = 380 * MS, .cause = 1 },
	{ .name = "retransmit to 10.0.3.17:8080", .type = 2, .who = WHO(3001, "java", "order-service", "/"), .ns = 210 * MS, .cause = 2 },
	{ .name = "runnable", .type = 2, .who = WHO(3001, "java", "order-service", "/"), .ns = 60 * MS, .cause = 3 },
	{ .name = "runnable", .type = 2, .who = WHO(3100, "inventory", "inventory", "/"), .ns = 30 * MS, .cause = 3 },
	{ .name = "unknown", .type = 2, .who = WHO(2847, "gateway", "gateway", "/"), .ns = 20 * MS, .cause = 4 },
	{ .name = "postgres", .type = 3, .who = WHO(5120, "postgres", "postgres", "/system.slice/postgresql@15-main.service"), .ns = 1260 * MS, .cause = UINT32_MAX },
	{ .name = "postgres", .type = 3, .who = WHO(5121, "postgres", "postgres", "/system.slice/postgresql@15-main.service"), .ns = 140 * MS, .cause = UINT32_MAX },
	{ .name = "rsync", .type = 3, .who = WHO(911, "rsync", "", "/user.slice/user-1000.slice/session-4.scope"), .ns = 266 * MS, .cause = UINT32_MAX },
	{ .name = "kworker/u4:0", .type = 3, .who = WHO(6, "kworker/u4:0", "", "/"), .ns = 114 * MS, .cause = UINT32_MAX },
};
static struct kp_edge deep_edges[] = {
	{ 0, 1, 2080 * MS, true, "calls" }, { 1, 2, 1830 * MS, true, "calls" }, { 2, 3, 1800 * MS, true, "calls" },
	{ 3, 4, 1400 * MS, true, "lock" }, { 3, 5, 380 * MS, true, "disk.read" }, { 1, 6, 210 * MS, true, "net.retransmit" },
	{ 1, 7, 60 * MS, false, "cpu.contention" }, { 2, 8, 30 * MS, false, "cpu.contention" }, { 0, 9, 20 * MS, false, "unknown" },
	{ 4, 10, 1260 * MS, true, "by" }, { 4, 11, 140 * MS, false, "by" }, { 5, 12, 266 * MS, true, "by" }, { 5, 13, 114 * MS, false, "by" },
};

static inline struct kp_graph deep_graph(const char *request)
{
	struct kp_graph g = checkout_graph(request);

	g.op = "POST /cart/checkout";
	g.outcome = "failed";
	g.dur = 2100 * MS;
	g.limit = g.late = 0;
	g.losses = 17;
	g.causes = deep_causes, g.ncauses = COUNT(deep_causes);
	g.nodes = deep_nodes, g.nnodes = COUNT(deep_nodes);
	g.edges = deep_edges, g.nedges = COUNT(deep_edges);
	return g;
}

#define HOSTILE "<b>&\"\n\x1b[31m</table>]; evil [label=x"

static struct kp_node hostile_nodes[] = {
	{ .name = HOSTILE, .type = 0, .who = WHO(1, HOSTILE, HOSTILE, HOSTILE), .ns = 12 * MS, .cause = UINT32_MAX },
	{ .name = "\\N \\G \\x1b\\", .type = 3, .who = WHO(2, "\xff\xfe\xe2\x80\xae", "", ""), .ns = 12 * MS, .cause = 0 },
};
static struct kp_edge hostile_edges[] = { { 0, 1, UINT64_MAX, false, HOSTILE }, { 1, 0, 1, true, HOSTILE } };

static inline struct kp_graph hostile_graph(void)
{
	struct kp_graph g = quiet_graph(HOSTILE);

	g.op = g.service = g.trace = HOSTILE;
	g.outcome = HOSTILE;
	g.target = hostile_nodes[0].who;
	g.dur = 0;
	g.nodes = hostile_nodes, g.nnodes = COUNT(hostile_nodes);
	g.edges = hostile_edges, g.nedges = COUNT(hostile_edges);
	return g;
}

#endif
