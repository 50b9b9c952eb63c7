package model

import (
	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
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
	rankUnsure                      // nobody knows whether it ran
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
	case rankFolded, rankUnsure:
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
	// counter is the value of a counter of the object that updates were emitted of, for code of f.
	counter func(f *covmap.Function, n int) value
	// unsure is the value of code of which nobody knows whether it ran.
	unsure value
	// counters are those of the object in the cell, nil when it was never loaded.
	counters *collect.ObjectCounters
	// groups are those that a counter is in, by its index in the block: the group's counter, and how often.
	groups map[uint32][]meta.Member
	// first is the index of the first counter of f in counters, -1 when it has none.
	first func(f *covmap.Function) int

	last  *functionRanks // of the function that was asked for last
	flows []flowIndex    // of the counters, nil until they are needed
}

func (a *ranks) Value(f *covmap.Function, c covmap.Counter) uint64 {
	if a.last == nil || a.last.f != f {
		a.last = &functionRanks{a: a, f: f, memo: make([]value, 2*len(f.Expressions)), known: make([]bool, 2*len(f.Expressions))}
	}
	return uint64(a.last.value(c))
}

func (a *ranks) Combine(x, y uint64) uint64 { return max(x, y) }

// functionRanks holds the values of one function's expressions.
type functionRanks struct {
	a *ranks
	f *covmap.Function
	// memo has the value of each expression as a difference and as a sum, where known.
	memo  []value
	known []bool
}

// value computes a counter. Expressions have no cycles, covmap sees to that.
func (r *functionRanks) value(c covmap.Counter) value {
	switch {
	case c.IsZero():
		return r.a.leaf(r.f, -1)
	case !c.IsExpression():
		return r.a.leaf(r.f, int64(c.ID))
	}
	at := 2 * c.ID
	if c.Kind == covmap.CounterAdd {
		at++
	}
	if r.known[at] {
		return r.memo[at]
	}
	e := r.f.Expressions[c.ID]
	v := r.value(e.Left)
	if c.Kind == covmap.CounterAdd {
		v = max(v, r.value(e.Right))
	} else {
		v = v.indirect()
	}
	if v.rank() == rankLive && !v.direct() {
		switch r.fate(c) {
		case fateNever:
			v = newValue(rankEliminated, 0)
		case fateCompiler:
			v = r.a.leaf(r.f, -1)
		}
	}
	r.memo[at], r.known[at] = v, true
	return v
}
