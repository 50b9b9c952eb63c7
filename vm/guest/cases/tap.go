package cases

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
)

// tap reads the Test Anything Protocol (testanything.org, TAP 14) and the kernel's (Documentation/dev-tools/ktap.rst):
//
//	TAP version 14
//	1..3
//	ok 1 - first
//	not ok 2 - second
//	  ---
//	  duration_ms: 12.5
//	  message: wrong
//	  ...
//	ok 3 - third # SKIP no such device
//
// Subtests are indented, below "# Subtest: NAME". Nothing counts before a version or a plan.
type tap struct {
	all  list
	on   bool
	plan int // of the tests that are not indented, -1 for none
	ran  int
	last int // index of the last case, -1 for none
	yaml bool
	subs []string // names by depth
	deep bool     // the last case is a subtest
}

var (
	tapPlan   = regexp.MustCompile(`^1\.\.([0-9]{1,9})( *#.*)?$`)
	tapResult = regexp.MustCompile(`^(not )?ok\b *([0-9]{0,9}) *(?:- *)?(.*)$`)
	tapTime   = regexp.MustCompile(`#? *(?:time=|in )([0-9.]{1,20}(?:ms|s|us|µs))$`)
	tapMarker = regexp.MustCompile(`(?i)(?:^|\s)#\s*(skip|todo)\S*\s*(.*)$`)
)

func (p *tap) take(line string) {
	text := strings.TrimLeft(line, " ")
	depth := (len(line) - len(text)) / 4
	if strings.HasPrefix(text, "TAP version ") || strings.HasPrefix(text, "KTAP version ") {
		p.start()
		return
	}
	if m := tapPlan.FindStringSubmatch(text); m != nil {
		p.start()
		if depth == 0 {
			p.plan, _ = strconv.Atoi(m[1])
		}
		return
	}
	if !p.on {
		return
	}
	switch {
	case p.yaml:
		p.diagnose(text)
	case text == "---" && p.last >= 0:
		p.yaml = true
	case strings.HasPrefix(text, "Bail out!"):
		say(p.all.add("Bail out!", collect.Failed), strings.TrimSpace(strings.TrimPrefix(text, "Bail out!")))
		p.plan = -1
	case strings.HasPrefix(text, "# Subtest: "):
		// The comment is indented as the tests below it (TAP 14) or as the one above (older producers).
		p.subs = append(p.subs[:min(len(p.subs), max(0, depth-1))], strings.TrimPrefix(text, "# Subtest: "))
	case strings.HasPrefix(text, "#"):
		if p.last >= 0 && p.all.cases[p.last].Outcome == collect.Failed {
			say(&p.all.cases[p.last], strings.TrimSpace(text[1:]))
		}
	default:
		if m := tapResult.FindStringSubmatch(text); m != nil {
			p.result(depth, m[1] != "", m[2], m[3])
		}
	}
}

func (p *tap) start() {
	if !p.on {
		p.on, p.plan, p.last = true, -1, -1
	}
}

func (p *tap) result(depth int, failed bool, number, name string) {
	o := collect.Passed
	if failed {
		o = collect.Failed
	}
	why := ""
	if m := tapMarker.FindStringSubmatchIndex(name); m != nil {
		// A test that is to do may fail, and one that passes all the same is no news.
		if word := strings.ToLower(name[m[2]:m[3]]); word == "skip" || failed {
			o, why = collect.Skipped, strings.TrimSpace(name[m[4]:m[5]])
		}
		name = name[:m[0]]
	}
	took := ""
	if m := tapTime.FindStringSubmatchIndex(name); m != nil {
		took, name = name[m[2]:m[3]], name[:m[0]]
	}
	if name = strings.TrimSpace(name); name == "" {
		name = "test " + number
	}
	if depth == 0 {
		p.ran++
		p.subs = nil
	} else if len(p.subs) > 0 {
		name = strings.Join(p.subs[:min(depth, len(p.subs))], "/") + "/" + name
	}
	p.last = -1
	if c := p.all.add(name, o); c != nil {
		p.last = len(p.all.cases) - 1
		c.Duration = duration(took)
		say(c, why)
	}
}

// diagnose reads a line of the YAML behind a test. Only two keys have a meaning that producers agree on.
func (p *tap) diagnose(text string) {
	if text == "..." {
		p.yaml = false
		return
	}
	c := &p.all.cases[p.last]
	key, value, ok := strings.Cut(text, ":")
	value = strings.Trim(strings.TrimSpace(value), `"'`)
	switch {
	case ok && key == "duration_ms":
		c.Duration = duration(value + "ms")
	case ok && key == "message" && c.Outcome == collect.Failed:
		say(c, value)
	}
}

func (p *tap) list() []collect.Case {
	if p.on && p.plan > p.ran {
		say(p.all.add("plan", collect.Failed), fmt.Sprintf("%d tests were planned and %d ran", p.plan, p.ran))
		p.plan = -1
	}
	return p.all.cases
}
