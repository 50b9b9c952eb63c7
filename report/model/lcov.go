package model

import (
	"io"
	"sync"

	"github.com/bpfcov/bpfcov/report/lcov"
)

// CellLCOV is the tracefile of one cell, which [lcov.Write] writes. What cannot run there (not
// built, eliminated, folded) is left out, everything else is there with its count. When nothing is
// left out and the cell has one object, it says what llvm-cov says.
//
// Functions have the same names in the tracefiles of all cells, see [File.UniqueNames].
//
// The numbers of branches are the same in the tracefiles of all cells, so that readers which merge by
// number (Codecov) merge the right ones. It is empty for a cell that did not run.
func (r *Report) CellLCOV(cell int) []lcov.File { return r.LCOV(Column(cell)) }

// MergedLCOV is the tracefile of all cells together: counts are added, and what cannot run in any
// cell is left out.
func (r *Report) MergedLCOV() []lcov.File { return r.LCOV(Merged) }

// LCOV is the tracefile of a column, see [Report.CellLCOV].
func (r *Report) LCOV(column Column) []lcov.File { return r.appendLCOV(nil, column) }

// lcovFiles has *[]lcov.File that were written: the next column needs as much room.
var lcovFiles sync.Pool

// WriteLCOV writes the tracefile of a column.
func (r *Report) WriteLCOV(w io.Writer, column Column) error {
	files, ok := lcovFiles.Get().(*[]lcov.File)
	if !ok {
		files = new([]lcov.File)
	}
	defer lcovFiles.Put(files)
	*files = r.appendLCOV((*files)[:0], column)
	return lcov.Write(w, *files, lcov.Options{})
}

// appendLCOV appends the tracefile of a column to out, and uses the room that files beyond its length have.
func (r *Report) appendLCOV(out []lcov.File, column Column) []lcov.File {
	for k := range r.Files {
		f := &r.Files[k]
		var old lcov.File
		if len(out) < cap(out) {
			old = out[:len(out)+1][len(out)]
		}
		to := lcov.File{Path: f.Name, Functions: emptied(old.Functions, len(f.Functions)), Lines: emptied(old.Lines, len(f.Lines)),
			Branches: emptied(old.Branches, len(f.Branches))}
		names := f.UniqueNames()
		for n := range f.Functions {
			x := &f.Functions[n]
			if s := column.State(x.Cells); s.Status.Counted() {
				to.Functions = append(to.Functions, lcov.Function{Name: names[n], Line: x.Line, Count: s.Count})
			}
		}
		for n := range f.Lines {
			if s := column.State(f.Lines[n].Cells); s.Status.Counted() {
				to.Lines = append(to.Lines, lcov.Line{Line: f.Lines[n].Number, Count: s.Count})
			}
		}
		some := false
		for n := range f.Branches {
			b := &f.Branches[n]
			s := column.Branch(b.Cells)
			x := lcov.Branch{Line: b.Line, True: s.True.Count, False: s.False.Count,
				OmitTrue: !s.True.Status.Counted(), OmitFalse: !s.False.Status.Counted()}
			some = some || !x.OmitTrue || !x.OmitFalse
			to.Branches = append(to.Branches, x)
		}
		if !some {
			to.Branches = to.Branches[:0]
		}
		if len(to.Functions) > 0 || len(to.Lines) > 0 || some {
			out = append(out, to)
		}
	}
	return out
}

// emptied returns s without elements and with room for n.
func emptied[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, 0, n)
	}
	return s[:0]
}
