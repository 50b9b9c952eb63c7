// Package github writes a report for GitHub Actions: annotations at lines of the change, and the job matrix of a
// workflow. The summary of a job is report/markdown.
//
// GitHub keeps 10 annotations of each kind a step (error, warning, notice) and drops the rest without a word, so
// there are never more: failed tests and thresholds are errors, code that some kernels ran and others did
// not is a warning, code that no kernel ran is a notice, each the most telling first. The last notice
// says how many there would have been.
//
// Source: GitHub's documentation ("Workflow commands", "Usage limits"), actions/toolkit's command.ts for the escapes.
package github

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// PerKind is how many annotations of one kind a step may make.
const PerKind = 10

// maxMessage bounds one message, in bytes.
const maxMessage = 4 << 10

// Options vary the annotations.
type Options struct {
	// Failed are thresholds that were not met, a sentence each.
	Failed []string
}

type annotation struct {
	kind, file     string
	line, last     int
	title, message string
	size           int // lines
}

// Write writes workflow commands, which a runner reads from the standard output of a step.
func Write(w io.Writer, r *model.Report, o Options) error {
	var errs []annotation
	for _, f := range o.Failed {
		errs = append(errs, annotation{kind: "error", title: "Coverage", message: f})
	}
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Failure != "" {
			errs = append(errs, annotation{kind: "error", title: c.Name, message: c.Failure})
		}
	}
	warnings, notices := differences(r), missed(r)
	over := 0
	cut := func(as []annotation, n int) []annotation {
		over += max(0, len(as)-n)
		return as[:min(n, len(as))]
	}
	all := slices.Concat(cut(errs, PerKind), cut(warnings, PerKind))
	few := cut(notices, PerKind-1)
	all = append(all, few...)
	if over > 0 {
		all = append(all, annotation{kind: "notice", title: "Coverage", message: fmt.Sprintf("%d more places are in the summary and the report", over)})
	}
	b := bufio.NewWriter(w)
	for i := range all {
		all[i].write(b)
	}
	return b.Flush()
}

// differences are in the order of the report: the most telling first.
func differences(r *model.Report) []annotation {
	var out []annotation
	for i := range r.Differences {
		d := &r.Differences[i]
		var ran, not []string
		for _, g := range d.Groups {
			var names []string
			for _, c := range g.Cells {
				names = append(names, r.Cells[c].Name)
			}
			if g.Status == model.Hit {
				ran = append(ran, names...)
			} else {
				not = append(not, strings.Join(names, ", ")+": "+g.Cause)
			}
		}
		message := "ran on " + strings.Join(ran, ", ") + "\nnot on " + strings.Join(not, "\nnot on ")
		title := "Ran on some kernels only"
		if d.Kind == model.KindBranch {
			title = fmt.Sprintf("The %s side ran on some kernels only", d.Side)
		}
		// Of a difference in several places the first one is shown; the others are named.
		if len(d.Ranges) > 1 {
			message += "\nalso lines " + model.FormatRanges(d.Ranges[1:])
		}
		out = append(out, annotation{kind: "warning", file: d.File, line: d.Ranges[0].First, last: d.Ranges[0].Last, title: title, message: message})
	}
	return out
}

// missed are runs of lines that no cell ran, the longest first.
func missed(r *model.Report) []annotation {
	var out []annotation
	for k := range r.Files {
		f := &r.Files[k]
		open := false
		cause := ""
		for n := range f.Lines {
			s := model.Merge(f.Lines[n].Cells)
			at := f.Lines[n].Number
			why := r.Cause(s)
			switch {
			case s.Status == model.Hit || !s.Status.Counted():
				open = false
			case open && why == cause:
				out[len(out)-1].last = at
				out[len(out)-1].size++
			default:
				open, cause = true, why
				out = append(out, annotation{kind: "notice", file: f.Name, line: at, last: at, size: 1, title: "Ran on no kernel", message: why})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b annotation) int { return cmp.Compare(b.size, a.size) })
	return out
}

func (a *annotation) write(w io.Writer) {
	var props []string
	if a.file != "" {
		props = append(props, "file="+property(a.file), fmt.Sprintf("line=%d", a.line), fmt.Sprintf("endLine=%d", a.last))
	}
	props = append(props, "title="+property(a.title))
	message := a.message
	if len(message) > maxMessage {
		message = message[:maxMessage] + "…"
	}
	fmt.Fprintf(w, "::%s %s::%s\n", a.kind, strings.Join(props, ","), data(message))
}

func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(data(s))
}
