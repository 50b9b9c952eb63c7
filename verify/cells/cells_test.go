package cells

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/verify"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// TestThresholds boots kernels before and behind what programs need, and compares with the versions in the programs' names.
func TestThresholds(t *testing.T) {
	if testing.Short() {
		t.Skip("boots kernels")
	}
	for _, tool := range []string{"clang-19", "qemu-system-x86_64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	matrices := []config.Matrix{{Kernels: []string{"apt:bullseye/5.10", "apt:bookworm/6.1", "apt:trixie/6.12"}}}
	if os.Getenv("BPFCOV_LONG") != "" {
		matrices[0].Kernels = append(matrices[0].Kernels, "apt:trixie-backports/6.18", "apt:sid/7.*")
		matrices = append(matrices, config.Matrix{Kernels: []string{"apt:bullseye/5.10", "apt:bookworm/6.1", "apt:sid/7.*"}, Arch: []string{"arm64"}})
	}
	object := filepath.Join(t.TempDir(), "thresholds.bpf.o")
	cmd := exec.Command("clang-19", "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-c", "../testdata/thresholds.bpf.c", "-o", object)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range matrices {
		points, err := matrix.Expand(m)
		if err != nil {
			t.Fatal(err)
		}
		r := &Runner{
			Points: points, Inputs: func(string) ([]verify.Input, error) {
				return []verify.Input{{Name: "thresholds.bpf.o", Path: object}}, nil
			},
			Store: &kernels.Store{Dir: os.Getenv("BPFCOV_KERNELS"), Log: t.Logf}, Out: t.TempDir(), ProgramTimeout: 5 * time.Minute, Progress: t.Logf,
		}
		cells, err := r.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range cells {
			if cells[i].Error != "" {
				t.Error(cells[i].Name, cells[i].Error)
				continue
			}
			checkThresholds(t, &cells[i])
		}
	}
}

// refusals are the classes of what is refused.
var refusals = map[string]verify.Class{
	"arena": verify.ClassMapType, "bpf_loop": verify.ClassVerifier, "fetch_atomic": verify.ClassVerifier, "iter_bits": verify.ClassKfunc, "iter_num": verify.ClassKfunc,
}

// needs reads bpf_loop_5_17.
var needs = regexp.MustCompile(`^(.*)_(\d+)_(\d+)$`)

func checkThresholds(t *testing.T, c *verify.Cell) {
	if len(c.Results) != 6 {
		t.Errorf("%s: got %d results, want one for each of 6 programs", c.Name, len(c.Results))
	}
	major, minor, err := release(c.Kernel.Release)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Results {
		m := needs.FindStringSubmatch(r.Program)
		if m == nil {
			t.Fatalf("program %s says no version", r.Program)
		}
		wantMajor, _ := strconv.Atoi(m[2])
		wantMinor, _ := strconv.Atoi(m[3])
		if major > wantMajor || major == wantMajor && minor >= wantMinor {
			if r.Verdict != verify.OK || r.Insns == 0 {
				t.Errorf("%s: %s: got %s (%s: %s), %d insns, want it to load", c.Name, r.Program, r.Verdict, r.Class, r.Reason, r.Insns)
			}
			continue
		}
		if r.Verdict != verify.Failed || r.Class != refusals[m[1]] || r.Reason == "" {
			t.Errorf("%s: %s: got %s (%s: %q), want it to be refused as %s", c.Name, r.Program, r.Verdict, r.Class, r.Reason, refusals[m[1]])
		}
	}
}

// release reads the first two numbers of uname -r.
func release(s string) (major, minor int, err error) {
	m := regexp.MustCompile(`^(\d+)\.(\d+)`).FindStringSubmatch(s)
	if m == nil {
		return 0, 0, errors.New("no version: " + s)
	}
	major, _ = strconv.Atoi(m[1])
	minor, _ = strconv.Atoi(m[2])
	return major, minor, nil
}
