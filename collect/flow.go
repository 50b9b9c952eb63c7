package collect

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// Flow tells which updates of an object's counters can follow which in one program that a kernel accepted.
// It is what is known of code that has no counter of its own: LLVM counts the else of an if as the
// difference of two counters, and when every update of the one is followed by an update of the other,
// the difference is code that cannot run.
type Flow struct {
	// Before is the program as the loader passed it, After what the verifier left of it.
	Before, After []FlowSite
	// Unknown is set when the flow could not be told; then it allows no conclusion.
	Unknown bool
}

// FlowSite is one update in a program.
type FlowSite struct {
	// Counter is the index in the object's block, or NoCounter for what else the program updates in
	// the same maps.
	Counter uint32
	// Next are the indices of the sites that may be the next to be executed. Exit is set when the
	// function may end before any other.
	Next []uint32
	Exit bool
}

// NoCounter is the counter of a site that belongs to another object of the same program.
const NoCounter = ^uint32(0)

// FlowIndex finds the sites of a counter, on one side of a [Flow].
type FlowIndex struct {
	sites []FlowSite
	at    map[uint32][]uint32 // by counter
}

// IndexFlow makes the index of sites, which it keeps.
func IndexFlow(sites []FlowSite) *FlowIndex {
	x := &FlowIndex{sites: sites, at: make(map[uint32][]uint32, len(sites))}
	for i := range sites {
		c := sites[i].Counter
		x.at[c] = append(x.at[c], uint32(i))
	}
	return x
}

// Weight is what one update adds to a sum of counters. N is negative when it takes off. Adds says that anything of what is added
// is in it: an update for several counters may add and take off, even as much.
type Weight struct {
	N    int
	Adds bool
}

// Never reports whether code cannot run in a program with these sites that runs as often as a sum of counters says: whether
// on every path from an update that adds to it others take as much off before the end. The weights are by counter, those of
// others are 0. Without any update that adds (present) nothing can be said.
func (x *FlowIndex) Never(weights map[uint32]Weight) (never, present bool) {
	// What is the most that is not taken off yet behind a site: with less, no more can be left at the end.
	most := map[uint32]int{}
	var todo []uint32
	all := 0 // what all sites add together: more is left only by a loop that adds more than it takes off
	for c, w := range weights {
		present = present || w.Adds && len(x.at[c]) > 0
		if w.N <= 0 {
			continue
		}
		for _, i := range x.at[c] {
			most[i] = w.N
			all += w.N
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		s := &x.sites[n]
		if s.Exit || most[n] > all {
			return false, present
		}
		for _, next := range s.Next {
			if int64(next) >= int64(len(x.sites)) {
				return false, present
			}
			if left := most[n] + weights[x.sites[next].Counter].N; left > most[next] {
				most[next] = left
				todo = append(todo, next)
			}
		}
	}
	return present, present
}

// appendFlow encodes one flow: a flag byte, and unless it is unknown the sites before and after.
func appendFlow(b []byte, f *Flow) []byte {
	if f.Unknown {
		return append(b, 1)
	}
	b = append(b, 0)
	for _, sites := range [][]FlowSite{f.Before, f.After} {
		b = binary.AppendUvarint(b, uint64(len(sites)))
		for i := range sites {
			s := &sites[i]
			// NoCounter becomes 0.
			b = binary.AppendUvarint(b, uint64(s.Counter+1))
			n := uint64(len(s.Next)) << 1
			if s.Exit {
				n |= 1
			}
			b = binary.AppendUvarint(b, n)
			for _, to := range s.Next {
				b = binary.AppendUvarint(b, uint64(to))
			}
		}
	}
	return b
}

func parseFlow(r *reader, counters int) (f Flow) {
	flag := r.bytes(1)
	if r.err != nil {
		return f
	}
	if flag[0] != 0 {
		return Flow{Unknown: true}
	}
	for _, sites := range []*[]FlowSite{&f.Before, &f.After} {
		n := r.count()
		if n > 0 {
			*sites = make([]FlowSite, n)
		}
		for i := range *sites {
			s := &(*sites)[i]
			c, next := r.uvarint(), r.uvarint()
			if c > uint64(counters) || next>>1 > uint64(min(n, len(r.b))) {
				r.err = cmpErr(r.err, errors.New("a flow leads to a counter or place that there is not"))
				return f
			}
			s.Counter, s.Exit = uint32(c)-1, next&1 != 0
			for range next >> 1 {
				to := r.uvarint()
				if to >= uint64(n) {
					r.err = cmpErr(r.err, errors.New("a flow leads to a place that there is not"))
					return f
				}
				s.Next = append(s.Next, uint32(to))
			}
		}
	}
	return f
}

// unionFlows returns the distinct flows of both in a fixed order.
func unionFlows(a, b []Flow) []Flow {
	all := slices.Concat(a, b)
	if len(all) < 2 {
		return all
	}
	keys := make(map[string]Flow, len(all))
	for _, f := range all {
		keys[string(appendFlow(nil, &f))] = f
	}
	return sortedFlows(keys)
}

// sortedFlows returns flows that are keyed by their encoding in the order of [unionFlows], nil when there are none.
func sortedFlows(keys map[string]Flow) (out []Flow) {
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		out = append(out, keys[k])
	}
	return out
}
