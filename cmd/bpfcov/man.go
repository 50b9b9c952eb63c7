package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/bpfcov/bpfcov/report"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write man pages of all commands to a folder",
		Long:  "Write man pages of all commands to a folder, for example ~/.local/share/man/man1. Completions are made by bpfcov completion.",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o777); err != nil {
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			date := report.Now().UTC().Truncate(24 * time.Hour)
			return doc.GenManTree(root, &doc.GenManHeader{Title: "BPFCOV", Section: "1", Source: "bpfcov", Manual: "bpfcov", Date: &date}, args[0])
		},
	}
}
