// Package source reads what reports say about: the text of source files below one folder, markers in
// it that leave code out, and the lines that a change touches.
//
// Names come from coverage mappings, which anybody may have written: nothing outside of the folder is
// opened, also not through symbolic links.
package source

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// maxSize bounds a file.
const maxSize = 16 << 20

// Root is the folder that names of files are relative to. It may be used by several goroutines.
type Root struct {
	Dir  string
	root *os.Root

	mu    sync.Mutex
	files map[string]*text
}

type text struct {
	lines []string
	err   error
}

// Open opens a folder; with an empty name that is the top of the Git work tree that the current
// folder is in, or else the current folder.
func Open(dir string) (*Root, error) {
	if dir == "" {
		dir = "."
		if out, err := exec.Command("git", "rev-parse", "--show-toplevel").Output(); err == nil {
			dir = strings.TrimSuffix(string(out), "\n")
		}
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Root{Dir: dir, root: r, files: map[string]*text{}}, nil
}

// Close closes the folder.
func (r *Root) Close() error { return r.root.Close() }

// Lines returns the lines of a file without their ends. An absolute name is tried relative to the
// folder.
func (r *Root) Lines(name string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.files[name]; t != nil {
		return t.lines, t.err
	}
	t := &text{}
	t.lines, t.err = r.read(name)
	r.files[name] = t
	return t.lines, t.err
}

func (r *Root) read(name string) ([]string, error) {
	local := filepath.FromSlash(name)
	if filepath.IsAbs(local) {
		abs, err := filepath.Abs(r.Dir)
		if err != nil {
			return nil, err
		}
		if local, err = filepath.Rel(abs, local); err != nil {
			return nil, err
		}
	}
	// Opening a pipe would wait for somebody who writes to it.
	f, err := r.root.OpenFile(local, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxSize)
	}
	var lines []string
	for l := range strings.Lines(string(b)) {
		lines = append(lines, strings.TrimSuffix(strings.TrimSuffix(l, "\n"), "\r"))
	}
	return lines, nil
}
