package model

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// Status is what a line, a branch side or a function is in one cell.
type Status uint8

// The statuses in the order in which they win over each other when cells are merged: a greater one
// says more about the code.
const (
	// NotRun means that nothing is known: the kernel did not boot, or the run was lost before it
	// showed anything. It is the zero value.
	NotRun Status = iota
	// NotBuilt means that no object of the cell contains the position.
	NotBuilt
	// Folded means that the optimiser merged the code away at "probe" or "line" fidelity, or that
	// the function is not instrumented ("off"), so that nobody can tell.
	Folded
	// Eliminated means that the verifier of this kernel removed the code: it cannot run here.
	Eliminated
	// Missed means that the code could have run and did not, or that the compiler removed it.
	Missed
	// NotLoaded means that the code is in no program that anybody tried to load.
	NotLoaded
	// Rejected means that the code is only in programs that the kernel refused.
	Rejected
	// Hit means that the code ran.
	Hit

	// NumStatuses is the number of statuses, for tables indexed by one.
	NumStatuses = int(Hit) + 1
)

// String returns the word of the glossary, for example "not-loaded".
func (s Status) String() string {
	switch s {
	case NotRun:
		return "not-run"
	case NotBuilt:
		return "not-built"
	case Folded:
		return "folded"
	case Eliminated:
		return "eliminated"
	case Missed:
		return "missed"
	case NotLoaded:
		return "not-loaded"
	case Rejected:
		return "rejected"
	case Hit:
		return "hit"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Counted reports whether code of this status belongs to the denominator: whether it could have run
// in the cell had the tests, the loader or the kernel's verdict been different.
func (s Status) Counted() bool { return s >= Missed }

// Reason is an index into [Report.Reasons]; 0 is "no reason given".
type Reason uint32

// State is what one position is in one cell.
type State struct {
	// Count is how often it ran, saturating; it is 0 unless Status is Hit.
	Count  uint64
	Reason Reason
	Status Status
}

// Report is the merged picture.
type Report struct {
	// Cells are sorted by numeric kernel version, then arch, then LLVM.
	Cells []Cell
	// Files are sorted by name.
	Files []File
	// Merged counts over all cells: hit where any cell hit it, countable where any cell counts it. It is of BPF programs,
	// UserSpace of the files with a language of their own.
	Merged, UserSpace Summary
	// Differences are the places that ran in some cells and not in others, most telling first.
	Differences []Difference
	// Warnings are things that a reader must know to trust the figures, one sentence each, sorted.
	Warnings []string
	// Reasons are the texts that [State.Reason] refers to. Reasons[0] is empty.
	Reasons []string
}

// Text returns the words of a reason, "" for none.
func (r *Report) Text(x Reason) string {
	if int(x) < len(r.Reasons) {
		return r.Reasons[x]
	}
	return ""
}

// Cell is one column of the picture: a (kernel, arch, llvm) and what happened there.
type Cell struct {
	collect.Cell
	// Name is short, unique in the report, and fit to be a file name and a Codecov flag, for
	// example "6.1-amd64".
	Name string
	// Outcome is the worst outcome of the cell's runs.
	Outcome collect.Outcome
	// Failure says what went wrong, in one line, and is empty for a cell that passed.
	Failure string
	// Console holds the telling last lines of the console of the first run that failed.
	Console []string
	// Ran is false when nothing is known about code in this cell; then all its states are NotRun.
	Ran bool
	// Partial is set when the end of a run was not seen, so that counts may lack the last second.
	Partial bool
	// Runs are sorted by test name, then by outcome.
	Runs    []collect.Run
	Tests   Tests
	Summary Summary
	// UserSpace is what Summary is of the files of programs in user space, which are in neither Summary nor Statuses.
	UserSpace Summary
	Statuses  StatusCount
	Objects   []Object
	// Programs has equal loads merged, sorted by name and verdict.
	Programs []collect.ProgramLoad
	// Duration is the sum of the runs' durations, Boot the longest boot, 0 on the host.
	Duration, Boot time.Duration
}

// Tests counts test cases where a run names them and runs where it does not. Runs whose kernel did not
// boot are not counted.
type Tests struct {
	Passed, Failed, Skipped int
}

// Total is the number of tests of every outcome.
func (t Tests) Total() int { return t.Passed + t.Failed + t.Skipped }

// Object is one instrumented object as one cell saw it.
type Object struct {
	ID     meta.ObjectID
	Source string // main file as the mapping names it
	Object string // base name of the object file
	LLVM   int
	// Maps is the number of counter maps, that is, of loads; 0 when the cell never loaded it.
	Maps int
}

// Ratio is hit of total. It prints as a percentage that is never rounded up to 100 or down to 0.
type Ratio struct {
	Hit, Total int
}

// Percent is 100*Hit/Total cut (not rounded) to one decimal. It is 100 only when everything is hit,
// at least 0.1 when anything is, and 0 when there is nothing to count.
func (r Ratio) Percent() float64 {
	switch {
	case r.Total <= 0 || r.Hit <= 0:
		return 0
	case r.Hit >= r.Total:
		return 100
	}
	return math.Max(0.1, math.Floor(1000*float64(r.Hit)/float64(r.Total))/10)
}

// String returns "84.6%", "100%" when everything is hit, or "-" when there is nothing to count.
func (r Ratio) String() string {
	switch {
	case r.Total <= 0:
		return "-"
	case r.Hit >= r.Total:
		return "100%"
	}
	return strconv.FormatFloat(r.Percent(), 'f', 1, 64) + "%"
}

func (r *Ratio) add(s Status) {
	if !s.Counted() {
		return
	}
	r.Total++
	if s == Hit {
		r.Hit++
	}
}

// Summary holds the figures of a cell or file. Branches counts sides, two to a branch.
type Summary struct {
	Lines, Regions, Branches, Functions Ratio
}

// StatusCount is a number of lines for each status.
type StatusCount [NumStatuses]int

// File is one source file.
type File struct {
	// Name is as the mapping has it: relative to the repository where the build said so.
	Name string
	// Language is empty for the source of BPF programs. Files of programs in user space have lines only.
	Language collect.Language
	// Lines are the lines that are code in at least one cell, by number.
	Lines []Line
	// Regions are the stretches of code with a count of their own, also those within lines, sorted by start, the longer one
	// first. Code that several functions or uses of a macro bring is there once, where it is written.
	Regions []Region
	// Branches are sorted by position.
	Branches []Branch
	// Functions are sorted by line, then name.
	Functions []Function
	// Merged counts the file over all cells, Cells in each.
	Merged Summary
	Cells  []Summary
}

// Line is one line of code. Cells has one element a cell of the report.
type Line struct {
	Number int
	Cells  []State
}

// Region is a stretch of code, from Line and Col to the column before EndCol; columns count bytes from 1. Cells has one
// element a cell of the report.
type Region struct {
	Line, Col, EndLine, EndCol int
	Cells                      []State
}

// Branch is one condition with its two sides. Cells has one element a cell of the report.
type Branch struct {
	// Line is the line that owns the branch: that of the condition or, for one in a macro, of the
	// outermost use of the macro.
	Line int
	// Source is the file that the condition is written in, "" when it is the file that owns the
	// branch; the other positions are the condition's own.
	Source                           string
	SourceLine, Col, EndLine, EndCol int
	// Ordinal tells branches of equal position apart, in the order of the mapping.
	Ordinal int
	Cells   []BranchState
}

// BranchState is what the two sides of a branch are in one cell.
type BranchState struct {
	True, False State
}

// Function is one function. Cells has one element a cell of the report.
type Function struct {
	// Name is the function's C name; of the inner function that libbpf's BPF_PROG makes it is that
	// of the program.
	Name string
	// LLVMName is the name that llvm-cov prints: static functions of headers keep "main.c:".
	LLVMName      string
	Line, EndLine int
	// Program is set when the function is a BPF program, with the section's name.
	Program string
	Cells   []State
}

// Merge is what a position is over several cells: the counts of all hits, or else the status that
// says most, with its reason when all cells of that status agree on it.
func Merge(cells []State) State {
	var m State
	for i := range cells {
		m.merge(i == 0, cells[i])
	}
	return m
}

func (m *State) merge(first bool, s State) {
	switch {
	case first || s.Status > m.Status:
		*m = s
	case s.Status < m.Status:
	default:
		if s.Status == Hit {
			m.Count = collect.AddCounts(m.Count, s.Count)
		}
		if s.Reason != m.Reason {
			m.Reason = 0
		}
	}
}

// MergeBranch is [Merge] for each side.
func MergeBranch(cells []BranchState) BranchState {
	var m BranchState
	for i := range cells {
		m.True.merge(i == 0, cells[i].True)
		m.False.merge(i == 0, cells[i].False)
	}
	return m
}
