package collect

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// Records, deltas and merging know nothing of groups: they hold the counters of the block as the kernel has
// them, which add up. Whoever asks what a counter of the coverage mapping counted takes the groups apart first.

// Ungroup returns the counters with what groups count added to their members: a member counted what its own updates
// and those of its groups did (of which each added the group's unit), and is as well known to be reachable as the best
// known of these. Counters without groups are returned as they are, and so are those that do not fit m: what reads them
// says so. Flows stay those of the block.
func (o *ObjectCounters) Ungroup(m *meta.Meta) *ObjectCounters {
	if len(m.Groups) == 0 || len(o.Counts) != m.NumCounters || len(o.States) != 0 && len(o.States) != len(o.Counts) {
		return o
	}
	c := *o
	c.Counts, c.States = slices.Clone(o.Counts), slices.Clone(o.States)
	for i, g := range m.Groups {
		n := m.FirstGroup() + i
		updates := o.Counts[n]
		if updates != math.MaxUint64 { // too many to tell
			updates /= uint64(max(g.Unit, 1))
		}
		for _, x := range g.Members {
			c.Counts[x.Counter] = addTimes(c.Counts[x.Counter], updates, x.Times)
			if o.Width == 1 {
				c.Counts[x.Counter] = min(c.Counts[x.Counter], 1)
			}
			if len(c.States) > 0 {
				c.States[x.Counter] = max(c.States[x.Counter], o.States[n])
			}
		}
	}
	return &c
}

// CheckUnits refuses counters of groups that are not a multiple of what each update adds: the error wraps [ErrFormat].
// Counters of another number than m's are not looked at.
func (o *ObjectCounters) CheckUnits(m *meta.Meta) error {
	if len(o.Counts) != m.NumCounters {
		return nil
	}
	for i, g := range m.Groups {
		n := m.FirstGroup() + i
		if count := o.Counts[n]; count != math.MaxUint64 && count%uint64(max(g.Unit, 1)) != 0 {
			return fmt.Errorf("%w: counter %d is %d, and each update adds %d", ErrFormat, n, count, g.Unit)
		}
	}
	return nil
}

// addTimes returns a + n*times, or the largest number.
func addTimes(a, n uint64, times uint32) uint64 {
	high, low := bits.Mul64(n, uint64(times))
	if high != 0 {
		return math.MaxUint64
	}
	return AddCounts(a, low)
}

// Ungroup returns the set with the members of the groups that are in it.
func (s CounterSet) Ungroup(m *meta.Meta) CounterSet {
	out := CounterSet{Object: s.Object}
	for i, g := range m.Groups {
		if !s.Overlaps(uint32(m.FirstGroup()+i), 1) {
			continue
		}
		for _, x := range g.Members {
			out.Ranges = append(out.Ranges, [2]uint32{x.Counter, x.Counter})
		}
	}
	if len(out.Ranges) == 0 {
		return s
	}
	return unionCounters([]CounterSet{s}, []CounterSet{out})[0]
}
