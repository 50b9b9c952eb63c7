package groundtruth

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"github.com/bpfcov/bpfcov/report/model"
)

// Check compares one cell of a report with the wants of source files, by the base name of the file,
// after n runs. It returns a sentence for each difference: a wrong count or status, code without a
// want, and a want without code.
func Check(r *model.Report, cell int, files map[string][]Want, n uint64) []string {
	c := &checker{report: r, cell: cell, n: n, release: r.Cells[cell].Kernel}
	seen := map[string]bool{}
	for i := range r.Files {
		name := path.Base(r.Files[i].Name)
		wants, ok := files[name]
		if !ok {
			c.addf("%s: file that nobody expects", r.Files[i].Name)
			continue
		}
		seen[name] = true
		c.file = name
		c.lines(&r.Files[i], wants)
		c.branches(&r.Files[i], wants)
		c.functions(&r.Files[i])
	}
	for name := range files {
		if !seen[name] {
			c.addf("%s: not in the report", name)
		}
	}
	slices.Sort(c.problems)
	return c.problems
}

type checker struct {
	report   *model.Report
	cell     int
	n        uint64
	release  string
	file     string
	problems []string
}

func (c *checker) addf(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// compare checks one state against the value that is wanted.
func (c *checker) compare(line int, what string, got model.State, value string) {
	want, err := state(value, c.n)
	if err != nil {
		c.addf("%s:%d: %v", c.file, line, err)
		return
	}
	if got.Status != want.Status || got.Count != want.Count {
		c.addf("%s:%d: %s: got %s %d (%s), want %s %d (%s)", c.file, line, what,
			got.Status, got.Count, c.report.Text(got.Reason), want.Status, want.Count, value)
	}
}

func (c *checker) lines(f *model.File, wants []Want) {
	got := map[int]model.State{}
	for _, l := range f.Lines {
		got[l.Number] = l.Cells[c.cell]
	}
	for _, w := range wants {
		s, ok := got[w.Line]
		delete(got, w.Line)
		if !ok {
			c.addf("%s:%d: not code, but a value is wanted", c.file, w.Line)
			continue
		}
		a, err := choose(w.Alternatives, c.release)
		if err != nil {
			c.addf("%s:%d: %v", c.file, w.Line, err)
			continue
		}
		c.compare(w.Line, "line", s, a.Value)
	}
	for line, s := range got {
		c.addf("%s:%d: code (%s %d) without a want", c.file, line, s.Status, s.Count)
	}
}

func (c *checker) branches(f *model.File, wants []Want) {
	got := map[int][]model.Branch{}
	for _, b := range f.Branches {
		got[b.Line] = append(got[b.Line], b)
	}
	for _, w := range wants {
		branches := got[w.Line]
		delete(got, w.Line)
		if w.Maybe && len(branches) == 0 {
			continue
		}
		if len(branches) != len(w.Branches) {
			c.addf("%s:%d: got %d branches, want %d", c.file, w.Line, len(branches), len(w.Branches))
			continue
		}
		slices.SortStableFunc(branches, func(x, y model.Branch) int {
			return cmp.Or(cmp.Compare(x.SourceLine, y.SourceLine), cmp.Compare(x.Col, y.Col))
		})
		for i, alternatives := range w.Branches {
			a, err := choose(alternatives, c.release)
			if err != nil {
				c.addf("%s:%d: branch %d: %v", c.file, w.Line, i+1, err)
				continue
			}
			s := branches[i].Cells[c.cell]
			c.compare(w.Line, fmt.Sprintf("branch %d true", i+1), s.True, a.Value)
			c.compare(w.Line, fmt.Sprintf("branch %d false", i+1), s.False, a.False)
		}
	}
	for line := range got {
		c.addf("%s:%d: branch without a want", c.file, line)
	}
}

// functions checks that a function has the state of the line that its body starts on.
func (c *checker) functions(f *model.File) {
	if len(f.Functions) == 0 {
		c.addf("%s: no functions", c.file)
	}
	for _, fn := range f.Functions {
		i := slices.IndexFunc(f.Lines, func(l model.Line) bool { return l.Number == fn.Line })
		if i < 0 {
			c.addf("%s:%d: function %s starts where no code is", c.file, fn.Line, fn.Name)
			continue
		}
		got, want := fn.Cells[c.cell], f.Lines[i].Cells[c.cell]
		if got.Status != want.Status || got.Count != want.Count {
			c.addf("%s:%d: function %s: got %s %d, its first line has %s %d",
				c.file, fn.Line, fn.Name, got.Status, got.Count, want.Status, want.Count)
		}
	}
}

// CheckLoosely is [Check] for functions that are not instrumented exactly: what is folded, or removed by the compiler,
// is never wrong. Where counts is set, those of functions and branches that are hit must be
// right, and those of lines at most as high: one of the regions of a line may be folded. It returns the share of lines that are
// not folded, in percent. Of branches only those are compared whose number is as expected.
func CheckLoosely(r *model.Report, cell int, files map[string][]Want, n uint64, counts bool) (problems []string, told int) {
	c := &checker{report: r, cell: cell, n: n, release: r.Cells[cell].Kernel}
	lines, known := 0, 0
	for i := range r.Files {
		f := &r.Files[i]
		c.file = path.Base(f.Name)
		wants := map[int]Want{}
		for _, w := range files[c.file] {
			wants[w.Line] = w
		}
		for _, l := range f.Lines {
			w, ok := wants[l.Number]
			if !ok {
				c.addf("%s:%d: code without a want", c.file, l.Number)
				continue
			}
			a, err := choose(w.Alternatives, c.release)
			if err != nil {
				c.addf("%s:%d: %v", c.file, l.Number, err)
				continue
			}
			s := l.Cells[cell]
			c.compareLoosely(l.Number, "line", s, a.Value, counts)
			lines++
			if s.Status != model.Folded {
				known++
			}
		}
		at := map[int][]model.Branch{}
		for _, b := range f.Branches {
			at[b.Line] = append(at[b.Line], b)
		}
		for line, branches := range at {
			w := wants[line]
			if len(w.Branches) != len(branches) {
				continue
			}
			slices.SortStableFunc(branches, func(x, y model.Branch) int {
				return cmp.Or(cmp.Compare(x.SourceLine, y.SourceLine), cmp.Compare(x.Col, y.Col))
			})
			for i, alternatives := range w.Branches {
				if a, err := choose(alternatives, c.release); err == nil {
					s := branches[i].Cells[cell]
					c.compareLoosely(line, fmt.Sprintf("branch %d true", i+1), s.True, a.Value, counts)
					c.compareLoosely(line, fmt.Sprintf("branch %d false", i+1), s.False, a.False, counts)
				}
			}
		}
		for _, fn := range f.Functions {
			if w, ok := wants[fn.Line]; ok {
				if a, err := choose(w.Alternatives, c.release); err == nil {
					c.compareLoosely(fn.Line, "function "+fn.Name, fn.Cells[cell], a.Value, counts)
				}
			}
		}
	}
	slices.Sort(c.problems)
	return c.problems, 100 * known / max(lines, 1)
}

// compareLoosely checks one state against the value that is wanted.
func (c *checker) compareLoosely(line int, what string, got model.State, value string, counts bool) {
	want, err := state(value, c.n)
	if err != nil {
		c.addf("%s:%d: %v", c.file, line, err)
		return
	}
	ok := got.Status == model.Folded
	switch want.Status {
	case model.Hit:
		ok = ok || got.Status == model.Hit &&
			(!counts || got.Count == want.Count || what == "line" && got.Count < want.Count)
	case model.Eliminated: // which only says more than missed
		ok = ok || got.Status == model.Eliminated || got.Status == model.Missed
	default:
		ok = ok || got.Status == want.Status
	}
	if !ok {
		c.addf("%s:%d: %s: got %s %d (%s), want %s %d (%s)", c.file, line, what,
			got.Status, got.Count, c.report.Text(got.Reason), want.Status, want.Count, value)
	}
}
