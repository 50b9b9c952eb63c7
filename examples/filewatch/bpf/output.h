/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The way of an event to user space: ring buffer, or perf buffer before Linux 5.8. */
#ifndef FILEWATCH_OUTPUT_H
#define FILEWATCH_OUTPUT_H

/* False makes the ring buffer's side unreachable; the loader then changes the type of "events". */
const volatile bool use_ringbuf = true;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20); /* bytes */
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOST_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void count_lost(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&lost, &reason);
	if (n)
		(*n)++;
}

/* send passes e on to user space, without the unused end of its path. */
static __always_inline void send(void *ctx, struct event *e)
{
	__u64 size = __builtin_offsetof(struct event, path) + e->path_len;
	long err;

	/* Or else clang compares path_len instead, and verifiers before 6.8 learn nothing about size. */
	barrier_var(size);
	if (size > sizeof(*e))
		size = sizeof(*e);
	/*
	 * The kernel's own answer is asked for too: it is a constant that the loader writes, and
	 * so it hides bpf_ringbuf_output from kernels that do not fold read-only variables (< 5.5).
	 */
	if (use_ringbuf && bpf_core_type_exists(struct bpf_ringbuf))
		err = bpf_ringbuf_output(&events, e, size, 0);
	else
		err = bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, e, size);
	if (err)
		count_lost(LOST_FULL);
}

#endif
