package instrument

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// asClangVar makes the test binary be bpfcov-clang.
const asClangVar = "BPFCOV_TEST_AS_CLANG"

func TestMain(m *testing.M) {
	if os.Getenv(asClangVar) != "" {
		os.Exit(Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// result is what a caller of a compiler sees.
type result struct {
	Code           int
	Stdout, Stderr string
}

// call runs program in dir.
func call(t *testing.T, dir, stdin, program string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// wrapper is the path of bpfcov-clang, that is, of this very program.
func wrapper(t *testing.T) string {
	t.Helper()
	t.Setenv(asClangVar, "1")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

const program = `#include "h.h"
__attribute__((section("xdp"), used)) int prog(int *ctx) { return helper(*ctx) > 3 ? 1 : 2; }
`

// sourceTree makes a folder with prog.c and the header that it includes.
func sourceTree(t *testing.T) string {
	t.Helper()
	return writeTree(t, map[string]string{
		"prog.c":   program,
		"other.c":  "int other(int a) { return a ? 3 : 4; }\n",
		"broken.c": "int f(void) { return undeclared; }\n",
		"h.h":      "static inline int helper(int a) { return a + 1; }\n",
		"args.rsp": "-O2 -target bpf\n-c prog.c -o \"with space.o\"\n",
		"host.rsp": "-O2 -c prog.c -o host.o\n",
	})
}

func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listing maps the files of dir that a compiler wrote to their contents.
func listing(t *testing.T, dir string, except map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if except[e.Name()] != string(data) {
			out[e.Name()] = string(data)
		}
	}
	return out
}

// TestUntouched compares calls that are not to be instrumented with those of the real clang: exit
// status, both outputs, and every file that was written.
func TestUntouched(t *testing.T) {
	needClang(t)
	clang, err := FindClang(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	self := wrapper(t)
	metas := t.TempDir()
	t.Setenv("BPFCOV_META_DIR", metas)
	for _, args := range []string{
		"--version",
		"-v",
		"-v -target bpf -O2 -c prog.c -o prog.o",
		"-### -target bpf -O2 -c prog.c",
		"-target bpf -O2 -E prog.c",
		"-target bpf -O2 -M prog.c",
		"-target bpf -O2 -MM -MT x.o prog.c",
		"-target bpf -O2 -fsyntax-only prog.c",
		"-target bpf -O2 -S prog.c -o prog.s",
		"-target bpf -O2 -emit-llvm -c prog.c -o prog.bc",
		"-target bpf -O2 -S -emit-llvm prog.c -o prog.ll",
		"-target bpf -O2 -flto -c prog.c -o prog.lto",
		"-target bpf -dM -E -x c /dev/null",
		"-target bpf -print-target-triple",
		"-target bpf -O2 -c -x c++ prog.c -o prog.o",
		"-target bpf -mllvm -bpfcov-counter=count -O2 -E prog.c",
		"-O2 -c prog.c -o bpf-in-the-name.o",
		"@host.rsp",
		"-O2 -fsyntax-only broken.c",
		"-target bpf -O2 -c missing.c -o missing.o",
		"-target bpf -O2 -c prog.c -no-such-option",
		"-target bpf -O2 -c broken.c -o broken.o",
		"-target bpf",
	} {
		t.Run(args, func(t *testing.T) {
			fields := strings.Fields(args)
			plain := fields
			if i := strings.Index(args, "-mllvm -bpfcov-"); i >= 0 {
				plain = strings.Fields(strings.Replace(args, "-mllvm -bpfcov-counter=count ", "", 1))
			}
			dir := sourceTree(t) // one folder for both: clang prints its path
			before := listing(t, dir, nil)
			want := call(t, dir, "", clang.Path, plain...)
			wantFiles := listing(t, dir, before)
			for name := range wantFiles {
				os.Remove(filepath.Join(dir, name))
			}
			got := call(t, dir, "", self, fields...)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("call (-clang +bpfcov-clang):\n%s", diff)
			}
			if diff := cmp.Diff(wantFiles, listing(t, dir, before)); diff != "" {
				t.Errorf("files (-clang +bpfcov-clang):\n%s", diff)
			}
		})
	}
	if files, _ := os.ReadDir(metas); len(files) != 0 {
		t.Errorf("untouched calls wrote %d sidecars, want 0", len(files))
	}
}

// TestInstrumented lists calls that are to be instrumented, and the objects that they must write.
func TestInstrumented(t *testing.T) {
	needClang(t)
	self := wrapper(t)
	for _, tc := range []struct {
		name, args, stdin string
		objects           []string
		files             []string // further ones
	}{
		{name: "bpf", args: "-target bpf -O2 -c prog.c -o prog.o", objects: []string{"prog.o"}},
		{name: "bpfel", args: "--target=bpfel -g -O2 -c prog.c -o prog.o", objects: []string{"prog.o"}},
		{name: "bpfeb", args: "-target bpfeb -g -O1 -c prog.c -o prog.o", objects: []string{"prog.o"}},
		{name: "full triple", args: "--target=bpfel-unknown-none -Os -c prog.c -o prog.o", objects: []string{"prog.o"}},
		{name: "no -o", args: "-target bpf -O2 -c prog.c", objects: []string{"prog.o"}},
		{name: "joined -o", args: "-target bpf -O2 -c prog.c -oprog.o", objects: []string{"prog.o"}},
		{name: "two sources", args: "-target bpf -O2 -c prog.c other.c", objects: []string{"other.o", "prog.o"}},
		{name: "double dash", args: "-target bpf -O2 -c -o prog.o -- prog.c", objects: []string{"prog.o"}},
		{name: "response file", args: "@args.rsp", objects: []string{"with space.o"}},
		{name: "standard input", args: "-target bpf -O2 -x c -c - -o in.o", stdin: program, objects: []string{"in.o"}},
		{
			name:    "dependencies",
			args:    "-target bpf -O2 -MD -MP -MFdeps.d -c prog.c -o prog.o",
			objects: []string{"prog.o"}, files: []string{"deps.d"},
		},
		{
			name: "bpf2go",
			args: "-O2 -mcpu=v1 -D__TARGET_ARCH_x86 -target bpfel -c prog.c -o prog.o -fno-ident " +
				"-fdebug-prefix-map=/x=. -fdebug-compilation-dir . -g -MD -MP -MFprog.d",
			objects: []string{"prog.o"}, files: []string{"prog.d"},
		},
		{name: "warnings are errors", args: "-target bpf -O2 -Wall -Wextra -Weverything -Werror -Wno-missing-prototypes -c prog.c", objects: []string{"prog.o"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			metas := t.TempDir()
			t.Setenv("BPFCOV_META_DIR", metas)
			dir := sourceTree(t)
			before := listing(t, dir, nil)
			got := call(t, dir, tc.stdin, self, strings.Fields(tc.args)...)
			if diff := cmp.Diff(result{}, got); diff != "" {
				t.Fatalf("call (-want +got):\n%s", diff)
			}
			written := listing(t, dir, before)
			for _, name := range tc.files {
				if written[name] == "" {
					t.Errorf("%s was not written", name)
				}
				delete(written, name)
			}
			ids := map[string]bool{}
			for _, name := range tc.objects {
				data, ok := written[name]
				if !ok {
					t.Errorf("%s was not written", name)
					continue
				}
				delete(written, name)
				ms, err := meta.FromELF(strings.NewReader(data), meta.Build{})
				if err != nil || len(ms) != 1 {
					t.Fatalf("%s: got %d units (%v), want 1", name, len(ms), err)
				}
				ids[ms[0].FileName()] = true
			}
			if len(written) != 0 {
				t.Errorf("further files were written: %q", keys(written))
			}
			sidecars := map[string]bool{}
			for name := range listing(t, metas, nil) {
				sidecars[name] = true
			}
			if diff := cmp.Diff(ids, sidecars); diff != "" {
				t.Errorf("sidecars (-want +got):\n%s", diff)
			}
		})
	}
}

func keys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// TestDisabled checks the way out.
func TestDisabled(t *testing.T) {
	needClang(t)
	self := wrapper(t)
	t.Setenv("BPFCOV_DISABLE", "1")
	dir := sourceTree(t)
	if got := call(t, dir, "", self, "-target", "bpf", "-O2", "-c", "prog.c"); got != (result{}) {
		t.Fatalf("got %+v", got)
	}
	f, err := os.Open(filepath.Join(dir, "prog.o"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := meta.FromELF(f, meta.Build{}); !errors.Is(err, meta.ErrNoCoverage) {
		t.Errorf("got error %v, want %v", err, meta.ErrNoCoverage)
	}
}

// TestSidecar checks what the object alone does not say, and where the file goes.
func TestSidecar(t *testing.T) {
	needClang(t)
	clang, err := FindClang(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	self := wrapper(t)
	metas := filepath.Join(t.TempDir(), "made", "by", "the wrapper")
	t.Setenv("BPFCOV_META_DIR", metas)
	dir := sourceTree(t)
	if got := call(t, dir, "", self, "-target", "bpf", "-O2", "-c", "prog.c", "-o", "sub.o"); got != (result{}) {
		t.Fatalf("got %+v", got)
	}
	m := readSidecar(t, metas)
	type said struct {
		Clang, Source, Object string
		LLVM, Width           int
		Programs              []meta.Program
	}
	want := said{clang.VersionLine, "prog.c", "sub.o", clang.Major, 8, []meta.Program{{Name: "prog", Section: "xdp"}}}
	if diff := cmp.Diff(want, said{m.Clang, m.Source, m.Object, m.LLVM, m.CounterWidth, m.Programs}); diff != "" {
		t.Errorf("sidecar (-want +got):\n%s", diff)
	}
	cache, err := meta.DefaultDir()
	if err != nil {
		t.Fatal(err)
	}
	inCache, err := os.ReadFile(filepath.Join(cache, m.FileName()))
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := os.ReadFile(filepath.Join(metas, m.FileName()))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(inCache, chosen) {
		t.Error("the cache and BPFCOV_META_DIR have different files")
	}

	// A folder that cannot be made is an error: the user asked for it.
	t.Setenv("BPFCOV_META_DIR", filepath.Join(dir, "prog.c", "x"))
	got := call(t, dir, "", self, "-target", "bpf", "-O2", "-c", "prog.c", "-o", "sub.o")
	if got.Code != ExitEnvironment || !strings.Contains(got.Stderr, "BPFCOV_META_DIR") {
		t.Errorf("got %+v, want exit status %d and a word on BPFCOV_META_DIR", got, ExitEnvironment)
	}
}

// TestEmitted checks that code which the compiler removed is told apart.
func TestEmitted(t *testing.T) {
	needClang(t)
	self := wrapper(t)
	metas := t.TempDir()
	t.Setenv("BPFCOV_META_DIR", metas)
	dir := writeTree(t, map[string]string{"p.c": `
static inline int never(int a) { return a ? 5 : 6; }
__attribute__((section("xdp"), used)) int prog(int *ctx) {
	int zero = 0;
	if (zero)
		return never(*ctx);
	return 2;
}
`})
	if got := call(t, dir, "", self, "-target", "bpf", "-O2", "-c", "p.c"); got != (result{}) {
		t.Fatalf("got %+v", got)
	}
	m := readSidecar(t, metas)
	// prog: its entry and the body of the if; never: its entry and the ?:; and what is counted in twos, as prog returns 2.
	if diff := cmp.Diff([]bool{true, false, false, false, true}, m.Emitted); diff != "" {
		t.Errorf("emitted (-want +got):\n%s", diff)
	}
}

// TestReproducible compiles one tree in two folders, from inside and from above.
func TestReproducible(t *testing.T) {
	needClang(t)
	self := wrapper(t)
	build := func(t *testing.T, sub string, args ...string) (object string, m *meta.Meta) {
		root := writeTree(t, map[string]string{
			".git/HEAD":       "ref\n",
			"src/bpf/prog.c":  strings.Replace(program, "h.h", "../include/h.h", 1),
			"src/include/h.h": "#include <abs.h>\nstatic inline int helper(int a) { return abs_helper(a) + 1; }\n",
			"lib/abs.h":       "static inline int abs_helper(int a) { return a > 5 ? 1 : 2; }\n",
		})
		metas := t.TempDir()
		t.Setenv("BPFCOV_META_DIR", metas)
		for i, a := range args {
			args[i] = strings.ReplaceAll(a, "ROOT", root)
		}
		args = append([]string{"-target", "bpf", "-O2", "-I" + filepath.Join(root, "lib"), "-c"}, args...)
		if got := call(t, filepath.Join(root, sub), "", self, args...); got != (result{}) {
			t.Fatalf("got %+v", got)
		}
		data, err := os.ReadFile(filepath.Join(root, "prog.o"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data), readSidecar(t, metas)
	}
	for _, tc := range []struct {
		name, sub string
		args      []string
	}{
		{"from the root", ".", []string{"src/bpf/prog.c", "-o", "prog.o"}},
		{"from the source", "src/bpf", []string{"prog.c", "-o", "../../prog.o"}},
		{"from beside", "lib", []string{"../src/bpf/prog.c", "-o", "../prog.o"}},
		{"absolute", "src", []string{"ROOT/src/bpf/prog.c", "-o", "../prog.o"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o1, m1 := build(t, tc.sub, append([]string(nil), tc.args...)...)
			o2, m2 := build(t, tc.sub, append([]string(nil), tc.args...)...)
			if o1 != o2 {
				t.Error("two folders give two objects")
			}
			if m1.ObjectID != m2.ObjectID {
				t.Errorf("two folders give two ids: %s and %s", m1.ObjectID, m2.ObjectID)
			}
			if got, want := m1.Source, "src/bpf/prog.c"; got != want {
				t.Errorf("source: got %q, want %q", got, want)
			}
			want := []string{"lib/abs.h", "src/bpf/prog.c", "src/include/h.h"}
			if diff := cmp.Diff(want, mappedFiles(t, m1)); diff != "" {
				t.Errorf("files of the mapping (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOwnPathOptions checks that a caller who maps paths keeps his mapping.
func TestOwnPathOptions(t *testing.T) {
	needClang(t)
	self := wrapper(t)
	metas := t.TempDir()
	t.Setenv("BPFCOV_META_DIR", metas)
	dir := sourceTree(t)
	args := []string{"-target", "bpf", "-O2", "-fcoverage-compilation-dir=/somewhere", "-c", "prog.c"}
	if got := call(t, dir, "", self, args...); got != (result{}) {
		t.Fatalf("got %+v", got)
	}
	want := []string{"/somewhere/h.h", "/somewhere/prog.c"}
	if diff := cmp.Diff(want, mappedFiles(t, readSidecar(t, metas))); diff != "" {
		t.Errorf("files of the mapping (-want +got):\n%s", diff)
	}
}
