package verify

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Expectation is a rule about what must come of programs: that one must be refused before some kernel is a test as well.
type Expectation struct {
	// Program is a glob on the program's name, or FILE/PROG as in filters.
	Program string
	// Cells are globs on cell names ("5.10-*"), architectures ("arm64"), or versions with a comparison ("<5.17", ">=6.9"). All given
	// comparisons have to hold, and one of the others if there are any; none is every cell.
	Cells   []string
	Verdict Verdict
	Class   Class  // if set, of a failure
	Reason  string // for people
}

// Expectations are rules of which the first that matches counts.
type Expectations []Expectation

// Check checks the spelling.
func (list Expectations) Check() error {
	for i, e := range list {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("expect[%d]: %s", i, fmt.Sprintf(format, args...))
		}
		if e.Program == "" {
			return bad("no program")
		}
		if _, err := path.Match(strings.ReplaceAll(e.Program, "/", "-"), ""); err != nil {
			return bad("program %q: %v", e.Program, err)
		}
		switch e.Verdict {
		case OK, Failed, Skipped:
		default:
			return bad("verdict %q: want ok, failed or skipped", e.Verdict)
		}
		for _, c := range e.Cells {
			op, v := comparison(c)
			if op == "" {
				if _, err := path.Match(c, ""); err != nil {
					return bad("cell %q: %v", c, err)
				}
			} else if _, ok := version(v); !ok {
				return bad("cell %q: want a kernel version behind %s", c, op)
			}
		}
	}
	return nil
}

// comparison splits "<5.17".
func comparison(s string) (op, rest string) {
	for _, op := range []string{"<=", ">=", "<", ">", "="} {
		if v, ok := strings.CutPrefix(s, op); ok {
			return op, strings.TrimSpace(v)
		}
	}
	return "", s
}

// version reads the leading numbers of a release: major, minor, patch.
func version(s string) (v [3]int, ok bool) {
	for i := range v {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		if n == 0 || n > 6 {
			return v, i > 0
		}
		v[i], _ = strconv.Atoi(s[:n])
		if s = s[n:]; !strings.HasPrefix(s, ".") {
			return v, true
		}
		s = s[1:]
	}
	return v, true
}

// compareVersions compares as many numbers as want has: 5.10.3 is not newer than 5.10.
func compareVersions(release, want string) int {
	a, _ := version(release)
	b, _ := version(want)
	for i := range min(3, 1+strings.Count(want, ".")) {
		if a[i] != b[i] {
			return a[i] - b[i]
		}
	}
	return 0
}

func (e Expectation) matches(c *Cell, r *Result) bool {
	file, prog, both := strings.Cut(e.Program, "/")
	if !both {
		file, prog = "*", e.Program
	}
	if !(glob{file, prog}).match(r.File, r.Program) || r.Program == "" {
		return false
	}
	named, hit := false, false
	for _, want := range e.Cells {
		op, v := comparison(want)
		n := compareVersions(c.Kernel.Release, v)
		switch op {
		case "<":
			if n >= 0 {
				return false
			}
		case "<=":
			if n > 0 {
				return false
			}
		case ">":
			if n <= 0 {
				return false
			}
		case ">=":
			if n < 0 {
				return false
			}
		case "=":
			if n != 0 {
				return false
			}
		default:
			named = true
			if ok, _ := path.Match(want, c.Name); ok || want == c.Kernel.Arch {
				hit = true
			}
		}
	}
	return !named || hit
}

// Unexpected says why a result is not what was expected, "" if it is. Without a rule a failure is unexpected.
func (list Expectations) Unexpected(c *Cell, r *Result) string {
	for _, e := range list {
		if !e.matches(c, r) {
			continue
		}
		want := ""
		if e.Reason != "" {
			want = " (" + e.Reason + ")"
		}
		switch {
		case r.Verdict != e.Verdict:
			return fmt.Sprintf("%s, expected %s%s", r.Verdict, e.Verdict, want)
		case e.Class != "" && r.Class != e.Class:
			return fmt.Sprintf("failed by %s, expected %s%s", r.Class, e.Class, want)
		}
		return ""
	}
	if r.Verdict == Failed {
		return "failed"
	}
	return ""
}
