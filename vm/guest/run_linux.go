package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect"
)

const (
	// killGrace is the time between SIGQUIT, which makes a Go program print its goroutines, and SIGKILL.
	killGrace = 2 * time.Second
	// drainTimeout is how long output may come after everything that could write it was killed.
	drainTimeout = 5 * time.Second
)

// runTest runs one test and reports it. It returns an error only when the port failed.
func runTest(s *sender, o Options, job *Job, index int, t Test) error {
	var end RunEnd
	var rec *collect.Record
	for {
		if err := s.send(KindRunStart, RunStart{Test: index, Name: t.Name}.encode()); err != nil {
			return err
		}
		end = RunEnd{Test: index, ExitCode: -1}
		rec = &collect.Record{Run: collect.Run{Test: t.Name, Command: t.Command}}
		start := time.Now()
		res, err := execTest(s, o, job, t, rec.Run, &end)
		end.Duration = time.Since(start)
		if err != nil {
			end.Error = err.Error()
		}
		if res == nil {
			break
		}
		res.Fill(rec)
		end.ExitCode, end.Signal, end.Duration = rec.Run.ExitCode, rec.Run.Signal, res.Duration
		end.Loads = res.Loads
		if res.Err != nil && rec.Run.ExitCode == 0 && rec.Run.Signal == "" {
			end.Error = res.Err.Error()
		}
		if t.Watcher != collect.WatcherAuto || !res.WantedListener || rec.Run.Outcome == collect.Passed || end.TimedOut {
			break
		}
		s.log(fmt.Errorf("test %s: it failed without the seccomp listener that it asked for, and is started anew under the watcher %q, which leaves the listener to it",
			t.Name, collect.WatcherTrace))
		t.Watcher = collect.WatcherTrace
	}
	if err := sendArtefacts(s, t); err != nil {
		return err
	}
	var b []byte
	if len(rec.Objects) > 0 || len(rec.Programs) > 0 { // everything else the host knows
		var err error
		if b, err = encodeRecord(rec); err != nil {
			s.log(fmt.Errorf("test %s: counters: %w", t.Name, err))
		}
	}
	payload := end.encode(b)
	if len(payload) > MaxRecord {
		s.log(fmt.Errorf("test %s: counters of %d bytes, want at most %d", t.Name, len(payload), MaxRecord))
		payload = end.encode(nil)
	}
	return s.send(KindRunEnd, payload)
}

// snapshots sends the state of the counters: all of it at first and when objects or flows are new, else what changed.
type snapshots struct {
	s    *sender
	run  collect.Run
	last []collect.ObjectCounters
}

func (n *snapshots) send(objects []collect.ObjectCounters) {
	if n.last != nil {
		if b, ok := collect.EncodeDelta(n.last, objects); ok && len(b) <= MaxRecord {
			n.last = objects
			n.s.send(KindDelta, b)
			return
		}
	}
	b, err := encodeRecord(&collect.Record{Run: n.run, Objects: objects})
	if err == nil && len(b) <= MaxRecord {
		n.last = objects
		n.s.send(KindCounters, b)
	}
}

// execTest starts the command, streams its output and waits for its end or its deadline. Everything it
// left behind is killed, so that tests do not meet each other's daemons.
func execTest(s *sender, o Options, job *Job, t Test, run collect.Run, end *RunEnd) (*collect.Result, error) {
	if t.Folder != "" {
		if err := os.Remove(t.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err := os.Symlink(t.Folder, t.Dir); err != nil {
			return nil, err
		}
	}
	if err := os.RemoveAll(GoCoverDir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(GoCoverDir, 0o777); err != nil {
		return nil, err
	}
	os.Chmod(GoCoverDir, 0o777) // also for tests that run as somebody else
	env := append(defaultEnv(), t.Env...)
	path, err := lookPath(t.Command[0], t.Dir, env)
	if err != nil {
		return nil, err
	}
	// A session of its own, as a login would give it.
	cmd := &exec.Cmd{Path: path, Args: t.Command, Env: env, Dir: t.Dir, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	out, err := newOutput(s)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out.writers[0], out.writers[1]

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type result struct {
		res *collect.Result
		err error
	}
	done := make(chan result, 1)
	snaps := snapshots{s: s, run: run}
	go func() {
		watch := o.Watch
		if t.Unwatched {
			watch = unwatched
		}
		res, err := watch(ctx, cmd, collect.WatchOptions{
			Interval: job.SnapshotInterval,
			Plain:    t.Plain,
			Earlier:  true, // what an earlier test left pinned counts in this one: nobody else is here
			Watcher:  t.Watcher,
			Snapshot: snaps.send,
			Log:      func(format string, args ...any) { s.log(fmt.Errorf(format, args...)) },
		})
		done <- result{res, err}
	}()
	deadline := time.NewTimer(t.Deadline())
	defer deadline.Stop()
	stopReaping := reapOrphans()
	var r result
	select {
	case r = <-done:
	case <-deadline.C:
		end.TimedOut = true
		r = result{err: fmt.Errorf("the watcher did not end after the test was killed")}
		signalOthers(unix.SIGQUIT)
		select {
		case r = <-done:
		case <-time.After(killGrace):
			killOthers()
			cancel()
			select {
			case r = <-done:
			case <-time.After(Slack / 2):
			}
		}
	}
	stopReaping()
	killOthers()
	end.Dropped = out.close()
	reapAll()
	return r.res, r.err
}

// unwatched is a [WatchFunc] that only waits. Whoever ends ctx has killed everything.
func unwatched(_ context.Context, cmd *exec.Cmd, _ collect.WatchOptions) (*collect.Result, error) {
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err := cmd.Wait()
	return &collect.Result{State: cmd.ProcessState, Err: err, Duration: time.Since(start)}, nil
}

// signalOthers sends a signal to every process but PID 1, us (kill(2) with -1).
func signalOthers(sig unix.Signal) { unix.Kill(-1, sig) }

// killOthers kills what is left of a test. A process may fork while it is at it, but not for ever.
func killOthers() {
	for range 3 {
		if unix.Kill(-1, unix.SIGKILL) == unix.ESRCH {
			return
		}
	}
}

// lookPath finds the program as execvp(3) would in the test's environment and folder.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		full := name
		if !filepath.IsAbs(full) {
			full = filepath.Join("/", dir, name)
		}
		if err := executable(full); err != nil {
			return "", err
		}
		return full, nil
	}
	list := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			list = v
		}
	}
	for _, d := range filepath.SplitList(list) {
		if full := filepath.Join("/", d, name); executable(full) == nil {
			return full, nil
		}
	}
	return "", fmt.Errorf("program %s: not in the guest's PATH (%s); add it to the files of the guest", name, list)
}

func executable(name string) error {
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("program %s: not in the guest; add it to the files of the guest", name)
	case err != nil:
		return fmt.Errorf("program %w", err)
	case st.IsDir() || st.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("program %s: not executable (%v)", name, st.Mode())
	}
	return nil
}

// output streams two pipes. The write ends are files, so that waiting for the command does not wait for
// daemons that keep them open.
type output struct {
	writers [2]*os.File
	readers [2]*os.File
	wg      sync.WaitGroup
	sent    atomic.Int64
	dropped atomic.Int64
}

// outputChunk bounds one output message. 64 KiB is a full pipe.
const outputChunk = 64 << 10

func newOutput(s *sender) (*output, error) {
	o := &output{}
	for i := range o.readers {
		r, w, err := os.Pipe()
		if err != nil {
			o.close()
			return nil, err
		}
		o.readers[i], o.writers[i] = r, w
	}
	for i, kind := range []Kind{KindStdout, KindStderr} {
		o.wg.Go(func() { o.copy(s, kind, o.readers[i]) })
	}
	return o, nil
}

func (o *output) copy(s *sender, kind Kind, r io.Reader) {
	buf := make([]byte, outputChunk)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			keep := n
			if over := o.sent.Add(int64(n)) - MaxOutput; over > 0 {
				keep = int(max(0, int64(n)-over))
				o.dropped.Add(int64(n - keep))
			}
			if keep > 0 {
				if s.send(kind, append([]byte(nil), buf[:keep]...)) != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// close ends the streams after the writers are gone and returns how many bytes were dropped.
func (o *output) close() int64 {
	for i := range o.writers {
		if o.writers[i] != nil {
			o.writers[i].Close()
			o.readers[i].SetReadDeadline(time.Now().Add(drainTimeout))
		}
	}
	o.wg.Wait()
	for _, r := range o.readers {
		if r != nil {
			r.Close()
		}
	}
	return o.dropped.Load()
}
