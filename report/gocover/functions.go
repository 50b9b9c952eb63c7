package gocover

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// Profile is the name of the profile in the folder that [WriteFunctions] writes.
const Profile = "functions.out"

// WriteFunctions writes to the folder dir a profile that `go tool cover -func` reads, and for each C file one in Go that has its functions
// as empty ones on the same lines, because that tool parses the files of a profile to find functions (cmd/cover/func.go). A folder that
// was given relative to the current one makes a profile for use from there. Functions in others, and programs in user space, are left out.
func WriteFunctions(dir string, r *model.Report, column model.Column) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // names of files are what a build said
	if err != nil {
		return err
	}
	defer root.Close()
	if !filepath.IsAbs(dir) {
		dir = "./" + filepath.ToSlash(filepath.Clean(dir))
	}
	var profile bytes.Buffer
	b := bufio.NewWriter(&profile)
	b.WriteString("mode: count\n")
	for k := range r.Files {
		f := &r.Files[k]
		if f.Language != "" || len(f.Functions) == 0 {
			continue
		}
		name := strings.TrimPrefix(f.Name, "/") + ".go"
		if !filepath.IsLocal(name) || strings.ContainsAny(name, "\r\n") {
			return fmt.Errorf("gocover: file name %q is not one below a folder", f.Name)
		}
		if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
			return err
		}
		if err := root.WriteFile(name, shadow(f.Functions), 0o666); err != nil {
			return err
		}
		writeBlocks(b, dir+"/"+name, f, column)
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return root.WriteFile(Profile, profile.Bytes(), 0o666)
}

// shadow is Go with an empty function on the lines of each of fs.
func shadow(fs []model.Function) []byte {
	fs = slices.Clone(fs)
	slices.SortStableFunc(fs, func(a, b model.Function) int { return cmp.Or(a.Line-b.Line, a.EndLine-b.EndLine) })
	var text bytes.Buffer
	text.WriteString("package bpf;")
	line := 1
	for _, f := range fs {
		// Functions that overlap, which only macros make, cannot be told apart by lines.
		if f.Line < line || f.EndLine < f.Line || f.EndLine > maxLine {
			continue
		}
		name := identifier(f.Name)
		text.WriteString(strings.Repeat("\n", f.Line-line))
		fmt.Fprintf(&text, " func %s() {", name)
		text.WriteString(strings.Repeat("\n", f.EndLine-f.Line))
		text.WriteString("};")
		line = f.EndLine
	}
	text.WriteByte('\n')
	return text.Bytes()
}

// maxLine bounds a shadow to some MiB, whatever a mapping says.
const maxLine = 1 << 20

// identifier makes a C name one of Go: C's are, but for Go's keywords and what compilers add.
func identifier(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
	if !token.IsIdentifier(name) {
		name = "_" + name
	}
	return name
}
