package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect"
)

func newExec() *cobra.Command {
	var out, name, watcher string
	cmd := &cobra.Command{
		Use:   "exec [flags] -- CMD [ARG]...",
		Short: "Run a command on the running kernel and collect what its BPF programs execute",
		Long: `Run a command on the running kernel and collect what its BPF programs execute.

The command, and everything that it starts, may load BPF objects that bpfcov-clang compiled with any
loader. Their counters are added to the covdata folder that --out names. The exit status is the
command's own (128+n when signal n killed it); 3 when it could not be watched, or when it passed
and no counters were found.`,
		Example: "  bpfcov exec --out covdata -- ./probe.test -test.v\n  bpfcov report covdata",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := collect.ParseWatcher(watcher)
			if err != nil {
				return usagef("--%w", err)
			}
			return runExec(cmd.Context(), out, name, kind, args)
		},
	}
	cmd.Flags().StringVar(&out, "out", "covdata", "covdata `folder`; each call adds a run to it")
	cmd.Flags().StringVar(&watcher, "watcher", "auto", "how loads are seen: auto, notify, trace or sweep; see docs/collection.md")
	cmd.Flags().StringVar(&name, "name", "", "`name` of the run in reports (default: base name of the command)")
	return cmd
}

func runExec(ctx context.Context, out, name string, kind collect.Watcher, args []string) error {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A command that is told to stop may have to clean up; what it counted until then is kept.
	c.Cancel = func() error {
		why := &interrupted{syscall.SIGTERM}
		errors.As(context.Cause(ctx), &why)
		return c.Process.Signal(why.signal)
	}
	c.WaitDelay = 10 * time.Second
	if c.Err != nil {
		return &exitError{exitEnvironment, c.Err}
	}
	if name == "" {
		name = filepath.Base(args[0])
	}
	// A folder that cannot be written to is better known before the tests have run.
	if err := writable(out); err != nil {
		return &exitError{exitEnvironment, err}
	}
	rec, err := collect.Exec(ctx, c, collect.ExecOptions{
		Test: name, Watch: collect.WatchOptions{Watcher: kind, Log: warn}, Partial: savePartial(out),
	})
	if err != nil && (rec == nil || !errors.Is(err, collect.ErrNoCoverage)) {
		return &exitError{exitEnvironment, err}
	}
	noCoverage := err
	if noCoverage == nil {
		if _, err := saveRecords(out, []collect.Record{*rec}); err != nil {
			return &exitError{exitEnvironment, err}
		}
		hintPolicy(rec)
		warn("added to %s (objects: %d); see: bpfcov report %[1]s", out, len(rec.Objects))
	}
	if code := statusOf(rec.Run); code != 0 {
		if noCoverage != nil {
			warn("%v", noCoverage)
		}
		return &exitError{code: code}
	}
	if noCoverage != nil {
		return &exitError{exitEnvironment, noCoverage}
	}
	return nil
}

// savePartial returns a function that writes what is known of a run that goes on, so that a bpfcov that is killed loses a second at
// most. What cannot be written is said once; the end is where that is an error.
func savePartial(out string) func(*collect.Record) {
	said := false
	return func(rec *collect.Record) {
		_, err := saveRecords(out, []collect.Record{*rec})
		var missing *collect.MissingMetaError
		if err != nil && !errors.As(err, &missing) && !said {
			said = true
			warn("counters are not on disk yet: %v", err)
		}
	}
}

// writable makes a folder and reports whether files can be made in it.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".bpfcov-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// statusOf is the status that a shell would give: 128+n for signal n.
func statusOf(run collect.Run) int {
	if run.Signal != "" {
		return 128 + int(unix.SignalNum(run.Signal))
	}
	if run.ExitCode == 0 && run.Outcome != collect.Passed {
		return exitFailed
	}
	return run.ExitCode
}

// warn says something that does not stop the command.
func warn(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bpfcov: "+format+"\n", args...)
}
