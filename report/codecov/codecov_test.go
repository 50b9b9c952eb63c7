package codecov

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

func fixture(t *testing.T) *model.Report {
	t.Helper()
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// worker reads a tracefile as Codecov's worker does: hits of lines, and of lines with branches the ids of the
// sides that are missing, which it intersects when uploads meet.
func worker(t *testing.T, tracefile string) (missing map[string][]string) {
	t.Helper()
	missing = map[string][]string{}
	file := ""
	for _, l := range strings.Split(tracefile, "\n") {
		key, rest, _ := strings.Cut(l, ":")
		switch key {
		case "SF":
			file = rest
		case "BRDA":
			x := strings.Split(rest, ",")
			at := file + ":" + x[0]
			if missing[at] == nil {
				missing[at] = []string{}
			}
			if x[3] == "-" || x[3] == "0" {
				missing[at] = append(missing[at], x[1]+":"+x[2])
			}
		}
	}
	return missing
}

// TestStableBranches checks what makes uploads of several kernels add up: after intersecting the missing sides of
// all cells, what is left is what the merged report misses.
func TestStableBranches(t *testing.T) {
	r := fixture(t)
	text := func(c model.Column) string {
		var b bytes.Buffer
		if err := Write(&b, r, c, Options{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	merged := map[string][]string{}
	for _, u := range Uploads(r, false) {
		for at, ids := range worker(t, text(u.Column)) {
			if have, ok := merged[at]; ok {
				ids = slices.DeleteFunc(slices.Clone(have), func(id string) bool { return !slices.Contains(ids, id) })
			}
			merged[at] = ids
		}
	}
	want := worker(t, text(model.Merged))
	better := 0
	for at, ids := range want {
		for _, id := range merged[at] {
			if !slices.Contains(ids, id) {
				t.Errorf("%s: side %s is missing after merging the cells and hit in the merged tracefile", at, id)
			}
		}
		one := worker(t, text(0))[at]
		if len(merged[at]) < len(one) {
			better++
		}
	}
	if len(merged) != len(want) || better == 0 {
		t.Errorf("got %d lines with branches (%d of them better than the first cell alone), want %d", len(merged), better, len(want))
	}
}

func TestJSON(t *testing.T) {
	r := fixture(t)
	partial := 0
	for _, c := range r.Columns() {
		var b bytes.Buffer
		if err := Write(&b, r, c, Options{JSON: true}); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Coverage map[string]map[string]any `json:"coverage"`
		}
		if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
			t.Fatalf("%v\n%s", err, &b)
		}
		var got model.Ratio
		for _, lines := range doc.Coverage {
			for _, v := range lines {
				got.Total++
				switch v := v.(type) {
				case float64:
					if v > 0 {
						got.Hit++
					}
				case string:
					var hit, total int
					if n, err := fmt.Sscanf(v, "%d/%d", &hit, &total); n != 2 || err != nil || hit >= total {
						t.Errorf("line with %q", v)
					}
					got.Hit++
					partial++
				default:
					t.Errorf("line with %v", v)
				}
			}
		}
		if want := r.ColumnSummary(c).Lines; got != want {
			t.Errorf("%s: got %v, want %v", r.ColumnName(c), got, want)
		}
	}
	if partial == 0 {
		t.Error("no line says that some of its sides ran")
	}
}

func TestUploads(t *testing.T) {
	us := Uploads(fixture(t), false)
	var flags []string
	for _, u := range us {
		flags = append(flags, u.Flag+" "+u.File)
	}
	want := []string{"linux-5.10-amd64 5.10-amd64.lcov", "linux-6.1-amd64 6.1-amd64.lcov", "linux-6.1-arm64 6.1-arm64.lcov",
		"linux-6.12-amd64 6.12-amd64.lcov", "linux-7.2-amd64 7.2-amd64.lcov"}
	if diff := cmp.Diff(want, flags); diff != "" {
		t.Errorf("uploads, want (-), got (+):\n%s", diff)
	}
	var b bytes.Buffer
	if err := WriteYAML(&b, us); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Flags map[string]struct{ Carryforward bool }
	}
	if err := yaml.Unmarshal(b.Bytes(), &doc); err != nil || len(doc.Flags) != len(us) || !doc.Flags["linux-6.1-arm64"].Carryforward {
		t.Errorf("codecov.yml: %v, %v", err, doc)
	}
	long := strings.Repeat("x", 45)
	if Flag(long) != long {
		t.Errorf("a flag of %d characters", len(Flag(long)))
	}
	many := &model.Report{}
	for range MaxUploads + 1 {
		many.Cells = append(many.Cells, model.Cell{Ran: true, Cell: collect.Cell{Arch: "amd64"}})
	}
	if us := Uploads(many, false); len(us) != 1 || us[0].Column != model.Merged || us[0].Flag != "" {
		t.Errorf("%d cells: got %v, want one upload without a flag", MaxUploads+1, us)
	}
}

// TestScript runs the script with a codecovcli that says what it was called with.
func TestScript(t *testing.T) {
	dir := t.TempDir()
	var script bytes.Buffer
	us := Uploads(fixture(t), false)
	if err := WriteScript(&script, "it's a $(folder)", us); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `codecovcli() { for a in "$@"; do printf '[%s]' "$a"; done; echo; }`+"\n"+script.String())
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "[upload-process][--disable-search][-f][it's a $(folder)/5.10-amd64.lcov][-n][5.10-amd64][-F][linux-5.10-amd64]\n"
	if !strings.HasPrefix(string(out), want) || strings.Count(string(out), "\n") != len(us) {
		t.Errorf("got\n%s", out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("the script left %v", left)
	}
}
