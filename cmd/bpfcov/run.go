package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument"
	"github.com/bpfcov/bpfcov/instrument/policy"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/report"
	"github.com/bpfcov/bpfcov/report/gate"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/vm/matrix"
	"github.com/bpfcov/bpfcov/vm/rootfs"

	reporthtml "github.com/bpfcov/bpfcov/report/html"
)

type runFlags struct {
	config, out   string
	kernels, arch []string
	root          string
	jobs          int
	refresh       bool
	policy        string
	shards        shardFlags
	warm, cold    bool
	failFast      bool
	rerunFailed   bool
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] [-- CMD [ARG]...]",
		Short: "Run the tests on every kernel of the matrix and report what ran where",
		Long: `Run the tests on every kernel of the matrix and report what ran where.

The configuration (docs/config.md) names the build, the tests and the matrix. --kernel and --arch replace
the configuration's matrix, a command behind -- its tests. Exit status: 0 when every test passed in every
cell, 1 when one did not, 3 when a guest could not be booted.`,
		Example: "  bpfcov run\n" +
			"  bpfcov run --kernel apt:bookworm --kernel 'apt:sid/7.*' --arch amd64,arm64\n" +
			"  bpfcov run --kernel apt:trixie -- ./probe.test -test.run TestOpen",
		RunE: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) > 0 && dash != 0 {
				return usagef("unexpected argument %q: a command goes behind -- (see %s --help)", args[0], cmd.CommandPath())
			}
			return runRun(cmd.Context(), cmd.OutOrStdout(), f, args)
		},
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration `FILE` (default "+config.FileName+" if there is one)")
	cmd.Flags().Var((*specList)(&f.kernels), "kernel", "kernel `SPEC`, for example apt:bookworm or file:PATH; repeatable or separated by commas")
	cmd.Flags().StringSliceVar(&f.arch, "arch", nil, "`GOARCH` of the guests; repeatable or separated by commas")
	cmd.Flags().StringVar(&f.shards.shard, "shard", "", "run part `K/N` of the matrix, or with auto the part that the CI system's environment names")
	f.shards.addCosts(cmd.Flags())
	cmd.Flags().StringVar(&f.out, "out", "", "`folder` for everything that is written (default bpfcov-out)")
	cmd.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "cells at once (default: what cores and memory bear)")
	cmd.Flags().StringVar(&f.policy, "policy", "", "`auto`: step down functions whose counters make a program fail to load, and write it to\n"+policy.FileName+"; read: only follow that file; off: ignore it (default auto)")
	cmd.Flags().BoolVar(&f.warm, "warm", false, "resume guests that earlier runs have saved (default unless $CI is set, or vm.warm says otherwise)")
	cmd.Flags().BoolVar(&f.cold, "cold", false, "boot every guest")
	cmd.MarkFlagsMutuallyExclusive("warm", "cold")
	cmd.Flags().BoolVar(&f.failFast, "fail-fast", false, "start no further cell after one that failed")
	cmd.Flags().BoolVar(&f.rerunFailed, "rerun-failed", false, "keep the results of cells that passed in the last run, and run the others")
	cmd.Flags().StringVar(&f.root, "root", "", "`ROOT` below the tests' files: closure, image:REF or host (default: what the configuration says)")
	cmd.Flags().BoolVar(&f.refresh, "refresh", false, "look for newer kernels in the archives")
	return cmd
}

// loadConfig reads the configuration and lays the flags over it.
func loadConfig(f runFlags, command []string) (*config.Config, error) {
	path := f.config
	if path == "" {
		path = config.FileName
	}
	c, err := config.Load(path)
	if errors.Is(err, os.ErrNotExist) && f.config == "" {
		if len(command) == 0 {
			return nil, usagef("no %s here, no -c FILE and no command behind --: nothing to run; bpfcov init writes one for this project", config.FileName)
		}
		c = &config.Config{}
		c.Dir, err = os.Getwd()
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if len(f.kernels) > 0 {
		c.Matrix.Kernels, c.Matrix.Exclude, c.Matrix.Include = f.kernels, nil, nil
	}
	if len(f.arch) > 0 {
		c.Matrix.Arch = f.arch
		// What the configuration leaves out or adds is about other architectures as well.
		c.Matrix.Exclude = slices.DeleteFunc(c.Matrix.Exclude, func(x config.Cell) bool { return x.Arch != "" && !slices.Contains(f.arch, x.Arch) })
		c.Matrix.Include = slices.DeleteFunc(c.Matrix.Include, func(x config.Cell) bool { return !slices.Contains(f.arch, x.Arch) })
	}
	if f.warm || f.cold {
		c.VM.Warm = &f.warm
	}
	if err := setRoot(c, f.root); err != nil {
		return nil, err
	}
	if f.policy != "" {
		c.Policy = f.policy
	}
	if len(command) > 0 {
		c.Tests = []config.Test{{Name: filepath.Base(command[0]), Command: command}}
	}
	return c, nil
}

// outFolder is relative to the current folder when a flag names it, else to the configuration file.
func outFolder(f runFlags, c *config.Config) string {
	switch {
	case f.out != "":
		return f.out
	case c.Out == "":
		return filepath.Join(c.Dir, "bpfcov-out")
	case filepath.IsAbs(c.Out):
		return c.Out
	}
	return filepath.Join(c.Dir, c.Out)
}

func runRun(ctx context.Context, stdout io.Writer, f runFlags, command []string) error {
	c, err := loadConfig(f, command)
	if err != nil {
		return err
	}
	if f.jobs < 0 {
		return usagef("--jobs %d: want a number of cells from 1 on", f.jobs)
	}
	// A mistake in what comes last is better known before the guests have run.
	if _, err := configGates(c); err != nil {
		return err
	}
	if _, err := regexp.Compile(c.Report.Ignore); err != nil {
		return usagef("report.ignore-filename-regex: %w", err)
	}
	points, err := matrix.Expand(c.Matrix)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if points, err = f.shards.part(points); err != nil || len(points) == 0 {
		return err
	}
	mode, err := matrix.ParsePolicyMode(c.Policy)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	store := newStore(f.refresh)
	lock, err := readLock(c, f.refresh)
	if err != nil {
		return err
	}
	if points, err = matrix.Resolve(ctx, store, lock, points); err != nil {
		return err
	}
	r := &matrix.Runner{
		Policy: mode,
		Config: c, Points: points, Out: outFolder(f, c), Store: store, Lock: lock, Jobs: f.jobs, Progress: warn,
		FailFast: f.failFast, RerunFailed: f.rerunFailed,
	}
	if err := withCompiler(ctx, r); err != nil {
		return err
	}
	onScreen := startLive()
	if onScreen != nil {
		r.Progress, r.Status = onScreen.print, onScreen.status
	}
	res, err := r.Run(ctx)
	if onScreen != nil {
		onScreen.end() // before the table
	}
	var bad *matrix.PolicyError
	if errors.As(err, &bad) {
		return &exitError{exitUsage, err}
	}
	if res == nil {
		return err
	}
	// What there is is worth a report even when the run was cut short.
	return errors.Join(err, reportRun(ctx, stdout, r, res))
}

// withCompiler gives builds a compiler of this very version: bpfcov-clang beside this executable, or this
// executable under that name.
func withCompiler(ctx context.Context, r *matrix.Runner) error {
	if r.Config.Build == "" {
		return nil
	}
	clang, err := instrument.FindClang(ctx)
	if err != nil {
		return &exitError{exitEnvironment, err}
	}
	if _, err := instrument.EnsurePlugin(ctx, clang); err != nil {
		return &exitError{exitEnvironment, err}
	}
	r.LLVM = clang.Major
	r.Strip = stripBeside(clang.Path)
	r.Clang, err = singleWordClang()
	return err
}

// reportRun writes the files that the configuration asks for and prints the table.
func reportRun(ctx context.Context, stdout io.Writer, r *matrix.Runner, res *matrix.Result) error {
	if err := addGoCoverage(ctx, r, res, reporthtml.FindRoot(r.Config.Dir)); err != nil {
		warn("coverage of Go programs: %v", err)
	}
	data, err := readOptions(false).ReadDir(res.Covdata)
	if err != nil {
		return err
	}
	view := viewFlags{sourceRoot: reporthtml.FindRoot(r.Config.Dir), ignore: r.Config.Report.Ignore}
	o, root, markers, err := view.options(ctx)
	if err != nil {
		return err
	}
	defer root.Close()
	gates, err := configGates(r.Config)
	if err != nil {
		return err
	}
	on := func(b *bool) bool { return b == nil || *b }
	c := &r.Config.Report
	var failed []string
	files, rep, err := report.WriteRun(r.Out, data, report.RunOptions{LCOV: on(c.LCOV), JSON: on(c.JSON), HTML: on(c.HTML),
		Cobertura: c.Cobertura, Codecov: c.Codecov, JUnit: c.JUnit, GoCover: c.GoCover, LLVM: c.LLVM, Markdown: c.Markdown,
		Model: o, Title: filepath.Base(r.Config.Dir), SourceRoot: root.Dir, Version: moduleVersion(),
		Failed: func(rep *model.Report) []string {
			rep.Warnings = append(rep.Warnings, markers.Problems...)
			failed = gate.Check(rep, gates)
			return failed
		}})
	if err != nil {
		return err
	}
	if err := printReport(stdout, rep, false); err != nil {
		return err
	}
	if path, err := goProfile(ctx, r.Out); err != nil {
		warn("coverage of Go programs: %v", err)
	} else if path != "" {
		files = append(files, path)
	}
	fmt.Fprintln(stdout, "\nwritten:")
	for _, f := range append([]string{res.Covdata}, files...) {
		fmt.Fprintln(stdout, "  "+relative(f))
	}
	reportPolicy(stdout, res.Policy)
	notReached := sayFailed(os.Stderr, failed)
	if err := verdict(res); err != nil {
		return err
	}
	if loaded, err := res.Diagnose(); loaded && err != nil {
		return &exitError{exitEnvironment, err}
	} else if err != nil {
		warn("%v", err)
	}
	return notReached
}

// configGates are the thresholds of a configuration.
func configGates(c *config.Config) (gate.Options, error) {
	f := gateFlags{c.Report.FailUnderLines, c.Report.FailUnderBranches, c.Report.FailUnderFunctions, c.Report.Require, c.Report.Baseline}
	if f.baseline != "" && !filepath.IsAbs(f.baseline) {
		f.baseline = filepath.Join(c.Dir, f.baseline)
	}
	return f.options()
}

// verdict turns the outcomes into an exit status: a failed test weighs more than a guest that did not boot.
func verdict(res *matrix.Result) error {
	code := 0
	for _, c := range res.Cells {
		if c.Kept != nil || errors.Is(c.Err, matrix.ErrNotRun) {
			continue
		}
		if c.Err != nil || c.Result == nil {
			code = max(code, exitEnvironment)
			continue
		}
		for _, rec := range c.Result.Records {
			switch rec.Run.Outcome {
			case collect.Passed, collect.Skipped:
			case collect.BootFailed:
				code = max(code, exitEnvironment)
			default:
				return &exitError{code: exitFailed}
			}
		}
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// relative shortens a path for people where that makes it shorter.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || len(rel) >= len(path) {
		return path
	}
	return rel
}

// setRoot overrides the root of the configuration, and checks what there is then.
func setRoot(c *config.Config, root string) error {
	if root != "" {
		c.VM.Root = root
	}
	if _, err := rootfs.Parse(c.VM.Root); err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}
