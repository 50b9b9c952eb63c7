package collect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// MissingMetaError says that counters of an object were found and the description of the object was
// not. The counters are kept; a report needs the description.
type MissingMetaError struct {
	IDs  []meta.ObjectID
	Dirs []string // where it was looked for
}

func (e *MissingMetaError) Error() string {
	var ids []string
	for _, id := range e.IDs {
		ids = append(ids, id.String())
	}
	return fmt.Sprintf("object %s: no %s.meta in %s; it is written when bpfcov-clang compiles the object: "+
		"compile it again on this machine, or set BPFCOV_META_DIR to the folder that the build used",
		strings.Join(ids, ", "), e.IDs[0], strings.Join(e.Dirs, ", "))
}

// Save writes records into the covdata folder dir, and with them the description of every object that
// they count: the sidecar OBJECTID.meta of the first of metaDirs that has it. It returns the paths of
// the counter files. With a [*MissingMetaError] everything else has been written.
func Save(dir string, records []Record, metaDirs ...string) ([]string, error) {
	var paths []string
	var missing []meta.ObjectID
	for i := range records {
		rec := records[i]
		var err error
		if rec.Programs, err = writeLogs(dir, rec.Programs); err != nil {
			return paths, err
		}
		path, err := WriteRecord(dir, &rec)
		if err != nil {
			return paths, err
		}
		paths = append(paths, path)
		for _, o := range records[i].Objects {
			m, err := findMeta(o.ObjectID, metaDirs)
			if errors.Is(err, fs.ErrNotExist) {
				if _, err := os.Stat(filepath.Join(dir, "meta."+o.ObjectID.String())); err != nil && !slices.Contains(missing, o.ObjectID) {
					missing = append(missing, o.ObjectID)
				}
				continue
			}
			if err != nil {
				return paths, err
			}
			if err := WriteMeta(dir, m); err != nil {
				return paths, err
			}
		}
	}
	if len(missing) > 0 {
		return paths, &MissingMetaError{IDs: missing, Dirs: metaDirs}
	}
	return paths, nil
}

// logPrefix begins the names of files with a verifier's log. What follows is the program's name and a hash of the content.
const logPrefix = "verifier-log."

// writeLogs writes whole logs to files of their own and returns the programs with their names instead.
func writeLogs(dir string, programs []ProgramLoad) ([]ProgramLoad, error) {
	programs = slices.Clone(programs)
	for i := range programs {
		p := &programs[i]
		if p.FullLog == "" {
			continue
		}
		sum := sha256.Sum256([]byte(p.FullLog))
		p.LogFile = logPrefix + fileWord(p.Name) + "." + hex.EncodeToString(sum[:8]) + ".txt"
		path := filepath.Join(dir, p.LogFile)
		if _, err := os.Stat(path); err != nil {
			if err := writeFile(path, []byte(p.FullLog)); err != nil {
				return nil, err
			}
		}
		p.FullLog = ""
	}
	return programs, nil
}

// copyLogs copies the logs that a record names from its folder to another. One that is gone is no error.
func copyLogs(to, from string, programs []ProgramLoad) error {
	for i := range programs {
		name := programs[i].LogFile
		if !strings.HasPrefix(name, logPrefix) || name != filepath.Base(name) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(to, name)); err == nil {
			continue
		}
		if err := writeFile(filepath.Join(to, name), b); err != nil {
			return err
		}
	}
	return nil
}

// findMeta reads the sidecar of one object; the error is fs.ErrNotExist when no folder has it.
func findMeta(id meta.ObjectID, dirs []string) (*meta.Meta, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, id.String()+".meta")
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := meta.Decode(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if m.ObjectID != id {
			return nil, fmt.Errorf("%s: describes object %s: %w", path, m.ObjectID, ErrBuildMismatch)
		}
		return m, nil
	}
	return nil, fs.ErrNotExist
}
