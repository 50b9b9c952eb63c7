// Programs that need something of a certain kernel. docs/verify.md shows what comes of them.
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __ksym __attribute__((section(".ksyms")))
typedef unsigned int u32;
typedef unsigned long long u64;
char _license[] SEC("license") = "GPL";

struct __sk_buff { u32 len; };
struct xdp_md { u32 data, data_end; };

// A loop with a bound (5.3).
SEC("xdp") int bounded_loop_5_3(struct xdp_md *ctx)
{
	volatile u32 sum = 0;
	for (u32 i = 0; i < 50; i++)
		sum += i;
	return sum & 1;
}

// A helper that calls back (5.17).
static long (*bpf_loop)(u32 n, void *callback, void *ctx, u64 flags) = (void *)181;
static int step(u32 i, u32 *sum)
{
	*sum += i;
	return 0;
}
SEC("xdp") int bpf_loop_5_17(struct xdp_md *ctx)
{
	u32 sum = 0;
	bpf_loop(50, step, &sum, 0);
	return sum & 1;
}

// An atomic addition that returns the value (5.12; by the JIT of arm64 5.18).
u64 counter;
SEC("xdp") int fetch_atomic_5_12(struct xdp_md *ctx) { return __sync_fetch_and_add(&counter, 1) & 1; }

// A map of user space's own pages (6.9), and kernel functions of a type of program that may sleep.
struct { __uint(type, 33); __uint(map_flags, 1 << 10); __uint(max_entries, 1); } arena SEC(".maps");
extern void *bpf_arena_alloc_pages(void *map, void *addr, u32 pages, int node, u64 flags) __ksym;
SEC("syscall") int arena_6_9(void *ctx) { return bpf_arena_alloc_pages(&arena, 0, 1, -1, 0) ? 0 : 1; }

// Kernel functions: an open-coded iterator (6.4), one over bits (6.11).
struct bpf_iter_num { u64 opaque[1]; } __attribute__((aligned(8)));
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
SEC("tc") int iter_num_6_4(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *i, sum = 0;
	bpf_iter_num_new(&it, 0, 10);
	while ((i = bpf_iter_num_next(&it)))
		sum += *i;
	bpf_iter_num_destroy(&it);
	return sum;
}

struct bpf_iter_bits { u64 opaque[2]; } __attribute__((aligned(8)));
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign, u32 words) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;
SEC("tc") int iter_bits_6_11(struct __sk_buff *skb)
{
	struct bpf_iter_bits it;
	u64 word = skb->len;
	int n = 0;
	bpf_iter_bits_new(&it, &word, 1);
	while (bpf_iter_bits_next(&it))
		n++;
	bpf_iter_bits_destroy(&it);
	return n;
}
