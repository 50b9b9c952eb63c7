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

	reportjson "github.com/bpfcov/bpfcov/report/json"
)

func newReport() *cobra.Command {
	var lcovFile, jsonFile string
	cmd := &cobra.Command{
		Use:   "report [flags] COVDATA...",
		Short: "Report what ran where, from covdata folders",
		Long: `Report what ran where, from covdata folders.

Without flags it prints the table of cells and the places that ran in some and not in others. --lcov and
--json write a file ("-" is standard output) instead. Several folders are read as one.`,
		Example: "  bpfcov report bpfcov-out/covdata\n  bpfcov report --lcov merged.info covdata-a covdata-b",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lcovFile == "-" && jsonFile == "-" {
				return usagef("--lcov - and --json - would be mixed on standard output; write one of them to a file")
			}
			return runReport(cmd.OutOrStdout(), lcovFile, jsonFile, covdataFolders(args))
		},
	}
	cmd.Flags().StringVar(&lcovFile, "lcov", "", "write one tracefile, merged over all cells, to `FILE`")
	cmd.Flags().StringVar(&jsonFile, "json", "", "write the whole report as JSON to `FILE`")
	return cmd
}

func runReport(stdout io.Writer, lcovFile, jsonFile string, dirs []string) error {
	data, err := collect.ReadDir(dirs...)
	if err != nil {
		return err
	}
	rep, err := model.Build(data, model.Options{})
	if err != nil {
		return err
	}
	if lcovFile == "" && jsonFile == "" {
		return printReport(stdout, rep)
	}
	if lcovFile != "" {
		err := writeTo(stdout, lcovFile, func(w io.Writer) error { return lcov.Write(w, rep.MergedLCOV(), lcov.Options{}) })
		if err != nil {
			return err
		}
	}
	if jsonFile != "" {
		return writeTo(stdout, jsonFile, func(w io.Writer) error { return reportjson.Write(w, rep, reportjson.Options{}) })
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
