package collect

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Watcher is a way to see what a command loads. docs/collection.md compares them.
type Watcher string

// The watchers. They differ in what they allow the command to do, and in what can be said of its programs.
const (
	// WatcherAuto is WatcherNotify, or WatcherTrace where this process is itself under a filter with a listener.
	WatcherAuto Watcher = ""
	// WatcherNotify stops loads by a seccomp filter with a listener, of which the kernel allows one.
	WatcherNotify Watcher = "notify"
	// WatcherTrace stops them by a seccomp filter and ptrace(2), of which the kernel allows one tracer.
	WatcherTrace Watcher = "trace"
	// WatcherSweep stops nothing: it looks every millisecond for programs that are new in the kernel. It takes what
	// anybody loads meanwhile for the command's, misses what lives shorter, and never knows what the
	// verifier removed or refused.
	WatcherSweep Watcher = "sweep"
)

// WatcherNames lists what [ParseWatcher] reads.
func WatcherNames() []string {
	return []string{"auto", string(WatcherNotify), string(WatcherTrace), string(WatcherSweep)}
}

// ParseWatcher returns the watcher of a name; "auto" and "" are [WatcherAuto].
func ParseWatcher(name string) (Watcher, error) {
	switch {
	case name == "" || name == "auto":
		return WatcherAuto, nil
	case slices.Contains(WatcherNames(), name):
		return Watcher(name), nil
	}
	return "", fmt.Errorf("watcher %q: want one of %s", name, strings.Join(WatcherNames(), ", "))
}

// WatchOptions are the options of [Watch]. The zero value is valid.
type WatchOptions struct {
	// Watcher is how to watch.
	Watcher Watcher
	// Snapshot, if not nil, is called with all counters about every Interval while they change.
	// Its argument is the callee's, but for the sites of flows, which must not be changed. Calls do
	// not overlap, and none happens after Watch returned.
	Snapshot func([]ObjectCounters)
	// Interval is the time between two snapshots, 1 second if 0.
	Interval time.Duration
	// Grace is how long to wait, after the command itself has ended, for the processes that it
	// left behind, 2 seconds if 0, no time if negative. Programs that these load later are not
	// seen, but their system calls go on working: see [Result.Release].
	Grace time.Duration
	// Settle is the longest time to wait for counters to stand still before they are read for
	// the last time, 300 milliseconds if 0, no time if negative.
	Settle time.Duration
	// Earlier also counts in maps that are there before the run and that no load of the run uses,
	// as a difference: an earlier run left its programs attached. It is for machines on which
	// nothing else runs instrumented programs, such as a virtual machine of one cell; elsewhere
	// it takes what others do for this run's.
	Earlier bool
	// Plain also judges loads of programs that refer to no counter map, so that what is refused with counters
	// can be compared with the same program without. Such programs have no Objects.
	Plain bool
	// TimerSlack becomes the command's (PR_SET_TIMERSLACK in prctl(2)); 0 leaves it what it is.
	TimerSlack time.Duration
	// Watching, if not nil, is called once the command has been started, with a function that reads the counters at any
	// time, from any goroutine, until Watch returns; then it returns nil. Watching must not block.
	Watching func(read func() []ObjectCounters)
	// Later, if not nil, takes over to call a function that closes the listener, when no process of the command is left. That need
	// not be done before the results are used.
	Later func(func())
	// Log, if not nil, is told what the watcher could not do, in one line each time.
	Log func(format string, args ...any)
}

// Result is what [Watch] saw of one command.
type Result struct {
	// Objects are the counters, by object id. Objects that were loaded and never ran are there
	// with counts of 0.
	Objects []ObjectCounters
	// Programs are the loads of programs that refer to a counter map, sorted by name, and with
	// WatchOptions.Plain those of all others.
	Programs []ProgramLoad
	// Loads is the number of program loads that were seen, of any program.
	Loads int
	// State is the end of the command. It is nil only when Watch returns an error.
	State *os.ProcessState
	// Err is what [os/exec.Cmd.Wait] returned: nil, an [*os/exec.ExitError], or an I/O error.
	Err error
	// Duration is the time from the start of the command to its end.
	Duration time.Duration
	// Orphans is set when processes of the command were alive when Watch returned.
	Orphans bool
	// Watcher is the one that was used.
	Watcher Watcher
	// WantedListener is set when the command asked for a seccomp listener of its own and, because of
	// the watcher's, got EBUSY. [WatcherTrace] lets it have one.
	WantedListener bool

	release func() error
}

// Release lets go of the processes that outlived the command (Orphans). Until it is called, or the
// calling process ends, a goroutine answers for their bpf(2) calls. Release moves that duty to a small
// process of its own, which ends with the last of them; without it, their program loads, attaches
// and pins would fail with ENOSYS once the calling process is gone. A process that never ends, such
// as PID 1 of a virtual machine, need not call it.
func (r *Result) Release() error {
	if r.release == nil {
		return nil
	}
	return r.release()
}
