package compare

import (
	"bytes"
	"flag"
	"testing"

	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func fixture(t *testing.T) *model.Report {
	t.Helper()
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, rs ...*Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, rs); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	r, again := fixture(t), fixture(t)
	if got := Compare(View{r, 1}, View{again, 1}); !got.Same() {
		t.Errorf("equal runs: %s", text(t, got))
	}
	kernels := []*Result{Compare(View{r, 0}, View{r, 1}), Compare(View{r, 1}, View{r, 3}), Compare(View{r, 1}, View{r, 2}), Compare(View{r, 1}, View{r, 5})}

	// A later run: another kernel's worth of counts, a costlier program, and a changed file.
	later := fixture(t)
	later.Cells[1].Programs[0].Verified += 100
	for n := range later.Files[1].Lines {
		if l := &later.Files[1].Lines[n]; l.Number == 15 || l.Number == 16 {
			l.Cells[1] = model.State{Status: model.Missed}
		}
	}
	later.Files[0].Functions[0].EndLine++
	runs := []*Result{Compare(View{r, 1}, View{later, 1}), Compare(View{r, model.Merged}, View{later, model.Merged})}
	var doc bytes.Buffer
	if err := WriteJSON(&doc, runs[:1]); err != nil {
		t.Fatal(err)
	}
	modeltest.Golden(t, "matrix", *update, [2]string{"kernels.txt", text(t, kernels...)}, [2]string{"runs.txt", text(t, runs...)},
		[2]string{"runs.json", doc.String()})
}

// What a cell that did not run would have said to its programs is not known, merged or not.
func TestProgramsOfMissingCells(t *testing.T) {
	before, after := fixture(t), fixture(t)
	gone := after.Cells[1].Name
	after.Cells[1].Name = "another kernel"
	rs := Runs(before, after)
	if merged := rs[len(rs)-1]; len(merged.Programs) > 0 {
		t.Errorf("without %s: got programs %+v, want none", gone, merged.Programs)
	}
	after = fixture(t)
	for i := range after.Cells {
		if c := &after.Cells[i]; i != 0 {
			c.Ran, c.Programs = false, nil
		}
	}
	rs = Runs(before, after)
	if merged := rs[len(rs)-1]; len(merged.Programs) > 0 {
		t.Errorf("cells that did not boot: got programs %+v, want none", merged.Programs)
	}
	if got, want := text(t, rs[1]), rs[1].A+": in the second run it did not run\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	after.Cells[0].Ran = false
	rs = Runs(before, after)
	if got, want := text(t, rs[len(rs)-1]), "merged: in the second run it did not run\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Compare(View{before, model.Merged}, View{before, 1}); len(got.Programs) > 0 {
		t.Errorf("merged and a cell: got programs %+v, want none", got.Programs)
	}
}
