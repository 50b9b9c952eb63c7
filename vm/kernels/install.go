package kernels

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

const (
	maxUnpacked  = 4 << 30 // bytes of one kernel, unpacked
	maxTarEntry  = 1 << 30 // bytes of one file of a package
	maxTarFiles  = 1 << 17 // files of one package
	packedName   = "vmlinuz"
	unpackedName = "vmlinux"
	configName   = "config"
)

// install fetches the packages of a candidate and unpacks them into the store, unless they are there.
func (s *Store) install(ctx context.Context, r *aptRoot, sp spec, c Candidate) (*Kernel, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	id := kernelID(c)
	if !safeName(c.Release) || !filepath.IsLocal(id) {
		return nil, fmt.Errorf("kernel %s: release %.80q is no file name", sp, c.Release)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "locks", strings.ReplaceAll(id, "/", "_")))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if k := s.load(id); k != nil {
		return k, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(filepath.Join(dir, "tmp"), "pull-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	debs := filepath.Join(tmp, "debs")
	if err := os.Mkdir(debs, 0o755); err != nil {
		return nil, err
	}
	s.logf("fetching %s, %.1f MB", c.Package, float64(c.Download)/1e6)
	files, err := r.download(ctx, debs, append([]*debPackage{c.pkg}, c.deps...))
	if err != nil {
		return nil, err
	}
	out := filepath.Join(tmp, "kernel")
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, err
	}
	s.logf("unpacking %s", c.Release)
	if err := unpackDebs(ctx, files, out, c.Release); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", c.Release, err)
	}
	k := &Kernel{
		Spec: sp.String(), Release: c.Release, Version: c.Version, Arch: c.Arch, Flavour: c.Flavour, Package: c.Package,
		Modules: filepath.Join("lib", "modules", c.Release),
	}
	if err := s.finish(k, out); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", c.Release, err)
	}
	final := filepath.Join(dir, "kernels", id)
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(final); err != nil { // what load refused
		return nil, err
	}
	if err := os.Rename(out, final); err != nil {
		return nil, err
	}
	if k = s.load(id); k == nil {
		return nil, fmt.Errorf("kernel %s: %s is not readable after unpacking", c.Release, final)
	}
	return k, nil
}

// finish makes the boot image, reads the configuration and writes kernel.json into dir, where the package's files
// are. Paths in k are relative to dir.
func (s *Store) finish(k *Kernel, dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, packedName))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("its packages hold no kernel image")
	} else if err != nil {
		return err
	}
	if a := imageArch(b); a != "" && a != k.Arch {
		return fmt.Errorf("the image is for %s, not for %s", a, k.Arch)
	}
	k.Image = packedName
	imageBytes := len(b)
	if img, changed := bootImage(b, k.Arch, s.logf); changed {
		if err := os.WriteFile(filepath.Join(dir, unpackedName), img, 0o644); err != nil {
			return err
		}
		k.Image, k.Packed = unpackedName, packedName
		imageBytes = len(img)
	}
	if _, err := os.Stat(filepath.Join(dir, k.Modules)); err != nil {
		k.Modules = ""
	}
	if c, err := os.ReadFile(filepath.Join(dir, configName)); err == nil {
		k.Config, k.Features = configName, readConfig(c)
	}
	if k.Size, err = diskSize(dir); err != nil {
		return err
	}
	j, err := json.MarshalIndent(storedKernel{*k, int64(imageBytes)}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kernel.json"), append(j, '\n'), 0o644)
}

func diskSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			n += i.Size()
		}
		return err
	})
	return n, err
}

// unpackDebs takes the files of a kernel out of its packages.
func unpackDebs(ctx context.Context, debs []string, out, release string) error {
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(maxUnpacked)
	for _, d := range debs {
		if err := unpackDeb(ctx, d, root, release, &left); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(d), err)
		}
	}
	return nil
}

func unpackDeb(ctx context.Context, deb string, root *os.Root, release string, left *int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var msgs bytes.Buffer
	cmd.Stderr = &msgs
	in, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = unpackTar(in, root, release, left)
	if err == nil {
		_, err = io.Copy(io.Discard, in) // padding after the archive's end
	}
	if err != nil {
		cancel()
	}
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("dpkg-deb: %w: %s", werr, strings.TrimSpace(msgs.String()))
	}
	return err
}

// unpackTar writes the regular files that [destination] wants into root. left is lowered by their sizes.
func unpackTar(in io.Reader, root *os.Root, release string, left *int64) error {
	t := tar.NewReader(in)
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if n > maxTarFiles {
			return fmt.Errorf("more than %d files", maxTarFiles)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		dst := destination(h.Name, release)
		if dst == "" {
			continue
		}
		if h.Size > maxTarEntry || h.Size > *left {
			return fmt.Errorf("%s: %w: %d bytes", h.Name, errTooLarge, h.Size)
		}
		*left -= h.Size
		if err := writeEntry(root, dst, t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// destination tells where a file of a package goes, "" when it is not wanted. The image is /boot/vmlinuz-RELEASE or,
// on riscv64 and ppc64el, /boot/vmlinux-RELEASE; since the packages were split, /usr/lib/modules/RELEASE/vmlinuz.
func destination(name, release string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	switch name {
	case "boot/vmlinuz-" + release, "boot/vmlinux-" + release, "boot/vmlinux", "boot/vmlinuz":
		return packedName
	case "boot/config-" + release:
		return configName
	}
	name = strings.TrimPrefix(name, "usr/")
	rest, ok := strings.CutPrefix(name, "lib/modules/"+release+"/")
	if !ok {
		return ""
	}
	switch rest {
	case "vmlinuz", "vmlinux":
		return packedName
	case "config":
		return configName
	}
	if _, ok := moduleName(rest); ok || strings.HasPrefix(rest, "modules.") {
		return name
	}
	return ""
}
