package model

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// Options vary what is in a report. The zero value is everything.
type Options struct {
	// Ignore leaves out files whose name it matches, when not nil.
	Ignore *regexp.Regexp
	// Filters leave out parts of files, one after the other: markers in the source, or what a
	// change did not touch.
	Filters []Filter
	// FiguresOnly leaves out what tracefiles do not show, and what takes as long as all the rest: differences and regions.
	FiguresOnly bool
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
	if err := b.evaluate(); err != nil {
		return nil, err
	}
	b.userSpace()
	b.report.Reasons = b.texts.texts
	b.report.filter(o.Filters)
	b.report.summarize()
	if !o.FiguresOnly {
		b.report.Differences = b.report.differences()
	}
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
	idle    []string // names of objects that no cell loaded
	sharers []int    // of each file of the report, how many objects have it
	// freeValues has covmap.Values that are used no more.
	freeValues sync.Pool
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
