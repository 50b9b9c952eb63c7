// Package report writes a finished run's reports where people and CI look for them. What is in them is the
// business of report/model and of the package of each format.
package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/lcov"
	"github.com/bpfcov/bpfcov/report/model"

	reporthtml "github.com/bpfcov/bpfcov/report/html"
	reportjson "github.com/bpfcov/bpfcov/report/json"
)

// RunOptions choose the files of [WriteRun].
type RunOptions struct {
	LCOV bool // lcov/CELL.info for each cell that ran, and lcov/merged.info
	JSON bool // report.json
	HTML bool // html/index.html and what belongs to it
	// Title and SourceRoot are those of [reporthtml.Options].
	Title, SourceRoot string
}

// WriteRun builds the picture of d and writes the chosen files below dir. It returns their paths in the
// order in which they were written.
func WriteRun(dir string, d *collect.Data, o RunOptions) (files []string, rep *model.Report, err error) {
	if rep, err = model.Build(d, model.Options{}); err != nil {
		return nil, nil, err
	}
	if o.LCOV {
		for i := range rep.Cells {
			if !rep.Cells[i].Ran {
				continue
			}
			path := filepath.Join(dir, "lcov", rep.Cells[i].Name+".info")
			if err := WriteFile(path, func(w io.Writer) error { return lcov.Write(w, rep.CellLCOV(i), lcov.Options{}) }); err != nil {
				return files, rep, err
			}
			files = append(files, path)
		}
		path := filepath.Join(dir, "lcov", "merged.info")
		if err := WriteFile(path, func(w io.Writer) error { return lcov.Write(w, rep.MergedLCOV(), lcov.Options{}) }); err != nil {
			return files, rep, err
		}
		files = append(files, path)
	}
	if o.JSON {
		path := filepath.Join(dir, "report.json")
		if err := WriteFile(path, func(w io.Writer) error { return reportjson.Write(w, rep, reportjson.Options{}) }); err != nil {
			return files, rep, err
		}
		files = append(files, path)
	}
	if o.HTML {
		site := filepath.Join(dir, "html")
		if err := reporthtml.Write(site, rep, reporthtml.Options{Title: o.Title, SourceRoot: o.SourceRoot}); err != nil {
			return files, rep, err
		}
		files = append(files, filepath.Join(site, "index.html"))
	}
	return files, rep, nil
}

// WriteFile makes a file, and its folder, whole or not at all. What exists and is no regular file (a device, a pipe) is
// written to as it is; a symbolic link is followed.
func WriteFile(path string, write func(io.Writer) error) error {
	fail := func(err error) error { return fmt.Errorf("%s: %w", path, err) }
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fail(err)
		}
		err = write(f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fail(err)
		}
		return nil
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".bpfcov-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		// CreateTemp's 0600 is for secrets; a report is for everybody.
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}
