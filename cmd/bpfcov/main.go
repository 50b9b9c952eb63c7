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
	"runtime/debug"
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
	ctx, stop := interruptible(context.Background())
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i *interrupted) Error() string { return "interrupted (" + i.signal.String() + ")" }

// interruptible returns a context that the first SIGINT or SIGTERM ends, with an [interrupted] as its cause.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-c:
			cancel(&interrupted{s.(syscall.Signal)})
		case <-ctx.Done():
		}
		signal.Stop(c) // a second one kills
	}()
	return ctx, func() { cancel(nil) }
}

func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitCode(err)
	var why *interrupted
	if errors.As(context.Cause(ctx), &why) {
		code = 128 + int(why.signal)
	}
	var silent *exitError
	if !errors.As(err, &silent) || silent.err != nil {
		fmt.Fprintln(os.Stderr, "bpfcov:", err)
	}
	return code
}

// version is the module's, with the commit when it was built from a checkout that says so.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "bpfcov",
		Version:       version(),
		Short:         "Coverage of BPF programs, on every kernel that you support",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(newRun(), newExec(), newCC(), newReport(), newGaps(), newDiff(), newMatrix(), newInit(), newMan(), newKernels(), newShell(), newBoot(), newDoctor(), newDump(), newMerge(), newVerify())
	addCompletions(root)
	return root
}
