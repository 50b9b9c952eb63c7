// Package gate decides whether a report is good enough: thresholds for lines, branches and functions, functions
// that must have run, and a baseline below which nothing may fall. Figures are compared as fractions, so that
// 94.96% is never 95%.
package gate

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"path"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/internal/nearest"
	"github.com/bpfcov/bpfcov/report/model"
)

// Figure is what a threshold is about.
type Figure string

// The figures of a summary.
const (
	Lines     Figure = "lines"
	Branches  Figure = "branches"
	Functions Figure = "functions"
)

func (f Figure) of(s model.Summary) model.Ratio {
	switch f {
	case Branches:
		return s.Branches
	case Functions:
		return s.Functions
	}
	return s.Lines
}

// Threshold is the least that a figure must be.
type Threshold struct {
	Figure Figure
	// Cells is a pattern (path.Match) of names of cells, each of which must reach it; "" means all
	// cells merged.
	Cells string
	// Percent is from 0 to 100.
	Percent *big.Rat
}

// ParseThreshold reads "80", for all cells merged, or "6.1-*=70", for each cell whose name matches.
func ParseThreshold(f Figure, s string) (Threshold, error) {
	t := Threshold{Figure: f}
	percent := s
	if i := strings.LastIndexByte(s, '='); i >= 0 {
		t.Cells, percent = s[:i], s[i+1:]
		if _, err := path.Match(t.Cells, ""); err != nil || t.Cells == "" {
			return t, fmt.Errorf("%q: %q is no pattern of cell names, such as 6.1-*", s, t.Cells)
		}
	}
	p, ok := new(big.Rat).SetString(strings.TrimSuffix(percent, "%"))
	if !ok || len(percent) > 20 || strings.ContainsAny(percent, "/eEpPxXbBoO_") || p.Sign() < 0 || p.Cmp(big.NewRat(100, 1)) > 0 {
		return t, fmt.Errorf("%q: %q is no percentage from 0 to 100", s, percent)
	}
	t.Percent = p
	return t, nil
}

// Requirement is a function that must have run.
type Requirement struct {
	// File is the name of the file, or its last parts.
	File, Function string
	// Cells is a pattern of names of cells, in each of which it must have run; "" means all.
	Cells string
}

// ParseRequirement reads "FILE:FUNCTION" or "FILE:FUNCTION@CELLS".
func ParseRequirement(s string) (Requirement, error) {
	rest, cells, some := strings.Cut(s, "@")
	i := strings.LastIndexByte(rest, ':')
	if i <= 0 || i == len(rest)-1 {
		return Requirement{}, fmt.Errorf("%q: want FILE:FUNCTION or FILE:FUNCTION@CELLS", s)
	}
	if _, err := path.Match(cells, ""); err != nil || some && cells == "" {
		return Requirement{}, fmt.Errorf("%q: %q is no pattern of cell names, such as 6.1-*", s, cells)
	}
	return Requirement{File: rest[:i], Function: rest[i+1:], Cells: cells}, nil
}

// Options say what is checked.
type Options struct {
	Thresholds   []Threshold
	Requirements []Requirement
	// Baseline is nil when there is none.
	Baseline *Baseline
	// Partial is set for a report of a part, such as the lines of a change: then nothing to
	// count is not a failure.
	Partial bool
}

// Check returns what is not good enough, a sentence each, and nothing when all is well.
func Check(r *model.Report, o Options) []string {
	var failed []string
	fail := func(format string, args ...any) { failed = append(failed, fmt.Sprintf(format, args...)) }
	for _, t := range o.Thresholds {
		if t.Cells == "" {
			t.check("all cells", t.Figure.of(r.Merged), o.Partial, fail)
			continue
		}
		for _, i := range matching(r, t.Cells, fail) {
			c := &r.Cells[i]
			if !c.Ran {
				fail("%s of %s: it did not run (%s)", t.Figure, c.Name, c.Outcome)
				continue
			}
			t.check(c.Name, t.Figure.of(c.Summary), o.Partial, fail)
		}
	}
	for _, q := range o.Requirements {
		q.check(r, fail)
	}
	if o.Baseline != nil {
		o.Baseline.check(r, fail)
	}
	return failed
}

func matching(r *model.Report, pattern string, fail func(string, ...any)) []int {
	var is []int
	var names []string
	for i := range r.Cells {
		names = append(names, r.Cells[i].Name)
		if ok, _ := path.Match(pattern, r.Cells[i].Name); ok || pattern == "" {
			is = append(is, i)
		}
	}
	if len(is) == 0 {
		fail("no cell is called %s; there are %s", pattern, strings.Join(names, ", "))
	}
	return is
}

func (t Threshold) check(of string, got model.Ratio, partial bool, fail func(string, ...any)) {
	if got.Total == 0 {
		// An object without branches is fine; one without lines is none.
		if t.Figure == Lines && !partial && t.Percent.Sign() > 0 {
			fail("lines of %s: there are none", of)
		}
		return
	}
	have := big.NewRat(int64(got.Hit)*100, int64(got.Total))
	if have.Cmp(t.Percent) < 0 {
		fail("%s of %s: %s (%d of %d) is less than %s%%", t.Figure, of, got, got.Hit, got.Total, decimal(t.Percent))
	}
}

func decimal(r *big.Rat) string {
	s := r.FloatString(4)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

func (q Requirement) check(r *model.Report, fail func(string, ...any)) {
	var names []string
	found := false
	cells := matching(r, q.Cells, fail)
	for k := range r.Files {
		f := &r.Files[k]
		if f.Name != q.File && !strings.HasSuffix(f.Name, "/"+q.File) {
			continue
		}
		for n := range f.Functions {
			x := &f.Functions[n]
			names = append(names, x.Name)
			if x.Name != q.Function {
				continue
			}
			found = true
			for _, i := range cells {
				if s := x.Cells[i]; s.Status != model.Hit {
					fail("%s:%s must run on %s: %s", f.Name, x.Name, r.Cells[i].Name, r.Cause(s))
				}
			}
		}
	}
	if found {
		return
	}
	switch near := nearest.Match(q.Function, names); {
	case len(names) == 0:
		fail("%s:%s must run: the report has no such file", q.File, q.Function)
	case near != "":
		fail("%s:%s must run: no such function; did you mean %s?", q.File, q.Function, near)
	default:
		fail("%s:%s must run: no such function", q.File, q.Function)
	}
}

// Baseline is the figures of an earlier report, by which a later one is judged.
type Baseline struct {
	Schema int                `json:"schema"` // 1
	Merged Figures            `json:"merged"`
	Cells  map[string]Figures `json:"cells"`
}

// Figures are hit and total of each figure.
type Figures map[Figure][2]int

func figures(s model.Summary) Figures {
	f := Figures{}
	for _, x := range []Figure{Lines, Branches, Functions} {
		f[x] = [2]int{x.of(s).Hit, x.of(s).Total}
	}
	return f
}

// NewBaseline takes the figures of a report.
func NewBaseline(r *model.Report) *Baseline {
	b := &Baseline{Schema: 1, Merged: figures(r.Merged), Cells: map[string]Figures{}}
	for i := range r.Cells {
		if r.Cells[i].Ran {
			b.Cells[r.Cells[i].Name] = figures(r.Cells[i].Summary)
		}
	}
	return b
}

// Write writes the baseline as JSON, one cell a line.
func (b *Baseline) Write(w io.Writer) error {
	merged, err := json.Marshal(b.Merged)
	if err != nil {
		return err
	}
	s := fmt.Sprintf("{\n\"schema\": 1,\n\"merged\": %s,\n\"cells\": {", merged)
	for i, name := range slices.Sorted(maps.Keys(b.Cells)) {
		key, err1 := json.Marshal(name)
		value, err2 := json.Marshal(b.Cells[name])
		if err1 != nil || err2 != nil {
			return fmt.Errorf("baseline: %v, %v", err1, err2)
		}
		if i > 0 {
			s += ","
		}
		s += fmt.Sprintf("\n%s: %s", key, value)
	}
	_, err = io.WriteString(w, s+"\n}\n}\n")
	return err
}

// ReadBaseline reads what Write wrote.
func ReadBaseline(r io.Reader) (*Baseline, error) {
	b := &Baseline{}
	d := json.NewDecoder(io.LimitReader(r, 16<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("not a baseline: %w", err)
	}
	if b.Schema != 1 {
		return nil, fmt.Errorf("not a baseline: schema %d, want 1", b.Schema)
	}
	return b, nil
}

func (b *Baseline) check(r *model.Report, fail func(string, ...any)) {
	compare := func(of string, old Figures, now model.Summary) {
		for _, x := range []Figure{Lines, Branches, Functions} {
			a, got := old[x], x.of(now)
			was := model.Ratio{Hit: a[0], Total: a[1]}
			// was > got, as fractions; nothing to count is as good as everything.
			if was.Total <= 0 || got.Total == 0 || big.NewInt(0).Mul(big.NewInt(int64(was.Hit)), big.NewInt(int64(got.Total))).Cmp(
				big.NewInt(0).Mul(big.NewInt(int64(got.Hit)), big.NewInt(int64(was.Total)))) <= 0 {
				continue
			}
			fail("%s of %s: %s (%d of %d) was %s (%d of %d) in the baseline", x, of, got, got.Hit, got.Total, was, was.Hit, was.Total)
		}
	}
	compare("all cells", b.Merged, r.Merged)
	for _, name := range slices.Sorted(maps.Keys(b.Cells)) {
		i := slices.IndexFunc(r.Cells, func(c model.Cell) bool { return c.Name == name })
		switch {
		case i < 0:
			fail("%s is in the baseline and not in the report", name)
		case !r.Cells[i].Ran:
			fail("%s is in the baseline and did not run (%s)", name, r.Cells[i].Outcome)
		default:
			compare(name, b.Cells[name], r.Cells[i].Summary)
		}
	}
}
