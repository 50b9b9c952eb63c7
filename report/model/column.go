package model

import "fmt"

// Column is what a report with one figure for each position shows: the cell of that index, or all
// cells merged.
type Column int

// Merged is all cells together: counts are added, and what cannot run in any cell is left out.
const Merged Column = -1

// State is what a line or function is in the column.
func (c Column) State(cells []State) State {
	if c == Merged {
		return Merge(cells)
	}
	return cells[c]
}

// Branch is what the sides of a branch are in the column.
func (c Column) Branch(cells []BranchState) BranchState {
	if c == Merged {
		return MergeBranch(cells)
	}
	return cells[c]
}

// ColumnName is the name of the cell, or "merged".
func (r *Report) ColumnName(c Column) string {
	if c == Merged {
		return "merged"
	}
	return r.Cells[c].Name
}

// ColumnSummary has the figures of the column.
func (r *Report) ColumnSummary(c Column) Summary {
	if c == Merged {
		return r.Merged
	}
	return r.Cells[c].Summary
}

// FileSummary has the figures of the column in one file.
func (f *File) FileSummary(c Column) Summary {
	if c == Merged {
		return f.Merged
	}
	return f.Cells[c]
}

// Columns are the cells that ran, in order, and then [Merged].
func (r *Report) Columns() []Column {
	var cs []Column
	for i := range r.Cells {
		if r.Cells[i].Ran {
			cs = append(cs, Column(i))
		}
	}
	return append(cs, Merged)
}

// LineBranches calls do for each line of f that has branches, with the indices of these.
func (f *File) LineBranches(do func(line, first, end int)) {
	for i := 0; i < len(f.Branches); {
		end := i + 1
		for end < len(f.Branches) && f.Branches[end].Line == f.Branches[i].Line {
			end++
		}
		do(f.Branches[i].Line, i, end)
		i = end
	}
}

// UniqueNames returns a name for each of f.Functions. A function that has one definition for each
// architecture (#if) has several lines; readers want one name on one line, so all but the first get
// their line as a suffix: "is_compat_task:59".
func (f *File) UniqueNames() []string {
	names := make([]string, len(f.Functions))
	lines := map[string]int{}
	for n := range f.Functions {
		x := &f.Functions[n]
		names[n] = x.LLVMName
		if first, ok := lines[x.LLVMName]; !ok {
			lines[x.LLVMName] = x.Line
		} else if first != x.Line {
			names[n] = fmt.Sprintf("%s:%d", x.LLVMName, x.Line)
		}
	}
	return names
}
