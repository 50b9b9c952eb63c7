package vm

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// startRegistry starts a registry and returns its name.
func startRegistry(t *testing.T) string {
	t.Helper()
	reg := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(reg.Close)
	return strings.TrimPrefix(reg.URL, "http://")
}

// pushImage writes an image of one layer, a tar archive.
func pushImage(t *testing.T, text string, layer []byte) {
	t.Helper()
	ref, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(layer, types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
}

// archive makes a tar archive of files by name.
func archive(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCellFromRegistry boots a real kernel that came from an OCI registry, in the layout of cilium/ci-kernels.
func TestCellFromRegistry(t *testing.T) {
	if os.Getenv("BPFCOV_LONG") == "" {
		t.Skip("packs, pushes and boots a kernel; set BPFCOV_LONG=1")
	}
	c := cell(t, "apt:bookworm", "amd64", prog("ok", "exit", "0"))
	files := map[string][]byte{}
	add := func(dst, src string) {
		data, err := os.ReadFile(src)
		if err != nil {
			t.Fatal(err)
		}
		files[dst] = data
	}
	image := c.Kernel.Packed
	if image == "" {
		image = c.Kernel.Image
	}
	add("boot/vmlinuz", image)
	add("boot/config-"+c.Kernel.Release, c.Kernel.Config)
	err := filepath.WalkDir(c.Kernel.Modules, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(p, "virtio") && filepath.Base(p) != "modules.builtin" {
			return err
		}
		rel, err := filepath.Rel(c.Kernel.Modules, p)
		add("lib/modules/"+c.Kernel.Release+"/"+rel, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := startRegistry(t) + "/kernels:6.1"
	pushImage(t, text, archive(t, files))
	want := c.Kernel
	store := &kernels.Store{Dir: t.TempDir(), Log: t.Logf}
	if c.Kernel, err = store.Pull(t.Context(), "oci:"+text, "amd64"); err != nil {
		t.Fatal(err)
	}
	if c.Kernel.Release != want.Release || !c.Kernel.Features.BTF {
		t.Errorf("got %+v, want release %s with its configuration", c.Kernel, want.Release)
	}
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Records[0].Run; got.Outcome != collect.Passed || got.Cell.Kernel != want.Release {
		t.Errorf("got %s (%s) on %s", got.Outcome, got.Reason, got.Cell.Kernel)
	}
}
