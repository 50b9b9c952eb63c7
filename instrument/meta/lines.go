package meta

import (
	"encoding/binary"
	"fmt"
)

// FuncLine is a line of a function.
type FuncLine struct {
	// Function is an index of [Meta.Functions]. Line is in the function's first file, from 1.
	Function, Line uint32
}

// LineCounter is a counter of "line" fidelity: one of a basic block after the optimiser.
type LineCounter struct {
	// Counter is its index in the object's block.
	Counter uint32
	// Lines are those that ran if the counter is not 0, sorted. A flag leaves out what the flags of
	// blocks say that ran before whenever this one does.
	Lines []FuncLine
}

// The line table is, in ULEB128 numbers: how many counters are for lines, and for each its index less
// that of the one before, how many lines, and for each the function and the line; then how many lines
// are unsure, and for each the function and the line. It is empty when there are none.

// appendLineTable encodes m's line table.
func appendLineTable(b []byte, m *Meta) []byte {
	if len(m.LineCounters) == 0 && len(m.UnsureLines) == 0 {
		return b
	}
	list := func(lines []FuncLine) {
		b = binary.AppendUvarint(b, uint64(len(lines)))
		for _, l := range lines {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(l.Function)), uint64(l.Line))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(m.LineCounters)))
	last := uint32(0)
	for _, c := range m.LineCounters {
		b = binary.AppendUvarint(b, uint64(c.Counter-last))
		last = c.Counter
		list(c.Lines)
	}
	list(m.UnsureLines)
	return b
}

// parseLineTable decodes a line table into m, whose functions and number of counters are known.
func parseLineTable(b []byte, m *Meta) error {
	if len(b) == 0 {
		return nil
	}
	r := &ulebs{b: b}
	list := func() (lines []FuncLine) {
		n := r.count(2)
		for range n {
			l := FuncLine{uint32(r.next(1 << 31)), uint32(r.next(1 << 31))}
			if int64(l.Function) >= int64(len(m.Functions)) {
				r.fail(fmt.Errorf("a line of function %d, there are %d", l.Function, len(m.Functions)))
				return nil
			}
			lines = append(lines, l)
		}
		return lines
	}
	at := uint64(0)
	for i, n := 0, r.count(2); i < n && r.err == nil; i++ {
		d := r.next(1 << 31)
		if at += d; d == 0 && i > 0 || at >= uint64(m.NumCounters) {
			return fmt.Errorf("line table: counter %d after %d, the object has %d", at, at-d, m.NumCounters)
		}
		m.LineCounters = append(m.LineCounters, LineCounter{uint32(at), list()})
	}
	m.UnsureLines = list()
	if r.err == nil && len(r.b) != 0 {
		r.fail(fmt.Errorf("%d bytes too many", len(r.b)))
	}
	if r.err != nil {
		return fmt.Errorf("line table: %w", r.err)
	}
	return nil
}

// ulebs reads ULEB128 numbers and remembers the first failure; after it every read gives 0.
type ulebs struct {
	b   []byte
	err error
}

func (r *ulebs) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// next reads a number below limit.
func (r *ulebs) next(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v >= limit {
		r.fail(ErrTruncated)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of elements of at least each bytes, which bounds it by what is there.
func (r *ulebs) count(each int) int {
	n := r.next(1 << 31)
	if n > uint64(len(r.b)/each) {
		r.fail(fmt.Errorf("%d elements of %d bytes, %d bytes left", n, each, len(r.b)))
		return 0
	}
	return int(n)
}
