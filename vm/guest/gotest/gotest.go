// Package gotest reads the output of a Go test binary and finds its test cases. It understands what
// the testing package prints with -test.v, with -test.v=test2json, and, for failures and skips
// alone, without. Unlike cmd/test2json it does not keep the text of passed tests.
package gotest

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest/lines"
)

// Bounds of what a hostile test can make a Parser keep.
const (
	maxCases   = 100_000
	maxName    = 1 << 10
	maxMessage = 4 << 10
)

// Parser is an [io.Writer] that takes the standard output of a test binary in pieces of any size. The
// zero Parser is ready. Output of other programs gives no cases.
type Parser struct {
	lines   lines.Splitter
	cases   map[string]*state
	order   []string
	current string // the test that lines belong to
	panicky bool
}

type state struct {
	c       collect.Case
	done    bool
	message strings.Builder
}

// Write takes output. It never fails.
func (p *Parser) Write(b []byte) (int, error) {
	p.lines.Write(b, p.Take)
	return len(b), nil
}

// Cases ends the output and returns the test cases in the order in which they started. A test that
// started and did not end has failed.
func (p *Parser) Cases() []collect.Case {
	p.lines.Flush(p.Take)
	var out []collect.Case
	for _, name := range p.order {
		s := p.cases[name]
		c := s.c
		if !s.done {
			c.Outcome = collect.Failed
		}
		if c.Outcome != collect.Passed {
			c.Message = strings.TrimRight(s.message.String(), "\n")
		}
		if !s.done && c.Message == "" {
			c.Message = "did not finish"
		}
		out = append(out, c)
	}
	return out
}

// Failed returns the names of the failed cases that have no failed case below them, sorted.
func Failed(cases []collect.Case) []string {
	var out []string
	for _, c := range cases {
		if c.Outcome != collect.Failed {
			continue
		}
		leaf := true
		for _, d := range cases {
			if d.Outcome == collect.Failed && strings.HasPrefix(d.Name, c.Name+"/") {
				leaf = false
				break
			}
		}
		if leaf {
			out = append(out, c.Name)
		}
	}
	sort.Strings(out)
	return out
}

// Take takes a line without its end, where somebody else has cut the output.
func (p *Parser) Take(line string) {
	line = strings.TrimPrefix(line, "\x16") // -test.v=test2json
	if name, ok := strings.CutPrefix(line, "=== "); ok {
		word, rest, _ := strings.Cut(name, " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "RUN", "CONT", "NAME":
			p.current = rest
			if word == "RUN" {
				p.get(rest)
			}
			return
		case "PAUSE":
			return
		}
	}
	trimmed := strings.TrimLeft(line, " ")
	for _, r := range [...]struct {
		word    string
		outcome collect.Outcome
	}{{"--- PASS: ", collect.Passed}, {"--- FAIL: ", collect.Failed}, {"--- SKIP: ", collect.Skipped}} {
		rest, ok := strings.CutPrefix(trimmed, r.word)
		if !ok {
			continue
		}
		name, d, ok := result(rest)
		if !ok {
			continue
		}
		if s := p.get(name); s != nil {
			s.c.Outcome, s.c.Duration, s.done = r.outcome, d, true
		}
		p.current = name // without -v its messages follow
		return
	}
	switch {
	case line == "PASS" || line == "FAIL" || strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "exit status "):
		p.current = ""
		return
	case strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: "):
		p.panicky = true
	}
	s := p.cases[p.current]
	if s == nil || s.message.Len() >= maxMessage {
		return
	}
	// The testing package indents what a test logs; other lines are the program's own output. They are
	// kept only when they tell of a crash.
	if !strings.HasPrefix(line, "    ") && !p.panicky {
		return
	}
	text := strings.TrimLeft(line, " ")
	if room := maxMessage - s.message.Len(); len(text) > room {
		text = text[:room]
	}
	s.message.WriteString(text)
	s.message.WriteByte('\n')
}

// get returns the case called name, made on first sight, or nil when there are too many.
func (p *Parser) get(name string) *state {
	if s := p.cases[name]; s != nil {
		return s
	}
	if name == "" || len(name) > maxName || len(p.order) >= maxCases {
		return nil
	}
	if p.cases == nil {
		p.cases = map[string]*state{}
	}
	s := &state{c: collect.Case{Name: name}}
	p.cases[name] = s
	p.order = append(p.order, name)
	return s
}

// result splits "TestX/sub (0.01s)".
func result(s string) (name string, d time.Duration, ok bool) {
	name, rest, ok := strings.Cut(s, " (")
	sec, ok2 := strings.CutSuffix(rest, "s)")
	if !ok || !ok2 || name == "" {
		return "", 0, false
	}
	f, err := strconv.ParseFloat(sec, 64)
	if err != nil || !(f >= 0 && f < 1e6) {
		return "", 0, false
	}
	return name, time.Duration(f * float64(time.Second)).Round(time.Microsecond), true
}
