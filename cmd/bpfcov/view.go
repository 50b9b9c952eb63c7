package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"

	"github.com/spf13/pflag"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/gate"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/source"

	reporthtml "github.com/bpfcov/bpfcov/report/html"
)

// viewFlags say what is in a report; report, gaps and diff share them.
type viewFlags struct {
	sourceRoot, ignore, changedSince string
	noMarkers, strict                bool
	// figuresOnly is set by a command that shows figures of lines, branches and functions only.
	figuresOnly bool
}

func (f *viewFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.sourceRoot, "source-root", "", "`folder` that the names of sources are relative to (default the repository around the current folder)")
	flags.StringVar(&f.ignore, "ignore-filename-regex", "", "leave out files whose name matches `RE`")
	flags.StringVar(&f.changedSince, "changed-since", "", "only what changed since `REV` (a Git revision) and the current branch parted")
	strictFlag(flags, &f.strict)
	flags.BoolVar(&f.noMarkers, "no-markers", false, "take LCOV_EXCL markers in sources for what they are, comments")
}

// view is covdata with the report on it.
type view struct {
	data *collect.Data
	rep  *model.Report
	root *source.Root
}

// options makes the model's options. What it opens must be closed.
func (f *viewFlags) options(ctx context.Context) (model.Options, *source.Root, *source.Markers, error) {
	o := model.Options{FiguresOnly: f.figuresOnly}
	var err error
	if f.ignore != "" {
		if o.Ignore, err = regexp.Compile(f.ignore); err != nil {
			return o, nil, nil, usagef("--ignore-filename-regex: %w", err)
		}
	}
	dir := f.sourceRoot
	if dir == "" {
		dir = reporthtml.FindRoot(".")
	}
	root, err := source.Open(dir)
	if err != nil {
		return o, nil, nil, usagef("--source-root: %w", err)
	}
	markers := &source.Markers{Root: root}
	if !f.noMarkers {
		o.Filters = append(o.Filters, markers)
	}
	if f.changedSince != "" {
		changed, err := source.ChangedSince(ctx, root.Dir, f.changedSince)
		if err != nil {
			root.Close()
			if errors.Is(err, source.ErrRevision) {
				return o, nil, nil, usagef("--changed-since: %w", err)
			}
			return o, nil, nil, &exitError{exitEnvironment, fmt.Errorf("--changed-since: %w", err)}
		}
		o.Filters = append(o.Filters, changed)
	}
	return o, root, markers, nil
}

// open reads covdata and makes the report. The caller closes the root.
func (f *viewFlags) open(ctx context.Context, dirs []string) (*view, error) {
	data, err := readOptions(f.strict).ReadDir(dirs...)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; bpfcov run leaves covdata in bpfcov-out, bpfcov exec in covdata", err)
	}
	if err != nil {
		return nil, err
	}
	o, root, markers, err := f.options(ctx)
	if err != nil {
		return nil, err
	}
	rep, err := model.Build(data, o)
	if err != nil {
		root.Close()
		return nil, err
	}
	rep.Warnings = append(rep.Warnings, markers.Problems...)
	if f.changedSince != "" && rep.Merged.Lines.Total == 0 {
		rep.Warnings = append(rep.Warnings, "no line that counts has changed since "+f.changedSince)
	}
	return &view{data, rep, root}, nil
}

// gateFlags say what a report must reach.
type gateFlags struct {
	lines, branches, functions, require []string
	baseline                            string
}

func (f *gateFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.lines, "fail-under-lines", nil, "fail when less than `N` percent of lines ran in all cells together, or with CELLS=N (6.1-*=80) in one of these")
	flags.StringArrayVar(&f.branches, "fail-under-branches", nil, "the same for branches (`N` or CELLS=N)")
	flags.StringArrayVar(&f.functions, "fail-under-functions", nil, "the same for functions (`N` or CELLS=N)")
	flags.StringArrayVar(&f.require, "require", nil, "fail when the function `FILE:FUNCTION[@CELLS]` did not run in one of the cells")
	flags.StringVar(&f.baseline, "baseline", "", "fail when a figure is less than in `FILE`, which --write-baseline wrote")
}

// options reads what the flags say. Mistakes are usage errors.
func (f *gateFlags) options() (gate.Options, error) {
	var o gate.Options
	for _, x := range []struct {
		figure gate.Figure
		values []string
	}{{gate.Lines, f.lines}, {gate.Branches, f.branches}, {gate.Functions, f.functions}} {
		for _, v := range x.values {
			t, err := gate.ParseThreshold(x.figure, v)
			if err != nil {
				return o, usagef("fail-under-%s: %w", x.figure, err)
			}
			o.Thresholds = append(o.Thresholds, t)
		}
	}
	for _, v := range f.require {
		q, err := gate.ParseRequirement(v)
		if err != nil {
			return o, usagef("require: %w", err)
		}
		o.Requirements = append(o.Requirements, q)
	}
	if f.baseline != "" {
		b, err := readBaseline(f.baseline)
		if err != nil {
			return o, usagef("%w", err)
		}
		o.Baseline = b
	}
	return o, nil
}

func readBaseline(path string) (*gate.Baseline, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("baseline: %w; bpfcov report --write-baseline %s COVDATA makes one", err, path)
	}
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	defer file.Close()
	b, err := gate.ReadBaseline(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// sayFailed tells what was not reached, and makes the exit status of it.
func sayFailed(w io.Writer, failed []string) error {
	for _, f := range failed {
		fmt.Fprintln(w, "bpfcov: failed:", f)
	}
	if len(failed) > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}
