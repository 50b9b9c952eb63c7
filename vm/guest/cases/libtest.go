package cases

import (
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// libtest reads what Rust's test harness prints (library/test/src/formatters/pretty.rs):
//
//	running 2 tests
//	test a::b ... ok
//	test a::c ... FAILED
//	---- a::c stdout ----
//	thread 'a::c' panicked at …
//	test result: FAILED. 1 passed; 1 failed; 0 ignored; …
//
// With --report-time (unstable) a time follows: "ok <0.003s>".
type libtest struct {
	all     list
	running bool
	byName  map[string]int
	open    string // a test whose result is on a later line, behind its own output
	shows   string // the test whose output follows
}

func (p *libtest) take(line string) {
	if isRunning(line) {
		p.running = true
		return
	}
	if !p.running {
		return
	}
	switch rest, ok := strings.CutPrefix(line, "test "); {
	case strings.HasPrefix(line, "test result: "):
		p.end()
		p.running, p.shows = false, ""
		return
	case ok:
		if name, result, ok := strings.Cut(rest, " ... "); ok {
			p.end()
			if o, ok := p.outcome(result); ok {
				p.result(name, o, result)
			} else {
				p.open = name
			}
			return
		}
	}
	if p.open != "" {
		if o, ok := p.outcome(line); ok {
			name := p.open
			p.open = ""
			p.result(name, o, line)
			return
		}
	}
	if name, ok := strings.CutPrefix(line, "---- "); ok && strings.HasSuffix(name, " ----") {
		name = strings.TrimSuffix(name, " ----")
		name = strings.TrimSuffix(strings.TrimSuffix(name, " stdout"), " stderr")
		p.shows = name
		return
	}
	if line == "failures:" {
		p.shows = ""
		return
	}
	if i, ok := p.byName[p.shows]; ok && p.shows != "" {
		say(&p.all.cases[i], strings.TrimSpace(line))
	}
}

func isRunning(line string) bool {
	n, ok := strings.CutPrefix(line, "running ")
	if !ok {
		return false
	}
	n, ok = strings.CutSuffix(strings.TrimSuffix(n, "s"), " test")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

func (p *libtest) outcome(s string) (collect.Outcome, bool) {
	word, _, _ := strings.Cut(s, " ")
	switch {
	case word == "ok":
		return collect.Passed, true
	case word == "FAILED":
		return collect.Failed, true
	case word == "ignored", strings.HasPrefix(s, "ignored, "):
		return collect.Skipped, true
	}
	return "", false
}

func (p *libtest) result(name string, o collect.Outcome, result string) {
	name, _, _ = strings.Cut(name, " - should panic")
	c := p.all.add(name, o)
	if c == nil {
		return
	}
	if p.byName == nil {
		p.byName = map[string]int{}
	}
	p.byName[name] = len(p.all.cases) - 1
	if why, ok := strings.CutPrefix(result, "ignored, "); ok {
		say(c, why)
	}
	if _, rest, ok := strings.Cut(result, "<"); ok {
		if t, ok := strings.CutSuffix(rest, ">"); ok {
			c.Duration = duration(t)
		}
	}
}

// end fails a test that did not come to its result.
func (p *libtest) end() {
	if p.open != "" {
		say(p.all.add(p.open, collect.Failed), "did not finish")
		p.open = ""
	}
}

func (p *libtest) list() []collect.Case {
	p.end()
	return p.all.cases
}

// duration reads "0.003s", "12ms" and the like; what is none is 0.
func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > 1e6*time.Second {
		return 0
	}
	return d
}
