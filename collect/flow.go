package collect

import (
	"cmp"
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
	// First is set when it may be the first one of its function to be executed. Records from before this was noted have it
	// set everywhere: then less can be concluded.
	First bool
	// Next are the indices of the sites that may be the next to be executed. Exit is set when the
	// function may end before any other.
	Next []uint32
	Exit bool
	// Any is set when the update may add any number, also 0, and not just 1 or the unit of its counter.
	Any bool
}

func (s FlowSite) equal(t FlowSite) bool {
	return s.Counter == t.Counter && s.First == t.First && s.Exit == t.Exit && s.Any == t.Any && slices.Equal(s.Next, t.Next)
}

// NoCounter is the counter of a site that belongs to another object of the same program.
const NoCounter = ^uint32(0)

// The first byte of a flow.
const (
	flowUnmarked = iota // sites without marks but Exit, from before there were others
	flowUnknown         // nothing follows
	flowMarked
)

// The marks of a site, below the number of those that may come next.
const (
	markExit = 1 << iota
	markFirst
	markAny
	markBits = iota
)

// appendFlow encodes one flow: a flag byte, and unless it is unknown the sites before and after.
func appendFlow(b []byte, f *Flow) []byte {
	if f.Unknown {
		return append(b, flowUnknown)
	}
	b = append(b, flowMarked)
	for _, sites := range [][]FlowSite{f.Before, f.After} {
		b = binary.AppendUvarint(b, uint64(len(sites)))
		for i := range sites {
			s := &sites[i]
			// NoCounter becomes 0.
			b = binary.AppendUvarint(b, uint64(s.Counter+1))
			n := uint64(len(s.Next)) << markBits
			if s.Exit {
				n |= markExit
			}
			if s.First {
				n |= markFirst
			}
			if s.Any {
				n |= markAny
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
	bits, also := markBits, uint64(0)
	switch flag[0] {
	case flowUnknown:
		return Flow{Unknown: true}
	case flowUnmarked:
		bits, also = 1, markFirst
	case flowMarked:
	default:
		r.err = errors.New("a flow written by a newer bpfcov")
		return f
	}
	for _, sites := range []*[]FlowSite{&f.Before, &f.After} {
		n := r.count()
		if n > 0 {
			*sites = make([]FlowSite, n)
		}
		for i := range *sites {
			s := &(*sites)[i]
			c, v := r.uvarint(), r.uvarint()
			next, marks := v>>bits, v&(1<<bits-1)|also
			if c > uint64(counters) || next > uint64(min(n, len(r.b))) {
				r.err = cmp.Or(r.err, errors.New("a flow leads to a counter or place that there is not"))
				return f
			}
			s.Counter = uint32(c) - 1
			s.Exit, s.First, s.Any = marks&markExit != 0, marks&markFirst != 0, marks&markAny != 0
			for range next {
				to := r.uvarint()
				if to >= uint64(n) {
					r.err = cmp.Or(r.err, errors.New("a flow leads to a place that there is not"))
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
