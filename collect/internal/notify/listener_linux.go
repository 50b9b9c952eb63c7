//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
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

// burst is how long to wait for the next call without the Go runtime's knowledge, see [Listener].
const burst = 5 * time.Millisecond

// Listener is the [Source] of a filter with a listener. Loaders load programs in bursts. So after a call
// Next waits a little for another one in a raw system call, as if it computed, in poll(2) itself: there the kernel can wake it
// on the caller's own processor, and the two take turns. A Go thread that waits in the network poller or in a
// system call that the runtime knows of is woken on another processor, or wakes the runtime's
// monitor, either of which costs more than the rest of a call's way. The garbage collector interrupts the wait
// by its signal. One timer ends the wait, not a time limit of each, which costs more.
type Listener struct {
	fd, wake, timer int  // the listener, an eventfd, a timerfd
	burst           bool // the timer is set
	calls           int  // since it expired

	// Buffers of the sizes that the kernel uses, which may exceed the structures of 5.0.
	notif, resp []byte
}

// newListener takes fd over, also when it fails.
func newListener(fd int) (*Listener, error) {
	var sizes struct{ notif, resp, data uint16 }
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes))); errno != 0 {
		unix.Close(fd)
		return nil, fmt.Errorf("seccomp(SECCOMP_GET_NOTIF_SIZES): %w", errno)
	}
	// Linux 6.6: caller and watcher take turns, so let the one wake the other on its own processor.
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		unix.Close(wake)
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	return &Listener{
		fd: fd, wake: wake, timer: timer,
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
	if l.burst && (timeout < 0 || time.Duration(timeout)*time.Millisecond >= burst) {
		if ev, err := l.receive(c, rawPoll, -1); ev != EventTimeout || err != nil {
			return ev, err
		}
	}
	return l.receive(c, unix.Poll, timeout)
}

// receive waits by poll up to timeout milliseconds, for ever if negative, and in a burst until that ends.
func (l *Listener) receive(c *Call, poll func([]unix.PollFd, int) (int, error), timeout int) (Event, error) {
	for {
		fds := [3]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}, {Fd: int32(l.wake), Events: unix.POLLIN}, {Fd: -1, Events: unix.POLLIN}}
		if l.burst {
			fds[2].Fd = int32(l.timer)
		}
		n, err := poll(fds[:], timeout)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return EventHangup, fmt.Errorf("poll the seccomp listener: %w", err)
		case n == 0:
			return EventTimeout, nil
		case fds[0].Revents == 0 && fds[1].Revents != 0:
			return EventStop, nil
		case fds[0].Revents == 0:
			unWake(l.timer)
			if l.calls == 0 {
				l.setBurst(false)
				return EventTimeout, nil
			}
			l.calls = 0
			continue
		case fds[0].Revents&unix.POLLIN == 0:
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
		if l.calls++; !l.burst && runtime.GOMAXPROCS(0) > 1 { // with one, all other goroutines would stand still
			l.setBurst(true)
		}
		return EventCall, nil
	}
}

// setBurst begins or ends a burst.
func (l *Listener) setBurst(on bool) {
	var t unix.ItimerSpec
	if on {
		t.Value = unix.NsecToTimespec(int64(burst))
		t.Interval = t.Value
	}
	l.burst = on && unix.TimerfdSettime(l.timer, 0, &t, nil) == nil
	if !on {
		_ = unix.TimerfdSettime(l.timer, 0, &t, nil) // it fails for wrong arguments alone
	}
}

// rawPoll is poll(2) without a time limit and without the Go runtime's knowledge.
func rawPoll(fds []unix.PollFd, _ int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), 0, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
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
func (l *Listener) Stop() { wakeUp(l.wake) }

// Restart implements [Source].
func (l *Listener) Restart() { unWake(l.wake) }

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
func (l *Listener) Close() {
	for _, fd := range []int{l.fd, l.wake, l.timer} {
		unix.Close(fd)
	}
}

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
