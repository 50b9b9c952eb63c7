package groundtruth

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// runs is how often the program runs in all.
const runs = 100_000

// kernelSpecs are the kernels that the statuses are checked on: the wants change at 5.17 and 6.2.
var kernelSpecs = []string{"apt:bullseye/5.10", "apt:bookworm/6.1", "apt:trixie/6.12", "apt:sid/7.*"}

var toolsDir string

func TestMain(m *testing.M) {
	collect.MaybeShim()
	code := m.Run()
	if toolsDir != "" {
		os.RemoveAll(toolsDir)
	}
	os.Exit(code)
}

// buildTools builds bpfcov-clang and the loader once, and returns their folder.
var buildTools = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "groundtruth-*")
	if err != nil {
		return "", err
	}
	toolsDir = dir
	cmd := exec.Command("go", "build", "-o", dir+"/", "./loader", "github.com/bpfcov/bpfcov/cmd/bpfcov-clang")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // the loader also runs in guests
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return dir, nil
})

// truth is the built program.
type truth struct {
	object, loader, metaDir string
	wants                   map[string][]Want
}

// clangs returns the installed compilers that the wants hold for and that a pass plugin can be built
// for. Clang 14 to 16 map conditions with CO-RE builtins in another way.
func clangs() []string {
	var found []string
	for major := 19; major < 40; major++ {
		name := fmt.Sprintf("clang-%d", major)
		_, noClang := exec.LookPath(name)
		_, noHeaders := exec.LookPath(fmt.Sprintf("llvm-config-%d", major))
		if noClang == nil && noHeaders == nil {
			found = append(found, name)
		}
	}
	return found
}

// build compiles the program with a clang, and the loader. The options are for clang or, when they begin with
// BPFCOV_, for the environment.
func build(t *testing.T, compiler string, options ...string) *truth {
	t.Helper()
	b := buildSource(t, compiler, "testdata/truth.bpf.c", append([]string{"-O2", "-Wall", "-Werror"}, options...)...)
	for _, name := range []string{"truth.bpf.c", "truth.h"} {
		f, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		b.wants[name], err = ParseWants(f)
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return b
}

// buildSource is build for any source.
func buildSource(t *testing.T, compiler, source string, options ...string) *truth {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
	dir := t.TempDir()
	b := &truth{
		object:  filepath.Join(dir, "truth.bpf.o"),
		metaDir: filepath.Join(dir, "meta"),
		wants:   map[string][]Want{},
	}
	tools, err := buildTools()
	if err != nil {
		t.Fatal(err)
	}
	b.loader = filepath.Join(tools, "loader")
	env := []string{"BPFCOV_META_DIR=" + b.metaDir, "BPFCOV_CLANG=" + compiler, "BPFCOV_POLICY=none"}
	args := []string{"-g", "-target", "bpf", "-c", source, "-o", b.object}
	for _, o := range options {
		if strings.HasPrefix(o, "BPFCOV_") {
			env = append(env, o)
		} else {
			args = append(args, o)
		}
	}
	run(t, env, filepath.Join(tools, "bpfcov-clang"), args...)
	return b
}

func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// check builds a report from records, by way of a covdata folder, and compares every cell.
func (b *truth) check(t *testing.T, records []collect.Record) {
	t.Helper()
	r := b.report(t, records)
	for i, c := range r.Cells {
		problems := Check(r, i, b.wants, runs)
		for _, p := range problems {
			t.Errorf("%s: %s", c.Name, p)
		}
	}
}

// report builds a report of one cell.
func (b *truth) report(t *testing.T, records []collect.Record) *model.Report {
	t.Helper()
	dir := t.TempDir()
	if _, err := collect.Save(dir, records, b.metaDir); err != nil {
		t.Fatal(err)
	}
	data, err := collect.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := model.Build(data, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 1 {
		t.Fatalf("got %d cells, want 1", len(r.Cells))
	}
	return r
}

// onHost runs the program on this kernel.
func (b *truth) onHost(t *testing.T) collect.Record {
	t.Helper()
	cmd := exec.Command(b.loader, b.object, strconv.Itoa(runs))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	r, err := collect.Exec(t.Context(), cmd, collect.ExecOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if r.Run.Outcome != collect.Passed {
		t.Fatalf("loader: %s %s\n%s", r.Run.Outcome, r.Run.Reason, &out)
	}
	return *r
}

// TestHost checks the running kernel without a machine, with every compiler that there is.
func TestHost(t *testing.T) {
	found := clangs()
	if len(found) == 0 {
		t.Fatal("no clang-19 or newer on PATH; run scripts/setup.sh test")
	}
	for _, compiler := range found {
		t.Run(compiler, func(t *testing.T) {
			b := build(t, compiler)
			b.check(t, []collect.Record{b.onHost(t)})
		})
	}
}

// TestKernels checks several kernels, two processors each.
func TestKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("boots kernels")
	}
	found := clangs()
	if len(found) == 0 {
		t.Fatal("no clang-19 or newer on PATH; run scripts/setup.sh test")
	}
	b := build(t, found[0])
	store := &kernels.Store{Log: t.Logf}
	for _, spec := range kernelSpecs {
		t.Run(strings.NewReplacer(":", "-", "/", "-", "*", "x").Replace(spec), func(t *testing.T) {
			k, err := store.Pull(t.Context(), spec, "amd64")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			out := t.TempDir()
			res, err := vm.RunCell(ctx, vm.CellConfig{
				Kernel: k,
				CPUs:   2,
				OutDir: out,
				Files: []initramfs.File{
					{Path: "/truth/loader", Source: b.loader, Mode: 0o755},
					{Path: "/truth/truth.bpf.o", Source: b.object},
				},
				Tests: []guest.Test{{
					Name:    "truth",
					Command: []string{"./loader", "truth.bpf.o", strconv.Itoa(runs)},
					Dir:     "/truth",
					Timeout: 3 * time.Minute,
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range res.Records {
				if r.Run.Outcome != collect.Passed {
					stderr, _ := os.ReadFile(filepath.Join(out, "truth.stderr"))
					t.Fatalf("%s: %s %s\n%s\n%s", k.Release, r.Run.Outcome, r.Run.Reason, stderr,
						strings.Join(r.Run.Console, "\n"))
				}
			}
			b.check(t, res.Records)
		})
	}
}

func TestParseWants(t *testing.T) {
	got, err := ParseWants(strings.NewReader(`int f(void)
{                  /* want N */
	if (a && b)    // want N; branch N/2:N/2; branch 0:eliminated before 6.2, N:0 since 6.2
		old();     // want 3*N/4 before 6.2, eliminated since 6.2
// wants nothing
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Want{
		{Line: 2, Alternatives: []Alternative{{Value: "N"}}},
		{Line: 3, Alternatives: []Alternative{{Value: "N"}}, Branches: [][]Alternative{
			{{Value: "N/2", False: "N/2"}},
			{{Value: "0", False: "eliminated", Before: "6.2"}, {Value: "N", False: "0", Since: "6.2"}},
		}},
		{Line: 4, Alternatives: []Alternative{{Value: "3*N/4", Before: "6.2"}, {Value: "eliminated", Since: "6.2"}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	for _, s := range []string{"// want branch 1:2", "// want N; N", "// want N; branch 5", "// want N until 5.1", "// want "} {
		if w, err := ParseWants(strings.NewReader(s)); err == nil && len(w) > 0 {
			t.Errorf("%q: got %v and no error", s, w)
		}
	}
}

func TestState(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  model.State
	}{
		{"3*N/4", model.State{Status: model.Hit, Count: 6}},
		{"9*N/4+6*N/4", model.State{Status: model.Hit, Count: 30}},
		{"0", model.State{Status: model.Missed}},
		{"missed", model.State{Status: model.Missed}},
		{"not-loaded", model.State{Status: model.NotLoaded}},
	} {
		if got, err := state(tt.value, 8); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.value, got, err, tt.want)
		}
	}
	for _, bad := range []string{"some", "N-9", "1/"} {
		if got, err := state(bad, 8); err == nil {
			t.Errorf("%s: got %+v and no error", bad, got)
		}
	}
}

// TestCheckFails sees to it that a wrong report does not pass.
func TestCheckFails(t *testing.T) {
	r := &model.Report{
		Cells:   []model.Cell{{Cell: collect.Cell{Kernel: "6.1.0", Arch: "amd64"}}},
		Reasons: []string{""},
		Files: []model.File{{
			Name: "x/a.c",
			Lines: []model.Line{
				{Number: 1, Cells: []model.State{{Status: model.Hit, Count: 8}}},
				{Number: 2, Cells: []model.State{{Status: model.Hit, Count: 7}}},
				{Number: 3, Cells: []model.State{{Status: model.Missed}}},
			},
			Functions: []model.Function{{Name: "f", Line: 1, Cells: []model.State{{Status: model.Hit, Count: 9}}}},
			Branches: []model.Branch{{Line: 2, Cells: []model.BranchState{
				{True: model.State{Status: model.Hit, Count: 8}, False: model.State{Status: model.Missed}}}}},
		}},
	}
	wants := func(text string) map[string][]Want {
		w, err := ParseWants(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return map[string][]Want{"a.c": w, "b.h": nil}
	}
	got := Check(r, 0, wants("// want N\n// want N; branch 0:N\n\n// want N since 6.2, eliminated before 6.2\n"), 8)
	want := []string{
		"a.c:1: function f: got hit 9, its first line has hit 8",
		"a.c:2: branch 1 false: got missed 0 (), want hit 8 (N)",
		"a.c:2: branch 1 true: got hit 8 (), want missed 0 (0)",
		"a.c:2: line: got hit 7 (), want hit 8 (N)",
		"a.c:3: code (missed 0) without a want",
		"a.c:4: not code, but a value is wanted",
		"b.h: not in the report",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}
