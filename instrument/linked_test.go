package instrument

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// bpftool runs libbpf's own tool, which is a loader, a static linker and a skeleton generator.
func bpftool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("bpftool")
	if err != nil {
		if _, err := os.Stat("/usr/sbin/bpftool"); err != nil {
			t.Skip("needs bpftool")
		}
		path = "/usr/sbin/bpftool"
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("bpftool %q: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

const secondUnit = `
struct xdp_md { unsigned data, data_end; };
int shared = 5;
static __attribute__((noinline)) int helper(int a) { return a > 100 ? 3 : 4; }
__attribute__((section("xdp"), used)) int second(struct xdp_md *c) { return helper(shared) == 3 ? 1 : 2; }
`

// TestLinked links two instrumented units with libbpf's linker: the result loads, its map holds two
// blocks, and its sections come apart into what the units had.
func TestLinked(t *testing.T) {
	needClang(t)
	truth, err := filepath.Abs("testdata/truth.bpf.c")
	if err != nil {
		t.Fatal(err)
	}
	a := mustCompile(t, truth, "-O2", "-target", "bpf")
	b := mustCompile(t, filepath.Join(writeTree(t, map[string]string{"second.bpf.c": secondUnit}), "second.bpf.c"), "-O2", "-target", "bpf")
	linked := filepath.Join(t.TempDir(), "linked.bpf.o")
	bpftool(t, "gen", "object", linked, a.path, b.path)

	f, err := os.Open(linked)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	metas, err := meta.FromELF(f, meta.Build{Clang: a.meta.Clang, LLVM: a.meta.LLVM, Object: a.meta.Object})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range metas {
		m.Programs = nil // those of the linked object
	}
	a.meta.Programs, b.meta.Programs = nil, nil
	if diff := cmp.Diff([]*meta.Meta{a.meta, b.meta}, metas); diff != "" {
		t.Errorf("units (-alone +linked):\n%s", diff)
	}

	needBPF(t)
	coll := load(t, object{path: linked})
	data, err := counterMap(t, coll).LookupBytes(uint32(0))
	if err != nil {
		t.Fatal(err)
	}
	var ids []meta.ObjectID
	for len(data) > 0 {
		if string(data[:8]) != "BPFCOV\x1a\x01" {
			t.Fatalf("no block at the %d bytes from the end", len(data))
		}
		ids = append(ids, meta.ObjectID(data[16:32]))
		data = data[binary.NativeEndian.Uint32(data[32:]):]
	}
	if diff := cmp.Diff([]meta.ObjectID{a.meta.ObjectID, b.meta.ObjectID}, ids); diff != "" {
		t.Errorf("blocks in the map (-want +got):\n%s", diff)
	}

	// libbpf loads it as well.
	pins := "/sys/fs/bpf/bpfcov-test-linked"
	t.Cleanup(func() { os.RemoveAll(pins) })
	bpftool(t, "prog", "loadall", linked, pins)
}

var skeletonRE = regexp.MustCompile(`(?s)struct x \{.*?\n\};`)

// TestSkeleton compares the skeletons of a plain and of an instrumented object: the map and an empty
// struct may be new, no member for a variable.
func TestSkeleton(t *testing.T) {
	needClang(t)
	truth, err := filepath.Abs("testdata/truth.bpf.c")
	if err != nil {
		t.Fatal(err)
	}
	skeleton := func(o object) []string {
		text := skeletonRE.FindString(bpftool(t, "gen", "skeleton", o.path, "name", "x"))
		if text == "" {
			t.Fatal("no struct x in the skeleton")
		}
		return strings.Split(text, "\n")
	}
	instrumented := skeleton(mustCompile(t, truth, "-O2", "-target", "bpf"))
	t.Setenv("BPFCOV_DISABLE", "1")
	dir := t.TempDir()
	plain := object{path: filepath.Join(dir, "o.bpf.o")}
	if text, code := compile(t, dir, "-g", "-O2", "-target", "bpf", "-c", truth, "-o", plain.path); code != 0 {
		t.Fatalf("%d %s", code, text)
	}
	known := map[string]bool{}
	for _, line := range skeleton(plain) {
		known[line] = true
	}
	var added []string
	for _, line := range instrumented {
		if !known[line] {
			added = append(added, strings.TrimSpace(line))
		}
	}
	allowed := map[string]bool{
		"struct bpf_map *data_bpfcov;": true,
		"struct x__data_bpfcov {":      true,
		"} *data_bpfcov;":              true,
	}
	for _, line := range added {
		if !allowed[line] {
			t.Errorf("the skeleton has a new line %q; all new lines: %q", line, added)
		}
	}
}
