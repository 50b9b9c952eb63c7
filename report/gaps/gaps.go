// Package gaps answers why code ran on some kernels and not on others: it groups the differences of a report by
// cause and says what the cells have in common.
package gaps

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// Kind is what a gap comes from.
type Kind string

// The kinds, in the order in which they are listed.
const (
	Refused     Kind = "refused"      // the kernel rejected the program
	NeverLoaded Kind = "never-loaded" // no loader asked for the program
	Kernel      Kind = "kernel"       // from some version of the kernel on, or up to it
	Arch        Kind = "arch"         // on some architectures
	LLVM        Kind = "llvm"         // with some compilers
	KernelArch  Kind = "kernel-arch"  // from some version on, another one for each architecture
	Other       Kind = "other"        // none of these tells the cells apart
)

// Place is one gap.
type Place struct {
	File     string     `json:"file"`
	Function string     `json:"function,omitempty"`
	Ranges   [][2]int   `json:"ranges"`
	Lines    int        `json:"lines"`
	Side     string     `json:"side,omitempty"` // of a branch: "true" or "false"
	Col      int        `json:"col,omitempty"`
	Kind     model.Kind `json:"kind"`
}

// Group is the gaps of one cause.
type Group struct {
	Kind Kind `json:"kind"`
	// When says which cells lack it, for example "kernels before 6.1", "arm64".
	When string `json:"when"`
	// Causes is why, in words, each once.
	Causes []string `json:"causes"`
	Ran    []string `json:"ran"` // names of cells
	Not    []string `json:"not"`
	Lines  int      `json:"lines"` // of all places; a branch is none
	Places []Place  `json:"places"`
}

// Find groups the differences of r: by kind, then the largest first.
func Find(r *model.Report) []Group {
	var groups []*Group
	known := map[string]*Group{}
	for i := range r.Differences {
		d := &r.Differences[i]
		ran, not, causes, statuses := split(d)
		kind, when := explain(r, ran, not)
		switch {
		case slices.Equal(statuses, []model.Status{model.Rejected}):
			kind = Refused
		case slices.Equal(statuses, []model.Status{model.NotLoaded}):
			kind = NeverLoaded
		}
		key := fmt.Sprint(kind, when, causes, ran, not)
		g := known[key]
		if g == nil {
			g = &Group{Kind: kind, When: when, Causes: causes, Ran: names(r, ran), Not: names(r, not)}
			known[key] = g
			groups = append(groups, g)
		}
		p := Place{File: d.File, Function: d.Function, Lines: d.Lines, Side: d.Side, Col: d.Col, Kind: d.Kind}
		for _, x := range d.Ranges {
			p.Ranges = append(p.Ranges, [2]int{x.First, x.Last})
		}
		if d.Kind != model.KindBranch {
			g.Lines += d.Lines
		}
		g.Places = append(g.Places, p)
	}
	order := []Kind{Refused, NeverLoaded, Kernel, Arch, LLVM, KernelArch, Other}
	slices.SortStableFunc(groups, func(a, b *Group) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(b.Lines, a.Lines),
			cmp.Compare(a.When, b.When), slices.Compare(a.Causes, b.Causes))
	})
	out := make([]Group, len(groups))
	for i, g := range groups {
		out[i] = *g
		slices.SortStableFunc(out[i].Places, func(a, b Place) int {
			return cmp.Or(cmp.Compare(b.Lines, a.Lines), cmp.Compare(a.File, b.File), cmp.Compare(a.Ranges[0][0], b.Ranges[0][0]))
		})
	}
	return out
}

// split tells the cells that ran it from those that did not, and why these did not.
func split(d *model.Difference) (ran, not []int, causes []string, statuses []model.Status) {
	for _, g := range d.Groups {
		if g.Status == model.Hit {
			ran = append(ran, g.Cells...)
			continue
		}
		not = append(not, g.Cells...)
		causes = append(causes, g.Cause)
		statuses = append(statuses, g.Status)
	}
	slices.Sort(ran)
	slices.Sort(not)
	slices.Sort(causes)
	slices.Sort(statuses)
	return ran, not, slices.Compact(causes), slices.Compact(statuses)
}

func names(r *model.Report, cells []int) []string {
	var s []string
	for _, i := range cells {
		s = append(s, r.Cells[i].Name)
	}
	return s
}

// explain looks for the one property of the cells that tells those that ran it from those that did not. The
// version of the kernel is tried first, then arch and compiler.
func explain(r *model.Report, ran, not []int) (Kind, string) {
	if when := threshold(r, ran, not); when != "" {
		return Kernel, when
	}
	by := func(of func(*model.Cell) string) string {
		a, b := values(r, ran, of), values(r, not, of)
		if slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) }) {
			return ""
		}
		return strings.Join(b, ", ")
	}
	arch := func(c *model.Cell) string { return c.Arch }
	if when := by(arch); when != "" {
		return Arch, when
	}
	if when := by(func(c *model.Cell) string { return fmt.Sprintf("LLVM %d", c.LLVM) }); when != "" {
		return LLVM, when
	}
	// For each architecture by itself.
	var parts []string
	for _, a := range values(r, slices.Concat(ran, not), arch) {
		only := func(cells []int) []int {
			return slices.DeleteFunc(slices.Clone(cells), func(i int) bool { return r.Cells[i].Arch != a })
		}
		of, no := only(ran), only(not)
		switch {
		case len(no) == 0:
		case len(of) == 0:
			parts = append(parts, a)
		default:
			when := threshold(r, of, no)
			if when == "" {
				return Other, strings.Join(names(r, not), ", ")
			}
			parts = append(parts, a+" "+when)
		}
	}
	return KernelArch, strings.Join(parts, ", ")
}

// values lists what the cells have, each once, sorted.
func values(r *model.Report, cells []int, of func(*model.Cell) string) []string {
	var s []string
	for _, i := range cells {
		s = append(s, of(&r.Cells[i]))
	}
	slices.Sort(s)
	return slices.Compact(s)
}

// threshold says from or up to which kernel those are that did not run it, "" when no version tells them apart.
func threshold(r *model.Report, ran, not []int) string {
	type version = [3]int
	limits := func(cells []int) (low, high version, ok bool) {
		for n, i := range cells {
			v, is := model.KernelVersion(r.Cells[i].Kernel)
			if !is {
				return low, high, false
			}
			if n == 0 || slices.Compare(v[:], low[:]) < 0 {
				low = v
			}
			if n == 0 || slices.Compare(v[:], high[:]) > 0 {
				high = v
			}
		}
		return low, high, len(cells) > 0
	}
	firstRan, lastRan, ok1 := limits(ran)
	firstNot, lastNot, ok2 := limits(not)
	format := func(a, other version) string {
		if a[0] == other[0] && a[1] == other[1] {
			return fmt.Sprintf("%d.%d.%d", a[0], a[1], a[2])
		}
		return fmt.Sprintf("%d.%d", a[0], a[1])
	}
	switch {
	case !ok1 || !ok2:
		return ""
	case slices.Compare(lastNot[:], firstRan[:]) < 0:
		return "kernels before " + format(firstRan, lastNot)
	case slices.Compare(lastRan[:], firstNot[:]) < 0:
		return "kernels from " + format(firstNot, lastRan) + " on"
	}
	return ""
}
