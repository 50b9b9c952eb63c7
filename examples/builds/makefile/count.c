/* Loads both objects through their skeletons and runs each program a few times. */
#include <stdio.h>

#include <bpf/bpf.h>

#include "egress.skel.h"
#include "ingress.skel.h"

static int run(struct bpf_program *prog, unsigned size)
{
	static char packet[256];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = size, .repeat = 1);
	int err = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);

	return err ? err : (int)opts.retval;
}

int main(void)
{
	struct ingress_bpf *in = ingress_bpf__open();
	struct egress_bpf *out = egress_bpf__open_and_load();

	if (!in || !out)
		return 1;
	in->rodata->limit = 200;
	if (ingress_bpf__load(in))
		return 1;
	if (run(in->progs.ingress, 100) != XDP_PASS || run(in->progs.ingress, 201) != XDP_DROP ||
	    run(in->progs.ingress, 202) != XDP_DROP || in->bss->dropped != 2)
		return 1;
	if (run(out->progs.egress, 15) != XDP_PASS || run(out->progs.egress, 16) != XDP_PASS)
		return 1;
	puts("ok");
	ingress_bpf__destroy(in);
	egress_bpf__destroy(out);
	return 0;
}
