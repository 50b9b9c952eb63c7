package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// maxSize bounds what an image is made from, in bytes of a tar archive.
const maxSize = 32 << 30

// ErrNoTools is wrapped when squashfs-tools are missing.
var ErrNoTools = errors.New("squashfs-tools are not installed")

// Maker makes disks. The zero value is usable.
type Maker struct {
	// Dir keeps the images; empty means the folder roots below bpfcov's in the user's cache.
	Dir string
	// Base is what relative paths are relative to.
	Base string
	// Refresh asks the registry for what an OCI reference means now, which otherwise is what it meant the first time.
	Refresh bool
	// Log, if not nil, is told what takes long.
	Log func(format string, args ...any)
}

// Available reports whether disks can be made: the error wraps [ErrNoTools].
func Available() error {
	for _, name := range []string{"mksquashfs", "sqfstar"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: no %s on PATH; install the package squashfs-tools", ErrNoTools, name)
		}
	}
	return nil
}

// Disk returns the file of the image that s names, for guests of a GOARCH.
func (m Maker) Disk(ctx context.Context, s Spec, arch string) (string, error) {
	if s.Kind != Image {
		return "", fmt.Errorf("root %s has no image", s)
	}
	if err := Available(); err != nil {
		return "", fmt.Errorf("root %s: %w", s, err)
	}
	if m.Dir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		m.Dir = filepath.Join(dir, "bpfcov", "roots")
	}
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return "", err
	}
	path, err := s.local(m.Base, arch)
	if err != nil {
		return "", err
	}
	var out string
	if path == "" {
		out, err = m.fromRegistry(ctx, s, arch)
	} else {
		out, err = m.fromPath(ctx, path)
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("root %s: %w", s, err)
	}
	return out, err
}

// fromPath makes the image of a folder or a tarball.
func (m Maker) fromPath(ctx context.Context, path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.IsDir() {
		sum := sha256.Sum256(fmt.Appendf(nil, "tar\x00%s\x00%d\x00%d", path, st.Size(), st.ModTime().UnixNano()))
		return m.keep("tar-"+hex.EncodeToString(sum[:12]), func(out string) error {
			m.logf("making a disk of %s", path)
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			r, done, err := kernels.OpenTar(f)
			if err != nil {
				return err
			}
			defer done()
			t := tidy(r)
			defer t.Close()
			return fromTar(ctx, out, t)
		})
	}
	key, err := folderKey(ctx, path)
	if err != nil {
		return "", err
	}
	return m.keep("dir-"+key, func(out string) error {
		m.logf("making a disk of %s", path)
		return squash(ctx, nil, "mksquashfs", append([]string{path, out, "-no-progress", "-quiet", "-noappend"}, plain()...)...)
	})
}

// plain are the options that leave everything uncompressed.
func plain() []string { return []string{"-noI", "-noD", "-noF", "-noX", "-no-xattrs"} }

// folderKey identifies a folder by what stat(2) says of everything in it.
func folderKey(ctx context.Context, dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		var owner, group uint32
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			owner, group = sys.Uid, sys.Gid
		}
		fmt.Fprintf(h, "%q %v %d %d %d %d\n", p, st.Mode(), st.Size(), st.ModTime().UnixNano(), owner, group)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)[:12]), err
}

// keep returns the image of a name, which build writes if there is none.
func (m Maker) keep(name string, build func(out string) error) (string, error) {
	path := filepath.Join(m.Dir, name+".squashfs")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	tmp, err := os.MkdirTemp(m.Dir, ".new-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "image")
	if err := build(out); err != nil {
		return "", err
	}
	return path, os.Rename(out, path)
}

// FromFiles writes the image out with files, owned by root.
func FromFiles(ctx context.Context, out string, files []initramfs.File) error {
	if err := Available(); err != nil {
		return err
	}
	files, err := initramfs.Plan(files)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeTar(w, files)) }()
	defer r.Close()
	return fromTar(ctx, out, r)
}

// writeTar writes files, planned, as an archive.
func writeTar(w io.Writer, files []initramfs.File) error {
	t := tar.NewWriter(w)
	for i := range files {
		if err := addFile(t, &files[i]); err != nil {
			return fmt.Errorf("%s: %w", files[i].Path, err)
		}
	}
	return t.Close()
}

func addFile(t *tar.Writer, f *initramfs.File) error {
	h := &tar.Header{Name: strings.TrimPrefix(f.Path, "/"), Mode: int64(f.Mode.Perm()), Typeflag: tar.TypeReg, Size: int64(len(f.Data))}
	for bit, flag := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if f.Mode&bit != 0 {
			h.Mode |= flag
		}
	}
	content := io.Reader(bytes.NewReader(f.Data))
	switch {
	case f.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
	case f.Source != "":
		src, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer src.Close()
		st, err := src.Stat()
		if err != nil {
			return err
		}
		h.Size, content = st.Size(), src
		if f.Mode == 0 {
			h.Mode = int64(st.Mode().Perm())
		}
	}
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.CopyN(t, content, h.Size)
	return err
}

// fromTar writes the image out from an archive.
func fromTar(ctx context.Context, out string, r io.Reader) error {
	limited := &io.LimitedReader{R: r, N: maxSize}
	err := squash(ctx, limited, "sqfstar", append(plain(), "-no-progress", "-quiet", "-root-mode", "0755", out)...)
	if limited.N <= 0 {
		return fmt.Errorf("more than %d bytes", int64(maxSize))
	}
	if err == nil { // sqfstar stops reading at the end of the archive, but a damaged compression shows behind it
		_, err = io.Copy(io.Discard, limited)
	}
	return err
}

// squash runs one of the tools.
func squash(ctx context.Context, in io.Reader, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	var text bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &text, &text
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		msg := strings.TrimSpace(text.String())
		return fmt.Errorf("%s: %w: %s", name, err, msg[max(0, len(msg)-500):])
	}
	return nil
}

func (m Maker) logf(format string, args ...any) {
	if m.Log != nil {
		m.Log(format, args...)
	}
}
