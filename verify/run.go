package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// RunVersion is the version of the JSON of a [Run].
const RunVersion = 1

// Run is what `bpfcov verify` found: the cells of a matrix, or the running kernel alone.
type Run struct {
	Version int    `json:"version"`
	Cells   []Cell `json:"cells"`
}

// maxRun bounds a file of a run, in bytes.
const maxRun = 1 << 30

// WriteJSON writes a run without its logs, which are files of their own.
func WriteJSON(w io.Writer, run *Run) error {
	out := Run{Version: RunVersion, Cells: make([]Cell, len(run.Cells))}
	for i, c := range run.Cells {
		list := make([]Result, len(c.Results))
		for j, r := range c.Results {
			r.Log = ""
			list[j] = r
		}
		c.Results = list
		out.Cells[i] = c
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(out)
}

// ErrRun is wrapped when a file is not a run.
var ErrRun = errors.New("not what bpfcov verify --json writes")

// ReadJSON reads the file of a run, which is not trusted.
func ReadJSON(name string) (*Run, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var run Run
	dec := json.NewDecoder(io.LimitReader(f, maxRun))
	if err := dec.Decode(&run); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrRun, err)
	}
	if run.Version != RunVersion {
		return nil, fmt.Errorf("%s: %w: version %d, want %d", name, ErrRun, run.Version, RunVersion)
	}
	for i := range run.Cells {
		c := &run.Cells[i]
		c.Name, c.Kernel.Release, c.Kernel.Arch = clean(c.Name), clean(c.Kernel.Release), clean(c.Kernel.Arch)
		for j := range c.Results {
			c.Results[j].sanitize()
		}
	}
	return &run, nil
}

// WriteLogs writes the log of each failed load as DIR/CELL/FILE.PROGRAM.log and returns how many there were. dir is replaced.
func WriteLogs(dir string, run *Run) (n int, err error) {
	if err := os.RemoveAll(dir); err != nil {
		return 0, err
	}
	for _, c := range run.Cells {
		for i := range c.Results {
			r := &c.Results[i]
			if r.Log == "" {
				continue
			}
			name := filepath.Join(dir, fileName(c.Name), fileName(r.File)+"."+fileName(r.Program)+".log")
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return n, err
			}
			if err := os.WriteFile(name, []byte(r.Log+"\n"), 0o644); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// fileName makes a name from a guest's text: one path element, and never "..".
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_', r == '+':
			return r
		}
		return '_'
	}, s)
	if len(s) > 100 {
		s = s[:100]
	}
	if strings.Trim(s, ".") == "" {
		return "_" + s
	}
	return s
}

// CellFile is the name of a file for a cell.
func CellFile(cell, ext string) string { return fileName(cell) + ext }
