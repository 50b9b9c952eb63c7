//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect/internal/bpfsys"
	"github.com/bpfcov/bpfcov/collect/internal/notify"
	"github.com/bpfcov/bpfcov/collect/liveness"
)

// MaybeShim must be the first call in main (or TestMain) of every program that calls [Watch]. Watch
// starts the program a second time, under a name that MaybeShim recognises: there it installs the
// filter and becomes the command, and never returns. Otherwise it returns at once.
func MaybeShim() { notify.Main() }

// HostCell returns the cell of the running kernel.
func HostCell() (Cell, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Cell{}, fmt.Errorf("uname: %w", err)
	}
	return Cell{Kernel: unix.ByteSliceToString(u.Release[:]), Arch: runtime.GOARCH, Spec: "host", Accel: "host"}, nil
}

// Watch starts cmd, watches the BPF programs that it and all processes below it load, waits for its
// end, and returns what it saw. cmd is started and waited for by Watch, and otherwise as by
// [os/exec.Cmd.Run]: a command that fails is no error, see [Result].Err. When ctx ends, the command
// is killed (by cmd.Cancel, if set).
//
// The calling process needs CAP_SYS_ADMIN, and its main must call [MaybeShim].
func Watch(ctx context.Context, cmd *exec.Cmd, o WatchOptions) (*Result, error) {
	w := newWatcher(o)
	defer w.table.close()
	memlock, restore := raiseMemlock()
	defer restore()
	start := time.Now()
	l, kind, err := startUnder(o.Watcher, cmd, notify.Inherit{Memlock: memlock, TimerSlack: o.TimerSlack})
	if err != nil {
		return nil, err
	}
	w.l, w.always = l, kind == WatcherSweep

	listening, working := make(chan notify.Event, 1), make(chan struct{})
	go func() { listening <- w.listen() }()
	go func() { w.work(); close(working) }()
	stopSnapshots, stopFlushes := w.snapshots(), w.flushes()
	defer w.stopReading()
	if o.Watching != nil {
		o.Watching(w.read)
	}

	stopKill := context.AfterFunc(ctx, func() {
		if cmd.Cancel != nil {
			cmd.Cancel()
			return
		}
		cmd.Process.Kill()
	})
	waitErr := cmd.Wait()
	stopKill()
	res := &Result{State: cmd.ProcessState, Err: waitErr, Duration: time.Since(start), Watcher: kind}
	if s, ok := l.(*notify.Sweeper); ok {
		s.End()
	}

	res.Orphans = !w.drain(listening)
	stopFlushes()
	w.stopRecognising()
	w.finish(working)
	stopSnapshots()
	res.Objects, res.Programs = w.settle(), w.programs()
	w.mu.Lock()
	res.Loads, res.WantedListener = w.total, w.wanted
	w.mu.Unlock()
	if !res.Orphans {
		if o.Later != nil {
			o.Later(l.Close)
		} else {
			l.Close()
		}
		return res, nil
	}
	// Answer for the processes that are left, until somebody else does.
	l.Restart()
	drained := make(chan struct{})
	go func() { l.Drain(); close(drained) }()
	res.release = sync.OnceValue(func() error {
		l.Stop()
		<-drained
		return l.HandOver()
	})
	return res, nil
}

// Prepare does ahead of time what the next [Watch] with a listener does before it starts its command, which then starts
// sooner: it makes a thread with the filter, which waits for that. The filter acts on nothing but the command.
func Prepare() error { return notify.Prepare() }

// startUnder starts cmd under a watcher.
func startUnder(kind Watcher, cmd *exec.Cmd, in notify.Inherit) (notify.Source, Watcher, error) {
	switch kind {
	case WatcherAuto, WatcherNotify:
		l, err := notify.Start(cmd, in)
		switch {
		case err == nil:
			return l, WatcherNotify, nil
		case !errors.Is(err, notify.ErrBusy):
			return nil, "", err
		case kind == WatcherNotify:
			return nil, "", fmt.Errorf("watch %s: %w: run it outside of the other one, or with the watcher \"trace\"", cmd.Path, ErrListener)
		}
		fallthrough
	case WatcherTrace:
		t, err := notify.StartTraced(cmd, in)
		if errors.Is(err, notify.ErrNoTrace) {
			err = fmt.Errorf("watch %s: %w; the watcher \"sweep\" needs no tracer", cmd.Path, err)
		}
		return t, WatcherTrace, err
	case WatcherSweep:
		s, err := notify.StartPlain(cmd, in)
		return s, WatcherSweep, err
	}
	_, err := ParseWatcher(string(kind))
	return nil, "", err
}

// watcher is the state of one Watch. The listening goroutine owns l and procs.
type watcher struct {
	o     WatchOptions
	order binary.ByteOrder
	l     notify.Source
	procs processes
	table *mapTable
	jobs  chan *load

	attr, insns, shaped, license []byte // buffers of the listening goroutine
	refs                         []liveness.Ref
	streams                      map[uint64]*stream // by shape; of the listening goroutine too
	later                        later
	recognising                  sync.Mutex // held until what a recognised load refers to is in later

	reading sync.Mutex // held while counters are read
	closed  bool       // nothing can be read any more; guarded by reading

	scanning sync.Mutex // held while lastProg moves
	lastProg uint32
	firstMap uint32 // maps with ids above it are of this run

	chases     sync.WaitGroup
	chaseUntil atomic.Int64 // nanoseconds of Unix time

	mu        sync.Mutex // guards what follows, and the loads
	loads     map[uint64]*load
	loadOrder []*load
	pending   []*load // without a program of the loader's own
	total     int
	sweeping  bool
	sweeps    int
	seen      map[uint32]bool // programs that were inspected while sweeping
	always    bool            // sweeping, from beginning to end
	wanted    bool            // the command asked for a listener of its own
	ended     time.Time       // of the command; zero while it runs
	changed   bool
}

func newWatcher(o WatchOptions) *watcher {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Interval, time.Second)
	def(&o.Grace, 2*time.Second)
	def(&o.Settle, 300*time.Millisecond)
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	w := &watcher{o: o, order: bpfsys.NativeOrder(), jobs: make(chan *load, 4096),
		loads: map[uint64]*load{}, seen: map[uint32]bool{}, attr: make([]byte, bpfsys.LoadAttrSize), license: make([]byte, licenseStep), streams: map[uint64]*stream{},
		later: later{ready: make(chan struct{}, 1)}}
	w.table = newMapTable(w.order, o.Earlier)
	w.firstMap = w.table.newer
	w.earlierPrograms()
	return w
}

// Read returns the counters of all counter maps on the running kernel, whoever made them, summed by object. States and flows are
// empty: how programs were loaded is not known. It needs CAP_SYS_ADMIN.
func Read() ([]ObjectCounters, error) {
	if err := bpfsys.CanList(); err != nil {
		return nil, fmt.Errorf("read the counters of the running kernel: %w", err)
	}
	t := newMapTable(bpfsys.NativeOrder(), true)
	defer t.close()
	for _, m := range t.snapshot() {
		m.before, m.base = false, nil
	}
	return t.read(), nil
}

// read is for the function of WatchOptions.Watching.
func (w *watcher) read() []ObjectCounters {
	w.scan()
	w.recognising.Lock() // what a loader that has gone on refers to is in later then
	w.recognising.Unlock()
	return cloneObjects(w.objects())
}

func (w *watcher) stopReading() {
	w.reading.Lock()
	defer w.reading.Unlock()
	w.closed = true
}

// earlierPrograms passes over the programs that are loaded already. Those that count in maps from
// before the run show which of their counters are live.
func (w *watcher) earlierPrograms() {
	held := w.table.snapshot()
	for id, ok := bpfsys.NextProgID(0); ok; id, ok = bpfsys.NextProgID(id) {
		w.lastProg = id
		if len(held) == 0 {
			continue
		}
		fd, err := bpfsys.OpenProg(id)
		if err != nil {
			continue
		}
		info, err := bpfsys.PeekProg(fd)
		if err == nil && slices.ContainsFunc(held, func(m *counterMap) bool { return slices.Contains(info.MapIDs, m.id) }) {
			if info, err = bpfsys.GetProg(fd); err == nil {
				w.found(info, StateNotLoaded)
			}
		}
		bpfsys.Close(fd)
	}
}

// listen handles calls until no process is left or it is stopped. If the listener fails it is closed:
// calls then fail, which is better than processes that wait for ever.
func (w *watcher) listen() notify.Event {
	defer w.procs.close()
	for {
		var c notify.Call
		ev, err := w.l.Next(&c, w.listenTimeout())
		switch {
		case err != nil:
			w.o.Log("watching ends early: %v", err)
			return notify.EventHangup
		case ev == notify.EventTimeout:
			w.flush()
			w.scan()
		case ev == notify.EventCall:
			w.call(&c)
		default:
			return ev
		}
	}
}

// sweepInterval is how often, in milliseconds, to look for programs that are loaded from inside the kernel:
// never unless there is a loader for it, and often at first.
func (w *watcher) sweepInterval() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.always:
		w.sweeping = true
		return 1
	case !w.sweeping:
		return -1
	case w.sweeps < 500:
		w.sweeps++
		return 1
	}
	return 10
}

// call handles one call and lets it go on. Whatever a process hands to the kernel, the others must not
// suffer from it.
func (w *watcher) call(c *notify.Call) {
	defer func() {
		if r := recover(); r != nil {
			w.l.Continue(c.ID)
			w.o.Log("a call of thread %d was not understood: %v", c.TID, r)
		}
	}()
	if c.Cmd == notify.OwnListener {
		w.ownListener()
		w.l.Continue(c.ID)
		return
	}
	w.mu.Lock()
	waiting := len(w.pending) > 0 || w.sweeping
	w.mu.Unlock()
	if waiting {
		w.scan() // the thread stands still: what it loaded before is there now
		w.mu.Lock()
		for _, l := range w.pending {
			l.returned = l.returned || l.tid == c.TID
		}
		w.mu.Unlock()
	}
	if c.Cmd == notify.ProgLoad {
		w.progLoad(c)
		return
	}
	w.l.Continue(c.ID)
}

// ownListener notes that the command asks for a seccomp listener, which it gets from a tracer only.
func (w *watcher) ownListener() {
	if _, ok := w.l.(*notify.Listener); !ok {
		return
	}
	w.mu.Lock()
	first := !w.wanted
	w.wanted = true
	w.mu.Unlock()
	if first {
		w.o.Log("the command asks for a seccomp listener of its own, and the kernel allows one: the watcher \"trace\" leaves it to the command")
	}
}

// drain waits for the processes that outlive the command, and reports whether none is left.
func (w *watcher) drain(listening <-chan notify.Event) bool {
	if w.o.Grace > 0 {
		select {
		case ev := <-listening:
			return ev == notify.EventHangup
		case <-time.After(w.o.Grace):
		}
	}
	w.l.Stop()
	return <-listening == notify.EventHangup
}

// finish waits for the verdicts that are outstanding.
func (w *watcher) finish(working <-chan struct{}) {
	w.chaseUntil.Store(0)
	w.chases.Wait()
	w.scan()
	w.mu.Lock()
	w.ended = time.Now()
	w.mu.Unlock()
	close(w.jobs)
	select {
	case <-working:
	case <-time.After(time.Minute):
		w.o.Log("repeating program loads takes too long; some verdicts remain unknown")
	}
	// Whatever turned up late overrules a repetition.
	w.scan()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.loadOrder {
		if l.actual != nil && l.verdict.Verdict != VerdictOK && !l.busy {
			l.decide(w.verdictOf(l, l.actual))
		}
	}
}

// settle reads the counters until they stand still.
func (w *watcher) settle() []ObjectCounters {
	deadline, pause := time.Now().Add(w.o.Settle), max(0, min(10*time.Millisecond, w.o.Settle))
	if w.table.many(fewHeld) {
		// Most of them cannot count any more, and one reading will do, once what ran at the end has ended.
		time.Sleep(pause)
		w.retire()
	}
	objects := w.objects()
	for len(objects) > 0 && time.Now().Before(deadline) {
		time.Sleep(pause)
		again := w.objects()
		same := sameCounters(objects, again)
		objects = again
		if same {
			break
		}
	}
	return objects
}

func (w *watcher) retire() {
	w.reading.Lock()
	defer w.reading.Unlock()
	w.recognising.Lock()
	defer w.recognising.Unlock()
	w.flush() // who loads with a map is known then
	w.table.retire()
}

// snapshots calls the option's function while counters change, until the returned function is called.
// It also keeps the number of open maps in bounds.
func (w *watcher) snapshots() (stop func()) {
	var mu sync.Mutex // guards what follows; held during a snapshot
	var last []ObjectCounters
	var timer *time.Timer
	stopped := false
	snapshot := func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		last = w.snapshot(last)
		timer.Reset(w.o.Interval)
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(w.o.Interval, snapshot)
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		stopped = true
	}
}

// snapshot calls the option's function if counters are not as they were last, and returns what they are now.
func (w *watcher) snapshot(last []ObjectCounters) []ObjectCounters {
	if w.table.many(maxHeld) {
		w.retire()
	}
	if w.o.Snapshot == nil {
		return nil
	}
	w.mu.Lock()
	changed := w.changed
	w.changed = false
	w.mu.Unlock()
	now := w.objects()
	if !changed && sameCounters(last, now) {
		return last
	}
	w.o.Snapshot(cloneObjects(now))
	return now
}

// raiseMemlock lets this process load programs again on kernels before 5.11, which count them against
// the limit of locked memory. The command is to have the limit that it would have had.
func raiseMemlock() (was *unix.Rlimit, restore func()) {
	var old unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old) != nil || old.Cur == unix.RLIM_INFINITY {
		return nil, func() {}
	}
	if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}) != nil {
		return nil, func() {}
	}
	return &old, func() { unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old) }
}
