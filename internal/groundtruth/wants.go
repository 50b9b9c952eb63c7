package groundtruth

import (
	"bufio"
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// Want is what a source file says about one of its lines.
type Want struct {
	Line int
	// Alternatives are for different kernels; the first that applies is the one.
	Alternatives []Alternative
	// Branches has one element a condition on the line, from left to right.
	Branches [][]Alternative
	// Maybe is set when the line's branches may be missing: some LLVM majors leave out a condition that
	// they know the value of.
	Maybe bool
}

// Alternative is a value that holds on some kernels.
type Alternative struct {
	// Since and Before bound the kernel's version, as in "6.2"; "" does not.
	Since, Before string
	// Value is an expression over N, the number of runs, or a status. For a branch it is that of
	// the condition being true, and False that of its being false.
	Value, False string
}

// ParseWants reads the wants of a C source. They stand in a comment that begins with "want":
//
//	sum += i;     // want 4*N
//	old++;        // want N before 6.2, eliminated since 6.2
//	if (a && b)   // want N; branch N/2:N/2; branch N/4:N/4
//
// A line without such a comment must not be code.
func ParseWants(r io.Reader) ([]Want, error) {
	var wants []Want
	s := bufio.NewScanner(r)
	comment := regexp.MustCompile(`/[/*] want (.*?)(\*/)?$`)
	for n := 1; s.Scan(); n++ {
		m := comment.FindStringSubmatch(strings.TrimSpace(s.Text()))
		if m == nil {
			continue
		}
		w := Want{Line: n}
		for i, clause := range strings.Split(m[1], ";") {
			clause, branch := strings.CutPrefix(strings.TrimSpace(clause), "branch ")
			if maybe, ok := strings.CutPrefix(clause, "maybe "); ok {
				clause, branch, w.Maybe = maybe, true, true
			}
			if branch == (i == 0) {
				return nil, fmt.Errorf("line %d: clause %q: want a value first and then branches", n, clause)
			}
			alternatives, err := parseAlternatives(clause, branch)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if branch {
				w.Branches = append(w.Branches, alternatives)
			} else {
				w.Alternatives = alternatives
			}
		}
		wants = append(wants, w)
	}
	return wants, s.Err()
}

func parseAlternatives(clause string, branch bool) ([]Alternative, error) {
	var out []Alternative
	for text := range strings.SplitSeq(clause, ",") {
		var a Alternative
		f := strings.Fields(text)
		switch {
		case len(f) == 3 && f[1] == "since":
			a.Since = f[2]
		case len(f) == 3 && f[1] == "before":
			a.Before = f[2]
		case len(f) != 1:
			return nil, fmt.Errorf("%q: want VALUE [since|before X.Y]", text)
		}
		a.Value = f[0]
		if branch {
			var ok bool
			if a.Value, a.False, ok = strings.Cut(f[0], ":"); !ok {
				return nil, fmt.Errorf("branch %q: want TRUE:FALSE", f[0])
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// choose returns the alternative for a kernel release such as "6.1.0-50-amd64".
func choose(alternatives []Alternative, release string) (Alternative, error) {
	for _, a := range alternatives {
		if (a.Since == "" || !versionLess(release, a.Since)) && (a.Before == "" || versionLess(release, a.Before)) {
			return a, nil
		}
	}
	return Alternative{}, fmt.Errorf("no alternative for kernel %s", release)
}

// versionLess compares major and minor version.
func versionLess(a, b string) bool {
	x, y := majorMinor(a), majorMinor(b)
	return x[0] < y[0] || x[0] == y[0] && x[1] < y[1]
}

func majorMinor(release string) (v [2]int) {
	for i, s := range strings.SplitN(release, ".", 3)[:2] {
		v[i], _ = strconv.Atoi(s)
	}
	return v
}

// state computes what value stands for after n runs.
func state(value string, n uint64) (model.State, error) {
	for s := range model.NumStatuses {
		if model.Status(s).String() == value {
			return model.State{Status: model.Status(s)}, nil
		}
	}
	expr := strings.ReplaceAll(value, "N", strconv.FormatUint(n, 10))
	tv, err := types.Eval(token.NewFileSet(), nil, token.NoPos, expr)
	if err != nil {
		return model.State{}, fmt.Errorf("value %q: %w", value, err)
	}
	count, exact := constant.Uint64Val(constant.ToInt(tv.Value))
	if !exact {
		return model.State{}, fmt.Errorf("value %q: not a count", value)
	}
	if count == 0 {
		return model.State{Status: model.Missed}, nil
	}
	return model.State{Status: model.Hit, Count: count}, nil
}
