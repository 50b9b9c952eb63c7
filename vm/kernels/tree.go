package kernels

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// treeImages are the images in a kernel build tree, by GOARCH.
func treeImages(goarch string) []string {
	switch goarch {
	case "amd64", "386":
		return []string{"arch/x86/boot/bzImage", "vmlinux"}
	case "arm64":
		return []string{"arch/arm64/boot/Image", "arch/arm64/boot/Image.gz"}
	case "riscv64":
		return []string{"arch/riscv/boot/Image", "arch/riscv/boot/Image.gz"}
	case "s390x":
		return []string{"arch/s390/boot/bzImage"}
	case "ppc64le":
		return []string{"vmlinux"}
	case "arm":
		return []string{"arch/arm/boot/zImage"}
	case "loong64":
		return []string{"arch/loongarch/boot/vmlinux.efi", "arch/loongarch/boot/vmlinux.elf"}
	}
	return []string{"vmlinux"}
}

// openTree gives the kernel of a build tree (the folder that `make` or `make O=DIR` left). Its modules are used where
// they were built, without make modules_install.
func (s *Store) openTree(sp spec, a archInfo) (*Kernel, error) {
	names := treeImages(a.goarch)
	for _, n := range names {
		image := filepath.Join(sp.path, n)
		if _, err := os.Stat(image); err != nil {
			continue
		}
		file := spec{kind: kindFile, path: image}
		k, err := s.openFile(file, a)
		if err != nil {
			return nil, err
		}
		k.Spec = sp.String()
		k.Modules = ""
		if _, err := os.Stat(filepath.Join(sp.path, "modules.order")); err == nil {
			k.Modules = sp.path
		}
		if b, err := os.ReadFile(filepath.Join(sp.path, ".config")); err == nil {
			k.Config, k.Features = filepath.Join(sp.path, ".config"), readConfig(b)
		}
		return k, nil
	}
	return nil, fmt.Errorf("kernel %s: %w: none of %s in the tree; build it for %s first", sp, fs.ErrNotExist, strings.Join(names, ", "), a.goarch)
}

// orderedModules reads modules.order of a build tree: the modules' paths, a line each, as .ko or, since Linux 6.2, as
// .o, and with the prefix kernel/ until 5.2. The list is nil when there is no such file.
func orderedModules(fsys fs.FS) ([]string, error) {
	f, err := fsys.Open("modules.order")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	out := []string{}
	sc := bufio.NewScanner(io.LimitReader(f, 16<<20))
	for sc.Scan() {
		p := strings.TrimSpace(sc.Text())
		if o, ok := strings.CutSuffix(p, ".o"); ok {
			p = o + ".ko"
		}
		if !fs.ValidPath(p) {
			continue
		}
		if _, err := fs.Stat(fsys, p); err != nil {
			if p = strings.TrimPrefix(p, "kernel/"); !fs.ValidPath(p) {
				continue
			}
		}
		if len(out) == maxModuleFiles {
			return nil, fmt.Errorf("more than %d modules", maxModuleFiles)
		}
		out = append(out, p)
	}
	return out, sc.Err()
}

// isTree reports whether a modules folder is a kernel build tree, whose many other files are not to be walked.
func isTree(fsys fs.FS) bool {
	_, err := fs.Stat(fsys, "include/generated/utsrelease.h")
	return err == nil
}

// openHost gives the kernel that this machine runs, to boot it in a guest. To run tests on it without a guest there
// is bpfcov exec.
func (s *Store) openHost(sp spec, a archInfo) (*Kernel, error) {
	if a.goarch != runtime.GOARCH {
		return nil, fmt.Errorf("kernel host: this machine is %s, not %s", runtime.GOARCH, a.goarch)
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("kernel host: uname: %w", err)
	}
	release := unix.ByteSliceToString(uts.Release[:])
	for _, image := range []string{"/boot/vmlinuz-" + release, "/boot/vmlinux-" + release, "/usr/lib/modules/" + release + "/vmlinuz"} {
		if _, err := os.Stat(image); err != nil {
			continue
		}
		k, err := s.openFile(spec{kind: kindFile, path: image}, a)
		if err != nil {
			return nil, fmt.Errorf("kernel host: %w", err)
		}
		if mods := "/lib/modules/" + release; k.Modules == "" {
			if st, err := os.Stat(mods); err == nil && st.IsDir() {
				k.Modules = mods
			}
		}
		k.Spec = sp.String()
		return k, nil
	}
	return nil, fmt.Errorf("kernel host: %w: no image of %s in /boot or /usr/lib/modules (in a container it belongs to the host); "+
		"bpfcov exec runs tests on the running kernel without one", fs.ErrNotExist, release)
}
