//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Main does nothing unless the program was started by [Start] as a shim, or by
// [Listener.HandOver], or to trace the command; then it does its work and never returns.
func Main() {
	switch os.Args[0] {
	case shimName:
		shim()
	case drainName:
		if l, err := newListener(3); err == nil {
			l.Drain()
		}
		os.Exit(0)
	case traceName:
		runtime.LockOSThread()
		trace(3)
	}
}

// The shim is traced from before its execve on, and known by its first thread.
func init() {
	if os.Args[0] == shimName {
		runtime.LockOSThread() // in an init function: the thread that main runs on is the first one
	}
}

func shim() {
	// The filter is on this thread only, so that this thread has to do the execve.
	runtime.LockOSThread()
	if len(os.Args) != 2 {
		os.Exit(127)
	}
	sock, err := strconv.Atoi(os.Args[1])
	if err != nil {
		os.Exit(127)
	}
	unix.CloseOnExec(sock)
	f := os.NewFile(uintptr(sock), "parent")
	stage, err := become(sock, f)
	r := refusal{Stage: stage, Text: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		r.Errno = int(errno)
	}
	f.Write(r.encode()) // if that fails too, the parent sees a shim that said nothing
	os.Exit(127)
}

// become turns the process into the ordered command. It returns only when that fails, with the stage
// at which it did.
func become(sock int, f *os.File) (stage string, err error) {
	b, err := io.ReadAll(f) // the parent shuts its end down
	if err != nil {
		return "order", err
	}
	o, err := decodeOrder(b)
	if err != nil {
		return "order", err
	}
	listener, err := install(o.Traced)
	if err != nil {
		return "filter", err
	}
	var rights []byte
	if !o.Traced {
		rights = unix.UnixRights(listener)
	}
	if err := unix.Sendmsg(sock, []byte{0}, rights, nil, 0); err != nil {
		return "listener", err
	}
	if !o.Traced {
		if err := unix.Close(listener); err != nil {
			return "listener", err
		}
	}
	if o.Memlock != nil {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, o.Memlock); err != nil {
			return "setrlimit", err
		}
	}
	if o.Chroot != "" {
		if err := unix.Chroot(o.Chroot); err != nil {
			return "chroot " + o.Chroot, err
		}
		dir := o.Dir
		if dir == "" {
			dir = "/"
		}
		if err := unix.Chdir(dir); err != nil {
			return "chdir " + dir, err
		}
	}
	if o.Credential != nil {
		if stage, err := o.setCredential(); err != nil {
			return stage, err
		}
	}
	if o.Pdeathsig != 0 {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(o.Pdeathsig), 0, 0, 0); err != nil {
			return "prctl(PR_SET_PDEATHSIG)", err
		}
	}
	return "exec", syscall.Exec(o.Path, o.Args, o.Env)
}

// setCredential does for this thread what syscall.forkExec does in the child, in the same order.
func (o *order) setCredential() (stage string, err error) {
	c := o.Credential
	if len(o.Ambient) > 0 {
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return "prctl(PR_SET_KEEPCAPS)", err
		}
	}
	if !c.NoSetGroups {
		var p unsafe.Pointer
		if len(c.Groups) > 0 {
			p = unsafe.Pointer(&c.Groups[0])
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(p), 0); errno != 0 {
			return "setgroups", errno
		}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGID, uintptr(c.Gid), 0, 0); errno != 0 {
		return "setgid", errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETUID, uintptr(c.Uid), 0, 0); errno != 0 {
		return "setuid", errno
	}
	if len(o.Ambient) == 0 {
		return "", nil
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&hdr, &caps[0]); err != nil {
		return "capget", err
	}
	for _, a := range o.Ambient {
		if a >= 64 {
			return "ambient capability " + strconv.Itoa(int(a)), unix.EINVAL
		}
		bit := uint32(1) << (a % 32)
		caps[a/32].Permitted |= bit
		caps[a/32].Inheritable |= bit
	}
	if err := unix.Capset(&hdr, &caps[0]); err != nil {
		return "capset", err
	}
	for _, a := range o.Ambient {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, a, 0, 0); err != nil {
			return "prctl(PR_CAP_AMBIENT_RAISE)", err
		}
	}
	return "", nil
}
