// Programs that a kernel refuses because of their counters, and in spite of them.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX 256

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[MAX]);
} scratch SEC(".maps");

// Without a counter in the branch clang 14 to 19 make a minimum of it; with one they compare len, and the verifier learns nothing about
// size. A branch that does nothing but clamp is a minimum either way.
static __always_inline void clamped(char *event, __u32 len)
{
	__u32 size = 56 + len;
	__u64 flags = 0;

	if (size > MAX) {
		size = MAX;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	bpf_ringbuf_output(&events, event, size, flags);
}

static __always_inline void clamped_again(char *event, __u32 len)
{
	__u32 size = 24 + len;
	__u64 flags = 0;

	if (size > MAX) {
		size = MAX;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	bpf_ringbuf_output(&events, event, size, flags);
}

SEC("tc")
int emit(struct __sk_buff *skb)
{
	__u32 zero = 0;
	char *event = bpf_map_lookup_elem(&scratch, &zero);

	if (event)
		clamped(event, skb->len);
	return 0;
}

// Comes to light when emit loads: the loader goes no further before.
SEC("tc")
int second(struct __sk_buff *skb)
{
	__u32 zero = 0;
	char *event = bpf_map_lookup_elem(&scratch, &zero);

	if (event)
		clamped_again(event, skb->len);
	return 0;
}

// Loads whatever is counted in it.
SEC("tc")
int fine(struct __sk_buff *skb)
{
	if (skb->len > MAX)
		return 2;
	return 0;
}

// Loads nowhere, and the loader knows it: a probe for a feature.
SEC("tc")
int optional(struct __sk_buff *skb)
{
	static void (*const missing)(void) = (void *)9999;

	missing();
	return 0;
}
