package model_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMatrix shows the whole picture of the fixture, as a listing of its sources.
func TestMatrix(t *testing.T) {
	r := build(t, modeltest.Data(t))
	dir := t.TempDir()
	modeltest.Sources(t, dir)
	var texts [][2]string
	for i := range r.Files {
		f := &r.Files[i]
		source, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, [2]string{f.Name, listing(r, f, string(source))})
	}
	texts = append(texts, [2]string{"cells", cells(r)}, [2]string{"differences", differences(r)},
		[2]string{"warnings", strings.Join(r.Warnings, "\n") + "\n"})
	modeltest.Golden(t, "matrix", *update, texts...)
}

const letters = "?bfemlrH" // by status

func strip(states []model.State) string {
	s := ""
	for _, x := range states {
		s += letters[x.Status : x.Status+1]
	}
	return s
}

func sides(cells []model.BranchState) (t, f []model.State) {
	for _, s := range cells {
		t, f = append(t, s.True), append(f, s.False)
	}
	return t, f
}

func counts(states []model.State) string {
	s := make([]string, len(states))
	for i, x := range states {
		s[i] = fmt.Sprint(x.Count)
	}
	return strings.Join(s, " ")
}

// listing is the source with a strip of statuses and the counts at each line, branches and functions
// under the line that owns them.
func listing(r *model.Report, f *model.File, source string) string {
	var b strings.Builder
	reasons := func(states []model.State) {
		for i, s := range states {
			if text := r.Text(s.Reason); text != "" {
				fmt.Fprintf(&b, "            %s: %s\n", r.Cells[i].Name, text)
			}
		}
	}
	for n, text := range strings.Split(strings.TrimSuffix(source, "\n"), "\n") {
		mark := strings.Repeat(" ", len(r.Cells))
		count := ""
		for i := range f.Lines {
			if f.Lines[i].Number == n+1 {
				mark, count = strip(f.Lines[i].Cells), counts(f.Lines[i].Cells)
			}
		}
		fmt.Fprintf(&b, "%s\n", strings.TrimRight(fmt.Sprintf("%4d %s %-22s|%s", n+1, mark, count, text), " "))
		for i := range f.Functions {
			if x := &f.Functions[i]; x.Line == n+1 {
				fmt.Fprintf(&b, "     %s %s function %s (%s) to line %d %s\n", strip(x.Cells), counts(x.Cells), x.Name, x.LLVMName,
					x.EndLine, x.Program)
				reasons(x.Cells)
			}
		}
		for i := range f.Branches {
			if x := &f.Branches[i]; x.Line == n+1 {
				at := fmt.Sprintf("%d:%d-%d:%d", x.SourceLine, x.Col, x.EndLine, x.EndCol)
				if x.Source != "" {
					at = x.Source + ":" + at
				}
				onTrue, onFalse := sides(x.Cells)
				fmt.Fprintf(&b, "     %s %s  %s true\n", strip(onTrue), counts(onTrue), at)
				fmt.Fprintf(&b, "     %s %s  %s false\n", strip(onFalse), counts(onFalse), at)
			}
		}
	}
	return b.String()
}

func ratio(x model.Ratio) string { return fmt.Sprintf("%d/%d %s", x.Hit, x.Total, x) }

func cells(r *model.Report) string {
	var b strings.Builder
	for i := range r.Cells {
		c := &r.Cells[i]
		fmt.Fprintf(&b, "%s: %s ran %v, tests %v, lines %s, branches %s, functions %s\n", c.Name, c.Outcome, c.Ran, c.Tests,
			ratio(c.Summary.Lines), ratio(c.Summary.Branches), ratio(c.Summary.Functions))
		if c.Failure != "" {
			fmt.Fprintf(&b, "  %s\n", c.Failure)
		}
	}
	fmt.Fprintf(&b, "merged: lines %s, branches %s, functions %s\n", ratio(r.Merged.Lines), ratio(r.Merged.Branches),
		ratio(r.Merged.Functions))
	return b.String()
}

func differences(r *model.Report) string {
	var b strings.Builder
	for _, d := range r.Differences {
		fmt.Fprintf(&b, "%s %s:%s %s col %d %s, %d lines\n", d.Kind, d.File, model.FormatRanges(d.Ranges), d.Function, d.Col,
			d.Side, d.Lines)
		for _, g := range d.Groups {
			var names []string
			for _, c := range g.Cells {
				names = append(names, r.Cells[c].Name)
			}
			fmt.Fprintf(&b, "  %s: %s: %s\n", g.Status, g.Cause, strings.Join(names, " "))
		}
	}
	return b.String()
}

// everything is a report as text, for comparing reports.
func everything(t *testing.T, d *collect.Data) string {
	t.Helper()
	r := build(t, d)
	s := cells(r) + differences(r) + strings.Join(r.Warnings, "\n")
	for i := range r.Files {
		f := &r.Files[i]
		s += fmt.Sprintln(f.Name, f.Merged, f.Cells) + listing(r, f, strings.Repeat("\n", 100))
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		s += fmt.Sprintln(c.Cell, c.Statuses, c.Objects, c.Programs, c.Runs, c.Console, c.Duration)
		s += string(write(t, r.CellLCOV(i)))
	}
	return s + string(write(t, r.MergedLCOV()))
}

// TestOrder checks that a report depends on what the records say and not on how they come.
func TestOrder(t *testing.T) {
	d := modeltest.Data(t)
	want := everything(t, d)
	random := rand.New(rand.NewPCG(3, 4))
	for range 5 {
		shuffled := *d
		shuffled.Records = slices.Clone(d.Records)
		random.Shuffle(len(shuffled.Records), func(i, k int) {
			shuffled.Records[i], shuffled.Records[k] = shuffled.Records[k], shuffled.Records[i]
		})
		if diff := cmp.Diff(want, everything(t, &shuffled)); diff != "" {
			t.Fatalf("other order of records, sorted (-), shuffled (+):\n%s", diff)
		}
		// The same covdata given twice.
		shuffled.Records = append(shuffled.Records, shuffled.Records[:1+random.IntN(len(d.Records))]...)
		if diff := cmp.Diff(want, everything(t, &shuffled)); diff != "" {
			t.Fatalf("records given twice, once (-), twice (+):\n%s", diff)
		}
	}
	if n := len(build(t, &collect.Data{}).Cells); n != 0 {
		t.Errorf("report of nothing: got %d cells, want none", n)
	}
}

// TestSplitRun checks that what one run saw may as well come from two.
func TestSplitRun(t *testing.T) {
	d := modeltest.Data(t)
	whole := build(t, d)
	split := *d
	split.Records = nil
	for _, r := range d.Records {
		second := r
		second.Run.ID += "second"
		r.Objects, second.Objects = slices.Clone(r.Objects), slices.Clone(r.Objects)
		for i := range r.Objects {
			a, b := &r.Objects[i], &second.Objects[i]
			a.Counts, b.Counts = slices.Clone(a.Counts), slices.Clone(b.Counts)
			b.States = slices.Clone(b.States)
			for k := range a.Counts {
				half := a.Counts[k] / 2
				a.Counts[k] -= half
				b.Counts[k] = half
				b.States[k] = collect.StateNotLoaded // this run knows less
			}
			b.Flows = nil
		}
		split.Records = append(split.Records, second, r)
	}
	got := build(t, &split)
	for i := range whole.Cells {
		if diff := cmp.Diff(string(write(t, whole.CellLCOV(i))), string(write(t, got.CellLCOV(i)))); diff != "" {
			t.Errorf("%s in two runs, one (-), two (+):\n%s", whole.Cells[i].Name, diff)
		}
		if whole.Cells[i].Summary != got.Cells[i].Summary {
			t.Errorf("%s in two runs: got %v, want %v", whole.Cells[i].Name, got.Cells[i].Summary, whole.Cells[i].Summary)
		}
	}
	if a, b := differences(whole), differences(got); a != b {
		t.Errorf("differences of two runs:\n%s", cmp.Diff(a, b))
	}
}

// TestIgnore checks that ignored files are in nothing.
func TestIgnore(t *testing.T) {
	d := modeltest.Data(t)
	all := build(t, d)
	r, err := model.Build(d, model.Options{Ignore: headers})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(r.Files); got != 1 || r.Files[0].Name != "probe.bpf.c" {
		t.Errorf("got %d files, want only probe.bpf.c", got)
	}
	if got, want := r.Merged.Lines.Total, all.Files[1].Merged.Lines.Total; got != want {
		t.Errorf("got %d lines, want %d", got, want)
	}
	if bytes.Contains(write(t, r.MergedLCOV()), []byte("helper.h")) {
		t.Error("the tracefile still has helper.h")
	}
}
