//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"maps"
	"slices"

	"github.com/bpfcov/bpfcov/collect/liveness"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// objects returns what is known now: counters, states and flows.
func (w *watcher) objects() []ObjectCounters {
	w.flush()
	w.reading.Lock()
	defer w.reading.Unlock()
	if w.closed {
		return nil
	}
	objects := w.table.read()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range objects {
		o := &objects[i]
		o.States = make([]CounterState, len(o.Counts))
		flows := map[string]Flow{}
		for _, l := range w.loadOrder {
			l.mergeStates(o)
			for _, f := range l.flows() {
				if f.object == o.ObjectID && f.counters == len(o.Counts) {
					flows[f.key] = f.Flow
				}
			}
		}
		o.Flows = sortedFlows(flows)
		w.unexplained(o)
		for i, c := range o.Counts {
			if c > 0 {
				o.States[i] = StateLive
			}
		}
	}
	return objects
}

// objects returns the ids of the objects whose counters the program may touch, sorted.
func (l *load) objects() []meta.ObjectID {
	set := map[meta.ObjectID]bool{}
	for n, m := range l.maps {
		for i := range m.blocks {
			if b := &m.blocks[i]; l.unseen || l.touches(uint32(n), b) {
				set[b.ObjectID] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b meta.ObjectID) int { return slices.Compare(a[:], b[:]) })
}

// refused returns the counters of a program that the kernel refused, nil for another one.
func (l *load) refused() []CounterSet {
	if l.verdict.Verdict != VerdictRejected || l.before == nil {
		return nil
	}
	var sets []CounterSet
	for n, m := range l.maps {
		for i := range m.blocks {
			b := &m.blocks[i]
			s := CounterSet{Object: b.ObjectID}
			for i, state := range l.states(uint32(n), b) {
				if state == StateRejected || slices.Contains(l.before.Unknown, uint32(n)) {
					s.Ranges = append(s.Ranges, [2]uint32{uint32(i), uint32(i)})
				}
			}
			sets = unionCounters(sets, []CounterSet{s})
		}
	}
	return sets
}

// touches reports whether the program, as loaded, may write to a block of its map n. Programs linked
// from several objects share one map with a block for each.
func (l *load) touches(n uint32, b *Block) bool {
	r := l.before
	if r == nil || slices.Contains(r.Unknown, n) {
		return true
	}
	in := func(a liveness.Access) bool { return a.Map == n && b.overlaps(a.Off, a.Size) }
	return slices.ContainsFunc(r.Updates, in) || slices.ContainsFunc(r.Maybe, in)
}

// mergeStates raises o's states to what the load shows.
func (l *load) mergeStates(o *ObjectCounters) {
	for n, m := range l.maps {
		for i := range m.blocks {
			b := &m.blocks[i]
			if b.ObjectID != o.ObjectID || b.N != len(o.States) {
				continue
			}
			for i, s := range l.states(uint32(n), b) {
				o.States[i] = max(o.States[i], s)
			}
		}
	}
}

// loadFlow is the flow of one load as one block of counters sees it.
type loadFlow struct {
	object   meta.ObjectID
	counters int    // of the block
	key      string // the flow, encoded
	Flow
}

// flows returns which updates of counters follow which in the program, once for each block that it touches,
// and nothing for a program that the kernel refused. Snapshots ask for it again and again: it is worked
// out once for each verdict.
func (l *load) flows() []loadFlow {
	v := &l.verdict
	if v.Verdict == VerdictRejected || l.unseen && l.rest == StateNotLoaded {
		return nil
	}
	if l.toldFlows != nil {
		return l.toldFlows
	}
	flows := []loadFlow{}
	for n, m := range l.maps {
		for i := range m.blocks {
			b := &m.blocks[i]
			if !l.unseen && !l.touches(uint32(n), b) {
				continue
			}
			f := Flow{Unknown: true}
			before, ok1 := flowOf(l.before, uint32(n), b)
			after, ok2 := flowOf(v.after, uint32(n), b)
			if ok1 && ok2 && v.known {
				f = Flow{Before: before, After: after}
			}
			flows = append(flows, loadFlow{b.ObjectID, b.N, string(appendFlow(nil, &f)), f})
		}
	}
	l.toldFlows = flows
	return flows
}

// flowOf returns the sites of a program with the counters of block b of map n, and false when an update may be missing.
func flowOf(r *liveness.Result, n uint32, b *Block) ([]FlowSite, bool) {
	if r == nil || r.Sites == nil || len(r.Maybe) > 0 || slices.Contains(r.Unknown, n) {
		return nil, false
	}
	sites := make([]FlowSite, len(r.Sites))
	for i, s := range r.Sites {
		sites[i] = FlowSite{Counter: NoCounter, First: s.First, Next: s.Next, Exit: s.Exit, Any: s.Any}
		if s.Map != n {
			continue
		}
		if c, ok := b.Counter(s.Off, s.Size); ok {
			sites[i].Counter = uint32(c)
		} else if b.overlaps(s.Off, s.Size) {
			return nil, false
		}
	}
	return sites, true
}

// states returns what the load shows of each counter of a block of its map n.
func (l *load) states(n uint32, b *Block) []CounterState {
	states := make([]CounterState, b.N)
	v := &l.verdict
	// mark sets the counters of accesses to s, and reports accesses that are not one counter.
	mark := func(accesses []liveness.Access, s func(CounterState) CounterState) (odd bool) {
		for _, a := range accesses {
			if a.Map != n {
				continue
			}
			if i, ok := b.Counter(a.Off, a.Size); ok {
				states[i] = s(states[i])
			} else if b.overlaps(a.Off, a.Size) {
				odd = true
			}
		}
		return odd
	}
	to := func(s CounterState) func(CounterState) CounterState {
		return func(CounterState) CounterState { return s }
	}
	if l.unseen {
		for i := range states {
			states[i] = l.rest
		}
		if v.after != nil {
			mark(v.after.Updates, to(StateLive))
		}
		return states
	}
	if l.before == nil {
		return states // not looked at yet
	}
	// What the program had, by the fate of the whole load.
	fate := StateUnknown
	switch {
	case v.Verdict == VerdictRejected:
		fate = StateRejected
	case v.Verdict == VerdictOK && v.known:
		fate = StateEliminated
	}
	odd := mark(l.before.Updates, to(fate))
	odd = mark(l.before.Maybe, to(fate)) || odd
	anywhere := odd || slices.Contains(l.before.Unknown, n)
	if fate != StateEliminated {
		return states
	}
	// What it still has.
	odd = mark(v.after.Updates, to(StateLive))
	odd = mark(v.after.Maybe, func(s CounterState) CounterState { return max(s, StateUnknown) }) || odd
	if odd || slices.Contains(v.after.Unknown, n) {
		for i := range states {
			if states[i] == StateEliminated || anywhere {
				states[i] = max(states[i], StateUnknown)
			}
		}
	}
	return states
}

// programs returns the loads for the record, equal ones as one, sorted by name.
func (w *watcher) programs() []ProgramLoad {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]*ProgramLoad{}
	logs := 0
	for _, l := range w.loadOrder {
		if l.unseen && l.rest == StateNotLoaded {
			continue // from before the run
		}
		v := &l.verdict
		full := v.Full
		if logs += len(full); logs > fullLogs {
			full = ""
		}
		addProgram(all, &ProgramLoad{
			FullLog: full,
			Name:    l.name, Type: programType(l.typ), Objects: l.objects(), Loads: l.loads, Verdict: v.Verdict,
			Errno: v.Errno, Class: v.Class, Reason: v.Reason, Log: v.Log, Refused: l.refused(),
			Insns: l.insns, Verified: v.Verified, Xlated: v.Xlated, Jited: v.Jited, Stats: v.Stats,
		})
	}
	programs := make([]ProgramLoad, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		programs = append(programs, *all[k])
	}
	return programs
}
