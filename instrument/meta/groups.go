package meta

import (
	"encoding/binary"
	"fmt"
)

// Group is what one counter of the block stands for: updates that always happen together are one update, of a
// counter of its own.
type Group struct {
	// Unit is what each update adds to the counter, 1 or more: a constant that the program has in a register anyway.
	Unit uint32
	// Members are sorted by counter, each once.
	Members []Member
}

// Member is a counter that another one counts for.
type Member struct {
	// Counter is its index in the object's block. It belongs to a function, and not to a group.
	Counter uint32
	// Times is how often it is meant by one update, 1 or more: how often the code of the counter runs, also of a flag.
	Times uint32
}

// FirstGroup is the index of the counter of the first group: all counters from there on stand for others.
func (m *Meta) FirstGroup() int { return m.NumCounters - len(m.Groups) }

// Members returns the counters that counter n stands for, nil for one that stands for itself.
func (m *Meta) Members(n uint32) []Member {
	if i := int64(n) - int64(m.FirstGroup()); i >= 0 && i < int64(len(m.Groups)) {
		return m.Groups[i].Members
	}
	return nil
}

// The group table is, in ULEB128 numbers: how many groups, and for each its unit and how many counters, and for each of these
// its index and how often it is meant. It is empty when there are none. In version 3 of what holds it there were no units.

// maxTimes bounds how often a group means one counter: the copies of an unrolled loop.
const maxTimes = 1 << 20

// maxUnit bounds units: a counter of 64 bits has room for 2^48 runs.
const maxUnit = 1 << 16

// appendGroupTable encodes m's group table.
func appendGroupTable(b []byte, m *Meta) []byte {
	if len(m.Groups) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(m.Groups)))
	for _, g := range m.Groups {
		b = binary.AppendUvarint(b, uint64(max(g.Unit, 1)))
		b = binary.AppendUvarint(b, uint64(len(g.Members)))
		for _, x := range g.Members {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(x.Counter)), uint64(x.Times))
		}
	}
	return b
}

// parseGroupTable decodes a group table into m, whose functions and number of counters are known.
func parseGroupTable(b []byte, m *Meta, units bool) error {
	if len(b) == 0 {
		return nil
	}
	r := &ulebs{b: b}
	n := r.count(3)
	if n > m.NumCounters {
		return fmt.Errorf("group table: %d groups, the object has %d counters", n, m.NumCounters)
	}
	first := uint64(m.NumCounters - n)
	for i, f := range m.Functions {
		if end := uint64(f.First) + uint64(f.Count); end > first {
			return fmt.Errorf("group table: function %d has counters %d to %d, those of groups start at %d", i, f.First, end, first)
		}
	}
	for range n {
		g := Group{Unit: 1}
		if units {
			if g.Unit = uint32(r.next(maxUnit + 1)); r.err == nil && g.Unit == 0 {
				return fmt.Errorf("group table: a group that adds nothing")
			}
		}
		for range r.count(2) {
			x := Member{Counter: uint32(r.next(1 << 31)), Times: uint32(r.next(maxTimes + 1))}
			if r.err != nil {
				break
			}
			if uint64(x.Counter) >= first || x.Times == 0 || len(g.Members) > 0 && x.Counter <= g.Members[len(g.Members)-1].Counter {
				return fmt.Errorf("group table: counter %d %d times, those of groups start at %d", x.Counter, x.Times, first)
			}
			g.Members = append(g.Members, x)
		}
		if r.err == nil && len(g.Members) == 0 {
			return fmt.Errorf("group table: a group of nothing")
		}
		m.Groups = append(m.Groups, g)
	}
	if r.err == nil && len(r.b) != 0 {
		r.fail(fmt.Errorf("%d bytes too many", len(r.b)))
	}
	if r.err != nil {
		return fmt.Errorf("group table: %w", r.err)
	}
	return nil
}
