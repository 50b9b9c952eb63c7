/* Loads the linked object and runs its two programs. */
#include <stdio.h>

#include <bpf/bpf.h>

#include "filters.skel.h"

static int run(struct bpf_program *prog, unsigned size, int want)
{
	static char packet[256];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = size, .repeat = 1);
	int err = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);

	return err || (int)opts.retval != want;
}

int main(void)
{
	struct filters *f = filters__open_and_load();
	int bad = !f;

	if (f) {
		bad |= run(f->progs.filter_in, 60, XDP_PASS);
		bad |= run(f->progs.filter_in, 70, XDP_PASS);
		bad |= run(f->progs.filter_in, 101, XDP_DROP);
		for (int i = 0; i < 5; i++)
			bad |= run(f->progs.filter_out, 60, XDP_DROP);
	}
	filters__destroy(f);
	puts(bad ? "failed" : "ok");
	return bad;
}
