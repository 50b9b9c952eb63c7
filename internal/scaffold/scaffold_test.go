package scaffold

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/internal/config"
)

func tree(files map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for name, text := range files {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func TestDetect(t *testing.T) {
	for _, x := range []struct {
		name  string
		files map[string]string
		kind  string
		build []string
		tests []string
		arch  []string
		todo  int
	}{
		{"go, tests beside", map[string]string{
			"go.mod": "module m", "probe/gen.go": "package probe\n//go:generate env GOOS= GOARCH= go tool bpf2go -target $GOARCH p p.c\n",
			"probe/p_test.go": "func TestX(t *testing.T)", "other/o_test.go": "func TestY(t *testing.T)", "vendor/x/gen.go": "//go:generate bpf2go x x.c"},
			"go", []string{"go generate ./...", `go test -c -o "$BPFCOV_BUILD_DIR/probe.test" ./probe`}, []string{"./probe.test -test.v"}, []string{"amd64", "arm64"}, 0},
		{"go in a folder, tests elsewhere", map[string]string{
			"my src/go.mod": "module m", "my src/gen.go": "//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target amd64,riscv64 p p.c\n",
			"my src/cmd/tool/t_test.go": "func TestX(t *testing.T)"},
			"go", []string{"cd 'my src'", "GOOS= GOARCH= go generate ./...", `go test -c -o "$BPFCOV_BUILD_DIR/tool.test" ./cmd/tool`}, []string{"./tool.test -test.v"}, []string{"amd64", "riscv64"}, 0},
		{"go without tests", map[string]string{"go.mod": "m", "a.go": "//go:generate bpf2go p p.c\n"}, "go", []string{"go generate ./..."}, []string{"./FILL-IN"}, []string{"amd64"}, 1},
		{"go, embedded objects, a script", map[string]string{"go.mod": "m", "gen.sh": "${CLANG:-clang} -target bpf", "main.go": "package main\n//go:generate ./gen.sh\n\n//go:embed p.bpf.o\nvar p []byte\n"},
			"go", []string{"GOOS= GOARCH= go generate ./...", `go build -o "$BPFCOV_BUILD_DIR/probe" .`}, []string{"./probe"}, []string{"amd64"}, 1},
		{"go, embedded objects, make", map[string]string{"go.mod": "m", "Makefile": "CLANG ?= clang\nx/p.o: p.c\n\t$(CLANG) -target bpf -c $< -o $@\n", "x/x.go": "package x\n//go:embed q.txt *.o\nvar p embed.FS\n", "x/x_test.go": "func TestX("},
			"go", []string{"# Objects of an earlier build were not instrumented.", `make -B CLANG="$CLANG"`, `go test -c -o "$BPFCOV_BUILD_DIR/x.test" ./x`}, []string{"./x.test -test.v"}, []string{"amd64"}, 0},
		{"go, embedded objects, from nowhere", map[string]string{"go.mod": "m", "x.go": "package x\n//go:embed p.o\nvar p []byte\n"}, "go", []string{"# TO DO: compile the embedded objects with $CLANG."}, []string{"./FILL-IN"}, []string{"amd64"}, 2},
		{"cmake", map[string]string{"CMakeLists.txt": "find_package(BpfObject REQUIRED)\nbpf_object(probe p.bpf.c)\nadd_executable(probe main.c)\nadd_test(NAME smoke COMMAND probe)\n",
			"cmake/FindBpfObject.cmake": "find_program(BPFOBJECT_CLANG_EXE NAMES clang)\n"}, "cmake",
			[]string{`cmake -S . -B "$BPFCOV_BUILD_DIR/../cmake" -DBPFOBJECT_CLANG_EXE="$CLANG"`, `cmake --build "$BPFCOV_BUILD_DIR/../cmake"`,
				`cp "$(find "$BPFCOV_BUILD_DIR/../cmake" -type f -name probe -perm -u+x | head -n 1)" "$BPFCOV_BUILD_DIR/"`}, []string{"./probe"}, []string{"amd64"}, 0},
		{"make", map[string]string{"Makefile": "CLANG ?= clang\nAPPS = probe other\n%.bpf.o: %.bpf.c\n\t$(CLANG) -g -O2 -target bpf -c $< -o $@\nclean:\n\trm -f *.o\n"}, "make",
			[]string{"# Objects of an earlier build were not instrumented.", "make clean || true", `make CLANG="$CLANG"`, `cp probe "$BPFCOV_BUILD_DIR/"`, `cp other "$BPFCOV_BUILD_DIR/"`},
			[]string{"./probe", "./other"}, []string{"amd64"}, 1},
		{"make, programs by their sources", map[string]string{"Makefile": "CLANG ?= clang\nall: $(OUT)/run p.bpf.o\nlib.o: lib.c\n%.bpf.o: %.bpf.c\n\t$(CLANG) -target bpf -c $< -o $@\n",
			"run.c": "int main(void)\n{ open(\"p.bpf.o\"); open(\"p.bpf.o\"); open(\"../x.o\"); open(\"other.o\"); }\n", "p.bpf.c": "", "lib.c": "", "unused.c": "int main(void)\n{}\n"}, "make",
			[]string{"# Objects of an earlier build were not instrumented.", `make -B CLANG="$CLANG"`,
				`cp "$(find . -path ./bpfcov-out -prune -o -type f -name run -print | head -n 1)" "$BPFCOV_BUILD_DIR/"`,
				`cp "$(find . -path ./bpfcov-out -prune -o -type f -name p.bpf.o -print | head -n 1)" "$BPFCOV_BUILD_DIR/"`},
			[]string{"./run"}, []string{"amd64"}, 1},
		{"make, sources in folders", map[string]string{"Makefile": "CLANG ?= clang-19\nall: napd nap.bpf.o\nnap.bpf.o: src/nap.bpf.c\n\t$(CLANG) -target bpf -c $< -o $@\nnapd: src/napd.c\n\tcc -o $@ $<\n",
			"src/napd.c": "int main(void)\n{ open(\"nap.bpf.o\"); }\n", "src/nap.bpf.c": "", "old/napd.c": "int main(void)\n{}\n", "vendor/libbpf/all.c": "int main(void)\n{}\n"}, "make",
			[]string{"# Objects of an earlier build were not instrumented.", `make -B CLANG="$CLANG"`,
				`cp "$(find . -path ./bpfcov-out -prune -o -type f -name napd -print | head -n 1)" "$BPFCOV_BUILD_DIR/"`,
				`cp "$(find . -path ./bpfcov-out -prune -o -type f -name nap.bpf.o -print | head -n 1)" "$BPFCOV_BUILD_DIR/"`},
			[]string{"./napd"}, []string{"amd64"}, 2},
		{"make, rules in another file", map[string]string{"Makefile": "APPS = probe\nBAD := x\n-include $(wildcard *.d) ./mk/bpf.mk mk/bpf.mk ../outside.mk\n",
			"mk/bpf.mk": "BPF_CLANG ?= clang\nprobe.bpf.o: probe.bpf.c\n\t$(BPF_CLANG) -target bpf -c $< -o $@\nclean:\n\trm -f *.o\n"}, "make",
			[]string{"# Objects of an earlier build were not instrumented.", "make clean || true", `make BPF_CLANG="$CLANG"`, `cp probe "$BPFCOV_BUILD_DIR/"`},
			[]string{"./probe"}, []string{"amd64"}, 1},
		{"make without BPF", map[string]string{"Makefile": "all:\n\tcc x.c\n"}, "", nil, nil, nil, 0},
		{"nothing", map[string]string{"README": ""}, "", nil, nil, nil, 0},
	} {
		p, err := Detect(tree(x.files))
		if x.kind == "" {
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: got %v, %v", x.name, p, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		var tests []string
		for _, c := range p.Tests {
			tests = append(tests, strings.Join(c.Command, " "))
		}
		if p.Kind != x.kind || !slices.Equal(p.Build, x.build) || !slices.Equal(tests, x.tests) || !slices.Equal(p.Arch, x.arch) || len(p.Missing) != x.todo {
			t.Errorf("%s: got %+v", x.name, p)
		}
		c, err := config.Parse([]byte(p.Config()))
		if err != nil {
			t.Errorf("%s: %v\n%s", x.name, err, p.Config())
			continue
		}
		if diff := cmp.Diff(strings.Join(x.build, "\n")+"\n", c.Build); diff != "" {
			t.Errorf("%s: build script, want (-), in the file (+):\n%s", x.name, diff)
		}
	}
}

func TestCargo(t *testing.T) {
	p, err := Detect(tree(map[string]string{"Cargo.toml": "[package]\nname = \"my-probe\"\n[build-dependencies]\nlibbpf-cargo = \"0.24\"\n", "tests/smoke.rs": ""}))
	if err != nil || p.Kind != "cargo" || len(p.Tests) != 2 || p.Tests[0].Command[0] != "./my_probe" || p.Tests[1].Command[0] != "./smoke" {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, err := config.Parse([]byte(p.Config())); err != nil {
		t.Errorf("%v\n%s", err, p.Config())
	}
}

// TestBuild runs the scripts that are written for make and CMake with the real tools; the compiler says that it was
// called.
func TestBuild(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"make": {"Makefile": "CLANG ?= clang\nAPPS = probe\nall: probe\nprobe.bpf.o: probe.bpf.c\n\t$(CLANG) -g -O2 -target bpf -c $< -o $@\nprobe: main.c probe.bpf.o\n\tgcc -o $@ main.c\nclean:\n\trm -f probe *.o\n",
			"probe.bpf.c": "int x;\n", "main.c": "int main(void) { return 0; }\n"},
		"make, no names": {"Makefile": "CLANG ?= clang\nall: out/run out/p.bpf.o\nout/%.bpf.o: %.bpf.c\n\tmkdir -p out\n\t$(CLANG) -g -O2 -target bpf -c $< -o $@\nout/run: run.c\n\tmkdir -p out\n\tgcc -o $@ $<\n",
			"p.bpf.c": "int x;\n", "run.c": "#include <unistd.h>\nint main(void) { return access(\"p.bpf.o\", R_OK); }\n"},
		"cmake": {"CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(p C)\nset(BPF_CLANG clang CACHE STRING \"\")\n" +
			"add_custom_command(OUTPUT probe.bpf.o COMMAND ${BPF_CLANG} -g -O2 -target bpf -c ${CMAKE_SOURCE_DIR}/probe.bpf.c -o probe.bpf.o)\n" +
			"add_custom_target(bpf DEPENDS probe.bpf.o)\nadd_executable(probe main.c)\nadd_dependencies(probe bpf)\n",
			"probe.bpf.c": "int x;\n", "main.c": "int main(void) { return 0; }\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tool := range []string{strings.TrimSuffix(name, ", no names"), "gcc"} {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skip(err)
				}
			}
			dir, build := t.TempDir(), filepath.Join(t.TempDir(), "build")
			for f, text := range files {
				if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			clang := filepath.Join(dir, "my-clang")
			if err := os.WriteFile(clang, []byte("#!/bin/sh\necho \"$@\" >>"+dir+"/called\nfor a; do :; done\n: >\"$a\"\n"), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(build, 0o777); err != nil {
				t.Fatal(err)
			}
			p, err := Detect(os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/bin/sh", "-e", "-c", strings.Join(p.Build, "\n"))
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "CLANG="+clang, "BPFCOV_BUILD_DIR="+build)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			called, err := os.ReadFile(filepath.Join(dir, "called"))
			if err != nil || !strings.Contains(string(called), "-target bpf") {
				t.Errorf("the compiler was not called: %v %s", err, called)
			}
			test := exec.Command(filepath.Join(build, p.Tests[0].Command[0]))
			test.Dir = build
			if out, err := test.CombinedOutput(); err != nil {
				t.Errorf("the test program: %v\n%s", err, out)
			}
		})
	}
}
