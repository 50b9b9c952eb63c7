package matrix

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/vm/guest"
)

// maxStretch bounds by how many times a busy machine makes the timeouts of tests longer.
const maxStretch = 8

// stretch is how many processes want each processor of the machine, from its load average (proc_loadavg(5)): 1 for a
// machine that has nothing else to do.
func stretch(loadavg string, cpus int) float64 {
	var load float64
	if _, err := fmt.Sscan(loadavg, &load); err != nil || !(load > 0) {
		return 1
	}
	return min(max(1, load/float64(max(1, cpus))), maxStretch)
}

// patient gives tests more time on a busy machine. The guest's clock is that of the host, whatever the guest gets to do
// between two of its ticks.
func patient(tests []guest.Test) []guest.Test {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return tests
	}
	by := stretch(string(b), runtime.NumCPU())
	tests = slices.Clone(tests)
	for i := range tests {
		tests[i].Timeout = time.Duration(float64(tests[i].Deadline()) * by).Round(time.Second)
	}
	return tests
}

// jobs is how many cells run at once: one for each CPU of the guests, as emulation needs a core for each,
// and no more than fit into three quarters of the free memory.
func (r *Runner) jobs(cells int) int {
	n := r.Jobs
	if n == 0 {
		n = r.Config.VM.Jobs
	}
	if n == 0 {
		n = runtime.NumCPU() / max(1, r.Config.VM.CPUs)
		// A guest's QEMU needs about half as much again as the guest.
		perCell := max(512, r.Config.VM.Memory) * 3 / 2
		if free := freeMiB(); free > 0 {
			n = min(n, free*3/4/perCell)
		}
	}
	return max(1, min(n, cells))
}

// freeMiB is MemAvailable of /proc/meminfo (proc_meminfo(5)), 0 if not known.
func freeMiB() int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib >> 10
		}
	}
	return 0
}
