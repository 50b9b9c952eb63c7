package kernels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The store's folder:
//
//	kernels/ARCH/RELEASE_VERSION/   one kernel: kernel.json, packed, vmlinux, config, lib/modules/RELEASE/
//	specs/HASH.json                 which kernel a spec gave last
//	apt/SUITE-ARCH/                 a private apt root, with index.json, the kernel packages of its last update
//	programs/                       what a shell in a guest needs
//	files/HASH/                     the image unpacked from a file: kernel
//	tmp/                            kernels being unpacked
//
// A kernel appears by rename, whole or not at all. kernel.json holds paths relative to its folder.

// DefaultDir is the folder of the zero [Store]: bpfcov/kernels in the user's cache folder.
func DefaultDir() (string, error) {
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("kernel store: %w", err)
	}
	return filepath.Join(d, "bpfcov", "kernels"), nil
}

func (s *Store) dir() (string, error) {
	if s.Dir != "" {
		return filepath.Abs(s.Dir)
	}
	return DefaultDir()
}

func kernelID(c Candidate) string {
	return c.Arch + "/" + c.Release + "_" + strings.ReplaceAll(c.pkg.Version, ":", "%")
}

// A specRecord says what a spec gave.
type specRecord struct {
	Spec   string
	Arch   string
	Kernel string // below kernels/
	Used   time.Time
}

func recordName(sp spec, a archInfo) string {
	h := sha256.Sum256([]byte(a.goarch + "\x00" + sp.String()))
	return hex.EncodeToString(h[:12]) + ".json"
}

// A storedKernel is the content of kernel.json.
type storedKernel struct {
	Kernel
	ImageBytes int64 `json:"image_bytes"` // tells an image that was cut from a whole one
}

// load reads a kernel of the store, nil when it is not there or not whole.
func (s *Store) load(id string) *Kernel {
	dir, err := s.dir()
	if err != nil || !filepath.IsLocal(id) {
		return nil
	}
	dir = filepath.Join(dir, "kernels", id)
	b, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
	if err != nil {
		return nil
	}
	var sk storedKernel
	if json.Unmarshal(b, &sk) != nil {
		return nil
	}
	k := &sk.Kernel
	for _, p := range []*string{&k.Image, &k.Packed, &k.Modules, &k.Config} {
		if *p == "" {
			continue
		}
		if !filepath.IsLocal(*p) {
			return nil
		}
		*p = filepath.Join(dir, *p)
		if _, err := os.Stat(*p); err != nil {
			return nil
		}
	}
	if st, err := os.Stat(k.Image); err != nil || !st.Mode().IsRegular() || st.Size() != sk.ImageBytes {
		return nil
	}
	k.Dir = dir
	return k
}

// recorded gives the kernel that the spec gave last time.
func (s *Store) recorded(sp spec, a archInfo) *Kernel {
	dir, err := s.dir()
	if err != nil {
		return nil
	}
	var r specRecord
	b, err := os.ReadFile(filepath.Join(dir, "specs", recordName(sp, a)))
	if err != nil || json.Unmarshal(b, &r) != nil || r.Spec != sp.String() || r.Arch != a.goarch {
		return nil
	}
	return s.load(r.Kernel)
}

func (s *Store) record(sp spec, a archInfo, k *Kernel) error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	id, err := filepath.Rel(filepath.Join(dir, "kernels"), k.Dir)
	if err != nil {
		return err
	}
	k.Spec, k.Used = sp.String(), time.Now().UTC().Truncate(time.Second)
	b, err := json.Marshal(specRecord{Spec: k.Spec, Arch: a.goarch, Kernel: filepath.ToSlash(id), Used: k.Used})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "specs"), 0o755); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "specs", recordName(sp, a)), b)
}

// records reads all spec records, by kernel, most recent first.
func (s *Store) records(dir string) (map[string][]specRecord, error) {
	names, err := filepath.Glob(filepath.Join(dir, "specs", "*.json"))
	if err != nil {
		return nil, err
	}
	out := map[string][]specRecord{}
	for _, n := range names {
		var r specRecord
		if b, err := os.ReadFile(n); err == nil && json.Unmarshal(b, &r) == nil {
			out[r.Kernel] = append(out[r.Kernel], r)
		}
	}
	for _, rs := range out {
		slices.SortFunc(rs, func(a, b specRecord) int {
			if c := b.Used.Compare(a.Used); c != 0 {
				return c
			}
			return strings.Compare(a.Spec, b.Spec)
		})
	}
	return out, nil
}

// List returns the kernels in the store, newest version first, then by architecture and flavour. An empty or absent
// store is no error.
func (s *Store) List() ([]Kernel, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	recs, err := s.records(dir)
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob(filepath.Join(dir, "kernels", "*", "*", "kernel.json"))
	if err != nil {
		return nil, err
	}
	var out []Kernel
	for _, d := range dirs {
		id, err := filepath.Rel(filepath.Join(dir, "kernels"), filepath.Dir(d))
		if err != nil {
			return nil, err
		}
		k := s.load(id)
		if k == nil {
			continue
		}
		if rs := recs[filepath.ToSlash(id)]; len(rs) > 0 {
			k.Spec, k.Used = rs[0].Spec, rs[0].Used
		}
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b Kernel) int {
		for _, c := range []int{compareVersions(b.Release, a.Release), strings.Compare(a.Arch, b.Arch), strings.Compare(a.Dir, b.Dir)} {
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return out, nil
}

// PruneOptions choose what [Store.Prune] removes. The zero value removes kernels that no spec gives any more because
// a refresh found a newer one, and what interrupted downloads left.
type PruneOptions struct {
	All    bool          // everything, package indexes too
	Unused time.Duration // also kernels not pulled for so long; 0 is for ever
	DryRun bool          // remove nothing, tell what would go
}

// Prune removes kernels from the store and returns them. A kernel that a guest is booting from may go too: its files
// stay until they are closed.
func (s *Store) Prune(ctx context.Context, o PruneOptions) ([]Kernel, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	recs, err := s.records(dir)
	if err != nil {
		return nil, err
	}
	var gone []Kernel
	for _, k := range all {
		id, err := filepath.Rel(filepath.Join(dir, "kernels"), k.Dir)
		if err != nil {
			return gone, err
		}
		stale := o.Unused > 0 && time.Since(k.Used) > o.Unused
		if !o.All && !stale && len(recs[filepath.ToSlash(id)]) > 0 {
			continue
		}
		gone = append(gone, k)
		if o.DryRun {
			continue
		}
		// A record without its kernel would only be skipped; but then kernels ls would have a spec for nothing.
		for _, r := range recs[filepath.ToSlash(id)] {
			if sp, err := parseSpec(r.Spec); err == nil {
				if a, err := findArch(r.Arch); err == nil {
					if err := os.Remove(filepath.Join(dir, "specs", recordName(sp, a))); err != nil && !errors.Is(err, fs.ErrNotExist) {
						return gone, err
					}
				}
			}
		}
		if err := os.RemoveAll(k.Dir); err != nil {
			return gone, err
		}
	}
	if o.DryRun {
		return gone, nil
	}
	rest := []string{"tmp"}
	if o.All {
		rest = append(rest, "apt", "specs", "files", "kernels", "programs")
	}
	for _, d := range rest {
		if err := os.RemoveAll(filepath.Join(dir, d)); err != nil {
			return gone, err
		}
	}
	return gone, nil
}

// use holds the store against [Store.Prune].
func (s *Store) use(ctx context.Context) (unlock func(), err error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	return flock(ctx, filepath.Join(dir, "lock"), syscall.LOCK_SH)
}

func lock(ctx context.Context, name string) (unlock func(), err error) {
	return flock(ctx, name, syscall.LOCK_EX)
}

// flock takes a lock on the file, waiting for other processes and goroutines. There is no way to be woken
// when a lock of another process goes away and to give up when ctx ends, hence the looking again.
func flock(ctx context.Context, name string, how int) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, ctx.Err())
		case <-tick.C:
		}
	}
}

// writeFile replaces a file atomically.
func writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
