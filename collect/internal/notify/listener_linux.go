//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is one stopped call. Its thread waits until Continue.
type Call struct {
	ID   uint64
	TID  int // of the calling thread, as the calling process sees it; 0 when it cannot
	Cmd  int // one of the constants of this package
	Attr uint64
	Size uint32
}

// Source is where the reported calls of a command come from. Its methods are for one goroutine at a time,
// but for Stop.
type Source interface {
	// Next waits for the next call, up to timeout milliseconds, for ever if negative.
	Next(c *Call, timeout int) (Event, error)
	// Continue lets a call go on as if nothing had been, and reports whether it waited until now. Only then is what was
	// read from its process before known to be from that process, and not from a later one with the same id.
	Continue(id uint64) bool
	// Drain continues all calls unseen until no process is left, or Stop.
	Drain() error
	// Stop makes Next return [EventStop] as soon as no call waits. It may be called from anywhere.
	Stop()
	// Restart undoes Stop.
	Restart()
	// HandOver has the calls of the processes that are left continued without this process. The source
	// is closed.
	HandOver() error
	// Close gives the source up.
	Close()
}

// Listener is the [Source] of a filter with a listener. It waits in Go's network poller, and its system calls, which
// do not block, are raw: a thread that blocks in a system call, or begins one while all others wait, wakes the
// runtime's monitor, which costs more than the rest of a call's way.
type Listener struct {
	fd   int
	file *os.File
	conn syscall.RawConn

	mu      sync.Mutex // guards what follows, and the deadline
	stopped bool
	expires bool // there is a deadline

	// Buffers of the sizes that the kernel uses, which may exceed the structures of 5.0.
	notif, resp []byte
}

// newListener takes fd over, also when it fails.
func newListener(fd int) (l *Listener, err error) {
	nonblock := unix.SetNonblock(fd, true) // to the kernel it makes no difference, os.NewFile polls what has it
	file := os.NewFile(uintptr(fd), "seccomp listener")
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	var sizes struct{ notif, resp, data uint16 }
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes))); errno != 0 {
		return nil, fmt.Errorf("seccomp(SECCOMP_GET_NOTIF_SIZES): %w", errno)
	}
	// Linux 6.6: caller and watcher take turns, so let the one wake the other on its own processor.
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	conn, err := file.SyscallConn()
	if err == nil {
		err = nonblock
	}
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // it fails for what cannot be polled
	}
	if err != nil {
		return nil, fmt.Errorf("poll the seccomp listener: %w", err)
	}
	return &Listener{
		fd: fd, file: file, conn: conn,
		notif: make([]byte, max(int(sizes.notif), int(unsafe.Sizeof(notification{})))),
		resp:  make([]byte, max(int(sizes.resp), int(unsafe.Sizeof(response{})))),
	}, nil
}

// notification is struct seccomp_notif and response struct seccomp_notif_resp of
// include/uapi/linux/seccomp.h.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// Event says why [Listener.Next] returned.
type Event int

// The events.
const (
	EventCall    Event = iota // a call waits
	EventHangup               // no process is left that the filter applies to
	EventStop                 // Stop was called
	EventTimeout              // nothing happened in time
)

// Next implements [Source].
func (l *Listener) Next(c *Call, timeout int) (Event, error) {
	if err := l.expire(timeout); err != nil {
		return 0, err
	}
	var event Event
	var failed error
	err := l.conn.Read(func(uintptr) bool {
		event, failed = l.receive(c)
		return event != EventTimeout
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Also when it is time, somebody may wait.
		if event, failed = l.receive(c); event == EventTimeout && l.isStopped() {
			event = EventStop
		}
		return event, failed
	}
	if err != nil {
		return 0, fmt.Errorf("poll the seccomp listener: %w", err)
	}
	return event, failed
}

// receive is Next without waiting: with nothing to receive it returns EventTimeout.
func (l *Listener) receive(c *Call) (Event, error) {
	for {
		fd := unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN}
		var now unix.Timespec
		n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return EventHangup, fmt.Errorf("poll the seccomp listener: %w", errno)
		case n == 0:
			return EventTimeout, nil
		case fd.Revents&unix.POLLIN == 0:
			return EventHangup, nil
		}
		clear(l.notif) // the kernel insists
		if err := ioctl(l.fd, unix.SECCOMP_IOCTL_NOTIF_RECV, l.notif); err == unix.EINTR || err == unix.ENOENT {
			continue // the caller was killed, or interrupted, meanwhile
		} else if err != nil {
			return EventHangup, fmt.Errorf("ioctl(SECCOMP_IOCTL_NOTIF_RECV): %w", err)
		}
		m := (*notification)(unsafe.Pointer(&l.notif[0]))
		*c = Call{ID: m.id, TID: int(m.pid), Cmd: int(int32(m.args[0])), Attr: m.args[1], Size: uint32(m.args[2])}
		if m.nr == unix.SYS_SECCOMP {
			*c = Call{ID: m.id, TID: int(m.pid), Cmd: OwnListener}
		}
		return EventCall, nil
	}
}

// expire sets when Next is to return, unless it was stopped.
func (l *Listener) expire(timeout int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || timeout < 0 && !l.expires {
		return nil
	}
	l.expires = timeout >= 0
	var at time.Time
	if l.expires {
		at = time.Now().Add(time.Duration(timeout) * time.Millisecond)
	}
	return l.file.SetReadDeadline(at)
}

func (l *Listener) isStopped() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// Continue implements [Source]. The kernel answers ENOENT for a call that is gone.
func (l *Listener) Continue(id uint64) bool {
	clear(l.resp)
	r := (*response)(unsafe.Pointer(&l.resp[0]))
	r.id, r.flags = id, unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	for {
		if err := ioctl(l.fd, unix.SECCOMP_IOCTL_NOTIF_SEND, l.resp); err != unix.EINTR {
			return err == nil
		}
	}
}

// Drain implements [Source].
func (l *Listener) Drain() error { return drain(l) }

func drain(s Source) error {
	for {
		var c Call
		switch ev, err := s.Next(&c, -1); {
		case err != nil:
			return err
		case ev != EventCall:
			return nil
		}
		s.Continue(c.ID)
	}
}

// Stop implements [Source].
func (l *Listener) Stop() { l.setStopped(true) }

// Restart implements [Source].
func (l *Listener) Restart() { l.setStopped(false) }

func (l *Listener) setStopped(stopped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var at time.Time
	if stopped {
		at = time.Unix(1, 0)
	}
	l.stopped, l.expires = stopped, false
	_ = l.file.SetReadDeadline(at) // it fails for a closed file alone
}

func wakeUp(eventfd int) {
	one := [8]byte{1, 1, 1, 1, 1, 1, 1, 1}
	unix.Write(eventfd, one[:]) // an eventfd takes any number but the largest
}

func unWake(eventfd int) {
	var b [8]byte
	unix.Read(eventfd, b[:])
}

// Close gives the listener up. When processes with the filter are left, all their reported calls fail
// with ENOSYS from now on.
func (l *Listener) Close() { l.file.Close() }

// HandOver implements [Source]. It gives the listener to a small process of its own, which drains it until no process with the
// filter is left. The listener is closed.
func (l *Listener) HandOver() error {
	defer l.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{drainName}
	cmd.Env = []string{}
	cmd.Dir = "/"
	dup, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fmt.Errorf("duplicate the seccomp listener: %w", err)
	}
	f := os.NewFile(uintptr(dup), "listener")
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a process that answers for what the command left behind: %w", err)
	}
	return cmd.Process.Release()
}

func ioctl(fd int, request uintptr, arg []byte) error {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&arg[0])))
	runtime.KeepAlive(arg)
	if errno != 0 {
		return errno
	}
	return nil
}
