package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Kind is where the root of guests comes from.
type Kind int

// The kinds of roots.
const (
	Closure Kind = iota // the tests' files and what they need, nothing else
	Image               // an image below the tests' files
	Host                // this machine's root, read-only, below the tests' files
)

// Spec is a root as a configuration names it.
type Spec struct {
	Kind Kind
	// Ref is what an image is made from: a folder, a tarball or the reference of an OCI image. "{arch}" in it stands for the
	// GOARCH of the guest.
	Ref string
}

func (s Spec) String() string {
	switch s.Kind {
	case Image:
		return "image:" + s.Ref
	case Host:
		return "host"
	}
	return "closure"
}

// Parse reads "closure" (or nothing), "image:REF" or "host".
func Parse(s string) (Spec, error) {
	kind, ref, ok := strings.Cut(s, ":")
	switch {
	case s == "" || s == "closure":
		return Spec{}, nil
	case s == "host":
		return Spec{Kind: Host}, nil
	case kind == "image" && ref != "":
		return Spec{Image, ref}, nil
	case kind == "image" && ok || s == "image":
		return Spec{}, fmt.Errorf("root %q: name a folder, a tarball or an OCI image behind image:", s)
	}
	return Spec{}, fmt.Errorf("root %q: want closure, image:REF or host", s)
}

// local returns the path of a folder or a tarball, "" for an OCI reference. What looks like a path is one, and so is what exists.
func (s Spec) local(dir, arch string) (string, error) {
	ref := s.ref(arch)
	name := ref
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	_, err := os.Stat(name)
	if err == nil {
		return name, nil
	}
	if strings.HasPrefix(ref, "/") || strings.HasPrefix(ref, ".") || strings.Contains(filepath.Base(ref), ".tar") || strings.HasSuffix(ref, ".tgz") {
		return "", fmt.Errorf("root %s: %w", s, err)
	}
	return "", nil
}

func (s Spec) ref(arch string) string { return strings.ReplaceAll(s.Ref, "{arch}", arch) }
