package verify

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
)

// Record is one line of the stream by which a guest reports: JSON objects, one a line, of which exactly one member is set. The
// first is a kernel, the last an end.
type Record struct {
	Kernel *Kernel `json:"kernel,omitempty"`
	// Begin names a program before it is loaded: when the guest dies, this is the one that did it.
	Begin  *Begin  `json:"begin,omitempty"`
	Result *Result `json:"result,omitempty"`
	End    *End    `json:"end,omitempty"`
}

// Begin names the program that is tried next.
type Begin struct {
	File    string `json:"file_name"`
	Program string `json:"prog_name"`
}

// End is the last record.
type End struct {
	Results int `json:"results"`
}

// maxLine bounds a line of the stream, in bytes: a result with its log.
const maxLine = 8 << 20

// ErrStream is wrapped by the errors of a stream that is none.
var ErrStream = errors.New("not a stream of verify records")

// ReadStream decodes a stream, whose writer is not trusted, and calls f for each record. A stream that ends early is no error here: it has no
// [End].
func ReadStream(r io.Reader, f func(Record) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	for n := 1; sc.Scan(); n++ {
		var rec Record
		if err := json.Unmarshal(sc.Bytes(), &rec); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrStream, n, err)
		}
		if r := rec.Result; r != nil {
			r.sanitize()
		}
		if err := f(rec); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrStream, err)
	}
	return nil
}

// sanitize makes a result of somebody else's fit to print.
func (r *Result) sanitize() {
	for _, s := range []*string{&r.File, &r.Program, &r.ProgType, &r.AttachType, &r.Section, &r.Errno, &r.Reason, &r.Guess} {
		*s = clean(*s)
	}
	if len(r.Lines) > 8 {
		r.Lines = r.Lines[:8]
	}
	for i := range r.Lines {
		r.Lines[i] = clean(r.Lines[i])
	}
	r.Log = strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' || unicode.IsPrint(c) {
			return c
		}
		return -1
	}, r.Log)
	switch r.Verdict {
	case OK, Failed, Skipped:
	default:
		r.Verdict, r.Class = Failed, ClassHarness
	}
	s := &r.Stats
	for _, n := range []*int{&s.Insns, &s.States, &s.PeakStates, &s.MaxStatesPerInsn, &s.MarkRead, &s.Stack, &s.Duration, &s.Size, &s.JitedSize, &s.Xlated} {
		*n = max(0, *n)
	}
}

// An Input is one object file and the name under which its programs are reported.
type Input struct {
	Name, Path string
}

// Files loads every program of every input for which want is true (nil: all) and calls emit with each result, in the order of the inputs
// and of the programs' names. begin, if not nil, is called before each. An object that cannot be read is one result without a program.
func (l *Loader) Files(inputs []Input, want func(file, program string) bool, begin func(file, program string) error, emit func(Result) error) error {
	for _, in := range inputs {
		if want != nil && !want(in.Name, "") {
			continue
		}
		o, err := Open(in.Path)
		if err != nil {
			if os.IsNotExist(err) {
				return err
			}
			if err := emit(Result{File: in.Name}.harness(strings.TrimPrefix(err.Error(), in.Path+": "))); err != nil {
				return err
			}
			continue
		}
		o.File = in.Name
		for _, p := range o.Programs() {
			if want != nil && !want(in.Name, p) {
				continue
			}
			if begin != nil {
				if err := begin(in.Name, p); err != nil {
					return err
				}
			}
			if err := emit(l.Load(o, p)); err != nil {
				return err
			}
		}
	}
	return nil
}
