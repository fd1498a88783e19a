/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Is this CPU in an interrupt, and how much time do they take? No rows. */

/* Neither softirqs nor hard interrupts nest in their own kind; a hard one may come inside a soft one. */
static __always_inline int hard_enter(void)
{
	struct cpu_state *c = this_cpu();

	if (c)
		c->hard_at = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int hard_exit(void)
{
	struct cpu_state *c = this_cpu();
	__u64 took;

	if (!c || !c->hard_at)
		return 0;
	took = bpf_ktime_get_ns() - c->hard_at;
	c->hard_at = 0;
	c->hard_ns += took;
	if (c->soft_at)
		c->soft_at += took;	/* not the softirq's time */
	return 0;
}

/*
 * Not the interrupts by which CPUs call each other: they wake nobody themselves, and to switch their tracepoints
 * on is to patch the very code that the patching calls other CPUs with.
 */
#define HARD(name, enter, exit) \
	SEC("tp_btf/" #enter) int BPF_PROG(enter) { return hard_enter(); } \
	SEC("tp_btf/" #exit) int BPF_PROG(exit) { return hard_exit(); }

HARD(irq_handler, irq_handler_entry, irq_handler_exit)
HARD(local_timer, local_timer_entry, local_timer_exit)
HARD(irq_work, irq_work_entry, irq_work_exit)

SEC("tp_btf/softirq_entry")
int BPF_PROG(softirq_entry, unsigned int vec)
{
	struct cpu_state *c = this_cpu();

	if (c)
		c->soft_at = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(softirq_exit, unsigned int vec)
{
	struct cpu_state *c = this_cpu();

	if (!c || !c->soft_at)
		return 0;
	c->soft_ns += bpf_ktime_get_ns() - c->soft_at;
	c->soft_at = 0;
	return 0;
}
