package collect

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// NewRunID returns a random identity for a [Run], 16 hexadecimal digits.
func NewRunID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// ExecOptions are the options of [Exec]. The zero value is valid.
type ExecOptions struct {
	// Test names the run; the command's base name if empty.
	Test string
	// Watch are the watcher's options.
	Watch WatchOptions
	// Partial, if not nil, is called with the record of the run as far as it is known, marked partial, about once every
	// Watch.Interval while counters change. The record that Exec returns has the same id and replaces it.
	Partial func(*Record)
}

// Exec runs cmd under [Watch] on the running kernel and returns a complete record of the run. A
// command that fails is no error: see Record.Run.Outcome. When ctx ends the command is killed (by
// cmd.Cancel, if set): at its deadline the outcome is [TimedOut], otherwise the run failed because it was
// interrupted, and what it had counted is in the record. The error is [ErrNoCoverage] (with a record) when no counters were found.
func Exec(ctx context.Context, cmd *exec.Cmd, o ExecOptions) (*Record, error) {
	cell, err := HostCell()
	if err != nil {
		return nil, err
	}
	r := &Record{Run: Run{ID: NewRunID(), Cell: cell, Test: o.Test, Command: cmd.Args}}
	if r.Run.Test == "" {
		r.Run.Test = baseName(cmd.Path)
	}
	if o.Partial != nil {
		o.Watch.Snapshot = o.partial(r.Run, o.Watch.Snapshot)
	}
	res, err := Watch(ctx, cmd, o.Watch)
	if err != nil {
		return nil, err
	}
	res.Fill(r)
	if err := ctx.Err(); err != nil && r.Run.Outcome != Passed {
		r.Run.Reason = "interrupted"
		if errors.Is(err, context.DeadlineExceeded) {
			r.Run.Outcome, r.Run.Reason = TimedOut, "killed at its deadline"
		}
	}
	if err := res.Release(); err != nil && o.Watch.Log != nil {
		o.Watch.Log("release the processes that outlived %s: %v", cmd.Path, err)
	}
	return r, res.Diagnose()
}

// partial makes records of snapshots.
func (o ExecOptions) partial(run Run, also func([]ObjectCounters)) func([]ObjectCounters) {
	start := time.Now()
	return func(objects []ObjectCounters) {
		if also != nil {
			also(cloneObjects(objects))
		}
		if len(objects) == 0 {
			return
		}
		run.Duration, run.Partial, run.ExitCode = time.Since(start), true, -1
		run.Outcome, run.Reason = Lost, "bpfcov itself ended before the command did"
		o.Partial(&Record{Run: run, Objects: objects})
	}
}

// Fill puts what the watcher saw into a record: counters, programs, and of the run its outcome
// ([Passed] or [Failed]), reason, exit code, signal and duration.
func (r *Result) Fill(rec *Record) {
	rec.Objects, rec.Programs = r.Objects, r.Programs
	rec.Run.Duration, rec.Run.Loads = r.Duration, r.Loads
	rec.Run.Outcome, rec.Run.Reason = Passed, ""
	rec.Run.ExitCode, rec.Run.Signal = exitStatus(r.State)
	switch {
	case rec.Run.Signal != "":
		rec.Run.Outcome, rec.Run.Reason = Failed, "killed by "+rec.Run.Signal
	case rec.Run.ExitCode != 0:
		rec.Run.Outcome, rec.Run.Reason = Failed, fmt.Sprintf("exit status %d", rec.Run.ExitCode)
	case r.Err != nil:
		rec.Run.Outcome, rec.Run.Reason = Failed, r.Err.Error()
	}
}

// Diagnose returns nil when counters were found, and otherwise an [ErrNoCoverage] that names the
// likely cause.
func (r *Result) Diagnose() error { return diagnose(r.Objects, r.Loads) }

// Diagnose is [Result.Diagnose] for what a run left behind.
func (r *Record) Diagnose() error { return diagnose(r.Objects, r.Run.Loads) }

func diagnose(objects []ObjectCounters, loads int) error {
	switch {
	case len(objects) > 0:
		return nil
	case loads == 0:
		return fmt.Errorf("%w: the command loaded no BPF program; does it run the loader, or skip it "+
			"(no permission, a cached result)?", ErrNoCoverage)
	}
	return fmt.Errorf("%w: %d program loads were seen and none refers to a bpfcov counter map; was the "+
		"object built with bpfcov-clang (BPF2GO_CC, CLANG=), and not with BPFCOV_DISABLE or from a cache?",
		ErrNoCoverage, loads)
}

func exitStatus(st *os.ProcessState) (code int, signal string) {
	if st == nil {
		return -1, ""
	}
	return st.ExitCode(), signalName(st)
}

func baseName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if os.IsPathSeparator(path[i]) {
			return path[i+1:]
		}
	}
	return path
}
