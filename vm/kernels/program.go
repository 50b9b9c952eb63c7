package kernels

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

const maxProgram = 64 << 20

// Busybox returns a static busybox for arch, from the package busybox-static of a suite of the host's archives. It is
// fetched once.
func (s *Store) Busybox(ctx context.Context, suite, arch string) (string, error) {
	sp, a, err := parse("apt:"+suite, arch)
	if err != nil {
		return "", err
	}
	dir, err := s.dir()
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "programs", "busybox-"+a.goarch)
	if st, err := os.Stat(out); err == nil && st.Mode().IsRegular() && st.Size() > 0 {
		return out, nil
	}
	r, release, err := s.lockedRoot(ctx, sp, a)
	if err != nil {
		return "", err
	}
	defer release()
	if _, _, err := r.index(ctx, func() (*host, error) { return readHost(ctx, sp.String()) }, false); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Join(dir, "tmp"), "pull-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	s.logf("fetching busybox-static for %s", a.dpkg)
	debs, err := r.download(ctx, tmp, []*debPackage{{Name: "busybox-static"}})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", debs[0])
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	b, err := findProgram(pipe, "busybox")
	cancel() // the rest of the package is of no use
	cmd.Wait()
	if err != nil {
		return "", fmt.Errorf("busybox-static for %s: %w", a.dpkg, err)
	}
	if got := imageArch(b); got != a.goarch {
		return "", fmt.Errorf("busybox-static for %s: its busybox is for %q", a.dpkg, got)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return "", err
	}
	if err := writeFile(out, b); err != nil {
		return "", err
	}
	return out, os.Chmod(out, 0o755)
}

// findProgram reads the file bin/NAME of a package.
func findProgram(in io.Reader, name string) ([]byte, error) {
	t := tar.NewReader(in)
	for n := 0; n < maxTarFiles; n++ {
		h, err := t.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		p := path.Clean("/" + h.Name)
		if h.Typeflag == tar.TypeReg && (p == "/bin/"+name || p == "/usr/bin/"+name) {
			return readLimited(t, maxProgram)
		}
	}
	return nil, errors.New("the package has no such program")
}
