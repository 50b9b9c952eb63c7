#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "size.h"

char _license[] SEC("license") = "GPL";

SEC("xdp")
int egress(struct xdp_md *ctx)
{
	if (size_of(ctx) == 14) //= 2
		return XDP_ABORTED; //= 0
	return XDP_PASS; //= 2
}
