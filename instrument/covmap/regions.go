package covmap

import (
	"fmt"
	"math"
	"slices"
)

// function reads the mapping data of f. files is the list that its file indices refer to.
func (d *decoder) function(f *Function, data []byte, base int64, files []string) error {
	c := &cursor{data: data, base: base, section: sectionCovfun}
	d.body(c, f, files)
	if c.err == nil {
		if _, err := d.checker.check(f); err != nil {
			c.pos = 0
			c.fail(err.Error())
		}
	}
	if c.err != nil {
		c.err.Function = f.Name
		return c.err
	}
	setExpansionCounters(f)
	f.NumCounters = numCounters(f)
	return nil
}

func (d *decoder) body(c *cursor, f *Function, files []string) {
	n := c.count(2, "number of files") // each has an index and a number of regions
	if d.fileIDs += n; d.fileIDs > maxFileIDs {
		c.fail(fmt.Sprintf("more than %d file ids", maxFileIDs))
	}
	if c.err != nil {
		return
	}
	f.Files = make([]string, n)
	for i := range f.Files {
		f.Files[i] = files[c.uleb(uint64(len(files)-1), "index of a file name")]
	}
	n = c.count(2, "number of expressions")
	if d.exprs += n; d.exprs > maxExprs {
		c.fail(fmt.Sprintf("more than %d expressions", maxExprs))
	}
	if c.err != nil {
		return
	}
	if n > 0 {
		f.Expressions = make([]Expression, n)
	}
	for i := range f.Expressions {
		f.Expressions[i] = Expression{Left: counter(c, n), Right: counter(c, n)}
	}
	d.list = d.list[:0]
	for id := range f.Files {
		if c.err != nil {
			return
		}
		d.fileRegions(c, f, id)
	}
	f.Regions = slices.Clone(d.list)
	if c.err == nil && len(f.Regions) == 0 {
		c.fail("no regions")
	}
	if c.err == nil && c.remaining() > 0 {
		c.fail(fmt.Sprintf("%d bytes after the last region", c.remaining()))
	}
}

// fileRegions reads the regions of one file id into d.list.
func (d *decoder) fileRegions(c *cursor, f *Function, id int) {
	n := c.count(5, "number of regions")
	if d.regions += n; d.regions > maxRegions {
		c.fail(fmt.Sprintf("more than %d regions", maxRegions))
	}
	line := uint64(0)
	for range n {
		if c.err != nil {
			return
		}
		d.list = push(d.list, region(c, f, id, &line))
	}
}

// Fields of a region's header when its counter tag is zero.
const (
	expansionBit  = 1 << 2
	headerShift   = 3
	gapBit        = 1 << 31
	maxConditions = math.MaxInt16 // of an MC/DC decision
)

// region reads one region; line is the start of the one before it in the same file.
func region(c *cursor, f *Function, id int, line *uint64) Region {
	r := Region{File: id}
	start := c.pos
	header := c.u32("header of a region")
	if header&3 != 0 {
		c.pos = start
		r.Count = counter(c, len(f.Expressions))
	} else if header&expansionBit != 0 {
		r.Kind = ExpansionRegion
		r.ExpandedFile = int(header >> headerShift)
	} else {
		r.Kind = RegionKind(min(header>>headerShift, math.MaxUint8))
		switch r.Kind {
		case CodeRegion, SkippedRegion:
		case BranchRegion, MCDCBranchRegion:
			r.Count = counter(c, len(f.Expressions))
			r.FalseCount = counter(c, len(f.Expressions))
			if r.Kind == MCDCBranchRegion {
				for i := range r.MCDC {
					r.MCDC[i] = uint32(c.uleb(maxConditions, "id of a condition"))
				}
				if r.MCDC[0] == 0 {
					c.fail("MC/DC branch without a condition id")
				}
			}
		case MCDCDecisionRegion:
			r.MCDC[0] = c.u32("index of a bitmap")
			r.MCDC[1] = uint32(c.uleb(maxConditions, "number of conditions"))
		default:
			c.fail(fmt.Sprintf("region of unknown kind %d", header>>headerShift))
		}
	}
	*line += uint64(c.u32("line of a region"))
	col := c.uleb(maxColumn, "column of a region")
	lines := uint64(c.u32("number of lines of a region"))
	endCol := c.uleb(math.MaxUint32, "end column of a region")
	if endCol&gapBit != 0 {
		r.Kind = GapRegion
		endCol &^= gapBit
	}
	if col == 0 && endCol == 0 {
		col, endCol = 1, maxColumn
	}
	if c.err == nil && (*line == 0 || *line > maxLine || *line+lines > maxLine) {
		c.fail(fmt.Sprintf("region from line %d to %d; lines are 1 to %d", *line, *line+lines, maxLine))
		return r
	}
	r.LineStart, r.ColStart = int(*line), int(col)
	r.LineEnd, r.ColEnd = int(*line+lines), int(endCol)
	if c.err == nil && r.End().Before(r.Start()) {
		c.fail(fmt.Sprintf("region ends at %v, before its start %v", r.End(), r.Start()))
	}
	return r
}

// counter reads a counter of a function with n expressions.
func counter(c *cursor, n int) Counter {
	start := c.pos
	v := c.u32("counter")
	k := Counter{Kind: CounterKind(v & 3), ID: v >> 2}
	if k.IsZero() {
		k.ID = 0
	}
	if k.IsExpression() && int64(k.ID) >= int64(n) && c.err == nil {
		c.pos = start
		c.fail(fmt.Sprintf("counter refers to expression %d of %d", k.ID, n))
	}
	return k
}

// setExpansionCounters gives every expansion region the counter of the first region of the file that
// it expands, which may be an expansion itself. check has excluded cycles.
func setExpansionCounters(f *Function) {
	first := make([]int, len(f.Files))
	for i := range first {
		first[i] = -1
	}
	for i := len(f.Regions) - 1; i >= 0; i-- {
		first[f.Regions[i].File] = i
	}
	const unset = -1
	done := make([]bool, len(f.Regions))
	var chain []int
	for i := range f.Regions {
		chain = chain[:0]
		at := i
		for at != unset && f.Regions[at].Kind == ExpansionRegion && !done[at] {
			done[at] = true
			chain = append(chain, at)
			at = first[f.Regions[at].ExpandedFile]
		}
		if at == unset {
			continue // the file has no regions: zero
		}
		for _, e := range chain {
			f.Regions[e].Count = f.Regions[at].Count
		}
	}
}

func numCounters(f *Function) int {
	n := 0
	see := func(c Counter) {
		if c.Kind == CounterRef {
			n = max(n, int(c.ID)+1)
		}
	}
	for i := range f.Regions {
		see(f.Regions[i].Count)
		if f.Regions[i].IsBranch() {
			see(f.Regions[i].FalseCount)
		}
	}
	for _, e := range f.Expressions {
		see(e.Left)
		see(e.Right)
	}
	return n
}
