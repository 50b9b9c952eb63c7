package main

import (
	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/report/gaps"
)

func newGaps() *cobra.Command {
	var f viewFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "gaps [flags] COVDATA...",
		Short: "Say what ran on some kernels and not on others, grouped by cause",
		Long: `Say what ran on some kernels and not on others, grouped by cause: the kernel refused the program, nobody loaded
it, or the cells differ in the version of the kernel, in architecture or in compiler.`,
		Example: "  bpfcov gaps bpfcov-out\n  bpfcov gaps --json --changed-since origin/main bpfcov-out",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := f.open(cmd.Context(), covdataFolders(args))
			if err != nil {
				return err
			}
			defer v.root.Close()
			groups := gaps.Find(v.rep)
			if asJSON {
				return gaps.WriteJSON(cmd.OutOrStdout(), groups)
			}
			return gaps.Write(cmd.OutOrStdout(), groups)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
