// Package report writes a finished run's reports where people and CI look for them. What is in them is the
// business of report/model and of the package of each format.
package report

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/cobertura"
	"github.com/bpfcov/bpfcov/report/codecov"
	"github.com/bpfcov/bpfcov/report/gocover"
	"github.com/bpfcov/bpfcov/report/junit"
	"github.com/bpfcov/bpfcov/report/llvm"
	"github.com/bpfcov/bpfcov/report/markdown"
	"github.com/bpfcov/bpfcov/report/model"

	reporthtml "github.com/bpfcov/bpfcov/report/html"
	reportjson "github.com/bpfcov/bpfcov/report/json"
)

// RunOptions choose the files of [WriteRun].
type RunOptions struct {
	LCOV      bool // lcov/CELL.info for each cell that ran, and lcov/merged.info
	JSON      bool // report.json
	HTML      bool // html/index.html and what belongs to it
	Cobertura bool // cobertura.xml, of all cells
	Codecov   bool // codecov/: see [WriteCodecov]
	JUnit     bool // junit.xml
	GoCover   bool // cover/CELL.out and cover/merged.out
	LLVM      bool // llvm/: see report/llvm
	Markdown  bool // summary.md
	// Model says what is in the reports, Failed which thresholds were not met; see package gate.
	Model  model.Options
	Failed func(*model.Report) []string
	// Title and SourceRoot are those of [reporthtml.Options].
	Title, SourceRoot string
	// Version is that of the tool, for formats that name it.
	Version string
}

// WriteRun builds the picture of d and writes the chosen files below dir. It returns their paths in the
// order in which they were written, and of folders that are read as a whole the path of the folder.
func WriteRun(dir string, d *collect.Data, o RunOptions) (files []string, rep *model.Report, err error) {
	if rep, err = model.Build(d, o.Model); err != nil {
		return nil, nil, err
	}
	var failed []string
	if o.Failed != nil {
		failed = o.Failed(rep)
	}
	write := func(name string, f func(io.Writer) error) {
		if err != nil {
			return
		}
		path := filepath.Join(dir, name)
		if err = WriteFile(path, f); err == nil {
			files = append(files, path)
		}
	}
	if o.LCOV {
		columns := rep.Columns()
		path := func(c model.Column) string { return filepath.Join(dir, "lcov", rep.ColumnName(c)+".info") }
		err = parallel(len(columns), func(i int) error {
			return WriteFile(path(columns[i]), func(w io.Writer) error { return rep.WriteLCOV(w, columns[i]) })
		})
		for _, c := range columns {
			files = append(files, path(c))
		}
	}
	if o.JSON {
		write("report.json", func(w io.Writer) error { return reportjson.Write(w, rep, reportjson.Options{}) })
	}
	if o.HTML && err == nil {
		site := filepath.Join(dir, "html")
		if err = reporthtml.Write(site, rep, reporthtml.Options{Title: o.Title, SourceRoot: o.SourceRoot}); err == nil {
			files = append(files, filepath.Join(site, "index.html"))
		}
	}
	if o.Cobertura {
		write("cobertura.xml", func(w io.Writer) error {
			return cobertura.Write(w, rep, cobertura.Options{Column: model.Merged, Time: Now(), Version: o.Version})
		})
	}
	if o.JUnit {
		write("junit.xml", func(w io.Writer) error { return junit.Write(w, rep) })
	}
	if o.GoCover {
		for _, c := range rep.Columns() {
			write("cover/"+rep.ColumnName(c)+".out", func(w io.Writer) error { return gocover.Write(w, rep, c) })
		}
	}
	if o.Markdown {
		write("summary.md", func(w io.Writer) error { return markdown.Write(w, rep, markdown.Options{Failed: failed}) })
	}
	folder := func(name string, f func(dir string) error) {
		if path := filepath.Join(dir, name); err == nil {
			if err = f(path); err == nil {
				files = append(files, path)
			}
		}
	}
	if o.Codecov {
		folder("codecov", func(dir string) error { return WriteCodecov(dir, rep, codecov.Options{}) })
	}
	if o.LLVM {
		folder("llvm", func(dir string) error { return WriteLLVM(dir, rep, d) })
	}
	return files, rep, err
}

// WriteCodecov writes below dir a coverage file for each cell, codecov.yml with the flags, upload.sh with the
// command for each, and uploads.json with the list for actions.
func WriteCodecov(dir string, rep *model.Report, o codecov.Options) error {
	uploads := codecov.Uploads(rep, o.JSON)
	err := parallel(len(uploads), func(i int) error {
		u := uploads[i]
		return WriteFile(filepath.Join(dir, u.File), func(w io.Writer) error { return codecov.Write(w, rep, u.Column, o) })
	})
	if err != nil {
		return err
	}
	for name, write := range map[string]func(io.Writer) error{
		"codecov.yml":  func(w io.Writer) error { return codecov.WriteYAML(w, uploads) },
		"upload.sh":    func(w io.Writer) error { return codecov.WriteScript(w, dir, uploads) },
		"uploads.json": func(w io.Writer) error { return codecov.WriteList(w, uploads) },
	} {
		if err := WriteFile(filepath.Join(dir, name), write); err != nil {
			return err
		}
	}
	return nil
}

// parallel calls do for 0 to n-1 on all processors, and returns the first error.
func parallel(n int, do func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error { return do(i) })
	}
	return g.Wait()
}

// WriteLLVM writes below dir an object and the profiles for LLVM's own tools.
func WriteLLVM(dir string, rep *model.Report, d *collect.Data) error {
	files, err := llvm.Files(rep, d)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := WriteFile(filepath.Join(dir, f.Name), f.Write); err != nil {
			return err
		}
	}
	return nil
}

// Now is the time that reports are stamped with: SOURCE_DATE_EPOCH when that is set, for reports that are equal
// byte by byte.
func Now() time.Time {
	if s, err := strconv.ParseInt(cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), "x"), 10, 64); err == nil {
		return time.Unix(s, 0)
	}
	return time.Now()
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
		os.Remove(f.Name())
		return fail(err)
	}
	return nil
}
