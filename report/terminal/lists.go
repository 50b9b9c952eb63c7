package terminal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// differences lists the places that ran in some cells and not in others.
func (p *printer) differences() {
	all := p.r.Differences
	if len(all) == 0 {
		return
	}
	shown := all
	if p.o.Differences >= 0 && len(all) > p.o.Differences {
		shown = all[:p.o.Differences]
	}
	title := "Ran on some kernels and not on others"
	if len(shown) < len(all) {
		title += fmt.Sprintf(" (%d of %d places)", len(shown), len(all))
	}
	p.line("")
	p.line(" %s", p.paint(bold, title))
	for i := range shown {
		p.difference(&shown[i])
	}
}

func (p *printer) difference(d *model.Difference) {
	p.line("")
	where := clean(d.File) + ":" + model.FormatRanges(d.Ranges)
	what := ""
	switch d.Kind {
	case model.KindFunction:
		what = clean(d.Function) + ", the whole function"
	case model.KindBranch:
		where = fmt.Sprintf("%s:%d:%d", clean(d.File), d.Ranges[0].First, d.Col)
		what = strings.TrimPrefix(clean(d.Function)+", ", ", ") + "condition " + d.Side
	default:
		what = clean(d.Function)
	}
	room := p.o.Width - 3 - width(what)
	p.line(" %s  %s", p.paint(cyan, shorten(where, max(24, room))), what)

	const most = 56
	cells := make([]string, len(d.Groups))
	column := 0
	for i, g := range d.Groups {
		cells[i] = shorten(p.cells(g.Cells), most)
		column = max(column, width(cells[i]))
	}
	for i, g := range d.Groups {
		text := clean(g.Cause)
		p.told = append(p.told, text)
		for n, s := range wrapAtMost(3, text, p.o.Width-8-column) {
			if n > 0 {
				cells[i] = ""
			}
			p.line("     %s   %s", pad(cells[i], column, left), p.paint(statusStyle(g.Status), s))
		}
	}
}

func statusStyle(s model.Status) style {
	switch s {
	case model.Hit:
		return green
	case model.Missed, model.Rejected:
		return red
	case model.NotLoaded:
		return yellow
	}
	return dim
}

// cells names cells by arch: "amd64 5.10 6.1 6.12 · arm64 6.1". Four and more neighbours of the
// report are joined: "amd64 5.10–7.2". With several compilers or equal versions it uses full names.
func (p *printer) cells(is []int) string {
	byArch := map[string][]int{}
	var arches []string
	for i := range p.r.Cells {
		if a := p.r.Cells[i].Arch; !slices.Contains(arches, a) {
			arches = append(arches, a)
		}
	}
	slices.Sort(arches)
	for _, i := range is {
		byArch[p.r.Cells[i].Arch] = append(byArch[p.r.Cells[i].Arch], i)
	}
	var parts []string
	for _, a := range arches {
		if len(byArch[a]) == 0 {
			continue
		}
		all := p.ofArch(a)
		words := []string{a}
		mine := byArch[a]
		for n := 0; n < len(mine); {
			start := slices.Index(all, mine[n])
			run := 1
			for n+run < len(mine) && start+run < len(all) && all[start+run] == mine[n+run] {
				run++
			}
			if run >= 4 {
				words = append(words, p.version(mine[n])+"–"+p.version(mine[n+run-1]))
			} else {
				for _, i := range mine[n : n+run] {
					words = append(words, p.version(i))
				}
			}
			n += run
		}
		parts = append(parts, strings.Join(words, " "))
	}
	return strings.Join(parts, " · ")
}

// ofArch returns the cells of an arch of which something is known, in order.
func (p *printer) ofArch(arch string) []int {
	var is []int
	for i := range p.r.Cells {
		if p.r.Cells[i].Arch == arch && p.r.Cells[i].Ran {
			is = append(is, i)
		}
	}
	return is
}

// version is the cell's name without the arch.
func (p *printer) version(i int) string {
	c := &p.r.Cells[i]
	return strings.Replace(c.Name, "-"+c.Arch, "", 1)
}

// refused lists the programs that kernels refused to load, apart from those that a difference has told
// of.
func (p *printer) refused() {
	type refusal struct{ name, cause string }
	cells := map[refusal][]int{}
	var all []refusal
	for i := range p.r.Cells {
		for _, l := range p.r.Cells[i].Programs {
			told := slices.ContainsFunc(p.told, func(s string) bool { return strings.HasPrefix(s, "program "+clean(l.Name)) })
			if l.Verdict != collect.VerdictRejected || told {
				continue
			}
			x := refusal{clean(l.Name), clean(strings.TrimPrefix(l.Errno+": "+l.Reason, ": "))}
			if l.Class != "" {
				x.cause = clean(string(l.Class)) + ": " + x.cause
			}
			if cells[x] == nil {
				all = append(all, x)
			}
			if have := cells[x]; len(have) == 0 || have[len(have)-1] != i {
				cells[x] = append(have, i)
			}
		}
	}
	slices.SortFunc(all, func(a, b refusal) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.cause, b.cause))
	})
	for i, x := range all {
		if i == 0 {
			p.line("")
			p.line(" %s", p.paint(bold, "Programs that a kernel refused"))
			p.line("")
		}
		p.line(" %s  %s", p.paint(cyan, x.name), shorten(p.cells(cells[x]), p.o.Width-3-width(x.name)))
		for _, s := range wrapAtMost(3, x.cause, p.o.Width-6) {
			p.line("     %s", p.paint(red, s))
		}
	}
}

// failures tells of each cell that did not pass what went wrong.
func (p *printer) failures() {
	first := true
	for i := range p.r.Cells {
		c := &p.r.Cells[i]
		if (c.Outcome == collect.Passed || c.Outcome == collect.Skipped) && c.Failure == "" {
			continue
		}
		if first {
			p.line("")
			p.line(" %s", p.paint(bold, "Did not pass"))
			first = false
		}
		p.line("")
		head := c.Name
		for _, failure := range c.Failures() {
			for _, s := range wrapAtMost(3, clean(failure), p.o.Width-3-width(head)) {
				p.line(" %s  %s", p.paint(bold, head), p.paint(red, s))
				head = strings.Repeat(" ", width(head))
			}
		}
		p.failedCases(c)
		console := c.Console
		if n := p.o.ConsoleLines; len(console) > n {
			console = console[:n] // a record has what tells most first
		}
		for _, s := range console {
			p.line("     %s %s", p.paint(dim, "│"), shorten(clean(s), p.o.Width-7))
		}
	}
}

// failedCases names the test cases that failed, at most ten.
func (p *printer) failedCases(c *model.Cell) {
	const most = 10
	n := 0
	for i := range c.Runs {
		for _, k := range c.Runs[i].Cases {
			if k.Outcome == collect.Passed || k.Outcome == collect.Skipped {
				continue
			}
			n++
			if n > most {
				continue
			}
			text := clean(k.Name)
			if k.Message != "" {
				m, _, _ := strings.Cut(strings.TrimSpace(k.Message), "\n")
				text += ": " + clean(m)
			}
			p.line("     %s %s", p.paint(red, "✗"), shorten(text, p.o.Width-7))
		}
	}
	if n > most {
		p.line("     … and %d more", n-most)
	}
}

func (p *printer) warnings() {
	for i, w := range p.r.Warnings {
		if i == 0 {
			p.line("")
		}
		for n, s := range wrap(clean(w), p.o.Width-8) {
			head := "note: "
			if n > 0 {
				head = "      "
			}
			p.line(" %s%s", p.paint(yellow, head), s)
		}
	}
}
