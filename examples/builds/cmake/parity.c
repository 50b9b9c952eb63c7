/* Runs the programs of both objects on packets of 14 to 20 bytes: four of an even size, three of an odd one. */
#include <stdio.h>

#include <bpf/bpf.h>

#include "even.skel.h"
#include "odd.skel.h"

static int passed(struct bpf_program *prog)
{
	static char packet[64];
	int n = 0;

	for (unsigned size = 14; size <= 20; size++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = size, .repeat = 1);

		if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
			return -1;
		n += opts.retval == XDP_PASS;
	}
	return n;
}

int main(void)
{
	struct odd_bpf *odd = odd_bpf__open_and_load();
	struct even_bpf *even = even_bpf__open_and_load();
	int ok = odd && even && passed(odd->progs.odd) == 3 && passed(even->progs.even) == 4;

	odd_bpf__destroy(odd);
	even_bpf__destroy(even);
	puts(ok ? "ok" : "failed");
	return !ok;
}
