// Package lcov writes lcov tracefiles, format 1.x, which every consumer reads: genhtml of lcov 1
// and 2, Codecov, Coveralls, SonarQube, editors.
//
// It does not read tracefiles, does not merge and does not find sources; see report/model. Records
// that only newer lcov knows (VER, FNL, FNA, MCDC, end lines of functions) are not written,
// because they break other readers.
//
//	TN:<test name>                            only with Options.TestName
//	SF:<path>
//	FN:<first line>,<name>                    for each function
//	FNDA:<count>,<name>                       for each function
//	FNF:<functions>        FNH:<of these, hit>
//	DA:<line>,<count>                         for each line with code
//	BRDA:<line>,<block>,<branch>,<count or -> for each side of each branch
//	BRF:<sides>            BRH:<of these, hit>
//	LF:<lines>             LH:<of these, hit>
//	end_of_record
//
// The numbers of branches are those of llvm-cov: block counts the conditions of a line from 0,
// branch the sides of all conditions of a line from 0, the true side first. They are equal in two
// tracefiles of one object, whatever ran.
//
// The totals (FNF, FNH, BRF, BRH, LF, LH) are true totals of the records of the file, unlike those of
// llvm-cov, which counts the bodies of functions and not the file (see covmap.Summary).
// genhtml computes them anew and Codecov ignores them.
package lcov

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/bpfcov/bpfcov/instrument/covmap"
)

// File is what a tracefile says of one source file.
type File struct {
	// Path is written as it is: relative to the repository, with slashes.
	Path string
	// Functions and Lines are written in the order given.
	Functions []Function
	Lines     []Line
	// Branches of one line must follow each other; their order there gives them their numbers.
	Branches []Branch
}

// Function is a function of a file.
type Function struct {
	Name  string
	Line  int // first line, from 1
	Count uint64
}

// Line is a line with code.
type Line struct {
	Line  int // from 1
	Count uint64
}

// Branch is a condition with two sides.
type Branch struct {
	Line        int // from 1
	True, False uint64
	// OmitTrue and OmitFalse leave a side out, for example one that a kernel removed. The
	// numbers of the other branches do not change by it.
	OmitTrue, OmitFalse bool
}

// Options vary the output. The zero value is valid.
type Options struct {
	// TestName is written as TN, with anything but letters, digits and _ replaced by _.
	TestName string
}

// Write writes one tracefile. Files without any record are written too. It fails for what the format
// cannot hold: a path or name that is empty or has a line break, a line number below 1,
// branches of one line that are not together.
func Write(w io.Writer, files []File, o Options) error {
	b := &writer{w: bufio.NewWriter(w)}
	for i := range files {
		if err := check(&files[i]); err != nil {
			return err
		}
		if o.TestName != "" {
			b.line("TN:", testName(o.TestName))
		}
		b.file(&files[i])
	}
	return b.w.Flush()
}

// FromCoverage makes the input of [Write] from the coverage of one mapping.
func FromCoverage(c *covmap.Coverage) []File {
	files := make([]File, 0, len(c.Files))
	for i := range c.Files {
		src := &c.Files[i]
		f := File{Path: src.Name}
		for j := range src.Functions {
			fn := &src.Functions[j]
			f.Functions = append(f.Functions, Function{Name: fn.Name, Line: fn.Line, Count: fn.Count})
		}
		for _, l := range src.Lines {
			f.Lines = append(f.Lines, Line{Line: l.Line, Count: l.Count})
		}
		for j := range src.Branches {
			br := &src.Branches[j]
			f.Branches = append(f.Branches, Branch{Line: br.Line, True: br.TrueCount, False: br.FalseCount})
		}
		files = append(files, f)
	}
	return files
}

func testName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, s)
}

func check(f *File) error {
	if f.Path == "" || strings.ContainsAny(f.Path, "\r\n") {
		return fmt.Errorf("lcov: path %q: empty or with a line break", f.Path)
	}
	for _, fn := range f.Functions {
		if fn.Name == "" || strings.ContainsAny(fn.Name, "\r\n") {
			return fmt.Errorf("lcov: %s: function name %q: empty or with a line break", f.Path, fn.Name)
		}
		if fn.Line < 1 {
			return fmt.Errorf("lcov: %s: function %s starts at line %d", f.Path, fn.Name, fn.Line)
		}
	}
	for _, l := range f.Lines {
		if l.Line < 1 {
			return fmt.Errorf("lcov: %s: line %d", f.Path, l.Line)
		}
	}
	seen := make(map[int]bool)
	for i, br := range f.Branches {
		if br.Line < 1 {
			return fmt.Errorf("lcov: %s: branch at line %d", f.Path, br.Line)
		}
		if i > 0 && f.Branches[i-1].Line == br.Line {
			continue
		}
		if seen[br.Line] {
			return fmt.Errorf("lcov: %s: branches of line %d are not together", f.Path, br.Line)
		}
		seen[br.Line] = true
	}
	return nil
}

// writer writes records; bufio keeps the first error.
type writer struct {
	w   *bufio.Writer
	buf []byte
}

// line writes one record: the parts are strings, ints and uint64s.
func (b *writer) line(parts ...any) {
	b.buf = b.buf[:0]
	for _, p := range parts {
		switch v := p.(type) {
		case string:
			b.buf = append(b.buf, v...)
		case int:
			b.buf = strconv.AppendInt(b.buf, int64(v), 10)
		case uint64:
			b.buf = strconv.AppendUint(b.buf, v, 10)
		}
	}
	b.buf = append(b.buf, '\n')
	b.w.Write(b.buf)
}

func (b *writer) file(f *File) {
	b.line("SF:", f.Path)
	hit := 0
	for _, fn := range f.Functions {
		b.line("FN:", fn.Line, ",", fn.Name)
	}
	for _, fn := range f.Functions {
		b.line("FNDA:", fn.Count, ",", fn.Name)
		hit += one(fn.Count)
	}
	b.line("FNF:", len(f.Functions))
	b.line("FNH:", hit)

	hit = 0
	for _, l := range f.Lines {
		b.buf = strconv.AppendInt(append(b.buf[:0], "DA:"...), int64(l.Line), 10)
		b.buf = strconv.AppendUint(append(b.buf, ','), l.Count, 10)
		b.w.Write(append(b.buf, '\n'))
		hit += one(l.Count)
	}
	found, taken := b.branches(f.Branches)
	b.line("BRF:", found)
	b.line("BRH:", taken)
	b.line("LF:", len(f.Lines))
	b.line("LH:", hit)
	b.line("end_of_record")
}

func (b *writer) branches(branches []Branch) (found, taken int) {
	block := 0
	for i, br := range branches {
		if i > 0 && branches[i-1].Line == br.Line {
			block++
		} else {
			block = 0
		}
		for side, count := range [2]uint64{br.True, br.False} {
			if side == 0 && br.OmitTrue || side == 1 && br.OmitFalse {
				continue
			}
			found++
			taken += one(count)
			b.buf = strconv.AppendInt(append(b.buf[:0], "BRDA:"...), int64(br.Line), 10)
			b.buf = strconv.AppendInt(append(b.buf, ','), int64(block), 10)
			b.buf = strconv.AppendInt(append(b.buf, ','), int64(2*block+side), 10)
			if b.buf = append(b.buf, ','); br.True == 0 && br.False == 0 {
				b.buf = append(b.buf, '-') // the condition was never evaluated
			} else {
				b.buf = strconv.AppendUint(b.buf, count, 10)
			}
			b.w.Write(append(b.buf, '\n'))
		}
	}
	return found, taken
}

func one(count uint64) int {
	if count > 0 {
		return 1
	}
	return 0
}
