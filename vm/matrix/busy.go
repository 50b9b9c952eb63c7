package matrix

import (
	"fmt"
	"os"
	"runtime"
	"slices"
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
