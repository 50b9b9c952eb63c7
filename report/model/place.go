package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/instrument/covmap"
)

// fileLayout says where the things of one file of an object's coverage are in the report: the index
// of the file (-1 when it is ignored) and those of its lines, functions and branches.
type fileLayout struct {
	file                       int
	lines, functions, branches []int
}

// functionKey is what makes functions of several objects the same.
type functionKey struct {
	line int
	name string
}

// branchKey is what makes branches of several objects the same. Path is the chain of macro uses.
type branchKey struct {
	line                             int
	source                           string
	sourceLine, col, endLine, endCol int
	path                             string
	ordinal                          int
}

// cName is the name without the file that LLVM puts in front of a static function's.
func cName(name string) string { return name[strings.LastIndexAny(name, ":;")+1:] }

// placing collects the positions of one file from all objects.
type placing struct {
	name      string
	lines     map[int]bool
	functions map[functionKey]*Function
	branches  map[branchKey]*placedBranch
}

// placedBranch remembers the order in which the first object that has the branch lists it.
type placedBranch struct {
	branch Branch
	order  int // within the line
}

// place makes the rows of the report, the union over all objects, and tells each object where its own
// are.
func (b *builder) place() error {
	files := map[string]*placing{}
	shapes := make([]*covmap.Coverage, len(b.objects))
	for i, o := range b.objects {
		plan, err := o.mapping.Plan()
		if err != nil {
			return fmt.Errorf("object %s (%s): %w", o.meta.ObjectID.Short(), o.name(), err)
		}
		shape := plan.Shape
		o.plan, shapes[i] = plan, shape
		for k := range shape.Files {
			f := &shape.Files[k]
			if b.options.Ignore != nil && b.options.Ignore.MatchString(f.Name) {
				continue
			}
			p := files[f.Name]
			if p == nil {
				p = &placing{f.Name, map[int]bool{}, map[functionKey]*Function{}, map[branchKey]*placedBranch{}}
				files[f.Name] = p
			}
			p.add(o, f)
		}
	}
	cells := len(b.report.Cells)
	index := map[string]int{}
	placed := make([]*placed, 0, len(files))
	for _, name := range sortedKeys(files) {
		index[name] = len(b.report.Files)
		file, at := files[name].file(cells)
		b.report.Files = append(b.report.Files, file)
		placed = append(placed, at)
	}
	for i, o := range b.objects {
		o.layout = make([]fileLayout, len(shapes[i].Files))
		for k := range shapes[i].Files {
			f := &shapes[i].Files[k]
			n, ok := index[f.Name]
			if !ok {
				o.layout[k].file = -1
				continue
			}
			o.layout[k] = placed[n].layout(n, f)
		}
	}
	return nil
}

func (p *placing) add(o *object, f *covmap.FileCoverage) {
	for _, l := range f.Lines {
		p.lines[l.Line] = true
	}
	for i := range f.Functions {
		x := &f.Functions[i]
		key := functionKey{x.Line, cName(x.Name)}
		have := p.functions[key]
		if have == nil {
			have = &Function{Name: key.name, LLVMName: x.Name, Line: x.Line, EndLine: x.EndLine}
			p.functions[key] = have
		}
		if have.LLVMName != x.Name {
			have.LLVMName = key.name // units that include it call it differently
		}
		have.EndLine = max(have.EndLine, x.EndLine)
		if pr := o.program(key.name); pr != nil && have.Program == "" {
			have.Name, have.Program = pr.Name, pr.Section
		}
	}
	eachBranch(f, func(i, order int, key branchKey) {
		if p.branches[key] == nil {
			br := Branch{Line: key.line, Source: key.source, SourceLine: key.sourceLine, Col: key.col,
				EndLine: key.endLine, EndCol: key.endCol, Ordinal: key.ordinal}
			p.branches[key] = &placedBranch{br, order}
		}
	})
}

// eachBranch calls do for each branch with its index, its place within its line, and its key.
func eachBranch(f *covmap.FileCoverage, do func(i, order int, key branchKey)) {
	line, order := 0, 0
	seen := map[branchKey]int{}
	for i := range f.Branches {
		b := &f.Branches[i]
		if b.Line != line {
			line, order = b.Line, 0
		}
		key := branchKey{line: b.Line, sourceLine: b.SourceLine, col: b.Col, endLine: b.EndLine, endCol: b.EndCol}
		if b.File != f.Name {
			key.source = b.File
		}
		var path strings.Builder
		for _, at := range b.Path {
			path.WriteString(at.String() + " ")
		}
		key.path = path.String()
		plain := key
		key.ordinal = seen[plain]
		seen[plain]++
		do(i, order, key)
		order++
	}
}

// placed finds the rows of one file.
type placed struct {
	lines     map[int]int
	functions map[functionKey]int
	branches  map[branchKey]int
}

// file makes the file's rows with empty cells, in order.
func (p *placing) file(cells int) (File, *placed) {
	f := File{Name: p.name}
	at := &placed{map[int]int{}, map[functionKey]int{}, map[branchKey]int{}}
	for _, n := range sortedKeys(p.lines) {
		at.lines[n] = len(f.Lines)
		f.Lines = append(f.Lines, Line{n, make([]State, cells)})
	}
	var fs []functionKey
	for k := range p.functions {
		fs = append(fs, k)
	}
	slices.SortFunc(fs, func(a, b functionKey) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.name, b.name))
	})
	for _, k := range fs {
		at.functions[k] = len(f.Functions)
		x := *p.functions[k]
		x.Cells = make([]State, cells)
		f.Functions = append(f.Functions, x)
	}
	type keyed struct {
		branchKey
		*placedBranch
	}
	bs := make([]keyed, 0, len(p.branches))
	for k, x := range p.branches {
		bs = append(bs, keyed{k, x})
	}
	slices.SortFunc(bs, func(a, b keyed) int {
		if c := cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.order, b.order)); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.sourceLine, b.sourceLine), cmp.Compare(a.col, b.col),
			cmp.Compare(a.endLine, b.endLine), cmp.Compare(a.endCol, b.endCol), cmp.Compare(a.path, b.path),
			cmp.Compare(a.ordinal, b.ordinal))
	})
	for _, k := range bs {
		at.branches[k.branchKey] = len(f.Branches)
		x := k.branch
		x.Cells = make([]BranchState, cells)
		f.Branches = append(f.Branches, x)
	}
	return f, at
}

// layout tells where the things of f go, which is file number n.
func (p *placed) layout(n int, f *covmap.FileCoverage) fileLayout {
	l := fileLayout{file: n, lines: make([]int, len(f.Lines)), functions: make([]int, len(f.Functions)),
		branches: make([]int, len(f.Branches))}
	for i := range f.Lines {
		l.lines[i] = p.lines[f.Lines[i].Line]
	}
	for i := range f.Functions {
		l.functions[i] = p.functions[functionKey{f.Functions[i].Line, cName(f.Functions[i].Name)}]
	}
	eachBranch(f, func(i, _ int, key branchKey) { l.branches[i] = p.branches[key] })
	return l
}
