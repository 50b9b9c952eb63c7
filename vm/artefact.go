package vm

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bpfcov/bpfcov/vm/guest"
)

// ArtefactSuffix ends the names of folders for files that tests left.
const ArtefactSuffix = ".artefacts"

// ArtefactDir is the folder below a cell's OutDir for the files that a test left. The files keep their path in the guest.
func ArtefactDir(test string) string { return FileName(test) + ArtefactSuffix }

// artefact writes a file that the test left. The name comes from the guest: it can lead nowhere but below the folder, which
// is new for each run.
func (r *run) artefact(c *CellConfig, a guest.Artefact) error {
	dir := filepath.Join(c.OutDir, ArtefactDir(r.test.Name))
	if !r.artefacts {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		r.artefacts = true
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.FromSlash(a.Name)
	if !filepath.IsLocal(name) {
		return &fs.PathError{Op: "artefact", Path: a.Name, Err: fs.ErrInvalid}
	}
	if parent := filepath.Dir(name); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	return root.WriteFile(name, a.Content, 0o644)
}
