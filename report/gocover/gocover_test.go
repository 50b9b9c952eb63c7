package gocover_test

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/cover"

	"github.com/bpfcov/bpfcov/report/gocover"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

func fixture(t *testing.T) *model.Report {
	t.Helper()
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// A count that an int cannot hold.
	for n := range r.Files[0].Lines {
		if s := &r.Files[0].Lines[n].Cells[0]; s.Status == model.Hit {
			s.Count = math.MaxUint64
			break
		}
	}
	return r
}

func write(t *testing.T, r *model.Report, c model.Column) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gocover.Write(&b, r, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestProfiles reads what was written with the library of Go's own tools and compares line by line.
func TestProfiles(t *testing.T) {
	r := fixture(t)
	for _, c := range r.Columns() {
		ps, err := cover.ParseProfilesFromReader(bytes.NewReader(write(t, r, c)))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]map[int]int{}
		for _, p := range ps {
			name := strings.TrimPrefix(p.FileName, "./")
			got[name] = map[int]int{}
			for _, b := range p.Blocks {
				if b.NumStmt != b.EndLine-b.StartLine+1 {
					t.Errorf("%s: block %+v", name, b)
				}
				for l := b.StartLine; l <= b.EndLine; l++ {
					got[name][l] = b.Count
				}
			}
		}
		var hit, total int
		for k := range r.Files {
			f := &r.Files[k]
			for n := range f.Lines {
				s := c.State(f.Lines[n].Cells)
				count, ok := got[f.Name][f.Lines[n].Number]
				if ok != s.Status.Counted() || uint64(count) != min(s.Count, math.MaxInt) {
					t.Errorf("%s: %s:%d is %v in the profile (%v), want %+v", r.ColumnName(c), f.Name, f.Lines[n].Number, count, ok, s)
				}
				if ok {
					total++
				}
				if count > 0 {
					hit++
				}
			}
		}
		if want := r.ColumnSummary(c).Lines; hit != want.Hit || total != want.Total {
			t.Errorf("%s: %d of %d, want %v", r.ColumnName(c), hit, total, want)
		}
	}
}

// TestTool lets `go tool cover -html` draw the sources.
func TestTool(t *testing.T) {
	r := fixture(t)
	dir := t.TempDir()
	modeltest.Sources(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "c.out"), write(t, r, model.Merged), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "tool", "cover", "-html=c.out", "-o", "c.html")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	html, err := os.ReadFile(filepath.Join(dir, "c.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"./probe.bpf.c (", "./helper.h (", `<span class="cov0"`, `<span class="cov10"`, "handle_exec_fentry"} {
		if !bytes.Contains(html, []byte(want)) {
			t.Errorf("the page of go tool cover lacks %q", want)
		}
	}
}

// TestFunctions lets `go tool cover -func` list the functions, and compares each percentage.
func TestFunctions(t *testing.T) {
	r := fixture(t)
	t.Chdir(t.TempDir())
	for _, dir := range []string{"out/functions", filepath.Join(t.TempDir(), "absolute")} {
		for _, c := range r.Columns() {
			if err := gocover.WriteFunctions(dir, r, c); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("go", "tool", "cover", "-func="+filepath.Join(dir, gocover.Profile)).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			text := strings.Join(strings.Fields(string(out)), " ")
			for k := range r.Files {
				f := &r.Files[k]
				for _, fn := range f.Functions {
					var hit, total float64
					for n := range f.Lines {
						if l := &f.Lines[n]; l.Number >= fn.Line && l.Number <= fn.EndLine && c.State(l.Cells).Status.Counted() {
							total++
							if c.State(l.Cells).Count > 0 {
								hit++
							}
						}
					}
					want := fmt.Sprintf("%s.go:%d: %s %.1f%%", f.Name, fn.Line, fn.Name, 100*hit/max(total, 1))
					if !strings.Contains(text, want) {
						t.Errorf("%s: no %q in\n%s", r.ColumnName(c), want, out)
					}
				}
			}
		}
	}
}

// TestFunctionNames makes Go of names and lines that a hostile build may have.
func TestFunctionNames(t *testing.T) {
	r := &model.Report{Files: []model.File{{Name: "a.c", Functions: []model.Function{
		{Name: "range", Line: 3, EndLine: 3}, {Name: "f.cold", Line: 3, EndLine: 5}, {Name: "9", Line: 5, EndLine: 6},
		{Name: "in", Line: 4, EndLine: 5}, {Name: "far", Line: 7, EndLine: math.MaxInt}, {Name: "", Line: 9, EndLine: 10},
	}}}}
	dir := t.TempDir()
	if err := gocover.WriteFunctions(dir, r, model.Merged); err != nil {
		t.Fatal(err)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "a.c.go"), nil, parser.AllErrors); err != nil {
		t.Error(err)
	}
	r.Files[0].Name = "../a.c"
	if err := gocover.WriteFunctions(dir, r, model.Merged); err == nil {
		t.Error("a file outside the folder was written")
	}
}
