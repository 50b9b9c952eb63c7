package vm

import (
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
)

// QEMU loses the timers of riscv64 and ppc64le with a save. Whether a guest stops for want of its own depends on what it waited for when
// it was saved, so each saved guest is a trial of its own, and one that has resumed tells little about the next. BPFCOV_STATES and
// BPFCOV_RESUMES set how many guests are saved of each kernel, and how often each is resumed; BPFCOV_CPUS how many processors they have.
func TestWarmTimers(t *testing.T) {
	states, resumes := number("BPFCOV_STATES", 1), number("BPFCOV_RESUMES", 1)
	for _, k := range [][2]string{
		{"apt:trixie/6.12", "riscv64"}, {"apt:trixie/6.12", "ppc64le"}, {"apt:sid/7.*", "riscv64"}, {"apt:sid/7.*", "ppc64le"},
	} {
		t.Run(k[1]+" "+k[0], func(t *testing.T) {
			if k[0] != "apt:trixie/6.12" {
				long(t)
			}
			for state := range states {
				resumeOften(t, k[0], k[1], state+1, resumes)
			}
		})
	}
}

func number(env string, n int) int {
	if v, err := strconv.Atoi(os.Getenv(env)); err == nil && v > 0 {
		return v
	}
	return n
}

func resumeOften(t *testing.T, spec, arch string, state, resumes int) {
	c := cell(t, spec, arch, prog("parent", "parent"), prog("bpf", "bpf"), prog("seven", "exit", "7"))
	c.Warm, c.CacheDir, c.CPUs = true, t.TempDir(), number("BPFCOV_CPUS", 1)
	log := c.Events
	c.Events = func(e Event) {
		if e.Kind == EventLog || e.Kind == EventBootFail {
			log(e)
		}
	}
	seen := events(&c)
	want := []outcome{
		{"parent", collect.Passed, 0, "", ""}, {"bpf", collect.Passed, 0, "", ""}, {"seven", collect.Failed, 7, "", "exit status 7"},
	}
	failed := 0
	for n := 1; n <= resumes; n++ {
		res, err := RunCell(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, outcomes(t, res)); diff != "" || !res.Warm || len(res.Logs) != 0 {
			failed++
			t.Errorf("state %d, resume %d: warm %v, logs %q, outcomes (-want +got):\n%s", state, n, res.Warm, res.Logs, diff)
		}
	}
	t.Logf("state %d: %d of %d resumes failed, %d saved", state, failed, resumes, seen[EventSaved])
}
