package scaffold

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/internal/shellword"
)

var (
	generate    = regexp.MustCompile(`(?m)^//go:generate\s+(.*\bbpf2go\b.*)$`)
	target      = regexp.MustCompile(`-target[ =](\S+)`)
	addTest     = regexp.MustCompile(`(?m)^\s*add_test\s*\(\s*(?:NAME\s+)?"?([\w.+-]+)"?\s+(?:COMMAND\s+)?"?([^\s")]+)`)
	addProgram  = regexp.MustCompile(`(?m)^\s*add_executable\s*\(\s*"?([\w.+-]+)`)
	forBPF      = regexp.MustCompile(`-?-target[ =]bpf|bpf_object\(|BpfObject|gen skeleton`)
	clangVar    = regexp.MustCompile(`(?m)^\s*((?:BPF_|LLVM_)?CLANG|CLANG_BIN|BPF_CC|CC_BPF)[ \t]*[?:]?=[ \t]*(clang-\d+[ \t]*$)?`)
	programVar  = regexp.MustCompile(`(?m)^\s*(?:APPS?|PROGS?|PROGRAMS?|TARGETS?|BINS?|TESTS?)\s*[?:]?=\s*([\w./+ -]+?)\s*$`)
	includeLine = regexp.MustCompile(`(?m)^[-s]?include[ \t]+(.*)$`)
	cleanRule   = regexp.MustCompile(`(?m)^clean[ \t]*:`)
	mainFunc    = regexp.MustCompile(`(?m)^int\s+main\s*\(`)
	objectName  = regexp.MustCompile(`"([\w.-]+\.o)"`)
	packageKey  = regexp.MustCompile(`(?m)^\s*name\s*=\s*"([\w-]+)"`)
)

// detectGo looks for go:generate lines with bpf2go, and for packages with tests.
func detectGo(fsys fs.FS, files []string) (*Project, error) {
	p := &Project{Kind: "go"}
	module := map[string]string{} // folder of a package with a line: folder of its module
	plain := true                 // bpf2go runs on the build machine whatever GOARCH is
	arches := map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f, ".go") {
			continue
		}
		for _, m := range generate.FindAllStringSubmatch(read(fsys, f), -1) {
			module[path.Dir(f)] = moduleOf(files, path.Dir(f))
			p.Found = append(p.Found, fmt.Sprintf("%s runs bpf2go", f))
			if !strings.HasPrefix(m[1], "env ") && !strings.HasPrefix(m[1], "bpf2go") {
				plain = false
			}
			t := target.FindStringSubmatch(m[1])
			switch {
			case t == nil || strings.HasPrefix(t[1], "bpf"):
				arches["amd64"] = true
			case strings.Contains(t[1], "$GOARCH"):
				arches["amd64"], arches["arm64"] = true, true
			default:
				for _, a := range strings.Split(t[1], ",") {
					if slices.Contains([]string{"amd64", "arm64", "riscv64", "s390x", "ppc64le"}, a) {
						arches[a] = true
					}
				}
			}
		}
	}
	if len(module) == 0 {
		return nil, nil
	}
	for a := range arches {
		p.Arch = append(p.Arch, a)
	}
	slices.Sort(p.Arch)
	in := p.enterModule(module)
	generateLine := "go generate ./..."
	if !plain {
		generateLine = "GOOS= GOARCH= go generate ./..." // bpf2go is built, and must run here
	}
	p.Build = append(p.Build, generateLine)
	p.addGoTests(fsys, files, module, in)
	return p, nil
}

// enterModule lets the build begin in the module of the packages, and returns its folder.
func (p *Project) enterModule(module map[string]string) string {
	in := ""
	for _, dir := range sorted(module) {
		in = cmp.Or(in, module[dir])
	}
	if in != "." && in != "" {
		p.Build = append(p.Build, "cd "+shellword.Quote(in))
	}
	return in
}

// addGoTests builds and runs the tests that testPackages finds.
func (p *Project) addGoTests(fsys fs.FS, files []string, module map[string]string, in string) {
	for _, dir := range testPackages(fsys, files, module, in) {
		rel, name := inModule(dir, in)
		file := name + ".test"
		p.Build = append(p.Build, fmt.Sprintf(`go test -c -o "$BPFCOV_BUILD_DIR/%s" %s`, file, shellword.Quote(under(rel))))
		p.Tests = append(p.Tests, Test{Name: name, Command: []string{"./" + file, "-test.v"}})
		p.Found = append(p.Found, fmt.Sprintf("%s has tests", dir))
	}
}

// inModule is the folder of a package seen from that of its module, and what to call the package.
func inModule(dir, in string) (rel, name string) {
	rel = strings.TrimPrefix(strings.TrimPrefix(dir, in), "/")
	name = path.Base(cmp.Or(rel, path.Base(dir)))
	if name == "." || name == "" {
		name = "probe"
	}
	return cmp.Or(rel, "."), name
}

// moduleOf is the nearest folder at or above dir with a go.mod.
func moduleOf(files []string, dir string) string {
	for d := dir; ; d = path.Dir(d) {
		if slices.Contains(files, path.Join(d, "go.mod")) || d == "." {
			return d
		}
	}
}

// testPackages are the packages with a generate line that have tests, else all packages of the module that have.
func testPackages(fsys fs.FS, files []string, module map[string]string, in string) []string {
	var own, all []string
	seen := map[string]bool{}
	for _, f := range files {
		dir := path.Dir(f)
		if !strings.HasSuffix(f, "_test.go") || seen[dir] || moduleOf(files, dir) != in || !strings.Contains(read(fsys, f), "func Test") {
			continue
		}
		seen[dir] = true
		all = append(all, dir)
		if module[dir] != "" {
			own = append(own, dir)
		}
	}
	if len(own) > 0 {
		return own
	}
	return all[:min(len(all), 8)]
}

func sorted[V any](m map[string]V) []string {
	var s []string
	for k := range m {
		s = append(s, k)
	}
	slices.Sort(s)
	return s
}

// detectCargo looks for libbpf-cargo, whose SkeletonBuilder calls the clang on PATH.
func detectCargo(fsys fs.FS, files []string) (*Project, error) {
	for _, f := range files {
		if path.Base(f) != "Cargo.toml" {
			continue
		}
		text := read(fsys, f)
		if !strings.Contains(text, "libbpf-cargo") {
			continue
		}
		dir := path.Dir(f)
		p := &Project{Kind: "cargo", Found: []string{f + " uses libbpf-cargo"}}
		p.Build = []string{
			"# libbpf-cargo calls the clang that is first on PATH.",
			`mkdir -p "$BPFCOV_BUILD_DIR/../bin"`,
			`ln -sf "$CLANG" "$BPFCOV_BUILD_DIR/../bin/clang"`,
			`export PATH="$BPFCOV_BUILD_DIR/../bin:$PATH"`,
			`touch ` + shellword.Quote(path.Join(dir, "build.rs")) + ` # cargo does not know that the compiler is another one`,
			`cargo test --no-run --manifest-path ` + shellword.Quote(f) + ` --target-dir "$BPFCOV_BUILD_DIR/../cargo" --message-format=json >"$BPFCOV_BUILD_DIR/../cargo.json"`,
			`sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$BPFCOV_BUILD_DIR/../cargo.json" | while read -r test; do`,
			`  cp "$test" "$BPFCOV_BUILD_DIR/$(basename "$test" | sed 's/-[0-9a-f]*$//')"`,
			`done`,
		}
		if m := packageKey.FindStringSubmatch(text); m != nil {
			name := strings.ReplaceAll(m[1], "-", "_")
			p.Tests = append(p.Tests, Test{Name: m[1], Command: []string{"./" + name, "--test-threads=1"}})
		}
		for _, t := range inDir(files, path.Join(dir, "tests")) {
			if name, ok := strings.CutSuffix(path.Base(t), ".rs"); ok {
				p.Tests = append(p.Tests, Test{Name: name, Command: []string{"./" + name, "--test-threads=1"}})
				p.Found = append(p.Found, t+" is an integration test")
			}
		}
		return p, nil
	}
	return nil, nil
}

// detectCMake looks for BPF objects, programs and tests of CMake.
func detectCMake(fsys fs.FS, files []string) (*Project, error) {
	if !slices.Contains(files, "CMakeLists.txt") {
		return nil, nil
	}
	var all strings.Builder
	for _, f := range files {
		if path.Base(f) == "CMakeLists.txt" || strings.HasSuffix(f, ".cmake") {
			all.WriteString(read(fsys, f) + "\n")
		}
	}
	text := all.String()
	if !forBPF.MatchString(text) {
		return nil, nil
	}
	p := &Project{Kind: "cmake", Found: []string{"CMakeLists.txt compiles for bpf"}}
	variable := "CLANG"
	for _, v := range []string{"BPFOBJECT_CLANG_EXE", "CLANG_EXE", "CLANG_EXECUTABLE", "BPF_CLANG", "CLANG_BIN"} {
		if strings.Contains(text, v) {
			variable = v
			break
		}
	}
	if !strings.Contains(text, variable) {
		p.Missing = append(p.Missing, "build: no CMake variable for the BPF compiler was found; make $CLANG the compiler of your BPF objects")
	}
	p.Build = []string{
		fmt.Sprintf(`cmake -S . -B "$BPFCOV_BUILD_DIR/../cmake" -D%s="$CLANG"`, variable),
		`cmake --build "$BPFCOV_BUILD_DIR/../cmake"`,
	}
	programs := map[string]bool{}
	for _, m := range addTest.FindAllStringSubmatch(text, -1) {
		programs[m[2]] = true
		p.Tests = append(p.Tests, Test{Name: m[1], Command: []string{"./" + m[2]}})
		p.Found = append(p.Found, "add_test "+m[1])
	}
	if len(programs) == 0 {
		for _, m := range addProgram.FindAllStringSubmatch(text, -1) {
			if !programs[m[1]] && !strings.Contains(m[1], "$") {
				programs[m[1]] = true
				p.Tests = append(p.Tests, Test{Name: m[1], Command: []string{"./" + m[1]}})
				p.Found = append(p.Found, "add_executable "+m[1])
			}
		}
		if len(programs) > 0 {
			p.Missing = append(p.Missing, "tests: there is no add_test; the programs are run as they are, which suits those that end by themselves")
		}
	}
	for _, name := range sorted(programs) {
		p.Build = append(p.Build, fmt.Sprintf(`cp "$(find "$BPFCOV_BUILD_DIR/../cmake" -type f -name %s -perm -u+x | head -n 1)" "$BPFCOV_BUILD_DIR/"`, name))
	}
	return p, nil
}

// detectMake looks for a Makefile that compiles for bpf, and for the variables that name compiler and programs.
func detectMake(fsys fs.FS, files []string) (*Project, error) {
	for _, name := range []string{"GNUmakefile", "makefile", "Makefile"} {
		if !slices.Contains(files, name) {
			continue
		}
		text := read(fsys, name)
		have := map[string]bool{name: true}
		for _, m := range includeLine.FindAllStringSubmatch(text, -1) {
			for _, f := range strings.Fields(m[1]) {
				if f = path.Clean(f); slices.Contains(files, f) && !have[f] { // no variables, nothing outside
					have[f] = true
					text += "\n" + read(fsys, f)
				}
			}
		}
		if !forBPF.MatchString(text) {
			return nil, nil
		}
		p := &Project{Kind: "make", Found: []string{name + " compiles for bpf"}}
		variable := "CLANG"
		if m := clangVar.FindStringSubmatch(text); m != nil {
			variable = m[1]
			if clang := strings.TrimSpace(m[2]); clang != "" {
				p.Missing = append(p.Missing, fmt.Sprintf("build: %s has %s; bpfcov-clang calls the newest clang of the machine unless BPFCOV_CLANG=%s is set", name, clang, clang))
			}
		} else if !strings.Contains(text, "$(CLANG)") {
			p.Missing = append(p.Missing, "build: no variable for the BPF compiler was found in "+name+"; make $CLANG the compiler of your BPF objects")
		}
		p.Build = []string{"# Objects of an earlier build were not instrumented."}
		if cleanRule.MatchString(text) {
			p.Build = append(p.Build, "make clean || true", fmt.Sprintf(`make %s="$CLANG"`, variable))
		} else {
			p.Build = append(p.Build, fmt.Sprintf(`make -B %s="$CLANG"`, variable))
		}
		for _, m := range programVar.FindAllStringSubmatch(text, -1) {
			for _, program := range strings.Fields(m[1]) {
				base := path.Base(program)
				if strings.HasSuffix(base, ".o") || strings.HasSuffix(base, ".h") || slices.ContainsFunc(p.Tests, func(t Test) bool { return t.Name == base }) {
					continue
				}
				p.Build = append(p.Build, fmt.Sprintf(`cp %s "$BPFCOV_BUILD_DIR/"`, program))
				p.Tests = append(p.Tests, Test{Name: base, Command: []string{"./" + base}})
				p.Found = append(p.Found, name+" makes "+program)
			}
		}
		if len(p.Tests) == 0 {
			addMains(p, fsys, files, name, text)
		}
		if len(p.Tests) > 0 {
			p.Missing = append(p.Missing, "tests: the programs are run as they are, which suits those that end by themselves")
		}
		return p, nil
	}
	return nil, nil
}

// copyMade copies what make made under that name, in whatever folder.
func copyMade(name string) string {
	return fmt.Sprintf(`cp "$(find . -path ./bpfcov-out -prune -o -type f -name %s -print | head -n 1)" "$BPFCOV_BUILD_DIR/"`, shellword.Quote(name))
}

// addMains adds the programs of C files with a main function whose name the Makefile has as a target or a
// prerequisite, and the objects that they open by name.
func addMains(p *Project, fsys fs.FS, files []string, makefile, text string) {
	words, made := map[string]bool{}, map[string]bool{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n:", r) }) {
		words[word], made[path.Base(word)] = true, true
	}
	// Of several with one name it is the one that is named in full.
	byName := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !words[f] })
	byName = append(byName, files...)
	objects := map[string]bool{}
	sources := map[string]bool{} // names of C files
	for _, f := range files {
		sources[path.Base(f)] = true
	}
	programs := map[string]bool{}
	for _, f := range byName {
		name, isC := strings.CutSuffix(path.Base(f), ".c")
		if !isC || !made[name] || programs[name] {
			continue
		}
		source := read(fsys, f)
		if !mainFunc.MatchString(source) {
			continue
		}
		programs[name] = true
		p.Build = append(p.Build, copyMade(name))
		p.Tests = append(p.Tests, Test{Name: name, Command: []string{"./" + name}})
		p.Found = append(p.Found, fmt.Sprintf("%s makes %s of %s", makefile, name, f))
		for _, m := range objectName.FindAllStringSubmatch(source, -1) {
			if sources[strings.TrimSuffix(m[1], ".o")+".c"] && !objects[m[1]] {
				objects[m[1]] = true
				p.Build = append(p.Build, copyMade(m[1]))
				p.Found = append(p.Found, fmt.Sprintf("%s opens %s", f, m[1]))
			}
		}
	}
}
