package guest

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// switchRoot makes the initramfs a mount that can be pivoted away from. pivot_root(2) refuses the root mount of the
// mount tree, on which the kernel unpacks the initramfs; a bind mount of it, moved onto "/" as switch_root(8)
// does, is the same tmpfs with a parent, and costs no copy.
func switchRoot() error {
	const dir = Dir + "/root"
	if err := makeDir(dir); err != nil {
		return err
	}
	if err := mountFS("/", dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the root: %w", err)
	}
	return chrootTo(dir)
}

// chrootTo moves the mount dir onto "/" and enters it.
func chrootTo(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("new root: %w", err)
	}
	if err := mountFS(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the new root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("new root: %w", err)
	}
	return unix.Chdir("/")
}

type mount struct {
	fs, dir, data string
	flags         uintptr
	ifEmpty       bool // leave the initramfs' own files there
}

const quietFS = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mountEarly mounts what the port needs. What fails later can be reported over it.
func mountEarly() {
	for _, err := range mountAll([]mount{
		{fs: "proc", dir: "/proc", flags: quietFS},
		{fs: "sysfs", dir: "/sys", flags: quietFS},
		{fs: "devtmpfs", dir: "/dev", data: "mode=0755", flags: unix.MS_NOSUID},
	}) {
		complain("%v", err)
	}
}

func mountRest() []error {
	errs := mountAll([]mount{
		{fs: "devpts", dir: "/dev/pts", data: "gid=5,mode=0620,ptmxmode=0666", flags: unix.MS_NOSUID | unix.MS_NOEXEC},
		{fs: "tmpfs", dir: "/dev/shm", data: "mode=1777", flags: unix.MS_NOSUID | unix.MS_NODEV},
		{fs: "tmpfs", dir: "/tmp", data: "mode=1777", flags: unix.MS_NOSUID | unix.MS_NODEV, ifEmpty: true},
		{fs: "tmpfs", dir: "/run", data: "mode=0755", flags: unix.MS_NOSUID | unix.MS_NODEV, ifEmpty: true},
		{fs: "bpf", dir: "/sys/fs/bpf", data: "mode=0700", flags: quietFS},
		{fs: "tracefs", dir: "/sys/kernel/tracing", flags: quietFS},
		{fs: "debugfs", dir: "/sys/kernel/debug", flags: quietFS},
		{fs: "securityfs", dir: "/sys/kernel/security", flags: quietFS},
		{fs: "cgroup2", dir: "/sys/fs/cgroup", flags: quietFS},
	})
	for name, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2",
		"/dev/ptmx": "pts/ptmx", // a node of devtmpfs already, on kernels with their own
	} {
		if err := unix.Symlink(target, name); err != nil && err != unix.EEXIST {
			errs = append(errs, fmt.Errorf("symlink %s: %w", name, err))
		}
	}
	return errs
}

// mountAll mounts what it can. A file system that this kernel does not have is not an error.
func mountAll(mounts []mount) (errs []error) {
	for _, m := range mounts {
		if m.ifEmpty && !empty(m.dir) {
			continue
		}
		if err := makeDir(m.dir); err != nil {
			if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOENT) { // sysfs: the kernel lacks it
				errs = append(errs, err)
			}
			continue
		}
		err := mountFS(m.fs, m.dir, m.fs, m.flags, m.data)
		if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("mount %s on %s: %w", m.fs, m.dir, err))
		}
	}
	return errs
}

// empty reports whether a folder holds nothing, or does not exist. An empty one is removed.
func empty(dir string) bool {
	err := unix.Rmdir(dir)
	return err == nil || err == unix.ENOENT
}
