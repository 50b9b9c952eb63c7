package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/internal/nearest"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/matrix"

	reporthtml "github.com/bpfcov/bpfcov/report/html"
)

// Exit statuses. The values are part of the command's interface; see README.md.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitEnvironment = 3
)

// exitError carries an exit status. With a nil err everything has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// usageArgs makes a mistake in the arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			if cmd.HasSubCommands() && len(args) > 0 {
				var names []string
				for _, c := range cmd.Commands() {
					names = append(names, c.Name())
				}
				if m := nearest.Match(args[0], names); m != "" {
					return usagef("%w; did you mean %q? (see %s --help)", err, m, cmd.CommandPath())
				}
			}
			return usagef("%w: %s (see %s --help)", err, cmd.UseLine(), cmd.CommandPath())
		}
		return nil
	}
}

// exitCode maps an error to its status. Input that cannot be read as what it should be is usage;
// what the machine lacks is environment.
func exitCode(err error) int {
	var exit *exitError
	var build *matrix.BuildError
	var noMatch *kernels.NoMatchError
	var badSpec *kernels.SpecError
	var badTest *matrix.TestError
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &build):
		return exitFailed
	case errors.As(err, &noMatch), errors.As(err, &badSpec), errors.As(err, &badTest), errors.Is(err, matrix.ErrForeign), errors.Is(err, reporthtml.ErrForeign), errors.Is(err, matrix.ErrNoTests), errors.Is(err, matrix.ErrNoEarlierRun),
		errors.Is(err, meta.ErrFormat), errors.Is(err, meta.ErrTruncated), errors.Is(err, collect.ErrFormat), errors.Is(err, collect.ErrTruncated),
		errors.Is(err, collect.ErrBuildMismatch), errors.Is(err, fs.ErrNotExist):
		return exitUsage
	}
	return exitEnvironment
}
