package kernels

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// pullOCI gives the kernel of an OCI image: a root file system with boot/vmlinuz and lib/modules (as in
// cilium/ci-kernels), or one with a folder that holds them (data/kernels/NAME of little-vm-helper). Registries are
// authenticated to as docker is (~/.docker/config.json). What came from the registry is checked against its digest.
//
// A reference that was pulled before gives the same kernel again without the network until s.Refresh is set.
func (s *Store) pullOCI(ctx context.Context, sp spec, a archInfo) (*Kernel, error) {
	if !s.Refresh {
		if k := s.recorded(sp, a); k != nil {
			return k, s.record(sp, a, k)
		}
	}
	fail := func(err error) (*Kernel, error) { return nil, fmt.Errorf("kernel %s: %w", sp, err) }
	ref, err := name.ParseReference(sp.path, name.WithDefaultTag("latest"))
	if err != nil {
		return nil, &SpecError{Spec: sp.String(), Reason: err.Error()}
	}
	platform := v1.Platform{OS: "linux", Architecture: a.goarch}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithPlatform(platform))
	if err != nil {
		return nil, ociError(sp, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, ociError(sp, err)
	}
	if c, err := img.ConfigFile(); err != nil {
		return nil, ociError(sp, err)
	} else if c.Architecture != "" && c.Architecture != a.goarch {
		return fail(fmt.Errorf("the image is for %s, not for %s", c.Architecture, a.goarch))
	}
	size := int64(0)
	layers, err := img.Layers()
	if err != nil {
		return nil, ociError(sp, err)
	}
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			return nil, ociError(sp, err)
		}
		size += n
	}
	if size > maxArchive {
		return fail(fmt.Errorf("%w: layers of %d bytes", errTooLarge, size))
	}
	k, err := s.keep(ctx, sp, a, "oci_"+digest.Hex[:min(24, len(digest.Hex))], ref.Context().Name()+"@"+digest.String(), func(root *os.Root) error {
		s.logf("fetching %s, %.1f MB", ref, float64(size)/1e6)
		r := mutate.Extract(img)
		defer r.Close()
		return unpackKernel(ctx, r, root)
	})
	if err != nil {
		return nil, ociError(sp, err)
	}
	return k, nil
}

// ociError makes a [*FetchError] of what the network is to blame for.
func ociError(sp spec, err error) error {
	var te *transport.Error
	var ne net.Error
	switch {
	case errors.As(err, &te) && te.StatusCode == http.StatusNotFound:
		return fmt.Errorf("kernel %s: the registry has no such image: %w", sp, err)
	case errors.As(err, &te), errors.As(err, &ne):
		return &FetchError{What: strings.TrimPrefix(sp.String(), "oci:"), Err: err}
	}
	return fmt.Errorf("kernel %s: %w", sp, err)
}
