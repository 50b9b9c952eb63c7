package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// Changed keeps the lines that a change touches, and the functions that it touches a line of.
type Changed struct {
	// Files has the ranges of changed lines of each file, ascending.
	Files map[string][]model.Range
}

var _ model.Filter = (*Changed)(nil)

// ErrRevision means that Git does not know a revision.
var ErrRevision = errors.New("no such revision")

// ChangedSince asks Git what differs between the work tree below dir and the point where rev and HEAD
// part: the lines of the change, whether committed or not.
func ChangedSince(ctx context.Context, dir, rev string) (*Changed, error) {
	git := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			text := strings.TrimSpace(stderr.String())
			return nil, fmt.Errorf("git %s: %w: %s", args[0], err, text)
		}
		return out, nil
	}
	// Not an option, whatever it starts with.
	commit, err := git("rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // git-rev-parse(1): --quiet says nothing of a revision that it does not know
		return nil, fmt.Errorf("%w: %q (in a shallow clone, fetch it first)", ErrRevision, rev)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrRevision, rev, err)
	}
	from := strings.TrimSpace(string(commit))
	if base, err := git("merge-base", from, "HEAD"); err == nil {
		from = strings.TrimSpace(string(base))
	}
	out, err := git("-c", "core.quotePath=false", "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--unified=0", "--src-prefix=a/", "--dst-prefix=b/", "--relative", from, "--")
	if err != nil {
		return nil, err
	}
	return parseDiff(string(out))
}

// hunk is the head of a part of a unified diff; its second half says where the lines are now.
var hunk = regexp.MustCompile(`^@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@`)

// parseDiff reads a unified diff without context.
func parseDiff(diff string) (*Changed, error) {
	c := &Changed{Files: map[string][]model.Range{}}
	file, left := "", 0 // left counts the lines of a hunk, which may look like heads
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		if left > 0 && (strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-")) {
			left--
			continue
		}
		if name, ok := strings.CutPrefix(line, "+++ "); ok {
			name = strings.TrimSuffix(name, "\t") // git adds one when there is a blank in the name
			if strings.HasPrefix(name, `"`) {
				unquoted, err := strconv.Unquote(name)
				if err != nil {
					return nil, fmt.Errorf("git diff: file name %s: %w", name, err)
				}
				name = unquoted
			}
			file = strings.TrimPrefix(name, "b/")
			continue
		}
		m := hunk.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		first, err1 := strconv.Atoi(m[1])
		n, err2 := 1, error(nil)
		if m[2] != "" {
			n, err2 = strconv.Atoi(m[2])
		}
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("git diff: %q", line)
		}
		left = n + removed(line)
		if n > 0 {
			c.Files[file] = append(c.Files[file], model.Range{First: first, Last: first + n - 1})
		}
	}
	return c, nil
}

// removed is the number of lines that a hunk takes away.
func removed(head string) int {
	_, rest, _ := strings.Cut(head, "-")
	rest, _, _ = strings.Cut(rest, " ")
	_, n, ok := strings.Cut(rest, ",")
	if !ok {
		return 1
	}
	v, _ := strconv.Atoi(n)
	return v
}

// File implements [model.Filter].
func (c *Changed) File(name string) model.FileFilter { return touched(c.Files[name]) }

type touched []model.Range

func (t touched) Line(n int) bool   { return t.Function(n, n) }
func (t touched) Branches(int) bool { return true }
func (t touched) Function(first, last int) bool {
	for _, r := range t {
		if r.First <= last && r.Last >= first {
			return true
		}
	}
	return false
}
