package source

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/report/model"
)

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestEscape checks that names in a mapping lead nowhere outside.
func TestEscape(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	put(t, outside, "secret", "x\n")
	put(t, dir, "sub/in", "a\r\nb")
	for name, to := range map[string]string{"link": filepath.Join(outside, "secret"), "dirlink": outside} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, name := range []string{filepath.Join(outside, "secret"), "../" + filepath.Base(outside) + "/secret", "link", "dirlink/secret", "sub", "", "none"} {
		if _, err := r.Lines(name); err == nil {
			t.Errorf("%q was read", name)
		}
	}
	for _, name := range []string{"sub/in", filepath.Join(dir, "sub/in"), "./sub/../sub/in"} {
		if got, err := r.Lines(name); err != nil || !cmp.Equal(got, []string{"a", "b"}) {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
}

func TestMarkers(t *testing.T) {
	for _, x := range []struct {
		name, text      string
		lines, branches string // a letter a line: x is left out
		problems        []string
	}{
		{"line", "a\nb // LCOV_EXCL_LINE\nc /* LCOV_EXCL_LINE_NOT */\n", ".x.", "...", nil},
		{"block", "a\nLCOV_EXCL_START\nb\nLCOV_EXCL_STOP\nc\n", ".xxx.", ".....", nil},
		{"branches", "a LCOV_EXCL_BR_LINE\nb\nLCOV_EXCL_BR_START\nc\nLCOV_EXCL_BR_STOP\n", ".....", "x.xxx", nil},
		{"both", "LCOV_EXCL_START\nLCOV_EXCL_BR_LINE\nLCOV_EXCL_STOP\n", "xxx", ".x.", nil},
		{"no stop", "LCOV_EXCL_START\nb", "xx", "..", []string{"f:1: LCOV_EXCL_START without a stop"}},
		{"twice", "LCOV_EXCL_START\nLCOV_EXCL_START\nLCOV_EXCL_STOP\nLCOV_EXCL_STOP\nx", "xxx..", ".....",
			[]string{"f:2: LCOV_EXCL_START inside of what started in line 1", "f:4: LCOV_EXCL_STOP without a start"}},
	} {
		got, problems := markers("f", strings.Split(strings.TrimSuffix(x.text, "\n"), "\n"))
		strip := func(bs []bool) string {
			s := ""
			for _, b := range bs {
				s += map[bool]string{true: "x", false: "."}[b]
			}
			return s
		}
		if strip(got.all) != x.lines || strip(got.branches) != x.branches || !cmp.Equal(problems, x.problems) {
			t.Errorf("%s: got %s %s %q, want %s %s %q", x.name, strip(got.all), strip(got.branches), problems, x.lines, x.branches, x.problems)
		}
	}
}

// TestChangedSince asks a real Git.
func TestChangedSince(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	put(t, dir, "a.c", "1\n2\n3\n4\n5\n6\n")
	put(t, dir, "gone.c", "something else\n")
	put(t, dir, "same.c", "1\n")
	git("add", ".")
	git("commit", "-qm", "one")
	git("checkout", "-qb", "work")
	put(t, dir, "a.c", "1\ntwo\n3\n4\n5\n6\n")
	put(t, dir, "sub/é \"x\".c", "1\n2\n")
	git("add", ".")
	git("rm", "-q", "gone.c")
	git("commit", "-qm", "two")
	git("checkout", "-q", "main")
	put(t, dir, "same.c", "1\n2\n") // on main since then: not of this change
	git("commit", "-qam", "three")
	git("checkout", "-q", "work")
	put(t, dir, "a.c", "1\ntwo\n4\n5\n++ b/same.c\n-- 7\n8\n") // not committed, and it looks like a diff

	c, err := ChangedSince(t.Context(), dir, "main")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]model.Range{"a.c": {{First: 2, Last: 2}, {First: 5, Last: 7}}, "sub/é \"x\".c": {{First: 1, Last: 2}}}
	if diff := cmp.Diff(want, c.Files); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	f := c.File("a.c")
	for line, want := range map[int]bool{1: false, 2: true, 3: false, 5: true, 7: true, 8: false} {
		if f.Line(line) != want {
			t.Errorf("line %d: got %v", line, !want)
		}
	}
	if !f.Function(3, 9) || f.Function(3, 4) || c.File("same.c").Line(1) {
		t.Error("a function or a file that did not change is kept, or one that did is not")
	}
	for _, rev := range []string{"nothing", "--output=x", ""} {
		if _, err := ChangedSince(t.Context(), dir, rev); !errors.Is(err, ErrRevision) {
			t.Errorf("revision %q: %v", rev, err)
		}
	}
}
