package covmap

import (
	"fmt"
	"slices"
	"sort"
)

// Evaluate computes the coverage of m in the values of a, by the rules of LLVM 18 and 19.
func (m *Mapping) Evaluate(a Algebra) (*Coverage, error) {
	return m.EvaluateWith(a, Options{})
}

// EvaluateWith is [Mapping.Evaluate] with options. The error is that of a [Filter], or a *[FormatError]
// for a function that Decode would have refused or for a mapping that describes too much.
func (m *Mapping) EvaluateWith(a Algebra, o Options) (*Coverage, error) {
	e := &evaluation{algebra: a, options: o, files: make(map[string]*fileParts), linesLeft: maxLines, branchesLeft: maxBranches}
	if ra, ok := a.(RegionAlgebra); ok {
		e.regions = ra
	}
	e.recorder, _ = a.(*recorder)
	filter, _ := a.(Filter)
	seen := make(map[string]bool)
	for _, f := range m.Functions {
		order, err := e.checker.check(f)
		if err != nil {
			return nil, &FormatError{Function: f.Name, Offset: -1, Reason: err.Error()}
		}
		if filter != nil {
			if keep, err := filter.Keep(f); err != nil {
				return nil, err
			} else if !keep {
				continue
			}
		}
		if key := provenance(f); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		if e.recorder != nil {
			if err := e.recorder.function(f, order); err != nil {
				return nil, err
			}
		}
		e.add(f)
	}
	return e.coverage()
}

// provenance tells functions apart as LLVM does: by the list of files and the source name.
func provenance(f *Function) string {
	n := len(f.Name) + 1
	for _, s := range f.Files {
		n += len(s) + 1
	}
	b := append(make([]byte, 0, n), f.SourceName()...)
	for _, s := range f.Files {
		b = append(append(b, 0), s...)
	}
	return string(b)
}

// evaluation is the state of one EvaluateWith.
type evaluation struct {
	algebra      Algebra
	regions      RegionAlgebra // nil when algebra is not one
	recorder     *recorder     // nil when algebra is not one
	options      Options
	checker      checker
	functions    []*evaluated
	files        map[string]*fileParts
	lastName     string // of the file that was asked for last
	lastFile     *fileParts
	linesLeft    int
	branchesLeft int
	// Many small slices live as long as the evaluation: they are cut from large ones.
	numbers slab[uint64]
	indices slab[int32]
}

// slab cuts slices of zeros from larger ones.
type slab[T any] struct{ free []T }

func (s *slab[T]) take(n int) []T {
	const chunk = 4096
	if len(s.free) < n {
		s.free = make([]T, max(n, chunk))
	}
	out := s.free[:n:n]
	s.free = s.free[n:]
	return out
}

// push appends x. Large slices grow faster than by append, which leaves much garbage behind.
func push[T any](s []T, x T) []T {
	if len(s) == cap(s) {
		s = slices.Grow(s, max(16, len(s)))
	}
	return append(s, x)
}

// evaluated is a function with the values of its regions.
type evaluated struct {
	*Function
	counts, falses []uint64
	main           int // file id, -1 when there is none
	// first is the first counted region, -1 when there is none.
	first int
	// counted and branches find the regions of a file id.
	counted, branches byFile
	cov               FunctionCoverage
}

// byFile has the indices of regions, those of file id n from starts[n] to starts[n+1].
type byFile struct{ starts, regions []int32 }

func (x byFile) of(id int) []int32 { return x.regions[x.starts[id]:x.starts[id+1]] }

// sorted makes an index of the regions of f that are wanted.
func (e *evaluation) sorted(f *Function, want func(*Region) bool) byFile {
	// While regions are put in their places, starts[n+1] is the place of the next one of file id n.
	x := byFile{starts: e.indices.take(len(f.Files) + 2)}
	n := 0
	for i := range f.Regions {
		if r := &f.Regions[i]; want(r) {
			x.starts[r.File+2]++
			n++
		}
	}
	for id := range f.Files {
		x.starts[id+2] += x.starts[id+1]
	}
	x.regions = e.indices.take(n)
	for i := range f.Regions {
		if r := &f.Regions[i]; want(r) {
			x.regions[x.starts[r.File+1]] = int32(i)
			x.starts[r.File+1]++
		}
	}
	return x
}

// fileParts is what the functions say of one file.
type fileParts struct {
	regions   []countedRegion
	branches  []branchRef
	expands   []branchRef // expansion regions of the main file of a function
	functions []*evaluated
	mains     []*evaluated // functions whose main file this is
}

// branchRef is a region of a function.
type branchRef struct {
	f      *evaluated
	region int
}

func (e *evaluation) file(name string) *fileParts {
	if e.lastFile != nil && e.lastName == name {
		return e.lastFile
	}
	p := e.files[name]
	if p == nil {
		p = &fileParts{}
		e.files[name] = p
	}
	e.lastName, e.lastFile = name, p
	return p
}

func (e *evaluation) value(f *Function, i int, falseSide bool) uint64 {
	if e.regions != nil {
		return e.regions.RegionValue(f, i, falseSide)
	}
	c := f.Regions[i].Count
	if falseSide {
		c = f.Regions[i].FalseCount
	}
	if e.recorder != nil {
		return e.recorder.Value(f, c)
	}
	return e.algebra.Value(f, c)
}

// newRules reports whether the rules of LLVM 20 hold.
func (e *evaluation) newRules() bool { return e.options.LLVM >= 20 }

// add evaluates f and hands its parts to the files.
func (e *evaluation) add(f *Function) {
	v := &evaluated{Function: f, main: f.MainFile(), first: -1, counts: e.numbers.take(len(f.Regions))}
	v.counted = e.sorted(f, (*Region).IsCounted)
	v.branches = e.sorted(f, (*Region).IsBranch)
	if len(v.branches.regions) > 0 {
		v.falses = e.numbers.take(len(f.Regions))
	}
	for i := range f.Regions {
		r := &f.Regions[i]
		switch {
		case r.IsBranch():
			v.counts[i], v.falses[i] = e.value(f, i, false), e.value(f, i, true)
		case r.IsCounted():
			if r.Kind != SkippedRegion {
				v.counts[i] = e.value(f, i, false)
			}
			if v.first < 0 {
				v.first = i
			}
		}
	}
	v.cov = FunctionCoverage{Name: f.SourceName(), Function: f, Counts: v.counts, FalseCounts: v.falses}
	if v.first >= 0 {
		r := &f.Regions[v.first]
		v.cov.Line, v.cov.EndLine, v.cov.Count = r.LineStart, r.LineEnd, v.counts[v.first]
	}
	e.functions = append(e.functions, v)

	for _, name := range f.Files {
		e.file(name) // even a file without regions is reported
	}
	if len(f.Files) > 0 && v.first >= 0 {
		p := e.file(f.Files[0])
		p.functions = append(p.functions, v)
	}
	if v.main >= 0 && len(v.counted.of(v.main)) > 0 {
		p := e.file(f.Files[v.main])
		p.mains = append(p.mains, v)
	}
	for i := range f.Regions {
		r := &f.Regions[i]
		p := e.file(f.Files[r.File])
		switch {
		case r.IsBranch():
			// Up to LLVM 19 only those of the first file id count where they are written.
			if r.File == 0 || e.newRules() {
				p.branches = push(p.branches, branchRef{v, i})
			}
		case r.IsCounted():
			p.regions = push(p.regions, counted(r, v.counts[i]))
			if r.Kind == ExpansionRegion && r.File == v.main {
				p.expands = push(p.expands, branchRef{v, i})
			}
		}
	}
}

// coverage assembles the files.
func (e *evaluation) coverage() (*Coverage, error) {
	c := &Coverage{Functions: len(e.functions)}
	names := make([]string, 0, len(e.files))
	for name := range e.files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		p := e.files[name]
		f := FileCoverage{Name: name}
		var err error
		if f.Segments, f.Regions, err = e.segments(p.regions, true); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		err = e.lines(f.Segments, func(line int, count uint64) {
			f.Lines = push(f.Lines, Line{line, count})
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		f.Functions = make([]FunctionCoverage, 0, len(p.functions))
		for _, v := range p.functions {
			f.Functions = append(f.Functions, v.cov)
		}
		if f.Branches, err = e.fileBranches(p); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if e.recorder == nil { // it is about values
			if f.Summary, err = e.summary(p); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		c.Files = append(c.Files, f)
	}
	return c, nil
}
