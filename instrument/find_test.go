package instrument

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// mappedFiles lists the files that functions of the mapping name.
func mappedFiles(t *testing.T, m *meta.Meta) []string {
	t.Helper()
	order := binary.ByteOrder(binary.LittleEndian)
	if m.BigEndian {
		order = binary.BigEndian
	}
	mapping, err := covmap.DecodeSections(m.Covmap, m.Covfun, m.Names, order)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, f := range mapping.Functions {
		files = append(files, f.Files...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// script writes an executable shell script.
func script(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestFindClang(t *testing.T) {
	needClang(t)
	real, err := FindClang(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	self := wrapper(t)

	t.Run("PATH holds this program as clang", func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"clang", "clang-99", "clang-19"} {
			if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("BPFCOV_CLANG", "")
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		got := call(t, t.TempDir(), "", filepath.Join(dir, "clang"), "--version")
		if got.Code != 0 || !strings.Contains(got.Stdout, "clang version") {
			t.Errorf("got %+v, want the real clang's version", got)
		}
	})
	t.Run("PATH holds only this program", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink(self, filepath.Join(dir, "clang")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("BPFCOV_CLANG", "")
		t.Setenv("PATH", dir)
		got := call(t, t.TempDir(), "", filepath.Join(dir, "clang"), "--version")
		if got.Code != ExitEnvironment || !strings.Contains(got.Stderr, "install clang") {
			t.Errorf("got %+v, want exit status %d and what to install", got, ExitEnvironment)
		}
	})
	t.Run("BPFCOV_CLANG is this program", func(t *testing.T) {
		t.Setenv("BPFCOV_CLANG", self)
		got := call(t, t.TempDir(), "", self, "--version")
		if got.Code != ExitEnvironment || !strings.Contains(got.Stderr, "bpfcov itself") {
			t.Errorf("got %+v, want exit status %d and a sentence", got, ExitEnvironment)
		}
	})
	t.Run("a script leads back here", func(t *testing.T) {
		loop := filepath.Join(t.TempDir(), "clang-loop")
		script(t, loop, `exec "`+self+`" "$@"`)
		t.Setenv("BPFCOV_CLANG", loop)
		got := call(t, t.TempDir(), "", self, "--version")
		if got.Code != ExitEnvironment || !strings.Contains(got.Stderr, "leads back") {
			t.Errorf("got %+v, want exit status %d and a sentence", got, ExitEnvironment)
		}
	})
	t.Run("BPFCOV_CLANG is a name", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink(real.Path, filepath.Join(dir, "my-clang")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		t.Setenv("BPFCOV_CLANG", "my-clang")
		got, err := FindClang(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Path != filepath.Join(dir, "my-clang") || got.Major != real.Major {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("newest with a plugin", func(t *testing.T) {
		// clang-23 and clang-20 have neither a plugin nor headers, 99 is not supported, and a plain
		// clang comes after every numbered one.
		dir := t.TempDir()
		for _, major := range []string{"99", "23", "20"} {
			script(t, filepath.Join(dir, "clang-"+major), "echo clang version "+major+".1.0")
		}
		if err := os.Symlink(real.Path, filepath.Join(dir, "clang")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("BPFCOV_CLANG", "")
		t.Setenv("PATH", dir)
		got, err := FindClang(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Path != filepath.Join(dir, "clang") {
			t.Errorf("got %s, want the one with a plugin", got.Path)
		}
	})
	t.Run("no plugin anywhere", func(t *testing.T) {
		dir := t.TempDir()
		script(t, filepath.Join(dir, "clang-23"), `case "$*" in
*-###*) echo "clang version 23.1.0" >&2; echo ' "/x/clang" "-cc1" "-triple" "bpf" "-emit-obj" "-o" "p.o" "-x" "c" "p.c"' >&2;;
esac`)
		t.Setenv("BPFCOV_CLANG", "")
		t.Setenv("PATH", dir)
		got := call(t, dir, "", self, "-target", "bpf", "-O2", "-c", "p.c")
		if got.Code != ExitEnvironment || !strings.Contains(got.Stderr, "llvm-23-dev") || !strings.Contains(got.Stderr, "g++") {
			t.Errorf("got %+v, want exit status %d and the packages", got, ExitEnvironment)
		}
	})
	t.Run("unsupported major", func(t *testing.T) {
		_, err := EnsurePlugin(t.Context(), Clang{Path: "/x/clang-13", Version: "13.0.1", Major: 13})
		if !errors.Is(err, ErrNoPlugin) || !strings.Contains(err.Error(), "14 to 23") {
			t.Errorf("got %v", err)
		}
	})
}

// TestEnsurePlugin builds into an empty cache from several goroutines at once, as a parallel make
// would, and wants one build.
func TestEnsurePlugin(t *testing.T) {
	needClang(t)
	if testing.Short() {
		t.Skip("compiles the plugin")
	}
	c, err := FindClang(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := PluginStatusOf(c.Path, c.Major)
	if s.Missing != "" {
		t.Skipf("building a plugin needs %s", s.Missing)
	}
	cache := t.TempDir()
	t.Setenv("BPFCOV_CACHE", cache)
	// Count the builds.
	compiler := filepath.Join(t.TempDir(), "c++")
	log := filepath.Join(t.TempDir(), "log")
	script(t, compiler, `echo build >> "`+log+`"; exec "`+s.Compiler+`" "$@"`)
	t.Setenv("CXX", compiler)

	var wg sync.WaitGroup
	paths := make([]string, 4)
	errs := make([]error, len(paths))
	for i := range paths {
		wg.Go(func() { paths[i], errs[i] = EnsurePlugin(t.Context(), c) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(cache, "plugins", PluginName(c.Version))
	for _, p := range paths {
		if p != want {
			t.Errorf("got %s, want %s", p, want)
		}
	}
	builds, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(builds), "build"); got != 1 {
		t.Errorf("the plugin was built %d times, want once", got)
	}
	left, err := filepath.Glob(filepath.Join(cache, "plugins", ".build-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %q %v", left, err)
	}
	// And clang takes it.
	if out, err := exec.Command(c.Path, "-fplugin="+want, "-fpass-plugin="+want, "-target", "bpf", "-x", "c", "-c", "/dev/null", "-o", filepath.Join(cache, "o")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestParsePlan(t *testing.T) {
	const head = "Debian clang version 19.1.7 (3~deb12u1)\nTarget: bpf\nThread model: posix\nInstalledDir: /usr/lib/llvm-19/bin\n (in-process)\n"
	cc1 := func(triple, lang, kind, out string) string {
		return ` "/usr/lib/llvm-19/bin/clang" "-cc1" "-triple" "` + triple + `" "` + kind + `" "-main-file-name" "a.c" "-o" "` + out + `" "-x" "` + lang + `" "a.c"` + "\n"
	}
	for _, tc := range []struct {
		name, text string
		want       []string // nil: not to be instrumented
	}{
		{"object", head + cc1("bpf", "c", "-emit-obj", "a.o"), []string{"a.o"}},
		{"big endian", head + cc1("bpfeb", "c", "-emit-obj", "a.o"), []string{"a.o"}},
		{"vendor in the triple", head + cc1("bpfel-unknown-none", "c", "-emit-obj", "a.o"), []string{"a.o"}},
		{"two", head + cc1("bpf", "c", "-emit-obj", "a.o") + cc1("bpf", "c", "-emit-obj", "b.o"), []string{"a.o", "b.o"}},
		{"C and assembler", head + cc1("bpf", "c", "-emit-obj", "a.o") + cc1("bpf", "assembler-with-cpp", "-E", "b.s"), []string{"a.o"}},
		{"quoting", head + cc1("bpf", "c", "-emit-obj", `a \"b\" \$c\\d.o`), []string{`a "b" $c\d.o`}},
		{"host", head + cc1("x86_64-pc-linux-gnu", "c", "-emit-obj", "a.o"), nil},
		{"bpf-like", head + cc1("bpfoo", "c", "-emit-obj", "a.o"), nil},
		{"C++", head + cc1("bpf", "c++", "-emit-obj", "a.o"), nil},
		{"IR", head + cc1("bpf", "ir", "-emit-obj", "a.o"), nil},
		{"assembly", head + cc1("bpf", "c", "-S", "a.s"), nil},
		{"link", head + cc1("bpf", "c", "-emit-obj", "a.o") + ` "/usr/bin/ld" "a.o"` + "\n", nil},
		{"no version", cc1("bpf", "c", "-emit-obj", "a.o"), nil},
		{"empty", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, ok := parsePlan("/usr/bin/clang-19", tc.text)
			if ok != (tc.want != nil) {
				t.Fatalf("instrument: got %v, want %v", ok, tc.want != nil)
			}
			if !ok {
				return
			}
			if diff := cmp.Diff(tc.want, p.objects); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if p.clang.Major != 19 || p.clang.Version != "19.1.7" {
				t.Errorf("clang: got %+v", p.clang)
			}
		})
	}
}
