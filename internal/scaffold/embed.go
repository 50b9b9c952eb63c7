package scaffold

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/bpfcov/bpfcov/internal/shellword"
)

var (
	embedsObject = regexp.MustCompile(`(?m)^//go:embed\s.*\.o\b`)
	anyGenerate  = regexp.MustCompile(`(?m)^//go:generate\s+(.*)$`)
	mainPackage  = regexp.MustCompile(`(?m)^package main\s*$`)
)

// detectEmbed looks for Go packages with objects by go:embed, which go generate or a Makefile compiles.
func detectEmbed(fsys fs.FS, files []string) (*Project, error) {
	p := &Project{Kind: "go"}
	module := map[string]string{} // folder of a package with an object: folder of its module
	mains := map[string]bool{}
	generated, knowsClang := false, false
	for _, f := range files {
		if !strings.HasSuffix(f, ".go") || strings.HasSuffix(f, "_test.go") {
			continue
		}
		text := read(fsys, f)
		dir := path.Dir(f)
		if embedsObject.MatchString(text) {
			module[dir] = moduleOf(files, dir)
			p.Found = append(p.Found, fmt.Sprintf("%s embeds an object", f))
		}
		mains[dir] = mains[dir] || mainPackage.MatchString(text)
		for _, m := range anyGenerate.FindAllStringSubmatch(text, -1) {
			generated = true
			knowsClang = knowsClang || strings.Contains(m[1], "$CLANG")
			for _, word := range strings.Fields(m[1]) { // a script
				knowsClang = knowsClang || strings.Contains(read(fsys, path.Join(dir, path.Clean("/" + word)[1:])), "CLANG")
			}
		}
	}
	if len(module) == 0 {
		return nil, nil
	}
	makes, err := detectMake(fsys, files)
	switch {
	case err != nil:
		return nil, err
	case generated:
		if !knowsClang {
			p.Missing = append(p.Missing, "build: no go:generate line names $CLANG, nor its script; make $CLANG the compiler of your BPF objects")
		}
	case makes != nil:
		// The tests and programs come below, from Go.
		for _, line := range makes.Build {
			if !strings.HasPrefix(line, "cp ") {
				p.Build = append(p.Build, line)
			}
		}
		p.Found = append(p.Found, makes.Found[0])
	default:
		p.Build = append(p.Build, "# TO DO: compile the embedded objects with $CLANG.")
		p.Missing = append(p.Missing, "build: what compiles the embedded objects was not found")
	}
	in := p.enterModule(module)
	if generated {
		p.Build = append(p.Build, "GOOS= GOARCH= go generate ./...") // what it builds must run here
	}
	p.addGoTests(fsys, files, module, in)
	if len(p.Tests) > 0 {
		return p, nil
	}
	for _, dir := range sorted(module) {
		if !mains[dir] {
			continue
		}
		rel, name := inModule(dir, in)
		p.Build = append(p.Build, fmt.Sprintf(`go build -o "$BPFCOV_BUILD_DIR/%s" %s`, name, shellword.Quote(under(rel))))
		p.Tests = append(p.Tests, Test{Name: name, Command: []string{"./" + name}})
		p.Found = append(p.Found, fmt.Sprintf("%s is a program", dir))
		p.Missing = append(p.Missing, fmt.Sprintf("tests: %s is run as it is, which suits a program that ends by itself", name))
	}
	return p, nil
}
