package model

import (
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
)

// cellsAtOnce is how many neighbouring cells one goroutine fills in: their states share lines of the processor's cache.
const cellsAtOnce = 4

// evaluate fills in the columns. Why counts are 0 is worked out cell by cell, because the first one to need a reason
// numbers it; counting and filling in is then for all processors.
func (b *builder) evaluate() error {
	var wg sync.WaitGroup
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	errs := make([]error, len(b.data))
	warnings := make([][]string, len(b.data))
	for first := 0; first < len(b.data); first += cellsAtOnce {
		cells := make([]*evaluatedCell, min(cellsAtOnce, len(b.data)-first))
		for i := range cells {
			var err error
			if cells[i], err = b.reasons(first + i); err != nil {
				wg.Wait()
				return err
			}
		}
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-limit; wg.Done() }()
			room, _ := b.freeValues.Get().(covmap.Values)
			for i, c := range cells {
				if c != nil { // else NotRun, the zero state
					room, errs[first+i] = b.count(c, first+i, room)
					warnings[first+i] = c.warnings
				}
			}
			b.freeValues.Put(room)
		}()
	}
	wg.Wait()
	b.report.Warnings = append(b.report.Warnings, slices.Concat(warnings...)...)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// evaluatedCell is a cell on its way into the report.
type evaluatedCell struct {
	name     string
	objects  []evaluatedObject
	warnings []string
}

// evaluatedObject is an object in a cell, with why its counts are 0.
type evaluatedObject struct {
	o *object
	c *collect.ObjectCounters // nil when it was never loaded
	// values are numbered as in the object's plan, and so are counts, which are nil until they are needed.
	values, counts covmap.Values
	sights         *sights // nil when all counters simply add up
}

// reasons evaluates the objects of cell i for why their counts are 0. It returns nil for a cell that did not run.
func (b *builder) reasons(i int) (*evaluatedCell, error) {
	cell := &b.report.Cells[i]
	if !cell.Ran {
		return nil, nil
	}
	e := &evaluatedCell{name: cell.Name}
	w := &words{texts: b.texts, programs: cell.Programs, partial: cell.Partial}
	for _, o := range b.objects {
		x := evaluatedObject{o: o, c: find(&b.data[i], o)}
		if x.c == nil && !b.expected(i, o) {
			continue
		}
		if x.c != nil {
			if err := o.check(x.c, cell.Cell); err != nil {
				return nil, err
			}
			x.c = x.c.Ungroup(o.meta)
		}
		if err := x.reasons(w, e.negative(o)); err != nil {
			return nil, fmt.Errorf("object %s: %w", o.name(), err)
		}
		e.objects = append(e.objects, x)
	}
	return e, nil
}

// negative returns what is to be told of functions of o whose counters do not add up.
func (e *evaluatedCell) negative(o *object) func(*covmap.Function) {
	return func(f *covmap.Function) {
		e.warnings = append(e.warnings, fmt.Sprintf("%s: counters of %s in %s do not add up, what they leave for other paths reads 0",
			o.name(), cName(f.Name), e.name))
	}
}

// reasons evaluates the object for why its counts are 0, and for its counts when these are not simply sums.
func (x *evaluatedObject) reasons(w *words, negative func(*covmap.Function)) (err error) {
	o := x.o
	if !o.anySight() {
		if known := &o.lastValues; known.serves(x.c, w) {
			x.values = known.values
			return nil
		}
		if x.values, _, err = o.plan.Evaluate(o.ranks(x.c, w)); err == nil {
			o.lastValues = knownValues{x.c, w.partial, x.values}
		}
		return err
	}
	ranks := o.ranks(x.c, w)
	x.sights = &sights{o: o, c: x.c, ranks: ranks, of: map[*covmap.Function]*sight{}}
	if x.counts, _, err = o.plan.Evaluate(&mixed{o.counts(x.c, negative), x.sights, false}); err != nil {
		return err
	}
	x.values, _, err = o.plan.Evaluate(&mixed{ranks, x.sights, true})
	return err
}

// knownValues are those of the cell before, which are often those of the next one.
type knownValues struct {
	c       *collect.ObjectCounters
	partial bool
	values  covmap.Values
}

// serves reports whether the values of a cell with these counters and words would be the same: reasons are in the states of
// the counters, unless the flow of programs or what a kernel said to them comes in.
func (k *knownValues) serves(c *collect.ObjectCounters, w *words) bool {
	if k.values == nil || k.partial != w.partial || (k.c == nil) != (c == nil) {
		return false
	}
	return c == nil || len(k.c.Flows) == 0 && len(c.Flows) == 0 && slices.Equal(k.c.States, c.States) &&
		!slices.Contains(c.States, collect.StateRejected)
}

// count adds up the objects of the cell in column i. It returns the room that it took in place of the one that it may use.
func (b *builder) count(e *evaluatedCell, i int, room covmap.Values) (covmap.Values, error) {
	done := make([]bool, len(b.report.Files))
	for n := range e.objects {
		x := &e.objects[n]
		if x.counts == nil {
			var err error
			if room, err = x.o.plan.Counts(room, x.o.ownCounts(x.c), e.negative(x.o)); err != nil {
				return nil, fmt.Errorf("object %s: %w", x.o.name(), err)
			}
			x.counts = room
		}
		b.add(x, i, done)
	}
	for k := range b.report.Files {
		if !done[k] {
			b.report.Files[k].settle(i)
		}
	}
	return room, nil
}

// add adds an object to column i. Files that no other object has are done then: nothing needs to be added up.
func (b *builder) add(x *evaluatedObject, i int, done []bool) {
	for k := range x.o.plan.Shape.Files {
		to, shape := &x.o.layout[k], &x.o.plan.Shape.Files[k]
		if to.file < 0 {
			continue
		}
		f, alone := &b.report.Files[to.file], b.sharers[to.file] == 1
		done[to.file] = alone
		add := func(s *State, at, least uint64) {
			count, v := max(x.counts[at], least), value(x.values[at])
			if alone {
				*s = v.state(count)
			} else {
				s.add(count, v)
			}
		}
		direct := x.sights.direct(f.Name) // lines that ran, whatever is known of their regions
		for n, row := range to.lines {
			l := &shape.Lines[n]
			least := uint64(0)
			if direct != nil {
				least = direct[l.Line]
			}
			add(&f.Lines[row].Cells[i], l.Count, least)
		}
		for n, row := range to.regions {
			add(&f.Regions[row].Cells[i], shape.Regions[n].Count, 0)
		}
		for n, row := range to.functions {
			add(&f.Functions[row].Cells[i], shape.Functions[n].Count, 0)
		}
		for n, row := range to.branches {
			s, b := &f.Branches[row].Cells[i], &shape.Branches[n]
			add(&s.True, b.TrueCount, 0)
			add(&s.False, b.FalseCount, 0)
		}
	}
}

// add adds an object's count and why it is 0. Until settle, the state's status and reason are those of the value: the zero
// state is nothing yet.
func (s *State) add(count uint64, v value) {
	s.Count = collect.AddCounts(s.Count, count)
	if have := newValue(int(s.Status), s.Reason); v > have {
		s.Status, s.Reason = Status(v>>32), v.reason()
	}
}

func (s *State) settle() { *s = newValue(int(s.Status), s.Reason).state(s.Count) }

// settle makes states of what was added up in column i.
func (f *File) settle(i int) {
	for n := range f.Lines {
		f.Lines[n].Cells[i].settle()
	}
	for n := range f.Regions {
		f.Regions[n].Cells[i].settle()
	}
	for n := range f.Functions {
		f.Functions[n].Cells[i].settle()
	}
	for n := range f.Branches {
		s := &f.Branches[n].Cells[i]
		s.True.settle()
		s.False.settle()
	}
}

// anySight reports whether the object has functions whose values do not come from their own counters.
func (o *object) anySight() bool {
	for _, x := range o.counters {
		if needsSight(x) {
			return true
		}
	}
	return false
}
