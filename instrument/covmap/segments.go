package covmap

import (
	"cmp"
	"fmt"
	"slices"
)

// countedRegion is a region with its value, free of its function: what segments are made of.
type countedRegion struct {
	start, end place
	count      uint64
	seq        uint32 // the order in which regions were found
	kind       RegionKind
}

// place is a [Position] in one number, which orders as positions do.
type place uint64

func placeOf(p Position) place { return place(p.Line)<<32 | place(uint32(p.Col)) }

func (p place) line() int { return int(p >> 32) }
func (p place) col() int  { return int(uint32(p)) }

func (p place) String() string { return Position{p.line(), p.col()}.String() }

func counted(r *Region, count uint64) countedRegion {
	return countedRegion{start: placeOf(r.Start()), end: placeOf(r.End()), kind: r.Kind, count: count}
}

func comparePositions(a, b Position) int {
	switch {
	case a.Before(b):
		return -1
	case b.Before(a):
		return 1
	}
	return 0
}

// segments turns the regions of one file into segments, as LLVM's SegmentBuilder does, and returns the code regions of
// the file with keep. The argument is used up.
func (e *evaluation) segments(regions []countedRegion, keep bool) ([]Segment, []RegionCoverage, error) {
	for i := range regions {
		regions[i].seq = uint32(i)
	}
	// Outer regions first; of one range code wins over expansions, those over skipped text.
	slices.SortFunc(regions, func(a, b countedRegion) int {
		switch {
		case a.start != b.start:
			if a.start < b.start {
				return -1
			}
			return 1
		case a.end != b.end:
			if a.end > b.end {
				return -1
			}
			return 1
		case a.kind != b.kind:
			return int(a.kind) - int(b.kind)
		}
		return int(a.seq) - int(b.seq)
	})
	regions = e.combine(regions)
	var code []RegionCoverage
	if keep {
		n := 0
		for i := range regions {
			n += b2i(regions[i].kind == CodeRegion)
		}
		code = make([]RegionCoverage, 0, n)
		for i := range regions {
			if r := &regions[i]; r.kind == CodeRegion {
				code = append(code, RegionCoverage{Line: r.start.line(), Col: r.start.col(), EndLine: r.end.line(), EndCol: r.end.col(), Count: r.count})
			}
		}
	}
	b := segmentBuilder{regions: regions, segments: make([]Segment, 0, len(regions))}
	if err := b.build(); err != nil {
		return nil, nil, err
	}
	return b.segments, code, nil
}

// combine joins regions of one range into the first of them, in place. Only those of its kind add to its value: a
// macro that expands to nothing but another macro must not count twice.
func (e *evaluation) combine(sorted []countedRegion) []countedRegion {
	out := sorted[:0]
	for _, r := range sorted {
		if n := len(out); n > 0 && out[n-1].start == r.start && out[n-1].end == r.end {
			if last := &out[n-1]; last.kind == r.kind {
				last.count = e.algebra.Combine(last.count, r.count)
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// segmentBuilder sweeps over sorted regions.
type segmentBuilder struct {
	regions  []countedRegion
	segments []Segment
	// active are the regions that the sweep is inside of, outermost first.
	active, closing []countedRegion
}

func (b *segmentBuilder) build() error {
	for i, r := range b.regions {
		b.closeUntil(r.start)
		last := i+1 == len(b.regions)
		gap := r.kind == GapRegion
		if r.start == r.end {
			// An empty region never becomes active: the count around it goes on, or nothing
			// does when it is the last one or left out by the preprocessor.
			skipped := last || r.kind == SkippedRegion
			around := r
			if n := len(b.active); n > 0 {
				around = b.active[n-1]
			}
			b.emit(around, r.start, !gap, skipped)
			if skipped && len(b.active) > 0 {
				b.emit(around, r.start, false, false)
			}
			continue
		}
		// Of several regions that start here the last, innermost one makes the segment.
		if last || b.regions[i+1].start != r.start {
			b.emit(r, r.start, !gap, false)
		}
		if len(b.active) >= maxNesting {
			return &FormatError{Offset: -1, Reason: fmt.Sprintf("more than %d regions around %v", maxNesting, r.start)}
		}
		b.active = append(b.active, r)
	}
	if len(b.active) > 0 {
		b.close(0, nil)
	}
	return nil
}

// emit starts a segment with the value of r, unless it would change nothing.
func (b *segmentBuilder) emit(r countedRegion, at place, entry, skipped bool) {
	hasCount := !skipped && r.kind != SkippedRegion
	if n := len(b.segments); n > 0 && !entry && !skipped {
		last := &b.segments[n-1]
		if last.HasCount == hasCount && last.Count == r.count && !last.Entry {
			return
		}
	}
	s := Segment{Line: at.line(), Col: at.col(), HasCount: hasCount, Entry: entry}
	if hasCount {
		s.Count, s.Gap = r.count, r.kind == GapRegion
	}
	b.segments = push(b.segments, s)
}

// closeUntil closes the active regions that end at or before next, the start of the next region.
func (b *segmentBuilder) closeUntil(next place) {
	ends := func(r *countedRegion) bool { return r.end <= next }
	from := 0
	for from < len(b.active) && !ends(&b.active[from]) {
		from++
	}
	if from == len(b.active) {
		return
	}
	// Move those that stay to the front, each group in its order.
	closing := b.closing[:0]
	for i := from; i < len(b.active); i++ {
		if ends(&b.active[i]) {
			closing = append(closing, b.active[i])
		} else {
			b.active[from] = b.active[i]
			from++
		}
	}
	b.closing = closing
	copy(b.active[from:], closing)
	b.close(from, &next)
}

// close emits the segments at the ends of active[from:] and removes those. next is the start of the
// next region, nil when there is none and from is 0.
func (b *segmentBuilder) close(from int, next *place) {
	closing := b.active[from:]
	if len(closing) > 1 {
		slices.SortStableFunc(closing, func(a, c countedRegion) int { return cmp.Compare(a.end, c.end) })
	}
	for i := 1; i < len(closing); i++ {
		at := closing[i-1].end
		if next != nil && at == *next {
			break
		}
		if at == closing[i].end {
			continue
		}
		// Of several that end together the last one has the count from here on.
		j := i
		for j+1 < len(closing) && closing[j+1].end == closing[i].end {
			j++
		}
		b.emit(closing[j], at, false, false)
	}
	last := closing[len(closing)-1]
	if next == nil || last.end != *next {
		if from > 0 {
			b.emit(b.active[from-1], last.end, false, false)
		} else {
			b.emit(last, last.end, false, true)
		}
	}
	b.active = b.active[:from]
}
