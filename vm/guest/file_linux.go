package guest

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the agent reads and writes at start it does with plain system calls: package os brings the runtime's poller
// up for its files, and running that for the first time is a cost that an emulated guest feels.

// readSmall reads a file of at most 1 MiB.
func readSmall(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	for n := 0; ; {
		k, err := unix.Read(fd, buf[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		case k == 0:
			return buf[:n], nil
		}
		if n += k; n == len(buf) {
			if n >= 1<<20 {
				return nil, &os.PathError{Op: "read", Path: name, Err: unix.EFBIG}
			}
			buf = append(buf, make([]byte, n)...)
		}
	}
}

// writeSmall writes to a file that exists, in one system call, as files below /proc want it.
func writeSmall(name, value string) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

// writeAll writes all of b, and returns how much of it was written.
func writeAll(fd int, b []byte) (done int, err error) {
	for done < len(b) {
		n, err := unix.Write(fd, b[done:])
		if n > 0 {
			done += n
		}
		if err != nil && err != unix.EINTR && err != unix.EAGAIN {
			return done, err
		}
	}
	return done, nil
}

// makeDir makes a folder and those above it. One that exists is no error.
func makeDir(name string) error {
	err := unix.Mkdir(name, 0o755)
	if err == unix.ENOENT {
		if i := strings.LastIndexByte(name, '/'); i > 0 {
			if err := makeDir(name[:i]); err != nil {
				return err
			}
			err = unix.Mkdir(name, 0o755)
		}
	}
	if err != nil && err != unix.EEXIST {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return nil
}

// emptyDir reports whether name is a folder with nothing in it. A file system tells that sooner than it removes a folder and
// makes another.
func emptyDir(name string) (bool, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	// "." and "..", 24 bytes each (getdents64(2)), and a third entry, whose name has at most 255.
	var buf [512]byte
	n, err := unix.Getdents(fd, buf[:])
	return err == nil && n == 48, err
}

// mountFS is mount(2). Unlike unix.Mount it does not tell the scheduler, which otherwise takes the only processor from the
// agent while the kernel works, with a thread for it and code that has not run yet, to find nothing else to do.
func mountFS(source, dir, fs string, flags uintptr, data string) error {
	var p [4]*byte
	for i, s := range []string{source, dir, fs, data} {
		b, err := unix.BytePtrFromString(s)
		if err != nil {
			return err
		}
		p[i] = b
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_MOUNT, uintptr(unsafe.Pointer(p[0])), uintptr(unsafe.Pointer(p[1])),
		uintptr(unsafe.Pointer(p[2])), flags, uintptr(unsafe.Pointer(p[3])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// loadModule is finit_module(2), as mountFS is mount(2).
func loadModule(fd int) error {
	var none [1]byte
	if _, _, errno := unix.RawSyscall(unix.SYS_FINIT_MODULE, uintptr(fd), uintptr(unsafe.Pointer(&none)), 0); errno != 0 {
		return errno
	}
	return nil
}

// nap sleeps for a millisecond, without the first timer of the process and what Go sets up for it.
func nap() {
	ts := unix.Timespec{Nsec: 1e6}
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}
