package matrix

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/bpfcov/bpfcov/vm/initramfs"
)

// ErrNotBuilt means that no run into this folder has built the tests for an architecture yet.
var ErrNotBuilt = errors.New("the tests have not been built yet; bpfcov run builds them")

// BuiltFiles lists what the last run into Out built for an architecture, with the files that the tests name and
// the libraries of all, as a guest of that run had them in /test. Nothing is built. The error wraps [ErrNotBuilt] when there is
// nothing.
func (r *Runner) BuiltFiles(arch string) ([]initramfs.File, error) {
	out, err := filepath.Abs(r.Out)
	if err != nil {
		return nil, err
	}
	v := variant{arch: arch, root: filepath.Join(out, "build", arch), guest: guestDir}
	if _, err := os.Stat(v.buildDir()); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", v.buildDir(), ErrNotBuilt)
	} else if err != nil {
		return nil, err
	}
	files, err := r.guestFiles(v)
	if err != nil {
		return nil, err
	}
	return r.WithLibraries(files), nil
}

// WithLibraries adds the interpreters and libraries that programs among files need, unless guests have a root with libraries of its own.
func (r *Runner) WithLibraries(files []initramfs.File) []initramfs.File {
	all := slices.Clone(files)
	for _, f := range files {
		// What cannot be resolved will say so when it is started.
		if more, err := r.closure(f.Source, f.Path); err == nil && f.Mode&0o111 != 0 {
			all = append(all, more...)
		}
	}
	return dedupe(all)
}
