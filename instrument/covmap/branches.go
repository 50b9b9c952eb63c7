package covmap

import (
	"cmp"
	"fmt"
	"slices"
)

// branch makes the branch of a region. path has the macro uses that lead to it, outermost first; it is kept.
func (e *evaluation) branch(f *evaluated, i int, path []Position) Branch {
	r := &f.Regions[i]
	b := Branch{
		Line: r.LineStart, File: f.Files[r.File], SourceLine: r.LineStart,
		Col: r.ColStart, EndLine: r.LineEnd, EndCol: r.ColEnd,
		TrueCount: f.counts[i], FalseCount: f.falses[i],
		Function: f.Function, Region: i,
	}
	b.TrueFolded, b.FalseFolded = e.folded(r)
	if len(path) > 0 {
		b.Line, b.Path = path[0].Line, path
	}
	return b
}

// folded tells which sides clang knows to be impossible. Before LLVM 20 it was both or none.
func (e *evaluation) folded(r *Region) (onTrue, onFalse bool) {
	onTrue, onFalse = r.Count.IsZero(), r.FalseCount.IsZero()
	if !e.newRules() {
		return onTrue && onFalse, onTrue && onFalse
	}
	return onTrue, onFalse
}

// fileBranches returns the branches of a file: its own and those of the macros that its
// functions use.
func (e *evaluation) fileBranches(p *fileParts) ([]Branch, error) {
	n := len(p.branches)
	for _, f := range p.mains {
		n += len(f.branches.regions)
	}
	out := make([]Branch, 0, n)
	add := func(f *evaluated, i int, path []Position) error {
		if t, fl := e.folded(&f.Regions[i]); t && fl {
			return nil
		}
		if e.branchesLeft -= 1 + len(path); e.branchesLeft < 0 {
			return &FormatError{Offset: -1, Reason: fmt.Sprintf("more than %d branches", maxBranches)}
		}
		out = append(out, e.branch(f, i, path))
		return nil
	}
	for _, b := range p.branches {
		if err := add(b.f, b.region, nil); err != nil {
			return nil, err
		}
	}
	var path []Position
	var walk func(f *evaluated, expansion int) error
	walk = func(f *evaluated, expansion int) error {
		r := &f.Regions[expansion]
		path = append(path, r.Start())
		// Branches of inner macros come before those of this one.
		for _, i := range f.counted.of(r.ExpandedFile) {
			if f.Regions[i].Kind == ExpansionRegion {
				if err := walk(f, int(i)); err != nil {
					return err
				}
			}
		}
		if branches := f.branches.of(r.ExpandedFile); len(branches) > 0 {
			own := slices.Clone(path)
			for _, i := range branches {
				if err := add(f, int(i), own); err != nil {
					return err
				}
			}
		}
		path = path[:len(path)-1]
		return nil
	}
	for _, x := range p.expands {
		if err := walk(x.f, x.region); err != nil {
			return nil, err
		}
	}
	if !e.newRules() {
		return sortedByLine(out), nil
	}
	slices.SortStableFunc(out, func(a, b Branch) int { return comparePaths(&a, &b) })
	if e.options.Unify {
		out = e.unify(out)
	}
	return out, nil
}

// sortedByLine sorts by line and column; of one place the order stays.
func sortedByLine(all []Branch) []Branch {
	type key struct {
		at    place
		index int
	}
	keys := make([]key, len(all))
	for i := range all {
		keys[i] = key{placeOf(Position{all[i].Line, all[i].Col}), i}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		return a.index - b.index
	})
	out := make([]Branch, len(all)) // a branch is large, so that it is moved only once
	for i, k := range keys {
		out[i] = all[k.index]
	}
	return out
}

// comparePaths orders by the places that lead to a branch; one that is not in a macro counts with its
// own place.
func comparePaths(a, b *Branch) int {
	x, y := [1]Position{{a.SourceLine, a.Col}}, [1]Position{{b.SourceLine, b.Col}}
	p, q := a.Path, b.Path
	if p == nil {
		p = x[:]
	}
	if q == nil {
		q = y[:]
	}
	return slices.CompareFunc(p, q, comparePositions)
}

// unify joins branches of equal path into the first one.
func (e *evaluation) unify(sorted []Branch) []Branch {
	out := sorted[:0]
	for _, b := range sorted {
		if n := len(out); n > 0 && comparePaths(&out[n-1], &b) == 0 {
			last := &out[n-1]
			last.TrueCount = e.algebra.Combine(last.TrueCount, b.TrueCount)
			last.FalseCount = e.algebra.Combine(last.FalseCount, b.FalseCount)
			continue
		}
		out = append(out, b)
	}
	return out
}
