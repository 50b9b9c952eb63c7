package guest

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// enterRoot makes the job's root, with the tests' files over it, the root of everything that follows. It is called before the
// rest is mounted.
func enterRoot(job *Job) error {
	for _, m := range job.RootModules {
		if err := m.load(); err != nil {
			return fmt.Errorf("root: %w", err)
		}
	}
	const lower, work, root = Dir + "/lower", Dir + "/work", Dir + "/newroot"
	for _, dir := range []string{lower, UpperDir, work, root} {
		if err := makeDir(dir); err != nil {
			return err
		}
	}
	if err := mountLower(job.Root, lower); err != nil {
		return err
	}
	// The upper layer is the initramfs' own: what the host put there need not be copied.
	if err := mountFS("overlay", root, "overlay", 0, "lowerdir="+lower+",upperdir="+UpperDir+",workdir="+work); err != nil {
		return fmt.Errorf("root: mount the overlay: %w", err)
	}
	move := func(dir string, flags uintptr) error {
		if err := makeDir(root + dir); err != nil {
			return err
		}
		if err := mountFS(dir, root+dir, "", flags, ""); err != nil {
			return fmt.Errorf("root: move %s: %w", dir, err)
		}
		return nil
	}
	return errors.Join(move("/proc", unix.MS_MOVE), move("/sys", unix.MS_MOVE), move("/dev", unix.MS_MOVE), move(Dir, unix.MS_BIND), chrootTo(root))
}

// mountLower mounts what the host gave.
func mountLower(r Root, dir string) error {
	const disk = "/dev/vda"
	source, fs, data := disk, "squashfs", ""
	switch r {
	case RootVirtioFS:
		source, fs = ShareTag, "virtiofs"
	case RootShare:
		// cache=loose: nobody changes it for the guest's sake.
		source, fs, data = ShareTag, "9p", "trans=virtio,version=9p2000.L,cache=loose,msize=262144"
	}
	for start := time.Now(); ; nap() {
		err := mountFS(source, dir, fs, unix.MS_RDONLY, data)
		// What they say as long as the driver of the device is not there; for virtiofs it is then no tag that is known.
		absent := err == unix.ENOENT || err == unix.ENXIO || r == RootVirtioFS && err == unix.EINVAL
		switch {
		case err == nil:
			return nil
		case absent && time.Since(start) < portDeadline:
		default:
			return fmt.Errorf("root: mount %s (%s): %w", source, fs, err)
		}
	}
}
