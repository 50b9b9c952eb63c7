package verify

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Minimum is the oldest kernel of an architecture from which on every program of a compiler loads.
type Minimum struct {
	Arch string
	LLVM int // 0 where no compiler was asked for
	// Cell is the oldest cell from which on all load; "" when the newest does not load all.
	Cell string
	// Older are the cells before, the newest first, with what they lack.
	Older []Lack
	// Tried is the number of cells, Oldest the oldest of them.
	Tried  int
	Oldest string
}

// Lack is what keeps a cell from loading everything.
type Lack struct {
	Cell    string
	Reasons []string // "bpf_loop: helper, unknown func bpf_loop#181"
}

// Minimums finds the minimum for each architecture and compiler, in the order of the cells. Programs that are skipped everywhere do not count, nor do
// cells that did not come to an end.
func Minimums(run *Run) []Minimum {
	type group struct {
		arch string
		llvm int
	}
	byGroup := map[group][]*Cell{}
	var groups []group
	for i := range run.Cells {
		c := &run.Cells[i]
		if c.Error != "" || len(c.Results) == 0 {
			continue
		}
		g := group{c.Kernel.Arch, c.LLVM}
		if byGroup[g] == nil {
			groups = append(groups, g)
		}
		byGroup[g] = append(byGroup[g], c)
	}
	var out []Minimum
	for _, g := range groups {
		cells := byGroup[g]
		slices.SortStableFunc(cells, func(a, b *Cell) int {
			x, _ := version(a.Kernel.Release)
			y, _ := version(b.Kernel.Release)
			return cmp.Or(y[0]-x[0], y[1]-x[1], y[2]-x[2])
		})
		m := Minimum{Arch: g.arch, LLVM: g.llvm, Tried: len(cells), Oldest: cells[len(cells)-1].Name}
		broken := false
		for _, c := range cells {
			l := lack(c)
			if len(l.Reasons) == 0 && !broken {
				m.Cell = c.Name
				continue
			}
			broken = true
			m.Older = append(m.Older, l)
		}
		out = append(out, m)
	}
	return out
}

func lack(c *Cell) Lack {
	l := Lack{Cell: c.Name}
	for i := range c.Results {
		r := &c.Results[i]
		if r.Verdict == Failed {
			l.Reasons = append(l.Reasons, fmt.Sprintf("%s: %s, %s", key{r.File, r.Program}, r.Class, r.Reason))
		}
	}
	return l
}

// WriteMinimums writes a line for each architecture and compiler, and for each older kernel how many programs it refuses, by class.
func WriteMinimums(w io.Writer, run *Run) error {
	for _, m := range Minimums(run) {
		if m.Tried < 2 {
			continue
		}
		what := m.Arch
		if m.LLVM != 0 {
			what += fmt.Sprintf(", clang %d", m.LLVM)
		}
		line := fmt.Sprintf("%s: every program loads from %s on", what, m.Cell)
		switch m.Cell {
		case "":
			line = what + ": no kernel loads every program up to the newest"
		case m.Oldest:
			line += ", the oldest that was tried"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
		for _, l := range m.Older {
			if len(l.Reasons) == 0 {
				fmt.Fprintf(w, "  %s loads all\n", l.Cell)
				continue
			}
			const most = 3
			more := ""
			if n := len(l.Reasons) - most; n > 0 {
				more = fmt.Sprintf("; and %d more", n)
			}
			if _, err := fmt.Fprintf(w, "  %s refuses %d: %s%s\n", l.Cell, len(l.Reasons), strings.Join(l.Reasons[:min(most, len(l.Reasons))], "; "), more); err != nil {
				return err
			}
		}
	}
	return nil
}
