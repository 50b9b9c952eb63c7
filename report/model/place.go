package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/instrument/covmap"
)

// fileLayout says where the things of one file of an object's coverage are in the report: the index
// of the file (-1 when it is left out) and those of its lines, regions, functions and branches.
type fileLayout struct {
	file                                int
	lines, regions, functions, branches []int32
}

// cName is the name without the file that LLVM puts in front of a static function's.
func cName(name string) string { return name[strings.LastIndexAny(name, ":;")+1:] }

// filePart is what one object says of a file.
type filePart struct {
	o      *object
	shape  *covmap.FileCoverage
	layout *fileLayout
}

// place makes the rows of the report, the union over all objects, and tells each object where its own
// are.
func (b *builder) place() error {
	files := map[string][]filePart{}
	for _, o := range b.objects {
		plan, err := o.mapping.Plan()
		if err != nil {
			return fmt.Errorf("object %s (%s): %w", o.meta.ObjectID.Short(), o.name(), err)
		}
		o.plan, o.layout = plan, make([]fileLayout, len(plan.Shape.Files))
		for k := range plan.Shape.Files {
			f := &plan.Shape.Files[k]
			if o.layout[k].file = -1; b.options.Ignore == nil || !b.options.Ignore.MatchString(f.Name) {
				files[f.Name] = append(files[f.Name], filePart{o, f, &o.layout[k]})
			}
		}
	}
	cells := len(b.report.Cells)
	for n, name := range sortedKeys(files) {
		f, parts := File{Name: name}, files[name]
		for _, p := range parts {
			p.layout.file = n
		}
		f.placeLines(parts, cells)
		f.placeFunctions(parts, cells)
		f.placeBranches(parts, cells)
		if !b.options.FiguresOnly {
			f.placeRegions(parts, cells)
		}
		b.report.Files = append(b.report.Files, f)
		b.sharers = append(b.sharers, len(parts))
	}
	return nil
}

// union returns the distinct elements of sorted lists without repetitions, sorted, and for each list where its elements are
// among these.
func union[T any](lists [][]T, compare func(a, b *T) int) (all []T, at [][]int32) {
	all = lists[0]
	if len(lists) > 1 {
		all = slices.Concat(lists...)
		slices.SortFunc(all, func(a, b T) int { return compare(&a, &b) })
		all = slices.CompactFunc(all, func(a, b T) bool { return compare(&a, &b) == 0 })
	}
	for _, list := range lists {
		to, n := make([]int32, len(list)), 0
		for i := range list {
			for compare(&all[n], &list[i]) != 0 {
				n++
			}
			to[i] = int32(n)
		}
		at = append(at, to)
	}
	return all, at
}

// slots cuts the cells of rows from one slice: neighbours in a table are neighbours in memory.
func slots[T any](rows, cells int) func() []T {
	all := make([]T, rows*cells)
	return func() []T {
		out := all[:cells:cells]
		all = all[cells:]
		return out
	}
}

func (f *File) placeLines(parts []filePart, cells int) {
	lists := make([][]covmap.Line, len(parts))
	for i, p := range parts {
		lists[i] = p.shape.Lines
	}
	all, at := union(lists, func(a, b *covmap.Line) int { return a.Line - b.Line })
	slot := slots[State](len(all), cells)
	f.Lines = make([]Line, len(all))
	for n := range all {
		f.Lines[n] = Line{all[n].Line, slot()}
	}
	for i, p := range parts {
		p.layout.lines = at[i]
	}
}

func (f *File) placeRegions(parts []filePart, cells int) {
	lists := make([][]covmap.RegionCoverage, len(parts))
	for i, p := range parts {
		lists[i] = p.shape.Regions
	}
	all, at := union(lists, func(a, b *covmap.RegionCoverage) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return cmp.Or(a.Col-b.Col, b.EndLine-a.EndLine, b.EndCol-a.EndCol)
	})
	slot := slots[State](len(all), cells)
	f.Regions = make([]Region, len(all))
	for n := range all {
		x := &all[n]
		f.Regions[n] = Region{x.Line, x.Col, x.EndLine, x.EndCol, slot()}
	}
	for i, p := range parts {
		p.layout.regions = at[i]
	}
}

// placeFunctions makes functions of several objects one when they have the same first line and C name.
func (f *File) placeFunctions(parts []filePart, cells int) {
	type entry struct {
		line int
		name string // in C
		x    *covmap.FunctionCoverage
		part *filePart
		to   *int32
	}
	var all []entry
	for i := range parts {
		p := &parts[i]
		p.layout.functions = make([]int32, len(p.shape.Functions))
		for n := range p.shape.Functions {
			x := &p.shape.Functions[n]
			all = append(all, entry{x.Line, cName(x.Name), x, p, &p.layout.functions[n]})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		if a.line != b.line {
			return a.line - b.line
		}
		return strings.Compare(a.name, b.name)
	})
	slot := slots[State](len(all), cells)
	for _, e := range all {
		n := len(f.Functions) - 1
		if n < 0 || f.Functions[n].Line != e.line || cName(f.Functions[n].LLVMName) != e.name {
			f.Functions = append(f.Functions, Function{Name: e.name, LLVMName: e.x.Name, Line: e.line, Cells: slot()})
			n++
		}
		have := &f.Functions[n]
		if have.LLVMName != e.x.Name {
			have.LLVMName = e.name // units that include it call it differently
		}
		have.EndLine = max(have.EndLine, e.x.EndLine)
		if pr := e.part.o.program(e.name); pr != nil && have.Program == "" {
			have.Name, have.Program = pr.Name, pr.Section
		}
		*e.to = int32(n)
	}
}

// placedBranch is a branch of an object.
type placedBranch struct {
	*covmap.Branch
	order   int // among those of its line, in its object
	ordinal int // among those of its object that have the same key
	to      *int32
}

// comparePlaces orders branches by what makes those of several objects the same, apart from their line.
func comparePlaces(a, b *placedBranch) int {
	if a.SourceLine != b.SourceLine {
		return a.SourceLine - b.SourceLine
	}
	return cmp.Or(a.Col-b.Col, a.EndLine-b.EndLine, a.EndCol-b.EndCol, strings.Compare(a.File, b.File), comparePaths(a, b), a.ordinal-b.ordinal)
}

func comparePaths(a, b *placedBranch) int {
	return slices.CompareFunc(a.Path, b.Path, func(x, y covmap.Position) int { return cmp.Or(x.Line-y.Line, x.Col-y.Col) })
}

// placeBranches makes branches of several objects one when they have the same place and come by the same uses of macros.
// Those of a line stay in the order of the first object that has them.
func (f *File) placeBranches(parts []filePart, cells int) {
	n := 0
	for _, p := range parts {
		n += len(p.shape.Branches)
	}
	all := make([]placedBranch, 0, n)
	for _, p := range parts {
		p.layout.branches = make([]int32, len(p.shape.Branches))
		all = appendPlaced(all, p.shape.Branches, p.layout.branches)
	}
	rows := all
	if len(parts) > 1 {
		// Equal ones follow each other, that of the first object first. It gives the others its order.
		slices.SortStableFunc(all, func(a, b placedBranch) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return comparePlaces(&a, &b)
		})
		rows = slices.Clone(all)
		rows = slices.CompactFunc(rows, func(a, b placedBranch) bool { return a.Line == b.Line && comparePlaces(&a, &b) == 0 })
		slices.SortStableFunc(rows, func(a, b placedBranch) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.order - b.order
		})
	}
	slot := slots[BranchState](len(rows), cells)
	f.Branches = make([]Branch, len(rows))
	for n := range rows {
		x := &rows[n]
		f.Branches[n] = Branch{Line: x.Line, SourceLine: x.SourceLine, Col: x.Col, EndLine: x.EndLine, EndCol: x.EndCol, Ordinal: x.ordinal, Cells: slot()}
		if x.File != f.Name {
			f.Branches[n].Source = x.File
		}
		*x.to = int32(n)
	}
	for i := 1; i < len(all) && len(parts) > 1; i++ {
		if a, b := &all[i-1], &all[i]; a.Line == b.Line && comparePlaces(a, b) == 0 {
			*b.to = *a.to
		}
	}
}

// appendPlaced appends the branches of one object, of which those of a line follow each other.
func appendPlaced(all []placedBranch, branches []covmap.Branch, to []int32) []placedBranch {
	for i := 0; i < len(branches); {
		first := len(all)
		line := branches[i].Line
		for ; i < len(branches) && branches[i].Line == line; i++ {
			all = append(all, placedBranch{Branch: &branches[i], order: len(all) - first, to: &to[i]})
		}
		number(all[first:])
	}
	return all
}

// number gives branches of a line their ordinals.
func number(branches []placedBranch) {
	const few = 8
	if len(branches) <= few {
		for i := range branches {
			for k := i - 1; k >= 0; k-- {
				branches[i].ordinal = branches[k].ordinal
				if comparePlaces(&branches[i], &branches[k]) == 0 {
					branches[i].ordinal++
					break
				}
				branches[i].ordinal = 0
			}
		}
		return
	}
	sorted := make([]*placedBranch, len(branches))
	for i := range branches {
		sorted[i] = &branches[i]
	}
	slices.SortStableFunc(sorted, comparePlaces)
	for i := 1; i < len(sorted); i++ {
		before := sorted[i-1].ordinal
		sorted[i].ordinal = before
		if comparePlaces(sorted[i-1], sorted[i]) == 0 {
			sorted[i].ordinal = before + 1
		} else {
			sorted[i].ordinal = 0
		}
	}
}
