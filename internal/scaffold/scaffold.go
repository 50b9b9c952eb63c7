// Package scaffold looks at how a project builds its BPF objects and tests, and writes a bpfcov.yaml and a workflow
// for it. It reads files and runs nothing.
package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Project is what was found.
type Project struct {
	// Kind is "go", "cargo", "cmake" or "make".
	Kind string
	// Build is the build script, a line each.
	Build []string
	Tests []Test
	// Arch are GOARCH names.
	Arch []string
	// Found says what led to this, and Missing what a person must still fill in; a sentence each.
	Found, Missing []string
}

// Test is one test command.
type Test struct {
	Name    string
	Command []string
}

// ErrUnknown means that no build was recognised.
var ErrUnknown = errors.New("no go:generate line with bpf2go, go:embed of an object, Cargo.toml with libbpf-cargo, CMakeLists.txt or Makefile that compiles for bpf")

// maxFiles and maxSize bound what is read of a project.
const (
	maxFiles = 20000
	maxSize  = 1 << 20
)

// Detect looks at the project whose folder fsys is. The first of bpf2go, go:embed, Cargo, CMake and make that compiles BPF
// objects wins.
func Detect(fsys fs.FS) (*Project, error) {
	files, err := list(fsys)
	if err != nil {
		return nil, err
	}
	for _, detect := range []func(fs.FS, []string) (*Project, error){detectGo, detectEmbed, detectCargo, detectCMake, detectMake} {
		p, err := detect(fsys, files)
		if err != nil {
			return nil, err
		}
		if p != nil {
			if len(p.Tests) == 0 {
				p.Missing = append(p.Missing, "tests: no test program was found; name one that loads and triggers your programs")
				p.Tests = []Test{{Name: "probe", Command: []string{"./FILL-IN"}}}
			}
			if len(p.Arch) == 0 {
				p.Arch = []string{"amd64"}
			}
			return p, nil
		}
	}
	return nil, ErrUnknown
}

// list names the regular files, without those that no build of one's own is in.
func list(fsys fs.FS) ([]string, error) {
	var files []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"vendor", "node_modules", "target", "third_party", "bpfcov-out"}, d.Name())):
			return fs.SkipDir
		case d.Type().IsRegular() && !strings.ContainsAny(name, "\r\n"):
			if files = append(files, name); len(files) > maxFiles {
				return fmt.Errorf("more than %d files; run it in the folder of the project that has the probes", maxFiles)
			}
		}
		return nil
	})
	return files, err
}

// read returns a file's text, "" when it is missing or too large.
func read(fsys fs.FS, name string) string {
	if st, err := fs.Stat(fsys, name); err != nil || st.Size() > maxSize {
		return ""
	}
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return ""
	}
	return string(b)
}

// under is "./dir", or "." for the project's own folder.
func under(dir string) string {
	if dir == "." {
		return "."
	}
	return "./" + dir
}

// inDir lists the files of one folder.
func inDir(files []string, dir string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(f string) bool { return path.Dir(f) != dir })
}
