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
	emit, sort         string
	filters            []string
	top, jobs          int
	json, csv, refresh bool
	out                string
	modules            []string
	timeout            time.Duration
	config             string
	matrix             bool
	baseline           string
	failOn             []string
	markdown, plot     string
}

func newVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [flags] OBJECT...",
		Short: "Load every program of BPF objects on every kernel, and say why not and at what cost",
		Long: `Load every program of BPF objects on every kernel, and say why not and at what cost.

Each program is loaded alone, with the maps it needs. Without --kernel the running kernel does it, which needs root; with it
guests are booted. {arch} in the name of an object stands for the guest's architecture. Columns and filters are those of
veristat. Exit status: 0 when every program that could be tried loads, 1 when one does not and no rule expects it, or when a threshold is
passed, 3 when a guest could not be booted.`,
		Example: "  bpfcov verify probe.bpf.o\n" +
			"  bpfcov verify probe.bpf.o --kernel apt:bullseye --kernel apt:bookworm --kernel 'apt:sid/7.*'\n" +
			"  bpfcov verify -e prog,insns,states -s insns -n 10 -f 'insns>1000' probe.bpf.o",
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), cmd.OutOrStdout(), f, args)
		},
	}
	cmd.Flags().StringArrayVar(&f.kernels, "kernel", nil, "kernel `SPEC`, for example apt:bookworm or file:PATH; repeatable (default: the running kernel)")
	cmd.Flags().StringSliceVar(&f.arch, "arch", nil, "`GOARCH` of the guests; repeatable or separated by commas (default amd64)")
	cmd.Flags().StringVarP(&f.emit, "emit", "e", "", "`columns` of the table for one kernel, separated by commas")
	cmd.Flags().StringVarP(&f.sort, "sort", "s", "", "`columns` to sort by; ^ behind a name is ascending, v descending")
	cmd.Flags().StringArrayVarP(&f.filters, "filter", "f", nil, "`FILTER`: FILE, FILE/PROG, !FILE/PROG, @PATH, or a condition such as insns>1000; repeatable")
	cmd.Flags().IntVarP(&f.top, "top-n", "n", 0, "show only the first `N` programs")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the run as JSON")
	cmd.Flags().BoolVar(&f.csv, "csv", false, "print veristat's CSV (for one kernel)")
	cmd.Flags().StringVar(&f.out, "out", filepath.Join("bpfcov-out", "verify"), "`folder` for verify.json, a CSV for each kernel and the logs")
	cmd.Flags().StringSliceVar(&f.modules, "module", nil, "kernel `module` to load before; repeatable")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "time for one guest (default 30m)")
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

// verifyInputs finds the objects for an architecture and gives them names that tell them apart.
func verifyInputs(args []string, arch string) ([]verify.Input, error) {
	var list []verify.Input
	count := map[string]int{}
	for _, a := range args {
		path := strings.ReplaceAll(a, "{arch}", arch)
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		list = append(list, verify.Input{Name: filepath.Base(path), Path: path})
		count[filepath.Base(path)]++
	}
	for i := range list {
		if count[list[i].Name] > 1 {
			list[i].Name = filepath.ToSlash(filepath.Clean(list[i].Path))
			list[i].Name = strings.ReplaceAll(list[i].Name, "/", ":") // a slash separates file and program in filters
		}
	}
	return list, nil
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
	case f.csv && len(f.kernels)*max(1, len(f.arch)) > 1:
		return usagef("--csv has no column for kernels: use one kernel, or the CSV files that %s gets", f.out)
	case f.csv && f.json:
		return usagef("--csv or --json, not both")
	case len(f.arch) > 0 && len(f.kernels) == 0:
		return usagef("--arch needs --kernel")
	}
	judge, err := newJudge(&f)
	if err != nil {
		return err
	}
	run, err := verifyCells(ctx, f, filter, args)
	if run == nil {
		return err
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

// verifyCells loads the objects, here or in guests.
func verifyCells(ctx context.Context, f verifyFlags, filter *verify.Filter, args []string) (*verify.Run, error) {
	if len(f.kernels) == 0 {
		inputs, err := verifyInputs(args, runtime.GOARCH)
		if err != nil {
			return nil, err
		}
		c, err := verify.Host(ctx, inputs, filter.Wants)
		if err != nil {
			return nil, err
		}
		return &verify.Run{Version: verify.RunVersion, Cells: []verify.Cell{*c}}, nil
	}
	points, err := matrix.Expand(config.Matrix{Kernels: f.kernels, Arch: f.arch})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	inputs := map[string][]verify.Input{}
	for _, p := range points {
		if inputs[p.Arch], err = verifyInputs(args, p.Arch); err != nil {
			return nil, err
		}
	}
	r := &cells.Runner{
		Points: points, Inputs: func(arch string) ([]verify.Input, error) { return inputs[arch], nil },
		Filters: filter.Globs(), Modules: f.modules, Store: newStore(f.refresh), Out: filepath.Join(f.out, "cells"),
		Jobs: f.jobs, Timeout: f.timeout, Progress: warn,
	}
	list, err := r.Run(ctx)
	if list == nil {
		return nil, err
	}
	return &verify.Run{Version: verify.RunVersion, Cells: list}, err
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
