/* What both programs ask of a packet. */
static __always_inline long size_of(struct xdp_md *ctx)
{
	return (long)ctx->data_end - (long)ctx->data; //= 5
}
