package model_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

func TestRatio(t *testing.T) {
	for _, test := range []struct {
		ratio   model.Ratio
		text    string
		percent float64
	}{
		{model.Ratio{}, "-", 0},
		{model.Ratio{Hit: 0, Total: 3}, "0.0%", 0},
		{model.Ratio{Hit: 1, Total: 3}, "33.3%", 33.3},
		{model.Ratio{Hit: 2, Total: 3}, "66.6%", 66.6},
		{model.Ratio{Hit: 1, Total: 100000}, "0.1%", 0.1},
		{model.Ratio{Hit: 99999, Total: 100000}, "99.9%", 99.9},
		{model.Ratio{Hit: math.MaxInt32 - 1, Total: math.MaxInt32}, "99.9%", 99.9},
		{model.Ratio{Hit: 3, Total: 3}, "100%", 100},
	} {
		if got := test.ratio.String(); got != test.text {
			t.Errorf("%+v: got %q, want %q", test.ratio, got, test.text)
		}
		if got := test.ratio.Percent(); math.Abs(got-test.percent) > 1e-9 {
			t.Errorf("%+v: got %v, want %v", test.ratio, got, test.percent)
		}
	}
}

func TestMerge(t *testing.T) {
	hit := func(n uint64) model.State { return model.State{Status: model.Hit, Count: n} }
	is := func(s model.Status, r model.Reason) model.State { return model.State{Status: s, Reason: r} }
	for _, test := range []struct {
		name  string
		cells []model.State
		want  model.State
	}{
		{"none", nil, model.State{}},
		{"counts add", []model.State{hit(2), is(model.Missed, 1), hit(3)}, hit(5)},
		{"counts saturate", []model.State{hit(math.MaxUint64), hit(3)}, hit(math.MaxUint64)},
		{"eliminated everywhere", []model.State{is(model.Eliminated, 0), is(model.NotBuilt, 0), is(model.NotRun, 0)}, is(model.Eliminated, 0)},
		{"countable anywhere", []model.State{is(model.Eliminated, 0), is(model.Missed, 0)}, is(model.Missed, 0)},
		{"one reason", []model.State{is(model.Rejected, 4), is(model.Missed, 1), is(model.Rejected, 4)}, is(model.Rejected, 4)},
		{"reasons disagree", []model.State{is(model.Rejected, 4), is(model.Rejected, 5)}, is(model.Rejected, 0)},
	} {
		if diff := cmp.Diff(test.want, model.Merge(test.cells)); diff != "" {
			t.Errorf("%s, want (-), got (+):\n%s", test.name, diff)
		}
	}
}

// TestCells checks the order and names of cells, and what the runs of one become together.
func TestCells(t *testing.T) {
	type cell = collect.Cell
	for _, test := range []struct {
		name  string
		cells []cell // in the order wanted
		want  []string
	}{
		{"by number", []cell{{Kernel: "5.4.0-1-amd64", Arch: "amd64"}, {Kernel: "5.15.0-1", Arch: "amd64"}, {Kernel: "6.1.0", Arch: "amd64"},
			{Kernel: "6.1.0", Arch: "arm64"}, {Kernel: "6.12.3+deb", Arch: "amd64"}},
			[]string{"5.4-amd64", "5.15-amd64", "6.1-amd64", "6.1-arm64", "6.12-amd64"}},
		{"patch level", []cell{{Kernel: "6.1.9", Arch: "amd64"}, {Kernel: "6.1.10", Arch: "amd64"}},
			[]string{"6.1.9-amd64", "6.1.10-amd64"}},
		{"compilers", []cell{{Kernel: "6.1.9", Arch: "amd64", LLVM: 14}, {Kernel: "6.1.9", Arch: "amd64", LLVM: 19}},
			[]string{"6.1-amd64-llvm14", "6.1-amd64-llvm19"}},
		{"flavours", []cell{{Kernel: "6.1.9-cloud", Arch: "amd64"}, {Kernel: "6.1.9-rt (x)", Arch: "amd64"}},
			[]string{"6.1.9-cloud-amd64", "6.1.9-rt-x-amd64"}},
		{"too long", []cell{{Kernel: "6.1.9-a-name-that-is-much-longer-than-anybody-wants-1", Arch: "amd64"},
			{Kernel: "6.1.9-a-name-that-is-much-longer-than-anybody-wants-2", Arch: "amd64"}},
			[]string{"6.1.9-a-name-that-is-much-longer-than-anybody", "6.1.9-a-name-that-is-much-longer-than-anybo-2"}},
		{"no number", []cell{{Kernel: "next", Arch: "amd64"}}, []string{"next-amd64"}},
		{"never booted", []cell{{Spec: "file:/boot/vmlinuz", Arch: "amd64"}}, []string{"file-boot-vmlinuz-amd64"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &collect.Data{}
			for i := range test.cells {
				d.Records = append(d.Records, collect.Record{Run: collect.Run{Cell: test.cells[len(test.cells)-1-i], Outcome: collect.Passed}})
			}
			r := build(t, d)
			var got []string
			for i := range r.Cells {
				got = append(got, r.Cells[i].Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("names, want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	run := func(test string, o collect.Outcome, cases ...collect.Outcome) collect.Run {
		r := collect.Run{ID: test, Cell: collect.Cell{Kernel: "6.1", Arch: "amd64"}, Test: test, Outcome: o}
		for _, c := range cases {
			r.Cases = append(r.Cases, collect.Case{Name: string(c), Outcome: c})
		}
		return r
	}
	killed := run("k", collect.Failed)
	killed.Signal = "killed"
	exit := run("e", collect.Failed, collect.Passed)
	exit.ExitCode = 3
	hung := run("h", collect.TimedOut)
	hung.Reason, hung.Partial = "no end within 60s\n", true
	panicked := run("p", collect.Panicked)
	panicked.Reason, panicked.Console = "Kernel panic - not syncing: Fatal exception", []string{"a", "b"}
	for _, test := range []struct {
		name    string
		runs    []collect.Run
		outcome collect.Outcome
		failure string
		tests   model.Tests
		ran     bool
	}{
		{"cases", []collect.Run{run("a", collect.Passed, collect.Passed, collect.Skipped), run("b", collect.Passed)}, collect.Passed, "",
			model.Tests{Passed: 2, Skipped: 1}, true},
		{"failed outside of its cases", []collect.Run{exit}, collect.Failed, "test e failed: exit status 3", model.Tests{Passed: 1, Failed: 1}, true},
		{"failed in a case", []collect.Run{run("f", collect.Failed, collect.Failed, collect.Passed)}, collect.Failed, "test f failed: exit status 0",
			model.Tests{Passed: 1, Failed: 1}, true},
		{"signal", []collect.Run{killed}, collect.Failed, "test k failed: signal killed", model.Tests{Failed: 1}, true},
		{"the worst one counts", []collect.Run{panicked, exit, hung}, collect.Panicked,
			"test p panic: Kernel panic - not syncing: Fatal exception", model.Tests{Passed: 1, Failed: 3}, true},
		{"cut off before anything was seen", []collect.Run{hung}, collect.TimedOut, "test h timeout: no end within 60s",
			model.Tests{Failed: 1}, false},
		{"boot", []collect.Run{run("b", collect.BootFailed)}, collect.BootFailed, "boot-failed", model.Tests{}, false},
		{"skipped", []collect.Run{run("s", collect.Skipped)}, collect.Skipped, "test s skipped", model.Tests{Skipped: 1}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &collect.Data{}
			for _, r := range test.runs {
				d.Records = append(d.Records, collect.Record{Run: r})
			}
			c := build(t, d).Cells[0]
			if c.Outcome != test.outcome || c.Failure != test.failure || c.Tests != test.tests || c.Ran != test.ran {
				t.Errorf("got %v %q %v ran %v, want %v %q %v ran %v", c.Outcome, c.Failure, c.Tests, c.Ran, test.outcome, test.failure,
					test.tests, test.ran)
			}
		})
	}
}
