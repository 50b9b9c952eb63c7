// Package terminal writes a report for people at a terminal: a table with a row for each cell, the
// places that ran in some cells and not in others with the reason, and what failed.
//
// It does not look at the terminal: width and colour are options.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// Options vary the output. The zero value is plain text, 120 columns wide.
type Options struct {
	// Color adds ANSI colours.
	Color bool
	// Width is the number of columns, 0 for 120; less than 80 is taken as 80. A narrow table has
	// no bars and then no numbers of branches and functions.
	Width int
	// Differences is how many differences are listed, 0 for 8; negative for all.
	Differences int
	// ConsoleLines is how many lines of the console of a failed cell are shown, 0 for 10.
	ConsoleLines int
	// Regions adds a column with the regions of code, which are within lines.
	Regions bool
	// Elapsed is the time that everything took, shown in the last row; 0 shows none.
	Elapsed time.Duration
}

// Write writes the report to w.
func Write(w io.Writer, r *model.Report, o Options) error {
	if o.Width == 0 {
		o.Width = 120
	}
	o.Width = max(o.Width, 80)
	if o.Differences == 0 {
		o.Differences = 8
	}
	if o.ConsoleLines == 0 {
		o.ConsoleLines = 10
	}
	p := &printer{r: r, o: o}
	p.table()
	p.userSpace()
	p.differences()
	p.refused()
	p.failures()
	p.skips()
	p.warnings()
	_, err := w.Write(p.b.Bytes())
	return err
}

// printer collects the output.
type printer struct {
	b bytes.Buffer
	// told are the causes that the list of differences has shown.
	told []string
	r    *model.Report
	o    Options
}

func (p *printer) line(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	p.b.WriteString(strings.TrimRight(s, " ") + "\n")
}

// style is an ANSI "select graphic rendition" code.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

func (p *printer) paint(s style, text string) string {
	if !p.o.Color || s == plain || strings.TrimSpace(text) == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// table writes a row for each cell and, when there are several, one for all of them together.
func (p *printer) table() {
	if len(p.r.Cells) == 0 {
		p.line(" no runs")
		return
	}
	t := &table{}
	t.head("kernel", left)
	t.head("arch", left)
	llvm := p.severalCompilers()
	if llvm {
		t.head("llvm", right)
	}
	t.head("tests", left)
	t.head("lines", right)
	t.head("", left) // bar
	t.head("", right)
	if p.o.Regions {
		t.head("regions", right)
		t.head("", right)
		t.spans("regions", 2)
	}
	t.head("branches", right)
	t.head("", right)
	t.head("functions", right)
	t.head("", right)
	t.head("time", right)
	t.spans("lines", 3)
	t.spans("branches", 2)
	t.spans("functions", 2)
	bars, numbers := len(t.heads)-7, []int{len(t.heads) - 4, len(t.heads) - 2}
	if p.o.Regions {
		bars, numbers = bars-2, append(numbers, len(t.heads)-6)
	}

	var tests model.Tests
	ran := 0
	for i := range p.r.Cells {
		c := &p.r.Cells[i]
		if c.Ran {
			ran++
		}
		tests.Passed += c.Tests.Passed
		tests.Failed += c.Tests.Failed
		tests.Skipped += c.Tests.Skipped
		row := []field{{text: release(c), style: bold}, {text: c.Arch}}
		if llvm {
			row = append(row, field{text: compiler(c.LLVM)})
		}
		row = append(row, outcome(c))
		row = append(row, p.figures(c.Summary)...)
		row = append(row, field{text: duration(c.Boot + c.Duration), style: dim})
		t.rows = append(t.rows, row)
	}
	if n := len(p.r.Cells); n > 1 {
		t.rule = len(t.rows)
		label := fmt.Sprintf("all %d cells", n)
		if ran < n {
			label = fmt.Sprintf("%d of %d cells", ran, n)
		}
		row := []field{{text: label, style: bold}, {}}
		if llvm {
			row = append(row, field{})
		}
		row = append(row, field{text: testCounts(tests), style: testStyle(tests)})
		row = append(row, p.figures(p.r.Merged)...)
		row = append(row, field{text: duration(p.o.Elapsed), style: dim})
		t.rows = append(t.rows, row)
	}
	// What is too wide loses first the tails of long names, then bars, then numbers, then all of a
	// release but its version.
	for _, drop := range [][]int{nil, {bars}, numbers} {
		for _, i := range drop {
			t.hide(i)
		}
		t.layout()
		if t.fit(p.o.Width, 26) {
			break
		}
	}
	if !t.fit(p.o.Width, 26) {
		for i := range p.r.Cells {
			t.rows[i][0].text = p.version(i)
		}
		t.layout()
		_ = t.fit(p.o.Width, 16) || t.fit(p.o.Width, 8)
	}
	t.write(p)
}

func (p *printer) severalCompilers() bool {
	seen := map[int]bool{}
	for i := range p.r.Cells {
		if n := p.r.Cells[i].LLVM; n != 0 {
			seen[n] = true
		}
	}
	return len(seen) > 1
}

func release(c *model.Cell) string {
	switch {
	case c.Kernel != "":
		return clean(c.Kernel)
	case c.Spec != "":
		return clean(c.Spec)
	}
	return "unknown"
}

func compiler(llvm int) string {
	if llvm == 0 {
		return "-"
	}
	return fmt.Sprint(llvm)
}

// outcome is the tests column: how many passed and, when the cell ended badly, how.
func outcome(c *model.Cell) field {
	word := ""
	switch c.Outcome {
	case collect.BootFailed:
		return field{text: "did not boot", style: red}
	case collect.Panicked:
		word = "kernel panic"
	case collect.TimedOut:
		word = "timed out"
	case collect.Lost:
		word = "guest lost"
	case collect.Skipped:
		return field{text: "skipped", style: yellow}
	}
	if word == "" {
		return field{text: testCounts(c.Tests), style: testStyle(c.Tests)}
	}
	// The one that ended the cell badly is among the failed.
	if c.Tests.Total() > 1 {
		word += ", " + testCounts(c.Tests) // what is cut off in a narrow table is what matters least
	}
	return field{text: word, style: red}
}

func testCounts(t model.Tests) string {
	var s []string
	add := func(n int, word string) {
		if n > 0 {
			s = append(s, fmt.Sprintf("%d %s", n, word))
		}
	}
	add(t.Passed, "passed")
	add(t.Failed, "failed")
	add(t.Skipped, "skipped")
	if len(s) == 0 {
		return "-"
	}
	return strings.Join(s, ", ")
}

func testStyle(t model.Tests) style {
	switch {
	case t.Failed > 0:
		return red
	case t.Passed > 0:
		return green
	}
	return yellow
}

// figures are the columns of a summary: percentage and hit/total, the lines with a bar.
func (p *printer) figures(s model.Summary) []field {
	var fs []field
	all := []model.Ratio{s.Lines, s.Branches, s.Functions}
	if p.o.Regions {
		all = slices.Insert(all, 1, s.Regions)
	}
	for i, x := range all {
		if x.Total == 0 {
			fs = append(fs, field{text: "-", style: dim})
			if i == 0 {
				fs = append(fs, field{})
			}
			fs = append(fs, field{})
			continue
		}
		fs = append(fs, field{text: x.String(), style: bold})
		if i == 0 {
			fs = append(fs, field{text: bar(x, 10), style: green})
		}
		fs = append(fs, field{text: fmt.Sprintf("%d/%d", x.Hit, x.Total), style: dim})
	}
	return fs
}

// bar draws a ratio in n characters. It is full only when everything is hit, and never empty when
// anything is.
func bar(x model.Ratio, n int) string {
	eighths := 8 * n * x.Hit / x.Total
	if x.Hit > 0 {
		eighths = max(eighths, 1)
	}
	parts := []rune("▏▎▍▌▋▊▉")
	s := strings.Repeat("█", eighths/8)
	used := eighths / 8
	if rest := eighths % 8; rest > 0 {
		s += string(parts[rest-1])
		used++
	}
	return s + strings.Repeat("·", n-used)
}

// duration is short: "0.4s", "21.4s", "3m05s".
func duration(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
