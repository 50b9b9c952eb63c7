package llvm_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/llvm"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// TestTools lets llvm-profdata and llvm-cov read what was written, and compares what llvm-cov exports with what it
// exports for the real object.
func TestTools(t *testing.T) {
	profdata, cov := modeltest.Tool(t, "llvm-profdata"), modeltest.Tool(t, "llvm-cov")
	d := modeltest.Data(t)
	r, err := model.Build(d, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	modeltest.Sources(t, dir)
	files, err := llvm.Files(r, d)
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, &stderr)
		}
		return out
	}
	var names []string
	for _, f := range files {
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
		if err := os.WriteFile(filepath.Join(dir, f.Name), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"5.10-amd64.probe_x86_bpfel-a1000000.proftext", "6.1-amd64.probe_x86_bpfel-a1000000.proftext",
		"6.1-arm64.probe_arm64_bpfel-b2000000.proftext", "6.12-amd64.probe_x86_bpfel-a1000000.proftext",
		"7.2-amd64.probe_x86_bpfel-a1000000.proftext", "probe_arm64_bpfel-b2000000.o", "probe_x86_bpfel-a1000000.o"}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Fatalf("got files %q", names)
	}

	real := modeltest.Compile(t, 0xa1, "real.o", "-D__TARGET_ARCH_x86")
	cells, err := collect.MergeCells(d.Records)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cells {
		if cells[i].Cell.Arch != "amd64" {
			continue
		}
		prof := r.Cells[i].Name + ".profdata"
		run(profdata, "merge", r.Cells[i].Name+".probe_x86_bpfel-a1000000.proftext", "-o", prof)
		object := "probe_x86_bpfel-a1000000.o"
		got := run(cov, "export", "-format=lcov", "-instr-profile", prof, object)
		if want := real.ExportLcov(t, cells[i].Objects[0]); !bytes.Equal(got, want) {
			t.Errorf("%s: llvm-cov exports\n%s\nand for the compiled object\n%s", r.Cells[i].Name, got, want)
		}
		show := string(run(cov, "show", "-use-color=false", "-instr-profile", prof, object))
		if !regexp.MustCompile(`23\| +10\|\{`).MatchString(show) {
			t.Errorf("llvm-cov show:\n%s", show)
		}
	}
}

// TestBigEndian checks the object of the other byte order.
func TestBigEndian(t *testing.T) {
	profdata, cov := modeltest.Tool(t, "llvm-profdata"), modeltest.Tool(t, "llvm-cov")
	o := modeltest.CompileEndian(t, true)
	dir := t.TempDir()
	c := o.Counters(t, map[string][]uint64{"handle_open": {10, 0, 0, 0, 5, 7, 5, 40}})
	for name, write := range map[string]func(*bytes.Buffer) error{
		"o":        func(b *bytes.Buffer) error { return llvm.WriteObject(b, o.Meta) },
		"proftext": func(b *bytes.Buffer) error { return llvm.WriteProfile(b, o.Meta, &c) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	sh := exec.Command("sh", "-ec", profdata+" merge proftext -o profdata; "+cov+" export -format=lcov -instr-profile profdata o")
	sh.Dir = dir
	out, err := sh.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "FNDA:10,handle_open\n") || string(out) != string(o.ExportLcov(t, c)) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRefuses(t *testing.T) {
	o := modeltest.Compile(t, 1, "x.o")
	c := o.Counters(t, nil)
	c.Counts = c.Counts[1:]
	if err := llvm.WriteProfile(&bytes.Buffer{}, o.Meta, &c); !errors.Is(err, collect.ErrBuildMismatch) {
		t.Errorf("one count too few: %v", err)
	}
}
