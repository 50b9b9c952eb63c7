package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm"
)

func TestEstimates(t *testing.T) {
	cells := []*Cell{
		{Point: Point{"a", "amd64"}}, {Point: Point{"b", "amd64"}}, {Point: Point{"c", "amd64"}}, {Point: Point{"d", "s390x"}},
	}
	known := map[*Cell]time.Duration{cells[0]: 10 * time.Second, cells[1]: 30 * time.Second}
	got := estimates(cells, func(c *Cell) time.Duration { return known[c] })
	for i, want := range []time.Duration{10, 30, 20, 20} {
		if got[cells[i]] != want*time.Second {
			t.Errorf("cell %d: got %v, want %v", i, got[cells[i]], want*time.Second)
		}
	}
	for c, d := range estimates(cells, func(*Cell) time.Duration { return 0 }) {
		if d != 0 {
			t.Errorf("%v: got %v with nothing known", c.Point, d)
		}
	}
}

func TestCosts(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	c := readCosts()
	c.set("a", 1500*time.Millisecond)
	if err := c.write(); err != nil {
		t.Fatal(err)
	}
	other := readCosts()
	other.set("b", time.Second)
	if err := other.write(); err != nil {
		t.Fatal(err)
	}
	c = readCosts()
	if a, b, n := c.get("a"), c.get("b"), c.get("none"); a != 1500*time.Millisecond || b != time.Second || n != 0 {
		t.Errorf("got %v, %v, %v", a, b, n)
	}
	for _, bad := range []string{"", "null", "[]", `{"a":{"s":-1}}`, `{"a":{"s":1e300}}`} {
		if err := os.WriteFile(c.path, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := readCosts().get("a"); got != 0 {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestExpect(t *testing.T) {
	p := Point{"apt:bookworm", "amd64"}
	cases := func(s string) (out []collect.Case) { // "T1 !T2 T2/a": ! is failed
		for _, w := range strings.Fields(s) {
			c := collect.Case{Name: strings.TrimPrefix(w, "!"), Outcome: collect.Passed}
			if strings.HasPrefix(w, "!") {
				c.Outcome, c.Message = collect.Failed, "broken"
			}
			out = append(out, c)
		}
		return out
	}
	whole := config.ExpectFail{Kernel: "6.1", Reason: "no BTF"}
	one := config.ExpectFail{Case: "T2/*", Reason: "no BTF"}
	for _, tc := range []struct {
		name    string
		expect  config.ExpectFail
		outcome collect.Outcome
		cases   string
		want    collect.Outcome
		reason  string
		skipped int
	}{
		{"whole", whole, collect.Failed, "T1 !T2", collect.Skipped, "XFAIL (no BTF): exit status 1", 1},
		{"whole, panic", whole, collect.Panicked, "", collect.Skipped, "XFAIL (no BTF): exit status 1", 0},
		{"whole, no boot", whole, collect.BootFailed, "", collect.BootFailed, "exit status 1", 0},
		{"whole, passed", whole, collect.Passed, "T1", collect.Failed, "XPASS: passed, and was expected to fail: no BTF", 0},
		{"whole, skipped", whole, collect.Skipped, "", collect.Skipped, "exit status 1", 0},
		{"other kernel", config.ExpectFail{Kernel: "apt:trixie", Reason: "x"}, collect.Failed, "!T1", collect.Failed, "exit status 1", 0},
		{"same spec", config.ExpectFail{Kernel: "apt:bookworm", Reason: "x"}, collect.Failed, "!T1", collect.Skipped, "XFAIL (x): exit status 1", 1},
		{"other arch", config.ExpectFail{Arch: "s390x", Reason: "x"}, collect.Failed, "!T1", collect.Failed, "exit status 1", 0},
		{"other test", config.ExpectFail{Test: "b", Reason: "x"}, collect.Failed, "!T1", collect.Failed, "exit status 1", 0},
		{"case", one, collect.Failed, "T1 !T2 !T2/a T3", collect.Passed, "", 2},
		{"case and another", one, collect.Failed, "!T1 !T2 !T2/a", collect.Failed, "exit status 1", 2},
		{"case and its sibling", config.ExpectFail{Case: "T2/a", Reason: "x"}, collect.Failed, "!T2 !T2/a !T2/b", collect.Failed, "exit status 1", 1},
		{"case and a panic", one, collect.Panicked, "!T2 !T2/a", collect.Panicked, "exit status 1", 2},
		{"case passed", one, collect.Passed, "T1 T2 T2/a", collect.Failed, "XPASS: T2/a passed, and was expected to fail", 0},
		{"case passed, other failed", one, collect.Failed, "!T1 T2 T2/a", collect.Failed, "exit status 1; XPASS: T2/a passed, and was expected to fail", 0},
		{"case did not run", one, collect.Passed, "T1", collect.Passed, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &Runner{Config: &config.Config{ExpectFail: []config.ExpectFail{tc.expect}}}
			run := collect.Run{Test: "a", Outcome: tc.outcome, Cases: cases(tc.cases)}
			if tc.outcome != collect.Passed {
				run.Reason = "exit status 1"
			}
			r.expect(p, "6.1", &run)
			skipped := 0
			for _, c := range run.Cases {
				if c.Outcome == collect.Skipped {
					skipped++
					if !strings.HasPrefix(c.Message, "XFAIL (") || !strings.HasSuffix(c.Message, "): broken") {
						t.Errorf("message %q", c.Message)
					}
				}
			}
			if run.Outcome != tc.want || run.Reason != tc.reason || skipped != tc.skipped {
				t.Errorf("got %s, %q, %d cases skipped, want %s, %q, %d", run.Outcome, run.Reason, skipped, tc.want, tc.reason, tc.skipped)
			}
		})
	}
}

func TestKeepPassed(t *testing.T) {
	r := &Runner{Out: t.TempDir(), Config: &config.Config{Tests: []config.Test{{Name: "a"}, {Name: "b"}}}}
	r.Points = []Point{{"apt:bookworm", "amd64"}, {"apt:trixie", "amd64"}, {"apt:sid", "amd64"}, {"apt:sid", "arm64"}, {"apt:bullseye", "amd64"}}
	if _, err := r.keepPassed(); err == nil || !strings.Contains(err.Error(), "no results of an earlier run") {
		t.Errorf("without results: got %v", err)
	}
	for _, rec := range []struct {
		p       Point
		test    string
		outcome collect.Outcome
		reason  string
	}{
		{r.Points[0], "a", collect.Passed, ""}, {r.Points[0], "b", collect.Skipped, "no BTF"},
		{r.Points[1], "a", collect.Passed, ""}, {r.Points[1], "b", collect.Failed, "exit status 1"},
		{r.Points[2], "a", collect.Passed, ""}, // b is missing
		{r.Points[3], "a", collect.Passed, ""}, {r.Points[3], "b", collect.Skipped, ErrNotRun.Error() + ": 6.1-amd64 failed before"},
		{r.Points[4], "a", collect.Passed, ""}, {r.Points[4], "b", collect.Passed, "damaged"},
	} {
		path, err := collect.WriteRecord(filepath.Join(r.Out, "covdata"), &collect.Record{Run: collect.Run{
			ID: collect.NewRunID(), Cell: collect.Cell{Kernel: "k", Spec: rec.p.Spec, Arch: rec.p.Arch}, Test: rec.test, Command: []string{"x"},
			Outcome: rec.outcome, Reason: rec.reason,
		}})
		if err == nil && rec.reason == "damaged" {
			err = os.Truncate(path, 70)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var told []string
	r.Progress = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	kept, err := r.keepPassed()
	if len(told) != 1 || !strings.Contains(told[0], "left out: ") {
		t.Errorf("told %q, want the damaged record", told)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 0, 0, 0, 0} {
		if len(kept[i]) != want {
			t.Errorf("%s: kept %d records, want %d", r.Points[i], len(kept[i]), want)
		}
	}
	// The kept ones are results of the new run as well.
	if err := os.RemoveAll(filepath.Join(r.Out, "covdata")); err != nil {
		t.Fatal(err)
	}
	res := &Result{Covdata: filepath.Join(r.Out, "covdata"), Cells: []Cell{{Name: "6.1-amd64", Kept: kept[0]}, {Name: "6.12-amd64"}}}
	if err := r.writeKept(res); err != nil {
		t.Fatal(err)
	}
	data, err := collect.ReadDir(res.Covdata)
	if err != nil || len(data.Records) != 2 {
		t.Errorf("got %v, %v", data, err)
	}
	r.RerunFailed = true
	if got := strings.Join(r.outdated(res), " "); strings.Contains(got, "6.1-amd64") || !strings.Contains(got, "cells/6.12-amd64") || strings.Contains(got+" ", "cells ") {
		t.Errorf("removes %s", got)
	}
}

func TestCellOK(t *testing.T) {
	cell := func(o ...collect.Outcome) Cell {
		res := &vm.CellResult{}
		for _, x := range o {
			res.Records = append(res.Records, collect.Record{Run: collect.Run{Outcome: x}})
		}
		return Cell{Result: res}
	}
	for _, tc := range []struct {
		c    Cell
		ok   bool
		word string
	}{
		{cell(collect.Passed, collect.Skipped), true, "skipped"},
		{cell(collect.Passed, collect.TimedOut, collect.Failed), false, "timeout"},
		{cell(collect.BootFailed), false, "boot-failed"},
		{Cell{}, false, "error"},
		{Cell{Err: ErrNotRun}, false, "error"},
	} {
		if tc.c.OK() != tc.ok || tc.c.outcome() != tc.word {
			t.Errorf("got %v, %s, want %v, %s", tc.c.OK(), tc.c.outcome(), tc.ok, tc.word)
		}
	}
}

func TestWarm(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		choice *bool
		ci     string
		want   bool
	}{{nil, "", true}, {nil, "true", false}, {&yes, "true", true}, {&no, "", false}} {
		t.Setenv("CI", tt.ci)
		if got := Warm(tt.choice); got != tt.want {
			t.Errorf("CI=%q: warm is %v, want %v", tt.ci, got, tt.want)
		}
	}
}
