package model

// Filter leaves parts of files out of a report, see [Options].
type Filter interface {
	// File is asked once for each file. It returns nil when everything of the file stays.
	File(name string) FileFilter
}

// FileFilter says what of one file stays.
type FileFilter interface {
	// Line says whether a line stays. When it goes, so do its branches and the regions that start there.
	Line(number int) bool
	// Branches says whether the branches stay that are shown on a line.
	Branches(line int) bool
	// Function says whether a function stays that goes from line first to line last. Its lines
	// are not concerned.
	Function(first, last int) bool
}

// filter drops what the filters leave out, and files of which nothing stays. It must come before
// anything is counted.
func (r *Report) filter(filters []Filter) {
	for _, x := range filters {
		files := r.Files[:0]
		for k := range r.Files {
			f := r.Files[k]
			if keep := x.File(f.Name); keep != nil && !f.filter(keep) {
				continue
			}
			files = append(files, f)
		}
		r.Files = files
	}
}

// filter reports whether anything stays.
func (f *File) filter(keep FileFilter) bool {
	lines, regions, functions, branches := f.Lines[:0], f.Regions[:0], f.Functions[:0], f.Branches[:0]
	for _, l := range f.Lines {
		if keep.Line(l.Number) {
			lines = append(lines, l)
		}
	}
	for _, x := range f.Regions {
		if keep.Line(x.Line) {
			regions = append(regions, x)
		}
	}
	for _, x := range f.Functions {
		if keep.Function(x.Line, x.EndLine) {
			functions = append(functions, x)
		}
	}
	for _, b := range f.Branches {
		if keep.Line(b.Line) && keep.Branches(b.Line) {
			branches = append(branches, b)
		}
	}
	f.Lines, f.Regions, f.Functions, f.Branches = lines, regions, functions, branches
	return len(lines) > 0 || len(functions) > 0
}
