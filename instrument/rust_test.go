package instrument

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

const rustUnit = `
#ifndef __TARGET_ARCH_x86
#error "the architecture is not given"
#endif
struct xdp_md { unsigned data, data_end; };
int limit = 5;
static __attribute__((noinline)) int helper(int a) { return a > 100 ? 3 : 4; }
__attribute__((section("xdp"), used)) int prog(struct xdp_md *c) { return helper(limit) == 3 ? 1 : 2; }
`

// TestLibbpfCargo compiles and links as libbpf-cargo does (libbpf-rs 61a58b3, libbpf-cargo/src/build.rs, BpfObjBuilder): the
// user's arguments first, an output in a temporary folder that has the name of the source, and libbpf's linker over that one
// object. The crate itself is not run.
func TestLibbpfCargo(t *testing.T) {
	needClang(t)
	metaDir := t.TempDir()
	t.Setenv("BPFCOV_META_DIR", metaDir)
	crate := writeTree(t, map[string]string{"src/bpf/probe.bpf.c": rustUnit})
	temporary := filepath.Join(t.TempDir(), "probe.bpf.c")
	args := []string{"-I", t.TempDir(), "-fno-stack-protector", "-D__TARGET_ARCH_x86", "-g", "-O2", "-target", "bpf", "-c", "src/bpf/probe.bpf.c", "-o", temporary}
	if text, code := compile(t, crate, args...); code != 0 || text != "" {
		t.Fatalf("bpfcov-clang %q: exit status %d, output %q; want 0 and nothing", args, code, text)
	}
	want := readSidecar(t, metaDir)
	if want.Source != "src/bpf/probe.bpf.c" {
		t.Errorf("source of the sidecar: got %q", want.Source)
	}
	linked := filepath.Join(t.TempDir(), "probe.bpf.o")
	bpftool(t, "gen", "object", linked, temporary)

	f, err := os.Open(linked)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	metas, err := meta.FromELF(f, meta.Build{Clang: want.Clang, LLVM: want.LLVM, Object: want.Object})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*meta.Meta{want}, metas); diff != "" {
		t.Errorf("object (-sidecar +linked):\n%s", diff)
	}
	needBPF(t)
	readCounters(t, object{linked, want}, counterMap(t, load(t, object{path: linked})))
}

// TestAyaRecipe compiles with the arguments of the recipe for Aya in docs/builds.md.
func TestAyaRecipe(t *testing.T) {
	needClang(t)
	metaDir := t.TempDir()
	t.Setenv("BPFCOV_META_DIR", metaDir)
	crate := writeTree(t, map[string]string{"src/probe.bpf.c": rustUnit})
	object := object{path: filepath.Join(t.TempDir(), "probe.bpf.o")}
	args := []string{"-g", "-O2", "-target", "bpf", "-D__TARGET_ARCH_x86", "-c", "src/probe.bpf.c", "-o", object.path}
	if text, code := compile(t, crate, args...); code != 0 || text != "" {
		t.Fatalf("bpfcov-clang %q: exit status %d, output %q; want 0 and nothing", args, code, text)
	}
	object.meta = readSidecar(t, metaDir)
	needBPF(t)
	readCounters(t, object, counterMap(t, load(t, object)))
}
