package covmap

import "fmt"

// summary computes LLVM's totals of a file, see [Summary].
func (e *evaluation) summary(p *fileParts) (Summary, error) {
	type group struct {
		Summary
		count uint64
	}
	groups := make(map[Position]*group)
	for _, f := range p.mains {
		s, err := e.functionSummary(f)
		if err != nil {
			return Summary{}, err
		}
		at := f.Regions[f.counted.of(f.main)[0]].Start()
		g := groups[at]
		if g == nil {
			groups[at] = &group{s, f.cov.Count}
			continue
		}
		g.count = e.algebra.Combine(g.count, f.cov.Count)
		g.LinesFound, g.LinesHit = max(g.LinesFound, s.LinesFound), max(g.LinesHit, s.LinesHit)
		g.RegionsFound, g.RegionsHit = max(g.RegionsFound, s.RegionsFound), max(g.RegionsHit, s.RegionsHit)
		g.BranchesFound, g.BranchesHit = max(g.BranchesFound, s.BranchesFound), max(g.BranchesHit, s.BranchesHit)
	}
	var sum Summary
	for _, g := range groups {
		sum.FunctionsFound++
		sum.FunctionsHit += b2i(g.count > 0)
		sum.LinesFound += g.LinesFound
		sum.LinesHit += g.LinesHit
		sum.RegionsFound += g.RegionsFound
		sum.RegionsHit += g.RegionsHit
		sum.BranchesFound += g.BranchesFound
		sum.BranchesHit += g.BranchesHit
	}
	return sum, nil
}

// functionSummary counts the lines of the function's body, and its regions and the sides of its branches together
// with those of the macros it uses.
func (e *evaluation) functionSummary(f *evaluated) (Summary, error) {
	var s Summary
	var regions []countedRegion
	for _, i := range f.counted.of(f.main) {
		regions = append(regions, counted(&f.Regions[i], f.counts[i]))
	}
	segments, _, err := e.segments(regions, false)
	if err != nil {
		return s, err
	}
	err = e.lines(segments, func(_ int, count uint64) {
		s.LinesFound++
		s.LinesHit += b2i(count > 0)
	})
	if err != nil {
		return s, err
	}
	for i := range f.Regions {
		if f.Regions[i].Kind == CodeRegion {
			s.RegionsFound++
			s.RegionsHit += b2i(f.counts[i] > 0)
		}
	}
	stack := []int{f.main}
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, i := range f.branches.of(id) {
			onTrue, onFalse := e.folded(&f.Regions[i])
			s.BranchesFound += b2i(!onTrue) + b2i(!onFalse)
			s.BranchesHit += b2i(!onTrue && f.counts[i] > 0) + b2i(!onFalse && f.falses[i] > 0)
		}
		for _, i := range f.counted.of(id) {
			if r := &f.Regions[i]; r.Kind == ExpansionRegion {
				stack = append(stack, r.ExpandedFile)
			}
		}
	}
	if e.branchesLeft -= s.BranchesFound / 2; e.branchesLeft < 0 {
		return s, &FormatError{Offset: -1, Reason: fmt.Sprintf("more than %d branches", maxBranches)}
	}
	return s, nil
}
