package reporthtml

import (
	"regexp"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// fileData is data/fN.js: one source file.
type fileData struct {
	Name string `json:"name"`
	// Text is the source, nil when it was not found.
	Text *string `json:"text"`
	// Note says what is wrong with the text, and is empty when nothing is.
	Note string `json:"note,omitempty"`
	table
	// Lines has the number of each line less that of the one before it, LineVecs and LineCounts its indices.
	Lines      []int `json:"lines"`
	LineVecs   []int `json:"lineVecs"`
	LineCounts []int `json:"lineCounts"`
	// Branches are sorted by position.
	Branches []branchData `json:"branches"`
	// Functions are those of this file: name, line, last line.
	Functions []functionSpan `json:"functions"`
}

// branchData is [line, source line, col, end line, end col, true's vector and counts, false's vector and counts] and the
// file that the condition is in, "" for this one.
type branchData struct {
	At     [9]int `json:"at"`
	Source string `json:"source,omitempty"`
}

type functionSpan struct {
	Name    string `json:"name"`
	Line    int    `json:"line"`
	EndLine int    `json:"end"`
}

func newFileData(f *model.File, src sourceText) *fileData {
	d := &fileData{Name: clean(f.Name), table: *newTable(), Lines: make([]int, len(f.Lines)), LineVecs: make([]int, len(f.Lines)),
		LineCounts: make([]int, len(f.Lines)), Branches: []branchData{}, Functions: []functionSpan{}}
	last := 0
	for i := range f.Lines {
		l := &f.Lines[i]
		d.Lines[i], last = l.Number-last, l.Number
		d.LineVecs[i], d.LineCounts[i] = d.add(len(l.Cells), func(c int) model.State { return l.Cells[c] })
	}
	for i := range f.Branches {
		b := &f.Branches[i]
		x := branchData{At: [9]int{b.Line, b.SourceLine, b.Col, b.EndLine, b.EndCol}, Source: clean(b.Source)}
		x.At[5], x.At[6] = d.add(len(b.Cells), func(c int) model.State { return b.Cells[c].True })
		x.At[7], x.At[8] = d.add(len(b.Cells), func(c int) model.State { return b.Cells[c].False })
		d.Branches = append(d.Branches, x)
	}
	for i := range f.Functions {
		x := &f.Functions[i]
		d.Functions = append(d.Functions, functionSpan{clean(x.Name), x.Line, x.EndLine})
	}
	d.Note = src.note
	if src.found {
		text := strings.Join(src.lines, "\n")
		d.Text = &text
		if changed(f, src.lines) {
			d.Note = "the source seems to have changed since the build: the lines below may not be those that were counted"
		}
	}
	return d
}

// changed reports whether the text cannot be what was compiled. The mapping has no hash of the source, but a function's first region
// begins at the brace that opens its body, or at the use of a macro that makes the function.
func changed(f *model.File, text []string) bool {
	if n := len(f.Lines); n > 0 && f.Lines[n-1].Number > len(text) {
		return true
	}
	for i := range f.Functions {
		x := &f.Functions[i]
		if x.Line < 1 || x.EndLine > len(text) {
			return true
		}
		if first := text[x.Line-1]; !strings.Contains(first, "{") && !macroUse.MatchString(first) {
			return true
		}
	}
	return false
}

// macroUse is a line that begins with something like NAME(.
var macroUse = regexp.MustCompile(`^\s*[A-Za-z_]\w*\s*\(`)

// functionsData is data/functions.js: the functions of all files.
type functionsData struct {
	table
	Rows []functionRow `json:"rows"`
}

type functionRow struct {
	Name    string `json:"name"`
	File    int    `json:"file"`
	Line    int    `json:"line"`
	EndLine int    `json:"end"`
	Program string `json:"program,omitempty"`
	Vec     int    `json:"vec"`
	Counts  int    `json:"counts"`
}

func newFunctionsData(r *model.Report) *functionsData {
	d := &functionsData{table: *newTable(), Rows: []functionRow{}}
	for k := range r.Files {
		for i := range r.Files[k].Functions {
			x := &r.Files[k].Functions[i]
			v, c := d.add(len(x.Cells), func(c int) model.State { return x.Cells[c] })
			d.Rows = append(d.Rows, functionRow{clean(x.Name), k, x.Line, x.EndLine, clean(x.Program), v, c})
		}
	}
	return d
}
