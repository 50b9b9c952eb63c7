package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/bpfcov/bpfcov/verify"
)

// supervise loads programs in a process of its own, and in another one when a program takes longer than limit or ends the process. Nothing
// in this process could end a load: libraries repeat one that a signal has interrupted.
func supervise(stdout io.Writer, limit time.Duration, skip int, flags, objects []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w := bufio.NewWriter(stdout)
	enc := json.NewEncoder(w)
	s := supervisor{limit: limit, skip: skip, unread: map[string]bool{}, put: func(r verify.Record) error {
		return errors.Join(enc.Encode(r), w.Flush())
	}}
	for {
		// Of a flag that is given twice the last counts.
		cmd := exec.Command(self, slices.Concat(flags, []string{"-limit", "0", "-skip", strconv.Itoa(s.skip)}, objects)...)
		if err := s.worker(cmd); err != nil {
			return err
		}
		if s.ended {
			return s.put(verify.Record{End: &verify.End{Results: s.results}})
		}
	}
}

type supervisor struct {
	limit   time.Duration
	put     func(verify.Record) error
	skip    int             // programs that are done
	results int             // that were put
	unread  map[string]bool // objects that cannot be read, which each worker says again
	told    bool            // of the kernel
	ended   bool
}

// worker hands on what a worker says, until it ends.
func (s *supervisor) worker(cmd *exec.Cmd) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	var late atomic.Bool
	timer := time.AfterFunc(s.limit, func() {
		late.Store(true)
		cmd.Process.Kill() // the verifier looks for signals at each instruction
	})
	var begun *verify.Begin
	failed := verify.ReadStream(out, func(r verify.Record) error {
		timer.Reset(s.limit)
		switch {
		case r.Kernel != nil && s.told, r.Result != nil && r.Result.Program == "" && s.unread[r.Result.File]:
			return nil
		case r.Kernel != nil:
			s.told = true
		case r.Begin != nil:
			begun = r.Begin
		case r.Result != nil && r.Result.Program == "":
			s.unread[r.Result.File] = true
			s.results++
		case r.Result != nil:
			begun = nil
			s.skip++
			s.results++
		case r.End != nil:
			s.ended = true
			return nil
		}
		return s.put(r)
	})
	timer.Stop()
	if failed != nil {
		cmd.Process.Kill()
	}
	err = cmd.Wait()
	switch {
	case s.ended:
		return nil
	case begun == nil:
		return fmt.Errorf("the process that loads ended between two programs: %w", errors.Join(err, failed))
	}
	r := verify.Result{File: begun.File, Program: begun.Program, Verdict: verify.Failed, Class: verify.ClassHarness}
	var exit *exec.ExitError
	switch {
	case late.Load():
		r.Reason = fmt.Sprintf("timed out: the kernel had worked on it for %v", s.limit)
	case errors.As(err, &exit) && !exit.Exited():
		r.Reason = fmt.Sprintf("the process that loaded it was ended by %v; it may need more memory than there is", exit)
	default:
		r.Reason = fmt.Sprintf("the process that loaded it ended: %v", errors.Join(err, failed))
	}
	s.skip++
	s.results++
	return s.put(verify.Record{Result: &r})
}
