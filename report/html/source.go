package reporthtml

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bpfcov/bpfcov/report/source"
)

// sourceText is the text of one file.
type sourceText struct {
	lines []string
	found bool
	note  string // why it is not shown
}

// readSource reads a file. Its name comes from an object file: package source opens nothing outside of its folder, and here nothing
// that is hidden, such as .git/config, gets into a site that is passed on.
func readSource(root *source.Root, name string) sourceText {
	if root == nil {
		return sourceText{note: "no source folder was given when the report was written"}
	}
	for part := range strings.SplitSeq(filepath.ToSlash(path.Clean(name)), "/") {
		if part == ".." {
			return sourceText{note: "the source is outside of the repository"}
		}
		if strings.HasPrefix(part, ".") {
			return sourceText{note: "hidden files are not shown"}
		}
	}
	lines, err := root.Lines(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sourceText{note: "the source was not found when the report was written"}
	case err != nil:
		return sourceText{note: "the source could not be read when the report was written"}
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	return sourceText{lines: out, found: true}
}

// FindRoot is the folder that names in a report are relative to: the nearest one at or above dir with a .git, as the
// compiler wrapper has it, else dir.
func FindRoot(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, ".git")); err == nil {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}
