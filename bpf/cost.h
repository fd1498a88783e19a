/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What the programs themselves take: one run in COST_EVERY of each CPU is timed, so that all others pay for a counter
 * only. (The kernel's own run-time statistics read the clock twice in each run.)
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cost);
} costs SEC(".maps");

static __always_inline __u64 cost_begin(void)
{
	struct cost *c;
	__u32 zero = 0;

	if (!cfg.cost || !(c = bpf_map_lookup_elem(&costs, &zero)) || ++c->until < COST_EVERY)
		return 0;
	c->until = 0;
	return bpf_ktime_get_ns();
}

static __noinline int cost_end(__u64 began, __u32 class)
{
	__u64 took = bpf_ktime_get_ns() - began;
	struct cost *c;
	__u32 zero = 0;

	if (!(c = bpf_map_lookup_elem(&costs, &zero)) || class >= COST_CLASSES)
		return 0;
	c->runs[class]++;
	c->ns[class] += took < COST_MAX_NS ? took : COST_MAX_NS;
	return 0;
}

/* As libbpf has it, and timed. COST is the class of what follows. */
#undef BPF_PROG
#define BPF_PROG(name, args...)								\
name(unsigned long long *ctx);								\
static __always_inline typeof(name(0)) ____##name(unsigned long long *ctx, ##args);	\
typeof(name(0)) name(unsigned long long *ctx)						\
{											\
	__u64 began = cost_begin();							\
	int rc;										\
	_Pragma("GCC diagnostic push")							\
	_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")				\
	rc = ____##name(___bpf_ctx_cast(args));						\
	_Pragma("GCC diagnostic pop")							\
	if (began)									\
		cost_end(began, COST);							\
	return rc;									\
}											\
static __always_inline typeof(name(0)) ____##name(unsigned long long *ctx, ##args)
