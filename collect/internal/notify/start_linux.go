//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/internal/timerslack"
)

// Names that the shim and the drain process go by until they are something else.
const (
	shimName  = "bpfcov-shim"
	drainName = "bpfcov-drain"
	traceName = "bpfcov-trace"
)

// handshakeTimeout is ample for executing a program on an emulated, busy machine.
const handshakeTimeout = 60 * time.Second

// Errors of starting that callers tell apart.
var (
	// ErrBusy is returned by [Start] when the calling process is itself under a filter with a listener.
	ErrBusy = errors.New("a seccomp filter with a listener is in place already")
	// ErrNoTrace is returned by [StartTraced] when the kernel does not let the command be traced.
	ErrNoTrace = errors.New("the command cannot be traced")
)

// order is what the shim is told to become.
type order struct {
	Path   string
	Args   []string
	Env    []string
	Chroot string
	Dir    string // only with Chroot

	Pdeathsig  int
	Credential *syscall.Credential
	Ambient    []uintptr // only with Credential
	Memlock    *unix.Rlimit
	Traced     bool
}

// refusal is what the shim answers when it cannot. Errno is 0 when there is none.
type refusal struct {
	Stage string // "filter", "exec" or another
	Text  string
	Errno int
}

// Inherit is what a command gets instead of what it would inherit. The zero value changes nothing.
type Inherit struct {
	Memlock    *unix.Rlimit  // limit of locked memory
	TimerSlack time.Duration // see [timerslack.Start]
}

// Start starts cmd under the filter. Apart from that and from in it does what cmd.Start does: afterwards
// cmd.Process is the command and cmd.Wait waits for it.
func Start(cmd *exec.Cmd, in Inherit) (*Listener, error) {
	if err := startable(cmd); err != nil {
		return nil, err
	}
	if cmd.SysProcAttr == nil || cmd.SysProcAttr.Pdeathsig == 0 {
		return startOnThread(cmd, in)
	}
	fd, err := startShim(cmd, in, &order{}, func(int) error { return nil })
	if err != nil {
		return nil, err
	}
	l, err := newListener(fd)
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, err
	}
	return l, nil
}

// StartTraced is [Start] with a tracer in place of a listener.
func StartTraced(cmd *exec.Cmd, in Inherit) (*Tracer, error) {
	if err := startable(cmd); err != nil {
		return nil, err
	}
	t, err := newTracer()
	if err != nil {
		return nil, err
	}
	if _, err := startShim(cmd, in, &order{Traced: true}, t.seize); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func startable(cmd *exec.Cmd) error {
	switch os.Args[0] {
	case shimName, drainName, traceName:
		return errors.New("main must call collect.MaybeShim before anything else")
	}
	return cmd.Err
}

// startOnThread puts the filter on a thread of the calling process, forks the command there, so that it
// inherits the filter, and lets the thread end. Go starts new threads from another one while a goroutine
// is locked (runtime.LockOSThread), so nothing else gets the filter.
func startOnThread(cmd *exec.Cmd, in Inherit) (*Listener, error) {
	type result struct {
		l   *Listener
		err error
	}
	done := make(chan result)
	start := func(l *Listener, err error) {
		if err == nil {
			err = timerslack.Start(cmd, in.TimerSlack)
		}
		if err == nil && in.Memlock != nil {
			err = unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_MEMLOCK, in.Memlock, nil)
		}
		done <- result{l, err}
	}
	select {
	case waiting := <-prepared:
		waiting <- start
	default:
		onFilteredThread(start)
	}
	r := <-done
	if r.err != nil {
		if r.l != nil {
			r.l.Close()
		}
		if cmd.Process != nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		return nil, r.err
	}
	return r.l, nil
}

// prepared holds the thread of [Prepare]: it takes what it is to do from the channel in it.
var prepared = make(chan chan func(*Listener, error), 1)

// Prepare makes a thread with the filter ahead of time, for the next [Start] that needs one. It does nothing when there
// is one.
func Prepare() error {
	if len(prepared) > 0 {
		return nil
	}
	ready := make(chan error)
	onFilteredThread(func(l *Listener, err error) {
		if err != nil {
			ready <- err
			return
		}
		work := make(chan func(*Listener, error))
		growStack()
		select {
		case prepared <- work:
		default: // another was first
			l.Close()
			ready <- nil
			return
		}
		ready <- nil
		(<-work)(l, nil)
	})
	return <-ready
}

// growStack makes room on the goroutine's stack for the start of a command, which Go would make by copying the stack.
//
//go:noinline
func growStack() {
	var room [6 << 10]byte
	runtime.KeepAlive(&room)
}

// onFilteredThread has f called on a thread that has the filter, with its listener, and ends with f.
func onFilteredThread(f func(*Listener, error)) {
	var try func()
	try = func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and the listener would never see the last process go.
			// While it is held here, another goroutine runs elsewhere.
			handed := make(chan struct{})
			go func() {
				close(handed)
				try()
			}()
			<-handed
			runtime.UnlockOSThread()
			return
		}
		fd, err := install(false)
		if err != nil {
			f(nil, filterError(err))
			return
		}
		f(newListener(fd))
	}
	go try()
}

func filterError(err error) error {
	var errno syscall.Errno
	r := refusal{Stage: "filter", Text: err.Error()}
	if errors.As(err, &errno) {
		r.Errno = int(errno)
	}
	return r.err(&order{})
}

// startShim starts the shim and has it become the command, and returns the listener, -1 with a tracer. It is for a
// command that is traced, which has to be before its execve, and for one that is to get a signal when its
// parent dies: the kernel sends that when the thread that forked ends. started is called with the process id.
func startShim(cmd *exec.Cmd, in Inherit, o *order, started func(pid int) error) (listener int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "shim"), os.NewFile(uintptr(pair[1]), "shim")
	defer ours.Close()

	o.Path, o.Args, o.Env, o.Memlock = cmd.Path, cmd.Args, cmd.Environ(), in.Memlock
	if len(o.Args) == 0 {
		o.Args = []string{cmd.Path}
	}
	saved := *cmd
	restore := func() {
		cmd.Path, cmd.Args, cmd.Env, cmd.Dir = saved.Path, saved.Args, saved.Env, saved.Dir
		cmd.ExtraFiles, cmd.SysProcAttr = saved.ExtraFiles, saved.SysProcAttr
	}
	cmd.Path = "/proc/self/exe"
	cmd.Args = []string{shimName, strconv.Itoa(3 + len(saved.ExtraFiles))}
	cmd.Env = []string{} // nothing in it may act on the Go program that the shim is
	cmd.ExtraFiles = append(slices.Clone(saved.ExtraFiles), theirs)
	if saved.SysProcAttr != nil {
		attr := *saved.SysProcAttr
		o.takeOver(&attr, cmd)
		cmd.SysProcAttr = &attr
	}
	err = timerslack.Start(cmd, in.TimerSlack)
	restore()
	theirs.Close()
	if err != nil {
		return -1, err
	}
	listener = -1
	if err = started(cmd.Process.Pid); err == nil {
		listener, err = handshake(pair[0], ours, o)
	}
	if err != nil {
		if listener >= 0 {
			unix.Close(listener)
		}
		cmd.Process.Kill()
		cmd.Wait()
		return -1, err
	}
	return listener, nil
}

// takeOver moves what would keep the shim from working from attr into the order.
func (o *order) takeOver(attr *syscall.SysProcAttr, cmd *exec.Cmd) {
	o.Pdeathsig = int(attr.Pdeathsig) // it is an attribute of the thread that executes
	if attr.Chroot != "" {
		o.Chroot, o.Dir = attr.Chroot, cmd.Dir
		attr.Chroot, cmd.Dir = "", ""
	}
	if attr.Credential != nil {
		o.Credential, o.Ambient = attr.Credential, attr.AmbientCaps
		attr.Credential, attr.AmbientCaps = nil, nil
	}
}

// handshake sends the order and returns the listener once the shim has become the command.
func handshake(sock int, f *os.File, o *order) (listener int, err error) {
	tv := unix.NsecToTimeval(int64(handshakeTimeout))
	if err := unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return -1, fmt.Errorf("SO_RCVTIMEO: %w", err)
	}
	noShim := fmt.Errorf("%s started again did not become %s: does its main call collect.MaybeShim first?", os.Args[0], o.Path)
	if _, err := f.Write(o.encode()); err != nil {
		return -1, fmt.Errorf("%w (%w)", noShim, err)
	}
	if err := unix.Shutdown(sock, unix.SHUT_WR); err != nil {
		return -1, err
	}
	var answer []byte
	listener = -1
	installed := false
	for {
		buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*4))
		n, oobn, _, _, err := unix.Recvmsg(sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return listener, fmt.Errorf("%w (no answer for %v)", noShim, handshakeTimeout)
		case err != nil:
			return listener, err
		}
		if n == 0 {
			break
		}
		if oobn > 0 && listener < 0 {
			if listener, err = receivedFD(oob[:oobn]); err != nil {
				return -1, err
			}
		}
		buf = buf[:n]
		if !installed && buf[0] == 0 { // a refusal begins with the length of a text
			installed, buf = true, buf[1:]
		}
		answer = append(answer, buf...)
	}
	if len(answer) > 0 {
		r, err := decodeRefusal(answer)
		if err != nil {
			return listener, fmt.Errorf("%w (it answered %q)", noShim, answer)
		}
		return listener, r.err(o)
	}
	if !installed || listener < 0 && !o.Traced {
		return listener, noShim
	}
	return listener, nil
}

func (r *refusal) err(o *order) error {
	errno := syscall.Errno(r.Errno)
	switch {
	case r.Stage == "filter" && errno == unix.EBUSY:
		return ErrBusy
	case r.Stage == "filter" && errno == unix.EACCES:
		return fmt.Errorf("watching needs CAP_SYS_ADMIN; run it as root (%s)", r.Text)
	case r.Stage == "exec" && errno != 0:
		return &fs.PathError{Op: "fork/exec", Path: o.Path, Err: errno} // as os/exec says it
	case errno != 0:
		return fmt.Errorf("start %s: %s: %w", o.Path, r.Stage, errno)
	}
	return fmt.Errorf("start %s: %s: %s", o.Path, r.Stage, r.Text)
}

func receivedFD(oob []byte) (int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	for i := range msgs {
		if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return -1, errors.New("the shim sent no listener")
}
