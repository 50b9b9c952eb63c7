package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/codecov"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// TestUserSpace has the files of a Go program in every format that has lines, beside those of BPF programs: with the counts of one
// cell where there are some, none where the program was not measured, and the sum in what is merged.
func TestUserSpace(t *testing.T) {
	d := modeltest.Data(t)
	blocks := func(counts ...uint64) (b []collect.UserBlock) {
		for i, n := range counts {
			b = append(b, collect.UserBlock{Line: 3*i + 5, Column: 2, EndLine: 3*i + 6, EndColumn: 9, Count: n})
		}
		return b
	}
	var cells []string // of the two runs with Go files
	for i := range d.Records {
		if len(cells) == 2 || d.Records[i].Run.Outcome != collect.Passed {
			continue
		}
		cells = append(cells, d.Records[i].Run.Cell.Kernel)
		d.Records[i].UserSpace = []collect.UserFile{{Language: collect.LanguageGo, Name: "cmd/loader/main.go", Blocks: blocks(uint64(3*len(cells)), 0)}}
	}
	if len(cells) != 2 {
		t.Fatalf("the matrix has %d runs that passed, want 2", len(cells))
	}
	dir, sources := t.TempDir(), t.TempDir()
	modeltest.Sources(t, sources)
	modeltest.WriteFile(t, sources, "cmd/loader/main.go", "package main\n\n"+strings.Repeat("// a line\n", 10))
	_, rep, err := WriteRun(dir, d, RunOptions{LCOV: true, JSON: true, HTML: true, Cobertura: true, Codecov: true, Markdown: true, SourceRoot: sources})
	if err != nil {
		t.Fatal(err)
	}
	if got := (model.Ratio{Hit: 2, Total: 4}); rep.UserSpace.Lines != got {
		t.Errorf("user space: got %v, want %v", rep.UserSpace.Lines, got)
	}
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}

	if s := read("lcov/merged.info"); !regexp.MustCompile(`SF:cmd/loader/main\.go\n(?:[FB].*\n)*DA:5,9\nDA:6,9\nDA:8,0\nDA:9,0\n(?:B.*\n)*LF:4\nLH:2\n`).MatchString(s) {
		t.Errorf("lcov: %s", s[max(0, strings.Index(s, "main.go")-20):])
	}
	n := 0
	infos, err := filepath.Glob(filepath.Join(dir, "lcov", "*.info"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range infos {
		if b, err := os.ReadFile(f); err != nil {
			t.Fatal(err)
		} else if strings.Contains(string(b), "main.go") {
			n++
		}
	}
	if n != 3 {
		t.Errorf("lcov: %d files have the Go file, want those of two cells and the merged one", n)
	}
	if genhtml, err := exec.LookPath("genhtml"); err == nil {
		cmd := exec.Command(genhtml, "--branch-coverage", "-o", filepath.Join(dir, "genhtml"), filepath.Join(dir, "lcov/merged.info"))
		cmd.Dir = sources
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("genhtml: %v\n%s", err, out)
		}
	} else if os.Getenv("CI") == "true" {
		t.Error("CI needs lcov:", err)
	}

	var doc struct {
		Covered int `xml:"lines-covered,attr"`
		Valid   int `xml:"lines-valid,attr"`
		Classes []struct {
			Filename string `xml:"filename,attr"`
			Lines    []struct {
				Number int    `xml:"number,attr"`
				Hits   uint64 `xml:"hits,attr"`
			} `xml:"lines>line"`
		} `xml:"packages>package>classes>class"`
	}
	if err := xml.Unmarshal([]byte(read("cobertura.xml")), &doc); err != nil {
		t.Fatal(err)
	}
	covered, valid, found := 0, 0, false
	for _, c := range doc.Classes {
		for _, l := range c.Lines {
			if valid++; l.Hits > 0 {
				covered++
			}
		}
		if c.Filename == "cmd/loader/main.go" {
			found = len(c.Lines) == 4 && c.Lines[0].Number == 5 && c.Lines[0].Hits == 9 && c.Lines[3].Number == 9 && c.Lines[3].Hits == 0
		}
	}
	if !found || doc.Covered != covered || doc.Valid != valid {
		t.Errorf("cobertura: the file is there: %v; head %d of %d, lines %d of %d", found, doc.Covered, doc.Valid, covered, valid)
	}

	var asJSON bytes.Buffer
	if err := codecov.Write(&asJSON, rep, model.Merged, codecov.Options{JSON: true}); err != nil {
		t.Fatal(err)
	}
	var upload struct {
		Coverage map[string]map[string]any `json:"coverage"`
	}
	if err := json.Unmarshal(asJSON.Bytes(), &upload); err != nil {
		t.Fatal(err)
	}
	lines := upload.Coverage["cmd/loader/main.go"]
	if got, _ := lines["5"].(float64); len(lines) != 4 || got != 9 || lines["9"] != 0.0 {
		t.Errorf("codecov: got %v", lines)
	}

	if s := read("html/data/report.js"); !strings.Contains(s, `"name":"cmd/loader/main.go","language":"go"`) {
		t.Error("html: the overview has no Go file")
	}
	if s := read("summary.md"); !regexp.MustCompile(`user space, in no figure above: 50\.0% \(2/4\) of lines, 1 files`).MatchString(s) || strings.Count(s, "loader/main.go") != 1 {
		t.Errorf("markdown: %s", s[strings.LastIndex(s, "<details>"):])
	}
}
