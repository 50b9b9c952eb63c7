package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/verify"
	"github.com/bpfcov/bpfcov/verify/cells"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

type verifyFlags struct {
	kernels, arch      []string
	llvm               []int
	build, instrument  bool
	cflags             string
	warm, cold         bool
	covdata            []string
	emit, sort         string
	filters            []string
	top, jobs, memory  int
	json, csv, refresh bool
	out                string
	modules            []string
	timeout, program   time.Duration
	config             string
	matrix             bool
	baseline           string
	failOn             []string
	markdown, plot     string
}

func newVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [flags] OBJECT|SOURCE.c...",
		Short: "Load every program of BPF objects on every kernel, and say why not and at what cost",
		Long: `Load every program of BPF objects on every kernel, and say why not and at what cost.

Each program is loaded alone, with the maps it needs. Without --kernel the running kernel does it, which needs root; with it
guests are booted. In the name of an object {arch} stands for the guest's architecture, {llvm} for the compiler of --llvm and {build} for the
folder of --build. A source is compiled, once for each compiler. Columns and filters are those of veristat. Exit status: 0 when every program that could be tried loads, 1 when one does not and no rule expects it, or when a threshold is
passed, 3 when a guest could not be booted.`,
		Example: "  bpfcov verify probe.bpf.o\n" +
			"  bpfcov verify probe.bpf.o --kernel apt:bullseye --kernel apt:bookworm --kernel 'apt:sid/7.*'\n" +
			"  bpfcov verify probe.bpf.c --llvm 19,22 --cflags -Iinclude --kernel apt:trixie\n" +
			"  bpfcov verify -e prog,insns,states -s insns -n 10 -f 'insns>1000' probe.bpf.o",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), cmd.OutOrStdout(), f, args)
		},
	}
	cmd.Flags().Var((*specList)(&f.kernels), "kernel", "kernel `SPEC`, for example apt:bookworm or file:PATH; repeatable or separated by commas (default: the running kernel)")
	cmd.Flags().StringSliceVar(&f.arch, "arch", nil, "`GOARCH` of the guests; repeatable or separated by commas (default amd64)")
	cmd.Flags().IntSliceVar(&f.llvm, "llvm", nil, "`MAJOR` versions of clang: sources are compiled and --build is run with each; repeatable or separated by commas")
	cmd.Flags().BoolVar(&f.build, "build", false, "run the configuration's build command first, for each architecture and compiler")
	cmd.Flags().BoolVar(&f.instrument, "instrument", false, "compile and build with counters, as bpfcov-clang does (default: plain)")
	cmd.Flags().StringVar(&f.cflags, "cflags", "", "`flags` for sources, separated by spaces, behind -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_…")
	cmd.Flags().StringSliceVar(&f.covdata, "covdata", nil, "`folder` of covdata in place of objects: what the loaders of a run loaded; repeatable or separated by commas")
	cmd.Flags().StringVarP(&f.emit, "emit", "e", "", "`columns` of the table for one kernel, separated by commas")
	cmd.Flags().StringVarP(&f.sort, "sort", "s", "", "`columns` to sort by; ^ behind a name is ascending, v descending")
	cmd.Flags().StringArrayVarP(&f.filters, "filter", "f", nil, "`FILTER`: FILE, FILE/PROG, !FILE/PROG, @PATH, or a condition such as insns>1000; repeatable")
	cmd.Flags().IntVarP(&f.top, "top-n", "n", 0, "show only the first `N` programs")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the run as JSON")
	cmd.Flags().BoolVar(&f.csv, "csv", false, "print veristat's CSV (for one kernel)")
	cmd.Flags().StringVar(&f.out, "out", filepath.Join("bpfcov-out", "verify"), "`folder` for verify.json, a CSV for each kernel and the logs")
	cmd.Flags().StringSliceVar(&f.modules, "module", nil, "kernel `module` to load before; repeatable")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "time for one guest (default 30m)")
	cmd.Flags().DurationVar(&f.program, "program-timeout", 0, "time for one program in a guest; what takes longer is a failure of class harness (default 10m)")
	cmd.Flags().IntVar(&f.memory, "memory", 0, "memory of a guest in `MiB`, of which a program with many states may need gigabytes (default 2048, more for large objects)")
	cmd.Flags().BoolVar(&f.warm, "warm", false, "resume guests that earlier runs have saved (default unless $CI is set)")
	cmd.Flags().BoolVar(&f.cold, "cold", false, "boot every guest")
	cmd.MarkFlagsMutuallyExclusive("warm", "cold")
	cmd.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "guests at once (default: one for two processors)")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration `FILE` with what to expect (default "+config.FileName+" if there is one)")
	cmd.Flags().BoolVar(&f.matrix, "matrix", false, "take the kernels from the configuration's matrix")
	cmd.Flags().StringVar(&f.baseline, "baseline", "", "`FILE` of another run (verify.json) to compare with: then only what fails newly is a failure")
	cmd.Flags().StringArrayVar(&f.failOn, "fail-on", nil, "`THRESHOLD` for the change since the baseline, for example insns>+10%; repeatable")
	cmd.Flags().StringVar(&f.markdown, "markdown", "", "write the comparison, or the table, as Markdown to `FILE` (- for standard output)")
	cmd.Flags().StringVar(&f.plot, "plot", "", "draw the instructions of each program over the kernels to `FILE`, as SVG")
	cmd.Flags().BoolVar(&f.refresh, "refresh", false, "look for newer kernels in the archives")
	return cmd
}

func runVerify(ctx context.Context, stdout io.Writer, f verifyFlags, args []string) error {
	filter, err := verify.ParseFilter(f.filters)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	cols := verifyColumns()
	if f.emit != "" {
		if cols, err = verify.ParseColumns(f.emit); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	var order []verify.Order
	if f.sort != "" {
		if order, err = verify.ParseOrder(f.sort); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	switch {
	case f.csv && len(f.kernels)*max(1, len(f.arch))*max(1, len(f.llvm)) > 1:
		return usagef("--csv has no column for cells: use one kernel and compiler, or the CSV files that %s gets", f.out)
	case len(f.covdata) == 0 && len(args) == 0:
		return usagef("name an object, a source, or the covdata of a run with --covdata")
	case len(f.covdata) > 0 && (len(args) > 0 || f.build || f.matrix || len(f.kernels)+len(f.arch)+len(f.llvm) > 0):
		return usagef("--covdata shows what a run has loaded: without objects, --build, --matrix, --kernel, --arch and --llvm")
	case f.csv && f.json:
		return usagef("--csv or --json, not both")
	case f.memory < 0 || f.program < 0 || f.timeout < 0 || f.jobs < 0 || f.top < 0:
		return usagef("--memory, --timeout, --program-timeout, -j and -n: want none below 0")
	case len(f.arch) > 0 && len(f.kernels) == 0:
		return usagef("--arch needs --kernel")
	}
	judge, err := newJudge(&f)
	if err != nil {
		return err
	}
	objects := &verifyInputs{args: args, out: filepath.Join(f.out, "objects"), cflags: strings.Fields(f.cflags), instrumented: f.instrument}
	if f.build {
		if objects.build = judge.config; objects.build.Build == "" {
			return usagef("--build: the configuration has no build command")
		}
	}
	run, err := verifyCells(ctx, f, filter, objects)
	if run == nil {
		return err
	}
	if f.csv && len(run.Cells) != 1 {
		return usagef("--csv has no column for cells, and there are %d: use the CSV files in %s", len(run.Cells), f.out)
	}
	judge.compare(run) // all of it, whatever is shown
	for i := range run.Cells {
		kept := run.Cells[i].Results[:0:0]
		for j := range run.Cells[i].Results {
			if r := &run.Cells[i].Results[j]; filter.Holds(r) {
				kept = append(kept, *r)
			}
		}
		run.Cells[i].Results = kept
		if order != nil {
			verify.Sort(run.Cells[i].Results, order)
		}
		if f.top > 0 && len(kept) > f.top {
			run.Cells[i].Results = kept[:f.top]
		}
	}
	if werr := writeVerify(f.out, run); werr != nil {
		return errors.Join(err, werr)
	}
	if perr := printVerify(stdout, f, run, cols); perr != nil {
		return errors.Join(err, perr)
	}
	if perr := judge.print(stdout, f, run); perr != nil {
		return errors.Join(err, perr)
	}
	if err != nil {
		return err
	}
	return judge.verdict(run)
}

func verifyColumns() []verify.Column {
	cols, err := verify.ParseColumns("file,prog,verdict,class,insns,states,peak_states,stack,size,jited_size,duration")
	if err != nil {
		panic(err) // a name in the line above
	}
	return cols
}

// verifyCells loads the objects, here or in guests, of one compiler after the other.
func verifyCells(ctx context.Context, f verifyFlags, filter *verify.Filter, objects *verifyInputs) (*verify.Run, error) {
	if len(f.covdata) > 0 {
		return loadedBefore(f.covdata, filter)
	}
	run := &verify.Run{Version: verify.RunVersion}
	llvms := f.llvm
	if len(llvms) == 0 {
		llvms = []int{0}
	}
	var errs error
	for _, llvm := range llvms {
		list, err := verifyWith(ctx, f, filter, func(arch string) ([]verify.Input, error) { return objects.of(ctx, arch, llvm) }, llvm)
		if list == nil {
			return nil, err
		}
		errs = errors.Join(errs, err)
		for _, c := range list {
			if c.LLVM = llvm; llvm != 0 {
				c.Name += "-llvm" + strconv.Itoa(llvm)
			}
			run.Cells = append(run.Cells, c)
		}
	}
	return run, errs
}

func verifyWith(ctx context.Context, f verifyFlags, filter *verify.Filter, objects func(arch string) ([]verify.Input, error), llvm int) ([]verify.Cell, error) {
	if len(f.kernels) == 0 {
		inputs, err := objects(runtime.GOARCH)
		if err != nil {
			return nil, err
		}
		c, err := verify.Host(ctx, inputs, filter.Wants)
		if err != nil {
			return nil, err
		}
		return []verify.Cell{*c}, nil
	}
	points, err := matrix.Expand(config.Matrix{Kernels: f.kernels, Arch: f.arch})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	inputs := map[string][]verify.Input{}
	for _, p := range points {
		if inputs[p.Arch] != nil {
			continue
		}
		if inputs[p.Arch], err = objects(p.Arch); err != nil {
			return nil, err
		}
	}
	r := &cells.Runner{
		Points: points, Inputs: func(arch string) ([]verify.Input, error) { return inputs[arch], nil },
		Filters: filter.Globs(), Modules: f.modules, Store: newStore(f.refresh), Out: filepath.Join(f.out, "cells"),
		Jobs: f.jobs, Timeout: f.timeout, ProgramTimeout: f.program, MemoryMiB: f.memory, Progress: warn,
	}
	if llvm != 0 {
		r.Out += "-llvm" + strconv.Itoa(llvm)
	}
	if f.warm || f.cold {
		r.Warm = &f.warm
	}
	return r.Run(ctx)
}

// writeVerify writes what a run leaves behind. Only what has these names is replaced.
func writeVerify(dir string, run *verify.Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := verify.WriteLogs(filepath.Join(dir, "logs"), run); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := verify.WriteJSON(&b, run); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "verify.json"), b.Bytes(), 0o644); err != nil {
		return err
	}
	for _, c := range run.Cells {
		b.Reset()
		if err := verify.CSV(&b, c.Results, verify.VeristatColumns()); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, verify.CellFile(c.Name, ".csv")), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func printVerify(w io.Writer, f verifyFlags, run *verify.Run, cols []verify.Column) error {
	all := func(*verify.Result) bool { return true }
	switch {
	case f.json:
		return verify.WriteJSON(w, run)
	case f.csv:
		if f.emit == "" {
			cols = verify.VeristatColumns()
		}
		return verify.CSV(w, run.Cells[0].Results, cols)
	case len(run.Cells) == 1:
		if err := verify.Table(w, run.Cells[0].Results, cols); err != nil {
			return err
		}
	default:
		if err := verify.MatrixTable(w, run, all); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := verify.Reasons(&b, run, all); err != nil || b.Len() == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\nwritten: %s\n", b.Bytes(), relative(f.out))
	return err
}
