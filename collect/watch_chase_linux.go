//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect/internal/bpfsys"
	"github.com/bpfcov/bpfcov/collect/internal/notify"
)

// A loader program (BPF_PROG_TYPE_SYSCALL) makes its maps, gives them their first values, and then loads programs, all inside the
// kernel and in one call of the loader, which may run the programs and end soon after. The verifier takes a tenth of a
// millisecond for the smallest program: who looks for new maps more often than that, holds them before anything
// counted in them.

const (
	// chaseTime is how long to look for maps after a loader program was loaded.
	chaseTime = 200 * time.Millisecond
	// chasePause is the least time between two looks.
	chasePause = 20 * time.Microsecond
	// chaseMaps bounds the maps whose first value is awaited.
	chaseMaps = 64
)

// chase looks for maps with counters and for programs until the time that is set, on a thread of its own that runs
// before all others.
func (w *watcher) chase(from chaseStart) {
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	// Without the privilege, or with one processor, it is looked for less often on a busy machine.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	programs := make(chan int, 1024)
	inspected := make(chan struct{})
	go func() {
		defer close(inspected)
		for fd := range programs {
			w.inspect(fd)
			bpfsys.Close(fd)
		}
	}()
	defer func() {
		close(programs)
		<-inspected
		w.chases.Done()
	}()
	alone := runtime.GOMAXPROCS(0) == 1
	lastMap, lastProg := from.maps, from.programs
	var empty []uint32 // new maps that had no counters
	// In this loop nothing waits for other goroutines, but for short looks at the table of maps.
	for {
		look := time.Now()
		if look.UnixNano() >= w.chaseUntil.Load() {
			return
		}
		empty = slices.DeleteFunc(empty, func(id uint32) bool { return !w.awaitValue(id) })
		for {
			id, ok := bpfsys.NextMapID(lastMap)
			if !ok {
				break
			}
			if lastMap = id; w.awaitValue(id) && len(empty) < chaseMaps {
				empty = append(empty, id)
			}
		}
		for {
			id, ok := bpfsys.NextProgID(lastProg)
			if !ok {
				break
			}
			lastProg = id
			fd, err := bpfsys.OpenProg(id)
			if err != nil {
				continue // gone already
			}
			select {
			case programs <- fd:
			default: // what it updates is unknown
				bpfsys.Close(fd)
			}
		}
		pause := unix.NsecToTimespec(int64(max(chasePause, 4*time.Since(look)))) // the others have the most of a slow processor
		if alone {
			_ = unix.Nanosleep(&pause, nil)
		} else { // not to wait for a place in the Go scheduler
			_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
		}
	}
}

// chaseStart is what there is before a loader program runs: what has larger ids is new.
type chaseStart struct{ maps, programs uint32 }

// loaderProgram is called while the loader of a loader program is stopped.
func (w *watcher) loaderProgram() {
	w.mu.Lock()
	w.sweeping, w.sweeps = true, 0
	w.mu.Unlock()
	if t, ok := w.l.(*notify.Tracer); ok {
		t.Follow()
		return
	}
	w.scanning.Lock()
	from := chaseStart{w.firstMap, w.lastProg}
	w.scanning.Unlock()
	for id, ok := bpfsys.NextMapID(from.maps); ok; id, ok = bpfsys.NextMapID(id) {
		from.maps = id
	}
	now := time.Now()
	// Shortly before its end it might miss the new time: two are no harm.
	running := w.chaseUntil.Swap(now.Add(chaseTime).UnixNano()) > now.Add(chaseTime/2).UnixNano()
	if !running {
		w.chases.Add(1)
		go w.chase(from)
	}
}

// awaitValue holds the map if it has counters, and reports whether it may yet get some.
func (w *watcher) awaitValue(id uint32) bool {
	fd, err := bpfsys.OpenMap(id)
	if err != nil {
		return false
	}
	info, err := bpfsys.GetMapInfo(fd)
	if err != nil || !info.IsData() || info.ReadOnly() || int(info.ValueSize) < blockHeader {
		bpfsys.Close(fd)
		return false
	}
	value := make([]byte, info.ValueSize)
	if bpfsys.LookupFirst(fd, value) != nil || len(ParseBlocks(value, w.order)) == 0 {
		bpfsys.Close(fd)
		return true
	}
	m, _, taken := w.table.adopt(fd, info, nil)
	if m != nil {
		m.chased.Store(true)
	}
	if !taken {
		bpfsys.Close(fd)
	}
	return false
}

// unexplained raises the states of counters in maps that a loader program made and of which no program was seen: one may have updated
// any of them.
func (w *watcher) unexplained(o *ObjectCounters) {
	for _, m := range w.table.snapshot() {
		if !m.chased.Load() || slices.ContainsFunc(w.loadOrder, func(l *load) bool { return slices.Contains(l.maps, m) }) {
			continue
		}
		for i := range m.blocks {
			if b := &m.blocks[i]; b.ObjectID == o.ObjectID && b.N == len(o.States) {
				for i := range o.States {
					o.States[i] = max(o.States[i], StateUnknown)
				}
			}
		}
	}
}
