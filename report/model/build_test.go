package model_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

var headers = regexp.MustCompile(`\.h$`)

// TestBuildRefuses checks that what does not fit together is an error that names both sides.
func TestBuildRefuses(t *testing.T) {
	fixture := modeltest.Compile(t, 7, "probe.o")
	for _, test := range []struct {
		name   string
		change func(m *meta.Meta, c *collect.ObjectCounters, d *collect.Data)
		is     error
		want   string
	}{
		{"no meta", func(m *meta.Meta, _ *collect.ObjectCounters, d *collect.Data) { delete(d.Metas, m.ObjectID) },
			nil, "object 07000000 in 6.1 amd64: counters but no meta."},
		{"too few counts", func(_ *meta.Meta, c *collect.ObjectCounters, _ *collect.Data) {
			c.Counts, c.States = c.Counts[1:], c.States[1:]
		},
			collect.ErrBuildMismatch, "object 07000000 (probe.o) in 6.1 amd64"},
		{"other states", func(_ *meta.Meta, c *collect.ObjectCounters, _ *collect.Data) { c.States = c.States[1:] },
			nil, "states"},
		{"other hash", func(m *meta.Meta, _ *collect.ObjectCounters, _ *collect.Data) { m.Functions[0].Hash++ },
			collect.ErrBuildMismatch, "function handle_open has hash 0x"},
		{"counters outside", func(m *meta.Meta, _ *collect.ObjectCounters, _ *collect.Data) { m.Functions[0].First = 1 << 31 },
			collect.ErrBuildMismatch, "a function has counters 2147483648"},
		{"too few counters", func(m *meta.Meta, _ *collect.ObjectCounters, _ *collect.Data) { m.Functions[0].Count-- },
			collect.ErrBuildMismatch, "function handle_open has 8 counters in the mapping and 7 in the object"},
		{"marks", func(m *meta.Meta, _ *collect.ObjectCounters, _ *collect.Data) { m.Emitted = m.Emitted[1:] },
			collect.ErrBuildMismatch, "marks of what the compiler emitted"},
		{"cut mapping", func(m *meta.Meta, _ *collect.ObjectCounters, _ *collect.Data) { m.Covfun = m.Covfun[:40] },
			new(covmap.FormatError), "object 07000000 (probe.o): section __llvm_covfun"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := *fixture.Meta
			m.Functions = append([]meta.Func(nil), m.Functions...)
			c := fixture.Counters(t, nil)
			d := &collect.Data{Metas: map[meta.ObjectID]*meta.Meta{m.ObjectID: &m}}
			test.change(&m, &c, d)
			d.Records = []collect.Record{{Run: collect.Run{Cell: collect.Cell{Kernel: "6.1", Arch: "amd64"}},
				Objects: []collect.ObjectCounters{c}}}
			_, err := model.Build(d, model.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			var format *covmap.FormatError
			if _, ok := test.is.(*covmap.FormatError); ok && !errors.As(err, &format) {
				t.Errorf("got error %v, want a FormatError", err)
			} else if !ok && test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got error %v, want a %v", err, test.is)
			}
		})
	}
}

// stateOf is what a line is in the only cell of a report.
func stateOf(t *testing.T, r *model.Report, file string, line int) model.State {
	t.Helper()
	for i := range r.Files {
		for _, l := range r.Files[i].Lines {
			if r.Files[i].Name == file && l.Number == line {
				return l.Cells[0]
			}
		}
	}
	t.Fatalf("%s:%d is no code", file, line)
	return model.State{}
}

// TestFidelity checks that folded code is never a miss and in no total.
func TestFidelity(t *testing.T) {
	for _, test := range []struct {
		fidelity meta.Fidelity
		emitted  bool
		want     model.Status
		reason   string
	}{
		{meta.Region, true, model.Missed, ""},
		{meta.Region, false, model.Missed, "removed by the compiler"},
		{meta.Probe, true, model.Missed, ""},
		{meta.Probe, false, model.Folded, "merged away by the optimiser"},
		{meta.Line, false, model.Folded, "merged away by the optimiser"},
		{meta.Off, true, model.Folded, "not instrumented"},
	} {
		o := modeltest.Compile(t, 1, "probe.o")
		f := o.Function(t, "clamp")
		f.Fidelity = test.fidelity
		o.Meta.Emitted[f.First+1] = test.emitted
		r := one(t, o, o.Counters(t, map[string][]uint64{"clamp": {7, 0}}))
		got := stateOf(t, r, "helper.h", 4)
		if got.Status != test.want || r.Text(got.Reason) != test.reason {
			t.Errorf("%v, emitted %v: got %v (%s), want %v (%s)", test.fidelity, test.emitted, got.Status,
				r.Text(got.Reason), test.want, test.reason)
		}
		if counted := got.Status.Counted(); counted != (test.want == model.Missed) {
			t.Errorf("%v is in the total: got %v", got.Status, counted)
		}
	}
}

// TestNeverEntered checks that what the optimiser folded is missed all the same in a function that never ran.
func TestNeverEntered(t *testing.T) {
	o := modeltest.Compile(t, 1, "probe.o")
	f := o.Function(t, "clamp")
	f.Fidelity = meta.Probe
	o.Meta.Emitted[f.First+1] = false
	if got := stateOf(t, one(t, o, o.Counters(t, nil)), "helper.h", 4); got.Status != model.Missed {
		t.Errorf("got %v, want missed", got.Status)
	}
}

// TestUnusedFunction checks the code of a static function that nobody calls.
func TestUnusedFunction(t *testing.T) {
	o := modeltest.Compile(t, 1, "probe.o")
	r := one(t, o, o.Counters(t, nil))
	if got := stateOf(t, r, "helper.h", 10); got.Status != model.Missed || r.Text(got.Reason) != "not used by this object" {
		t.Errorf("got %v (%s), want missed (not used by this object)", got.Status, r.Text(got.Reason))
	}
}

// TestRejectedReasons checks which refused program a function's reason names.
func TestRejectedReasons(t *testing.T) {
	o := modeltest.Compile(t, 1, "probe.o")
	id := []meta.ObjectID{o.Meta.ObjectID}
	load := func(name, reason string) collect.ProgramLoad {
		return collect.ProgramLoad{Name: name, Objects: id, Loads: 1, Verdict: collect.VerdictRejected, Errno: "EACCES", Reason: reason}
	}
	c := o.Counters(t, nil)
	o.Set(t, &c, collect.StateRejected, "handle_exec_fentry")
	o.Set(t, &c, collect.StateRejected, "clamp")
	for _, test := range []struct {
		name     string
		programs []collect.ProgramLoad
		program  string // reason of a program
		helper   string // reason of a function that is none
	}{
		{"own program, name cut by the kernel", []collect.ProgramLoad{load("handle_exec_fen", "R1 invalid mem access 'scalar'\x1b[0m")},
			"program handle_exec_fentry rejected: EACCES: R1 invalid mem access 'scalar' [0m",
			"program handle_exec_fen rejected: EACCES: R1 invalid mem access 'scalar' [0m"},
		{"several", []collect.ProgramLoad{load("zz", "z"), load("aa", "a")},
			"programs aa and 1 more rejected: EACCES: a", "programs aa and 1 more rejected: EACCES: a"},
		{"none known", nil, "only in rejected programs", "only in rejected programs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := build(t, &collect.Data{Metas: map[meta.ObjectID]*meta.Meta{o.Meta.ObjectID: o.Meta},
				Records: []collect.Record{{Run: collect.Run{Cell: collect.Cell{Kernel: "6.1", Arch: "amd64"}, Outcome: collect.Passed},
					Objects: []collect.ObjectCounters{c}, Programs: test.programs}}})
			for _, at := range []struct {
				file string
				line int
				want string
			}{{"probe.bpf.c", 38, test.program}, {"helper.h", 4, test.helper}} {
				got := stateOf(t, r, at.file, at.line)
				if got.Status != model.Rejected || r.Text(got.Reason) != at.want {
					t.Errorf("%s:%d: got %v (%s), want rejected (%s)", at.file, at.line, got.Status, r.Text(got.Reason), at.want)
				}
			}
			if s := r.Cells[0].Summary.Functions; s.Total != 6 {
				t.Errorf("rejected functions must stay in the total: got %v", s)
			}
		})
	}
}

// TestOtherObjects checks what a cell says of objects that it did not load.
func TestOtherObjects(t *testing.T) {
	a := modeltest.Compile(t, 1, "probe.o")
	b := modeltest.Compile(t, 2, "probe.o", "-D__TARGET_ARCH_arm64") // a later or other build of the same
	other := modeltest.Compile(t, 3, "other.o", "-D__TARGET_ARCH_arm64")
	for _, test := range []struct {
		name   string
		have   *modeltest.Object // loaded by 6.1 and 6.12
		second *modeltest.Object // loaded by 6.12 or its arch only
		arch   string            // of 6.12
		want   model.Status      // of the second's own code in 6.1
	}{
		{"not loaded", a, other, "amd64", model.NotLoaded},
		{"another build of the same object", a, b, "amd64", model.NotBuilt},
		{"of another arch", a, other, "arm64", model.NotBuilt},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := func(kernel, arch string, os ...*modeltest.Object) collect.Record {
				r := collect.Record{Run: collect.Run{ID: kernel, Cell: collect.Cell{Kernel: kernel, Arch: arch}, Outcome: collect.Passed}}
				for _, o := range os {
					c := o.Counters(t, nil)
					c.Counts[0] = 1
					r.Objects = append(r.Objects, c)
				}
				return r
			}
			second := []*modeltest.Object{test.have, test.second}
			if test.second == b {
				second = second[1:]
			}
			d := &collect.Data{Metas: map[meta.ObjectID]*meta.Meta{a.Meta.ObjectID: a.Meta, test.second.Meta.ObjectID: test.second.Meta},
				Records: []collect.Record{run("6.1", "amd64", test.have), run("6.12", test.arch, second...)}}
			r := build(t, d)
			got := stateOf(t, r, "probe.bpf.c", 51)
			if got.Status != test.want {
				t.Errorf("got %v, want %v", got.Status, test.want)
			}
			if got := stateOf(t, r, "probe.bpf.c", 38); got.Status != model.Missed {
				t.Errorf("code of both: got %v, want missed", got.Status)
			}
		})
	}
	// An object that nobody loaded is not loaded anywhere, unless another build of its source was.
	d := &collect.Data{Metas: map[meta.ObjectID]*meta.Meta{a.Meta.ObjectID: a.Meta}, Records: []collect.Record{{
		Run: collect.Run{Cell: collect.Cell{Kernel: "6.1", Arch: "amd64"}, Outcome: collect.Passed}}}}
	r := build(t, d)
	if got := stateOf(t, r, "probe.bpf.c", 38); got.Status != model.NotLoaded || r.Text(got.Reason) != "object probe.o not loaded" {
		t.Errorf("got %v (%s), want not-loaded", got.Status, r.Text(got.Reason))
	}
	if got, want := strings.Join(r.Warnings, "\n"), "probe.o: no cell loaded this object"; got != want {
		t.Errorf("warnings: got %q, want %q", got, want)
	}
	c := a.Counters(t, nil)
	a.Set(t, &c, collect.StateNotLoaded, "handle_exit")
	d.Records[0].Objects = []collect.ObjectCounters{c}
	if got, want := strings.Join(build(t, d).Warnings, "\n"), "probe.bpf.c: no cell loaded program handle_exit"; got != want {
		t.Errorf("warnings: got %q, want %q", got, want)
	}
	// Where one cell loaded it, it is that cell's to say why it did not run.
	more := &collect.Data{Metas: d.Metas, Records: []collect.Record{d.Records[0], {
		Run:     collect.Run{ID: "b", Cell: collect.Cell{Kernel: "6.12", Arch: "amd64"}, Outcome: collect.Passed},
		Objects: []collect.ObjectCounters{a.Counters(t, nil)}}}}
	if got := build(t, more).Warnings; len(got) > 0 {
		t.Errorf("a program that one of two cells loaded: %q", got)
	}
	d.Metas[b.Meta.ObjectID] = b.Meta
	d.Records[0].Objects = []collect.ObjectCounters{a.Counters(t, nil)}
	r = build(t, d)
	for _, f := range r.Files {
		for _, l := range f.Lines {
			if f.Name == "probe.bpf.c" && l.Number == 51 {
				t.Error("a build that nobody loaded is in the report next to the one that was")
			}
		}
	}
}

// TestProgramMacro checks that the code of a program which libbpf's BPF_PROG wraps goes by the program's
// name.
func TestProgramMacro(t *testing.T) {
	dir := t.TempDir()
	modeltest.WriteFile(t, dir, "m.bpf.c", "static inline __attribute__((always_inline)) int ____handle_it(int *x)\n{\n\treturn x[0];\n}\n"+
		"int handle_it(int *x)\n{\n\treturn ____handle_it(x);\n}\n")
	o := modeltest.CompileFile(t, dir, "m.bpf.c", 1, "m.o")
	c := o.Counters(t, nil)
	o.Set(t, &c, collect.StateNotLoaded, "____handle_it")
	o.Set(t, &c, collect.StateNotLoaded, "handle_it")
	r := one(t, o, c)
	if got := stateOf(t, r, "m.bpf.c", 3); r.Text(got.Reason) != "program handle_it not loaded" {
		t.Errorf("got %v (%s)", got.Status, r.Text(got.Reason))
	}
	for _, f := range r.Files[0].Functions {
		if f.Name != "handle_it" || f.Program != "test/handle_it" {
			t.Errorf("line %d: got function %q, program %q", f.Line, f.Name, f.Program)
		}
	}
}
