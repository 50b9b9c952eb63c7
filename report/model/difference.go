package model

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Kind says what a difference is about.
type Kind string

// The kinds of differences.
const (
	KindFunction Kind = "function" // every line of a function
	KindLines    Kind = "lines"    // some lines of a function
	KindBranch   Kind = "branch"   // a side of a branch, on a line that itself does not differ
)

// Range is a run of lines, both ends included.
type Range struct{ First, Last int }

// Difference is a place that ran in at least one cell and not in at least one other.
type Difference struct {
	Kind     Kind
	File     string
	Function string // "" outside of any function, for example in a macro
	Ranges   []Range
	// Col and Side ("true" or "false") are set for KindBranch.
	Col  int
	Side string
	// Lines is the number of lines of code that differ.
	Lines int
	// Groups says which cells did what: the cells that hit it first, then by status and reason.
	Groups []Group
}

// Group is the cells that agree on a difference.
type Group struct {
	Status Status
	// Cause is in words: "ran", "not reached", "eliminated by the verifier", "program x not
	// loaded", "program x rejected: EACCES: …", "not built", ….
	Cause string
	// Cells are indices into [Report.Cells], ascending.
	Cells []int
}

// differences finds the places that ran in some cells and not in others. Lines of one function that
// fare alike in every cell, for the same reasons, are one difference.
func (r *Report) differences() []Difference {
	var all []Difference
	for k := range r.Files {
		if r.Files[k].Language == "" { // what user space does differently is no kernel's doing
			all = append(all, r.fileDifferences(&r.Files[k])...)
		}
	}
	return interleave(all)
}

func (r *Report) fileDifferences(f *File) []Difference {
	type part struct{ function, fate string }
	lines := map[part][]int{} // indices of lines
	var parts []part          // in order of their first line
	total := map[string]int{} // lines of code of each function, by key
	owners := f.owners()
	for n := range f.Lines {
		name := ""
		if x := owners[n]; x >= 0 {
			name = f.Functions[x].key()
		}
		total[name]++
		states := f.Lines[n].Cells
		if !r.differs(states) {
			continue
		}
		p := part{name, r.fate(states)}
		if lines[p] == nil {
			parts = append(parts, p)
		}
		lines[p] = append(lines[p], n)
	}
	var out []Difference
	known := map[part]bool{} // which cells hit, to leave out branches that say the same
	for _, p := range parts {
		ns := lines[p]
		d := Difference{Kind: KindLines, File: f.Name, Lines: len(ns), Ranges: f.ranges(ns)}
		states := f.Lines[ns[0]].Cells
		if x := owners[ns[0]]; x >= 0 {
			d.Function = f.Functions[x].Name
			if len(ns) == total[p.function] {
				d.Kind = KindFunction
			}
		}
		d.Groups = r.groups(states)
		known[part{p.function, hits(states)}] = true
		out = append(out, d)
	}
	for n := range f.Branches {
		b := &f.Branches[n]
		at, ok := slices.BinarySearchFunc(f.Lines, b.Line, func(l Line, want int) int { return l.Number - want })
		if !ok {
			continue
		}
		name, function := "", ""
		if x := owners[at]; x >= 0 {
			name, function = f.Functions[x].key(), f.Functions[x].Name
		}
		for side, word := range [2]string{"true", "false"} {
			states := make([]State, len(b.Cells))
			extra := false // a cell ran the line and not this side
			for i, s := range b.Cells {
				states[i] = s.True
				if side == 1 {
					states[i] = s.False
				}
				extra = extra || states[i].Status != Hit && f.Lines[at].Cells[i].Status == Hit
			}
			p := part{name, hits(states)}
			if !extra || !r.differs(states) || known[p] {
				continue
			}
			out = append(out, Difference{Kind: KindBranch, File: f.Name, Function: function, Lines: 1,
				Ranges: []Range{{b.Line, b.Line}}, Col: b.Col, Side: word, Groups: r.groups(states)})
		}
	}
	return out
}

// key tells functions of one file apart.
func (x *Function) key() string { return string(binary.AppendVarint([]byte(x.Name), int64(x.Line))) }

// owners returns for each line the index of the function that it is in, -1 for none.
func (f *File) owners() []int {
	out := make([]int, len(f.Lines))
	x, last := 0, -1
	for n := range f.Lines {
		at := f.Lines[n].Number
		for x < len(f.Functions) && f.Functions[x].Line <= at {
			last = x
			x++
		}
		out[n] = -1
		for k := last; k >= 0 && k > last-8; k-- { // functions do not nest, but macros can make several on a line
			if f.Functions[k].EndLine >= at {
				out[n] = k
				break
			}
		}
	}
	return out
}

// differs reports whether some cell hit it and another one, of which something is known, did not.
func (r *Report) differs(states []State) bool {
	hit, other := false, false
	for _, s := range states {
		hit = hit || s.Status == Hit
		other = other || s.Status != Hit && s.Status != NotRun
	}
	return hit && other
}

// fate is equal for positions that fare alike in every cell; counts do not matter.
func (r *Report) fate(states []State) string {
	b := make([]byte, 0, 5*len(states))
	for _, s := range states {
		b = append(b, byte(s.Status))
		b = binary.LittleEndian.AppendUint32(b, uint32(s.Reason))
	}
	return string(b)
}

// hits is equal for positions that the same cells hit.
func hits(states []State) string {
	b := make([]byte, len(states))
	for i, s := range states {
		if s.Status == Hit {
			b[i] = 1
		}
	}
	return string(b)
}

// groups joins cells of the same status and reason: the hits first, then by how much the status says.
func (r *Report) groups(states []State) []Group {
	var gs []Group
	for i, s := range states {
		if s.Status == NotRun {
			continue
		}
		cause := r.Cause(s)
		k := slices.IndexFunc(gs, func(g Group) bool { return g.Status == s.Status && g.Cause == cause })
		if k < 0 {
			k = len(gs)
			gs = append(gs, Group{Status: s.Status, Cause: cause})
		}
		gs[k].Cells = append(gs[k].Cells, i)
	}
	slices.SortStableFunc(gs, func(a, b Group) int { return cmp.Compare(b.Status, a.Status) })
	return gs
}

// interleave puts the most telling differences first: the largest of each set of causes in turn, so
// that the top of the list shows every way in which cells differ. What is only built for some cells and
// the bodies of macros come after what is built for all, and branches last.
func interleave(all []Difference) []Difference {
	type bucket struct {
		class  int
		causes string
		ds     []Difference
	}
	var buckets []*bucket
	known := map[string]*bucket{}
	for _, d := range all {
		causes := []byte{0}
		for _, g := range d.Groups {
			causes = append(causes, byte(g.Status))
		}
		switch {
		case d.Kind == KindBranch:
			causes[0] = 2
		case d.Function == "" || string(causes[1:]) == string([]byte{byte(Hit), byte(NotBuilt)}):
			causes[0] = 1
		}
		b := known[string(causes)]
		if b == nil {
			b = &bucket{class: int(causes[0]), causes: string(causes)}
			known[b.causes] = b
			buckets = append(buckets, b)
		}
		b.ds = append(b.ds, d)
	}
	for _, b := range buckets {
		slices.SortStableFunc(b.ds, func(x, y Difference) int { return cmp.Compare(y.Lines, x.Lines) })
	}
	slices.SortStableFunc(buckets, func(x, y *bucket) int {
		return cmp.Or(cmp.Compare(y.ds[0].Lines, x.ds[0].Lines), cmp.Compare(x.causes, y.causes))
	})
	out := make([]Difference, 0, len(all))
	for c := range 3 {
		for n, more := 0, true; more; n++ {
			more = false
			for _, b := range buckets {
				if b.class == c && n < len(b.ds) {
					out = append(out, b.ds[n])
					more = true
				}
			}
		}
	}
	return out
}
