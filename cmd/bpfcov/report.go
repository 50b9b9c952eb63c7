package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report"
	"github.com/bpfcov/bpfcov/report/lcov"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/terminal"

	reporthtml "github.com/bpfcov/bpfcov/report/html"
	reportjson "github.com/bpfcov/bpfcov/report/json"
)

func newReport() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report [flags] COVDATA...",
		Short: "Report what ran where, from covdata folders",
		Long: `Report what ran where, from covdata folders.

Without flags it prints the table of cells and the places that ran in some and not in others. --lcov and
--json write a file ("-" is standard output) instead, --html a folder with a site that opens from disk. Several
folders are read as one.`,
		Example: "  bpfcov report bpfcov-out/covdata\n  bpfcov report --lcov merged.info covdata-a covdata-b",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.lcov == "-" && f.json == "-" {
				return usagef("--lcov - and --json - would be mixed on standard output; write one of them to a file")
			}
			return runReport(cmd.OutOrStdout(), f, covdataFolders(args))
		},
	}
	cmd.Flags().StringVar(&f.lcov, "lcov", "", "write one tracefile, merged over all cells, to `FILE`")
	cmd.Flags().StringVar(&f.json, "json", "", "write the whole report as JSON to `FILE`")
	cmd.Flags().StringVar(&f.html, "html", "", "write the whole report as a site to the folder `DIR`; open its index.html")
	cmd.Flags().StringVar(&f.sourceRoot, "source-root", "", "`folder` that the names of sources are relative to (default the repository around the current folder)")
	return cmd
}

type reportFlags struct {
	lcov, json, html, sourceRoot string
}

func runReport(stdout io.Writer, f reportFlags, dirs []string) error {
	data, err := collect.ReadDir(dirs...)
	if err != nil {
		return err
	}
	rep, err := model.Build(data, model.Options{})
	if err != nil {
		return err
	}
	if f.lcov == "" && f.json == "" && f.html == "" {
		return printReport(stdout, rep)
	}
	if f.html != "" {
		root := f.sourceRoot
		if root == "" {
			root = reporthtml.FindRoot(".")
		}
		if err := reporthtml.Write(f.html, rep, reporthtml.Options{SourceRoot: root}); err != nil {
			return err
		}
	}
	if f.lcov != "" {
		err := writeTo(stdout, f.lcov, func(w io.Writer) error { return lcov.Write(w, rep.MergedLCOV(), lcov.Options{}) })
		if err != nil {
			return err
		}
	}
	if f.json != "" {
		return writeTo(stdout, f.json, func(w io.Writer) error { return reportjson.Write(w, rep, reportjson.Options{}) })
	}
	return nil
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

// printReport prints the table; colour only where a person looks at it.
func printReport(w io.Writer, rep *model.Report) error {
	fd := int(os.Stdout.Fd())
	color := w == io.Writer(os.Stdout) && term.IsTerminal(fd) && os.Getenv("NO_COLOR") == "" && os.Getenv("CI") == ""
	return terminal.Write(w, rep, terminal.Options{Color: color})
}

// writeTo writes a whole file or none; "-" is stdout.
func writeTo(stdout io.Writer, path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(stdout)
	}
	return report.WriteFile(path, write)
}
