// Package markdown writes a report as a page of GitHub's Markdown, for the summary of a CI job: a table of
// cells, what differs between kernels and why, what failed, and the files.
//
// GitHub drops a summary of more than 1 MiB altogether, so the page stays below [Options].Limit: what does
// not fit is left out at the end of a list, and the page says so. Names and messages come from guests and builds
// and are escaped.
package markdown

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// Limit is the size of a job's summary that GitHub accepts (1 MiB), less some room for what else is in it.
const Limit = 1<<20 - 64<<10

// Options vary the output. The zero value is valid.
type Options struct {
	// Title is the heading; "" is "BPF coverage".
	Title string
	// Limit is the size in bytes that the page does not exceed, 0 for [Limit]. Below 4096 it is 4096.
	Limit int
	// Differences is how many differences are listed, 0 for 20.
	Differences int
	// Failed are thresholds that were not met, a sentence each.
	Failed []string
}

// Write writes the page.
func Write(w io.Writer, r *model.Report, o Options) error {
	p := &page{r: r, limit: max(4096, cmp.Or(o.Limit, Limit)) - 200}
	p.add("## %s\n\n", escape(cmp.Or(o.Title, "BPF coverage")))
	for _, f := range o.Failed {
		p.add("> :x: %s\n", escape(f))
	}
	if len(o.Failed) > 0 {
		p.add("\n")
	}
	p.cells()
	p.differences(cmp.Or(o.Differences, 20))
	p.failures()
	p.files()
	p.warnings()
	if p.full {
		p.b.WriteString("\n*The page is cut here, at the size that a summary may have; the whole report is in the job's artefacts.*\n")
	}
	_, err := w.Write(p.b.Bytes())
	return err
}

type page struct {
	b     bytes.Buffer
	r     *model.Report
	limit int
	full  bool
}

// add writes a part whole or not at all; after one that did not fit nothing follows.
func (p *page) add(format string, args ...any) bool {
	s := fmt.Sprintf(format, args...)
	if p.full || p.b.Len()+len(s) > p.limit {
		p.full = true
		return false
	}
	p.b.WriteString(s)
	return true
}

func mark(o collect.Outcome) string {
	switch o {
	case collect.Passed:
		return ":white_check_mark:"
	case collect.Skipped:
		return ":fast_forward:"
	case collect.BootFailed, collect.Lost:
		return ":warning:"
	}
	return ":x:"
}

func figure(r model.Ratio) string {
	if r.Total == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%d/%d)", r, r.Hit, r.Total)
}

func (p *page) cells() {
	p.add("| | kernel | tests | lines | branches | functions | time |\n|---|---|---|--:|--:|--:|--:|\n")
	for i := range p.r.Cells {
		c := &p.r.Cells[i]
		if !c.Ran {
			if !p.add("| %s | %s | %s | | | | |\n", mark(c.Outcome), escape(c.Name), escape(string(c.Outcome))) {
				return
			}
			continue
		}
		if !p.add("| %s | %s | %s | %s | %s | %s | %.1f s |\n", mark(c.Outcome), escape(c.Name), tests(c.Tests),
			figure(c.Summary.Lines), figure(c.Summary.Branches), figure(c.Summary.Functions), (c.Duration + c.Boot).Round(100*time.Millisecond).Seconds()) {
			return
		}
	}
	m := p.r.Merged
	p.add("| | **all %d** | | **%s** | **%s** | **%s** | |\n", len(p.r.Cells), figure(m.Lines), figure(m.Branches), figure(m.Functions))
}

func tests(t model.Tests) string {
	var parts []string
	for _, x := range []struct {
		n    int
		word string
	}{{t.Failed, "failed"}, {t.Passed, "passed"}, {t.Skipped, "skipped"}} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.word))
		}
	}
	return strings.Join(parts, ", ")
}

func (p *page) differences(most int) {
	all := p.r.Differences
	if len(all) == 0 {
		return
	}
	shown := all[:min(most, len(all))]
	p.add("\n### Ran on some kernels and not on others (%d of %d places)\n\n| where | ran | did not |\n|---|---|---|\n", len(shown), len(all))
	for i := range shown {
		d := &shown[i]
		where := code(fmt.Sprintf("%s:%s", d.File, model.FormatRanges(d.Ranges)))
		if d.Function != "" {
			where += " " + escape(d.Function)
		}
		if d.Kind == model.KindBranch {
			where += fmt.Sprintf(", the %s side of column %d", d.Side, d.Col)
		}
		var ran, not []string
		for _, g := range d.Groups {
			cells := make([]string, len(g.Cells))
			for k, c := range g.Cells {
				cells[k] = escape(p.r.Cells[c].Name)
			}
			if g.Status == model.Hit {
				ran = append(ran, strings.Join(cells, ", "))
			} else {
				not = append(not, fmt.Sprintf("%s: %s", strings.Join(cells, ", "), escape(g.Cause)))
			}
		}
		if !p.add("| %s | %s | %s |\n", where, strings.Join(ran, "<br>"), strings.Join(not, "<br>")) {
			return
		}
	}
}

func (p *page) failures() {
	first := true
	for i := range p.r.Cells {
		c := &p.r.Cells[i]
		if c.Failure == "" {
			continue
		}
		if first {
			p.add("\n### Failed\n\n")
			first = false
		}
		text := strings.Join(c.Console, "\n")
		if text == "" {
			p.add("- **%s**: %s\n", escape(c.Name), escape(c.Failure))
			continue
		}
		p.add("- **%s**: %s\n\n  <details><summary>console</summary><pre>%s</pre></details>\n\n", escape(c.Name), escape(c.Failure),
			strings.ReplaceAll(html.EscapeString(clean(text)), "\n", "<br>"))
	}
}

func (p *page) files() {
	var kernel, user []*model.File
	for i := range p.r.Files {
		if f := &p.r.Files[i]; f.Language == "" {
			kernel = append(kernel, f)
		} else {
			user = append(user, f)
		}
	}
	p.list(fmt.Sprintf("%d files", len(kernel)), kernel)
	p.list(fmt.Sprintf("user space, in no figure above: %s of lines, %d files", figure(p.r.UserSpace.Lines), len(user)), user)
}

// list adds files below a title. Those with most lines that no cell reached come first.
func (p *page) list(title string, files []*model.File) {
	if len(files) == 0 || !p.add("\n<details><summary>%s</summary>\n\n| file | lines | branches | functions |\n|---|--:|--:|--:|\n", title) {
		return
	}
	missed := func(f *model.File) int { return f.Merged.Lines.Total - f.Merged.Lines.Hit }
	slices.SortStableFunc(files, func(a, b *model.File) int { return cmp.Compare(missed(b), missed(a)) })
	for _, f := range files {
		if !p.add("| %s | %s | %s | %s |\n", code(f.Name), figure(f.Merged.Lines), figure(f.Merged.Branches), figure(f.Merged.Functions)) {
			break
		}
	}
	p.b.WriteString("\n</details>\n") // there is room kept for it
}

func (p *page) warnings() {
	for i, w := range p.r.Warnings {
		if i == 0 {
			p.add("\n")
		}
		p.add("> :information_source: %s\n", escape(w))
	}
}

// code is s as code in a table cell.
func code(s string) string { return "<code>" + escape(s) + "</code>" }

// escape makes text that is shown as it is, in a table too.
func escape(s string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(clean(s), "\n", " ") {
		switch {
		case strings.ContainsRune("<>&\"", r):
			b.WriteString(html.EscapeString(string(r)))
		case strings.ContainsRune("\\`*_{}[]()#+!|~@:", r):
			// An entity, and not a backslash: in a table GitHub reads \| before anything else, and in
			// HTML a backslash means nothing. Names of people and issues must not be linked either.
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clean leaves out control characters, also those of terminals.
func clean(s string) string {
	const most = 8 << 10
	if len(s) > most {
		s = s[:most] + "…"
	}
	s = sequence.ReplaceAllString(s, "")
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) && r != '\n' {
			return -1
		}
		return r
	}, s)
}

// sequence is a control sequence of terminals (ECMA-48, 5.4).
var sequence = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)
