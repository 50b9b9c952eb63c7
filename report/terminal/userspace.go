package terminal

import (
	"fmt"
	"slices"

	"github.com/bpfcov/bpfcov/report/model"
)

// userSpace lists the files of programs in user space, whose lines are not in the figures of the table.
func (p *printer) userSpace() {
	if p.r.UserSpace.Lines.Total == 0 {
		return
	}
	ratio := func(x model.Ratio) string { return fmt.Sprintf("%s %d/%d", x, x.Hit, x.Total) }
	type total struct{ name, text string }
	totals := []total{}
	for i := range p.r.Cells {
		if c := &p.r.Cells[i]; c.UserSpace.Lines.Total > 0 {
			totals = append(totals, total{c.Name, ratio(c.UserSpace.Lines)})
		}
	}
	if len(totals) > 1 {
		totals = append(totals, total{"all cells", ratio(p.r.UserSpace.Lines)})
	}
	wide := 0
	for _, t := range totals {
		wide = max(wide, width(t.name))
	}
	p.line("")
	p.line(" %s", p.paint(bold, "User space, lines (not in the figures above)"))
	p.line("")
	for _, t := range totals {
		p.line(" %s   %s", pad(clean(t.name), wide, left), t.text)
	}
	// The files that need it most.
	const most = 8
	var files []*model.File
	for k := range p.r.Files {
		if f := &p.r.Files[k]; f.Language != "" {
			files = append(files, f)
		}
	}
	slices.SortStableFunc(files, func(a, b *model.File) int {
		return (b.Merged.Lines.Total - b.Merged.Lines.Hit) - (a.Merged.Lines.Total - a.Merged.Lines.Hit)
	})
	for n, f := range files {
		if n == most {
			p.line("     … and %d more files", len(files)-most)
			break
		}
		text := ratio(f.Merged.Lines)
		p.line("     %s  %s", p.paint(cyan, shorten(clean(f.Name), p.o.Width-8-width(text))), p.paint(dim, text))
	}
}
