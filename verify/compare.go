package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ChangeKind says how a program changed between two runs.
type ChangeKind string

// The kinds, the worst first.
const (
	NewlyFailing ChangeKind = "newly failing"
	Removed      ChangeKind = "removed"
	NewlyLoading ChangeKind = "newly loading"
	Added        ChangeKind = "added"
	Changed      ChangeKind = "changed" // loads in both; some figure differs
	Same         ChangeKind = "same"
)

// Change is one program in one pair of cells.
type Change struct {
	Kind      ChangeKind
	Base, Now *Result // nil when it is not there
	// Exceeds are the thresholds that the change is beyond, as they were written.
	Exceeds []string
}

// Diff is the comparison of two cells.
type Diff struct {
	Base, Now string // the cells' names, with the kernel where the names are equal and the kernels not
	Changes   []Change
}

// Threshold is a limit for the change of a statistic: insns>+10%, states>+100, insns<-5%.
type Threshold struct {
	text    string
	col     Column
	op      string
	num     float64
	percent bool
}

// ParseThreshold reads STAT, one of > >= < <=, a signed number, and % for a change in per cent of the base.
func ParseThreshold(s string) (Threshold, error) {
	t := Threshold{text: strings.TrimSpace(s)}
	i := strings.IndexAny(t.text, "<>")
	if i <= 0 {
		return t, fmt.Errorf("threshold %q: want a statistic, a comparison and a change, for example insns>+10%%", s)
	}
	rest := t.text[i:]
	for _, op := range []string{">=", "<=", ">", "<"} {
		if v, ok := strings.CutPrefix(rest, op); ok {
			t.op, rest = op, strings.TrimSpace(v)
			break
		}
	}
	var err error
	if t.col, err = FindColumn(strings.TrimSpace(t.text[:i])); err != nil {
		return t, fmt.Errorf("threshold %q: %w", s, err)
	}
	if t.col.number == nil {
		return t, fmt.Errorf("threshold %q: %s is no number", s, t.col.Name)
	}
	rest, t.percent = strings.CutSuffix(rest, "%")
	if t.num, err = strconv.ParseFloat(strings.TrimSpace(rest), 64); err != nil {
		return t, fmt.Errorf("threshold %q: %q is no number", s, rest)
	}
	return t, nil
}

// beyond reports whether the change from base to now is.
func (t Threshold) beyond(base, now *Result) bool {
	b, n := float64(t.col.number(base)), float64(t.col.number(now))
	change := n - b
	if t.percent {
		if b == 0 {
			return false // no per cent of nothing
		}
		change = change / b * 100
	}
	switch t.op {
	case ">":
		return change > t.num
	case ">=":
		return change >= t.num
	case "<":
		return change < t.num
	}
	return change <= t.num
}

// Compare compares a run with another one: the same objects before a change, by another compiler, or on another kernel. Cells meet by
// name; else by kernel and architecture, when the other run has them from one compiler only; and two runs of one cell each meet whatever they are.
// unmatched are cells of now that have no counterpart.
func Compare(base, now *Run, limits []Threshold) (diffs []Diff, unmatched []string) {
	for i := range now.Cells {
		n := &now.Cells[i]
		if b := base.Counterpart(n, len(now.Cells) == 1); b != nil {
			diffs = append(diffs, compareCells(b, n, limits))
		} else {
			unmatched = append(unmatched, n.Name)
		}
	}
	return diffs, unmatched
}

// Counterpart is the cell to compare c with, nil if there is none. only tells that c is the only one of its run.
func (run *Run) Counterpart(c *Cell, only bool) *Cell {
	var same []*Cell
	for i := range run.Cells {
		b := &run.Cells[i]
		if b.Name == c.Name {
			return b
		}
		if b.LLVM != c.LLVM && b.kernelName() == c.kernelName() {
			same = append(same, b)
		}
	}
	switch {
	case len(same) == 1:
		return same[0]
	case only && len(run.Cells) == 1:
		return &run.Cells[0]
	}
	return nil
}

// kernelName is the cell's name without its compiler.
func (c *Cell) kernelName() string { return strings.TrimSuffix(c.Name, "-llvm"+strconv.Itoa(c.LLVM)) }

func compareCells(base, now *Cell, limits []Threshold) Diff {
	d := Diff{Base: base.Name, Now: now.Name}
	if d.Base == d.Now && base.Kernel.Release != now.Kernel.Release {
		d.Base, d.Now = d.Base+" ("+base.Kernel.Release+")", d.Now+" ("+now.Kernel.Release+")"
	}
	before := map[key]*Result{}
	for i := range base.Results {
		before[key{base.Results[i].File, base.Results[i].Program}] = &base.Results[i]
	}
	for i := range now.Results {
		n := &now.Results[i]
		k := key{n.File, n.Program}
		b := before[k]
		delete(before, k)
		d.Changes = append(d.Changes, change(b, n, limits))
	}
	for _, b := range before {
		d.Changes = append(d.Changes, Change{Kind: Removed, Base: b})
	}
	rank := func(k ChangeKind) int {
		return slices.Index([]ChangeKind{NewlyFailing, Removed, NewlyLoading, Added, Changed, Same}, k)
	}
	slices.SortStableFunc(d.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(len(b.Exceeds), len(a.Exceeds)),
			cmp.Compare(abs(b.insns()), abs(a.insns())), cmp.Compare(a.key().String(), b.key().String()))
	})
	return d
}

func change(b, n *Result, limits []Threshold) Change {
	c := Change{Base: b, Now: n}
	switch {
	case b == nil && n.Verdict == Failed:
		c.Kind = NewlyFailing
	case b == nil:
		c.Kind = Added
	case b.Verdict != Failed && n.Verdict == Failed:
		c.Kind = NewlyFailing
	case b.Verdict != OK && n.Verdict == OK:
		c.Kind = NewlyLoading
	case b.Verdict == OK && n.Verdict == OK && (b.Insns != n.Insns || b.States != n.States || b.PeakStates != n.PeakStates || b.Stack != n.Stack || b.Size != n.Size || b.JitedSize != n.JitedSize):
		c.Kind = Changed
	default:
		c.Kind = Same // how long it took varies
	}
	if b != nil && b.Verdict == OK && n.Verdict == OK {
		for _, l := range limits {
			if l.beyond(b, n) {
				c.Exceeds = append(c.Exceeds, l.text)
			}
		}
	}
	return c
}

func (c *Change) key() key {
	r := c.Now
	if r == nil {
		r = c.Base
	}
	return key{r.File, r.Program}
}

func (c *Change) insns() int {
	if c.Base == nil || c.Now == nil {
		return 0
	}
	return c.Now.Insns - c.Base.Insns
}

func abs(n int) int { return max(n, -n) }

// Fails reports whether the change is one for which CI fails.
func (c *Change) Fails() bool { return c.Kind == NewlyFailing || len(c.Exceeds) > 0 }

// difference is a column's "BASE -> NOW (+N, +P%)", or the one value when they are equal.
func difference(col Column, b, n *Result) string {
	if b == nil || n == nil {
		r := cmp.Or(b, n)
		return strconv.Itoa(col.number(r))
	}
	x, y := col.number(b), col.number(n)
	if x == y {
		return strconv.Itoa(x)
	}
	if x == 0 {
		return fmt.Sprintf("%d -> %d (%+d)", x, y, y-x)
	}
	return fmt.Sprintf("%d -> %d (%+d, %+.1f%%)", x, y, y-x, float64(y-x)/float64(x)*100)
}
