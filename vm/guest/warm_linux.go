package guest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeOrders tells the host that the guest may be saved, and follows its orders after it has been resumed. In
// between, time stands still for the guest.
func takeOrders(p *port) (*Job, error) {
	if err := NewEncoder(p).Encode(KindReady, nil); err != nil {
		return nil, err
	}
	g := &resumed{}
	defer g.close()
	return follow(bufio.NewReaderSize(p, 64<<10), g)
}

// resumed carries out orders.
type resumed struct {
	f    *os.File
	left int64
}

// resume sets what is different in each guest of one state.
func (g *resumed) resume(r Resume) error {
	ts := unix.NsecToTimespec(r.Time.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	return stir(r.Seed)
}

// stir adds entropy to the kernel's random numbers and has them start anew from it (random(4)).
func stir(seed []byte) error {
	fd, err := unix.Open("/dev/urandom", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("entropy: %w", err)
	}
	defer unix.Close(fd)
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
	var err error
	if g.f, err = os.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	g.left = f.Size
	if err := g.f.Chmod(f.Mode); err != nil {
		return err
	}
	if f.Size == 0 {
		return g.close()
	}
	return nil
}

func (g *resumed) data(b []byte) error {
	if _, err := g.f.Write(b); err != nil {
		return err
	}
	if g.left -= int64(len(b)); g.left == 0 {
		return g.close()
	}
	return nil
}

func (g *resumed) close() error {
	if g.f == nil {
		return nil
	}
	err := g.f.Close()
	g.f = nil
	return err
}
