package collect

import (
	"encoding/binary"
	"errors"
	"slices"
)

// A delta says what changed between two states of the counters of a run. Integers are uvarints. One for each
// object of the state, in order:
//
//	maps | number of changed counts, each: gap | increase | number of changed states, each: gap | u8 state
//
// A gap is the number of counters since the one before, or the first; an increase is modulo 2^64. It holds only for the
// state that it was made from: who sends it does so over a channel that loses nothing.

// ErrDelta is returned by [ApplyDelta] for what is no delta of the given state.
var ErrDelta = errors.New("not a delta of these counters")

// EncodeDelta returns what changed from the state was to the state now, and false when that cannot be said as a delta:
// there are other objects, or other flows. A delta is smaller than the record by about the share of counters that stand still.
func EncodeDelta(was, now []ObjectCounters) ([]byte, bool) {
	if len(was) != len(now) {
		return nil, false
	}
	var b []byte
	for i := range now {
		a, n := &was[i], &now[i]
		if a.ObjectID != n.ObjectID || a.Width != n.Width || len(a.Counts) != len(n.Counts) || len(a.States) != len(n.States) ||
			!sameFlows(a.Flows, n.Flows) {
			return nil, false
		}
		b = binary.AppendUvarint(b, uint64(n.Maps))
		b = appendChanges(b, a.Counts, n.Counts, func(b []byte, i int) []byte { return binary.AppendUvarint(b, n.Counts[i]-a.Counts[i]) })
		b = appendChanges(b, a.States, n.States, func(b []byte, i int) []byte { return append(b, byte(n.States[i])) })
	}
	return b, true
}

func appendChanges[T comparable](b []byte, was, now []T, value func([]byte, int) []byte) []byte {
	changed := 0
	for i := range now {
		if now[i] != was[i] {
			changed++
		}
	}
	b = binary.AppendUvarint(b, uint64(changed))
	last := 0
	for i := range now {
		if now[i] != was[i] {
			b = value(binary.AppendUvarint(b, uint64(i-last)), i)
			last = i
		}
	}
	return b
}

func sameFlows(a, b []Flow) bool {
	return slices.EqualFunc(a, b, func(a, b Flow) bool {
		return a.Unknown == b.Unknown && slices.EqualFunc(a.Before, b.Before, FlowSite.equal) && slices.EqualFunc(a.After, b.After, FlowSite.equal)
	})
}

// ApplyDelta returns the state that a delta leads to from the state was, which is not changed. The delta may come from
// anywhere: the error is [ErrDelta].
func ApplyDelta(was []ObjectCounters, delta []byte) ([]ObjectCounters, error) {
	now := make([]ObjectCounters, len(was))
	for i := range was {
		o := was[i]
		o.Counts, o.States = slices.Clone(o.Counts), slices.Clone(o.States)
		r := deltaReader{b: delta}
		if o.Maps = int(r.uint(1 << 31)); o.Maps < 0 {
			return nil, ErrDelta
		}
		r.changes(len(o.Counts), func(i int) { o.Counts[i] += r.uint(0) })
		r.changes(len(o.States), func(i int) {
			if s := r.uint(0); s <= uint64(StateLive) {
				o.States[i] = CounterState(s)
			} else {
				r.bad = true
			}
		})
		if r.bad {
			return nil, ErrDelta
		}
		delta, now[i] = r.b, o
	}
	if len(delta) > 0 {
		return nil, ErrDelta
	}
	return now, nil
}

// deltaReader takes values off a delta. After the first error all are zero.
type deltaReader struct {
	b   []byte
	bad bool
}

// uint reads a number below limit, any if that is 0.
func (r *deltaReader) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || limit != 0 && v >= limit {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// changes calls set for each changed one of n things.
func (r *deltaReader) changes(n int, set func(i int)) {
	count, at := r.uint(uint64(n)+1), uint64(0)
	for c := range count {
		gap := r.uint(uint64(n))
		if at += gap; r.bad || at >= uint64(n) || c > 0 && gap == 0 {
			r.bad = true
			return
		}
		set(int(at))
	}
}
