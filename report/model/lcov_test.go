package model_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/report/lcov"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// llvmRecords are the records that must be equal to llvm-cov's, sorted within each file.
func llvmRecords(t *testing.T, tracefile []byte) []string {
	t.Helper()
	var out, file []string
	for _, line := range strings.Split(string(tracefile), "\n") {
		kind, _, _ := strings.Cut(line, ":")
		switch kind {
		case "SF", "FN", "FNDA", "DA", "BRDA":
			file = append(file, line)
		case "end_of_record":
			slices.Sort(file[1:])
			out = append(out, file...)
			file = nil
		}
	}
	if len(file) > 0 || len(out) == 0 {
		t.Fatalf("no tracefile: %q", tracefile)
	}
	return out
}

func write(t *testing.T, files []lcov.File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := lcov.Write(&b, files, lcov.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// one is the report of one object in one cell.
func one(t *testing.T, o *modeltest.Object, c collect.ObjectCounters) *model.Report {
	t.Helper()
	return build(t, &collect.Data{
		Metas: map[meta.ObjectID]*meta.Meta{o.Meta.ObjectID: o.Meta},
		Records: []collect.Record{{Run: collect.Run{Cell: collect.Cell{Kernel: "6.1", Arch: "amd64"},
			Outcome: collect.Passed}, Objects: []collect.ObjectCounters{c}}},
	})
}

func build(t *testing.T, d *collect.Data) *model.Report {
	t.Helper()
	r, err := model.Build(d, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEqualToLLVM compares the tracefile of one object in one cell with llvm-cov's.
func TestEqualToLLVM(t *testing.T) {
	for _, define := range []string{"-D__TARGET_ARCH_x86", "-D__TARGET_ARCH_arm64"} {
		o := modeltest.Compile(t, 1, "probe.o", define)
		random := rand.New(rand.NewPCG(1, 2))
		for round := range 6 {
			t.Run(fmt.Sprint(define, round), func(t *testing.T) {
				c := o.Counters(t, nil)
				// Each counter is half of the one before, up to one after which all are 0: so no
				// difference is negative, where LLVM would wrap and the report says 0.
				for i := range o.Meta.Functions {
					f := &o.Meta.Functions[i]
					n := 1 << (20 + random.IntN(4))
					for k := range random.IntN(int(f.Count)+1) + min(round, 1) {
						if k < int(f.Count) {
							c.Counts[int(f.First)+k] = uint64(n)
						}
						n /= 2
					}
				}
				if round == 2 {
					c.States = nil // not watched: everything that did not run is a miss
				}
				r := one(t, o, c)
				got := llvmRecords(t, write(t, r.CellLCOV(0)))
				want := llvmRecords(t, o.ExportLcov(t, c))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("tracefile, llvm-cov's (-), got (+):\n%s", diff)
				}
				if len(r.Warnings) > 0 {
					t.Errorf("got warnings %q, want none", r.Warnings)
				}
				merged := llvmRecords(t, write(t, r.MergedLCOV()))
				if diff := cmp.Diff(got, merged); diff != "" {
					t.Errorf("merging one cell, cell (-), merged (+):\n%s", diff)
				}
			})
		}
	}
}

// TestGenhtml checks that genhtml accepts every tracefile of a matrix without being told to ignore
// anything.
func TestGenhtml(t *testing.T) {
	genhtml, err := exec.LookPath("genhtml")
	if err != nil {
		t.Skipf("genhtml is not installed: %v", err)
	}
	r := build(t, modeltest.Data(t))
	dir := t.TempDir()
	modeltest.Sources(t, dir)
	files := map[string][]lcov.File{"merged": r.MergedLCOV()}
	for i := range r.Cells {
		if r.Cells[i].Ran {
			files[r.Cells[i].Name] = r.CellLCOV(i)
		} else if got := r.CellLCOV(i); len(got) != 0 {
			t.Errorf("%s did not run: got %d files, want none", r.Cells[i].Name, len(got))
		}
	}
	for name, fs := range files {
		path := filepath.Join(dir, name+".info")
		if err := os.WriteFile(path, write(t, fs), 0o666); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(genhtml, "--branch-coverage", "-o", filepath.Join(dir, name), path)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("WARNING")) {
			t.Errorf("genhtml of %s: %v\n%s", name, err, out)
		}
	}
}

// TestFunctionPerArch checks that a function which each architecture defines elsewhere has one name for each line, the same in
// all tracefiles, as genhtml of lcov 2 demands.
func TestFunctionPerArch(t *testing.T) {
	hit, none := model.State{Status: model.Hit, Count: 2}, model.State{Status: model.NotBuilt}
	r := &model.Report{Cells: make([]model.Cell, 2), Files: []model.File{{Name: "a.h", Functions: []model.Function{
		{Name: "f", LLVMName: "a.c:f", Line: 53, Cells: []model.State{hit, none}},
		{Name: "f", LLVMName: "a.c:f", Line: 59, Cells: []model.State{none, hit}},
	}}}}
	first, second := lcov.Function{Name: "a.c:f", Line: 53, Count: 2}, lcov.Function{Name: "a.c:f:59", Line: 59, Count: 2}
	for _, test := range []struct {
		name  string
		files []lcov.File
		want  []lcov.Function
	}{
		{"first cell", r.CellLCOV(0), []lcov.Function{first}},
		{"second cell", r.CellLCOV(1), []lcov.Function{second}},
		{"merged", r.MergedLCOV(), []lcov.Function{first, second}},
	} {
		if diff := cmp.Diff([]lcov.File{{Path: "a.h", Functions: test.want}}, test.files); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.name, diff)
		}
	}
}
