#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

SEC("xdp")
int embed(struct xdp_md *ctx)
{
	if ((long)ctx->data_end - (long)ctx->data < 20) //= 3
		return XDP_DROP; //= 1
	return XDP_PASS; //= 2
}
