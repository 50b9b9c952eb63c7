package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/verify"
)

// judge decides what of a run of `bpfcov verify` is a failure: by rules, by another run, by thresholds.
type judge struct {
	config   *config.Config
	expect   verify.Expectations
	baseline *verify.Run
	limits   []verify.Threshold

	diffs      []verify.Diff
	unmatched  []string
	unexpected []string
}

// newJudge reads the configuration and the baseline, and checks thresholds, before any kernel is booted. It also gives f the matrix.
func newJudge(f *verifyFlags) (*judge, error) {
	j := &judge{}
	path := f.config
	if path == "" {
		path = config.FileName
	}
	c, err := config.Load(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && f.config == "" && !f.matrix:
		c = &config.Config{}
	case err != nil:
		return nil, &exitError{exitUsage, err}
	}
	j.config = c
	for _, e := range c.Verify.Expect {
		j.expect = append(j.expect, verify.Expectation{
			Program: e.Program, Cells: e.Cells, Verdict: verify.Verdict(e.Verdict), Class: verify.Class(e.Class), Reason: e.Reason,
		})
	}
	if err := j.expect.Check(); err != nil {
		return nil, usagef("%s: verify.%w", path, err)
	}
	if f.matrix {
		if len(f.kernels) > 0 {
			return nil, usagef("--kernel or --matrix, not both")
		}
		f.kernels = c.Matrix.Kernels
		if len(f.arch) == 0 {
			f.arch = c.Matrix.Arch
		}
	}
	for _, s := range f.failOn {
		t, err := verify.ParseThreshold(s)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		j.limits = append(j.limits, t)
	}
	if f.baseline == "" {
		if len(j.limits) > 0 {
			return nil, usagef("--fail-on needs --baseline: a threshold is for the change since another run")
		}
		return j, nil
	}
	if j.baseline, err = verify.ReadJSON(f.baseline); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return j, nil
}

// compare compares and judges all that was found.
func (j *judge) compare(run *verify.Run) {
	if j.baseline != nil {
		j.diffs, j.unmatched = verify.Compare(j.baseline, run, j.limits)
	}
	for i := range run.Cells {
		c := &run.Cells[i]
		for n := range c.Results {
			r := &c.Results[n]
			if why := j.expect.Unexpected(c, r); why != "" && !j.failedBefore(c, len(run.Cells) == 1, r) {
				name := r.File
				if r.Program != "" {
					name += "/" + r.Program
				}
				j.unexpected = append(j.unexpected, fmt.Sprintf("%s on %s: %s", name, c.Name, why))
			}
		}
	}
}

// failedBefore reports whether a program that fails did so in the baseline, of which the comparison tells.
func (j *judge) failedBefore(c *verify.Cell, only bool, r *verify.Result) bool {
	if j.baseline == nil || r.Verdict != verify.Failed {
		return false
	}
	b := j.baseline.Counterpart(c, only)
	if b == nil {
		return false
	}
	for i := range b.Results {
		if b := &b.Results[i]; b.File == r.File && b.Program == r.Program {
			return b.Verdict == verify.Failed
		}
	}
	return false
}

// print writes what the judgement rests on.
func (j *judge) print(stdout io.Writer, f verifyFlags, run *verify.Run) error {
	plain := !f.json && !f.csv
	if plain && len(run.Cells) > 1 {
		fmt.Fprintln(stdout)
		if err := verify.WriteMinimums(stdout, run); err != nil {
			return err
		}
	}
	if plain && j.baseline != nil {
		fmt.Fprintln(stdout)
		if err := verify.WriteDiff(stdout, j.diffs); err != nil {
			return err
		}
	}
	for _, name := range j.unmatched {
		warn("%s: the baseline %s has no such cell", name, f.baseline)
	}
	if f.markdown != "" {
		var b bytes.Buffer
		write := func() error { return verify.MarkdownMatrix(&b, run) }
		if j.baseline != nil {
			write = func() error { return verify.WriteMarkdown(&b, j.diffs) }
		}
		if err := errors.Join(write(), writeOut(stdout, f.markdown, b.Bytes())); err != nil {
			return err
		}
	}
	if f.plot != "" {
		var b bytes.Buffer
		if err := errors.Join(verify.Plot(&b, run), writeOut(stdout, f.plot, b.Bytes())); err != nil {
			return err
		}
	}
	return nil
}

// writeOut writes to a file, or to standard output for "-".
func writeOut(stdout io.Writer, name string, b []byte) error {
	if name == "-" {
		_, err := stdout.Write(b)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}

// verdict turns the results into an exit status.
func (j *judge) verdict(run *verify.Run) error {
	code := 0
	for _, c := range run.Cells {
		if c.Error != "" {
			warn("%s: %s", c.Name, c.Error)
			code = exitEnvironment
		}
	}
	failed := len(j.unexpected) > 0
	if len(j.expect) > 0 || j.baseline != nil { // else the table says it all
		for _, s := range j.unexpected {
			warn("unexpected: %s", s)
		}
	}
	for i := range j.diffs {
		for n := range j.diffs[i].Changes {
			failed = failed || j.diffs[i].Changes[n].Fails() && len(j.diffs[i].Changes[n].Exceeds) > 0
		}
	}
	switch {
	case failed:
		return &exitError{code: exitFailed}
	case code != 0:
		return &exitError{code: code}
	}
	return nil
}
