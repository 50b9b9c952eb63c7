package model_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// site is an update of counter id of f after which the function may end (exit) or come to other sites.
func site(f *meta.Func, id uint32, exit bool, next ...uint32) collect.FlowSite {
	return collect.FlowSite{Counter: f.First + id, Exit: exit, Next: next}
}

// TestEliminatedRegions checks which lines go with code without a counter of its own: emit's else branch
// (lines 14 to 17) and the rest of handle_exec_fentry (43, 44), both differences.
func TestEliminatedRegions(t *testing.T) {
	o := modeltest.Compile(t, 1, "probe.o")
	// removed is the flow of a program of which the verifier left only the way through counter 1.
	removed := func(name string) []collect.Flow {
		f := o.Function(t, name)
		return []collect.Flow{{
			Before: []collect.FlowSite{site(f, 0, true, 1), site(f, 1, true)},
			After:  []collect.FlowSite{site(f, 0, false, 1), site(f, 1, true)},
		}}
	}
	for _, test := range []struct {
		name  string
		flows []collect.Flow
		want  map[int]model.Status
	}{
		{"nothing known", nil, map[int]model.Status{13: model.Missed, 14: model.Missed, 16: model.Missed, 44: model.Missed}},
		{"else", removed("emit"), map[int]model.Status{13: model.Missed, 15: model.Eliminated, 16: model.Eliminated,
			17: model.Eliminated, 18: model.Missed, 44: model.Missed,
			14: model.Missed}}, // the line of the other brace is shared
		{"rest of a function", removed("handle_exec_fentry"), map[int]model.Status{16: model.Missed, 41: model.Missed,
			42: model.Missed, 43: model.Eliminated, 44: model.Eliminated, 45: model.Missed}}, // its end is the function's
	} {
		t.Run(test.name, func(t *testing.T) {
			c := o.Counters(t, nil)
			c.Flows = test.flows
			r := one(t, o, c)
			got := map[int]model.Status{}
			for line := range test.want {
				got[line] = stateOf(t, r, "probe.bpf.c", line).Status
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("lines, want (-), got (+):\n%s", d)
			}
		})
	}
	t.Run("the other side removed", func(t *testing.T) {
		c := o.Counters(t, nil)
		c.Flows = removed("emit")
		c.Flows[0].After = []collect.FlowSite{site(o.Function(t, "emit"), 0, true)}
		o.Set(t, &c, collect.StateEliminated, "emit", 1)
		r := one(t, o, c)
		if got := stateOf(t, r, "probe.bpf.c", 12).Status; got != model.Eliminated {
			t.Errorf("if: got %v, want eliminated", got)
		}
		if got := stateOf(t, r, "probe.bpf.c", 16).Status; got != model.Missed {
			t.Errorf("else: got %v, want missed", got)
		}
	})
	t.Run("hit all the same", func(t *testing.T) {
		c := o.Counters(t, map[string][]uint64{"emit": {5, 2}})
		c.Flows = removed("emit")
		if got := stateOf(t, one(t, o, c), "probe.bpf.c", 16); got != (model.State{Status: model.Hit, Count: 3}) {
			t.Errorf("got %v, want hit 3 times", got)
		}
	})
}

// TestEliminatedInside checks a difference that has counters inside, and the false side of a condition in
// it, which is a difference of differences.
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
	f := o.Function(t, "f")
	type sites = []collect.FlowSite
	whole := sites{site(f, 0, true, 1, 2, 3), site(f, 1, true), site(f, 2, true, 3), site(f, 3, true)}
	for _, test := range []struct {
		name        string
		after       sites
		inner       collect.CounterState
		lines, side model.Status
	}{
		{"all kept", whole, collect.StateLive, model.Missed, model.Missed},
		{"all gone", sites{site(f, 0, false, 1), site(f, 1, true)}, collect.StateEliminated, model.Eliminated, model.Eliminated},
		{"only inner code gone", sites{site(f, 0, true, 1), site(f, 1, true)}, collect.StateEliminated, model.Missed, model.Missed},
		{"only a way past the condition gone", sites{site(f, 0, false, 1, 2), site(f, 1, true), site(f, 2, true, 3), site(f, 3, true)},
			collect.StateLive, model.Missed, model.Eliminated},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := o.Counters(t, nil)
			o.Set(t, &c, test.inner, "f", 2, 3)
			c.Flows = []collect.Flow{{Before: whole, After: test.after}}
			r := one(t, o, c)
			for _, line := range []int{6, 7, 9, 12} {
				if got := stateOf(t, r, "in.bpf.c", line); got.Status != test.lines {
					t.Errorf("line %d: got %v, want %v", line, got.Status, test.lines)
				}
			}
			if got := stateOf(t, r, "in.bpf.c", 5); got.Status != model.Missed {
				t.Errorf("line 5: got %v, want missed", got.Status)
			}
			br := r.Files[0].Branches[1]
			if got := br.Cells[0].False.Status; br.Line != 7 || got != test.side {
				t.Errorf("false side of line %d: got %v, want %v", br.Line, got, test.side)
			}
		})
	}
}

// TestFlow checks what the flow of loaded programs says about emit's else branch, which is the counter of
// emit less that of its if.
func TestFlow(t *testing.T) {
	o := modeltest.Compile(t, 1, "probe.o")
	f := o.Function(t, "emit")
	type sites = []collect.FlowSite
	either := sites{site(f, 0, true, 1), site(f, 1, true)}  // the function may end without the if
	always := sites{site(f, 0, false, 1), site(f, 1, true)} // the if always follows
	late := sites{site(f, 1, false, 1), site(f, 0, true)}   // the whole is counted behind the if
	late[0].First = true
	unmarked := sites{site(f, 1, false, 1), site(f, 0, true)}
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
		{"removed, and counted later", []collect.Flow{{Before: either, After: late}}, model.Eliminated, ""},
		{"removed, and in a record from before sites were marked", []collect.Flow{{Before: either, After: late}, {Before: either, After: unmarked}}, model.Missed, ""},
		{"removed by the compiler, and counted later", []collect.Flow{{Before: late, After: late}}, model.Missed, "removed by the compiler"},
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
