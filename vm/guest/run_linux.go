package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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
	tidyUp()
	if t.Folder != "" {
		if err := os.Remove(t.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err := os.Symlink(t.Folder, t.Dir); err != nil {
			return nil, err
		}
	}
	if err := freshCoverDir(); err != nil {
		return nil, err
	}
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
	out, err := takeOutput(s)
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = out.stdin, out.writers[0], out.writers[1]

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type result struct {
		res   *collect.Result
		err   error
		later func() // nil if there is nothing left over
	}
	done := make(chan result, 1)
	waitForConsole := lateConsole()
	snaps := snapshots{s: s, run: run}
	inBackground(func() {
		watch := o.Watch
		if t.Unwatched {
			watch = unwatched
		}
		var r result
		r.res, r.err = watch(ctx, cmd, collect.WatchOptions{
			Interval: job.SnapshotInterval,
			Plain:    t.Plain,
			Earlier:  true, // what an earlier test left pinned counts in this one: nobody else is here
			Watcher:  t.Watcher,
			Snapshot: snaps.send,
			Log:      func(format string, args ...any) { s.log(fmt.Errorf(format, args...)) },

			TimerSlack: testSlack,
			Later:      func(f func()) { r.later = f },
		})
		done <- r
	})
	tick := time.NewTicker(reapInterval) // one timer for the deadline and for orphans
	defer tick.Stop()
	var r result
	var dead reaper
	ended := false
	for deadline := time.Now().Add(t.Deadline()); !ended && !end.TimedOut; {
		select {
		case r = <-done:
			ended = true
		case now := <-tick.C:
			end.TimedOut = now.After(deadline)
			dead.look()
		}
	}
	if end.TimedOut {
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
	if r.res == nil && r.err != nil && !end.TimedOut {
		if err := executable(path); err != nil {
			r.err = err // says more than "no such file or directory"
		}
	}
	leftOver = r.later
	killOthers()
	end.Dropped = out.close()
	dead.wait()
	reapAll()
	waitForConsole()
	return r.res, r.err
}

// leftOver is what the watcher of the last test left to be done, or nil. It takes some 200 blocks of code, which a resumed guest
// would run for the first time before its host has the results.
var leftOver func()

// tidyUp does what is left over.
func tidyUp() {
	if leftOver != nil {
		leftOver()
		leftOver = nil
	}
}

// background hands functions to goroutines that wait for one.
var background = make(chan func())

// inBackground calls f in a goroutine, one that has done so before if there is one: its stack has grown already, which is code that
// a resumed guest then need not run. To copy a stack takes Go 400 blocks of it.
func inBackground(f func()) {
	select {
	case background <- f:
	default:
		go func() {
			for {
				f()
				f = <-background
			}
		}()
	}
}

// unwatched is a [WatchFunc] that only waits. Whoever ends ctx has killed everything.
func unwatched(_ context.Context, cmd *exec.Cmd, _ collect.WatchOptions) (*collect.Result, error) {
	start := time.Now()
	if err := startPlain(cmd); err != nil {
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

// lookPath finds the program as execvp(3) would in the test's environment and folder. That a program with a folder in its name is there
// shows when it is started.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return name, nil
	}
	if strings.Contains(name, "/") {
		return filepath.Join("/", dir, name), nil
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
	var st unix.Stat_t
	switch err := unix.Stat(name, &st); {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return fmt.Errorf("program %s: not in the guest; add it to the files of the guest", name)
	case err != nil:
		return fmt.Errorf("program %s: %w", name, err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR || st.Mode&0o111 == 0:
		return fmt.Errorf("program %s: not executable (mode %#o)", name, st.Mode)
	}
	return nil
}

// output streams two pipes. The write ends are files, so that waiting for the command does not wait for
// daemons that keep them open. One goroutine reads both, with poll(2) and not with the runtime's poller; see readSmall.
type output struct {
	stdin   *os.File // /dev/null; os/exec would open it with package os
	writers [2]*os.File
	readers [2]int                 // -1 when it has ended
	to      atomic.Pointer[sender] // set before anything can write
	until   atomic.Int64           // Unix nanoseconds; 0 until close
	done    chan struct{}          // closed when both have ended
	sent    int
	dropped int64
}

// outputChunk bounds one output message. 64 KiB is a full pipe.
const outputChunk = 64 << 10

// spare is an output that was made ahead of time: a saved guest has one for the first test.
var spare *output

func newOutput() (*output, error) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	o := &output{stdin: os.NewFile(uintptr(null), os.DevNull), readers: [2]int{-1, -1}, done: make(chan struct{})}
	for i, name := range []string{"stdout", "stderr"} {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			o.stdin.Close()
			if i > 0 {
				unix.Close(o.readers[0])
				o.writers[0].Close()
			}
			return nil, fmt.Errorf("pipe for %s: %w", name, err)
		}
		o.readers[i], o.writers[i] = p[0], os.NewFile(uintptr(p[1]), name)
	}
	go o.copy()
	return o, nil
}

// takeOutput returns an output whose messages go to s.
func takeOutput(s *sender) (o *output, err error) {
	if o, spare = spare, nil; o == nil {
		if o, err = newOutput(); err != nil {
			return nil, err
		}
	}
	o.to.Store(s)
	return o, nil
}

// copy reads until both pipes have no writer, or drainTimeout after close.
func (o *output) copy() {
	defer close(o.done)
	const tick = time.Second // how soon it sees that it is to end though somebody keeps a pipe open
	buf := make([]byte, outputChunk)
	for {
		if t := o.until.Load(); t != 0 && time.Now().UnixNano() > t {
			return
		}
		fds := make([]unix.PollFd, 0, 2)
		for _, fd := range o.readers {
			if fd >= 0 {
				fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
			}
		}
		if len(fds) == 0 {
			return
		}
		if _, err := unix.Poll(fds, int(tick.Milliseconds())); err == unix.EINTR {
			continue
		} else if err != nil {
			return
		}
		for _, p := range fds {
			if p.Revents != 0 && !o.take(int(p.Fd), buf) {
				return
			}
		}
	}
}

// take sends what a pipe holds. It returns false when the port failed.
func (o *output) take(fd int, buf []byte) bool {
	i := slices.Index(o.readers[:], fd)
	n, err := unix.Read(fd, buf)
	switch {
	case err == unix.EINTR:
		return true
	case n <= 0: // the end
		unix.Close(fd)
		o.readers[i] = -1
		return true
	}
	keep := max(0, min(n, MaxOutput-o.sent))
	o.sent += n
	o.dropped += int64(n - keep)
	if keep == 0 {
		return true
	}
	return o.to.Load().send([]Kind{KindStdout, KindStderr}[i], buf[:keep]) == nil
}

// close ends the streams after the writers are gone and returns how many bytes were dropped.
func (o *output) close() int64 {
	for _, f := range []*os.File{o.stdin, o.writers[0], o.writers[1]} {
		f.Close()
	}
	o.until.Store(time.Now().Add(drainTimeout).UnixNano())
	<-o.done
	for _, fd := range o.readers {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	return o.dropped
}

// freshCoverDir makes an empty GoCoverDir.
func freshCoverDir() error {
	empty, err := emptyDir(GoCoverDir)
	if empty {
		return nil
	}
	if err != unix.ENOENT {
		if err := os.RemoveAll(GoCoverDir); err != nil {
			return err
		}
	}
	defer unix.Umask(unix.Umask(0)) // also for tests that run as somebody else
	if err := unix.Mkdir(GoCoverDir, 0o777); err != nil {
		return &os.PathError{Op: "mkdir", Path: GoCoverDir, Err: err}
	}
	return nil
}

// lateConsole returns a function that waits, where the kernel has said something since, until its console has passed it on: what
// it says during a test is not to be taken for what it says during the next, nor to be lost with the machine. That of s390x keeps
// text back for a tenth of a second (sclp_console_write in drivers/s390/char/sclp_con.c); others do not.
func lateConsole() (wait func()) {
	if runtime.GOARCH != "s390x" {
		return func() {}
	}
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Seek(fd, 0, unix.SEEK_END)
	}
	return func() {
		said := err != nil
		if !said { // EAGAIN: nothing behind the last record (Documentation/ABI/testing/dev-kmsg)
			_, e := unix.Read(fd, make([]byte, 8192))
			said = e != unix.EAGAIN
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		if said {
			time.Sleep(150 * time.Millisecond)
		}
	}
}
