package model

import (
	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
)

// fate is what the flow of the loaded programs says about code without a counter of its own: what some
// counters say less what others say. LLVM counts the else of an if like this, and what follows a return.
type fate int

const (
	fateUnknown  fate = iota // nothing
	fateLive                 // a path leads to it
	fateNever                // the verifier left no path to it
	fateCompiler             // already the compiler left none
)

// factors says how often each counter is added in c; negative is subtracted. It gives up, with nil, on expressions that are
// longer than any of a compiler: they share parts, so that a few of them can have no end.
func (r *functionRanks) factors(c covmap.Counter) map[uint32]int {
	const longest = 1 << 16
	factors, left := map[uint32]int{}, longest
	var walk func(c covmap.Counter, sign int)
	walk = func(c covmap.Counter, sign int) {
		if left--; left < 0 {
			return
		}
		switch c.Kind {
		case covmap.CounterRef:
			factors[c.ID] += sign
		case covmap.CounterAdd, covmap.CounterSub:
			e := r.f.Expressions[c.ID]
			walk(e.Left, sign)
			if c.Kind == covmap.CounterSub {
				sign = -sign
			}
			walk(e.Right, sign)
		}
	}
	if walk(c, 1); left < 0 {
		return nil
	}
	return factors
}

// flowIndex is a [collect.Flow].
type flowIndex struct{ before, after *collect.FlowIndex }

// flow returns the index of a flow of the counters.
func (a *ranks) flow(i int) *flowIndex {
	if a.flows == nil {
		a.flows = make([]flowIndex, len(a.counters.Flows))
		for i := range a.counters.Flows {
			f := &a.counters.Flows[i]
			a.flows[i] = flowIndex{collect.IndexFlow(f.Before), collect.IndexFlow(f.After)}
		}
	}
	return &a.flows[i]
}

// fate asks the flow of every loaded program that has the counters which are added: when each of their
// updates is followed by one of those which are subtracted, the difference is never more than 0. Flows have the counters of
// the block, some of which count for several.
func (r *functionRanks) fate(expression covmap.Counter) fate {
	c := r.a.counters
	if c == nil || len(c.Flows) == 0 {
		return fateUnknown
	}
	first := r.a.first(r.f)
	if first < 0 {
		return fateUnknown
	}
	factors := r.factors(expression)
	if factors == nil {
		return fateUnknown
	}
	weights := make(map[uint32]collect.Weight, len(factors)) // by index in the block
	weigh := func(counter uint32, n int) {
		w := weights[counter]
		weights[counter] = collect.Weight{N: w.N + n, Adds: w.Adds || n > 0}
	}
	count := uint64(0)
	for id, n := range factors {
		counter := uint32(first) + id
		weigh(counter, n)
		for _, g := range r.a.groups[counter] {
			weigh(g.Counter, n*int(g.Times))
		}
		count += uint64(n) * c.Counts[first+int(id)]
	}
	if int64(count) > 0 {
		return fateLive // it ran
	}
	result := fateUnknown
	for i := range c.Flows {
		if c.Flows[i].Unknown {
			return fateUnknown
		}
		never, present := r.a.flow(i).after.Never(weights)
		if !present {
			continue
		}
		if !never {
			return fateLive
		}
		if before, _ := r.a.flow(i).before.Never(weights); !before {
			result = fateNever
		} else if result == fateUnknown {
			result = fateCompiler
		}
	}
	return result
}
