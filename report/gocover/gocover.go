// Package gocover writes a report as a Go cover profile, which golang.org/x/tools/cover reads.
//
// `go tool cover -html` shows it over the C source, from the repository's root. `go tool cover -func` parses the files as Go, so
// [WriteFunctions] makes a second profile for it. A block is a run of successive lines with equal counts, as many statements as
// lines, so that the profile's percentage is that of lines. Code that cannot run in the column (not
// built, eliminated, folded) is in no block.
package gocover

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// endOfLine is a column behind the end of every line: a block ends on the last of its lines, which readers
// that count lines need, and where it ends there is not known.
const endOfLine = 9999

// Write writes the profile of a column.
func Write(w io.Writer, r *model.Report, column model.Column) error {
	b := bufio.NewWriter(w)
	b.WriteString("mode: count\n")
	for k := range r.Files {
		f := &r.Files[k]
		if strings.ContainsAny(f.Name, "\r\n") {
			return fmt.Errorf("gocover: file name %q has a line break", f.Name)
		}
		name := f.Name
		if !path.IsAbs(name) {
			name = "./" + name // without it the go command looks for a package
		}
		writeBlocks(b, name, f, column)
	}
	return b.Flush()
}

func writeBlocks(b *bufio.Writer, name string, f *model.File, column model.Column) {
	starts := make(map[int]bool, len(f.Functions)) // no block is in two functions
	for k := range f.Functions {
		starts[f.Functions[k].Line] = true
	}
	first, last, count := 0, 0, uint64(0)
	flush := func() {
		if first > 0 {
			fmt.Fprintf(b, "%s:%d.1,%d.%d %d %d\n", name, first, last, endOfLine, last-first+1, min(count, math.MaxInt))
		}
		first = 0
	}
	for n := range f.Lines {
		s := column.State(f.Lines[n].Cells)
		if !s.Status.Counted() {
			continue
		}
		at := f.Lines[n].Number
		if first > 0 && at == last+1 && s.Count == count && !starts[at] {
			last = at
			continue
		}
		flush()
		first, last, count = at, at, s.Count
	}
	flush()
}
