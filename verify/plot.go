package verify

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// plotPrograms is how many programs a plot shows, those with the most instructions.
const plotPrograms = 12

// Plot writes an SVG of the verified instructions of each program over the cells, which are ordered by version within their architecture. The
// scale is logarithmic; a gap is a kernel that refuses the program.
func Plot(w io.Writer, run *Run) error {
	cells := make([]*Cell, 0, len(run.Cells))
	for i := range run.Cells {
		if len(run.Cells[i].Results) > 0 {
			cells = append(cells, &run.Cells[i])
		}
	}
	slices.SortStableFunc(cells, func(a, b *Cell) int {
		x, _ := version(a.Kernel.Release)
		y, _ := version(b.Kernel.Release)
		return cmp.Or(cmp.Compare(a.Kernel.Arch, b.Kernel.Arch), a.LLVM-b.LLVM, x[0]-y[0], x[1]-y[1], x[2]-y[2])
	})
	type series struct {
		k    key
		at   []int // 0 where it did not load
		most int
	}
	var all []*series
	byKey := map[key]*series{}
	for i, c := range cells {
		for j := range c.Results {
			r := &c.Results[j]
			if r.Verdict != OK || r.Insns <= 0 {
				continue
			}
			k := key{r.File, r.Program}
			s := byKey[k]
			if s == nil {
				s = &series{k: k, at: make([]int, len(cells))}
				byKey[k] = s
				all = append(all, s)
			}
			s.at[i] = r.Insns
			s.most = max(s.most, r.Insns)
		}
	}
	slices.SortStableFunc(all, func(a, b *series) int { return cmp.Compare(b.most, a.most) })
	left := max(0, len(all)-plotPrograms)
	all = all[:len(all)-left]
	low, high := 1.0, 10.0
	if len(all) > 0 {
		low = math.Inf(1)
		for _, s := range all {
			for _, n := range s.at {
				if n > 0 {
					low = min(low, float64(n))
				}
			}
			high = max(high, float64(s.most))
		}
	}
	lo, hi := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high)+1e-9)
	if hi <= lo {
		hi = lo + 1
	}
	const width, top, height, leftMargin, legend = 560, 30, 320, 70, 320
	x := func(i int) float64 {
		if len(cells) < 2 {
			return leftMargin + width/2
		}
		return leftMargin + float64(i)*width/float64(len(cells)-1)
	}
	y := func(n float64) float64 { return top + height*(1-(math.Log10(n)-lo)/(hi-lo)) }
	var b strings.Builder
	total := leftMargin + width + legend
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", total, top+height+110, total, top+height+110)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="18" font-size="14">Instructions that the verifier processed, by kernel</text>`+"\n", leftMargin)
	for e := lo; e <= hi; e++ {
		n := math.Pow(10, e)
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n", leftMargin, y(n), leftMargin+width, y(n), leftMargin-8, y(n)+4, n)
	}
	for i, c := range cells {
		fmt.Fprintf(&b, `<text transform="translate(%.1f,%d) rotate(-40)" text-anchor="end">%s</text>`+"\n", x(i)+4, top+height+20, html.EscapeString(c.Name))
	}
	// Okabe and Ito's colours, which people with colour blindness can tell apart, with and without dashes.
	colours := strings.Fields("#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9")
	for n, s := range all {
		colour, dash := colours[n%len(colours)], ""
		if n >= len(colours) {
			dash = ` stroke-dasharray="5 3"`
		}
		var points []string
		flush := func() {
			if len(points) > 1 {
				fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2"%s points="%s"/>`+"\n", colour, dash, strings.Join(points, " "))
			}
			points = nil
		}
		for i, v := range s.at {
			if v == 0 || i > 0 && (cells[i].Kernel.Arch != cells[i-1].Kernel.Arch || cells[i].LLVM != cells[i-1].LLVM) {
				flush()
			}
			if v > 0 {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(i), y(float64(v))))
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s on %s: %d</title></circle>`+"\n", x(i), y(float64(v)), colour, html.EscapeString(s.k.String()), html.EscapeString(cells[i].Name), v)
			}
		}
		flush()
		ly := top + 10 + n*18
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"%s/><text x="%d" y="%d">%s</text>`+"\n",
			leftMargin+width+20, ly, leftMargin+width+44, ly, colour, dash, leftMargin+width+50, ly+4, html.EscapeString(s.k.String()))
	}
	if left > 0 {
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#666">and %d programs with fewer</text>`+"\n", leftMargin+width+20, top+10+len(all)*18, left)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
