package groundtruth

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/instrument/policy"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// guestRuns is how often the program runs in an emulated guest.
const guestRuns = 8_000

// TestRungsInGuests is [TestRungs] on other kernels and architectures, a big-endian one among them: one guest each, which runs the
// objects of every compiler and rung.
func TestRungsInGuests(t *testing.T) {
	if os.Getenv("BPFCOV_LONG") == "" {
		t.Skip("boots kernels; set BPFCOV_LONG=1")
	}
	for _, c := range []struct {
		spec, arch, target string
		options            []string
	}{
		{"apt:bullseye/5.10", "amd64", "bpfel", nil},
		{"apt:bookworm/6.1", "arm64", "bpfel", nil},
		// Debian's kernels for s390x have no JIT, and so no tail calls in programs with subprograms.
		{"apt:trixie/6.12", "s390x", "bpfeb", []string{"-DSUBPROGRAM=__attribute__((always_inline)) inline"}},
	} {
		t.Run(c.arch, func(t *testing.T) {
			objects := buildRungs(t, c.target, c.options)
			tools, err := buildTools()
			if err != nil {
				t.Fatal(err)
			}
			loader := filepath.Join(tools, "loader-"+c.arch)
			run(t, []string{"CGO_ENABLED=0", "GOARCH=" + c.arch}, "go", "build", "-o", loader, "./loader")
			bootRungs(t, c.spec, c.arch, loader, objects)
		})
	}
}

// rungObject is the program by one compiler on one rung.
type rungObject struct {
	*truth
	name string // of the compiler and the rung
	rung policy.Rung
}

// buildRungs compiles the program with every compiler that there is, on every rung.
func buildRungs(t *testing.T, target string, options []string) (all []rungObject) {
	t.Helper()
	for major := instrument.MinLLVM; major <= instrument.MaxLLVM; major++ {
		compiler := fmt.Sprintf("clang-%d", major)
		path, err := exec.LookPath(compiler)
		if err != nil || !instrument.PluginStatusOf(path, major).Usable() {
			continue
		}
		for rung := range leastTold {
			args := append([]string{"BPFCOV_FIDELITY=" + rung.Fidelity.String(), "BPFCOV_COUNTER=" + string(rung.Counter), "-target", target}, options...)
			name := strings.ReplaceAll(fmt.Sprintf("%s-%s", compiler, rung), "/", "-")
			all = append(all, rungObject{build(t, compiler, args...), name, rung})
		}
	}
	if len(all) == 0 {
		t.Fatal("no clang on PATH that a plugin can be built for; run scripts/setup.sh test")
	}
	slices.SortFunc(all, func(a, b rungObject) int { return cmp.Compare(a.name, b.name) })
	return all
}

// bootRungs runs all objects in one guest and checks each report.
func bootRungs(t *testing.T, spec, arch, loader string, objects []rungObject) {
	t.Helper()
	k, err := (&kernels.Store{Log: t.Logf}).Pull(t.Context(), spec, arch)
	if err != nil {
		t.Fatal(err)
	}
	files := []initramfs.File{{Path: "/truth/loader", Source: loader, Mode: 0o755}}
	var tests []guest.Test
	for _, o := range objects {
		files = append(files, initramfs.File{Path: "/truth/" + o.name + ".o", Source: o.object})
		tests = append(tests, guest.Test{
			Name: o.name, Command: []string{"./loader", o.name + ".o", strconv.Itoa(guestRuns)}, Dir: "/truth", Timeout: 5 * time.Minute,
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	out := t.TempDir()
	res, err := vm.RunCell(ctx, vm.CellConfig{Kernel: k, CPUs: 2, OutDir: out, Files: files, Tests: tests, BootTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]collect.Record{}
	for _, r := range res.Records {
		records[r.Run.Test] = r
	}
	for _, o := range objects {
		t.Run(o.name, func(t *testing.T) {
			rec, ok := records[o.name]
			if !ok || rec.Run.Outcome != collect.Passed {
				stderr, _ := os.ReadFile(filepath.Join(out, o.name+".stderr"))
				t.Fatalf("%s: %s %s\n%s\n%s", k.Release, rec.Run.Outcome, rec.Run.Reason, stderr, strings.Join(rec.Run.Console, "\n"))
			}
			r := o.report(t, []collect.Record{rec})
			counts := o.rung.Counter == policy.Atomic && o.rung.Fidelity != meta.Line
			problems, told := CheckLoosely(r, 0, o.wants, guestRuns, counts)
			for _, p := range problems {
				t.Error(p)
			}
			if least := leastTold[o.rung]; told < least {
				t.Errorf("%d%% of the lines are told, want at least %d%%", told, least)
			}
		})
	}
}
