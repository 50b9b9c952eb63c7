package model

import (
	"slices"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
)

// A value says why a counter is 0: its rank in the upper half and the [Reason] in the lower one, so
// that the greater value is the one that is better known to be reachable and carries its reason
// along. 0 is "no code here".
type value uint64

// The ranks, in the order in which they win. The lowest bit says that the code has a counter of its
// own (direct) and is not only what remains of a difference.
const (
	rankUnused     = 2 * (1 + iota) // a function that the object does not use
	rankRemoved                     // the compiler removed it
	rankFolded                      // the optimiser merged it away, or it is not instrumented
	rankNotLoaded                   // as collect.StateNotLoaded
	rankRejected                    // as collect.StateRejected
	rankEliminated                  // as collect.StateEliminated
	rankLive                        // could have run
	rankDirect     = 1
)

func newValue(rank int, r Reason) value { return value(rank)<<32 | value(r) }

func (v value) rank() int      { return int(v>>32) &^ rankDirect }
func (v value) direct() bool   { return int(v>>32)&rankDirect != 0 }
func (v value) reason() Reason { return Reason(v) }

// indirect is v for code that is known only as a difference. Only of code that could have run this
// says less: what is true of the whole is true of the rest.
func (v value) indirect() value {
	if v.rank() == rankLive {
		return newValue(rankLive, v.reason())
	}
	return v
}

// state is what a count and a value mean.
func (v value) state(count uint64) State {
	if count > 0 {
		return State{Count: count, Status: Hit}
	}
	s := State{Reason: v.reason()}
	switch v.rank() {
	case rankUnused, rankRemoved, rankLive:
		s.Status = Missed
	case rankFolded:
		s.Status = Folded
	case rankNotLoaded:
		s.Status = NotLoaded
	case rankRejected:
		s.Status = Rejected
	case rankEliminated:
		s.Status = Eliminated
	default:
		s.Status = NotBuilt
	}
	return s
}

// rankOf is the rank of a counter state.
func rankOf(s collect.CounterState) int {
	switch s {
	case collect.StateNotLoaded:
		return rankNotLoaded
	case collect.StateRejected:
		return rankRejected
	case collect.StateEliminated:
		return rankEliminated
	}
	return rankLive // also unknown: what may run is not reported as removed
}

// ranks is the [covmap.Algebra] of values: the greatest wins, and a difference is known only as well
// as the whole that it is part of.
type ranks struct {
	// leaf is the value of counter id of f, and of the zero counter with id < 0.
	leaf func(f *covmap.Function, id int64) value
	// counters are those of the object in the cell, nil when it was never loaded.
	counters *collect.ObjectCounters
	// first is the index of the first counter of f in counters, -1 when it has none.
	first func(f *covmap.Function) int
	// lines are the lines that the verifier removed and kept, nil when nothing is known.
	lines *lineFacts

	last *functionRanks // of the function that was asked for last
}

func (a *ranks) Value(f *covmap.Function, c covmap.Counter) uint64 {
	if a.last == nil || a.last.f != f {
		a.last = newFunctionRanks(a, f)
	}
	return uint64(a.last.value(c))
}

func (a *ranks) Combine(x, y uint64) uint64 { return max(x, y) }

// functionRanks holds the values of one function's expressions.
type functionRanks struct {
	a     *ranks
	f     *covmap.Function
	memo  map[covmap.Counter]value
	rests map[covmap.Counter]*rest
	// gone are the rests, by their terms, that only lines show to be eliminated.
	gone map[string]bool
}

func newFunctionRanks(a *ranks, f *covmap.Function) *functionRanks {
	r := &functionRanks{a: a, f: f, memo: map[covmap.Counter]value{}, rests: map[covmap.Counter]*rest{}}
	if a.lines == nil {
		return r
	}
	gone := map[string]bool{}
	for i := range f.Regions {
		g := &f.Regions[i]
		if g.Kind != covmap.CodeRegion || !g.Count.IsExpression() {
			continue
		}
		if v := r.value(g.Count); v.rank() != rankLive || v.direct() {
			continue
		}
		if x := r.rest(g.Count); x.fate == fateUnknown && x.avoidable && a.lines.removed(r, i) {
			gone[x.terms] = true
		}
	}
	if len(gone) > 0 {
		r.gone = gone
		clear(r.memo)
	}
	return r
}

// value computes a counter. Expressions have no cycles, covmap sees to that.
func (r *functionRanks) value(c covmap.Counter) value {
	switch {
	case c.IsZero():
		return r.a.leaf(r.f, -1)
	case !c.IsExpression():
		return r.a.leaf(r.f, int64(c.ID))
	}
	if v, ok := r.memo[c]; ok {
		return v
	}
	e := r.f.Expressions[c.ID]
	v := r.value(e.Left)
	if c.Kind == covmap.CounterAdd {
		v = max(v, r.value(e.Right))
	} else {
		v = v.indirect()
	}
	if v.rank() == rankLive && !v.direct() {
		switch x := r.rest(c); {
		case x.fate == fateNever, x.fate == fateUnknown && r.gone[x.terms]:
			v = newValue(rankEliminated, 0)
		case x.fate == fateCompiler:
			v = r.a.leaf(r.f, -1)
		}
	}
	r.memo[c] = v
	return v
}

// lineFacts is what debug information of loaded programs says about lines, by file of the mapping:
// had gone lines instructions of which the verifier left none, kept lines have some left.
type lineFacts struct {
	gone, kept map[string][]uint32 // sorted
}

// removed reports whether the verifier removed region i of the function, which has no counter of its
// own. A region without inner regions runs from start to end, so its own lines are all there or all
// gone: it was removed when a line of its own is gone, no line in it is kept, and no counter in it
// is live.
func (l *lineFacts) removed(r *functionRanks, i int) bool {
	f := r.f
	g := &f.Regions[i]
	file := f.Files[g.File]
	gone := within(l.gone[file], g.LineStart, g.LineEnd)
	if len(gone) == 0 {
		return false
	}
	around, inner := sharedLines(f, i, gone)
	for _, n := range within(l.kept[file], g.LineStart, g.LineEnd) {
		if !around[int(n)] {
			return false
		}
	}
	for k := range f.Regions {
		q := &f.Regions[k]
		if k != i && q.Kind == covmap.CodeRegion && inside(q, g) && !q.Count.IsExpression() &&
			r.value(q.Count).rank() == rankLive {
			return false
		}
	}
	return slices.ContainsFunc(gone, func(n uint32) bool { return !around[int(n)] && !inner[int(n)] })
}

// sharedLines returns the lines of region i that also hold code from around it, which can only be its
// first and its last, and those of the given lines that hold code of a region inside it.
func sharedLines(f *covmap.Function, i int, lines []uint32) (around, inner map[int]bool) {
	g := &f.Regions[i]
	around, inner = map[int]bool{}, map[int]bool{}
	for k := range f.Regions {
		q := &f.Regions[k]
		switch {
		case q.File != g.File || q.LineEnd < g.LineStart || q.LineStart > g.LineEnd,
			q.Kind == covmap.SkippedRegion, q.Kind == covmap.MCDCDecisionRegion,
			q.Start() == g.Start() && q.End() == g.End():
		case inside(q, g):
			// A condition, a branch or a macro's use within straight-line code is that code's
			// own, and gaps hold none.
			if q.Kind == covmap.CodeRegion && q.Count != g.Count {
				for _, n := range within(lines, q.LineStart, q.LineEnd) {
					inner[int(n)] = true
				}
			}
		case inside(g, q):
			// Which text around the region shares a line with it, the others tell.
		case !g.Start().Before(q.End()):
			// Before it. A gap that began on an earlier line is only white space here.
			if q.Kind != covmap.GapRegion || q.LineStart == g.LineStart {
				around[g.LineStart] = true
			}
		case q.Kind != covmap.GapRegion:
			around[g.LineEnd] = true
		}
	}
	return around, inner
}

// inside reports whether q lies within g and is not the same range.
func inside(q, g *covmap.Region) bool {
	return q.File == g.File && !q.Start().Before(g.Start()) && !g.End().Before(q.End()) &&
		(q.Start() != g.Start() || q.End() != g.End())
}

// within is the part of sorted lines from first to last.
func within(lines []uint32, first, last int) []uint32 {
	lo, _ := slices.BinarySearchFunc(lines, first, func(n uint32, want int) int { return int(n) - want })
	hi, _ := slices.BinarySearchFunc(lines, last+1, func(n uint32, want int) int { return int(n) - want })
	return lines[lo:hi]
}
