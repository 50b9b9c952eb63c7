package main

import (
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/report/compare"
	"github.com/bpfcov/bpfcov/report/model"
)

func newDiff() *cobra.Command {
	var f viewFlags
	var in []string
	var asJSON, fail bool
	cmd := &cobra.Command{
		Use:   "diff [flags] A B",
		Short: "Say what changed between two runs, or between two kernels",
		Long: `Say what changed between two runs, or between two kernels: what is newly covered and newly missed, and which
programs cost the verifier more.

A and B are covdata folders; their cells are compared by name, and all of them merged. With --in COVDATA, A and B
are names of cells in it ("merged" is all of them). A file whose code is not the same in both is named and
not compared.`,
		Example: "  bpfcov diff before/covdata after/covdata\n  bpfcov diff --in bpfcov-out 5.10-amd64 6.1-amd64",
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			results, err := runDiff(cmd, &f, in, args)
			if err != nil {
				return err
			}
			if asJSON {
				err = compare.WriteJSON(cmd.OutOrStdout(), results)
			} else {
				err = compare.Write(cmd.OutOrStdout(), results)
			}
			if fail && err == nil && slices.ContainsFunc(results, func(r *compare.Result) bool { return len(r.Missed) > 0 }) {
				return &exitError{code: exitFailed}
			}
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringArrayVar(&in, "in", nil, "compare two cells of `COVDATA`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&fail, "fail", false, "exit with status 1 when something is newly missed")
	return cmd
}

func runDiff(cmd *cobra.Command, f *viewFlags, in, args []string) ([]*compare.Result, error) {
	var closers []io.Closer
	defer func() {
		for _, c := range closers {
			c.Close()
		}
	}()
	open := func(dirs ...string) (*model.Report, error) {
		v, err := f.open(cmd.Context(), covdataFolders(dirs))
		if err != nil {
			return nil, err
		}
		closers = append(closers, v.root)
		return v.rep, nil
	}
	if len(in) > 0 {
		rep, err := open(in...)
		if err != nil {
			return nil, err
		}
		a, err := column(rep, args[0])
		if err != nil {
			return nil, err
		}
		b, err := column(rep, args[1])
		if err != nil {
			return nil, err
		}
		return []*compare.Result{compare.Compare(compare.View{Report: rep, Column: a}, compare.View{Report: rep, Column: b})}, nil
	}
	before, err := open(args[0])
	if err != nil {
		return nil, err
	}
	after, err := open(args[1])
	if err != nil {
		return nil, err
	}
	return compare.Runs(before, after), nil
}
