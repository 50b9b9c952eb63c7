// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * Programs whose counts are known by construction, by the rule of llvm-cov: the count of a line is the
 * greatest of the regions that start on it and of the one that goes on from the line before.
 *
 * truth runs N times; the first byte of its packet is 0, 1, 2 and 3 for a quarter of them each, the second
 * is 0. Beside each line with code stands what a report must say about it:
 *
 *   want VALUE [before X.Y|since X.Y] [, VALUE ...]   the line: a count, or a status
 *   branch TRUE:FALSE [before X.Y|since X.Y] [, ...]  one for each condition on the line, from left to right
 *   maybe ...                                         the same, where only some LLVM majors have the branch
 *
 * The clauses are parted by semicolons; see ParseWants.
 */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#define BPF_MAP_TYPE_PROG_ARRAY 3
#define XDP_PASS 2 // want N

struct xdp_md {
	__u32 data, data_end;
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "truth.h"

/* Without the ?: that libbpf's KERNEL_VERSION has, which would be a branch of its own. */
#define VERSION(a, b) (((a) << 16) + ((b) << 8)) // want 2*N

extern int LINUX_KERNEL_VERSION __kconfig;

enum bpf_func_id___loop { BPF_FUNC_loop___loop = 181 };

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 off_switch = 0; /* the loader leaves it alone */
const volatile __u32 on_switch = 0;  /* the loader sets it to 1 */

/* Keeps the compiler from computing everything at compile time. */
__u64 sink = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} stages SEC(".maps");

/*
 * Only called here and there; a subprogram of its own, but not on a kernel without a JIT, which has no tail calls in
 * programs with subprograms.
 */
#ifndef SUBPROGRAM
#define SUBPROGRAM __attribute__((noinline))
#endif
static SUBPROGRAM int subprogram(int kind)
{                       // want 5*N/4
	if (kind == 2)      // want 5*N/4; branch N/2:3*N/4
		return 1;       // want N/2
	sink++;             // want 3*N/4
	return kind + 2;    // want 3*N/4
}                       // want 5*N/4

/* Nobody calls it, so that the compiler drops it. */
static inline __attribute__((unused)) int unused_helper(int x)
{                       // want missed
	return x + 1;       // want missed
}                       // want missed

static int loops(int kind)
{                                   // want N
	int sum = 0;                    // want N

	for (int i = 0; i < 4; i++)     // want 5*N; branch 4*N:N
		sum += i;                   // want 4*N

	for (int i = 0; i < kind; i++)  // want 10*N/4; branch 6*N/4:N
		sink += i;                  // want 6*N/4

	for (int i = 0; i < 2; i++) {   // want 9*N/4; branch 7*N/4:N/2
		if (i == kind)              // want 7*N/4; branch N/2:5*N/4
			break;                  // want N/2
		if (i == 0)                 // want 5*N/4; branch 3*N/4:N/2
			continue;               // want 3*N/4
		sum += 3;                   // want N/2
	}                               // want N/2

	do {                            // want 10*N/4
		sink += 2;                  // want 10*N/4
	} while (kind-- > 0);           // want 10*N/4; branch 6*N/4:N
	return sum;                     // want N
}                                   // want N

static int logic(int kind, int extra)
{                                     // want N
	int r = 0;                        // want N

	if (kind > 0 && kind < 3)         // want N; branch 3*N/4:N/4; branch N/2:N/4
		r |= 1;                       // want N/2
	if (kind == 0 || kind == 3)       // want N; branch N/4:3*N/4; branch N/4:N/2
		r |= 2;                       // want N/2
	if (extra > 5 && sink++)          // want N; branch 0:N; branch 0:0
		r |= 4;                       // want missed
	r += kind & 1 ?                   // want N; branch N/2:N/2
		     subprogram(kind - 1) :   // want N/2
		     kind + 7;                // want N
	return r;                         // want N
}                                     // want N

static int choose(int kind, int extra)
{                                     // want N
	int r = 0;                        // want N

	switch (kind + extra) {           // want N
	case 0:                           // want N/4; branch N/4:3*N/4
		r = 5;                        // want N/4
		break;                        // want N/4
	case 1:                           // want N/4; branch N/4:3*N/4
		sink += 3;                    // want N/4
		/* fall through */
	case 2:                           // want N/2; branch N/4:3*N/4
		r = subprogram(2 * kind - 2); // want N/2
		break;                        // want N/2
	case 77:                          // want missed; branch 0:N
		r = 77;                       // want missed
		break;                        // want missed
	default:                          // want N/4; branch N/4:3*N/4
		r = subprogram(kind);         // want N/4
		break;                        // want N/4
	}                                 // want N
	return r;                         // want N
}                                     // want N

/*
 * What only an "else" counts has no counter of its own, and the compiler merges r += 3 with r += 4, so that
 * neither has instructions of its own: that a kernel never runs one side shows in the shape of the code.
 */
static int versions(void)
{                                                              // want N
	int r = 0;                                                 // want N

	if (LINUX_KERNEL_VERSION < VERSION(6, 2)) {                 // want N; branch N:eliminated before 6.2, eliminated:N since 6.2
		sink += 5;                                             // want N before 6.2, eliminated since 6.2
		r = 1;                                                 // want N before 6.2, eliminated since 6.2
	} else {                                                   // want N
		bpf_get_prandom_u32();                                 // want eliminated before 6.2, N since 6.2
		bpf_get_smp_processor_id();                            // want eliminated before 6.2, N since 6.2
	}                                                          // want eliminated before 6.2, N since 6.2
	bpf_get_prandom_u32();                                     // want N
	if (bpf_core_enum_value_exists(enum bpf_func_id___loop, BPF_FUNC_loop___loop)) // want N; branch eliminated:N before 5.17, N:eliminated since 5.17
		sink += 7;                                             // want eliminated before 5.17, N since 5.17
	else                                                       // want N before 5.17, eliminated since 5.17
		bpf_get_prandom_u32();                                 // want N before 5.17, eliminated since 5.17
	if (LINUX_KERNEL_VERSION >= VERSION(6, 2))                 // want N; branch eliminated:N before 6.2, N:eliminated since 6.2
		r += 3;                                                // want eliminated before 6.2, N since 6.2
	else                                                       // want N before 6.2, eliminated since 6.2
		r += 4;                                                // want N before 6.2, eliminated since 6.2
	if (off_switch)                                            // want N; branch eliminated:N
		sink += 9;                                             // want eliminated
	if (!on_switch)                                            // want N; branch eliminated:N
		return subprogram(1);                                  // want eliminated
	return r;                                                  // want N
}                                                              // want N

static int compiler(int kind)
{                                       // want N
	int four = 4;                       // want N

	if (sizeof(kind) != 4)              // want N; maybe 0:N
		sink++;                         // want missed
	if (four * four != 16)              // want N; branch 0:N
		sink++;                         // want missed
	return kind;                        // want N
}                                       // want N

SEC("xdp")
int truth(struct xdp_md *ctx)
{                                                   // want N
	const __u8 *data = (void *)(long)ctx->data;     // want N
	const __u8 *end = (void *)(long)ctx->data_end;  // want N
	int kind, extra, r;                             // want N

	if (data + 2 > end)                             // want N; branch 0:N
		return XDP_PASS;                            // want missed
	kind = data[0] & 3;                             // want N
	extra = data[1]; /* always 0 */                 // want N

	r = parity(kind);                               // want N
	r += loops(kind) + logic(kind, extra);          // want N
	r += choose(kind, extra) + versions();          // want N
	r += compiler(kind);                            // want N
	r += parity(r | 1);                             // want N
	sink += r;                                      // want N
	if (kind == 3) {                                // want N; branch N/4:3*N/4
		bpf_tail_call(ctx, &stages, 0);             // want N/4
		/*
		 * Clang takes every call to return, so only a label starts a new count here.
		 */
returned: __attribute__((unused));                  // want N/4
		sink++;                                     // want missed
	}                                               // want missed
	sink++;                                         // want N
	return XDP_PASS;                                // want 3*N/4
}                                                   // want N

SEC("xdp")
int stage(struct xdp_md *ctx)
{                                                   // want N/4
	sink += 11;                                     // want N/4
	return XDP_PASS;                                // want N/4
}                                                   // want N/4

/* The loader does not load it. */
SEC("xdp")
int never(struct xdp_md *ctx)
{                                                   // want not-loaded
	return XDP_PASS;                                // want not-loaded
}                                                   // want not-loaded

/* The verifier refuses it. */
SEC("xdp")
int refused(struct xdp_md *ctx)
{                                                   // want rejected
	return *(volatile int *)8;                      // want rejected
}                                                   // want rejected
