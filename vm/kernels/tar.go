package kernels

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// pullTar gives the kernel of a tarball.
func (s *Store) pullTar(ctx context.Context, sp spec, a archInfo, file string) (*Kernel, error) {
	fail := func(err error) (*Kernel, error) { return nil, fmt.Errorf("kernel %s: %w", sp, err) }
	f, err := os.Open(file)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return fail(err)
	} else if !st.Mode().IsRegular() {
		return fail(errors.New("not a file; for a folder there is file:"))
	}
	h := sha256.New()
	if _, err := io.Copy(h, readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return f.Read(p)
	})); err != nil {
		return fail(err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	k, err := s.keep(ctx, sp, a, "tar_"+sum[:24], "sha256:"+sum, func(root *os.Root) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		s.logf("unpacking %s", file)
		t, done, err := OpenTar(f)
		if err != nil {
			return err
		}
		defer done()
		return unpackKernel(ctx, t, root)
	})
	if err != nil {
		return fail(err)
	}
	return k, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A bucketFile is one tarball of a bucket: DISTRO/VERSION__IDS.tar.gz.
type bucketFile struct {
	distro  string
	version string
	name    string // of the file, without its ending
	path    string
}

// readBucket lists the tarballs of a folder in the layout of Elastic's multi-kernel tester, newest first in each
// distribution. Files that are named otherwise are left out.
func readBucket(dir string) ([]bucketFile, error) {
	distros, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []bucketFile
	for _, d := range distros {
		if !safeName(d.Name()) {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, d.Name()))
		if err != nil {
			continue // a file beside the folders
		}
		for _, f := range files {
			base := f.Name()
			name := strings.TrimSuffix(strings.TrimSuffix(base, ".tar.gz"), ".tgz")
			version, _, ok := strings.Cut(name, "__")
			if name == base || !ok || majorMinor(version) == "" || f.IsDir() {
				continue
			}
			if len(out) == maxBucket {
				return nil, fmt.Errorf("more than %d kernels in %s", maxBucket, dir)
			}
			out = append(out, bucketFile{d.Name(), version, name, filepath.Join(dir, d.Name(), base)})
		}
	}
	slices.SortFunc(out, func(x, y bucketFile) int {
		return cmp.Or(strings.Compare(x.distro, y.distro), compareVersions(y.version, x.version), strings.Compare(x.name, y.name))
	})
	return out, nil
}

const maxBucket = 1 << 16

// matchBucket returns the tarballs that a bucket: spec means, and the bucket's content for an error.
func matchBucket(sp spec) ([]bucketFile, error) {
	all, err := readBucket(sp.path)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", sp, err)
	}
	distro, version, _ := strings.Cut(sp.version, "/")
	var out []bucketFile
	for _, f := range all {
		if distro != "" {
			if ok, err := path.Match(distro, f.distro); err != nil || !ok {
				continue
			}
		}
		if version != "" && version != f.name && !matchVersion(version, majorMinor(f.version), f.version) {
			continue
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		var have []string
		for _, f := range all[:min(len(all), maxListed)] {
			have = append(have, f.distro+"/"+f.version)
		}
		if len(have) == 0 {
			return nil, fmt.Errorf("kernel %s: %w: no DISTRO/VERSION__IDS.tar.gz in the folder", sp, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("kernel %s: nothing matches; there is %s", sp, strings.Join(have, ", "))
	}
	return out, nil
}

// exact gives the spec of one tarball of a bucket.
func (f bucketFile) exact(sp spec) spec {
	sp.version = f.distro + "/" + f.name
	return sp
}

func (s *Store) resolveBucket(sp spec, a archInfo) ([]Candidate, error) {
	files, err := matchBucket(sp)
	if err != nil {
		return nil, err
	}
	var out []Candidate
	for _, f := range files {
		e := f.exact(sp)
		c := Candidate{Spec: e.String(), Release: f.version, Version: majorMinor(f.version), Arch: a.goarch, Suite: f.distro, Flavour: f.distro}
		if st, err := os.Stat(f.path); err == nil {
			c.Download = st.Size()
		}
		c.Stored = s.recorded(e, a) != nil
		out = append(out, c)
	}
	return out, nil
}

// pullBucket gives the newest kernel that a bucket: spec means; of several distributions that of the first by name.
func (s *Store) pullBucket(ctx context.Context, sp spec, a archInfo) (*Kernel, error) {
	files, err := matchBucket(sp)
	if err != nil {
		return nil, err
	}
	k, err := s.pullTar(ctx, files[0].exact(sp), a, files[0].path)
	if err != nil {
		return nil, err
	}
	k.Flavour = files[0].distro
	return k, nil
}
