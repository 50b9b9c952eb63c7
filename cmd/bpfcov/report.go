package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bpfcov/bpfcov/report"
	"github.com/bpfcov/bpfcov/report/cobertura"
	"github.com/bpfcov/bpfcov/report/codecov"
	"github.com/bpfcov/bpfcov/report/gate"
	"github.com/bpfcov/bpfcov/report/github"
	"github.com/bpfcov/bpfcov/report/gocover"
	"github.com/bpfcov/bpfcov/report/junit"
	"github.com/bpfcov/bpfcov/report/markdown"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/terminal"

	reporthtml "github.com/bpfcov/bpfcov/report/html"
	reportjson "github.com/bpfcov/bpfcov/report/json"
)

func newReport() *cobra.Command {
	f := reportFlags{files: map[string]*string{}}
	cmd := &cobra.Command{
		Use:   "report [flags] COVDATA...",
		Short: "Report what ran where, from covdata folders",
		Long: `Report what ran where, from covdata folders. Several folders are read as one.

Without flags it prints the table of cells and the places that ran in some and not in others. The flags of formats
write a file ("-" is standard output) or a folder instead. Thresholds, --require and --baseline decide about the
exit status: 1 when something is not reached, which is said on standard error.

Tracefiles, Cobertura and Go cover profiles show all cells merged, or the one that --cell names. A percentage is 100
only when everything ran.`,
		Example: `  bpfcov report bpfcov-out
  bpfcov report --lcov merged.info covdata-a covdata-b
  bpfcov report --fail-under-lines 80 --fail-under-lines '6.1-*=70' --changed-since origin/main bpfcov-out
  bpfcov report --missed bpfcov-out`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out []string
			for _, o := range fileOutputs() {
				if *f.files[o.flag] == "-" {
					out = append(out, "--"+o.flag+" -")
				}
			}
			if len(out) > 1 {
				return usagef("%s would be mixed on standard output; write one of them to a file", strings.Join(out, " and "))
			}
			return runReport(cmd.Context(), cmd.OutOrStdout(), &f, covdataFolders(args))
		},
	}
	flags := cmd.Flags()
	for _, o := range fileOutputs() {
		f.files[o.flag] = flags.String(o.flag, "", o.usage)
	}
	flags.StringVar(&f.goFunctions, "gocover-functions", "", "write a profile for `go tool cover -func`, and what it parses, to the folder `DIR`")
	flags.StringVar(&f.html, "html", "", "write the whole report as a site to the folder `DIR`; open its index.html")
	flags.StringVar(&f.codecov, "codecov", "", "write to the folder `DIR` a file for each cell, the flags for codecov.yml and the upload commands")
	flags.BoolVar(&f.codecovJSON, "codecov-json", false, "--codecov writes Codecov's own JSON instead of lcov")
	flags.StringVar(&f.llvm, "llvm", "", "write to the folder `DIR` objects and text profiles for llvm-cov")
	flags.StringVar(&f.cell, "cell", "", "show the cell `NAME` instead of all cells merged")
	flags.StringVar(&f.missed, "missed", "", "list the source lines that no cell ran or, with `=somewhere`, that some cell did not run")
	flags.Lookup("missed").NoOptDefVal = "nowhere"
	flags.BoolVar(&f.regions, "regions", false, "show regions in the table, which are the stretches of code within lines that have counts of their own")
	f.gateFlags.add(flags)
	f.viewFlags.add(flags)
	flags.StringVar(&f.writeBaseline, "write-baseline", "", "write the figures to `FILE`, for --baseline of later reports")
	return cmd
}

type reportFlags struct {
	viewFlags
	gateFlags
	files                                          map[string]*string
	html, codecov, llvm, goFunctions, cell, missed string
	codecovJSON, regions                           bool
	writeBaseline                                  string
}

// fileOutput is a format that is one file.
type fileOutput struct {
	flag, usage string
	write       func(io.Writer, *reportContext) error
	figuresOnly bool // see model.Options
}

// onlyFigures reports whether all that is to be written shows figures only; without any output, the table does not.
func (f *reportFlags) onlyFigures() bool {
	some := f.codecov != "" || f.goFunctions != "" || f.llvm != "" || f.writeBaseline != "" || f.missed != ""
	for _, o := range fileOutputs() {
		if *f.files[o.flag] != "" {
			if !o.figuresOnly {
				return false
			}
			some = true
		}
	}
	return some && f.html == ""
}

// reportContext is what formats are made of.
type reportContext struct {
	*view
	column model.Column
	failed []string
}

func fileOutputs() []fileOutput {
	return []fileOutput{
		{"lcov", "write a tracefile to `FILE`", func(w io.Writer, c *reportContext) error {
			return c.rep.WriteLCOV(w, c.column)
		}, true},
		{"json", "write the whole report as JSON to `FILE`", func(w io.Writer, c *reportContext) error {
			return reportjson.Write(w, c.rep, reportjson.Options{})
		}, false},
		{"cobertura", "write Cobertura's XML to `FILE`", func(w io.Writer, c *reportContext) error {
			return cobertura.Write(w, c.rep, cobertura.Options{Column: c.column, Time: report.Now(), Version: moduleVersion()})
		}, true},
		{"junit", "write the tests' results as JUnit XML to `FILE`", func(w io.Writer, c *reportContext) error {
			return junit.Write(w, c.rep)
		}, true},
		{"gocover", "write a Go cover profile to `FILE`", func(w io.Writer, c *reportContext) error {
			return gocover.Write(w, c.rep, c.column)
		}, true},
		{"markdown", "write a summary for a CI job to `FILE`", func(w io.Writer, c *reportContext) error {
			return markdown.Write(w, c.rep, markdown.Options{Failed: c.failed})
		}, false},
		{"annotations", "write GitHub's annotations to `FILE`; on GitHub that is -", func(w io.Writer, c *reportContext) error {
			return github.Write(w, c.rep, github.Options{Failed: c.failed})
		}, false},
	}
}

func runReport(ctx context.Context, stdout io.Writer, f *reportFlags, dirs []string) error {
	if f.missed != "" && f.missed != "nowhere" && f.missed != "somewhere" {
		return usagef("--missed=%s: want nowhere or somewhere", f.missed)
	}
	gates, err := f.gateFlags.options()
	if err != nil {
		return err
	}
	gates.Partial = f.changedSince != ""
	f.figuresOnly = f.onlyFigures()
	v, err := f.viewFlags.open(ctx, dirs)
	if err != nil {
		return err
	}
	defer v.root.Close()
	c := &reportContext{view: v, column: model.Merged}
	if f.cell != "" {
		if c.column, err = column(v.rep, f.cell); err != nil {
			return err
		}
	}
	c.failed = gate.Check(v.rep, gates)
	wrote, err := f.write(stdout, c)
	if err != nil {
		return err
	}
	if f.missed != "" {
		wrote = true
		err := terminal.Missed(stdout, v.rep, terminal.MissedOptions{Color: colored(stdout), Somewhere: f.missed == "somewhere", Source: v.root.Lines})
		if err != nil {
			return err
		}
	}
	if !wrote {
		if err := printReport(stdout, v.rep, f.regions); err != nil {
			return err
		}
	}
	return sayFailed(os.Stderr, c.failed)
}

// write writes what the flags name and reports whether there was anything.
func (f *reportFlags) write(stdout io.Writer, c *reportContext) (wrote bool, err error) {
	var errs []error
	do := func(path string, write func() error) {
		if path != "" {
			wrote = true
			errs = append(errs, write())
		}
	}
	for _, o := range fileOutputs() {
		path := *f.files[o.flag]
		do(path, func() error {
			return writeTo(stdout, path, func(w io.Writer) error { return o.write(w, c) })
		})
	}
	do(f.html, func() error { return reporthtml.Write(f.html, c.rep, reporthtml.Options{SourceRoot: c.root.Dir}) })
	do(f.goFunctions, func() error { return gocover.WriteFunctions(f.goFunctions, c.rep, c.column) })
	do(f.codecov, func() error { return report.WriteCodecov(f.codecov, c.rep, codecov.Options{JSON: f.codecovJSON}) })
	do(f.llvm, func() error { return report.WriteLLVM(f.llvm, c.rep, c.data) })
	do(f.writeBaseline, func() error {
		return writeTo(stdout, f.writeBaseline, gate.NewBaseline(c.rep).Write)
	})
	return wrote, errors.Join(errs...)
}

// column finds a cell by name; "merged" is all of them.
func column(rep *model.Report, name string) (model.Column, error) {
	if name == "merged" {
		return model.Merged, nil
	}
	var names []string
	for i := range rep.Cells {
		if rep.Cells[i].Name == name {
			return model.Column(i), nil
		}
		names = append(names, rep.Cells[i].Name)
	}
	return 0, usagef("no cell is called %q; there are %s", name, strings.Join(names, ", "))
}

// covdataFolders takes the folder of a whole run for the covdata folder in it.
func covdataFolders(args []string) []string {
	dirs := slices.Clone(args)
	for i, dir := range dirs {
		in := filepath.Join(dir, "covdata")
		if st, err := os.Stat(in); err == nil && st.IsDir() {
			dirs[i] = in
		}
	}
	return dirs
}

// colored reports whether a person looks at w.
func colored(w io.Writer) bool {
	return w == io.Writer(os.Stdout) && term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("CI") == ""
}

// printReport prints the table; colour only where a person looks at it.
func printReport(w io.Writer, rep *model.Report, regions bool) error {
	return terminal.Write(w, rep, terminal.Options{Color: colored(w), Regions: regions})
}

// writeTo writes a whole file or none; "-" is stdout.
func writeTo(stdout io.Writer, path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(stdout)
	}
	return report.WriteFile(path, write)
}

// moduleVersion is the version without the compiler's.
func moduleVersion() string {
	v, _, _ := strings.Cut(version(), " ")
	return fmt.Sprint(v)
}
