package source

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// Markers leaves out what markers in the source exclude, as lcov has it (geninfo(1)):
//
//	LCOV_EXCL_LINE                        this line, its branches, and a function that starts here
//	LCOV_EXCL_START … LCOV_EXCL_STOP      from the line of the one to that of the other, both included
//	LCOV_EXCL_BR_LINE                     the branches of this line
//	LCOV_EXCL_BR_START … LCOV_EXCL_BR_STOP
//
// A file that cannot be read has no markers.
type Markers struct {
	Root *Root
	// Problems are markers that do not go together, one sentence each, sorted.
	Problems []string
}

var _ model.Filter = (*Markers)(nil)

// excluded has the lines, from 0, that are left out.
type excluded struct{ all, branches []bool }

func (x excluded) Line(n int) bool        { return n > len(x.all) || n < 1 || !x.all[n-1] }
func (x excluded) Branches(n int) bool    { return n > len(x.all) || n < 1 || !x.branches[n-1] }
func (x excluded) Function(n, _ int) bool { return x.Line(n) }

// File implements [model.Filter].
func (m *Markers) File(name string) model.FileFilter {
	lines, err := m.Root.Lines(name)
	if err != nil {
		return nil
	}
	x, problems := markers(name, lines)
	if len(problems) > 0 {
		m.Problems = append(m.Problems, problems...)
		slices.Sort(m.Problems)
	}
	if !slices.Contains(x.all, true) && !slices.Contains(x.branches, true) {
		return nil
	}
	return x
}

func markers(name string, lines []string) (excluded, []string) {
	x := excluded{make([]bool, len(lines)), make([]bool, len(lines))}
	var problems []string
	for _, kind := range []struct {
		prefix string
		to     []bool
	}{{"LCOV_EXCL_", x.all}, {"LCOV_EXCL_BR_", x.branches}} {
		since := -1
		for i, l := range lines {
			if !strings.Contains(l, kind.prefix) {
				if since >= 0 {
					kind.to[i] = true
				}
				continue
			}
			switch {
			case has(l, kind.prefix+"START"):
				if since >= 0 {
					problems = append(problems, fmt.Sprintf("%s:%d: %sSTART inside of what started in line %d", name, i+1, kind.prefix, since+1))
				} else {
					since = i
				}
			case has(l, kind.prefix+"STOP"):
				if since < 0 {
					problems = append(problems, fmt.Sprintf("%s:%d: %sSTOP without a start", name, i+1, kind.prefix))
				}
				kind.to[i] = kind.to[i] || since >= 0
				since = -1
			case has(l, kind.prefix+"LINE"):
				kind.to[i] = true
			}
			if since >= 0 {
				kind.to[i] = true
			}
		}
		if since >= 0 {
			problems = append(problems, fmt.Sprintf("%s:%d: %sSTART without a stop", name, since+1, kind.prefix))
		}
	}
	return x, problems
}

// has reports whether a marker stands in a line as a word.
func has(line, marker string) bool {
	for at := 0; ; {
		i := strings.Index(line[at:], marker)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(marker)
		if (i == 0 || !word(line[i-1])) && (end == len(line) || !word(line[end])) {
			return true
		}
		at = end
	}
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
