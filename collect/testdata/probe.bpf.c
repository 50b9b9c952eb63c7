// A probe with counters written by hand, so that the tests of the watcher need no pass. The layout is
// that of collect/layout.go.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define N 4

struct block {
	char magic[8];
	__u16 version, width;
	__u32 n;
	__u8 id[16];
	__u32 size, zero;
	__u64 counters[N];
};

// No BTF variable, as with the pass, is not possible in C; static comes closest.
static struct block block __attribute__((section(".data.bpfcov"), used, aligned(8))) = {
	.magic = { 'B', 'P', 'F', 'C', 'O', 'V', 0x1a, 0x01 },
	.version = 1,
	.width = 8,
	.n = N,
	.id = { 0xcc, 'p', 'r', 'o', 'b', 'e' },
	.size = sizeof(struct block),
};

#define COUNT(i)                                                                                     \
	({                                                                                           \
		__sync_fetch_and_add(&block.counters[i], 1);                                         \
		asm volatile("" ::: "memory");                                                       \
	})

const volatile int enabled = 0;

SEC("socket")
int counted(struct __sk_buff *skb)
{
	COUNT(0);
	if (enabled)
		COUNT(1);
	else
		COUNT(2);
	return 0;
}

SEC("socket")
int another(struct __sk_buff *skb)
{
	COUNT(3);
	return 1;
}

char _license[] SEC("license") = "GPL";
