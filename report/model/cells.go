package model

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// normalize returns the records without exact duplicates, so that a folder which is given twice counts
// once, and with the cell's compiler filled in where a run saw no object of its own.
func normalize(records []collect.Record, metas map[meta.ObjectID]*meta.Meta) ([]collect.Record, error) {
	type place struct{ kernel, arch, spec string }
	placeOf := func(c collect.Cell) place {
		if c.Kernel != "" {
			return place{kernel: c.Kernel, arch: c.Arch}
		}
		return place{spec: c.Spec, arch: c.Arch}
	}
	// Records are compared only with others of the same run: that takes time.
	type run struct {
		place
		id, test string
	}
	runOf := func(r *collect.Record) run { return run{placeOf(r.Run.Cell), r.Run.ID, r.Run.Test} }
	runs := map[run]int{}
	for i := range records {
		runs[runOf(&records[i])]++
	}
	out := make([]collect.Record, 0, len(records))
	seen := map[string]bool{}
	llvms := map[place]map[int]bool{}
	for i := range records {
		if runs[runOf(&records[i])] > 1 {
			var b bytes.Buffer
			if err := collect.EncodeRecord(&b, &records[i]); err != nil {
				return nil, fmt.Errorf("run %q in %s: %w", records[i].Run.Test, records[i].Run.Cell.Kernel, err)
			}
			if seen[b.String()] {
				continue
			}
			seen[b.String()] = true
		}
		r := records[i]
		c := &r.Run.Cell
		if c.LLVM == 0 {
			for _, o := range r.Objects {
				if m := metas[o.ObjectID]; m != nil {
					c.LLVM = max(c.LLVM, m.LLVM)
				}
			}
		}
		if c.LLVM != 0 {
			p := placeOf(*c)
			if llvms[p] == nil {
				llvms[p] = map[int]bool{}
			}
			llvms[p][c.LLVM] = true
		}
		out = append(out, r)
	}
	for i := range out {
		c := &out[i].Run.Cell
		if known := llvms[placeOf(*c)]; c.LLVM == 0 && len(known) == 1 {
			c.LLVM = sortedKeys(known)[0]
		}
	}
	return out, nil
}

// severity orders outcomes from harmless to worst.
func severity(o collect.Outcome) int {
	return slices.Index([]collect.Outcome{collect.Passed, collect.Skipped, collect.Failed, collect.TimedOut,
		collect.Lost, collect.Panicked, collect.BootFailed}, o)
}

// summarizeRuns fills in what a cell's runs say apart from code.
func (c *Cell) summarizeRuns(runs []collect.Run) {
	c.Runs = slices.Clone(runs)
	slices.SortStableFunc(c.Runs, func(a, b collect.Run) int {
		return cmp.Or(cmp.Compare(a.Test, b.Test), cmp.Compare(severity(a.Outcome), severity(b.Outcome)),
			cmp.Compare(a.Duration, b.Duration))
	})
	for i := range c.Runs {
		r := &c.Runs[i]
		c.Duration += r.Duration
		c.Boot = max(c.Boot, r.Boot)
		c.Partial = c.Partial || r.Partial
		c.Tests.add(r)
		if i == 0 || severity(r.Outcome) > severity(c.Outcome) {
			c.Outcome = r.Outcome
			c.Failure, c.Console = "", nil
			if r.Outcome != collect.Passed {
				c.Failure, c.Console = failure(r), r.Console
			}
		}
	}
}

// Failures says of each run that did not pass what went wrong, in one line, in the order of the tests' names.
func (c *Cell) Failures() []string {
	var out []string
	for i := range c.Runs {
		if r := &c.Runs[i]; r.Outcome != collect.Passed && r.Outcome != collect.Skipped {
			out = append(out, failure(r))
		}
	}
	return out
}

// failure says in one line what went wrong with a run.
func failure(r *collect.Run) string {
	s := string(r.Outcome)
	switch {
	case r.Reason != "":
		s += ": " + oneLine(r.Reason)
	case r.Signal != "":
		s += ": signal " + oneLine(r.Signal)
	case r.Outcome == collect.Failed:
		s += fmt.Sprintf(": exit status %d", r.ExitCode)
	}
	if r.Test != "" && r.Outcome != collect.BootFailed {
		s = "test " + oneLine(r.Test) + " " + s
	}
	return s
}

// add counts a run: its cases, or itself when it has none or failed outside of them. A test whose
// kernel did not boot is none of these: nothing is known about it.
func (t *Tests) add(r *collect.Run) {
	if r.Outcome == collect.BootFailed {
		return
	}
	count := func(o collect.Outcome) {
		switch o {
		case collect.Passed:
			t.Passed++
		case collect.Skipped:
			t.Skipped++
		default:
			t.Failed++
		}
	}
	failed := false
	for _, c := range r.Cases {
		count(c.Outcome)
		failed = failed || c.Outcome != collect.Passed && c.Outcome != collect.Skipped
	}
	ok := r.Outcome == collect.Passed || r.Outcome == collect.Skipped
	if len(r.Cases) == 0 || !ok && !failed {
		count(r.Outcome)
	}
}

// ran reports whether the runs say anything about code: some counters or programs were seen, or a run
// ended by itself, so that what was not seen was not there.
func ran(d *collect.CellData) bool {
	if len(d.Objects) > 0 || len(d.Programs) > 0 {
		return true
	}
	return slices.ContainsFunc(d.Runs, func(r collect.Run) bool {
		return !r.Partial && (r.Outcome == collect.Passed || r.Outcome == collect.Failed)
	})
}

// words makes the reasons of one cell.
type words struct {
	texts    *interner
	programs []collect.ProgramLoad
	partial  bool
}

func (w *words) text(s string) Reason { return w.texts.id(s) }

func (w *words) notLoaded(o *object, name string, loaded bool) Reason {
	s := "in no loaded program"
	if !loaded {
		s = "object " + o.name() + " not loaded"
	} else if p := o.program(name); p != nil {
		s = "program " + p.Name + " not loaded"
	}
	if w.partial {
		s += " before the run was cut off"
	}
	return w.texts.id(s)
}

// kernelName is what the kernel knows a program as (BPF_OBJ_NAME_LEN is 16 with the final zero).
func kernelName(symbol string) string { return symbol[:min(len(symbol), 15)] }

// rejected names the refused program that the function is, or else the refused programs of its object,
// with what the kernel said to the first.
func (w *words) rejected(o *object, name string) Reason {
	own := o.program(name)
	var all []*collect.ProgramLoad
	for i := range w.programs {
		p := &w.programs[i]
		if p.Verdict != collect.VerdictRejected || !slices.Contains(p.Objects, o.meta.ObjectID) {
			continue
		}
		if own != nil && p.Name == kernelName(own.Name) {
			return w.texts.id("program " + own.Name + " rejected" + verdictWords(p))
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return w.texts.id("only in rejected programs")
	}
	slices.SortStableFunc(all, func(a, b *collect.ProgramLoad) int { return cmp.Compare(a.Name, b.Name) })
	s := "program " + oneLine(all[0].Name)
	if n := len(all) - 1; n > 0 {
		s = fmt.Sprintf("programs %s and %d more", oneLine(all[0].Name), n)
	}
	return w.texts.id(s + " rejected" + verdictWords(all[0]))
}

// verdictWords is " (helper): EINVAL: unknown func bpf_loop#181".
func verdictWords(p *collect.ProgramLoad) string {
	s := ""
	if p.Class != "" {
		s = " (" + oneLine(string(p.Class)) + ")"
	}
	if p.Errno != "" {
		s += ": " + oneLine(p.Errno)
	}
	if p.Reason != "" {
		s += ": " + oneLine(p.Reason)
	}
	return s
}

// interner gives texts small numbers; 0 is the empty text.
type interner struct {
	ids   map[string]Reason
	texts []string
}

func newInterner() *interner { return &interner{ids: map[string]Reason{"": 0}, texts: []string{""}} }

func (x *interner) id(s string) Reason {
	n, ok := x.ids[s]
	if !ok {
		n = Reason(len(x.texts))
		x.ids[s] = n
		x.texts = append(x.texts, s)
	}
	return n
}

// oneLine makes text from a guest fit to be printed within a line: no control characters, no runs of
// blanks, bounded.
func oneLine(s string) string {
	const limit = 400
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar
	}), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
