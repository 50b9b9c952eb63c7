//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect/internal/bpfsys"
	"github.com/bpfcov/bpfcov/collect/liveness"
)

// How a verdict is established. The truth is the loader's own program: programs appear in the kernel's
// list under increasing ids, and one with the name, type and counter maps of a load that was seen is
// that load's. The list is read while a load is awaited, and whenever the loader stops at its next
// call. Nothing else is certain, for a loader may load, use and close a program faster than anybody can
// look: then the load is repeated from the copy. When the repeated load succeeds, so did that of a loader
// with the same capabilities; when it fails for a reason that is not this process's own, so did the loader's, and the errno and the
// log are those of the repetition. A program of the loader that turns up after all overrules that.

// verdict is what came of a load.
type verdict struct {
	Verdict       Verdict
	Errno, Reason string
	Log, Full     string
	Stats         string
	Class         Class
	Verified      int
	Xlated, Jited int
	// known is set when the instructions after the verifier could be read.
	known bool
	after *liveness.Result
}

// addStats takes over what the verifier counted, at the end of its log.
func (v *verdict) addStats(log string) {
	v.Stats, v.Verified = tailOf(log, keepStats), cmp.Or(v.Verified, processed(log))
}

// decide sets the verdict.
func (l *load) decide(v verdict) { l.verdict, l.toldFlows = v, nil }

const (
	// patience is how long to look for the loader's own program before the load is repeated.
	patience = 50 * time.Millisecond
	// statsPatience is how long after the command's end loads are repeated for statistics alone.
	statsPatience = 2 * time.Second
	// statsInsns is how many instructions the verifier may have processed for a program to be loaded once more for nothing but statistics:
	// less than a second of an emulated processor.
	statsInsns = 10000
	// keepStats is how much of the statistics is kept.
	keepStats = 1 << 10
	// statsLog holds the verifier's three lines of statistics.
	statsLog = 16 << 10
	// Sizes of the log of a refused load: the first, and the largest that every kernel accepts.
	firstLog, lastLog = 256 << 10, 16<<20 - 1
	// keepLog is how much of the end of a log is kept.
	keepLog = 8 << 10
	// fullLog is how much goes into a file of its own, and fullLogs how much of all programs of a run together.
	fullLog, fullLogs = 1 << 20, 16 << 20
)

// scan looks at programs that are new in the kernel, and matches them with loads that were seen.
func (w *watcher) scan() {
	w.scanning.Lock()
	defer w.scanning.Unlock()
	for {
		id, ok := bpfsys.NextProgID(w.lastProg)
		if !ok {
			return
		}
		w.lastProg = id
		fd, err := bpfsys.OpenProg(id)
		if err != nil {
			continue // gone already
		}
		w.inspect(fd)
		bpfsys.Close(fd)
	}
}

func (w *watcher) inspect(fd int) {
	info, err := bpfsys.PeekProg(fd)
	if err != nil {
		return
	}
	w.mu.Lock()
	l, sweeping := w.match(info), w.sweeping && !w.seen[info.ID]
	if sweeping {
		w.seen[info.ID] = true
	}
	w.mu.Unlock()
	if l == nil && !sweeping {
		return
	}
	if l == nil {
		w.sweepMaps(info)
	}
	if full, err := bpfsys.GetProg(fd); err == nil {
		info = full
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l == nil {
		w.found(info, StateUnknown)
		return
	}
	l.actual = info
	w.forget(l)
}

// match returns the load that a new program may be the result of.
func (w *watcher) match(info *bpfsys.ProgInfo) *load {
	for _, l := range w.pending {
		if l.typ != info.Type || l.name != info.Name {
			continue
		}
		if !slices.ContainsFunc(l.maps, func(m *counterMap) bool { return !slices.Contains(info.MapIDs, m.id) }) {
			return l
		}
	}
	return nil
}

// sweepMaps takes the counter maps of a program whose load was not seen, because it was loaded from
// inside the kernel.
func (w *watcher) sweepMaps(info *bpfsys.ProgInfo) {
	for _, id := range info.MapIDs {
		if id > w.firstMap {
			w.table.adoptID(id)
		}
	}
}

// found adds a program that was loaded without a load being seen. Counters that it does not update get
// the state rest.
func (w *watcher) found(info *bpfsys.ProgInfo, rest CounterState) {
	l := &load{name: info.Name, typ: info.Type, loads: 1, unseen: true, rest: rest, actual: info}
	for _, m := range w.table.snapshot() {
		if slices.Contains(info.MapIDs, m.id) {
			l.maps = append(l.maps, m)
		}
	}
	if len(l.maps) == 0 {
		return
	}
	l.decide(w.verdictOf(l, info))
	w.loadOrder = append(w.loadOrder, l)
}

// work judges loads one after the other. From the first one on it has a thread of its own, of low priority: repeating a
// load must not take the machine away from the command.
func (w *watcher) work() {
	l, ok := <-w.jobs
	if !ok {
		return
	}
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
	for ; ok; l, ok = <-w.jobs {
		w.judge(l)
	}
}

func (w *watcher) judge(l *load) {
	w.await(l)
	before := w.analyzeBefore(l)
	w.mu.Lock()
	l.before, l.given, l.refs, l.toldFlows = before, nil, nil, nil
	actual := l.actual
	late := !w.ended.IsZero() && time.Since(w.ended) > statsPatience
	w.mu.Unlock()

	var v verdict
	switch {
	case actual != nil:
		v = w.verdictOf(l, actual)
		if v.Verified <= statsInsns && l.repeat != nil && !late { // 0 before Linux 5.16
			if fd, log, err := l.repeat.Do(bpfsys.LogStats, statsLog); err == nil {
				bpfsys.Close(fd)
				v.addStats(log)
			}
		}
	case l.repeat != nil:
		v = w.repeat(l)
	default:
		v = verdict{Verdict: VerdictUnknown, Reason: "the load could not be repeated: " + l.noRepeat}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l.closeFDs()
	l.decide(v)
	l.repeat, l.busy = nil, false
	if v.Verdict == VerdictOK { // nothing that turns up later says more
		w.forget(l)
	}
	w.changed = true
}

// forget ends the search for a load's own program.
func (w *watcher) forget(l *load) {
	w.pending = slices.DeleteFunc(w.pending, func(p *load) bool { return p == l })
}

// await waits for the loader's own program for a while.
func (w *watcher) await(l *load) {
	deadline := time.Now().Add(patience)
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, 5*time.Millisecond) {
		w.scan()
		w.mu.Lock()
		done := l.actual != nil || l.returned
		w.mu.Unlock()
		if done || time.Now().After(deadline) {
			return
		}
		if !l.proc.alive() {
			w.scan() // it may be pinned or attached
			return
		}
		time.Sleep(wait)
	}
}

// verdictOf describes a load that succeeded by its program, or by that of its repetition.
func (w *watcher) verdictOf(l *load, info *bpfsys.ProgInfo) verdict {
	v := verdict{Verdict: VerdictOK, Verified: info.Verified, Xlated: info.Xlated, Jited: info.Jited}
	if len(info.Insns) == 0 {
		return v
	}
	after, err := liveness.Analyze(liveness.Program{Insns: info.Insns, Order: w.order, Throws: l.throws, Map: func(r liveness.Ref) (uint32, bool) {
		n := slices.IndexFunc(l.maps, func(m *counterMap) bool { return m.id == uint32(r.Imm) })
		return uint32(n), n >= 0
	}})
	if err == nil {
		v.after, v.known = after, true
	}
	return v
}

// throwID is that of bpf_throw (Linux 6.7) in the kernel's BTF.
var throwID = sync.OnceValues(func() (int32, error) { return bpfsys.KernelFunc("bpf_throw") })

// isThrow reports whether a kernel function is bpf_throw, or could be.
func isThrow(id int32) bool {
	throw, err := throwID()
	return err != nil || id == throw
}

func (w *watcher) analyzeBefore(l *load) *liveness.Result {
	l.throws = liveness.CallsKernel(l.given, w.order, isThrow)
	before, err := liveness.Analyze(liveness.Program{Insns: l.given, Order: w.order, Throws: l.throws, Map: func(r liveness.Ref) (uint32, bool) {
		n, ok := l.refs[r.Index]
		return uint32(n), ok
	}})
	if err != nil {
		return &liveness.Result{}
	}
	return before
}

// repeat loads the program once more, and once more with a log when that fails.
func (w *watcher) repeat(l *load) verdict {
	fd, log, err := l.repeat.Do(bpfsys.LogStats, statsLog)
	if err == nil {
		v := verdict{Verdict: VerdictOK}
		info, ierr := bpfsys.GetProg(fd)
		bpfsys.Close(fd)
		if ierr == nil { // the repeated program refers to the same maps as the loader's
			v = w.verdictOf(l, info)
		}
		v.addStats(log)
		if !l.proc.privileged {
			return verdict{Verdict: VerdictUnknown, Reason: "it loads with all capabilities, of which the loader has few"}
		}
		return v
	}
	errno := errnoName(err)
	if ours(err) {
		return verdict{Verdict: VerdictUnknown, Reason: "repeating the load: " + errno}
	}
	v := verdict{Verdict: VerdictRejected, Errno: errno}
	v.addStats(log)
	for size := firstLog; ; size = min(4*size, lastLog) {
		// Without statistics, which newer kernels put last, in ever more lines.
		fd, full, err := l.repeat.Do(bpfsys.LogBranches, size)
		if err == nil { // it depends on something that has changed meanwhile
			bpfsys.Close(fd)
			return verdict{Verdict: VerdictUnknown, Reason: "refused with " + errno + " once, and accepted later"}
		}
		if full != "" {
			log = full
		}
		if !errors.Is(err, unix.ENOSPC) || size == lastLog {
			break
		}
	}
	v.Log, v.Full, v.Reason = tailOf(log, keepLog), tailOf(log, fullLog), tellingLine(log)
	if n := processed(log); n > 0 {
		v.Verified = n
	}
	v.Class, v.Reason = classify(v.Errno, v.Reason, v.Verified)
	return v
}

// ours reports whether an error of a repeated load says nothing about the loader's.
func ours(err error) bool {
	for _, e := range []error{unix.EBADF, unix.EFAULT, unix.EAGAIN, unix.EINTR, unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func errnoName(err error) string {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	if errno == 524 { // the kernel's own, which user space never names
		return "ENOTSUPP"
	}
	if n := unix.ErrnoName(errno); n != "" {
		return n
	}
	return strings.ReplaceAll(errno.Error(), " ", "-")
}
