#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __noinline int verdict(long size)
{
	if (size > 50) //= 5
		return XDP_DROP; //= 5
	return XDP_PASS; //= 0
}

SEC("xdp")
int filter_out(struct xdp_md *ctx)
{
	return verdict((long)ctx->data_end - (long)ctx->data); //= 5
}
