package verify

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ok(prog string, insns int) Result {
	return Result{File: "a.o", Program: prog, Verdict: OK, Stats: Stats{Insns: insns, States: insns / 10}}
}

func bad(prog string) Result {
	return Result{File: "a.o", Program: prog, Verdict: Failed, Class: ClassHelper, Errno: "EINVAL", Reason: "unknown func bpf_loop#181"}
}

func TestCompare(t *testing.T) {
	base := &Run{Cells: []Cell{{Name: "6.1-amd64", Results: []Result{ok("grows", 100), ok("breaks", 10), bad("heals"), bad("stays"), ok("goes", 5), ok("same", 7)}}}}
	now := &Run{Cells: []Cell{
		{Name: "6.1-amd64", Results: []Result{ok("grows", 120), bad("breaks"), ok("heals", 8), bad("stays"), ok("comes", 4), ok("same", 7)}},
		{Name: "7.2-amd64", Results: []Result{ok("grows", 1)}},
	}}
	limit, err := ParseThreshold("insns>+10%")
	if err != nil {
		t.Fatal(err)
	}
	diffs, unmatched := Compare(base, now, []Threshold{limit})
	if len(diffs) != 1 || len(unmatched) != 1 || unmatched[0] != "7.2-amd64" {
		t.Fatalf("got %d comparisons and unmatched %v, want 6.1 compared and 7.2 unmatched", len(diffs), unmatched)
	}
	got := map[string]ChangeKind{}
	for _, c := range diffs[0].Changes {
		got[c.key().prog] = c.Kind
		if want := c.key().prog == "grows"; (len(c.Exceeds) > 0) != want {
			t.Errorf("%s: got beyond %v, want only grows", c.key(), c.Exceeds)
		}
		if want := c.key().prog == "grows" || c.key().prog == "breaks"; c.Fails() != want {
			t.Errorf("%s: got Fails %v, want %v", c.key(), c.Fails(), want)
		}
	}
	want := map[string]ChangeKind{"grows": Changed, "breaks": NewlyFailing, "heals": NewlyLoading, "stays": Same, "goes": Removed, "comes": Added, "same": Same}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	var b bytes.Buffer
	if err := WriteMarkdown(&b, diffs); err != nil {
		t.Fatal(err)
	}
	golden := `**6.1-amd64** against 6.1-amd64: 1 newly failing, 1 newly loading, 1 added, 1 removed, 1 changed, 2 same

| program | change | insns | states | why |
|---|---|---|---|---|
| a.o/breaks | newly failing | 10 -&gt; 0 (-10, -100.0%) | 1 -&gt; 0 (-1, -100.0%) | helper EINVAL: unknown func bpf\_loop#181 |
| a.o/goes | removed | 5 | 0 |  |
| a.o/heals | newly loading | 0 -&gt; 8 (+8) | 0 |  |
| a.o/comes | added | 4 | 0 |  |
| a.o/grows | beyond insns&gt;+10% | 100 -&gt; 120 (+20, +20.0%) | 10 -&gt; 12 (+2, +20.0%) |  |

`
	if diff := cmp.Diff(golden, b.String()); diff != "" {
		t.Errorf("markdown (-want +got):\n%s", diff)
	}
	// Two single kernels are compared whatever they are called.
	diffs, _ = Compare(base, &Run{Cells: now.Cells[1:]}, nil)
	if len(diffs) != 1 || diffs[0].Now != "7.2-amd64" {
		t.Errorf("another kernel: got %+v, want one comparison", diffs)
	}
}

func TestThreshold(t *testing.T) {
	b, n := &Result{Stats: Stats{Insns: 100}}, &Result{Stats: Stats{Insns: 110, States: 3}}
	for s, want := range map[string]bool{
		"insns>+9%": true, "insns>+10%": false, "insns>=10%": true, "insns>+9": true, "insns<-5": false, "insns<+11%": true, "states>+1%": false, "states>2": true,
	} {
		l, err := ParseThreshold(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.beyond(b, n); got != want {
			t.Errorf("%s: got %v, want %v", s, got, want)
		}
	}
	for _, s := range []string{"", "insns", "insns+10%", "insns>x", "what>1", "prog>1", ">1"} {
		if _, err := ParseThreshold(s); err == nil {
			t.Errorf("%q: got no error", s)
		}
	}
}

func TestExpectations(t *testing.T) {
	list := Expectations{
		{Program: "loop_*", Cells: []string{"<5.17"}, Verdict: Failed, Class: ClassHelper, Reason: "bpf_loop is of 5.17"},
		{Program: "a.o/arena", Cells: []string{">=6.9", "arm64"}, Verdict: OK},
		{Program: "arena", Verdict: Failed},
	}
	if err := list.Check(); err != nil {
		t.Fatal(err)
	}
	cell := func(release, arch string) *Cell {
		v, _, _ := strings.Cut(release, "-")
		return &Cell{Name: v + "-" + arch, Kernel: Kernel{Release: release, Arch: arch}}
	}
	for _, tt := range []struct {
		cell *Cell
		r    Result
		want string
	}{
		{cell("5.10.0-46", "amd64"), bad("loop_x"), ""},
		{cell("5.10.0-46", "amd64"), ok("loop_x", 1), "ok, expected failed (bpf_loop is of 5.17)"},
		{cell("5.17.0", "amd64"), bad("loop_x"), "failed"},
		{cell("6.9.1", "arm64"), bad("arena"), "failed, expected ok"},
		{cell("6.9.1", "amd64"), bad("arena"), ""},
		{cell("6.1.0", "arm64"), bad("arena"), ""},
		{cell("6.1.0", "arm64"), ok("other", 1), ""},
		{cell("6.1.0", "arm64"), Result{Program: "s", Verdict: Skipped}, ""},
	} {
		if got := list.Unexpected(tt.cell, &tt.r); got != tt.want {
			t.Errorf("%s on %s: got %q, want %q", tt.r.Program, tt.cell.Name, got, tt.want)
		}
	}
	for _, e := range []Expectation{{Verdict: OK}, {Program: "x", Verdict: "fine"}, {Program: "[", Verdict: OK}, {Program: "x", Verdict: OK, Cells: []string{"<new"}}} {
		if err := (Expectations{e}).Check(); err == nil {
			t.Errorf("%+v: got no error", e)
		}
	}
}

func TestMinimum(t *testing.T) {
	k := func(name, release string, list ...Result) Cell {
		return Cell{Name: name, Kernel: Kernel{Release: release, Arch: "amd64"}, Results: list}
	}
	run := &Run{Cells: []Cell{
		k("6.12-amd64", "6.12.1", ok("p", 1), ok("q", 1)), k("5.10-amd64", "5.10.0-46", ok("p", 1), bad("q")), k("6.1-amd64", "6.1.0", ok("p", 1), ok("q", 2)),
		{Name: "broken", Kernel: Kernel{Release: "4.0", Arch: "amd64"}, Error: "no boot"},
	}}
	var b bytes.Buffer
	if err := WriteMinimums(&b, run); err != nil {
		t.Fatal(err)
	}
	want := "amd64: every program loads from 6.1-amd64 on\n  5.10-amd64 refuses 1: a.o/q: helper, unknown func bpf_loop#181\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlotIsXML(t *testing.T) {
	run := &Run{Cells: []Cell{
		{Name: "5.10-amd64", Kernel: Kernel{Release: "5.10"}, Results: []Result{ok("p", 10), bad("q")}},
		{Name: "6.1-amd64", Kernel: Kernel{Release: "6.1"}, Results: []Result{ok("p", 4000), ok("<q>", 3)}},
	}}
	for _, r := range []*Run{run, {}} {
		var b bytes.Buffer
		if err := Plot(&b, r); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(&b)
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestReadJSON(t *testing.T) {
	name := filepath.Join(t.TempDir(), "verify.json")
	var b bytes.Buffer
	run := &Run{Version: RunVersion, Cells: []Cell{{Name: "c", Results: []Result{ok("p", 3), bad("q")}}}}
	run.Cells[0].Results[1].Log = "long"
	if err := WriteJSON(&b, run); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := ReadJSON(name)
	if err != nil {
		t.Fatal(err)
	}
	run.Cells[0].Results[1].Log = "" // has a file of its own
	if diff := cmp.Diff(run, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, text := range []string{"", "{}", `{"version":99}`, "[1]"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadJSON(name); !errors.Is(err, ErrRun) {
			t.Errorf("%q: got %v, want an ErrRun", text, err)
		}
	}
}

func TestCounterpart(t *testing.T) {
	cell := func(name string, llvm int) Cell { return Cell{Name: name, LLVM: llvm} }
	plain := &Run{Cells: []Cell{cell("6.1-amd64", 0), cell("6.12-amd64", 0)}}
	one := &Run{Cells: []Cell{cell("6.1-amd64-llvm19", 19), cell("6.12-amd64-llvm19", 19)}}
	two := &Run{Cells: []Cell{cell("6.1-amd64-llvm19", 19), cell("6.1-amd64-llvm22", 22)}}
	for _, tt := range []struct {
		base *Run
		c    Cell
		only bool
		want string
	}{
		{one, cell("6.1-amd64-llvm19", 19), false, "6.1-amd64-llvm19"},
		{one, cell("6.12-amd64-llvm22", 22), false, "6.12-amd64-llvm19"}, // another compiler
		{plain, cell("6.1-amd64-llvm22", 22), false, "6.1-amd64"},
		{one, cell("6.1-amd64", 0), false, "6.1-amd64-llvm19"},
		{two, cell("6.1-amd64-llvm16", 16), false, ""}, // with which of both?
		{one, cell("7.2-amd64-llvm19", 19), true, ""},
		{&Run{Cells: plain.Cells[:1]}, cell("host", 0), true, "6.1-amd64"}, // another kernel
		{&Run{Cells: plain.Cells[:1]}, cell("host", 0), false, ""},
	} {
		got := ""
		if b := tt.base.Counterpart(&tt.c, tt.only); b != nil {
			got = b.Name
		}
		if got != tt.want {
			t.Errorf("%s in %s…: got %q, want %q", tt.c.Name, tt.base.Cells[0].Name, got, tt.want)
		}
	}
}

func TestMinimumsOfCompilers(t *testing.T) {
	cell := func(release string, llvm int, v Verdict) Cell {
		return Cell{Name: release, LLVM: llvm, Kernel: Kernel{Release: release, Arch: "amd64"}, Results: []Result{{File: "a.o", Program: "p", Verdict: v}}}
	}
	var b bytes.Buffer
	run := &Run{Cells: []Cell{cell("6.1", 19, OK), cell("6.12", 19, OK), cell("6.1", 22, Failed), cell("6.12", 22, OK)}}
	if err := WriteMinimums(&b, run); err != nil {
		t.Fatal(err)
	}
	want := "amd64, clang 19: every program loads from 6.1 on, the oldest that was tried\n" +
		"amd64, clang 22: every program loads from 6.12 on\n  6.1 refuses 1: a.o/p: , \n"
	if got := b.String(); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
