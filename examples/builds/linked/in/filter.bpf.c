#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

/* The file ../out/filter.bpf.c has a static function of this name, too. */
static __noinline int verdict(long size)
{
	if (size > 100) //= 3
		return XDP_DROP; //= 1
	return XDP_PASS; //= 2
}

SEC("xdp")
int filter_in(struct xdp_md *ctx)
{
	return verdict((long)ctx->data_end - (long)ctx->data); //= 3
}
