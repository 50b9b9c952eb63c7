// A loader with a skeleton (bpftool gen skeleton): the object is inside the program.
#include <stdio.h>
#include <sys/types.h>

#include <bpf/bpf.h>

#include "probe.skel.h"

int main(void)
{
	struct probe *skel = probe__open_and_load();
	char data[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = sizeof(data), .repeat = 3);

	if (!skel) {
		perror("probe: cannot be loaded");
		return 1;
	}
	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.counted), &opts)) {
		perror("counted");
		return 1;
	}
	probe__destroy(skel);
	return 0;
}
