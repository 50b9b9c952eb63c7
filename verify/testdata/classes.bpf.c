// A program for each way in which a load can end. Built by the test with clang -g -O2 -target bpf.
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
typedef unsigned int u32;
typedef unsigned long long u64;
char _license[] SEC("license") = "GPL";

struct xdp_md { u32 data, data_end; };
struct __sk_buff { u32 len; };

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*no_such_helper)(void) = (void *)4000;
static u64 (*bpf_get_socket_cookie)(void *ctx) = (void *)46;

struct { __uint(type, 1); __uint(max_entries, 1 << 30); __type(key, u32); __type(value, u64); __uint(pinning, 1); } huge SEC(".maps");
struct { __uint(type, 27); } ring_without_size SEC(".maps");
struct { __uint(type, 999); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } unknown_type SEC(".maps");

SEC("xdp") int fine(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *v = bpf_map_lookup_elem(&huge, &key);
	return v ? *v & 1 : 2;
}
SEC("xdp") int ring(struct xdp_md *ctx) { return bpf_map_lookup_elem(&ring_without_size, ctx) ? 1 : 2; }
SEC("xdp") int null_check(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *v = bpf_map_lookup_elem(&huge, &key);
	return *v & 1;
}
SEC("xdp") int helper(struct xdp_md *ctx) { return no_such_helper() & 1; }
SEC("xdp") int helper_of_others(struct xdp_md *ctx) { return bpf_get_socket_cookie(ctx) & 1; }
SEC("xdp") int map_type(struct xdp_md *ctx)
{
	u32 key = 0;
	return bpf_map_lookup_elem(&unknown_type, &key) ? 1 : 2;
}
SEC("xdp") int limits(struct xdp_md *ctx)
{
	u32 x = ctx->data;
	for (volatile u32 i = 0; i < x; i++)
		;
	return 2;
}
extern int no_such_kfunc(int x) __attribute__((section(".ksyms")));
SEC("tc") int kfunc(struct __sk_buff *ctx) { return no_such_kfunc(1); }

struct task_struct { int no_such_field; } __attribute__((preserve_access_index));
SEC("raw_tp/sched_switch") int core(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[1];
	return __builtin_preserve_field_info(t->no_such_field, 0) ? 1 : 0;
}
SEC("fentry/no_such_function") int attach(u64 *ctx) { return 0; }
SEC("fentry") int no_target(u64 *ctx) { return 0; }
SEC("freplace/f") int replacement(struct __sk_buff *skb) { return skb->len; }
SEC("freplace/f") int replacement_of_what(int x) { return x; }
SEC("strange") int strange_xdp(struct xdp_md *ctx) { return 2; }
SEC("strange") int strange_void(void *ctx) { return 2; }
