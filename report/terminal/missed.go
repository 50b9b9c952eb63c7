package terminal

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// MissedOptions choose the lines of [Missed].
type MissedOptions struct {
	Color bool
	// Somewhere lists lines that any cell counts and did not hit, and not only those that none hit.
	Somewhere bool
	// Source returns the lines of a file. When it fails the text is left out.
	Source func(file string) ([]string, error)
}

// letters has a letter for each status, as in the JSON document.
const letters = "-bfemlrh"

// Missed writes the source lines that did not run, each with a letter for each cell, and under a run of
// lines that fare alike why.
func Missed(w io.Writer, r *model.Report, o MissedOptions) error {
	p := &printer{r: r, o: Options{Color: o.Color}}
	if len(r.Cells) > 1 {
		p.line("Cells, from left to right: %s", strings.Join(cellNames(r), " "))
	}
	p.line("h ran, m missed, l not loaded, r rejected, e eliminated by the verifier, f folded, b not built, - not run")
	found := false
	for k := range r.Files {
		found = p.missedFile(&r.Files[k], o) || found
	}
	if !found {
		p.b = bytes.Buffer{}
		p.line("Every line that counts was hit%s.", map[bool]string{true: " in every cell", false: ""}[o.Somewhere])
	}
	_, err := w.Write(p.b.Bytes())
	return err
}

func cellNames(r *model.Report) []string {
	var s []string
	for i := range r.Cells {
		s = append(s, r.Cells[i].Name)
	}
	return s
}

func (p *printer) missedFile(f *model.File, o MissedOptions) bool {
	var source []string
	head := false
	var why string
	flush := func() {
		if why != "" {
			p.line("%s", why)
		}
		why = ""
	}
	for n := range f.Lines {
		l := &f.Lines[n]
		if !wanted(l.Cells, o.Somewhere) {
			flush()
			continue
		}
		if !head {
			head = true
			p.line("")
			p.line("%s  %s of lines", p.paint(bold, clean(f.Name)), f.Merged.Lines)
			if o.Source != nil {
				source, _ = o.Source(f.Name) // without it there are numbers
			}
		}
		text := ""
		if l.Number <= len(source) {
			text = strings.ReplaceAll(clean(strings.ReplaceAll(source[l.Number-1], "\t", "    ")), "\x1b", "")
		}
		strip := make([]byte, len(l.Cells))
		for i, s := range l.Cells {
			strip[i] = letters[s.Status]
		}
		reason := p.why(l.Cells)
		if reason != why {
			flush()
		}
		p.line("  %s %6d | %s", p.paint(statusStyle(model.Merge(l.Cells).Status), string(strip)), l.Number, text)
		why = reason
	}
	flush()
	return head
}

// wanted reports whether a line is listed.
func wanted(cells []model.State, somewhere bool) bool {
	m := model.Merge(cells)
	if !somewhere || m.Status != model.Hit {
		return m.Status.Counted() && m.Status != model.Hit
	}
	for _, s := range cells {
		if s.Status.Counted() && s.Status != model.Hit {
			return true
		}
	}
	return false
}

// why names the causes of what did not run, each with its cells.
func (p *printer) why(cells []model.State) string {
	var causes []string
	of := map[string][]string{}
	for i, s := range cells {
		if s.Status == model.Hit || s.Status == model.NotRun {
			continue
		}
		c := p.r.Cause(s)
		if of[c] == nil {
			causes = append(causes, c)
		}
		of[c] = append(of[c], p.r.Cells[i].Name)
	}
	known := 0
	for _, s := range cells {
		if s.Status != model.NotRun {
			known++
		}
	}
	if len(causes) == 1 && known == len(of[causes[0]]) {
		return "      ^ " + clean(causes[0])
	}
	var parts []string
	for _, c := range causes {
		parts = append(parts, fmt.Sprintf("%s: %s", strings.Join(of[c], " "), clean(c)))
	}
	return "      ^ " + strings.Join(parts, "; ")
}
