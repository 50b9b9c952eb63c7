#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "size.h"

char _license[] SEC("license") = "GPL";

const volatile long limit = 100;
long dropped;

SEC("xdp")
int ingress(struct xdp_md *ctx)
{
	if (size_of(ctx) > limit) { //= 3
		dropped++; //= 2
		return XDP_DROP; //= 2
	}
	return XDP_PASS; //= 1
}
