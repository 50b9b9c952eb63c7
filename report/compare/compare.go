// Package compare says what changed between two views of coverage: two kernels of one report, or two runs. Code
// meets by position, so lines of files that changed between two runs are told as changed and not compared.
package compare

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// View is one side of a comparison: a column of a report.
type View struct {
	Report *model.Report
	Column model.Column
}

// Place is lines of one function that fare alike.
type Place struct {
	File     string   `json:"file"`
	Function string   `json:"function,omitempty"`
	Ranges   [][2]int `json:"ranges"`
	Lines    int      `json:"lines"`
	// Before and After are what the lines were and are, in words.
	Before string `json:"before"`
	After  string `json:"after"`
}

// Figure is a ratio before and after, each {hit, total}.
type Figure struct {
	Before [2]int `json:"before"`
	After  [2]int `json:"after"`
}

// Program is one whose verdict or whose cost to the verifier changed.
type Program struct {
	Name          string          `json:"name"`
	VerdictBefore collect.Verdict `json:"verdict_before,omitempty"` // empty: not loaded
	VerdictAfter  collect.Verdict `json:"verdict_after,omitempty"`
	Reason        string          `json:"reason,omitempty"` // of a refusal after
	// VerifiedBefore and After are instructions that the verifier walked through, 0 if not known.
	VerifiedBefore int `json:"verified_before"`
	VerifiedAfter  int `json:"verified_after"`
}

// Result is what changed from one view to another.
type Result struct {
	A         string    `json:"a"`
	B         string    `json:"b"`
	Lines     Figure    `json:"lines"`
	Branches  Figure    `json:"branches"`
	Functions Figure    `json:"functions"`
	Covered   []Place   `json:"newly_covered"`
	Missed    []Place   `json:"newly_missed"`
	Other     []Place   `json:"other_reason"` // in neither, for another reason
	Programs  []Program `json:"programs"`
	// NotRun has the name of each view of which nothing is known, or says in which run it is; then there is nothing else.
	NotRun []string `json:"not_run,omitempty"`
	// Changed are files whose lines are not the same code in both, or that only one has.
	Changed []string `json:"changed_files"`
}

// Same reports whether nothing changed.
func (r *Result) Same() bool {
	return len(r.Covered)+len(r.Missed)+len(r.Other)+len(r.Programs)+len(r.Changed)+len(r.NotRun) == 0
}

// Compare compares two columns.
func Compare(a, b View) *Result {
	r := &Result{A: a.Report.ColumnName(a.Column), B: b.Report.ColumnName(b.Column),
		Covered: []Place{}, Missed: []Place{}, Other: []Place{}, Programs: []Program{}, Changed: []string{}}
	for side, v := range [2]View{a, b} {
		switch {
		case v.ran():
		case a.Report != b.Report:
			r.NotRun = append(r.NotRun, "in the "+[2]string{"first", "second"}[side]+" run it")
		default:
			r.NotRun = append(r.NotRun, v.Report.ColumnName(v.Column))
		}
	}
	if len(r.NotRun) > 0 {
		return r
	}
	x, y := a.Report.ColumnSummary(a.Column), b.Report.ColumnSummary(b.Column)
	figure := func(p, q model.Ratio) Figure { return Figure{[2]int{p.Hit, p.Total}, [2]int{q.Hit, q.Total}} }
	r.Lines, r.Branches, r.Functions = figure(x.Lines, y.Lines), figure(x.Branches, y.Branches), figure(x.Functions, y.Functions)
	files := map[string][2]*model.File{}
	for side, v := range [2]View{a, b} {
		for k := range v.Report.Files {
			f := &v.Report.Files[k]
			pair := files[f.Name]
			pair[side] = f
			files[f.Name] = pair
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p := files[name]
		if p[0] == nil || p[1] == nil || a.Report != b.Report && !sameCode(p[0], p[1]) {
			r.Changed = append(r.Changed, name)
			continue
		}
		r.file(a, b, p[0], p[1])
	}
	for _, list := range []*[]Place{&r.Covered, &r.Missed, &r.Other} {
		slices.SortStableFunc(*list, func(p, q Place) int { return cmp.Compare(q.Lines, p.Lines) })
	}
	r.Programs = append(r.Programs, programs(a, b)...)
	return r
}

// ran reports whether anything is known of the column.
func (v View) ran() bool {
	if v.Column == model.Merged {
		return slices.ContainsFunc(v.Report.Cells, func(c model.Cell) bool { return c.Ran })
	}
	return v.Report.Cells[v.Column].Ran
}

// sameCode reports whether two files have the same lines of code and functions: the text is not at hand.
func sameCode(a, b *model.File) bool {
	return slices.EqualFunc(a.Lines, b.Lines, func(x, y model.Line) bool { return x.Number == y.Number }) &&
		slices.EqualFunc(a.Functions, b.Functions, func(x, y model.Function) bool { return x.Name == y.Name && x.Line == y.Line && x.EndLine == y.EndLine })
}

func (r *Result) file(a, b View, fa, fb *model.File) {
	type key struct {
		list             *[]Place
		function, fa, fb string
	}
	at := map[key]int{}
	var last key
	for n := range fa.Lines {
		sa, sb := a.Column.State(fa.Lines[n].Cells), b.Column.State(fb.Lines[n].Cells)
		var list *[]Place
		before, after := a.Report.Cause(sa), b.Report.Cause(sb)
		switch {
		case sa.Status == model.NotRun || sb.Status == model.NotRun:
		case sa.Status != model.Hit && sb.Status == model.Hit:
			list = &r.Covered
		case sa.Status == model.Hit && sb.Status != model.Hit:
			list = &r.Missed
		case sa.Status != sb.Status || sa.Status != model.Hit && before != after:
			list = &r.Other
		}
		if list == nil {
			last = key{}
			continue
		}
		number := fa.Lines[n].Number
		k := key{list, functionAt(fa, number), before, after}
		i, ok := at[k]
		if !ok {
			i = len(*list)
			at[k] = i
			*list = append(*list, Place{File: fa.Name, Function: k.function, Before: before, After: after})
		}
		p := &(*list)[i]
		p.Lines++
		if k == last {
			p.Ranges[len(p.Ranges)-1][1] = number
		} else {
			p.Ranges = append(p.Ranges, [2]int{number, number})
		}
		last = k
	}
}

// functionAt is the name of the innermost function that a line is in, "" for none.
func functionAt(f *model.File, line int) string {
	name := ""
	for i := range f.Functions {
		if x := &f.Functions[i]; x.Line <= line && line <= x.EndLine {
			name = x.Name
		}
	}
	return name
}

// programs compares what the kernels said to each program. Of merged reports these are the programs of each cell that both have:
// where a cell did not run, nobody said anything. A cell and a merged report are not compared.
func programs(a, b View) []Program {
	if (a.Column == model.Merged) != (b.Column == model.Merged) {
		return nil
	}
	type cost struct {
		verdict  collect.Verdict
		reason   string
		verified int
	}
	read := func(v, other View) map[string]cost {
		out := map[string]cost{}
		for i := range v.Report.Cells {
			if v.Column == model.Merged {
				k := indexOf(other.Report, v.Report.Cells[i].Name)
				if k < 0 || !other.Report.Cells[k].Ran {
					continue
				}
			} else if int(v.Column) != i {
				continue
			}
			for _, p := range v.Report.Cells[i].Programs {
				name := p.Name
				if v.Column == model.Merged {
					name = v.Report.Cells[i].Name + " " + name
				}
				c, known := out[name]
				// Of several loads of one name the costliest counts, and a success over a refusal.
				if !known || c.verdict != collect.VerdictOK && p.Verdict == collect.VerdictOK {
					c.verdict, c.reason = p.Verdict, strings.TrimSpace(p.Errno+" "+p.Reason)
				}
				c.verified = max(c.verified, int(p.Verified))
				out[name] = c
			}
		}
		return out
	}
	x, y := read(a, b), read(b, a)
	all := map[string]bool{}
	for n := range x {
		all[n] = true
	}
	for n := range y {
		all[n] = true
	}
	var out []Program
	for _, n := range slices.Sorted(maps.Keys(all)) {
		p, q := x[n], y[n]
		if p.verdict == q.verdict && p.verified == q.verified {
			continue
		}
		c := Program{Name: n, VerdictBefore: p.verdict, VerdictAfter: q.verdict, VerifiedBefore: p.verified, VerifiedAfter: q.verified}
		if q.verdict == collect.VerdictRejected {
			c.Reason = q.reason
		}
		out = append(out, c)
	}
	return out
}

// Runs compares the cells of two reports by name, and all of them merged. A cell that only one of them has did
// not run in the other.
func Runs(before, after *model.Report) []*Result {
	var out []*Result
	for i := range before.Cells {
		name := before.Cells[i].Name
		if k := indexOf(after, name); k >= 0 {
			out = append(out, Compare(View{before, model.Column(i)}, View{after, model.Column(k)}))
		} else {
			out = append(out, &Result{A: name, B: name, NotRun: []string{"the second run has no such cell: it"}})
		}
	}
	for k := range after.Cells {
		if name := after.Cells[k].Name; indexOf(before, name) < 0 {
			out = append(out, &Result{A: name, B: name, NotRun: []string{"the first run has no such cell: it"}})
		}
	}
	return append(out, Compare(View{before, model.Merged}, View{after, model.Merged}))
}

// indexOf is the index of the cell of that name, or -1.
func indexOf(r *model.Report, name string) int {
	return slices.IndexFunc(r.Cells, func(c model.Cell) bool { return c.Name == name })
}
