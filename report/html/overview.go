package reporthtml

import (
	"slices"
	"strings"
	"unicode"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// maxDifferences bounds the differences of the first page. They are sorted, the most telling first; the source
// view finds the others.
const maxDifferences = 1000

// sparkBins is the number of parts into which a file is cut for its spark.
const sparkBins = 24

// reportData is data/report.js.
type reportData struct {
	Title string `json:"title,omitempty"`
	// Statuses are the words, by number.
	Statuses []string `json:"statuses"`
	Reasons  []string `json:"reasons"`
	Cells    []cell   `json:"cells"`
	Merged   summary  `json:"merged"`
	Files    []file   `json:"files"`
	// Sparks are what [file.Spark] refers to: a digit for each part of the file, see [spark].
	Sparks      []string     `json:"sparks"`
	Differences []difference `json:"differences"`
	// AllDifferences is how many there are, also where not all are listed.
	AllDifferences int      `json:"allDifferences"`
	Warnings       []string `json:"warnings"`
	table
}

// ratio is hit, total.
type ratio [2]int

type summary struct {
	Lines     ratio `json:"lines"`
	Branches  ratio `json:"branches"`
	Functions ratio `json:"functions"`
}

type cell struct {
	Name    string          `json:"name"`
	Kernel  string          `json:"kernel"`
	Version string          `json:"version"` // short, for the heads of columns
	Arch    string          `json:"arch"`
	LLVM    int             `json:"llvm,omitempty"`
	Spec    string          `json:"spec,omitempty"`
	Accel   string          `json:"accel,omitempty"`
	Outcome collect.Outcome `json:"outcome"`
	Failure string          `json:"failure,omitempty"`
	Ran     bool            `json:"ran"`
	Partial bool            `json:"partial,omitempty"`
	// Tests are passed, failed, skipped; Programs accepted, rejected, unknown.
	Tests    [3]int `json:"tests"`
	Programs [3]int `json:"programs"`
	// Lines counts lines for each status.
	Lines   []int   `json:"lines"`
	Summary summary `json:"summary"`
	// Millis is the time of the tests, Boot of the boot.
	Millis int64 `json:"ms"`
	Boot   int64 `json:"boot"`
}

type file struct {
	Name string `json:"name"`
	// Language is that of a program in user space, which is in no sum.
	Language string  `json:"language,omitempty"`
	Merged   summary `json:"merged"`
	// Size is the number of lines of code.
	Size int `json:"size"`
	// Cells has hit and total of the lines of each cell, Spark an index into the sparks.
	Cells []int `json:"cells"`
	Spark []int `json:"spark"`
}

type difference struct {
	Kind     model.Kind `json:"kind"`
	File     int        `json:"file"`
	Function string     `json:"function,omitempty"`
	Ranges   [][2]int   `json:"ranges"`
	Col      int        `json:"col,omitempty"`
	Side     string     `json:"side,omitempty"`
	Lines    int        `json:"lines"`
	Groups   []group    `json:"groups"`
}

// group has its cells as ranges of indices, both ends included.
type group struct {
	Status int      `json:"status"`
	Cause  string   `json:"cause"`
	Cells  [][2]int `json:"cells"`
}

func newReportData(r *model.Report, o Options) *reportData {
	d := &reportData{Title: clean(o.Title), Merged: newSummary(r.Merged), Cells: []cell{}, Files: []file{}, Sparks: []string{},
		Differences: []difference{}, AllDifferences: len(r.Differences), Warnings: []string{}, Reasons: []string{}, table: *newTable()}
	for s := range model.NumStatuses {
		d.Statuses = append(d.Statuses, model.Status(s).String())
	}
	for i := range r.Cells {
		d.Cells = append(d.Cells, newCell(&r.Cells[i]))
	}
	for _, t := range r.Reasons {
		d.Reasons = append(d.Reasons, clean(t))
	}
	for _, w := range r.Warnings {
		d.Warnings = append(d.Warnings, clean(w))
	}
	d.files(r)
	d.differences(r)
	return d
}

func newSummary(s model.Summary) summary {
	f := func(r model.Ratio) ratio { return ratio{r.Hit, r.Total} }
	return summary{f(s.Lines), f(s.Branches), f(s.Functions)}
}

func newCell(c *model.Cell) cell {
	out := cell{Name: clean(c.Name), Kernel: clean(c.Kernel), Version: clean(strings.TrimSuffix(c.Name, "-"+c.Arch)), Arch: clean(c.Arch),
		LLVM: c.LLVM, Spec: clean(c.Spec), Accel: clean(c.Accel), Outcome: c.Outcome, Failure: clean(c.Failure), Ran: c.Ran,
		Partial: c.Partial, Tests: [3]int{c.Tests.Passed, c.Tests.Failed, c.Tests.Skipped}, Lines: c.Statuses[:],
		Summary: newSummary(c.Summary), Millis: c.Duration.Milliseconds(), Boot: c.Boot.Milliseconds()}
	for i := range c.Programs {
		switch c.Programs[i].Verdict {
		case collect.VerdictOK:
			out.Programs[0]++
		case collect.VerdictRejected:
			out.Programs[1]++
		default:
			out.Programs[2]++
		}
	}
	return out
}

func (d *reportData) files(r *model.Report) {
	known := map[string]int{}
	for k := range r.Files {
		f := &r.Files[k]
		x := file{Name: clean(f.Name), Language: clean(string(f.Language)), Merged: newSummary(f.Merged), Size: len(f.Lines), Cells: []int{}, Spark: []int{}}
		for i := range r.Cells {
			x.Cells = append(x.Cells, f.Cells[i].Lines.Hit, f.Cells[i].Lines.Total)
			s := spark(f, i)
			n, ok := known[s]
			if !ok {
				n = len(d.Sparks)
				known[s] = n
				d.Sparks = append(d.Sparks, s)
			}
			x.Spark = append(x.Spark, n)
		}
		d.Files = append(d.Files, x)
	}
}

// spark is where the gaps of a file are in one cell. The lines of code are cut into [sparkBins] parts, or one part a line where
// there are fewer; each has the digit of the status that explains most of what did not run in it, or of
// hit when all of it ran.
func spark(f *model.File, cell int) string {
	n := min(sparkBins, len(f.Lines))
	b := make([]byte, n)
	for k := range n {
		var counts [model.NumStatuses]int
		from, to := k*len(f.Lines)/n, (k+1)*len(f.Lines)/n
		for i := from; i < to; i++ {
			counts[f.Lines[i].Cells[cell].Status]++
		}
		best := model.Hit
		for s := model.NotRun; s < model.Hit; s++ {
			if counts[s] > 0 && (best == model.Hit || counts[s] >= counts[best]) {
				best = s
			}
		}
		// What no object of the cell contains is no gap as long as anything else is there.
		if best == model.NotBuilt && counts[model.Hit] > 0 {
			best = model.Hit
		}
		b[k] = '0' + byte(best)
	}
	return string(b)
}

func (d *reportData) differences(r *model.Report) {
	index := map[string]int{}
	for k := range r.Files {
		index[r.Files[k].Name] = k
	}
	for i := range r.Differences[:min(len(r.Differences), maxDifferences)] {
		x := &r.Differences[i]
		y := difference{Kind: x.Kind, File: index[x.File], Function: clean(x.Function), Col: x.Col, Side: x.Side, Lines: x.Lines}
		for _, g := range x.Ranges {
			y.Ranges = append(y.Ranges, [2]int{g.First, g.Last})
		}
		for _, g := range x.Groups {
			y.Groups = append(y.Groups, group{int(g.Status), clean(g.Cause), spans(g.Cells)})
		}
		d.Differences = append(d.Differences, y)
	}
}

// spans joins ascending numbers to ranges, both ends included.
func spans(ns []int) [][2]int {
	var out [][2]int
	for _, n := range ns {
		if k := len(out) - 1; k >= 0 && out[k][1] == n-1 {
			out[k][1] = n
		} else {
			out = append(out, [2]int{n, n})
		}
	}
	return out
}

// clean replaces what could change how text around it is read or shown: control characters and the marks that turn the
// direction of text, which can make a name look like another one.
func clean(s string) string {
	bad := func(r rune) bool {
		return r != '\n' && r != '\t' && unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if !slices.ContainsFunc([]rune(s), bad) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
