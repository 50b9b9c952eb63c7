package kernels

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LockName is the lock file's name, beside the configuration file.
const LockName = "bpfcov.lock"

const maxLock = 8 << 20

// A Lock pins what specs gave, so that a run can be repeated on the same kernels. It is JSON, for version control.
type Lock struct {
	Version int      `json:"version"` // 1
	Kernels []Locked `json:"kernels"` // by spec, then by architecture
	// Expanded are the specs that stand for several kernels.
	Expanded []Expanded `json:"expanded,omitempty"`
}

// Expanded says what a spec stood for, see [Store.Expand].
type Expanded struct {
	Spec  string   `json:"spec"`
	Arch  string   `json:"arch"`
	Specs []string `json:"specs"`
}

// Locked is what one spec gave on one architecture.
type Locked struct {
	Spec    string `json:"spec"` // canonical, as in the configuration
	Arch    string `json:"arch"` // GOARCH
	Release string `json:"release"`
	// Exact is a spec that gives this very kernel, as far as there is one.
	Exact string `json:"exact"`
	// Package is the package with its version, or the digest of an archive or image.
	Package string `json:"package,omitempty"`
	// Image is the SHA-256 of the kernel image as packaged.
	Image string `json:"image_sha256"`
}

// A LockError says that a kernel is not the one that the lock file names.
type LockError struct {
	Spec, Arch, Reason string
}

func (e *LockError) Error() string {
	return fmt.Sprintf("kernel %s for %s is not the one of %s: %s; take the present ones with: bpfcov kernels update", e.Spec, e.Arch, LockName, e.Reason)
}

// ReadLock reads a lock file. A file that does not exist gives nil.
func ReadLock(path string) (*Lock, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readLimited(f, maxLock)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l, err := parseLock(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; make it again with: bpfcov kernels update", path, err)
	}
	return l, nil
}

func parseLock(b []byte) (*Lock, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var l Lock
	if err := d.Decode(&l); err != nil {
		return nil, err
	}
	if l.Version != 1 {
		return nil, fmt.Errorf("version %d: want 1", l.Version)
	}
	for i, k := range l.Kernels {
		if _, err := ParseSpec(k.Exact); err != nil {
			return nil, fmt.Errorf("kernels[%d]: exact: %w", i, err)
		}
		if len(k.Image) != sha256.Size*2 {
			return nil, fmt.Errorf("kernels[%d]: image_sha256 %q: want %d hexadecimal digits", i, k.Image, sha256.Size*2)
		}
	}
	return &l, nil
}

// Write writes the lock file.
func (l *Lock) Write(path string) error {
	slices.SortFunc(l.Kernels, func(a, b Locked) int { return strings.Compare(a.Spec+"\x00"+a.Arch, b.Spec+"\x00"+b.Arch) })
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

// Add notes what spec gave.
func (l *Lock) Add(k *Kernel) error {
	sum, err := imageSum(k)
	if err != nil {
		return err
	}
	e := Locked{Spec: k.Spec, Arch: k.Arch, Release: k.Release, Exact: k.exactSpec(), Package: k.Package, Image: sum}
	l.Kernels = slices.DeleteFunc(l.Kernels, func(o Locked) bool { return o.Spec == e.Spec && o.Arch == e.Arch })
	l.Kernels = append(l.Kernels, e)
	return nil
}

// Find returns what the lock says about a spec, in any spelling, nil when it says nothing.
func (l *Lock) Find(text, arch string) *Locked {
	sp, a, err := parse(text, arch)
	if l == nil || err != nil {
		return nil
	}
	for i := range l.Kernels {
		if e := &l.Kernels[i]; e.Spec == sp.String() && e.Arch == a.goarch {
			return e
		}
	}
	return nil
}

// ExpandLocked is [Store.Expand] held to a lock, which may be nil.
func (s *Store) ExpandLocked(ctx context.Context, l *Lock, text, arch string) ([]string, error) {
	if l != nil {
		for _, e := range l.Expanded {
			if e.Spec == text && e.Arch == arch {
				return slices.Clone(e.Specs), nil
			}
		}
	}
	return s.Expand(ctx, text, arch)
}

// PullLocked is [Store.Pull] held to a lock: a spec that it names gives that kernel or a [*LockError]; others are free. l may be nil.
func (s *Store) PullLocked(ctx context.Context, l *Lock, text, arch string) (*Kernel, error) {
	e := l.Find(text, arch)
	if e == nil {
		return s.Pull(ctx, text, arch)
	}
	k, err := s.Pull(ctx, e.Exact, arch)
	var none *NoMatchError
	if errors.As(err, &none) {
		return nil, &LockError{e.Spec, e.Arch, e.Release + " is not in the archives any more"}
	} else if err != nil {
		return nil, err
	}
	sum, err := imageSum(k)
	if err != nil {
		return nil, err
	}
	switch {
	case k.Release != e.Release:
		return nil, &LockError{e.Spec, e.Arch, fmt.Sprintf("got %s, want %s", k.Release, e.Release)}
	case e.Package != "" && k.Package != e.Package:
		return nil, &LockError{e.Spec, e.Arch, fmt.Sprintf("got %s, want %s", k.Package, e.Package)}
	case sum != e.Image:
		return nil, &LockError{e.Spec, e.Arch, fmt.Sprintf("its image has SHA-256 %s, want %s", sum, e.Image)}
	}
	k.Spec = e.Spec
	return k, nil
}

// exactSpec names the kernel as exactly as a spec can.
func (k *Kernel) exactSpec() string {
	sp, err := parseSpec(k.Spec)
	if err != nil {
		return k.Spec
	}
	switch sp.kind {
	case kindApt:
		version, _ := splitRelease(k.Release)
		sp.version, sp.flavour = version, k.Flavour
	case kindOCI:
		sp.path = k.Package
	}
	if _, err := ParseSpec(sp.String()); err != nil {
		return k.Spec
	}
	return sp.String()
}

// imageSum is the SHA-256 of the image as packaged, in hexadecimal.
func imageSum(k *Kernel) (string, error) {
	name := k.Packed
	if name == "" {
		name = k.Image
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
