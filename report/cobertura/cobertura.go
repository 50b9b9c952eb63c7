// Package cobertura writes a report in the XML format of Cobertura (coverage-04.dtd), which Jenkins, GitLab,
// Azure DevOps and Codecov read.
//
// A package is a folder, a class is a file, a method is a function. One document shows one column:
// a cell, or all cells merged. What cannot run there (not built, eliminated, folded) is left out.
// Branches are sides: a line with one condition of which one side ran is "50% (1/2)". Rates are cut
// to four decimals and are 1 only when everything is hit, or when there is nothing to hit, as
// other writers of the format have it. The complexity is always 0: it is not measured.
package cobertura

import (
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"

	"github.com/bpfcov/bpfcov/report/model"
)

// DTD is the system identifier of the document type.
const DTD = "http://cobertura.sourceforge.net/xml/coverage-04.dtd"

// Options vary the output.
type Options struct {
	// Column is what to show; the zero value is the first cell, [model.Merged] all of them.
	Column model.Column
	// Time is the document's time stamp. Codecov refuses a document that is older than 12 hours.
	Time time.Time
	// Source is the folder to which file names are relative, for the <sources> element; "" is ".".
	Source string
	// Version is that of the writing tool.
	Version string
}

type coverage struct {
	XMLName         xml.Name `xml:"coverage"`
	LineRate        string   `xml:"line-rate,attr"`
	BranchRate      string   `xml:"branch-rate,attr"`
	LinesCovered    int      `xml:"lines-covered,attr"`
	LinesValid      int      `xml:"lines-valid,attr"`
	BranchesCovered int      `xml:"branches-covered,attr"`
	BranchesValid   int      `xml:"branches-valid,attr"`
	Complexity      int      `xml:"complexity,attr"`
	Version         string   `xml:"version,attr"`
	Timestamp       int64    `xml:"timestamp,attr"` // milliseconds since 1970, as Cobertura's own
	Sources         []string `xml:"sources>source"`
	Packages        []*pkg   `xml:"packages>package"`
}

type pkg struct {
	Name string `xml:"name,attr"`
	rates
	Classes []class `xml:"classes>class"`
	sum     model.Summary
}

type rates struct {
	LineRate   string `xml:"line-rate,attr"`
	BranchRate string `xml:"branch-rate,attr"`
	Complexity int    `xml:"complexity,attr"`
}

type class struct {
	Name     string `xml:"name,attr"`
	Filename string `xml:"filename,attr"`
	rates
	Methods methods `xml:"methods"`
	Lines   lines   `xml:"lines"`
}

type methods struct {
	Method []method `xml:"method"`
}

type method struct {
	Name      string `xml:"name,attr"`
	Signature string `xml:"signature,attr"`
	rates
	Lines lines `xml:"lines"`
}

type lines struct {
	Line []line `xml:"line"`
}

type line struct {
	Number     int         `xml:"number,attr"`
	Hits       uint64      `xml:"hits,attr"`
	Branch     bool        `xml:"branch,attr"`
	Coverage   string      `xml:"condition-coverage,attr,omitempty"`
	Conditions *conditions `xml:"conditions"`

	hit, total int // sides
}

type conditions struct {
	Condition []condition `xml:"condition"`
}

type condition struct {
	Number   int    `xml:"number,attr"`
	Type     string `xml:"type,attr"`
	Coverage string `xml:"coverage,attr"`
}

// Write writes one document.
func Write(w io.Writer, r *model.Report, o Options) error {
	sum := r.ColumnSummary(o.Column)
	doc := coverage{
		BranchRate:      rate(sum.Branches),
		BranchesCovered: sum.Branches.Hit, BranchesValid: sum.Branches.Total,
		Version: "bpfcov " + o.Version, Timestamp: o.Time.UnixMilli(), Sources: []string{o.Source},
	}
	if o.Source == "" {
		doc.Sources[0] = "."
	}
	packages := map[string]*pkg{}
	for k := range r.Files {
		f := &r.Files[k]
		c := fileClass(f, o.Column)
		if len(c.Lines.Line) == 0 && len(c.Methods.Method) == 0 {
			continue
		}
		dir := path.Dir(f.Name)
		p := packages[dir]
		if p == nil {
			p = &pkg{Name: dir}
			packages[dir] = p
			doc.Packages = append(doc.Packages, p) // files are sorted, so packages are in a stable order
		}
		s := f.FileSummary(o.Column)
		if f.Language != "" { // the head is of all that the document has, or readers take it for wrong
			sum.Lines = sumOf(sum.Lines, s.Lines)
		}
		p.sum.Lines = sumOf(p.sum.Lines, s.Lines)
		p.sum.Branches = sumOf(p.sum.Branches, s.Branches)
		p.Classes = append(p.Classes, c)
	}
	doc.LineRate, doc.LinesCovered, doc.LinesValid = rate(sum.Lines), sum.Lines.Hit, sum.Lines.Total
	for _, p := range doc.Packages {
		p.rates = rates{LineRate: rate(p.sum.Lines), BranchRate: rate(p.sum.Branches)}
	}
	if _, err := fmt.Fprintf(w, "%s<!DOCTYPE coverage SYSTEM %q>\n", xml.Header, DTD); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(&doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func fileClass(f *model.File, column model.Column) class {
	s := f.FileSummary(column)
	c := class{Name: path.Base(f.Name), Filename: f.Name,
		rates: rates{LineRate: rate(s.Lines), BranchRate: rate(s.Branches)}}
	all := fileLines(f, column)
	c.Lines.Line = all
	names := f.UniqueNames()
	for n := range f.Functions {
		x := &f.Functions[n]
		if !column.State(x.Cells).Status.Counted() {
			continue
		}
		m := method{Name: names[n], Signature: fmt.Sprintf("(line %d)", x.Line)}
		var ls, bs model.Ratio
		for _, l := range all {
			if l.Number < x.Line || l.Number > x.EndLine {
				continue
			}
			m.Lines.Line = append(m.Lines.Line, l)
			ls.Total++
			if l.Hits > 0 {
				ls.Hit++
			}
			bs.Hit, bs.Total = bs.Hit+l.hit, bs.Total+l.total
		}
		m.rates = rates{LineRate: rate(ls), BranchRate: rate(bs)}
		c.Methods.Method = append(c.Methods.Method, m)
	}
	return c
}

func fileLines(f *model.File, column model.Column) []line {
	conds := map[int]line{}
	f.LineBranches(func(number, first, end int) {
		l := line{Conditions: &conditions{}}
		for i := first; i < end; i++ {
			s := column.Branch(f.Branches[i].Cells)
			var r model.Ratio
			for _, side := range [2]model.State{s.True, s.False} {
				if side.Status.Counted() {
					r.Total++
					if side.Status == model.Hit {
						r.Hit++
					}
				}
			}
			if r.Total > 0 {
				// The number is that of the condition on its line, whatever else is left out.
				l.Conditions.Condition = append(l.Conditions.Condition,
					condition{Number: i - first, Type: "jump", Coverage: percent(r)})
			}
			l.hit, l.total = l.hit+r.Hit, l.total+r.Total
		}
		conds[number] = l
	})
	var out []line
	for n := range f.Lines {
		s := column.State(f.Lines[n].Cells)
		if !s.Status.Counted() {
			continue
		}
		l := line{Number: f.Lines[n].Number, Hits: s.Count}
		if b := conds[l.Number]; b.total > 0 {
			l.Branch, l.Conditions, l.hit, l.total = true, b.Conditions, b.hit, b.total
			l.Coverage = fmt.Sprintf("%s (%d/%d)", percent(model.Ratio{Hit: b.hit, Total: b.total}), b.hit, b.total)
		}
		out = append(out, l)
	}
	return out
}

func sumOf(a, b model.Ratio) model.Ratio {
	return model.Ratio{Hit: a.Hit + b.Hit, Total: a.Total + b.Total}
}

// percent is a whole number, 100 only when all is hit.
func percent(r model.Ratio) string { return strconv.Itoa(int(r.Percent())) + "%" }

// rate is cut to four decimals.
func rate(r model.Ratio) string {
	if r.Hit >= r.Total {
		return "1"
	}
	return fmt.Sprintf("0.%04d", r.Hit*10000/r.Total)
}
