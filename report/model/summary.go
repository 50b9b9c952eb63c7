package model

import (
	"fmt"
	"slices"
	"strings"
)

// summarize computes every figure from the states.
func (r *Report) summarize() {
	for k := range r.Files {
		f := &r.Files[k]
		f.Cells = make([]Summary, len(r.Cells))
		for n := range f.Lines {
			states := f.Lines[n].Cells
			f.Merged.Lines.add(Merge(states).Status)
			for i, s := range states {
				f.Cells[i].Lines.add(s.Status)
				if f.Language == "" {
					r.Cells[i].Statuses[s.Status]++
				}
			}
		}
		for n := range f.Regions {
			states := f.Regions[n].Cells
			f.Merged.Regions.add(Merge(states).Status)
			for i := range states {
				f.Cells[i].Regions.add(states[i].Status)
			}
		}
		for n := range f.Functions {
			states := f.Functions[n].Cells
			f.Merged.Functions.add(Merge(states).Status)
			for i := range states {
				f.Cells[i].Functions.add(states[i].Status)
			}
		}
		for n := range f.Branches {
			states := f.Branches[n].Cells
			m := MergeBranch(states)
			f.Merged.Branches.add(m.True.Status)
			f.Merged.Branches.add(m.False.Status)
			for i := range states {
				f.Cells[i].Branches.add(states[i].True.Status)
				f.Cells[i].Branches.add(states[i].False.Status)
			}
		}
		if f.Language != "" {
			r.UserSpace.add(f.Merged)
			for i := range r.Cells {
				r.Cells[i].UserSpace.add(f.Cells[i])
			}
			continue
		}
		r.Merged.add(f.Merged)
		for i := range r.Cells {
			r.Cells[i].Summary.add(f.Cells[i])
		}
	}
}

func (s *Summary) add(o Summary) {
	s.Lines.Hit += o.Lines.Hit
	s.Lines.Total += o.Lines.Total
	s.Regions.Hit += o.Regions.Hit
	s.Regions.Total += o.Regions.Total
	s.Branches.Hit += o.Branches.Hit
	s.Branches.Total += o.Branches.Total
	s.Functions.Hit += o.Functions.Hit
	s.Functions.Total += o.Functions.Total
}

// warn says what else a reader must know.
func (b *builder) warn() {
	r := b.report
	everyKernel := " of every kernel"
	if len(r.Cells) == 1 {
		everyKernel = ""
	}
	eliminated := slices.ContainsFunc(r.Cells, func(c Cell) bool { return c.Statuses[Eliminated] > 0 })
	for k := range r.Files {
		f := &r.Files[k]
		if !eliminated {
			break
		}
		var gone []int
		for n := range f.Lines {
			if Merge(f.Lines[n].Cells).Status == Eliminated {
				gone = append(gone, n)
			}
		}
		if len(gone) > 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: removed by the verifier%s and in no total: %s", f.Name,
				everyKernel, lineNoun(f.ranges(gone))))
		}
	}
	for k := range r.Files {
		for _, x := range r.Files[k].Functions {
			loaded := slices.ContainsFunc(x.Cells, func(s State) bool { return s.Status > NotBuilt && s.Status != NotLoaded })
			m := Merge(x.Cells)
			if x.Program != "" && m.Status == NotLoaded && !loaded && !strings.HasPrefix(b.texts.texts[m.Reason], "object ") {
				r.Warnings = append(r.Warnings, fmt.Sprintf("%s: no cell loaded program %s", r.Files[k].Name, x.Name))
			}
		}
	}
	slices.Sort(b.idle)
	for _, name := range slices.Compact(b.idle) {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: no cell loaded this object", name))
	}
	slices.Sort(r.Warnings)
	r.Warnings = slices.Compact(r.Warnings)
}

// ranges joins lines of code, given by ascending index, between which no other line of code lies.
func (f *File) ranges(indices []int) []Range {
	var out []Range
	for i, n := range indices {
		at := f.Lines[n].Number
		if i > 0 && indices[i-1] == n-1 {
			out[len(out)-1].Last = at
		} else {
			out = append(out, Range{at, at})
		}
	}
	return out
}

// FormatRanges returns "12, 15-20".
func FormatRanges(rs []Range) string {
	s := make([]string, len(rs))
	for i, x := range rs {
		s[i] = fmt.Sprint(x.First)
		if x.Last != x.First {
			s[i] += fmt.Sprintf("-%d", x.Last)
		}
	}
	return strings.Join(s, ", ")
}

// lineNoun is [FormatRanges] with "line" or "lines" before it and at most 20 ranges.
func lineNoun(rs []Range) string {
	const most = 20
	switch {
	case len(rs) == 1 && rs[0].First == rs[0].Last:
		return "line " + FormatRanges(rs)
	case len(rs) > most:
		return fmt.Sprintf("lines %s and %d more places", FormatRanges(rs[:most]), len(rs)-most)
	}
	return "lines " + FormatRanges(rs)
}

// Cause says in words why something of this state is in it.
func (r *Report) Cause(s State) string {
	if t := r.Text(s.Reason); t != "" {
		return t
	}
	switch s.Status {
	case Hit:
		return "ran"
	case Missed:
		return "not reached"
	case Eliminated:
		return "eliminated by the verifier"
	case NotLoaded:
		return "not loaded"
	case Rejected:
		return "program rejected"
	case NotBuilt:
		return "not built"
	case NotRun:
		return "not run"
	}
	return s.Status.String()
}
