// A loader with a light skeleton (bpftool gen skeleton -L): maps and programs are made by a BPF program.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "probe.lskel.h"

int main(int argc, char **argv)
{
	struct probe *skel = probe__open_and_load();
	char data[64] = {};
	union bpf_attr attr = {};

	if (!skel) {
		fprintf(stderr, "probe: cannot be loaded\n");
		return 1;
	}
	attr.test.prog_fd = skel->progs.counted.prog_fd;
	attr.test.data_in = (long)data;
	attr.test.data_size_in = sizeof(data);
	attr.test.repeat = 3;
	if (skel_sys_bpf(BPF_PROG_TEST_RUN, &attr, sizeof(attr)) < 0) {
		perror("counted");
		return 1;
	}
	if (argc > 1)
		_exit(0); // at once
	return getchar() == EOF; // stays until it is told
}
