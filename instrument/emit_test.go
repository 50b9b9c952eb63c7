package instrument

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// TestCannotEmit compiles a function whose frame and registers have no room for counters.
func TestCannotEmit(t *testing.T) {
	needClang(t)
	clang, err := FindClang(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	metaDir := t.TempDir()
	t.Setenv("BPFCOV_META_DIR", metaDir)
	t.Setenv("BPFCOV_POLICY", "none")
	source, err := filepath.Abs("testdata/frame.bpf.c")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"-O2", "-g", "-target", "bpf", "-c", source, "-o", "frame.o"}
	got := call(t, dir, "", wrapper(t), args...)
	note := regexp.MustCompile(`^bpfcov-clang: note: \S*frame.bpf.c: clang cannot emit it at region/atomic \(.*BPF stack limit.*\): all of its functions are at (\S+)\n$`)
	m := note.FindStringSubmatch(got.Stderr)
	if got.Code != 0 || m == nil {
		t.Fatalf("got status %d and %q, want a note", got.Code, got.Stderr)
	}
	files, err := filepath.Glob(filepath.Join(metaDir, "*.meta"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v (%v), want one sidecar", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sidecar, err := meta.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range sidecar.Functions {
		if x.Fidelity == meta.Region && !x.Flag {
			t.Errorf("the sidecar says region with counts, the note %s", m[1])
		}
	}

	// What clang cannot emit at all is clang's own affair.
	args = append(args, "-DTOO_LARGE")
	want := call(t, dir, "", clang.Path, args...)
	if got := call(t, dir, "", wrapper(t), args...); got != want || want.Code == 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
