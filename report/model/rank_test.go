package model_test

import (
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// TestEliminatedRegions checks when code without a counter of its own is taken as removed: emit's else
// branch (lines 14 to 17) and the rest of handle_exec_fentry (43, 44), both differences.
func TestEliminatedRegions(t *testing.T) {
	o := modeltest.Compile(t, 1, "probe.o")
	type lines = map[string][]uint32
	const name = "/somewhere/else/probe.bpf.c"
	for _, test := range []struct {
		name       string
		gone, kept lines
		line       int
		want       model.Status
	}{
		{"nothing known", nil, nil, 16, model.Missed},
		{"all gone", lines{name: {15, 16}}, lines{name: {11, 12, 18}}, 16, model.Eliminated},
		{"the braces too", lines{name: {15, 16}}, lines{name: {11, 12, 18}}, 17, model.Eliminated},
		{"the line of the other brace is shared", lines{name: {15, 16}}, lines{name: {11, 12, 18}}, 14, model.Missed},
		{"one line kept", lines{name: {15}}, lines{name: {11, 16}}, 15, model.Missed},
		{"code of the shared line kept", lines{name: {15, 16}}, lines{name: {14}}, 16, model.Eliminated},
		{"only other lines gone", lines{name: {12, 13}}, lines{name: {11}}, 16, model.Missed},
		{"another file", lines{"/x/other.bpf.c": {15, 16}}, nil, 16, model.Missed},
		{"rest of a function", lines{name: {43, 44}}, lines{name: {38, 41}}, 44, model.Eliminated},
		{"rest of a function, kept", lines{name: {43}}, lines{name: {38, 41, 44}}, 43, model.Missed},
		{"its end is the function's", lines{name: {43, 44}}, lines{name: {38, 41}}, 45, model.Missed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := o.Counters(t, nil)
			c.EliminatedLines, c.LiveLines = test.gone, test.kept
			r := one(t, o, c)
			if got := stateOf(t, r, "probe.bpf.c", test.line); got.Status != test.want {
				t.Errorf("line %d: got %v, want %v", test.line, got.Status, test.want)
			}
		})
	}
	t.Run("nowhere else to go", func(t *testing.T) {
		c := o.Counters(t, nil)
		o.Set(t, &c, collect.StateEliminated, "emit", 1) // the other side was removed
		c.EliminatedLines = lines{name: {12, 13, 15, 16}}
		if got := stateOf(t, one(t, o, c), "probe.bpf.c", 16); got.Status != model.Missed {
			t.Errorf("got %v, want missed", got)
		}
	})
	t.Run("hit all the same", func(t *testing.T) {
		c := o.Counters(t, map[string][]uint64{"emit": {5, 2}})
		c.EliminatedLines = lines{name: {15, 16}}
		if got := stateOf(t, one(t, o, c), "probe.bpf.c", 16); got != (model.State{Status: model.Hit, Count: 3}) {
			t.Errorf("got %v, want hit 3 times", got)
		}
	})
}

// TestEliminatedInside checks that live code inside a difference keeps all of it, and that a condition
// of the region counts as its own code.
func TestEliminatedInside(t *testing.T) {
	dir := t.TempDir()
	modeltest.WriteFile(t, dir, "in.bpf.c", `int a, b, c;
int f(int *x)
{
	if (x[0])
		return 1;
	a++;
	if (x[1] > 3)
		b++;
	if (x[2]) {
		c++;
	}
	return 0;
}
`)
	o := modeltest.CompileFile(t, dir, "in.bpf.c", 1, "in.o")
	for _, test := range []struct {
		name  string
		gone  []uint32
		inner collect.CounterState
		want  model.Status
	}{
		{"all gone", []uint32{6, 7, 8, 9, 10, 12}, collect.StateEliminated, model.Eliminated},
		{"only a condition has lines", []uint32{7}, collect.StateEliminated, model.Eliminated},
		{"only a condition that shares its line", []uint32{9}, collect.StateEliminated, model.Missed},
		{"inner counter live", []uint32{6, 10}, collect.StateLive, model.Missed},
		{"only inner code gone", []uint32{8}, collect.StateEliminated, model.Missed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := o.Counters(t, nil)
			o.Set(t, &c, test.inner, "f", 2, 3)
			c.EliminatedLines = map[string][]uint32{"in.bpf.c": test.gone}
			r := one(t, o, c)
			for _, line := range []int{6, 7, 9, 12} {
				if got := stateOf(t, r, "in.bpf.c", line); got.Status != test.want {
					t.Errorf("line %d: got %v, want %v", line, got.Status, test.want)
				}
			}
			if got := stateOf(t, r, "in.bpf.c", 5); got.Status != model.Missed {
				t.Errorf("line 5: got %v, want missed", got.Status)
			}
			// The condition's false side, which is a difference of differences, fares alike.
			br := r.Files[0].Branches[1]
			if got := br.Cells[0].False.Status; br.Line != 7 || got != test.want {
				t.Errorf("false side of line %d: got %v, want %v", br.Line, got, test.want)
			}
		})
	}
}

// TestSamePathTwice checks that lines of debug information go to a file only when its name is clear.
func TestSamePathTwice(t *testing.T) {
	dir := t.TempDir()
	modeltest.WriteFile(t, dir, "a/x.h", "static inline int xa(int n)\n{\n\tif (n)\n\t\treturn 1;\n\tn += 2;\n\treturn n;\n}\n")
	modeltest.WriteFile(t, dir, "b/x.h", "static inline int xb(int n)\n{\n\tif (n)\n\t\treturn 1;\n\tn += 2;\n\treturn n;\n}\n")
	modeltest.WriteFile(t, dir, "t.bpf.c", "#include \"a/x.h\"\n#include \"b/x.h\"\nint f(int *p)\n{\n\treturn xa(p[0]) + xb(p[1]);\n}\n")
	o := modeltest.CompileFile(t, dir, "t.bpf.c", 1, "t.o")
	for _, test := range []struct {
		path string
		a, b model.Status
	}{
		{"/src/a/x.h", model.Eliminated, model.Missed},
		{"b/x.h", model.Missed, model.Eliminated},
		{"/src/c/x.h", model.Missed, model.Missed},
	} {
		c := o.Counters(t, nil)
		c.EliminatedLines = map[string][]uint32{test.path: {5, 6}}
		r := one(t, o, c)
		if got := stateOf(t, r, "a/x.h", 6).Status; got != test.a {
			t.Errorf("%s: a/x.h: got %v, want %v", test.path, got, test.a)
		}
		if got := stateOf(t, r, "b/x.h", 6).Status; got != test.b {
			t.Errorf("%s: b/x.h: got %v, want %v", test.path, got, test.b)
		}
	}
}

// TestFlow checks what the flow of loaded programs says about emit's else branch, which is the counter of
// emit less that of its if.
func TestFlow(t *testing.T) {
	o := modeltest.Compile(t, 1, "probe.o")
	f := o.Function(t, "emit")
	type sites = []collect.FlowSite
	site := func(id uint32, exit bool, next ...uint32) collect.FlowSite {
		return collect.FlowSite{Counter: f.First + id, Exit: exit, Next: next}
	}
	either := sites{site(0, true, 1), site(1, true)}  // the function may end without the if
	always := sites{site(0, false, 1), site(1, true)} // the if always follows
	other := sites{{Counter: f.First + 7, Exit: true}}
	for _, test := range []struct {
		name   string
		flows  []collect.Flow
		want   model.Status
		reason string
	}{
		{"none", nil, model.Missed, ""},
		{"both sides", []collect.Flow{{Before: either, After: either}}, model.Missed, ""},
		{"removed", []collect.Flow{{Before: either, After: always}}, model.Eliminated, ""},
		{"removed by the compiler", []collect.Flow{{Before: always, After: always}}, model.Missed, "removed by the compiler"},
		{"kept in one of two programs", []collect.Flow{{Before: either, After: always}, {Before: either, After: either}}, model.Missed, ""},
		{"removed in both", []collect.Flow{{Before: either, After: always}, {Before: always, After: always}}, model.Eliminated, ""},
		{"of other programs nothing is said", []collect.Flow{{Before: either, After: always}, {Before: other, After: other}}, model.Eliminated, ""},
		{"one of unknown flow", []collect.Flow{{Before: either, After: always}, {Unknown: true}}, model.Missed, ""},
		{"only unknown", []collect.Flow{{Unknown: true}}, model.Missed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := o.Counters(t, nil)
			c.Flows = test.flows
			r := one(t, o, c)
			for _, line := range []int{15, 16, 17} {
				if got := stateOf(t, r, "probe.bpf.c", line); got.Status != test.want || r.Text(got.Reason) != test.reason {
					t.Errorf("line %d: got %v (%s), want %v (%s)", line, got.Status, r.Text(got.Reason), test.want, test.reason)
				}
			}
			for _, line := range []int{11, 12, 13} {
				if got := stateOf(t, r, "probe.bpf.c", line); got.Status != model.Missed || got.Reason != 0 {
					t.Errorf("line %d: got %v (%s), want missed", line, got.Status, r.Text(got.Reason))
				}
			}
		})
	}
	t.Run("lines do not overrule it", func(t *testing.T) {
		c := o.Counters(t, nil)
		c.Flows = []collect.Flow{{Before: either, After: either}}
		c.EliminatedLines = map[string][]uint32{"probe.bpf.c": {15, 16}}
		if got := stateOf(t, one(t, o, c), "probe.bpf.c", 16); got.Status != model.Missed {
			t.Errorf("got %v, want missed", got.Status)
		}
	})
	t.Run("lines serve where it is unknown", func(t *testing.T) {
		c := o.Counters(t, nil)
		c.Flows = []collect.Flow{{Unknown: true}}
		c.EliminatedLines = map[string][]uint32{"probe.bpf.c": {15, 16}}
		if got := stateOf(t, one(t, o, c), "probe.bpf.c", 16); got.Status != model.Eliminated {
			t.Errorf("got %v, want eliminated", got.Status)
		}
	})
}

// TestFlowOfABranchWithoutCode checks the side of a branch that has no code of its own: only the flow
// tells.
func TestFlowOfABranchWithoutCode(t *testing.T) {
	o := modeltest.Compile(t, 1, "probe.o")
	f := o.Function(t, "clamp")
	c := o.Counters(t, map[string][]uint64{"clamp": {5, 5}})
	c.Flows = []collect.Flow{{
		Before: []collect.FlowSite{{Counter: f.First, Exit: true, Next: []uint32{1}}, {Counter: f.First + 1, Exit: true}},
		After:  []collect.FlowSite{{Counter: f.First, Next: []uint32{1}}, {Counter: f.First + 1, Exit: true}},
	}}
	r := one(t, o, c)
	b := r.Files[0].Branches[0]
	if b.Line != 3 || b.Cells[0].True.Status != model.Hit || b.Cells[0].False.Status != model.Eliminated {
		t.Errorf("branch of line %d: got %v, want hit and eliminated", b.Line, b.Cells[0])
	}
	if got := r.Cells[0].Summary.Lines; stateOf(t, r, "helper.h", 5).Status != model.Eliminated {
		t.Errorf("what follows the if: got %v, want eliminated, in %v", stateOf(t, r, "helper.h", 5), got)
	}
}
