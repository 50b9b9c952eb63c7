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
)

// Names that the shim and the drain process go by until they are something else.
const (
	shimName  = "bpfcov-shim"
	drainName = "bpfcov-drain"
)

// handshakeTimeout is ample for executing a program on an emulated, busy machine.
const handshakeTimeout = 60 * time.Second

// ErrBusy is returned by [Start] when the calling process is itself under a filter with a listener.
var ErrBusy = errors.New("a seccomp filter with a listener is in place already")

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
}

// refusal is what the shim answers when it cannot. Errno is 0 when there is none.
type refusal struct {
	Stage string // "filter", "exec" or another
	Text  string
	Errno int
}

// Start starts cmd under the filter. Apart from that it does what cmd.Start does: afterwards
// cmd.Process is the command and cmd.Wait waits for it. memlock, if not nil, becomes the command's
// limit of locked memory.
func Start(cmd *exec.Cmd, memlock *unix.Rlimit) (*Listener, error) {
	if os.Args[0] == shimName {
		return nil, errors.New("main must call collect.MaybeShim before anything else")
	}
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	if cmd.SysProcAttr == nil || cmd.SysProcAttr.Pdeathsig == 0 {
		return startOnThread(cmd, memlock)
	}
	return startShim(cmd, memlock)
}

// startOnThread puts the filter on a thread of the calling process, forks the command there, so that it
// inherits the filter, and lets the thread end. Go starts new threads from another one while a goroutine
// is locked (runtime.LockOSThread), so nothing else gets the filter.
func startOnThread(cmd *exec.Cmd, memlock *unix.Rlimit) (*Listener, error) {
	type result struct {
		fd  int
		err error
	}
	done := make(chan result)
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
		fd, err := install()
		if err != nil {
			done <- result{-1, filterError(err)}
			return
		}
		if err = cmd.Start(); err == nil && memlock != nil {
			err = unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_MEMLOCK, memlock, nil)
		}
		done <- result{fd, err}
	}
	go try()
	r := <-done
	if r.err != nil {
		if r.fd >= 0 {
			unix.Close(r.fd)
		}
		if cmd.Process != nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		return nil, r.err
	}
	l, err := newListener(r.fd)
	if err != nil {
		unix.Close(r.fd)
		cmd.Process.Kill()
		cmd.Wait()
		return nil, err
	}
	return l, nil
}

func filterError(err error) error {
	var errno syscall.Errno
	r := refusal{Stage: "filter", Text: err.Error()}
	if errors.As(err, &errno) {
		r.Errno = int(errno)
	}
	return r.err(&order{})
}

// startShim is for a command that is to get a signal when its parent dies: the kernel sends that when
// the thread that forked ends.
func startShim(cmd *exec.Cmd, memlock *unix.Rlimit) (*Listener, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "shim"), os.NewFile(uintptr(pair[1]), "shim")
	defer ours.Close()

	o := order{Path: cmd.Path, Args: cmd.Args, Env: cmd.Environ(), Memlock: memlock}
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
	err = cmd.Start()
	restore()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	fd, err := handshake(pair[0], ours, &o)
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		cmd.Process.Kill()
		cmd.Wait()
		return nil, err
	}
	l, err := newListener(fd)
	if err != nil {
		unix.Close(fd)
		cmd.Process.Kill()
		cmd.Wait()
		return nil, err
	}
	return l, nil
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
		if oobn > 0 && listener < 0 {
			if listener, err = receivedFD(oob[:oobn]); err != nil {
				return -1, err
			}
			n = 0 // the byte that carried it
		}
		answer = append(answer, buf[:n]...)
		if n == 0 && oobn == 0 {
			break
		}
	}
	if len(answer) > 0 {
		r, err := decodeRefusal(answer)
		if err != nil {
			return listener, fmt.Errorf("%w (it answered %q)", noShim, answer)
		}
		return listener, r.err(o)
	}
	if listener < 0 {
		return -1, noShim
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
