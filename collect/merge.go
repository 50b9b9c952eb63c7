package collect

// CellData is what all runs of one cell saw together.
type CellData struct {
	Cell     Cell
	Runs     []Run
	Objects  []ObjectCounters // one per object id, sorted
	Programs []ProgramLoad    // sorted by name
}

// Merge adds src to dst, which must be of the same object id: counts are added (and saturate), states
// take the better known, lines follow. The error is an [ErrBuildMismatch] that names both.
func Merge(dst *ObjectCounters, src ObjectCounters) error { return errUnimplemented }

// MergeCells groups records by cell, sorted by kernel (numerically), arch and LLVM, and merges the
// objects and programs of each. Counters of different objects or cells are never added.
func MergeCells(records []Record) ([]CellData, error) { return nil, errUnimplemented }
