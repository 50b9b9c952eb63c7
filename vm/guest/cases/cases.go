// Package cases finds test cases in what a test command prints: of Go's testing package (see package gotest), of Rust's libtest, and in
// the Test Anything Protocol (TAP 12 to 14, and the kernel's KTAP). A command that prints none of them has no cases.
package cases

import (
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest/gotest"
	"github.com/bpfcov/bpfcov/vm/guest/lines"
)

// Bounds of what a hostile test can make a Parser keep.
const (
	maxCases   = 100_000
	maxName    = 1 << 10
	maxMessage = 4 << 10
)

// Parser is an [io.Writer] that takes the standard output of a test command in pieces of any size. The zero Parser is
// ready.
type Parser struct {
	goTest  gotest.Parser
	libtest libtest
	tap     tap

	lines lines.Splitter
}

// Write takes output. It never fails.
func (p *Parser) Write(b []byte) (int, error) {
	p.lines.Write(b, p.take)
	return len(b), nil
}

func (p *Parser) take(line string) {
	p.goTest.Take(line)
	p.libtest.take(line)
	p.tap.take(line)
}

// Cases ends the output and returns the test cases, of each kind in the order in which they started. A test that started and did not
// end has failed.
func (p *Parser) Cases() []collect.Case {
	p.lines.Flush(p.take)
	return slices.Concat(p.goTest.Cases(), p.libtest.list(), p.tap.list())
}

// list is a bounded list of cases with messages.
type list struct{ cases []collect.Case }

// add returns the new case, or nil when there are too many or the name is none.
func (l *list) add(name string, o collect.Outcome) *collect.Case {
	if name == "" || len(name) > maxName || len(l.cases) >= maxCases {
		return nil
	}
	l.cases = append(l.cases, collect.Case{Name: strings.ToValidUTF8(name, "?"), Outcome: o})
	return &l.cases[len(l.cases)-1]
}

// say adds a line to the message of a case.
func say(c *collect.Case, line string) {
	if c == nil || len(c.Message) >= maxMessage || line == "" {
		return
	}
	if c.Message != "" {
		c.Message += "\n"
	}
	line = strings.ToValidUTF8(line, "?")
	c.Message += line[:min(len(line), maxMessage-len(c.Message))]
}
