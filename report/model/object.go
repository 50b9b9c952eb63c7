package model

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// object is the decoded meaning of one object id, shared by all cells that saw it.
type object struct {
	meta    *meta.Meta
	mapping *covmap.Mapping
	// plan evaluates the mapping.
	plan *covmap.Plan
	// lastValues are those of the cell that was evaluated last.
	lastValues knownValues
	// counters ties functions of the mapping to their counters; those without are dummies or
	// have none left.
	counters map[*covmap.Function]*meta.Func
	// programs are the functions that loaders load, by C name.
	programs map[string]*meta.Program
	// files are the names of the mapping, sorted.
	files []string
	// lines has the functions at "line" fidelity.
	lines map[*covmap.Function]*lineTable
	// groups are those that a counter is in: the group's counter, and how often it means this one.
	groups map[uint32][]meta.Member
	// layout says where each thing of the object's coverage goes in the report, see place.
	layout []fileLayout
}

// program returns the program that a function is, by C name, nil when it is none. libbpf's BPF_PROG and
// BPF_KPROBE put the code of a program into an inlined function with four underscores before its name.
func (o *object) program(name string) *meta.Program {
	if p := o.programs[name]; p != nil {
		return p
	}
	if inner, ok := strings.CutPrefix(name, "____"); ok {
		return o.programs[inner]
	}
	return nil
}

// name is what people call the object.
func (o *object) name() string {
	return cmp.Or(o.meta.Object, o.meta.Source, o.meta.ObjectID.Short())
}

// openObject decodes a mapping and checks that it belongs to the counters that meta describes. A
// function that does not fit is an error and never a zero: a stale mapping makes figures that look
// right.
func openObject(m *meta.Meta) (*object, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if m.BigEndian {
		order = binary.BigEndian
	}
	o := &object{meta: m, counters: map[*covmap.Function]*meta.Func{}, programs: map[string]*meta.Program{}}
	fail := func(err error) (*object, error) {
		return nil, fmt.Errorf("object %s (%s): %w", m.ObjectID.Short(), o.name(), err)
	}
	mapping, err := covmap.DecodeSections(m.Covmap, m.Covfun, m.Names, order)
	if err != nil {
		return fail(err)
	}
	o.mapping = mapping
	if n := len(m.Emitted); n != 0 && n != m.NumCounters {
		return fail(fmt.Errorf("%w: %d counters, but %d marks of what the compiler emitted",
			collect.ErrBuildMismatch, m.NumCounters, n))
	}
	byName := map[uint64][]*meta.Func{}
	for i := range m.Functions {
		f := &m.Functions[i]
		if uint64(f.First)+uint64(f.Count) > uint64(m.NumCounters) {
			return fail(fmt.Errorf("%w: a function has counters %d to %d of %d",
				collect.ErrBuildMismatch, f.First, uint64(f.First)+uint64(f.Count), m.NumCounters))
		}
		byName[f.NameHash] = append(byName[f.NameHash], f)
	}
	for _, f := range mapping.Functions {
		o.files = append(o.files, f.Files...)
		if f.Dummy() {
			continue
		}
		same := byName[f.NameHash]
		i := slices.IndexFunc(same, func(x *meta.Func) bool { return x.Hash == f.Hash })
		if i < 0 {
			if len(same) > 0 {
				return fail(fmt.Errorf("%w: function %s has hash %#x in the mapping and %#x in the counters",
					collect.ErrBuildMismatch, f.Name, f.Hash, same[0].Hash))
			}
			continue
		}
		if x := same[i]; x.Fidelity < meta.Line && f.NumCounters > int(x.Count) {
			return fail(fmt.Errorf("%w: function %s has %d counters in the mapping and %d in the object",
				collect.ErrBuildMismatch, f.Name, f.NumCounters, same[i].Count))
		}
		o.counters[f] = same[i]
	}
	if err := o.openLines(); err != nil {
		return fail(err)
	}
	slices.Sort(o.files)
	o.files = slices.Compact(o.files)
	o.groups = map[uint32][]meta.Member{}
	for i, g := range m.Groups {
		for _, x := range g.Members {
			o.groups[x.Counter] = append(o.groups[x.Counter], meta.Member{Counter: uint32(m.FirstGroup() + i), Times: x.Times})
		}
	}
	for i := range m.Programs {
		o.programs[m.Programs[i].Name] = &m.Programs[i]
	}
	return o, nil
}

// check refuses counters that cannot be this object's.
func (o *object) check(c *collect.ObjectCounters, cell collect.Cell) error {
	if len(c.Counts) != o.meta.NumCounters || len(c.States) != 0 && len(c.States) != len(c.Counts) {
		return fmt.Errorf("object %s (%s) in %s %s: %w: %d counts and %d states for %d counters",
			o.meta.ObjectID.Short(), o.name(), cell.Kernel, cell.Arch, collect.ErrBuildMismatch,
			len(c.Counts), len(c.States), o.meta.NumCounters)
	}
	if err := c.CheckUnits(o.meta); err != nil {
		return fmt.Errorf("object %s (%s) in %s %s: %w", o.meta.ObjectID.Short(), o.name(), cell.Kernel, cell.Arch, err)
	}
	return nil
}

// ownCounts returns the counters of a function that simply add up; c is nil for an object that was never loaded.
func (o *object) ownCounts(c *collect.ObjectCounters) func(*covmap.Function) []uint64 {
	return func(f *covmap.Function) []uint64 {
		x := o.counters[f]
		if x == nil || c == nil || x.Fidelity == meta.Off || needsSight(x) || len(f.Regions) == 1 && f.Regions[0].Count.IsZero() {
			return nil // LLVM drops the last kind when its counter is not 0; its code stays code
		}
		return c.Counts[x.First : x.First+x.Count]
	}
}

// counts is the algebra of counts. negative is told of functions whose counters do not add up.
func (o *object) counts(c *collect.ObjectCounters, negative func(*covmap.Function)) covmap.Algebra {
	return covmap.CountsClamped(o.ownCounts(c), negative)
}

// ranks is the algebra of why counters are 0. c is nil for an object that was never loaded.
func (o *object) ranks(c *collect.ObjectCounters, w *words) *ranks {
	removed := newValue(rankRemoved|rankDirect, w.text("removed by the compiler"))
	unused := newValue(rankUnused|rankDirect, w.text("not used by this object"))
	off := newValue(rankFolded|rankDirect, w.text("not instrumented"))
	a := &ranks{counters: c, groups: o.groups, unsure: newValue(rankUnsure, w.text("merged away by the optimiser")), first: func(f *covmap.Function) int {
		if x := o.counters[f]; x != nil {
			return int(x.First)
		}
		return -1
	}}
	type known struct{ notLoaded, rejected Reason }
	memo := map[*covmap.Function]*known{}
	a.leaf = func(f *covmap.Function, id int64) value {
		x := o.counters[f]
		switch {
		case f.Dummy():
			return unused
		case x != nil && x.Fidelity == meta.Off:
			return off
		case x == nil || id < 0 || id >= int64(x.Count):
			return removed
		}
		n := int(x.First) + int(id)
		if n < len(o.meta.Emitted) && !o.meta.Emitted[n] {
			if x.Fidelity != meta.Region {
				return a.unsure
			}
			return removed
		}
		return a.counter(f, n)
	}
	a.counter = func(f *covmap.Function, n int) value {
		rank := rankLive
		switch {
		case c == nil:
			rank = rankNotLoaded
		case len(c.States) > 0:
			rank = rankOf(c.States[n])
		}
		k := memo[f]
		if k == nil {
			k = &known{}
			memo[f] = k
		}
		var why Reason
		switch rank {
		case rankNotLoaded:
			if k.notLoaded == 0 {
				k.notLoaded = w.notLoaded(o, cName(f.Name), c != nil)
			}
			why = k.notLoaded
		case rankRejected:
			if k.rejected == 0 {
				k.rejected = w.rejected(o, cName(f.Name))
			}
			why = k.rejected
		}
		return newValue(rank|rankDirect, why)
	}
	return a
}
