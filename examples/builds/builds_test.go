// Package builds has one example for each way in which people build BPF objects. Its test builds, loads and runs
// them with bpfcov-clang in the place of clang, and compares the counts with the numbers that the sources promise:
//
//	statement; //= 3
package builds

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tools are the commands under test, in one folder that is first in PATH.
func tools(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
	dir := t.TempDir()
	run(t, "../..", nil, "go", "build", "-o", dir, "./cmd/bpfcov", "./cmd/bpfcov-clang")
	if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "bpfcov-clang"), "--version").CombinedOutput(); err != nil {
		t.Skipf("needs clang: %v\n%s", err, out)
	}
	strip := ""
	for _, name := range []string{"llvm-strip", "llvm-strip-19", "llvm-strip-22", "llvm-strip-16"} {
		if path, err := exec.LookPath(name); err == nil && strip == "" {
			strip = path
		}
	}
	if strip == "" {
		t.Skip("needs llvm-strip")
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH")+":/usr/sbin")
	t.Setenv("STRIP", strip)
	return dir
}

// plainClang is what bpfcov-clang stands for.
func plainClang(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("BPFCOV_CLANG"), "clang-22", "clang-19", "clang"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("needs clang")
	return ""
}

// need skips without the programs that an example is about.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s: %v", name, err)
		}
	}
}

// run runs a command in dir and returns its standard output.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, stderr.String())
	}
	return string(out)
}

// checkout copies an example into a repository of its own, so that builds leave nothing in this one.
func checkout(t *testing.T, example string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, example), os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, ".git"), 0o777); err != nil {
		t.Fatal(err)
	}
	return root
}

var promiseRE = regexp.MustCompile(`//= (\d+)$`)

// promises reads what the sources of a checkout say, as "file:line count".
func promises(t *testing.T, root string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".c" && filepath.Ext(path) != ".h" {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		for i, line := range strings.Split(string(b), "\n") {
			if m := promiseRE.FindStringSubmatch(line); m != nil {
				lines = append(lines, fmt.Sprintf("%s:%d %s", rel, i+1, m[1]))
			}
		}
		return err
	})
	if err != nil || len(lines) == 0 {
		t.Fatalf("promises in %s: %v, %v", root, lines, err)
	}
	return lines
}

// check runs a program under bpfcov exec and compares what it executed with the promises.
func check(t *testing.T, root string, command ...string) {
	t.Helper()
	want := promises(t, root)
	data := filepath.Join(t.TempDir(), "covdata")
	if out := run(t, root, nil, "bpfcov", append([]string{"exec", "--out", data, "--"}, command...)...); !strings.HasSuffix(out, "ok\n") {
		t.Errorf("%q says %q", command, out)
	}
	promised := map[string]bool{}
	for _, w := range want {
		place, _, _ := strings.Cut(w, " ")
		promised[place] = true
	}
	var got []string
	file := ""
	for line := range strings.Lines(run(t, root, nil, "bpfcov", "report", "--lcov", "-", data)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "SF:"); ok {
			file = name
		}
		if da, ok := strings.CutPrefix(line, "DA:"); ok {
			n, count, _ := strings.Cut(da, ",")
			if place := file + ":" + n; promised[place] {
				got = append(got, place+" "+count)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines and counts (-promised +got):\n%s", diff)
	}
}

func TestMakefile(t *testing.T) {
	tools(t)
	need(t, "make", "gcc", "bpftool")
	root := checkout(t, "makefile")
	dir := filepath.Join(root, "makefile")
	run(t, dir, nil, "make", "-j4", "CLANG=bpfcov-clang")
	check(t, root, filepath.Join(dir, ".output/count"))
	// The dependencies work: a header that changed makes both objects again, and nothing else changed.
	if out := run(t, dir, nil, "make", "CLANG=bpfcov-clang"); !strings.Contains(out, "Nothing to be done") {
		t.Errorf("make again: %s", out)
	}
	run(t, dir, nil, "touch", "size.h")
	if out := run(t, dir, nil, "make", "CLANG=bpfcov-clang"); strings.Count(out, "bpfcov-clang ") != 2 {
		t.Errorf("make after touch size.h compiled other than two objects: %s", out)
	}
}

// With ccache in front, an object out of the cache has its sidecar from when it was compiled.
func TestCcache(t *testing.T) {
	tools(t)
	need(t, "make", "gcc", "bpftool", "ccache")
	t.Setenv("CCACHE_DIR", t.TempDir())
	root := checkout(t, "makefile")
	dir := filepath.Join(root, "makefile")
	for range 2 {
		run(t, dir, nil, "make", "CLANG=ccache bpfcov-clang")
		check(t, root, filepath.Join(dir, ".output/count"))
		if err := os.RemoveAll(filepath.Join(dir, ".output")); err != nil {
			t.Fatal(err)
		}
	}
	if stats := run(t, dir, nil, "ccache", "--print-stats"); !regexp.MustCompile(`(?m)^(direct|preprocessed)_cache_hit\s+2$`).MatchString(stats) {
		t.Errorf("the second build was not from the cache:\n%s", stats)
	}
}

func TestLinked(t *testing.T) {
	tools(t)
	need(t, "make", "gcc", "bpftool")
	root := checkout(t, "linked")
	run(t, filepath.Join(root, "linked"), nil, "make", "-j4", "CLANG=bpfcov-clang")
	check(t, root, filepath.Join(root, "linked/.output/run"))
}

func TestCMake(t *testing.T) {
	tools(t)
	need(t, "cmake", "make", "gcc", "bpftool")
	root := checkout(t, "cmake")
	dir := filepath.Join(root, "cmake")
	run(t, dir, []string{"CLANG=bpfcov-clang"}, "cmake", "-G", "Unix Makefiles", "-S", ".", "-B", "build")
	run(t, dir, nil, "cmake", "--build", "build", "-j", "4")
	check(t, root, filepath.Join(dir, "build/parity"))
}

func TestEmbed(t *testing.T) {
	tools(t)
	root := checkout(t, "embed")
	dir := filepath.Join(root, "embed")
	env := []string{"CLANG=bpfcov-clang", "CGO_ENABLED=0"}
	run(t, dir, env, "go", "generate", "./...")
	run(t, dir, env, "go", "build", "-buildvcs=false", "-o", "embed.bin", ".")
	check(t, root, filepath.Join(dir, "embed.bin"))
}

// A skeleton of an instrumented object has no other members of the user's than that of a plain one.
func TestSkeletonMembers(t *testing.T) {
	tools(t)
	need(t, "make", "bpftool")
	clang := plainClang(t)
	var members [2][]string
	for i, cc := range []string{clang, "bpfcov-clang"} {
		dir := filepath.Join(checkout(t, "makefile"), "makefile")
		run(t, dir, nil, "make", "CLANG="+cc, ".output/ingress.skel.h")
		b, err := os.ReadFile(filepath.Join(dir, ".output/ingress.skel.h"))
		if err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(`(?s)struct ingress_bpf \{.*?\n\};`).FindString(string(b))
		// What is new is the counters' map, and a struct for its variables, which has none.
		text = strings.Replace(text, "\t\tstruct bpf_map *data_bpfcov;\n", "", 1)
		text = regexp.MustCompile(`\tstruct ingress_bpf__data_bpfcov \{\n\t\} \*data_bpfcov;\n`).ReplaceAllString(text, "")
		members[i] = strings.Split(text, "\n")
	}
	if diff := cmp.Diff(members[0], members[1]); diff != "" || len(members[0]) < 10 {
		t.Errorf("struct ingress_bpf (-plain +instrumented):\n%s", diff)
	}
}

// Go code that bpf2go generates is the same with and without counters: there is no field for them.
func TestBPF2GoFields(t *testing.T) {
	tools(t)
	var code [2]string
	for i, cc := range []string{plainClang(t), "bpfcov-clang"} {
		root := t.TempDir()
		if err := os.CopyFS(root, os.DirFS("../filewatch")); err != nil {
			t.Fatal(err)
		}
		generated := filepath.Join(root, "probe_x86_bpfel.go")
		os.Remove(generated)
		run(t, root, []string{"BPF2GO_CC=" + cc, "BPF2GO_STRIP=" + os.Getenv("STRIP"), "GOARCH=amd64", "GOFLAGS=-buildvcs=false"}, "go", "generate", ".")
		b, err := os.ReadFile(generated)
		if err != nil {
			t.Fatal(err)
		}
		code[i] = string(b)
	}
	if diff := cmp.Diff(code[0], code[1]); diff != "" {
		t.Errorf("generated code (-plain +instrumented):\n%s", diff)
	}
}
