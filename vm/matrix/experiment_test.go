package matrix

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/instrument/policy"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

var (
	oldID = meta.ObjectID{1}
	newID = meta.ObjectID{2}
)

// fixture is an experiment over two cells in which the program "emit", of functions emit and send, was refused.
type fixture struct {
	r      *Runner
	c      *candidate
	trials []trial
	found  seen
	cells  [2]*Cell
	res    Result
}

func newFixture() *fixture {
	f := &fixture{r: &Runner{Points: []Point{{"a", "amd64"}}}, found: seen{}}
	f.r.policy = policyState{now: &policy.Policy{}, base: policy.Rung{Counter: policy.Atomic}}
	f.c = &candidate{
		program: program{"emit", "XDP"}, objects: []meta.ObjectID{oldID},
		functions: []function{{"a.c", "emit"}, {"a.c", "send"}},
	}
	for i, version := range []string{"5.10", "6.1"} {
		cell := &Cell{Name: version + "-amd64", Kernel: &kernels.Kernel{Version: version, Arch: "amd64"},
			Result: &vm.CellResult{Cell: collect.Cell{Kernel: version + ".0-1-amd64", Arch: "amd64"}}}
		f.cells[i], f.found[cell] = cell, map[policy.Rung][]collect.Record{}
		f.c.refusals = append(f.c.refusals, &refusal{cell: cell, tests: []string{"t"}, error: "EACCES: R2 min value is negative"})
	}
	for _, rung := range f.r.rungs([]*candidate{f.c}) {
		f.trials = append(f.trials, trial{rung: rung})
	}
	return f
}

// says records what a cell says of the program, a letter a rung: r refused, l loads, - not tried.
func (f *fixture) says(cell int, letters string, ids ...meta.ObjectID) {
	for i, l := range letters {
		p := collect.ProgramLoad{Name: "emit", Type: "XDP", Objects: ids, Verdict: collect.VerdictOK}
		switch l {
		case '-':
			continue
		case 'r':
			p.Verdict = collect.VerdictRejected
		}
		rung := f.trials[i].rung
		f.found[f.cells[cell]][rung] = append(f.found[f.cells[cell]][rung], collect.Record{Programs: []collect.ProgramLoad{p}})
	}
}

// decide is what search does with the results of an experiment.
func (f *fixture) decide() {
	if left := f.r.plain(&f.res, f.c, f.found); left != nil {
		f.r.decide(&f.res, left, f.trials, f.found)
	}
}

func (f *fixture) rules() string {
	var b strings.Builder
	f.r.policy.now.Flat(&b)
	return strings.ReplaceAll(b.String(), "\t", " ")
}

func TestDecide(t *testing.T) {
	both := func(rung string) string { return rung + " a.c emit\n" + rung + " a.c send\n" }
	for name, tt := range map[string]struct {
		first, second string // region/flag, probe/flag, line/flag, off
		rules         string
		refused       []string
		open          string
	}{
		"first rung that loads everywhere": {"llll", "rlll", both("probe flag"), nil, ""},
		"rungs are no order":               {"lrll", "rlll", both("line flag"), nil, ""},
		"off":                              {"rrrl", "rrrl", both("off -"), nil, ""},
		"refused without counters":         {"rrrr", "rrrr", "", []string{"5.10-amd64", "6.1-amd64"}, ""},
		"refused without counters on one":  {"rrrr", "rlll", both("probe flag"), []string{"5.10-amd64"}, ""},
		"off was not tried":                {"rll-", "rll-", both("probe flag"), nil, ""},
		"a boot failed":                    {"----", "llll", "", nil, "did not load again"},
		"not loaded again":                 {"----", "----", "", nil, "did not load again"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			f.says(0, tt.first)
			f.says(1, tt.second)
			f.decide()
			if diff := cmp.Diff(tt.rules, f.rules()); diff != "" {
				t.Error("rules (-want +got)\n" + diff)
			}
			var refused []string
			for _, r := range f.r.policy.now.Refused {
				refused = append(refused, r.FoundOn...)
			}
			if diff := cmp.Diff(tt.refused, refused); diff != "" {
				t.Error("refused (-want +got)\n" + diff)
			}
			if got := strings.Join(f.res.Policy.Open, "\n"); (got == "") != (tt.open == "") || !strings.Contains(got, tt.open) {
				t.Errorf("open: got %q, want it to contain %q", got, tt.open)
			}
			if _, err := f.r.policy.now.Marshal(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDecideStale(t *testing.T) {
	f := newFixture()
	f.says(0, "rrrr", oldID)
	f.says(1, "rrrr", oldID)
	f.decide()
	if f.rules() != "" || len(f.res.Policy.Open) != 1 || !strings.Contains(f.res.Policy.Open[0], "did not compile it again") {
		t.Errorf("rules %q, open %q", f.rules(), f.res.Policy.Open)
	}
}

// A function that is lower than the pick stays where it is, and only lower rungs are tried.
func TestDecideFromPolicy(t *testing.T) {
	f := newFixture()
	line := policy.Rung{Fidelity: meta.Line, Counter: policy.Flag}
	f.r.policy.now.Set(policy.Rule{Function: "send", File: "a.c", Rung: line, FoundOn: []string{"5.4-amd64"}})
	f.says(0, "rlll")
	f.says(1, "rlll")
	f.decide()
	if want := "line flag a.c send\nprobe flag a.c emit\n"; f.rules() != want {
		t.Errorf("got %q, want %q", f.rules(), want)
	}
	f.r.policy.now.Set(policy.Rule{Function: "emit", File: "a.c", Rung: line})
	if got := f.r.rungs([]*candidate{f.c}); len(got) != 1 || got[0].Fidelity != meta.Off {
		t.Errorf("rungs below line/flag: %v", got)
	}
}

func TestCandidatesKnown(t *testing.T) {
	f := newFixture()
	load := collect.ProgramLoad{Name: "emit", Type: "XDP", Verdict: collect.VerdictRejected, Errno: "EACCES", Reason: "a\tb\xff",
		Refused: []collect.CounterSet{{Object: newID, Ranges: [][2]uint32{{3, 3}}}}}
	described := &described{&meta.Meta{Functions: []meta.Func{{First: 0, Count: 3}, {First: 3, Count: 2}, {First: 5, Fidelity: meta.Off}}},
		[]function{{"a.c", "emit"}, {"a.c", "send"}, {"a.c", "third"}}}
	add := func(known *policy.Policy) []*candidate {
		cs := candidates{metas: metas{newID: described}}
		cs.add(f.cells[0], "t", &collect.Record{Programs: []collect.ProgramLoad{load, {Name: "fine", Verdict: collect.VerdictOK}}}, nil, known)
		return cs.sorted()
	}
	got := add(nil)
	if len(got) != 1 || !cmp.Equal(got[0].functions, []function{{"a.c", "send"}}, cmp.AllowUnexported(function{})) {
		t.Fatalf("got %+v", got)
	}
	known := &policy.Policy{Refused: []policy.Refused{{Program: "emit", Error: got[0].refusals[0].error, FoundOn: []string{"5.10-amd64"}}}}
	if got := add(known); len(got) != 0 {
		t.Errorf("known to be refused plain: got %v", got)
	}
	load.Reason = "another"
	if got := add(known); len(got) != 1 {
		t.Errorf("refused for another reason: got %v", got)
	}
}

func TestParsePolicyMode(t *testing.T) {
	for in, want := range map[string]PolicyMode{"": PolicyAuto, "auto": PolicyAuto, "read": PolicyRead, "off": PolicyOff} {
		if got, err := ParsePolicyMode(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	if _, err := ParsePolicyMode("aut"); err == nil || !strings.Contains(err.Error(), `did you mean "auto"?`) {
		t.Error(err)
	}
}

// Of many cells the oldest and the newest are tried; what lies between is like them when its words are the same.
func TestDecideBetween(t *testing.T) {
	f := newFixture()
	for _, version := range []string{"6.12", "5.15"} {
		cell := &Cell{Name: version + "-amd64", Kernel: &kernels.Kernel{Version: version, Arch: "amd64"},
			Result: &vm.CellResult{Cell: collect.Cell{Kernel: version + ".0-1-amd64", Arch: "amd64"}}}
		f.c.refusals = append(f.c.refusals, &refusal{cell: cell, tests: []string{"t"}, error: f.c.refusals[0].error})
	}
	tried := cellsOf([]*candidate{f.c})
	if len(tried) != 2 || tried[f.cells[0]] == nil || tried[f.c.refusals[2].cell] == nil {
		t.Errorf("tried %v, want 5.10 and 6.12", tried)
	}
	f.c.refusals[3].error = "EINVAL: another"
	f.says(0, "rrrr")
	f.says(1, "rrrr")
	left := f.r.plain(&f.res, f.c, f.found)
	if left == nil || len(left.refusals) != 1 || left.cells() != "5.15-amd64" || !left.untried(f.found) {
		t.Errorf("left: %+v, want 5.15-amd64", left)
	}
	if got := f.r.policy.now.Refused; len(got) != 1 || len(got[0].FoundOn) != 3 {
		t.Errorf("remembered %v, want one entry for three cells", got)
	}
}

func TestSavePolicyElsewhere(t *testing.T) {
	f := newFixture()
	f.r.Out, f.r.policy.path = t.TempDir(), filepath.Join(t.TempDir(), "missing", policy.FileName)
	f.r.policy.now.Set(policy.Rule{Function: "send", File: "a.c", Rung: policy.Rung{Fidelity: meta.Off}})
	if err := f.r.savePolicy(&f.res); err != nil {
		t.Fatal(err)
	}
	got, err := policy.Read(f.r.policyEnv())
	if err != nil || !got.Equal(f.r.policy.now) || !f.res.Policy.Changed || len(f.res.Policy.Open) != 1 {
		t.Errorf("%s: %v, %+v", f.r.policyEnv(), err, f.res.Policy)
	}
}

// A program is called as in its source where its functions tell which one it is.
func TestTitle(t *testing.T) {
	for name, functions := range map[string][]string{
		"short":            {"short", "short_too"},
		"cpumap_l4_filter": {"cpumap_l4_filter", "parse"},
		"fifteen_letters":  {"fifteen_letters_a", "fifteen_letters_b"},
	} {
		c := &candidate{program: program{name: name[:min(len(name), 15)]}}
		for _, f := range functions {
			c.functions = append(c.functions, function{name: f})
		}
		if got := c.title(); got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
}
