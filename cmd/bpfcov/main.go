// Command bpfcov measures the coverage of BPF programs on every kernel of a matrix.
//
// Exit status: 0 ok; 1 tests or thresholds failed; 2 usage, which includes malformed input; 3 the
// environment lacks something (a tool, a kernel, a permission). A command run by exec or cc passes its
// own status through.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument"
)

func main() {
	collect.MaybeShim()
	if filepath.Base(os.Args[0]) == "bpfcov-clang" {
		// `bpfcov run` gives builds a single-word compiler even when only bpfcov is installed.
		os.Exit(instrument.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitCode(err)
	var silent *exitError
	if !errors.As(err, &silent) || silent.err != nil {
		fmt.Fprintln(os.Stderr, "bpfcov:", err)
	}
	return code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "bpfcov",
		Short:         "Coverage of BPF programs, on every kernel that you support",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(newRun(), newExec(), newCC(), newReport(), newKernels(), newDoctor(), newDump())
	return root
}
