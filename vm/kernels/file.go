package kernels

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// imageNames are looked for in the folder of a file: spec, in this order; a "*" stands for a release. A build tree
// of the kernel has its image in arch/*/boot.
var imageNames = []string{
	"vmlinuz", "vmlinuz-*", "bzImage", "Image", "vmlinux", "vmlinux-*",
	"boot/vmlinuz", "boot/vmlinuz-*", "boot/Image", "boot/vmlinux-*",
	"lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz",
	"arch/*/boot/bzImage", "arch/*/boot/Image",
}

// openFile gives the kernel of a file: spec. Its image is unpacked into the store once; modules and config stay
// where they are.
func (s *Store) openFile(sp spec, a archInfo) (*Kernel, error) {
	fail := func(err error) (*Kernel, error) { return nil, fmt.Errorf("kernel %s: %w", sp, err) }
	image, base := sp.path, filepath.Dir(sp.path)
	st, err := os.Stat(image)
	if err != nil {
		return fail(err)
	}
	if st.IsDir() {
		base = image
		if image, err = findImage(base); err != nil {
			return fail(err)
		}
	}
	f, err := os.Open(image)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	raw, err := readImage(f)
	if err != nil {
		return fail(err)
	}
	if got := imageArch(raw); got != "" && got != a.goarch {
		return fail(fmt.Errorf("the image is for %s, not for %s", got, a.goarch))
	}
	k := &Kernel{Spec: sp.String(), Arch: a.goarch, Image: image, Size: int64(len(raw)), Used: time.Now().UTC().Truncate(time.Second)}
	boot, changed := bootImage(raw, a.goarch, s.logf)
	if k.Release = imageRelease(raw); k.Release == "" {
		k.Release = imageRelease(boot)
	}
	if changed {
		if k.Image, err = s.keepUnpacked(raw, boot); err != nil {
			return fail(err)
		}
		k.Packed = image
		k.Size += int64(len(boot))
	}
	roots := []string{sp.modules}
	if sp.modules == "" {
		roots = []string{base, filepath.Dir(base)}
	}
	for _, r := range roots {
		dir, err := findModules(r, k.Release, sp.modules != "")
		if err != nil {
			return fail(err)
		}
		if dir != "" {
			k.Modules = dir
			break
		}
	}
	if k.Modules == "" && sp.modules != "" {
		return fail(fmt.Errorf("no modules of %s in %s", cmp.Or(k.Release, "an unknown release"), sp.modules))
	}
	if k.Release == "" && majorMinor(filepath.Base(k.Modules)) != "" {
		k.Release = filepath.Base(k.Modules)
	}
	if k.Release == "" {
		return fail(fmt.Errorf("%s: no Linux version in it: is it a kernel image?", image))
	}
	k.Version = majorMinor(k.Release)
	for _, c := range []string{
		filepath.Join(base, "config-"+k.Release), filepath.Join(base, "boot", "config-"+k.Release),
		filepath.Join(k.Modules, "config"), filepath.Join(base, "config"), filepath.Join(base, ".config"),
	} {
		if b, err := os.ReadFile(c); err == nil && filepath.IsAbs(c) {
			k.Config, k.Features = c, readConfig(b)
			break
		}
	}
	return k, nil
}

func findImage(dir string) (string, error) {
	for _, pat := range imageNames {
		m, err := filepath.Glob(filepath.Join(escapeGlob(dir), pat))
		if err != nil {
			return "", err
		}
		m = slices.DeleteFunc(m, func(n string) bool {
			st, err := os.Stat(n)
			return err != nil || !st.Mode().IsRegular()
		})
		if len(m) > 0 {
			slices.SortFunc(m, func(a, b string) int { return compareVersions(b, a) })
			return m[0], nil
		}
	}
	return "", fmt.Errorf("no kernel image in the folder; looked for %s", strings.Join(imageNames, ", "))
}

// escapeGlob makes filepath.Glob take a folder's name literally.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// findModules finds the folder with the modules of release in or below dir: dir/lib/modules/RELEASE,
// dir/modules/RELEASE, dir/RELEASE, or, when dir was named by the user, dir itself if there are modules in it.
func findModules(dir, release string, named bool) (string, error) {
	if release != "" && safeName(release) {
		for _, d := range []string{"lib/modules", "usr/lib/modules", "modules", "."} {
			p := filepath.Join(dir, d, release)
			if st, err := os.Stat(p); err == nil && st.IsDir() {
				return p, nil
			}
		}
	}
	if !named {
		return "", nil
	}
	found := errors.New("found")
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if _, ok := moduleName(p); ok && d.Type().IsRegular() {
			return found
		}
		return nil
	})
	if err == found {
		return dir, nil
	}
	return "", err
}

// keepUnpacked writes an unpacked image into the store, under the sum of the packed one.
func (s *Store) keepUnpacked(packed, unpacked []byte) (string, error) {
	dir, err := s.dir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(packed)
	dir = filepath.Join(dir, "files", hex.EncodeToString(sum[:16]))
	name := filepath.Join(dir, unpackedName)
	if st, err := os.Stat(name); err == nil && st.Size() == int64(len(unpacked)) {
		return name, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return name, writeFile(name, unpacked)
}
