package model

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// Options vary what is in a report. The zero value is everything.
type Options struct {
	// Ignore leaves out files whose name it matches, when not nil.
	Ignore *regexp.Regexp
	// Filters leave out parts of files, one after the other: markers in the source, or what a
	// change did not touch.
	Filters []Filter
}

// Build merges covdata into a report. The order of d.Records does not matter, and records that are
// there twice count once.
//
// It fails when counters and mapping do not belong together ([collect.ErrBuildMismatch]), when
// counters have no meta, and when a mapping is malformed: figures that look right and are not are
// worse than none.
func Build(d *collect.Data, o Options) (*Report, error) {
	records, err := normalize(d.Records, d.Metas)
	if err != nil {
		return nil, err
	}
	data, err := collect.MergeCells(records)
	if err != nil {
		return nil, err
	}
	b := &builder{options: o, metas: d.Metas, data: data, texts: newInterner(), report: &Report{}}
	if err := b.openObjects(); err != nil {
		return nil, err
	}
	b.cells()
	if err := b.place(); err != nil {
		return nil, err
	}
	for i := range data {
		if err := b.evaluate(i); err != nil {
			return nil, err
		}
	}
	b.report.Reasons = b.texts.texts
	b.report.filter(o.Filters)
	b.report.summarize()
	b.report.Differences = b.report.differences()
	b.warn()
	return b.report, nil
}

type builder struct {
	options Options
	metas   map[meta.ObjectID]*meta.Meta
	data    []collect.CellData
	objects []*object // sorted by source, object name and id
	texts   *interner
	report  *Report
	names   map[string]int // of files, index in report.Files
	idle    []string       // names of objects that no cell loaded
}

// openObjects decodes the object of every meta that matters: those with counters, and of the others
// those that no object with counters has replaced in a later build.
func (b *builder) openObjects() error {
	used := map[meta.ObjectID]bool{}
	sources := map[string]bool{}
	for i := range b.data {
		for _, c := range b.data[i].Objects {
			m := b.metas[c.ObjectID]
			if m == nil {
				return fmt.Errorf("object %s in %s %s: counters but no %s to say what they mean; "+
					"it is written by bpfcov-clang (see BPFCOV_META_DIR)", c.ObjectID.Short(),
					b.data[i].Cell.Kernel, b.data[i].Cell.Arch, "meta."+c.ObjectID.String())
			}
			used[c.ObjectID] = true
			sources[m.Source] = true
		}
	}
	for id, m := range b.metas {
		if !used[id] && sources[m.Source] {
			continue
		}
		o, err := openObject(m)
		if err != nil {
			return err
		}
		b.objects = append(b.objects, o)
		if !used[id] {
			b.idle = append(b.idle, o.name())
		}
	}
	slices.SortFunc(b.objects, func(x, y *object) int {
		return cmp.Or(cmp.Compare(x.meta.Source, y.meta.Source), cmp.Compare(x.meta.Object, y.meta.Object),
			bytes.Compare(x.meta.ObjectID[:], y.meta.ObjectID[:]))
	})
	return nil
}

// cells fills in the columns, apart from figures.
func (b *builder) cells() {
	for i := range b.data {
		d := &b.data[i]
		c := Cell{Cell: d.Cell, Ran: ran(d), Programs: d.Programs}
		c.summarizeRuns(d.Runs)
		for _, o := range b.objects {
			if x := find(d, o); x != nil {
				c.Objects = append(c.Objects, Object{ID: o.meta.ObjectID, Source: o.meta.Source,
					Object: o.meta.Object, LLVM: o.meta.LLVM, Maps: x.Maps})
			}
		}
		b.report.Cells = append(b.report.Cells, c)
	}
	nameCells(b.report.Cells)
}

// find returns what a cell saw of o, nil when it never loaded it.
func find(d *collect.CellData, o *object) *collect.ObjectCounters {
	for i := range d.Objects {
		if d.Objects[i].ObjectID == o.meta.ObjectID {
			return &d.Objects[i]
		}
	}
	return nil
}

// expected reports whether object o, which cell i did not load, was there to be loaded: a cell of the
// same arch and compiler loaded it, and this cell has no other build of it.
func (b *builder) expected(i int, o *object) bool {
	anywhere, alike := false, false
	for k := range b.data {
		x := find(&b.data[k], o)
		anywhere = anywhere || x != nil
		alike = alike || x != nil && b.data[k].Cell.Arch == b.data[i].Cell.Arch &&
			b.data[k].Cell.LLVM == b.data[i].Cell.LLVM
	}
	if !anywhere {
		return true // nobody loaded it: a test for it is missing
	}
	if !alike {
		return false
	}
	for _, other := range b.objects {
		if other != o && other.meta.Source == o.meta.Source && other.meta.Object == o.meta.Object &&
			find(&b.data[i], other) != nil {
			return false
		}
	}
	return true
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

// fileSums are the sums of one file of one cell.
type fileSums struct {
	lines, functions []counted
	branches         [][2]counted
}

// evaluate fills in column i.
func (b *builder) evaluate(i int) error {
	cell := &b.report.Cells[i]
	if !cell.Ran {
		return nil // NotRun is the zero state
	}
	sums := make([]fileSums, len(b.report.Files))
	for k := range sums {
		f := &b.report.Files[k]
		sums[k] = fileSums{make([]counted, len(f.Lines)), make([]counted, len(f.Functions)),
			make([][2]counted, len(f.Branches))}
	}
	w := &words{texts: b.texts, programs: cell.Programs, partial: cell.Partial}
	for _, o := range b.objects {
		c := find(&b.data[i], o)
		if c == nil && !b.expected(i, o) {
			continue
		}
		if c != nil {
			if err := o.check(c, cell.Cell); err != nil {
				return err
			}
		}
		negative := func(f *covmap.Function) {
			b.report.Warnings = append(b.report.Warnings, fmt.Sprintf(
				"%s: counters of %s in %s do not add up, what they leave for other paths reads 0",
				o.name(), cName(f.Name), cell.Name))
		}
		if err := o.addTo(sums, c, w, negative); err != nil {
			return err
		}
	}
	for k := range sums {
		f := &b.report.Files[k]
		for n := range f.Lines {
			f.Lines[n].Cells[i] = sums[k].lines[n].state()
		}
		for n := range f.Functions {
			f.Functions[n].Cells[i] = sums[k].functions[n].state()
		}
		for n, s := range sums[k].branches {
			f.Branches[n].Cells[i] = BranchState{True: s[0].state(), False: s[1].state()}
		}
	}
	return nil
}

// addTo evaluates the object twice, for counts and for why they are 0, and adds both to sums.
func (o *object) addTo(sums []fileSums, c *collect.ObjectCounters, w *words, negative func(*covmap.Function)) error {
	ranks := o.ranks(c, w)
	if !o.anySight() {
		done, err := o.addPlanned(sums, c, ranks, negative)
		if err != nil {
			return fmt.Errorf("object %s: %w", o.name(), err)
		}
		if done {
			return nil
		}
	}
	sights := &sights{o: o, c: c, ranks: ranks, of: map[*covmap.Function]*sight{}}
	counts, err := o.mapping.Evaluate(&mixed{o.counts(c, negative), sights, false})
	if err != nil {
		return fmt.Errorf("object %s: %w", o.name(), err)
	}
	values, err := o.mapping.Evaluate(&mixed{ranks, sights, true})
	if err != nil {
		return fmt.Errorf("object %s: %w", o.name(), err)
	}
	sights.addDirect(counts)
	if err := o.sameShape(counts, values); err != nil {
		return err
	}
	for k := range counts.Files {
		to := o.layout[k]
		if to.file < 0 {
			continue
		}
		cf, vf, s := &counts.Files[k], &values.Files[k], &sums[to.file]
		for n := range cf.Lines {
			s.lines[to.lines[n]].add(cf.Lines[n].Count, vf.Lines[n].Count)
		}
		for n := range cf.Functions {
			s.functions[to.functions[n]].add(cf.Functions[n].Count, vf.Functions[n].Count)
		}
		for n := range cf.Branches {
			p := &s.branches[to.branches[n]]
			p[0].add(cf.Branches[n].TrueCount, vf.Branches[n].TrueCount)
			p[1].add(cf.Branches[n].FalseCount, vf.Branches[n].FalseCount)
		}
	}
	return nil
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

// addPlanned is addTo for objects without sights. done is false, and nothing is added, when the plan does not hold.
func (o *object) addPlanned(sums []fileSums, c *collect.ObjectCounters, ranks *ranks, negative func(*covmap.Function)) (done bool, err error) {
	counts, ok, err := o.plan.Evaluate(o.counts(c, negative))
	if err != nil || !ok {
		return false, err
	}
	values, ok, err := o.plan.Evaluate(ranks)
	if err != nil || !ok {
		return false, err
	}
	for k := range o.plan.Shape.Files {
		to := o.layout[k]
		if to.file < 0 {
			continue
		}
		f, s := &o.plan.Shape.Files[k], &sums[to.file]
		for n := range f.Lines {
			x := f.Lines[n].Count
			s.lines[to.lines[n]].add(counts[x], values[x])
		}
		for n := range f.Functions {
			x := f.Functions[n].Count
			s.functions[to.functions[n]].add(counts[x], values[x])
		}
		for n := range f.Branches {
			x, y := f.Branches[n].TrueCount, f.Branches[n].FalseCount
			p := &s.branches[to.branches[n]]
			p[0].add(counts[x], values[x])
			p[1].add(counts[y], values[y])
		}
	}
	return true, nil
}

// sameShape checks what the layout relies on: which lines, functions and branches there are never
// depends on values.
func (o *object) sameShape(cs ...*covmap.Coverage) error {
	for _, c := range cs {
		ok := len(c.Files) == len(o.layout)
		for k := 0; ok && k < len(c.Files); k++ {
			f, l := &c.Files[k], &o.layout[k]
			ok = l.file < 0 || len(f.Lines) == len(l.lines) && len(f.Functions) == len(l.functions) &&
				len(f.Branches) == len(l.branches)
		}
		if !ok {
			return fmt.Errorf("object %s: evaluating it twice gave different lines", o.name())
		}
	}
	return nil
}
