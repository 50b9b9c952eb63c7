package model

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// sum is a counter of a mapping as a sum: how often each counter of the function is added, negative when it is
// subtracted. Counters of equal sums always have equal values.
type sum map[uint32]int

// sums computes the sums of one function, each once: they share parts.
type sums struct {
	f    *covmap.Function
	memo map[covmap.Counter]sum
}

func newSums(f *covmap.Function) *sums { return &sums{f, map[covmap.Counter]sum{}} }

// of returns the sum that c is. Expressions have no cycles, covmap sees to that.
func (s *sums) of(c covmap.Counter) sum {
	switch {
	case c.IsZero():
		return sum{}
	case !c.IsExpression():
		return sum{c.ID: 1}
	}
	if x, ok := s.memo[c]; ok {
		return x
	}
	e := s.f.Expressions[c.ID]
	x, sign := maps.Clone(s.of(e.Left)), 1
	if c.Kind == covmap.CounterSub {
		sign = -1
	}
	for id, n := range s.of(e.Right) {
		if x[id] += sign * n; x[id] == 0 {
			delete(x, id)
		}
	}
	s.memo[c] = x
	return x
}

// key is equal for equal sums.
func (s sum) key() string {
	var b []byte
	for _, id := range sortedKeys(s) {
		b = binary.AppendVarint(binary.AppendUvarint(b, uint64(id)), int64(s[id]))
	}
	return string(b)
}

// seen is what is known of one count.
type seen struct {
	known bool
	// exact is set when count is not only what is at least right.
	exact bool
	count uint64
	value value // why the count is 0, or that it could have run
}

// sight is what a cell knows of a function whose counters do not simply add up: flags say reached and not how
// often, the optimiser folded regions at "probe", and lines are all there is at "line". What is not known reads
// "folded", and never "missed".
type sight struct {
	f     *covmap.Function
	sums  *sums
	ranks *ranks
	// known has what is known of sums, by their keys.
	known map[string]seen
	memo  map[covmap.Counter]seen
	entry seen // of the first region: what is never entered is all missed
	// unsure is the value of what is not known, zero that of code that clang knows to be unreachable.
	unsure, zero value
	// direct are lines of the function's first file that ran.
	direct map[int]seen
	// ofLines is set at "line".
	ofLines bool
}

// look returns what is known of a counter.
func (s *sight) look(c covmap.Counter) seen {
	x, ok := s.memo[c]
	if !ok {
		x = s.solve(c)
		s.memo[c] = x
	}
	return x
}

func (s *sight) solve(c covmap.Counter) seen {
	if c.IsZero() {
		return seen{known: true, exact: true, value: s.zero}
	}
	terms := s.sums.of(c)
	if x, ok := s.known[terms.key()]; ok && x.known {
		return x
	}
	if s.entry.known && s.entry.count == 0 {
		return s.entry
	}
	if !s.ofLines {
		// The flow of the loaded programs may tell that nothing leads there.
		v := value(s.ranks.Value(s.f, c))
		if r := v.rank(); c.IsExpression() && (r == rankEliminated || r == rankRemoved) {
			return seen{known: true, exact: true, value: v}
		}
	}
	var added, removed part
	for id, n := range terms {
		x := s.known[single(id)]
		if n > 0 {
			added.add(x, n)
		} else {
			removed.add(x, -n)
		}
	}
	out := seen{known: true, count: added.count, value: added.value}
	switch {
	case added.count == 0 && !added.missing: // nothing of nothing
	case removed.terms == 0 && added.count > 0: // at least this
	case removed.count == 0 && !removed.missing && added.count > 0: // all of it
	case !added.missing && !removed.missing && !added.vague && !removed.vague:
		out.count -= min(out.count, removed.count)
	default:
		return seen{value: s.unsure}
	}
	out.exact = !added.missing && !removed.missing && !added.vague && !removed.vague
	if out.count == 0 && !s.ofLines {
		out.value = value(s.ranks.Value(s.f, c))
	}
	return out
}

// part is one side of a sum.
type part struct {
	terms          int
	count          uint64
	value          value
	missing, vague bool // something is not known, or not exactly
}

func (p *part) add(x seen, n int) {
	p.terms++
	if !x.known {
		p.missing = true
		return
	}
	for range min(n, 1000) {
		p.count = collect.AddCounts(p.count, x.count)
	}
	p.value = max(p.value, x.value)
	p.vague = p.vague || !x.exact
}

func single(id uint32) string { return sum{id: 1}.key() }

// needsSight reports whether a function's counters do not simply add up.
func needsSight(x *meta.Func) bool {
	return x != nil && x.Fidelity != meta.Off && (x.Fidelity != meta.Region || x.Flag)
}

// sights are those of one object in one cell. ranks give the values of its counters.
type sights struct {
	o     *object
	c     *collect.ObjectCounters
	ranks *ranks
	of    map[*covmap.Function]*sight
}

// get returns the sight of a function, nil when its counters add up.
func (s *sights) get(f *covmap.Function) *sight {
	if x, ok := s.of[f]; ok {
		return x
	}
	var out *sight
	if x := s.o.counters[f]; needsSight(x) && !f.Dummy() {
		out = &sight{f: f, sums: newSums(f), ranks: s.ranks, ofLines: x.Fidelity == meta.Line, known: map[string]seen{}, memo: map[covmap.Counter]seen{}, direct: map[int]seen{},
			unsure: s.ranks.unsure, zero: s.ranks.leaf(f, -1)}
		if x.Fidelity == meta.Line {
			s.lines(out)
		} else {
			s.counters(out, x)
		}
		for i := range f.Regions {
			if f.Regions[i].IsCounted() {
				c := f.Regions[i].Count
				out.entry = out.solve(c)
				break
			}
		}
		clear(out.memo)
	}
	s.of[f] = out
	return out
}

// counters takes over the function's own counters.
func (s *sights) counters(out *sight, x *meta.Func) {
	for id := range x.Count {
		n := int(x.First + id)
		v := seen{known: true, exact: !x.Flag, value: s.ranks.leaf(out.f, int64(id))}
		if n < len(s.o.meta.Emitted) && !s.o.meta.Emitted[n] {
			// Without an update it was removed as unreachable, or folded.
			v.known = x.Fidelity == meta.Region
			v.exact = v.known
		} else if s.c != nil {
			v.count = s.c.Counts[n]
			if x.Flag {
				v.count = min(v.count, 1)
			}
			if v.count == 0 {
				v.exact = true
			}
		}
		out.known[single(id)] = v
	}
}

// lines works out from the lines that ran which regions did. A line that belongs to regions of one count only
// speaks for all of them, so that lines without code of their own are told, too.
func (s *sights) lines(out *sight) {
	table := s.o.lines[out.f]
	pure := table.pure
	any := seen{}
	for _, line := range sortedKeys(table.counters) {
		v := s.line(table, line)
		if v.count > 0 {
			out.direct[line] = v
		}
		any = better(any, v)
		if c, ok := pure[line]; ok && v.known {
			key := out.sums.of(c).key()
			out.known[key] = better(out.known[key], v)
		}
	}
	// What runs anywhere in the function, or may run, enters it.
	for i := range out.f.Regions {
		if out.f.Regions[i].IsCounted() {
			key := out.sums.of(out.f.Regions[i].Count).key()
			if first := out.known[key]; first.known || any.count > 0 {
				out.known[key] = better(first, any)
			}
			break
		}
	}
}

// line is what the counters of one line say.
func (s *sights) line(table *lineTable, line int) seen {
	v := seen{known: true}
	for _, n := range table.counters[line] {
		if s.c != nil {
			v.count = max(v.count, s.c.Counts[n])
		}
		v.value = max(v.value, s.ranks.counter(table.f, int(n)))
	}
	if s.c != nil && s.c.Width == 1 || table.flag {
		v.count = min(v.count, 1)
	}
	// The copy that is left did not run; nobody knows of the other.
	if r := v.value.rank(); v.count == 0 && table.unsure[line] && (r == rankLive || r == rankEliminated) {
		v.known = false
	}
	return v
}

// better joins what two lines say of the same regions: that they ran wins, else that they did not.
func better(a, b seen) seen {
	switch {
	case !a.known:
		return b
	case !b.known:
		return a
	}
	return seen{known: true, count: max(a.count, b.count), value: max(a.value, b.value)}
}

// mixed is an algebra for objects with functions of both kinds.
type mixed struct {
	covmap.Algebra
	sights *sights
	value  bool // values, and not counts
}

func (m *mixed) Value(f *covmap.Function, c covmap.Counter) uint64 {
	s := m.sights.get(f)
	switch {
	case s == nil:
		return m.Algebra.Value(f, c)
	case m.value:
		return uint64(s.look(c).value)
	}
	return s.look(c).count
}

// Keep implements [covmap.Filter] when the algebra does.
func (m *mixed) Keep(f *covmap.Function) (bool, error) {
	if k, ok := m.Algebra.(covmap.Filter); ok {
		return k.Keep(f)
	}
	return true, nil
}

// lineTable says which counters are for which lines of a function at "line" fidelity.
type lineTable struct {
	f        *covmap.Function
	flag     bool
	counters map[int][]uint32 // by line of the function's first file
	unsure   map[int]bool
	// pure has the count of lines to which regions of no other count belong.
	pure map[int]covmap.Counter
}

// openLines reads the object's line table.
func (o *object) openLines() error {
	o.lines = map[*covmap.Function]*lineTable{}
	byIndex := map[uint32]*lineTable{}
	for f, x := range o.counters {
		if x.Fidelity != meta.Line {
			continue
		}
		t := &lineTable{f: f, flag: x.Flag, counters: map[int][]uint32{}, unsure: map[int]bool{}}
		var err error
		if t.pure, err = pureLines(f); err != nil {
			return err
		}
		o.lines[f] = t
		byIndex[uint32(slices.IndexFunc(o.meta.Functions, func(y meta.Func) bool {
			return y.NameHash == x.NameHash && y.Hash == x.Hash
		}))] = t
	}
	for _, c := range o.meta.LineCounters {
		if int64(c.Counter) >= int64(o.meta.NumCounters) {
			return fmt.Errorf("%w: line counter %d of %d", collect.ErrBuildMismatch, c.Counter, o.meta.NumCounters)
		}
		for _, l := range c.Lines {
			if t := byIndex[l.Function]; t != nil {
				t.counters[int(l.Line)] = append(t.counters[int(l.Line)], c.Counter)
			}
		}
	}
	for _, l := range o.meta.UnsureLines {
		if t := byIndex[l.Function]; t != nil {
			t.unsure[int(l.Line)] = true
		}
	}
	return nil
}

// pureLines finds the lines of f's main file whose count is that of one region, whatever the counts are. Debug
// information gives code of a macro the line of its use, so lines with a macro that has counts of its own are
// not among them.
func pureLines(f *covmap.Function) (map[int]covmap.Counter, error) {
	main := f.MainFile()
	if main < 0 {
		return nil, nil
	}
	g := *f
	g.Regions = nil
	classes := map[string]uint64{}
	counters := []covmap.Counter{{}}
	all := newSums(f)
	class := func(c covmap.Counter) uint64 {
		key := all.of(c).key()
		if classes[key] == 0 {
			classes[key] = uint64(len(counters))
			counters = append(counters, c)
		}
		return classes[key]
	}
	mixedUse := map[int]bool{}
	for i := range f.Regions {
		r := f.Regions[i]
		if r.File != main || !r.IsCounted() {
			continue
		}
		class(r.Count)
		if r.Kind == covmap.ExpansionRegion {
			if !uniform(f, all, r.ExpandedFile, all.of(r.Count).key(), 0) {
				for l := r.LineStart; l <= r.LineEnd; l++ {
					mixedUse[l] = true
				}
			}
			r.Kind, r.ExpandedFile = covmap.CodeRegion, 0
		}
		g.Regions = append(g.Regions, r)
	}
	most := uint64(len(counters))
	var found [2]map[int]uint64
	for pass := range found {
		cov, err := (&covmap.Mapping{Functions: []*covmap.Function{&g}}).Evaluate(&classAlgebra{class, most, pass == 1})
		if err != nil {
			return nil, err
		}
		found[pass] = map[int]uint64{}
		for k := range cov.Files {
			if cov.Files[k].Name != f.Files[main] {
				continue
			}
			for _, l := range cov.Files[k].Lines {
				found[pass][l.Line] = l.Count
			}
		}
	}
	pure := map[int]covmap.Counter{}
	for line, n := range found[0] {
		if n > 0 && n == most+1-found[1][line] && !mixedUse[line] {
			pure[line] = counters[n]
		}
	}
	return pure, nil
}

// uniform reports whether all regions of an expanded file have the count of the given key.
func uniform(f *covmap.Function, all *sums, file int, key string, depth int) bool {
	const maxDepth = 100
	if depth > maxDepth {
		return false
	}
	for i := range f.Regions {
		r := &f.Regions[i]
		if r.File != file || !r.IsCounted() || r.Kind == covmap.SkippedRegion {
			continue
		}
		if all.of(r.Count).key() != key ||
			r.Kind == covmap.ExpansionRegion && !uniform(f, all, r.ExpandedFile, key, depth+1) {
			return false
		}
	}
	return true
}

// classAlgebra numbers counts; down numbers them in the opposite order, so that the greatest number of a line is
// the same count both times only when there is just one.
type classAlgebra struct {
	class func(covmap.Counter) uint64
	most  uint64
	down  bool
}

func (a *classAlgebra) Value(_ *covmap.Function, c covmap.Counter) uint64 {
	if n := a.class(c); !a.down {
		return n
	} else {
		return a.most + 1 - n
	}
}

func (a *classAlgebra) Combine(x, y uint64) uint64 { return max(x, y) }

// direct returns the lines of a file that ran, with how often at least.
func (s *sights) direct(file string) map[int]uint64 {
	if s == nil {
		return nil
	}
	lines := map[int]uint64{}
	for f, x := range s.of {
		if x == nil || len(x.direct) == 0 || f.MainFile() < 0 || f.Files[f.MainFile()] != file {
			continue
		}
		for line, v := range x.direct {
			lines[line] = max(lines[line], v.count)
		}
	}
	return lines
}
