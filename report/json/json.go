// Package reportjson writes a report as one JSON document, for programs.
//
// The schema is versioned and described in docs/formats.md. Positions have one letter of status for
// each cell instead of an object, so that a matrix of many cells stays readable and small:
//
//	{"line": 15, "status": "hhehm-", "counts": [4, 4, 0, 4, 0, 0]}
//
// Additions keep the version; whoever reads must skip keys that it does not know.
package reportjson

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// Schema is the version of the document that [Write] writes.
const Schema = 1

// letters has a letter for each status.
const letters = "-bfemlrh"

// Statuses is the meaning of the letters in the status of a position.
func Statuses() map[string]string {
	m := map[string]string{}
	for i := range letters {
		m[letters[i:i+1]] = model.Status(i).String()
	}
	return m
}

// Document is what [Write] writes and what [Read] returns.
type Document struct {
	Schema int    `json:"schema"`
	Tool   string `json:"tool"`
	// Cells are the columns: every status below has a letter, and every counts a number, for each.
	Cells  []Cell  `json:"cells"`
	Merged Summary `json:"merged"`
	// UserSpace has the lines of files with a language, which are in no other figure; nil without such files.
	UserSpace *Ratio `json:"user_space,omitempty"`
	// Statuses is the meaning of the letters.
	Statuses    map[string]string `json:"statuses"`
	Differences []Difference      `json:"differences"`
	Warnings    []string          `json:"warnings"`
	// Reasons are referred to by number. The first one is empty.
	Reasons []string `json:"reasons"`
	Files   []File   `json:"files"`
}

// Cell is one (kernel, arch, llvm).
type Cell struct {
	Name string `json:"name"`
	collect.Cell
	Outcome collect.Outcome `json:"outcome"`
	Failure string          `json:"failure,omitempty"`
	// Ran is false when nothing is known about code in this cell.
	Ran       bool     `json:"ran"`
	Partial   bool     `json:"partial,omitempty"`
	Duration  int64    `json:"duration_ns"`
	Boot      int64    `json:"boot_ns"`
	Tests     Tests    `json:"tests"`
	Summary   Summary  `json:"summary"`
	UserSpace *Ratio   `json:"user_space,omitempty"`
	Console   []string `json:"console,omitempty"`
	// Lines is the number of lines for each status by its word; zeros are left out.
	Lines    map[string]int        `json:"lines"`
	Objects  []Object              `json:"objects"`
	Programs []collect.ProgramLoad `json:"programs"`
	Runs     []collect.Run         `json:"runs"`
}

// Tests counts test cases, or runs where a run names none.
type Tests struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

// Object is one instrumented object as a cell saw it.
type Object struct {
	ID     string `json:"id"`
	Source string `json:"source"`
	Object string `json:"object"`
	LLVM   int    `json:"llvm,omitempty"`
	Maps   int    `json:"maps"`
}

// Ratio is hit of total. Percent is cut to one decimal, 100 only when all is hit, null for 0 of 0.
type Ratio struct {
	Hit     int      `json:"hit"`
	Total   int      `json:"total"`
	Percent *float64 `json:"percent"`
}

// Summary holds the figures of a cell, a file or everything. Branches counts sides.
type Summary struct {
	Lines     Ratio `json:"lines"`
	Regions   Ratio `json:"regions"`
	Branches  Ratio `json:"branches"`
	Functions Ratio `json:"functions"`
}

// Difference is a place that ran in some cells and not in others.
type Difference struct {
	Kind     model.Kind `json:"kind"`
	File     string     `json:"file"`
	Function string     `json:"function,omitempty"`
	Ranges   [][2]int   `json:"ranges"`
	Col      int        `json:"col,omitempty"`
	Side     string     `json:"side,omitempty"`
	Lines    int        `json:"lines"`
	Groups   []Group    `json:"groups"`
}

// Group is the cells, by name, that agree on a difference.
type Group struct {
	Status string   `json:"status"`
	Cause  string   `json:"cause"`
	Cells  []string `json:"cells"`
}

// File is one source file.
type File struct {
	Name      string     `json:"name"`
	Language  string     `json:"language,omitempty"` // of a program in user space
	Merged    Summary    `json:"merged"`
	Lines     []Line     `json:"lines"`
	Regions   []Region   `json:"regions"`
	Branches  []Branch   `json:"branches"`
	Functions []Function `json:"functions"`
}

// States is what one position is in every cell.
type States struct {
	Status string `json:"status"`
	// Counts is left out when no cell hit the position.
	Counts []uint64 `json:"counts,omitempty"`
	// Reasons has, by index of the cell, an index into the document's reasons.
	Reasons map[int]int `json:"reasons,omitempty"`
}

// Line is one line of code.
type Line struct {
	Line int `json:"line"`
	States
}

// Region is a stretch of code with a count of its own, to the column before EndCol.
type Region struct {
	Line    int `json:"line"`
	Col     int `json:"col"`
	EndLine int `json:"end_line"`
	EndCol  int `json:"end_col"`
	States
}

// Branch is one condition. Source is the file in which it is written, when that is another one.
type Branch struct {
	Line       int    `json:"line"`
	Source     string `json:"source,omitempty"`
	SourceLine int    `json:"source_line,omitempty"`
	Col        int    `json:"col"`
	EndLine    int    `json:"end_line"`
	EndCol     int    `json:"end_col"`
	True       States `json:"true"`
	False      States `json:"false"`
}

// Function is one function.
type Function struct {
	Name    string `json:"name"`
	Line    int    `json:"line"`
	EndLine int    `json:"end_line"`
	Program string `json:"program,omitempty"`
	States
}

// Options vary the document. The zero value is everything.
type Options struct {
	// NoFiles leaves out the lines, regions, branches and functions of files.
	NoFiles bool
}

// Write writes the report to w: every member of the document starts on a line of its own, and so does
// every element of a list, which keeps it fit for diff and grep.
func Write(w io.Writer, r *model.Report, o Options) error {
	e := &encoder{w: bufio.NewWriter(w), r: r}
	e.raw("{")
	e.member("schema", Schema)
	e.member("tool", "bpfcov")
	e.list("cells", len(r.Cells), func(i int) { e.value(cell(&r.Cells[i])) })
	e.member("merged", summary(r.Merged))
	if u := userSpace(r.UserSpace); u != nil {
		e.member("user_space", u)
	}
	e.member("statuses", Statuses())
	e.list("differences", len(r.Differences), func(i int) { e.value(e.difference(&r.Differences[i])) })
	e.list("warnings", len(r.Warnings), func(i int) { e.value(r.Warnings[i]) })
	e.list("reasons", len(r.Reasons), func(i int) { e.value(r.Reasons[i]) })
	files := r.Files
	if o.NoFiles {
		files = nil
	}
	e.list("files", len(files), func(i int) { e.file(&files[i]) })
	e.raw("\n}\n")
	if e.err != nil {
		return e.err
	}
	return e.w.Flush()
}

// encoder writes objects and lists member by member, so that no document is ever whole in memory.
type encoder struct {
	w     *bufio.Writer
	r     *model.Report
	comma bool
	err   error
}

func (e *encoder) raw(s string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}

func (e *encoder) value(v any) {
	b, err := json.Marshal(v)
	if e.err == nil {
		e.err = err
	}
	e.raw(string(b))
}

// key starts a member on a new line.
func (e *encoder) key(name string) {
	if e.comma {
		e.raw(",")
	}
	e.comma = true
	e.raw("\n" + strconv.Quote(name) + ": ")
}

func (e *encoder) member(name string, v any) {
	e.key(name)
	e.value(v)
}

// list writes n elements, each on a line.
func (e *encoder) list(name string, n int, element func(i int)) {
	e.key(name)
	e.raw("[")
	for i := range n {
		if i > 0 {
			e.raw(",")
		}
		e.raw("\n")
		e.comma = false
		element(i)
	}
	e.comma = true
	if n > 0 {
		e.raw("\n")
	}
	e.raw("]")
}

func (e *encoder) file(f *model.File) {
	e.raw("{")
	e.member("name", f.Name)
	if f.Language != "" {
		e.member("language", string(f.Language))
	}
	e.member("merged", summary(f.Merged))
	e.list("lines", len(f.Lines), func(i int) {
		e.value(Line{f.Lines[i].Number, states(f.Lines[i].Cells)})
	})
	e.list("regions", len(f.Regions), func(i int) {
		x := &f.Regions[i]
		e.value(Region{x.Line, x.Col, x.EndLine, x.EndCol, states(x.Cells)})
	})
	e.list("branches", len(f.Branches), func(i int) { e.value(branch(&f.Branches[i])) })
	e.list("functions", len(f.Functions), func(i int) {
		x := &f.Functions[i]
		e.value(Function{x.Name, x.Line, x.EndLine, x.Program, states(x.Cells)})
	})
	e.raw("}")
}
