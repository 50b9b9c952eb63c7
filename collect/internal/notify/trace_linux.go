//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The second watcher, for a command that needs a seccomp listener of its own: the filter answers
// SECCOMP_RET_TRACE, and a small process of its own (bpfcov-trace) traces the command and all that it
// starts. It stops at the reported calls, tells them to the watcher over a socket, one at a time, and
// lets each go on when it is told so, or when nobody is left to tell it. It cannot be the calling
// process itself: the kernel does not tell a parent that is also the tracer (in any thread) of its
// child's end twice (wait_task_zombie in kernel/exit.c), and os/exec has to be told.

// Tracer is the [Source] of a traced command.
type Tracer struct {
	sock int // to the tracing process, SOCK_SEQPACKET
	wake int // eventfd
	next uint64
	proc *exec.Cmd

	follow bool
}

// A call on the socket, little endian: u32 thread | u32 command | u64 attributes | u32 size. The answer
// is one byte, 1 to follow the thread, else 0. The first message is the other way round: a u32 thread to trace, answered by a u32 errno.
const traceMessage = 20

// newTracer starts the tracing process.
func newTracer() (*Tracer, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "trace")
	defer theirs.Close()
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	t := &Tracer{sock: pair[0], wake: wake, proc: exec.Command("/proc/self/exe")}
	t.proc.Args = []string{traceName}
	t.proc.Env = []string{"GOMAXPROCS=1"}
	t.proc.Dir = "/"
	t.proc.ExtraFiles = []*os.File{theirs}
	t.proc.SysProcAttr = &unix.SysProcAttr{Setsid: true} // the terminal's signals are the command's
	if err := t.proc.Start(); err != nil {
		t.Close()
		return nil, fmt.Errorf("start a process that traces the command: %w", err)
	}
	go t.proc.Wait()
	return t, nil
}

// seize makes the tracing process trace a thread.
func (t *Tracer) seize(tid int) error {
	tv := unix.NsecToTimeval(int64(handshakeTimeout))
	if err := unix.SetsockoptTimeval(t.sock, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return fmt.Errorf("SO_RCVTIMEO: %w", err)
	}
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(tid))
	if _, err := unix.Write(t.sock, b[:]); err != nil {
		return fmt.Errorf("the tracing process is gone: does %s's main call collect.MaybeShim first? (%w)", os.Args[0], err)
	}
	n, err := read(t.sock, b[:])
	if err != nil || n != len(b) {
		return fmt.Errorf("the tracing process does not answer: does %s's main call collect.MaybeShim first? (%d bytes, %v)", os.Args[0], n, err)
	}
	if errno := unix.Errno(binary.LittleEndian.Uint32(b[:])); errno != 0 {
		return fmt.Errorf("%w: ptrace(PTRACE_SEIZE): %w", ErrNoTrace, errno)
	}
	return unix.SetsockoptTimeval(t.sock, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{})
}

// Next implements [Source].
func (t *Tracer) Next(c *Call, timeout int) (Event, error) {
	for {
		fds := []unix.PollFd{{Fd: int32(t.sock), Events: unix.POLLIN}, {Fd: int32(t.wake), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, timeout)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("poll the tracing process: %w", err)
		case n == 0:
			return EventTimeout, nil
		case fds[0].Revents == 0:
			return EventStop, nil
		}
		var b [traceMessage]byte
		n, err = read(t.sock, b[:])
		if n == 0 || err == unix.ECONNRESET {
			return EventHangup, nil
		}
		if err != nil || n != len(b) {
			return 0, fmt.Errorf("read from the tracing process: %d bytes, %w", n, err)
		}
		t.next++
		le := binary.LittleEndian
		*c = Call{ID: t.next, TID: int(le.Uint32(b[0:])), Cmd: int(int32(le.Uint32(b[4:]))), Attr: le.Uint64(b[8:]), Size: le.Uint32(b[16:])}
		return EventCall, nil
	}
}

// Continue implements [Source]. The thread is stopped until then, and its id not free before the tracing process has
// seen its end.
func (t *Tracer) Continue(id uint64) bool {
	if id != t.next {
		return false
	}
	t.next++ // it waits no longer
	answer := []byte{0}
	if t.follow {
		answer[0], t.follow = 1, false
	}
	unix.Write(t.sock, answer)
	return true
}

// Follow has the thread of the last call stop once more, with a call [LoaderRan], after the loader program that it is about to load
// has run: it stands still when what that made is there and has not been used.
func (t *Tracer) Follow() { t.follow = true }

// Drain implements [Source].
func (t *Tracer) Drain() error { return drain(t) }

// Stop implements [Source].
func (t *Tracer) Stop() { wakeUp(t.wake) }

// Restart implements [Source].
func (t *Tracer) Restart() { unWake(t.wake) }

// Close gives the calls up: the tracing process lets them all go on, and ends with the last process.
func (t *Tracer) Close() {
	unix.Close(t.sock)
	unix.Close(t.wake)
}

// HandOver implements [Source]. There is nothing to do: the tracing process is one of its own.
func (t *Tracer) HandOver() error {
	t.Close()
	return nil
}

func read(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// trace is the tracing process: all of it on one thread, which is the tracer in the kernel's eyes.
func trace(sock int) {
	ignoreSignals()
	var b [4]byte
	if n, err := read(sock, b[:]); err != nil || n != len(b) {
		os.Exit(1)
	}
	const options = unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
		unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACESYSGOOD
	errno := ptrace(unix.PTRACE_SEIZE, int(binary.LittleEndian.Uint32(b[:])), 0, options)
	binary.LittleEndian.PutUint32(b[:], uint32(errno))
	unix.Write(sock, b[:])
	if errno != 0 {
		os.Exit(1)
	}
	followed := follows{}
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil: // ECHILD: nobody is left
			os.Exit(0)
		case !status.Stopped():
			delete(followed, tid)
			continue // an end, of which the parent is told now
		}
		traced(sock, tid, status, followed)
	}
}

// traced lets a stopped thread go on, see "Attaching with PTRACE_SEIZE" in ptrace(2). A thread that is
// gone meanwhile is no error.
func traced(sock, tid int, status unix.WaitStatus, followed follows) {
	const eventStop = 128 // PTRACE_EVENT_STOP of include/uapi/linux/ptrace.h
	sig := status.StopSignal()
	switch event := int(status) >> 16; event {
	case 0:
		if sig == unix.SIGTRAP|0x80 {
			followed.step(sock, tid)
			sig = 0
		}
		ptrace(followed.request(tid), tid, 0, uintptr(sig)) // another one is a signal that arrives
	case eventStop:
		switch sig {
		case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU: // the process is stopped, and stays so
			ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
		default: // a thread that is new
			ptrace(followed.request(tid), tid, 0, 0)
		}
	case unix.PTRACE_EVENT_SECCOMP:
		if report(sock, tid) {
			followed[tid] = &follow{stops: followStops}
		}
		ptrace(followed.request(tid), tid, 0, 0)
	default:
		ptrace(followed.request(tid), tid, 0, 0)
	}
}

// follows are the threads that load a loader program, and stop at the beginning and end of their next system calls.
type follows map[int]*follow

type follow struct {
	stops int  // that are left
	runs  bool // the call that it is in runs a program
}

// followStops is how many stops a loader takes until it runs its loader program: three in a light skeleton of
// bpftool, which does nothing in between.
const followStops = 64

func (f follows) request(tid int) int {
	if f[tid] != nil {
		return unix.PTRACE_SYSCALL
	}
	return unix.PTRACE_CONT
}

// step handles a stop at a system call. When a program has run, it tells the watcher.
func (f follows) step(sock, tid int) {
	t := f[tid]
	if t == nil {
		return
	}
	var info syscallInfo
	t.stops--
	switch getSyscallInfo(tid, &info); {
	case info.op == unix.PTRACE_SYSCALL_INFO_ENTRY:
		t.runs = info.nr == unix.SYS_BPF && uint32(info.args[0]) == unix.BPF_PROG_TEST_RUN
	case info.op == unix.PTRACE_SYSCALL_INFO_EXIT && t.runs:
		ask(sock, &Call{TID: tid, Cmd: LoaderRan})
		t.stops = 0
	}
	if t.stops <= 0 {
		delete(f, tid)
	}
}

// syscallInfo is struct ptrace_syscall_info of include/uapi/linux/ptrace.h (Linux 5.3), for a stop of seccomp.
type syscallInfo struct {
	op      uint8
	_       [3]uint8
	arch    uint32
	ip, sp  uint64
	nr      uint64
	args    [6]uint64
	retData uint32
	_       uint32
}

func getSyscallInfo(tid int, info *syscallInfo) (size uintptr, errno unix.Errno) {
	size, _, errno = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(*info), uintptr(unsafe.Pointer(info)), 0, 0)
	return size, errno
}

// report tells the watcher of a call and waits until it may go on. Without a watcher it may at once. It reports whether
// to follow the thread.
func report(sock, tid int) bool {
	var info syscallInfo
	n, errno := getSyscallInfo(tid, &info)
	if errno != 0 || n < unsafe.Offsetof(info.retData) || info.op != unix.PTRACE_SYSCALL_INFO_SECCOMP || info.nr != unix.SYS_BPF {
		return false // of a filter of the command's own
	}
	return ask(sock, &Call{TID: tid, Cmd: int(uint32(info.args[0])), Attr: info.args[1], Size: uint32(info.args[2])})
}

// ask tells the watcher of a call, and returns its answer.
func ask(sock int, c *Call) (follow bool) {
	var b [traceMessage]byte
	le := binary.LittleEndian
	le.PutUint32(b[0:], uint32(c.TID))
	le.PutUint32(b[4:], uint32(c.Cmd))
	le.PutUint64(b[8:], c.Attr)
	le.PutUint32(b[16:], c.Size)
	if err := unix.Send(sock, b[:], unix.MSG_NOSIGNAL); err != nil {
		return false
	}
	n, err := read(sock, b[:1])
	return err == nil && n == 1 && b[0] == 1
}

// ignoreSignals keeps what a terminal or an impatient supervisor sends from ending the tracer before the command:
// its reported calls would fail.
func ignoreSignals() { signal.Ignore(unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP) }

func ptrace(request, tid int, addr, data uintptr) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, data, 0, 0)
	return errno
}
