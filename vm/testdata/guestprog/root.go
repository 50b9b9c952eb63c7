package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// root checks that "/" is an overlay with a file below it, and that it can be written to.
func root(name, size, text string) error {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return err
	}
	if !strings.Contains("\n"+string(mounts), "\noverlay / overlay ") {
		return fmt.Errorf("/ is no overlay:\n%s", mounts)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, len(text))
	if _, err := f.Read(head); err != nil && len(text) > 0 {
		return err
	}
	if strconv.FormatInt(st.Size(), 10) != size || string(head) != text {
		return fmt.Errorf("%s: got %d bytes that begin with %q, want %s and %q", name, st.Size(), head, size, text)
	}
	for _, p := range []string{"/new", name} { // a new one, and over one that is below
		if err := os.WriteFile(p, []byte("written"), 0o644); err != nil {
			return err
		}
		if b, err := os.ReadFile(p); err != nil || string(b) != "written" {
			return fmt.Errorf("%s: got %q, %v, after it was written", p, b, err)
		}
	}
	return nil
}

const spoilDir = "/spoil"

// mountSpoil mounts the host's files so that this kernel would let them be changed.
func mountSpoil() error {
	const dir = spoilDir
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	// The second mount shares the first one's state, which is read-only.
	if err := unix.Mount("bpfcov", dir, "virtiofs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil {
		return fmt.Errorf("mount it writable: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("the guest's own mount: flags %#x, %v, want it writable", st.Flags, err)
	}
	return nil
}

// spoil tries to change a file of the host.
func spoil(name string) error {
	file := spoilDir + name
	if b, err := os.ReadFile(file); err != nil || len(b) == 0 {
		return fmt.Errorf("read: got %q, %w", b, err)
	}
	open := func(flags int) error {
		fd, err := unix.Open(file, flags, 0)
		if err == nil {
			_, err = unix.Write(fd, []byte("spoilt"))
			unix.Close(fd)
		}
		return err
	}
	const sysctl = spoilDir + "/proc/sys/kernel/panic"
	same, err := os.ReadFile(sysctl)
	if err != nil {
		return err
	}
	var errs []error
	for _, op := range []struct {
		what string
		err  error
	}{
		{"write", open(unix.O_WRONLY)},
		{"append", open(unix.O_RDWR | unix.O_APPEND)},
		{"open and truncate", open(unix.O_RDWR | unix.O_TRUNC)},
		{"truncate", unix.Truncate(file, 1)},
		{"chmod", unix.Chmod(file, 0o777)},
		{"chown", unix.Chown(file, 1, 1)},
		{"set times", unix.Utimes(file, []unix.Timeval{{Sec: 1}, {Sec: 1}})},
		{"remove", unix.Unlink(file)},
		{"rename", unix.Rename(file, file+".new")},
		{"link", unix.Link(file, file+".new")},
		{"symlink", unix.Symlink("x", file+".new")},
		{"mkdir", unix.Mkdir(file+".new", 0o755)},
		{"mknod", unix.Mknod(file+".new", unix.S_IFIFO|0o644, 0)},
		{"create", os.WriteFile(file+".new", []byte("x"), 0o644)},
		{"sysctl", os.WriteFile(sysctl, same, 0)},
	} {
		if !errors.Is(op.err, syscall.EROFS) {
			errs = append(errs, fmt.Errorf("%s of %s: got %v, want it refused as read-only", op.what, name, op.err))
		}
	}
	return errors.Join(errs...)
}
