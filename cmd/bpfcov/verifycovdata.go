package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/verify"
)

// loadedBefore makes a run of what the loaders of an earlier `bpfcov run` or `bpfcov exec` loaded.
func loadedBefore(dirs []string, filter *verify.Filter) (*verify.Run, error) {
	for _, d := range dirs {
		if _, err := os.Stat(d); err != nil {
			return nil, &exitError{exitUsage, err}
		}
	}
	data, err := collect.ReadOptions{Damaged: func(path string, err error) { warn("%s is left out: %v", path, err) }}.ReadDir(dirs...)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if len(data.Records) == 0 {
		return nil, usagef("%s: no covdata", dirs[0])
	}
	run := verify.FromCovdata(data, func(name string) string { return readLog(dirs, name) })
	for i := range run.Cells {
		c := &run.Cells[i]
		c.Results = slices.DeleteFunc(c.Results, func(r verify.Result) bool { return !filter.Wants(r.File, r.Program) })
	}
	return run, nil
}

// readLog reads a log that a record names, "" if there is none: the name is not trusted.
func readLog(dirs []string, name string) string {
	const most = 2 << 20
	for _, d := range dirs {
		f, err := os.Open(filepath.Join(d, filepath.Base(name)))
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(f, most))
		f.Close()
		if err == nil {
			return string(b)
		}
	}
	return ""
}
