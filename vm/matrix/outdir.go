package matrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// markerName tells a folder of ours from one that somebody named by mistake: only a folder with it is
// cleared before a run.
const markerName = ".bpfcov-out"

// outDir is a folder for results, held by one process at a time.
type outDir struct {
	path string
	lock *os.File
}

// ErrInUse means that another bpfcov writes to the same folder.
var ErrInUse = errors.New("another bpfcov is using this folder; wait for it or choose another with --out")

// ErrForeign means that the folder for results holds something else.
var ErrForeign = errors.New("exists, is not empty and was not made by bpfcov run; choose another folder with --out")

// openOut locks path for a run. It refuses a folder that holds what no earlier run wrote.
func openOut(path string) (*outDir, error) {
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(path, markerName)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, ErrForeign)
		}
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, markerName), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrInUse)
		}
		return nil, fmt.Errorf("%s: lock: %w", path, err)
	}
	return &outDir{path: path, lock: lock}, nil
}

// remove removes what an earlier run left, by name.
func (o *outDir) remove(names []string) error {
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(o.path, name)); err != nil {
			return err
		}
	}
	return nil
}

func (o *outDir) Close() error { return o.lock.Close() }
