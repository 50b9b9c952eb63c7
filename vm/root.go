package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/qemu"
	"github.com/bpfcov/bpfcov/vm/rootfs"
)

// Root is the root of a guest below the files of its tests. At most one field is set; what the guest writes stays in its
// memory.
type Root struct {
	// Disk is a squashfs image, see package rootfs.
	Disk string
	// Share is a folder of the host, which the guest reads by 9p, or by virtiofs where its kernel has no 9p. Such a guest
	// cannot be saved.
	Share string

	daemon    string // of virtiofs, where that is how Share is read
	temporary bool
}

func (r Root) used() bool { return r.Disk != "" || r.Share != "" }

func (r Root) kind() guest.Root {
	switch {
	case r.Disk != "":
		return guest.RootDisk
	case r.daemon != "":
		return guest.RootVirtioFS
	case r.Share != "":
		return guest.RootShare
	}
	return guest.RootNone
}

// upper is the folder of the initramfs for files of the tests.
func (r Root) upper() string {
	if r.used() {
		return guest.UpperDir
	}
	return ""
}

func (r Root) remove() {
	if r.temporary {
		os.Remove(r.Disk)
	}
}

// below puts files below a folder.
func below(dir string, files []initramfs.File) []initramfs.File {
	if dir == "" {
		return files
	}
	out := make([]initramfs.File, len(files))
	for i, f := range files {
		f.Path = path.Join(dir, f.Path)
		out[i] = f
	}
	return out
}

// moduleNames are what a root needs of the kernel.
func (r Root) moduleNames() []string {
	switch {
	case r.Disk != "":
		return []string{"virtio_blk", "squashfs", "overlay"}
	case r.daemon != "":
		return []string{"virtiofs", "overlay"}
	case r.Share != "":
		return []string{"9pnet_virtio", "9p", "overlay"}
	}
	return nil
}

// chooseShare finds how a kernel can read the share, if there is one.
func (r *Root) chooseShare(k *kernels.Kernel) error {
	if r.Share == "" || k.HasModule("9pnet_virtio") {
		return nil
	}
	if !k.HasModule("virtiofs") {
		return fmt.Errorf("the host's root needs the module 9pnet_virtio or virtiofs, and this kernel has neither: use %s", otherFlavour)
	}
	var err error
	if r.daemon, err = qemu.FindVirtiofsd(); err != nil {
		return fmt.Errorf("the host's root goes to this kernel by virtiofs only: %w; or use %s", err, otherFlavour)
	}
	return nil
}

// otherFlavour is what does for the host's root when a kernel does not.
const otherFlavour = "a kernel of another flavour, such as @generic, or a root image"

// rootModules are the modules of c's kernel for c's root, in an order in which they load.
func rootModules(c *CellConfig) ([]kernels.Module, error) {
	mods, _, err := c.Kernel.LoadModules(c.Root.moduleNames(), nil)
	var m *kernels.ModuleError
	if errors.As(err, &m) && errors.Is(err, kernels.ErrNoModule) {
		what, instead := "a root image", "the root closure"
		if c.Root.Share != "" {
			what, instead = "the host's root", otherFlavour
		}
		return nil, fmt.Errorf("%s needs the module %s, which this kernel has not: use %s", what, m.Module, instead)
	}
	return mods, err
}

// diskSize is the size of files, in bytes, from which on they go to the guest on a disk: an initramfs takes memory twice while
// it is unpacked, and all of it is read whether or not it is used.
const diskSize = 64 << 20

// filesToDisk moves c's files to a disk where kernel and machine can do that, and returns the size of what is left for the
// initramfs. Such a guest boots cold: a saved one would be good for one set of files only.
func filesToDisk(ctx context.Context, c *CellConfig, size int64) (int64, error) {
	if c.Root.used() || rootfs.Available() != nil {
		return size, nil
	}
	disk := Root{Disk: filepath.Join(c.OutDir, ".files.squashfs"), temporary: true}
	if _, missing, err := c.Kernel.LoadModules(nil, disk.moduleNames()); err != nil || len(missing) > 0 {
		return size, nil
	}
	os.Remove(disk.Disk)
	if err := rootfs.FromFiles(ctx, disk.Disk, testFiles(c)); err != nil {
		disk.remove()
		return 0, fmt.Errorf("a disk of the files: %w", err)
	}
	c.Root, c.Files, c.Warm = disk, nil, false
	return 0, nil
}
