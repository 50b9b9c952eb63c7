//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect/internal/bpfsys"
)

// process is one process of the command that loads programs.
type process struct {
	pid int
	// privileged is set when the process has what loading any program takes, so that a load by this
	// process says how a load by that one went.
	privileged bool

	mu    sync.Mutex
	pidfd int // -1 when there is none
	gone  bool
}

// alive reports whether the process still runs. Once false, always false.
func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return false
	}
	if p.pidfd < 0 {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", p.pid))
		p.gone = err != nil
		return !p.gone
	}
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	p.gone = err == nil && n > 0
	return !p.gone
}

// close gives up the process's descriptor. It counts as ended from now on.
func (p *process) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
	p.pidfd, p.gone = -1, true
}

// processes finds the process of a thread. A notification names the thread, and descriptors can only be
// had from a process. It is not safe for concurrent use.
type processes struct {
	byTID map[int]thread
	byPID map[int]*process
}

// thread is a thread of a process, as of the time when that was looked up.
type thread struct {
	*process
	at time.Time
}

// fresh is how long a thread's id is taken for the same thread's. The kernel gives ids out in turns, of at least
// 32768, so that no thread could end and another one get its id.
const fresh = 10 * time.Millisecond

// find returns the process of a thread that is stopped, so that the thread exists.
func (ps *processes) find(tid int) (*process, error) {
	now := time.Now()
	if t := ps.byTID[tid]; t.process != nil {
		if age := now.Sub(t.at); age < fresh {
			if age > fresh/2 {
				ps.byTID[tid] = thread{t.process, now}
			}
			return t.process, nil
		}
		// If the process is the one that it was: is the thread still in it?
		if t.alive() && t.has(tid) {
			ps.byTID[tid] = thread{t.process, now}
			return t.process, nil
		}
	}
	pid, privileged, err := threadGroup(tid)
	if err != nil {
		return nil, err
	}
	p := ps.byPID[pid]
	if p == nil || !p.alive() {
		ps.sweep(64)
		p = &process{pid: pid}
		if p.pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			p.pidfd = -1
		}
		if ps.byPID == nil {
			ps.byPID, ps.byTID = map[int]*process{}, map[int]thread{}
		}
		ps.byPID[pid] = p
	}
	p.privileged = privileged
	ps.byTID[tid] = thread{p, now}
	return p, nil
}

// has reports whether a thread is one of the process, which lives.
func (p *process) has(tid int) bool {
	if tid == p.pid {
		return true
	}
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", p.pid, tid))
	return err == nil
}

// sweep forgets processes that have ended, when there are more than limit.
func (ps *processes) sweep(limit int) {
	if len(ps.byPID) <= limit {
		return
	}
	for pid, p := range ps.byPID {
		if !p.alive() {
			p.close()
			delete(ps.byPID, pid)
		}
	}
	for tid, t := range ps.byTID {
		if !t.alive() {
			delete(ps.byTID, tid)
		}
	}
}

// close gives all descriptors up.
func (ps *processes) close() {
	for _, p := range ps.byPID {
		p.close()
	}
	ps.byPID, ps.byTID = nil, nil
}

// threadGroup returns the process id of a thread, and whether it may load any program.
func threadGroup(tid int) (pid int, privileged bool, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0, false, err
	}
	if pid, err = statusField(status, "Tgid:", 10); err != nil {
		return 0, false, err
	}
	caps, err := statusField(status, "CapEff:", 16)
	if err != nil {
		return 0, false, err
	}
	has := func(c int) bool { return caps>>c&1 != 0 }
	// CAP_BPF and CAP_PERFMON came with Linux 5.8.
	return pid, has(unix.CAP_SYS_ADMIN) || has(unix.CAP_BPF) && has(unix.CAP_PERFMON) && has(unix.CAP_NET_ADMIN), nil
}

// statusField returns a number from a file in the manner of /proc/PID/status.
func statusField(status []byte, name string, base int) (int, error) {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(rest)), base, 0)
			return int(n), err
		}
	}
	return 0, fmt.Errorf("no %s", name)
}

// descriptor returns a copy of the process's descriptor fd.
func (p *process) descriptor(fd int32) (int, error) {
	if p.pidfd < 0 {
		return -1, errors.New("no pidfd")
	}
	return bpfsys.GetFD(p.pidfd, fd)
}

// mapDescriptor returns a copy of a descriptor of a map and what the kernel says of the map.
func (p *process) mapDescriptor(tid int, fd int32) (int, bpfsys.MapInfo, error) {
	own, err := p.descriptor(fd)
	if err != nil {
		// The process's first thread may have ended, or its threads may not share descriptors.
		var fdinfo []byte
		if fdinfo, err = os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", tid, fd)); err != nil {
			return -1, bpfsys.MapInfo{}, err
		}
		id, err := statusField(fdinfo, "map_id:", 10)
		if err != nil {
			return -1, bpfsys.MapInfo{}, err
		}
		if own, err = bpfsys.OpenMap(uint32(id)); err != nil {
			return -1, bpfsys.MapInfo{}, err
		}
	}
	info, err := bpfsys.GetMapInfo(own)
	if err != nil {
		bpfsys.Close(own)
		return -1, info, err
	}
	return own, info, nil
}
