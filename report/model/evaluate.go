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
			cells[i], errs[first+i] = b.reasons(first + i)
		}
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-limit; wg.Done() }()
			for i, c := range cells {
				if c == nil {
					continue // NotRun is the zero state
				}
				if err := c.count(); err != nil {
					errs[first+i] = err
				}
				warnings[first+i] = c.warnings
			}
			b.fill(first, cells)
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
	sums     []fileSums // by file of the report
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

// fileSums are the sums of one file of one cell.
type fileSums struct {
	lines, regions, functions []counted
	branches                  [][2]counted
}

// counted is one position of one cell while its objects are added up.
type counted struct {
	count uint64
	value value
}

func (c *counted) add(count, v uint64) {
	c.count = addSat(c.count, count)
	c.value = max(c.value, value(v))
}

func (c *counted) state() State { return c.value.state(c.count) }

// reasons evaluates the objects of cell i for why their counts are 0. It returns nil for a cell that did not run.
func (b *builder) reasons(i int) (*evaluatedCell, error) {
	cell := &b.report.Cells[i]
	if !cell.Ran {
		return nil, nil
	}
	e := &evaluatedCell{name: cell.Name}
	for k := range b.report.Files {
		f := &b.report.Files[k]
		e.sums = append(e.sums, fileSums{make([]counted, len(f.Lines)), make([]counted, len(f.Regions)),
			make([]counted, len(f.Functions)), make([][2]counted, len(f.Branches))})
	}
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

// count adds up the objects.
func (e *evaluatedCell) count() error {
	var room covmap.Values
	for i := range e.objects {
		x := &e.objects[i]
		if x.counts == nil {
			var err error
			if room, err = x.o.plan.Counts(room, x.o.ownCounts(x.c), e.negative(x.o)); err != nil {
				return fmt.Errorf("object %s: %w", x.o.name(), err)
			}
			x.counts = room
		}
		x.addTo(e.sums)
	}
	return nil
}

func (x *evaluatedObject) addTo(sums []fileSums) {
	for k := range x.o.plan.Shape.Files {
		to, f := &x.o.layout[k], &x.o.plan.Shape.Files[k]
		if to.file < 0 {
			continue
		}
		s := &sums[to.file]
		for n, row := range to.lines {
			at := f.Lines[n].Count
			s.lines[row].add(x.counts[at], x.values[at])
		}
		for n, row := range to.regions {
			at := f.Regions[n].Count
			s.regions[row].add(x.counts[at], x.values[at])
		}
		for n, row := range to.functions {
			at := f.Functions[n].Count
			s.functions[row].add(x.counts[at], x.values[at])
		}
		for n, row := range to.branches {
			t, f := f.Branches[n].TrueCount, f.Branches[n].FalseCount
			s.branches[row][0].add(x.counts[t], x.values[t])
			s.branches[row][1].add(x.counts[f], x.values[f])
		}
		// Lines that ran, whatever is known of their regions.
		for line, count := range x.sights.direct(f.Name) {
			if n, ok := slices.BinarySearchFunc(f.Lines, line, func(l covmap.Line, want int) int { return l.Line - want }); ok {
				s.lines[to.lines[n]].raise(x.counts[f.Lines[n].Count], count)
			}
		}
	}
}

// raise replaces what an object added by something greater.
func (c *counted) raise(added, count uint64) {
	if count > added {
		c.count = addSat(c.count, count-added)
	}
}

// fill writes neighbouring cells into the report, the first of which is cell number first.
func (b *builder) fill(first int, cells []*evaluatedCell) {
	for k := range b.report.Files {
		f := &b.report.Files[k]
		for n := range f.Lines {
			to := f.Lines[n].Cells[first:]
			for i, c := range cells {
				if c != nil {
					to[i] = c.sums[k].lines[n].state()
				}
			}
		}
		for n := range f.Regions {
			to := f.Regions[n].Cells[first:]
			for i, c := range cells {
				if c != nil {
					to[i] = c.sums[k].regions[n].state()
				}
			}
		}
		for n := range f.Functions {
			to := f.Functions[n].Cells[first:]
			for i, c := range cells {
				if c != nil {
					to[i] = c.sums[k].functions[n].state()
				}
			}
		}
		for n := range f.Branches {
			to := f.Branches[n].Cells[first:]
			for i, c := range cells {
				if c != nil {
					s := &c.sums[k].branches[n]
					to[i] = BranchState{True: s[0].state(), False: s[1].state()}
				}
			}
		}
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
