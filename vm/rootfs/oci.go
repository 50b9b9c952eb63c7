package rootfs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// fromRegistry makes the disk of an OCI image. Registries are authenticated to as docker is. What a reference meant the first
// time is kept beside the images, so that the next run needs no network.
func (m Maker) fromRegistry(ctx context.Context, s Spec, arch string) (string, error) {
	text := s.ref(arch)
	sum := sha256.Sum256([]byte(text + "\x00" + arch))
	known := filepath.Join(m.Dir, "ref-"+hex.EncodeToString(sum[:12]))
	if !m.Refresh {
		if b, err := os.ReadFile(known); err == nil {
			path := filepath.Join(m.Dir, filepath.Base(strings.TrimSpace(string(b))))
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
	}
	ref, err := name.ParseReference(text, name.WithDefaultTag("latest"))
	if err != nil {
		return "", fmt.Errorf("there is no such file, and it is not the reference of an OCI image: %w", err)
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
	if err != nil {
		return "", fmt.Errorf("there is no such file, and as an OCI image: %w", err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	if c.Architecture != "" && c.Architecture != arch {
		return "", fmt.Errorf("the image is for %s, not for %s", c.Architecture, arch)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	path, err := m.keep("oci-"+digest.Hex[:min(24, len(digest.Hex))], func(out string) error {
		m.logf("fetching %s for %s", ref, arch)
		r := mutate.Extract(img)
		defer r.Close()
		t := tidy(r)
		defer t.Close()
		return fromTar(ctx, out, t)
	})
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(known, []byte(filepath.Base(path)+"\n"), 0o600)
}
