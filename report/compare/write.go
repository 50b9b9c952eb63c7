package compare

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/internal/plain"
	"github.com/bpfcov/bpfcov/report/model"
)

// Write writes results for people. A result without a change is one line.
func Write(w io.Writer, results []*Result) error {
	b := bufio.NewWriter(w)
	for i, r := range results {
		if i > 0 {
			fmt.Fprintln(b)
		}
		name := r.A
		if r.B != r.A {
			name += " → " + r.B
		}
		if len(r.NotRun) > 0 {
			fmt.Fprintf(b, "%s: %s did not run\n", name, strings.Join(r.NotRun, " and "))
			continue
		}
		if r.Same() {
			fmt.Fprintf(b, "%s: no change\n", name)
			continue
		}
		fmt.Fprintf(b, "%s: lines %s, branches %s, functions %s\n", name, r.Lines, r.Branches, r.Functions)
		for _, list := range []struct {
			title  string
			places []Place
			both   bool
		}{{"newly covered", r.Covered, false}, {"newly missed", r.Missed, false}, {"for another reason", r.Other, true}} {
			if len(list.places) == 0 {
				continue
			}
			fmt.Fprintf(b, "  %s\n", list.title)
			for _, p := range list.places {
				fmt.Fprintf(b, "    %s:%s", plain.Clean(p.File), plain.Ranges(p.Ranges))
				if p.Function != "" {
					fmt.Fprintf(b, "  %s", plain.Clean(p.Function))
				}
				fmt.Fprintf(b, "  (%s → %s)\n", plain.Clean(p.Before), plain.Clean(p.After))
			}
		}
		if len(r.Programs) > 0 {
			fmt.Fprintln(b, "  programs")
		}
		for _, p := range r.Programs {
			fmt.Fprintf(b, "    %s: %s\n", plain.Clean(p.Name), p.text())
		}
		for _, f := range r.Changed {
			fmt.Fprintf(b, "  %s: its code is not the same in both; not compared\n", plain.Clean(f))
		}
	}
	return b.Flush()
}

func (f Figure) String() string {
	before, after := model.Ratio{Hit: f.Before[0], Total: f.Before[1]}, model.Ratio{Hit: f.After[0], Total: f.After[1]}
	if f.Before == f.After {
		return after.String()
	}
	return fmt.Sprintf("%s (%d/%d) → %s (%d/%d)", before, before.Hit, before.Total, after, after.Hit, after.Total)
}

func (p *Program) text() string {
	word := func(v collect.Verdict) string {
		if v == "" {
			return "not loaded"
		}
		return string(v)
	}
	var parts []string
	if p.VerdictBefore != p.VerdictAfter {
		s := word(p.VerdictBefore) + " → " + word(p.VerdictAfter)
		if p.Reason != "" {
			s += ": " + plain.Clean(p.Reason)
		}
		parts = append(parts, s)
	}
	if p.VerifiedBefore > 0 && p.VerifiedAfter > 0 && p.VerifiedBefore != p.VerifiedAfter {
		parts = append(parts, fmt.Sprintf("verified instructions %d → %d (%+.1f%%)", p.VerifiedBefore, p.VerifiedAfter,
			100*float64(p.VerifiedAfter-p.VerifiedBefore)/float64(p.VerifiedBefore)))
	}
	return strings.Join(parts, ", ")
}

// WriteJSON writes {"schema": 1, "comparisons": […]}.
func WriteJSON(w io.Writer, results []*Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(struct {
		Schema      int       `json:"schema"`
		Comparisons []*Result `json:"comparisons"`
	}{1, results})
}
