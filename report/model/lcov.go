package model

import (
	"fmt"

	"github.com/bpfcov/bpfcov/report/lcov"
)

// CellLCOV is the tracefile of one cell, which [lcov.Write] writes. What cannot run there (not
// built, eliminated, folded) is left out, everything else is there with its count. When nothing is
// left out and the cell has one object, it says what llvm-cov says.
//
// A function that has one definition for each architecture (#if) has several lines; lcov 2 wants one name on
// one line, so all but the first get their line as a suffix, in the tracefiles of all cells.
//
// The numbers of branches are the same in the tracefiles of all cells, so that readers which merge by
// number (Codecov) merge the right ones. It is empty for a cell that did not run.
func (r *Report) CellLCOV(cell int) []lcov.File {
	return r.coverage(func(s []State) State { return s[cell] }, func(s []BranchState) BranchState { return s[cell] })
}

// MergedLCOV is the tracefile of all cells together: counts are added, and what cannot run in any
// cell is left out.
func (r *Report) MergedLCOV() []lcov.File { return r.coverage(Merge, MergeBranch) }

func (r *Report) coverage(pick func([]State) State, pickBranch func([]BranchState) BranchState) []lcov.File {
	var out []lcov.File
	for k := range r.Files {
		f := &r.Files[k]
		to := lcov.File{Path: f.Name}
		lines := map[string]int{}
		for n := range f.Functions {
			x := &f.Functions[n]
			name := x.LLVMName
			if first, ok := lines[name]; !ok {
				lines[name] = x.Line
			} else if first != x.Line {
				name = fmt.Sprintf("%s:%d", name, x.Line)
			}
			if s := pick(x.Cells); s.Status.Counted() {
				to.Functions = append(to.Functions, lcov.Function{Name: name, Line: x.Line, Count: s.Count})
			}
		}
		for n := range f.Lines {
			if s := pick(f.Lines[n].Cells); s.Status.Counted() {
				to.Lines = append(to.Lines, lcov.Line{Line: f.Lines[n].Number, Count: s.Count})
			}
		}
		some := false
		for n := range f.Branches {
			b := &f.Branches[n]
			s := pickBranch(b.Cells)
			x := lcov.Branch{Line: b.Line, True: s.True.Count, False: s.False.Count,
				OmitTrue: !s.True.Status.Counted(), OmitFalse: !s.False.Status.Counted()}
			some = some || !x.OmitTrue || !x.OmitFalse
			to.Branches = append(to.Branches, x)
		}
		if !some {
			to.Branches = nil
		}
		if len(to.Functions) > 0 || len(to.Lines) > 0 || some {
			out = append(out, to)
		}
	}
	return out
}
