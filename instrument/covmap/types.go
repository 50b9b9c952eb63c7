package covmap

import "fmt"

// Mapping is the coverage mapping of one object or of several that were linked.
type Mapping struct {
	// Version is the mapping version by LLVM's name, 4 to 7. The number in the object is one less.
	Version int
	// Functions are in the order of their first record. Where a function has several records
	// the first one that is not a dummy is here, see [Function.Dummy].
	Functions []*Function
	// Ignored counts records that repeat the name of a function that is already known.
	Ignored int
}

// Function is the mapping of one function. Region and expression indices are valid, expressions
// have no cycles and no file is expanded twice: [Decode] refuses anything else, and
// [Mapping.Evaluate] checks functions that were made by hand.
type Function struct {
	// Name is the profile name: "main", or "t.bpf.c:helper" for a function with local linkage.
	Name string
	// NameHash is the low 64 bits of the MD5 of Name. Hash is clang's structural hash of the body,
	// 0 for a dummy. The two together identify the function's counters.
	NameHash, Hash uint64
	// Files has a name for each file id. One name may be there several times: each macro
	// expansion and each inclusion has a file id of its own.
	Files []string
	// Expressions are referred to by counters of kind [CounterSub] and [CounterAdd]. Whether an
	// expression adds or subtracts is known to those counters only.
	Expressions []Expression
	// Regions are in stored order: by file id, then as clang wrote them.
	Regions []Region
	// NumCounters is one more than the highest counter that the mapping refers to, 0 when it
	// refers to none. The function may own more counters than that, never less.
	NumCounters int
}

// RegionKind says what a region stands for. The order is LLVM's and decides between regions of the
// same range.
type RegionKind uint8

// The kinds of regions, with the values of LLVM's CounterMappingRegion::RegionKind.
const (
	CodeRegion         RegionKind = iota // source that runs Count times
	ExpansionRegion                      // a macro's use or an #include; ExpandedFile is its body
	SkippedRegion                        // left out by the preprocessor, no count
	GapRegion                            // between statements; shows Count only on lines of its own
	BranchRegion                         // a condition: true Count times, false FalseCount times
	MCDCDecisionRegion                   // a boolean expression with MC/DC; not evaluated
	MCDCBranchRegion                     // as BranchRegion, part of a decision
)

func (k RegionKind) String() string {
	switch k {
	case CodeRegion:
		return "code"
	case ExpansionRegion:
		return "expansion"
	case SkippedRegion:
		return "skipped"
	case GapRegion:
		return "gap"
	case BranchRegion:
		return "branch"
	case MCDCDecisionRegion:
		return "mcdc-decision"
	case MCDCBranchRegion:
		return "mcdc-branch"
	}
	return fmt.Sprintf("region(%d)", uint8(k))
}

// Region is a range of source text with a counter.
type Region struct {
	Kind RegionKind
	// File is the file id, an index of [Function.Files]. ExpandedFile is the file id of the body
	// of an expansion region, else 0.
	File, ExpandedFile int
	// Lines and columns count from 1. Columns count bytes. The end is exclusive: ColEnd is the
	// column after the last one.
	LineStart, ColStart, LineEnd, ColEnd int
	// Count says how often the region ran or, of a branch, how often its condition was true.
	// An expansion region has the counter of the first region of the file that it expands.
	Count Counter
	// FalseCount says how often the condition of a branch was false.
	FalseCount Counter
	// MCDC holds the raw extra fields of MC/DC regions: of a decision the index of its bitmap and
	// the number of conditions; of a branch the ids of its condition and of the next one
	// when true and when false, each plus one.
	MCDC [3]uint32
}

// IsBranch reports whether the region is a condition with two counters.
func (r *Region) IsBranch() bool { return r.Kind == BranchRegion || r.Kind == MCDCBranchRegion }

// IsCounted reports whether the region takes part in the counts of lines: code, expansions, gaps
// and skipped regions do, branches and MC/DC decisions do not.
func (r *Region) IsCounted() bool { return r.Kind <= GapRegion }

// Start and End return the region's first position and the one after its last.
func (r *Region) Start() Position { return Position{r.LineStart, r.ColStart} }

// End returns the position after the region's last one.
func (r *Region) End() Position { return Position{r.LineEnd, r.ColEnd} }

// Position is a place in a source file, both numbers from 1.
type Position struct{ Line, Col int }

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool {
	return p.Line < q.Line || p.Line == q.Line && p.Col < q.Col
}

func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Col) }

// CounterKind says what a [Counter] refers to. The values are the tags of the format.
type CounterKind uint8

// The kinds of counters.
const (
	CounterZero CounterKind = iota // always 0: code that clang knows to be unreachable
	CounterRef                     // counter ID of the function
	CounterSub                     // expression ID, left minus right
	CounterAdd                     // expression ID, left plus right
)

// Counter is a value known to a function: nothing, a counter, or an expression over counters. It is
// comparable; equal counters of one function have equal values.
type Counter struct {
	Kind CounterKind
	ID   uint32
}

// IsZero reports whether the counter is the constant 0.
func (c Counter) IsZero() bool { return c.Kind == CounterZero }

// IsExpression reports whether the counter refers to an expression.
func (c Counter) IsExpression() bool { return c.Kind == CounterSub || c.Kind == CounterAdd }

func (c Counter) String() string {
	switch c.Kind {
	case CounterZero:
		return "0"
	case CounterRef:
		return fmt.Sprintf("#%d", c.ID)
	case CounterSub:
		return fmt.Sprintf("sub%d", c.ID)
	case CounterAdd:
		return fmt.Sprintf("add%d", c.ID)
	}
	return fmt.Sprintf("counter(%d,%d)", uint8(c.Kind), c.ID)
}

// Expression is a sum or a difference of two counters.
type Expression struct{ Left, Right Counter }

// FormatError is a coverage mapping that cannot be what LLVM wrote. Decoding stops at the first.
type FormatError struct {
	// Section is the name of the ELF section, "" when the file as a whole is meant.
	Section string
	// Function is the profile name of the function concerned, "" when none is.
	Function string
	// Offset is the distance in bytes from the start of the section, of several sections of the
	// name joined, -1 when no place can be told. Inside compressed names it is that of the
	// compressed block.
	Offset int64
	Reason string
}

func (e *FormatError) Error() string {
	s := "coverage mapping"
	if e.Section != "" {
		s = "section " + e.Section
	}
	if e.Offset >= 0 {
		s += fmt.Sprintf(": offset %#x", e.Offset)
	}
	if e.Function != "" {
		s += ": function " + e.Function
	}
	return s + ": " + e.Reason
}
