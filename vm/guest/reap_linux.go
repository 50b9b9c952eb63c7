package guest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	reapInterval = 300 * time.Millisecond
	// reapSightings is how often a zombie must be seen before it is reaped. Those of commands that somebody waits
	// for are gone much sooner, and must not be taken from him.
	reapSightings = 3
)

// reaper reaps what loses its parent while a test runs, as is the duty of PID 1. wait4(2) cannot be asked for orphans only, hence the
// patience: an orphan stays a zombie for about a second.
type reaper struct {
	looking sync.Mutex
	seen    map[int]int // the dead children of PID 1, and how often they were seen
}

// look looks once, in a goroutine of its own: to read /proc takes memory, for which a guest that a test has filled waits without
// end, and the test's deadline must not. It is to be called every reapInterval.
func (r *reaper) look() {
	if !r.looking.TryLock() {
		return
	}
	go func() {
		defer r.looking.Unlock()
		now := map[int]int{}
		for _, pid := range zombies() {
			if now[pid] = r.seen[pid] + 1; now[pid] >= reapSightings {
				unix.Wait4(pid, nil, unix.WNOHANG, nil)
				delete(now, pid)
			}
		}
		r.seen = now
	}()
}

// wait returns when nobody looks any more.
func (r *reaper) wait() {
	r.looking.Lock()
	defer r.looking.Unlock()
}

// zombies lists the dead children of PID 1's main thread, to which the kernel gives orphans
// (find_new_reaper in kernel/exit.c).
func zombies() []int {
	b, err := os.ReadFile("/proc/self/task/1/children")
	if err != nil {
		return nil // a kernel without CONFIG_PROC_CHILDREN: zombies stay until the test's end
	}
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		if i := bytes.LastIndexByte(stat, ')'); i > 0 && bytes.HasPrefix(stat[i+1:], []byte(" Z")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// reapAll reaps everything that is dead. Nobody may be waiting for a child.
func reapAll() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
