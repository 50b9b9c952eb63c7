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
	b := &writer{w: w, buf: make([]byte, 0, bufferSize)}
	for i := range files {
		if err := check(&files[i]); err != nil {
			return err
		}
		if o.TestName != "" {
			b.text("TN:", testName(o.TestName))
		}
		b.file(&files[i])
	}
	b.flush()
	return b.err
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
	var seen map[int]bool // lines with branches; not needed while these ascend
	for i, br := range f.Branches {
		if br.Line < 1 {
			return fmt.Errorf("lcov: %s: branch at line %d", f.Path, br.Line)
		}
		if i == 0 || f.Branches[i-1].Line == br.Line {
			continue
		}
		if seen == nil && f.Branches[i-1].Line > br.Line {
			seen = map[int]bool{}
			for _, before := range f.Branches[:i] {
				seen[before.Line] = true
			}
		}
		if seen[br.Line] {
			return fmt.Errorf("lcov: %s: branches of line %d are not together", f.Path, br.Line)
		}
		if seen != nil {
			seen[br.Line] = true
		}
	}
	return nil
}

// writer writes records. It keeps the first error.
type writer struct {
	w   io.Writer
	buf []byte
	err error
}

const (
	bufferSize = 64 << 10
	longRecord = 4 + 4*21 // of numbers only
)

// room writes the buffer when n more bytes do not fit.
func (b *writer) room(n int) {
	if len(b.buf)+n > cap(b.buf) {
		b.flush()
	}
}

func (b *writer) flush() {
	if b.err == nil && len(b.buf) > 0 {
		_, b.err = b.w.Write(b.buf)
	}
	b.buf = b.buf[:0]
}

// text writes one record.
func (b *writer) text(parts ...string) {
	b.room(longRecord)
	for _, p := range parts {
		b.buf = append(b.buf, p...)
	}
	b.buf = append(b.buf, '\n')
}

// numbers writes one record of numbers.
func (b *writer) numbers(name string, numbers ...uint64) {
	b.room(longRecord)
	b.buf = append(b.buf, name...)
	for i, n := range numbers {
		if i > 0 {
			b.buf = append(b.buf, ',')
		}
		b.buf = appendNumber(b.buf, n)
	}
	b.buf = append(b.buf, '\n')
}

// appendNumber is [strconv.AppendUint], faster for what most counts are.
func appendNumber(b []byte, n uint64) []byte {
	if n < 10 {
		return append(b, '0'+byte(n))
	}
	return strconv.AppendUint(b, n, 10)
}

func (b *writer) file(f *File) {
	b.text("SF:", f.Path)
	hit := 0
	for _, fn := range f.Functions {
		b.text("FN:", strconv.Itoa(fn.Line), ",", fn.Name)
	}
	for _, fn := range f.Functions {
		b.text("FNDA:", strconv.FormatUint(fn.Count, 10), ",", fn.Name)
		hit += one(fn.Count)
	}
	b.numbers("FNF:", uint64(len(f.Functions)))
	b.numbers("FNH:", uint64(hit))

	hit = 0
	for _, l := range f.Lines {
		b.numbers("DA:", uint64(l.Line), l.Count)
		hit += one(l.Count)
	}
	found, taken := b.branches(f.Branches)
	b.numbers("BRF:", uint64(found))
	b.numbers("BRH:", uint64(taken))
	b.numbers("LF:", uint64(len(f.Lines)))
	b.numbers("LH:", uint64(hit))
	b.text("end_of_record")
}

func (b *writer) branches(branches []Branch) (found, taken int) {
	var line []byte // the part of records that is the same for a line
	block := uint64(0)
	for i := range branches {
		br := &branches[i]
		if i > 0 && branches[i-1].Line == br.Line {
			block++
		} else {
			block = 0
			line = append(strconv.AppendInt(append(line[:0], "BRDA:"...), int64(br.Line), 10), ',')
		}
		for side, count := range [2]uint64{br.True, br.False} {
			if side == 0 && br.OmitTrue || side == 1 && br.OmitFalse {
				continue
			}
			found++
			taken += one(count)
			b.room(longRecord)
			b.buf = append(appendNumber(append(b.buf, line...), block), ',')
			b.buf = append(appendNumber(b.buf, 2*block+uint64(side)), ',')
			if br.True == 0 && br.False == 0 {
				b.buf = append(b.buf, '-') // the condition was never evaluated
			} else {
				b.buf = appendNumber(b.buf, count)
			}
			b.buf = append(b.buf, '\n')
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
