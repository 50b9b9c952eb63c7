// Package lines cuts what a test command prints into lines.
package lines

import (
	"bytes"
	"strings"
)

// Max bounds, in bytes, what a hostile test can make a Splitter keep: the rest of a longer line is dropped.
const Max = 64 << 10

// Splitter takes output in pieces of any size. The zero Splitter is ready.
type Splitter struct {
	line []byte
	skip bool // the rest of an overlong line
}

// Write takes output and calls take for each line that it ends, without its end ("\n" or "\r\n").
func (s *Splitter) Write(b []byte, take func(line string)) {
	for len(b) > 0 {
		part, rest, whole := bytes.Cut(b, []byte{'\n'})
		if !s.skip {
			part = part[:min(len(part), Max-len(s.line))]
			s.line = append(s.line, part...)
			s.skip = len(s.line) == Max
		}
		if whole {
			s.end(take)
		}
		b = rest
	}
}

// Flush calls take for a last line without an end.
func (s *Splitter) Flush(take func(line string)) {
	if len(s.line) > 0 {
		s.end(take)
	}
}

// Len is the number of bytes kept of a line that has not ended yet.
func (s *Splitter) Len() int { return len(s.line) }

func (s *Splitter) end(take func(line string)) {
	line := strings.TrimSuffix(string(s.line), "\r")
	s.line, s.skip = s.line[:0], false
	take(line)
}
