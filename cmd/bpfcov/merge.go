package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bpfcov/bpfcov/collect"
)

func newMerge() *cobra.Command {
	var out string
	var strict bool
	cmd := &cobra.Command{
		Use:   "merge -o DIR COVDATA...",
		Short: "Put covdata folders together in one",
		Long: `Put covdata folders together in one, for example those of the shards of a run.

Each run is in the result once, in its last state, and so is each object's description: neither the order of the
folders nor merging twice makes a difference. DIR may be one of them. Folders of which the same object
means different counters are an error that names both files, and nothing is written. A damaged file is named
and left out; with --strict it is an error.`,
		Example: "  bpfcov merge -o covdata shard-*/covdata",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usagef("-o DIR is missing: where the result goes")
			}
			m, err := readOptions(strict).MergeDirs(out, covdataFolders(args)...)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: runs: %d (partial: %d), objects: %d\n", out, m.Runs, m.Partial, m.Objects)
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "`folder` of the result")
	strictFlag(cmd.Flags(), &strict)
	return cmd
}

func strictFlag(flags *pflag.FlagSet, strict *bool) {
	flags.BoolVar(strict, "strict", false, "a damaged file is an error (exit status 2), not only named and left out")
}

// readOptions leave damaged files out, each with a word, unless strict.
func readOptions(strict bool) collect.ReadOptions {
	if strict {
		return collect.ReadOptions{}
	}
	return collect.ReadOptions{Damaged: func(_ string, err error) { warn("left out: %v", err) }}
}
