package terminal

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
)

// goPosition is what Go's testing package writes before a message.
var goPosition = regexp.MustCompile(`^[\w.-]+\.go:\d+: `)

// skips says why tests were skipped: each reason once, with the cells and how many tests it skipped there.
func (p *printer) skips() {
	const most = 8
	type skip struct {
		reason string
		cells  []int
		cases  int
	}
	var list []*skip
	add := func(cell int, reason string) {
		reason, _, _ = strings.Cut(strings.TrimSpace(reason), "\n")
		reason = goPosition.ReplaceAllString(clean(reason), "")
		if reason == "" {
			reason = "no reason given"
		}
		i := slices.IndexFunc(list, func(s *skip) bool { return s.reason == reason })
		if i < 0 {
			i = len(list)
			list = append(list, &skip{reason: reason})
		}
		s := list[i]
		s.cases++
		if !slices.Contains(s.cells, cell) {
			s.cells = append(s.cells, cell)
		}
	}
	for i := range p.r.Cells {
		for _, run := range p.r.Cells[i].Runs {
			if run.Outcome == collect.Skipped {
				add(i, run.Reason)
				continue
			}
			for _, c := range run.Cases {
				if c.Outcome == collect.Skipped {
					add(i, c.Message)
				}
			}
		}
	}
	if len(list) == 0 {
		return
	}
	slices.SortStableFunc(list, func(a, b *skip) int { return cmp.Compare(b.cases, a.cases) })
	p.line("")
	p.line(" %s", p.paint(bold, "Skipped"))
	for _, s := range list[:min(most, len(list))] {
		p.line("")
		for _, line := range wrapAtMost(3, s.reason, p.o.Width-2) {
			p.line(" %s", line)
		}
		times := ""
		if s.cases > 1 {
			times = fmt.Sprintf("  (%d tests)", s.cases)
		}
		p.line("     %s%s", shorten(p.cells(s.cells), p.o.Width-5-width(times)), p.paint(dim, times))
	}
	if n := len(list) - most; n > 0 {
		p.line("     … and %d more reasons", n)
	}
}
