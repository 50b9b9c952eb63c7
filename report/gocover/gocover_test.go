package gocover_test

import (
	"bytes"
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
