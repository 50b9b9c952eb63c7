package reporthtml

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxSource bounds what is read of one source file.
const maxSource = 8 << 20

// source is the text of one file.
type source struct {
	text  string
	found bool
	note  string
}

// sources reads files below one folder. Their names come from an object file, so they are not trusted: nothing outside of
// the folder is read, neither by ".." nor through a symbolic link, and nothing that is hidden.
type sources struct {
	dir  string
	root *os.Root // nil without a folder
}

func openSources(dir string) (*sources, error) {
	if dir == "" {
		return &sources{}, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &sources{dir, root}, nil
}

func (s *sources) close() {
	if s.root != nil {
		s.root.Close()
	}
}

func (s *sources) read(name string) source {
	if s.root == nil {
		return source{note: "no source folder was given when the report was written"}
	}
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(s.dir, name)
		if err != nil {
			return source{note: "the source is outside of the repository"}
		}
		name = filepath.ToSlash(rel)
	}
	name = path.Clean(name)
	if !fs.ValidPath(name) {
		return source{note: "the source is outside of the repository"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return source{note: "hidden files are not shown"}
		}
	}
	st, err := s.root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return source{note: "the source was not found when the report was written"}
	case err != nil:
		return source{note: "the source could not be read when the report was written"}
	case !st.Mode().IsRegular():
		return source{note: "the source is not a regular file"}
	case st.Size() > maxSource:
		return source{note: "the source is too large to be shown"}
	}
	f, err := s.root.Open(name)
	if err != nil {
		return source{note: "the source could not be read when the report was written"}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSource))
	if err != nil {
		return source{note: "the source could not be read when the report was written"}
	}
	text := strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\r\n", "\n")
	return source{text: strings.TrimSuffix(text, "\n"), found: true}
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
