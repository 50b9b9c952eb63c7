package collect

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// folder returns a new covdata folder with records.
func folder(t *testing.T, records ...*Record) string {
	t.Helper()
	dir := t.TempDir()
	for _, r := range records {
		if _, err := WriteRecord(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(b)
	}
	return all
}

func TestMergeDirs(t *testing.T) {
	one, two, early, twin := sampleRecord(), sampleRecord(), sampleRecord(), sampleRecord()
	two.Run.ID = "b2"
	early.Run.Partial, early.Run.Duration = true, time.Millisecond
	twin.Objects[0].Counts[0]++ // of the same run and no later: one of both, always the same
	a, b, c := folder(t, one, two), folder(t, early), folder(t, twin)
	into := func(dirs ...string) string {
		out := filepath.Join(t.TempDir(), "out")
		if _, err := MergeDirs(out, dirs...); err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := content(t, into(a, b, c))
	if len(want) != 2 {
		t.Errorf("got %d files, want 2 runs", len(want))
	}
	for name, out := range map[string]string{
		"another order":    into(c, b, a),
		"left first":       into(into(a, b), c),
		"right first":      into(a, into(c, b)),
		"twice":            into(a, b, c, into(a, b, c), a),
		"into one of them": func() string { out := into(a, b); MergeDirs(out, out, c); return out }(),
	} {
		if diff := cmp.Diff(want, content(t, out)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// What does not fit is an error that names both sides, and nothing is written.
func TestMergeDirsMismatch(t *testing.T) {
	more, narrow := sampleRecord(), sampleRecord()
	more.Run.ID, narrow.Run.ID = "more", "narrow"
	for i := range more.Objects {
		more.Objects[i].Counts, more.Objects[i].States = append(more.Objects[i].Counts, 1), nil
		narrow.Objects[i].Width = 9 - narrow.Objects[i].Width
	}
	for _, other := range []*Record{more, narrow} {
		a, b := folder(t, sampleRecord()), folder(t, other)
		out := filepath.Join(t.TempDir(), "out")
		_, err := MergeDirs(out, a, b)
		if !errors.Is(err, ErrBuildMismatch) || !strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), b) {
			t.Errorf("%s: got %v, want a mismatch that names both", other.Run.ID, err)
		}
		if _, err := os.Stat(out); !os.IsNotExist(err) {
			t.Errorf("%s: something was written (%v)", other.Run.ID, err)
		}
	}
}
