package guest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeOrders tells the host that the guest may be saved, and follows its orders after it has been resumed. In
// between, time stands still for the guest.
func takeOrders(p *port) (*Job, error) {
	if err := NewEncoder(p).Encode(KindReady, nil); err != nil {
		return nil, err
	}
	return followOrders(bufio.NewReaderSize(p, 64<<10))
}

// followOrders does what the host orders, as PID 1.
func followOrders(r io.Reader) (*Job, error) {
	g := &resumed{fd: -1}
	defer g.close()
	defer unix.Umask(unix.Umask(0)) // the modes of files are the host's
	return follow(r, g)
}

// resumed carries out orders. Files are written with plain system calls, see readSmall.
type resumed struct {
	path string
	fd   int // of the file that is being written, or -1
	left int64
}

// resume sets what is different in each guest of one state.
func (g *resumed) resume(r Resume) error {
	if runtime.GOARCH == "ppc64le" {
		if err := rearm(); err != nil {
			return fmt.Errorf("timer: %w", err)
		}
	}
	ts := unix.NsecToTimespec(r.Time.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	return stir(r.Seed)
}

// urandom opens the device, once: a resumed guest has it open.
var urandom = sync.OnceValues(func() (int, error) {
	return unix.Open("/dev/urandom", unix.O_WRONLY|unix.O_CLOEXEC, 0)
})

// stir adds entropy to the kernel's random numbers and has them start anew from it (random(4)).
func stir(seed []byte) error {
	fd, err := urandom()
	if err != nil {
		return fmt.Errorf("entropy: %w", err)
	}
	// struct rand_pool_info of include/uapi/linux/random.h
	b := binary.NativeEndian.AppendUint32(nil, uint32(8*len(seed)))
	b = append(binary.NativeEndian.AppendUint32(b, uint32(len(seed))), seed...)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
		return fmt.Errorf("entropy: ioctl(RNDADDENTROPY): %w", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDRESEEDCRNG, 0); errno != 0 {
		return fmt.Errorf("entropy: ioctl(RNDRESEEDCRNG): %w", errno)
	}
	return nil
}

func (g *resumed) file(f File) error {
	if err := g.close(); err != nil {
		return err
	}
	if i := strings.LastIndexByte(f.Path, '/'); i > 0 {
		if err := makeDir(f.Path[:i]); err != nil {
			return err
		}
	}
	switch {
	case f.Mode.IsDir():
		if err := makeDir(f.Path); err != nil {
			return err
		}
		return os.Chmod(f.Path, f.Mode&^fs.ModeDir)
	case f.Link != "":
		if err := unix.Unlink(f.Path); err != nil && err != unix.ENOENT {
			return &os.PathError{Op: "unlink", Path: f.Path, Err: err}
		}
		return os.Symlink(f.Link, f.Path)
	}
	if err := g.create(f); err != nil {
		return err
	}
	g.path, g.left = f.Path, f.Size
	if f.Size == 0 {
		return g.close()
	}
	return nil
}

// create opens a new file in place of what is there.
func (g *resumed) create(f File) (err error) {
	for {
		g.fd, err = unix.Open(f.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(f.Mode.Perm()))
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EEXIST:
			if err = unix.Unlink(f.Path); err == nil {
				continue
			}
		case err == nil && f.Mode&^fs.ModePerm != 0: // setuid and its like
			return os.Chmod(f.Path, f.Mode)
		}
		if err != nil {
			return &os.PathError{Op: "open", Path: f.Path, Err: err}
		}
		return nil
	}
}

func (g *resumed) data(b []byte) error {
	if _, err := writeAll(g.fd, b); err != nil {
		return &os.PathError{Op: "write", Path: g.path, Err: err}
	}
	if g.left -= int64(len(b)); g.left == 0 {
		return g.close()
	}
	return nil
}

func (g *resumed) close() error {
	if g.fd < 0 {
		return nil
	}
	err := unix.Close(g.fd)
	g.fd = -1
	if err != nil {
		return &os.PathError{Op: "close", Path: g.path, Err: err}
	}
	return nil
}
