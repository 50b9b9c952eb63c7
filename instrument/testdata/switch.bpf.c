// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
//
// Regions that the kernel's verifier removes, because off is 0 in a frozen map, and sibling regions
// that it keeps. load_test.go looks for their updates in the translated program.

typedef unsigned int u32;
typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

const volatile int off = 0;
volatile u64 sink;

static __attribute__((noinline)) int sub(int v) { // live
	if (off) { // dead
		sink += v;
		return 3;
	} else { // live
		sink += 1;
	}
	return v & 7;
}

SEC("xdp") int prog(struct xdp_md *ctx) { // live
	int r = 1;
	u32 q = ctx->rx_queue_index;

	if (off) { // dead
		r = 2;
	} else { // live
		r = 3;
	}
	// Siblings that differ in nothing but their counter are the ones a compiler likes to merge.
	if (q & 1) { // live
		sink += 1;
	} else { // live
		sink += 1;
	}
	if (q & 2) { // live
		r++;
	} else { // live
		r++;
	}
	switch (q & 12) {
	case 0: // live
		r += 5;
		break;
	case 4: // live
		r += 5;
		break;
	case 8: // live
		if (off) { // dead
			r += 9;
		}
		break;
	}
	r += off
		     ? 5 // dead
		     : 6;
	sink += r;
	return sub(q) == 1
		       ? 1 // live
		       : 2;
}

char LICENSE[] SEC("license") = "GPL";
