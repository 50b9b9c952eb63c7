package collect

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// CellData is what all runs of one cell saw together.
type CellData struct {
	Cell     Cell
	Runs     []Run            // sorted by test, then id
	Objects  []ObjectCounters // one per object id, sorted by it
	Programs []ProgramLoad    // sorted by name
	// UserSpace is sorted by name.
	UserSpace []UserFile
}

// Merge adds src to dst, which must be of the same object id: counts are added (and saturate, at 1 when
// the width is 1), a counter's state becomes the better known of both, and flows that are in both are
// there once. The error is an [ErrBuildMismatch] that says what differs; dst is
// then unchanged. src is not kept.
func Merge(dst *ObjectCounters, src ObjectCounters) error {
	switch {
	case dst.ObjectID != src.ObjectID:
		return fmt.Errorf("%w: object ids %s and %s", ErrBuildMismatch, dst.ObjectID, src.ObjectID)
	case dst.Width != src.Width:
		return fmt.Errorf("%w: object %s has counters of %d bytes in one and of %d in the other",
			ErrBuildMismatch, dst.ObjectID, dst.Width, src.Width)
	case len(dst.Counts) != len(src.Counts):
		return fmt.Errorf("%w: object %s has %d counters in one and %d in the other",
			ErrBuildMismatch, dst.ObjectID, len(dst.Counts), len(src.Counts))
	}
	dst.Maps += src.Maps
	most := uint64(math.MaxUint64)
	if dst.Width == 1 {
		most = 1
	}
	for i, c := range src.Counts {
		dst.Counts[i] = min(AddCounts(dst.Counts[i], c), most)
	}
	if len(dst.States) == 0 {
		dst.States = slices.Clone(src.States)
	} else {
		for i, s := range src.States {
			dst.States[i] = max(dst.States[i], s)
		}
	}
	dst.Flows = unionFlows(dst.Flows, src.Flows)
	return nil
}

// AddCounts adds without wrapping: a count that is too large is still "very often".
func AddCounts(a, b uint64) uint64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxUint64
}

// Merger collects records into cells. Its result does not depend on the order of the records. The
// zero value is ready; memory grows with the number of cells and objects, not of records. Counters are kept as in a
// counters file, a fifth of what they take in an [ObjectCounters]: [Merger.Walk] hands out one cell at a time.
type Merger struct {
	cells map[cellKey]*cellMerge
}

type cellKey struct {
	kernel, arch string
	llvm         int
}

type cellMerge struct {
	cell     Cell
	runs     []Run
	objects  map[meta.ObjectID]packedObject
	programs map[string]*ProgramLoad
	user     []UserFile
}

// Add takes one record in. Of r nothing is kept that Add changes later.
func (m *Merger) Add(r *Record) error {
	if m.cells == nil {
		m.cells = map[cellKey]*cellMerge{}
	}
	key := cellKey{r.Run.Cell.Kernel, r.Run.Cell.Arch, r.Run.Cell.LLVM}
	c := m.cells[key]
	if c == nil {
		c = &cellMerge{cell: r.Run.Cell, objects: map[meta.ObjectID]packedObject{}, programs: map[string]*ProgramLoad{}}
		m.cells[key] = c
	}
	if CompareCells(r.Run.Cell, c.cell) < 0 { // may differ in spec and acceleration
		c.cell = r.Run.Cell
	}
	for i := range r.Objects {
		o := r.Objects[i]
		if packed, ok := c.objects[o.ObjectID]; ok {
			have := packed.unpack()
			if err := Merge(&have, o); err != nil {
				return fmt.Errorf("merge %s into %s-%s: %w", runName(&r.Run), key.kernel, key.arch, err)
			}
			o = have
		} else {
			o.Flows = unionFlows(nil, o.Flows)
		}
		c.objects[o.ObjectID] = packObject(o)
	}
	for i := range r.Programs {
		addProgram(c.programs, &r.Programs[i])
	}
	if len(r.UserSpace) > 0 {
		c.user = MergeUserFiles(c.user, r.UserSpace)
	}
	c.runs = append(c.runs, r.Run)
	return nil
}

// Cells returns what was added, sorted by kernel (numbers in it numerically), arch and LLVM.
func (m *Merger) Cells() []CellData {
	cells := make([]CellData, 0, len(m.cells))
	_ = m.Walk(func(d *CellData) error {
		cells = append(cells, *d)
		return nil
	})
	return cells
}

// Walk calls fn for each cell, in the order of [Merger.Cells], with its counters unpacked, until fn fails. What fn
// gets is its own.
func (m *Merger) Walk(fn func(*CellData) error) error {
	sorted := slices.SortedFunc(maps.Values(m.cells), func(a, b *cellMerge) int { return CompareCells(a.cell, b.cell) })
	for _, c := range sorted {
		d := CellData{Cell: c.cell, Runs: slices.Clone(c.runs), UserSpace: MergeUserFiles(nil, c.user)}
		slices.SortFunc(d.Runs, compareRuns)
		for _, packed := range c.objects {
			d.Objects = append(d.Objects, packed.unpack())
		}
		sortObjects(d.Objects)
		for _, k := range slices.Sorted(maps.Keys(c.programs)) {
			d.Programs = append(d.Programs, *c.programs[k])
		}
		if err := fn(&d); err != nil {
			return err
		}
	}
	return nil
}

// packedObject is an [ObjectCounters] whose counts and states are as in a counters file.
type packedObject struct {
	rest    ObjectCounters
	n       int // counts
	numbers []byte
}

func packObject(o ObjectCounters) packedObject {
	b := make([]byte, 0, 2*len(o.Counts))
	for _, c := range o.Counts {
		b = binary.AppendUvarint(b, c)
	}
	p := packedObject{rest: o, n: len(o.Counts), numbers: slices.Clone(appendStates(b, o.States))}
	p.rest.Counts, p.rest.States = nil, nil
	return p
}

func (p packedObject) unpack() ObjectCounters {
	o, r := p.rest, reader{b: p.numbers}
	o.Counts, o.Flows = make([]uint64, p.n), slices.Clone(o.Flows)
	for i := range o.Counts {
		o.Counts[i] = r.uvarint()
	}
	for range r.uvarint() {
		state, length := r.bytes(1), r.uvarint()
		o.States = append(o.States, slices.Repeat([]CounterState{CounterState(state[0])}, int(length))...)
	}
	return o
}

// MergeCells groups records by cell (kernel, arch and LLVM), sorted, and merges the objects and
// programs of each. Counters of different objects or cells are never added.
func MergeCells(records []Record) ([]CellData, error) {
	var m Merger
	for i := range records {
		if err := m.Add(&records[i]); err != nil {
			return nil, err
		}
	}
	return m.Cells(), nil
}

// CompareCells orders cells by kernel, with numbers compared as numbers (5.15 before 6.1 before 6.12),
// then arch, LLVM, spec and acceleration.
func CompareCells(a, b Cell) int {
	return cmp.Or(compareNatural(a.Kernel, b.Kernel), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.LLVM, b.LLVM),
		compareNatural(a.Spec, b.Spec), cmp.Compare(a.Accel, b.Accel))
}

func compareRuns(a, b Run) int {
	return cmp.Or(CompareCells(a.Cell, b.Cell), cmp.Compare(a.Test, b.Test), cmp.Compare(a.ID, b.ID),
		cmp.Compare(a.Duration, b.Duration))
}

// addProgram adds p to the loads of an equal program with an equal verdict, or as a new one. The map
// is keyed so that sorting by key sorts by name.
func addProgram(all map[string]*ProgramLoad, p *ProgramLoad) {
	key := fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%08d\x00%s", p.Name, p.Type, p.Verdict, p.Errno, p.Insns, p.Objects)
	have := all[key]
	if have == nil {
		c := *p
		c.Objects = slices.Clone(p.Objects)
		all[key] = &c
		return
	}
	have.Loads += p.Loads
	have.Refused = unionCounters(have.Refused, p.Refused)
	have.Verified = max(have.Verified, p.Verified)
	have.Xlated = max(have.Xlated, p.Xlated)
	have.Jited = max(have.Jited, p.Jited)
	have.Stats = max(have.Stats, p.Stats)
	// Deterministic whatever the order: an equal program may be refused with different words.
	have.Reason = max(have.Reason, p.Reason)
	have.Class, have.LogFile, have.FullLog = max(have.Class, p.Class), max(have.LogFile, p.LogFile), max(have.FullLog, p.FullLog)
	if len(p.Log) > len(have.Log) || len(p.Log) == len(have.Log) && p.Log > have.Log {
		have.Log = p.Log
	}
}

func runName(r *Run) string {
	return fmt.Sprintf("run %q (%s)", r.Test, r.ID)
}

func cloneObject(o *ObjectCounters) *ObjectCounters {
	c := *o
	c.Counts, c.States = slices.Clone(o.Counts), slices.Clone(o.States)
	c.Flows = slices.Clone(o.Flows)
	return &c
}

func sortObjects(o []ObjectCounters) {
	slices.SortFunc(o, func(a, b ObjectCounters) int { return slices.Compare(a.ObjectID[:], b.ObjectID[:]) })
}

func cloneObjects(all []ObjectCounters) []ObjectCounters {
	c := make([]ObjectCounters, len(all))
	for i := range all {
		c[i] = *cloneObject(&all[i])
	}
	return c
}

// sameCounters reports whether counts and states are equal.
func sameCounters(a, b []ObjectCounters) bool {
	return slices.EqualFunc(a, b, func(a, b ObjectCounters) bool {
		return a.ObjectID == b.ObjectID && a.Maps == b.Maps && slices.Equal(a.Counts, b.Counts) && slices.Equal(a.States, b.States)
	})
}
