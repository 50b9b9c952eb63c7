#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

SEC("xdp")
int odd(struct xdp_md *ctx)
{
	long size = (long)ctx->data_end - (long)ctx->data; //= 7

	if (size % 2 == 1) //= 7
		return XDP_PASS; //= 3
	return XDP_DROP; //= 4
}
