package kernels

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// maxArchive bounds what is read of one archive, unpacked; images of kernels for tests bring their sources along.
const maxArchive = 16 << 30

// errNoImage is returned for an archive without a kernel.
var errNoImage = errors.New("no kernel image in it; looked for boot/vmlinuz*, bzImage, Image, vmlinux and lib/modules/RELEASE/vmlinuz, below any folder")

// An archiveFiller writes a kernel's files (packedName, configName, lib/modules/…) below root.
type archiveFiller func(root *os.Root) error

// keep gives the kernel of the store with this id, filling its folder first when it is not there. A kernel that
// comes from an archive is known by the sum of the archive, so that nothing needs unpacking to recognise it.
func (s *Store) keep(ctx context.Context, sp spec, a archInfo, id, pkg string, fill archiveFiller) (*Kernel, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	inUse, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	defer inUse()
	id = a.goarch + "/" + id
	if !filepath.IsLocal(id) {
		return nil, fmt.Errorf("kernel %s: %q is no file name", sp, id)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "locks", strings.ReplaceAll(id, "/", "_")))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if k := s.load(id); k != nil {
		return k, s.record(sp, a, k)
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(filepath.Join(dir, "tmp"), "pull-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := fill(root); err != nil {
		return nil, err
	}
	k := &Kernel{Spec: sp.String(), Arch: a.goarch, Package: pkg}
	if k.Release, err = archiveRelease(tmp); err != nil {
		return nil, err
	}
	k.Version = majorMinor(k.Release)
	k.Modules = filepath.Join("lib", "modules", k.Release)
	// Modules of other kernels are of no use.
	others, _ := filepath.Glob(filepath.Join(escapeGlob(tmp), "lib", "modules", "*"))
	for _, o := range others {
		if filepath.Base(o) != k.Release {
			if err := os.RemoveAll(o); err != nil {
				return nil, err
			}
		}
	}
	if err := s.finish(k, tmp); err != nil {
		return nil, err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return nil, err
	}
	final := filepath.Join(dir, "kernels", id)
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(final); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, final); err != nil {
		return nil, err
	}
	if k = s.load(id); k == nil {
		return nil, fmt.Errorf("%s is not readable after unpacking", final)
	}
	return k, s.record(sp, a, k)
}

// archiveRelease finds the release of the unpacked image in dir: what it says itself, else its only modules folder.
func archiveRelease(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, packedName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoImage
	} else if err != nil {
		return "", err
	}
	r := imageRelease(b)
	for _, arch := range []string{"amd64", "arm64"} {
		if r == "" {
			if boot, changed := bootImage(b, arch, func(string, ...any) {}); changed {
				r = imageRelease(boot)
			}
		}
	}
	if r == "" {
		mods, _ := filepath.Glob(filepath.Join(escapeGlob(dir), "lib", "modules", "*"))
		if len(mods) == 1 && majorMinor(filepath.Base(mods[0])) != "" {
			r = filepath.Base(mods[0])
		}
	}
	if r == "" || !safeName(r) {
		return "", errors.New("its image shows no Linux version, and there is not one folder lib/modules/RELEASE: is it a kernel?")
	}
	return r, nil
}

// unpackKernel takes the files of one kernel out of a tar stream that holds a root file system, or a folder with
// one below any other folder. Only regular files are looked at, and they are written under names chosen here.
// Of several images the best by [imageRank] stays.
func unpackKernel(ctx context.Context, in io.Reader, root *os.Root) error {
	t := tar.NewReader(&limitedReader{r: in, left: maxArchive})
	best, bestName, left := len(imageRanks), "", int64(maxUnpacked)
	configs := map[string]string{} // name in the archive to name in root
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		h, err := t.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if n > 8*maxTarFiles {
			return fmt.Errorf("more than %d files", 8*maxTarFiles)
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 {
			continue
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		dst := ""
		if rank := imageRank(name); rank < len(imageRanks) {
			if rank > best || rank == best && compareVersions(path.Base(name), path.Base(bestName)) <= 0 {
				continue
			}
			if h.Size > maxImage {
				continue // a vmlinux with debug information
			}
			best, bestName, dst = rank, name, packedName
		} else if isConfig(name) {
			if len(configs) > 64 {
				continue
			}
			dst = fmt.Sprintf("%s.%d", configName, len(configs))
			configs[name] = dst
		} else {
			dst = modulePath(name)
		}
		if dst == "" {
			continue
		}
		if h.Size > maxTarEntry || h.Size > left {
			return fmt.Errorf("%.200s: %w: %d bytes", h.Name, errTooLarge, h.Size)
		}
		left -= h.Size
		if err := writeEntry(root, dst, t); err != nil {
			return fmt.Errorf("%.200s: %w", h.Name, err)
		}
	}
	if bestName == "" {
		return errNoImage
	}
	return pickConfig(root, bestName, configs)
}

// pickConfig keeps the configuration that belongs to the image by its release or its folder.
func pickConfig(root *os.Root, image string, configs map[string]string) error {
	_, release, _ := strings.Cut(path.Base(image), "-")
	var names []string
	for n := range configs {
		names = append(names, n)
	}
	score := func(n string) int {
		switch {
		case release != "" && path.Base(n) == "config-"+release:
			return 0
		case path.Dir(n) == path.Dir(image):
			return 1
		}
		return 2
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := score(a) - score(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, n := range names {
		if i == 0 {
			if err := root.Rename(configs[n], configName); err != nil {
				return err
			}
			continue
		}
		if err := root.Remove(configs[n]); err != nil {
			return err
		}
	}
	return nil
}

// writeEntry writes an entry of an archive below root, with the folders above it.
func writeEntry(root *os.Root, dst string, r io.Reader) error {
	if err := root.MkdirAll(path.Dir(dst), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// imageRanks are the base names of kernel images, best first. What a name ends in "-" goes on with a release.
var imageRanks = []string{"vmlinuz", "vmlinuz-", "bzImage", "Image", "Image.gz", "kernel", "vmlinux", "vmlinux-"}

// imageRank gives the place of a path in imageRanks, and their number when it is none: the name must stand at the
// top, in boot/, in lib/modules/RELEASE/, or below a folder that holds one of these.
func imageRank(name string) int {
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case dir == "" || dir == "boot" || strings.HasSuffix(dir, "/boot") || path.Base(path.Dir(dir)) == "modules":
	case !strings.Contains(dir, "/") && strings.ContainsAny(dir, "0123456789"): // a folder named after the kernel
	default:
		return len(imageRanks)
	}
	for i, r := range imageRanks {
		if base == r || strings.HasSuffix(r, "-") && strings.HasPrefix(base, r) && !strings.HasSuffix(base, ".sig") {
			return i
		}
	}
	return len(imageRanks)
}

func isConfig(name string) bool {
	dir, base := path.Split(name)
	if base != "config" && base != ".config" && !strings.HasPrefix(base, "config-") {
		return false
	}
	dir = strings.TrimSuffix(dir, "/")
	return dir == "" || dir == "boot" || strings.HasSuffix(dir, "/boot") || path.Base(path.Dir(dir)) == "modules" || !strings.Contains(dir, "/")
}

// modulePath gives where a file of lib/modules/RELEASE belongs, "" when it is not wanted.
func modulePath(name string) string {
	i := strings.Index("/"+name, "/lib/modules/")
	if i < 0 {
		return ""
	}
	rest := ("/" + name)[i+len("/lib/modules/"):]
	release, file, ok := strings.Cut(rest, "/")
	if !ok || !safeName(release) || majorMinor(release) == "" {
		return ""
	}
	if _, ok := moduleName(file); !ok && !(strings.HasPrefix(file, "modules.") && !strings.Contains(file, "/")) {
		return ""
	}
	return "lib/modules/" + release + "/" + file
}

// A limitedReader fails when more than left bytes are read, so that an archive that unpacks for ever ends.
type limitedReader struct {
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("archive: %w", errTooLarge)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// OpenTar unpacks a tar stream that may be compressed with gzip or zstd. The function that it returns is to be called when it has been
// read.
func OpenTar(r io.Reader) (io.Reader, func(), error) {
	head := make([]byte, 6)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.ErrUnexpectedEOF {
		return nil, nil, fmt.Errorf("not an archive: %w", err)
	}
	in := io.MultiReader(bytes.NewReader(head[:n]), r)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		return z, func() {}, err
	case bytes.HasPrefix(head, []byte(xzMagic)), bytes.HasPrefix(head, []byte("BZh")):
		return nil, nil, errors.New("packed with xz or bzip2; want tar, tar.gz or tar.zst")
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return in, func() {}, nil
}
