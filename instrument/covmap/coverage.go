package covmap

// Coverage is a mapping with values: what llvm-cov knows of the sources of one object.
type Coverage struct {
	// Files are sorted by name.
	Files []FileCoverage
	// Functions is the number of functions that were evaluated, in all files together.
	Functions int
}

// FileCoverage is the coverage of one source file. The word count stands for any value that an
// [Algebra] gives.
type FileCoverage struct {
	// Name is as in the mapping; with -fcoverage-prefix-map it is relative to the repository.
	Name string
	// Lines are the lines with code in ascending order.
	Lines []Line
	// Functions are those whose first file is this one, in the order of the mapping. Of several
	// functions that start at one place each is listed.
	Functions []FunctionCoverage
	// Branches are sorted by line, then in the order in which lcov numbers them, see
	// [Options.LLVM]. Folded ones are not here.
	Branches []Branch
	// Regions are the stretches of code that have a count of their own, sorted by start, the longer one first. Code that
	// several functions or uses of a macro bring is there once.
	Regions []RegionCoverage
	// Segments cut the file into stretches of equal count, sorted by position.
	Segments []Segment
	// Summary has LLVM's own totals. They are not the lengths of the slices above, see
	// [Summary]; use [FileCoverage.Totals] for those.
	Summary Summary
}

// Line is a line with code and its count: the greatest of the regions that start there and of the
// one that the line begins in.
type Line struct {
	Line  int
	Count uint64
}

// RegionCoverage is a stretch of code, from its first position to the one after its last, see [Region].
type RegionCoverage struct {
	Line, Col, EndLine, EndCol int
	Count                      uint64
}

// FunctionCoverage is a function with its values.
type FunctionCoverage struct {
	// Name is the function's name in the source.
	Name string
	// Line and EndLine are those of the function's first region, normally its body.
	Line, EndLine int
	// Count is the value of that region.
	Count uint64
	// Function is the mapping that the values belong to.
	Function *Function
	// Counts and FalseCounts have the values of each of Function.Regions. FalseCounts is nil when
	// the function has no branches. Decisions and skipped regions have the value 0.
	Counts, FalseCounts []uint64
}

// Branch is a condition and how often it was true and false.
type Branch struct {
	// Line is the line that lcov shows the branch on: where the condition is written or, for
	// one in a macro, where the outermost macro is used.
	Line int
	// File, SourceLine, Col, EndLine and EndCol tell where the condition itself is written.
	File            string
	SourceLine, Col int
	EndLine, EndCol int
	// Path has the start of each macro use that leads to the condition, outermost first; nil
	// for a condition that is not in a macro.
	Path []Position
	// TrueCount and FalseCount are the values of the two sides.
	TrueCount, FalseCount uint64
	// TrueFolded and FalseFolded tell that clang knows the side to be impossible.
	TrueFolded, FalseFolded bool
	// Function and Region tell which region of which function this is. Where LLVM adds up
	// several branches (Options.Unify) it is the first one.
	Function *Function
	Region   int
}

// Segment is the start of a stretch of source that has one count, until the next segment.
type Segment struct {
	Line, Col int
	Count     uint64
	HasCount  bool // false: no code, or left out by the preprocessor
	Entry     bool // a region starts here that is not a gap
	Gap       bool
}

// Summary counts found and hit (value greater than 0) things of a file.
//
// The figures that the engine computes are LLVM's, and its rules are its own: functions that start
// at one place are one, and lines and branches are those of the body of each function, the greatest
// of such a group taken. So a line of a macro body is a line of the file and not counted here, and a
// line that two functions share is counted twice.
type Summary struct {
	FunctionsFound, FunctionsHit int
	LinesFound, LinesHit         int
	RegionsFound, RegionsHit     int // of code, those of the macros of a function among its own
	BranchesFound, BranchesHit   int
}

// Totals counts what is in the slices of f: every listed function, line, region and side of a branch once.
func (f *FileCoverage) Totals() Summary {
	s := Summary{FunctionsFound: len(f.Functions), LinesFound: len(f.Lines), RegionsFound: len(f.Regions), BranchesFound: 2 * len(f.Branches)}
	for i := range f.Functions {
		s.FunctionsHit += b2i(f.Functions[i].Count > 0)
	}
	for _, l := range f.Lines {
		s.LinesHit += b2i(l.Count > 0)
	}
	for i := range f.Regions {
		s.RegionsHit += b2i(f.Regions[i].Count > 0)
	}
	for i := range f.Branches {
		s.BranchesHit += b2i(f.Branches[i].TrueCount > 0) + b2i(f.Branches[i].FalseCount > 0)
	}
	return s
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Options vary the evaluation. The zero value is what reports want.
type Options struct {
	// LLVM is the major version of the llvm-cov whose rules are followed; 0 means those of 18
	// and 19. Up to 17 a line that starts with skipped text has no count. Since 20 one side of
	// a branch may be folded alone, branches of a line are in the order of their columns also
	// when they come from macros, and one that an included file brings shows there as well.
	LLVM int
	// Unify adds up branches of one place, as llvm-cov 20 and later do by default, which makes
	// one branch of all the conditions in a macro. It has no effect on older rules.
	Unify bool
}
