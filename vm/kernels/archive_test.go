package kernels

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const testRelease = "6.1.0-99-test-amd64" // what testKernel says

// kernelTar packs files, in the order of their names, with more headers before them.
func kernelTar(t testing.TB, files map[string][]byte, more ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h *tar.Header, data []byte) {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range more {
		put(h, nil)
	}
	var names []string
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		put(&tar.Header{Typeflag: tar.TypeReg, Name: n, Size: int64(len(files[n])), Mode: 0o4755}, files[n])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func testBz(t testing.TB) []byte {
	kernel := testKernel(true)
	return testBzImage(pack(t, "zstd", kernel), len(kernel))
}

func writeTemp(t testing.TB, name string, data []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// listTree lists the files below dir.
func listTree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPullTar(t *testing.T) {
	bz, mod := testBz(t), testModule("depends=")
	config := []byte("CONFIG_BPF_LSM=y\n")
	for _, tc := range []struct {
		name  string
		files map[string][]byte
		want  []string
	}{
		{"ci-kernels", map[string][]byte{"boot/vmlinuz": bz, "lib/modules/" + testRelease + "/kernel/a.ko": mod, "usr/src/linux/x": nil},
			[]string{"kernel.json", "lib/modules/" + testRelease + "/kernel/a.ko", "vmlinux", "vmlinuz"}},
		{"little-vm-helper", map[string][]byte{
			"data/kernels/6.1/boot/vmlinuz-" + testRelease: bz, "data/kernels/6.1/boot/config-" + testRelease: config,
			"data/kernels/6.1/boot/config-5.10":                            []byte("CONFIG_BPF_LSM=n\n"),
			"data/kernels/6.1/lib/modules/" + testRelease + "/kernel/a.ko": mod,
			"data/kernels/6.1/lib/modules/5.10.0/kernel/other.ko":          mod,
		}, []string{"config", "kernel.json", "lib/modules/" + testRelease + "/kernel/a.ko", "vmlinux", "vmlinuz"}},
		{"a folder", map[string][]byte{"linux-6.1/vmlinuz": bz, "linux-6.1/config": config}, []string{"config", "kernel.json", "vmlinux", "vmlinuz"}},
		{"merged usr", map[string][]byte{"./usr/lib/modules/" + testRelease + "/vmlinuz": bz, "./usr/lib/modules/" + testRelease + "/config": config},
			[]string{"config", "kernel.json", "vmlinux", "vmlinuz"}},
		{"image and debug image", map[string][]byte{"boot/vmlinux": []byte("with debug information"), "boot/vmlinuz": bz}, []string{"kernel.json", "vmlinux", "vmlinuz"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Store{Dir: t.TempDir(), Log: t.Logf}
			file := writeTemp(t, "k.tar.gz", pack(t, "gzip", kernelTar(t, tc.files)))
			k, err := s.Pull(context.Background(), "tar:"+file, "amd64")
			if err != nil {
				t.Fatal(err)
			}
			if k.Release != testRelease || k.Version != "6.1" {
				t.Errorf("got release %q, version %q", k.Release, k.Version)
			}
			if got := listTree(t, k.Dir); !slices.Equal(got, tc.want) {
				t.Errorf("got files %q, want %q", got, tc.want)
			}
			if hasConfig := slices.Contains(tc.want, "config"); k.Features.LSM != hasConfig {
				t.Errorf("features of the configuration: got %v, want %v", k.Features.LSM, hasConfig)
			}
			again, err := s.Pull(context.Background(), "tar:"+file, "amd64")
			if err != nil || again.Dir != k.Dir {
				t.Errorf("second pull: %+v, %v", again, err)
			}
			list, err := s.List()
			if err != nil || len(list) != 1 || list[0].Spec != "tar:"+file {
				t.Errorf("list: got %+v, %v", list, err)
			}
		})
	}
}

func TestPullTarErrors(t *testing.T) {
	bz := testBz(t)
	huge := kernelTar(t, nil, &tar.Header{Typeflag: tar.TypeReg, Name: "lib/modules/6.1.0/a.ko"})
	// A header alone, which promises more than a file may have.
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "lib/modules/6.1.0/a.ko", Size: maxTarEntry + 1}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, file, want string
		data             []byte
		arch             string
	}{
		{"no kernel", "k.tar", "no kernel image in it", kernelTar(t, map[string][]byte{"etc/passwd": []byte("x")}), ""},
		{"not a tarball", "k.tar", "", []byte("hello, this is no archive, but long enough to look like one"), ""},
		{"empty", "k.tar", "not an archive", nil, ""},
		{"xz", "k.tar.xz", "want tar, tar.gz or tar.zst", pack(t, "xz", huge), ""},
		{"large", "k.tar", "too large", b.Bytes(), ""},
		{"truncated", "k.tar.gz", "unexpected EOF", pack(t, "gzip", kernelTar(t, map[string][]byte{"boot/vmlinuz": bz}))[:2000], ""},
		{"other architecture", "k.tar", "is for amd64, not for arm64", kernelTar(t, map[string][]byte{"boot/vmlinuz": bz}), "arm64"},
		{"no version", "k.tar", "is it a kernel?", kernelTar(t, map[string][]byte{"boot/vmlinuz": []byte("text")}), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Store{Dir: t.TempDir(), Log: t.Logf}
			arch := tc.arch
			if arch == "" {
				arch = "amd64"
			}
			k, err := s.Pull(context.Background(), "tar:"+writeTemp(t, tc.file, tc.data), arch)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "kernel tar:") {
				t.Fatalf("got %+v, %v, want an error with %q", k, err, tc.want)
			}
			if list, err := s.List(); err != nil || len(list) != 0 {
				t.Errorf("the store has %v, %v", list, err)
			}
		})
	}
}

// TestUnpackEscape unpacks an archive that tries to write elsewhere.
func TestUnpackEscape(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "in")
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	mod := testModule("depends=")
	data := kernelTar(t, map[string][]byte{
		"boot/vmlinuz":                      testBz(t),
		"../../lib/modules/6.1.0/up.ko":     mod,
		"lib/modules/../../../escape.ko":    mod,
		"lib/modules/6.1.0/../../../esc.ko": mod,
		"lib/modules/6.1.0/link/a.ko":       mod,
		"/lib/modules/6.1.0/absolute.ko":    mod,
		"lib/modules/../../vmlinuz":         []byte("vmlinuz"),
	}, &tar.Header{Typeflag: tar.TypeSymlink, Name: "lib/modules/6.1.0/link", Linkname: dir},
		&tar.Header{Typeflag: tar.TypeLink, Name: "lib/modules/6.1.0/hard.ko", Linkname: "/etc/passwd"},
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "boot/vmlinuz", Linkname: "/etc/passwd"})
	if err := unpackKernel(context.Background(), bytes.NewReader(data), root); err != nil {
		t.Fatal(err)
	}
	want := []string{"in/lib/modules/6.1.0/absolute.ko", "in/lib/modules/6.1.0/link/a.ko", "in/lib/modules/6.1.0/up.ko", "in/vmlinuz"}
	if got := listTree(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzUnpackKernel(f *testing.F) {
	f.Add(kernelTar(f, map[string][]byte{"boot/vmlinuz": []byte("x"), "lib/modules/6.1.0/a.ko": []byte("y"), "boot/config-6.1.0": []byte("z")}))
	f.Add(kernelTar(f, map[string][]byte{"../vmlinuz": []byte("x")}, &tar.Header{Typeflag: tar.TypeSymlink, Name: "lib", Linkname: "/"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Join(dir, "in"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_ = unpackKernel(context.Background(), bytes.NewReader(data), root)
		for _, p := range listTree(t, dir) {
			if !strings.HasPrefix(p, "in"+string(filepath.Separator)) {
				t.Errorf("wrote %s", p)
			}
		}
	})
}

// TestPullTarAtOnce pulls one kernel many times at once: it is unpacked once.
func TestPullTarAtOnce(t *testing.T) {
	var mu sync.Mutex
	unpacked := 0
	s := &Store{Dir: t.TempDir(), Log: func(f string, _ ...any) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(f, "unpacking") {
			unpacked++
		}
	}}
	file := writeTemp(t, "k.tar", kernelTar(t, map[string][]byte{"boot/vmlinuz": testBz(t)}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Pull(context.Background(), "tar:"+file, "amd64"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if unpacked != 1 {
		t.Errorf("unpacked %d times, want once", unpacked)
	}
}

func TestBucket(t *testing.T) {
	dir := t.TempDir()
	good := pack(t, "gzip", kernelTar(t, map[string][]byte{"boot/vmlinuz": testBz(t)}))
	for n, data := range map[string][]byte{
		"debian/6.1.0__123_456.tar.gz": good, "debian/5.10.9__1.tar.gz": nil, "ubuntu/6.1.3__77.tar.gz": good,
		"ubuntu/README": nil, "ubuntu/nover.tar.gz": nil, "index.json": nil,
	} {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &Store{Dir: t.TempDir(), Log: t.Logf}
	ctx := context.Background()
	for _, tc := range []struct {
		spec string
		want []string
		err  string
	}{
		{"bucket:$D", []string{"debian/6.1.0__123_456", "debian/5.10.9__1", "ubuntu/6.1.3__77"}, ""},
		{"bucket:$D,kernel=debian", []string{"debian/6.1.0__123_456", "debian/5.10.9__1"}, ""},
		{"bucket:$D,kernel=*/6.1", []string{"debian/6.1.0__123_456", "ubuntu/6.1.3__77"}, ""},
		{"bucket:$D,kernel=ubuntu/6.1.3__77", []string{"ubuntu/6.1.3__77"}, ""},
		{"bucket:$D,kernel=fedora", nil, "nothing matches; there is debian/6.1.0"},
		{"bucket:$D/ubuntu", nil, "no DISTRO/VERSION__IDS.tar.gz"},
		{"bucket:$D/none", nil, "no such file"},
	} {
		got, err := s.Expand(ctx, strings.ReplaceAll(tc.spec, "$D", dir), "amd64")
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: got %v, %v, want %q", tc.spec, got, err, tc.err)
			}
			continue
		}
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], "bucket:"+dir+",kernel=")
		}
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, %v, want %q", tc.spec, got, err, tc.want)
		}
	}
	k, err := s.Pull(ctx, "bucket:"+dir+",kernel=*/6.1.3", "amd64")
	if err != nil || k.Release != testRelease || k.Flavour != "ubuntu" {
		t.Errorf("pull: got %+v, %v", k, err)
	}
}

func TestPullBuildTree(t *testing.T) {
	dir := t.TempDir()
	for n, data := range map[string][]byte{
		"arch/x86/boot/bzImage": testBz(t), ".config": []byte("CONFIG_BPF_LSM=y\n"),
		"include/generated/utsrelease.h": []byte("#define UTS_RELEASE \"" + testRelease + "\"\n"),
		"modules.order":                  []byte("drivers/a.o\nkernel/drivers/old.ko\n../../etc/passwd.ko\n"), "modules.builtin": []byte("kernel/drivers/virtio/virtio.ko\n"),
		"drivers/a.ko": testModule("depends=old,virtio"), "drivers/old.ko": testModule("depends="), "drivers/stale.ko": testModule("depends="),
	} {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &Store{Dir: t.TempDir(), Log: t.Logf}
	k, err := s.Pull(context.Background(), "build:"+dir, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if k.Release != testRelease || !k.Features.LSM || k.Modules != dir || k.Spec != "build:"+dir {
		t.Errorf("got %+v", k)
	}
	mods, missing, err := k.LoadModules([]string{"a"}, []string{"stale", "passwd"})
	if err != nil || len(mods) != 2 || mods[0].Name != "old" || mods[1].Path != "drivers/a.ko" || len(missing) != 2 {
		t.Errorf("modules: got %d, missing %q, %v", len(mods), missing, err)
	}
	if _, err := s.Pull(context.Background(), "build:"+dir, "arm64"); err == nil || !strings.Contains(err.Error(), "arch/arm64/boot/Image") {
		t.Errorf("arm64: got %v", err)
	}
}

// push serves an image of these layers from a registry on loopback and returns its reference.
func push(t *testing.T, host, tag, arch string, layers ...[]byte) string {
	t.Helper()
	img := empty.Image
	var err error
	for _, l := range layers {
		if img, err = mutate.AppendLayers(img, static.NewLayer(l, types.OCIUncompressedLayer)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.Architecture, c.OS = arch, "linux"
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/" + tag)
	if err != nil {
		t.Fatal(err)
	}
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	if err := remote.WriteIndex(ref, idx); err != nil {
		t.Fatal(err)
	}
	return "oci:" + host + "/" + tag
}

func TestPullOCI(t *testing.T) {
	reg := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	host := strings.TrimPrefix(reg.URL, "http://")
	mod := testModule("depends=")
	// The second layer deletes a module of the first (a whiteout) and adds another.
	spec := push(t, host, "ci-kernels:6.1", "amd64",
		kernelTar(t, map[string][]byte{"boot/vmlinuz": testBz(t), "lib/modules/" + testRelease + "/gone.ko": mod}),
		kernelTar(t, map[string][]byte{"lib/modules/" + testRelease + "/.wh.gone.ko": nil, "lib/modules/" + testRelease + "/a.ko": mod}))
	s := &Store{Dir: t.TempDir(), Log: t.Logf}
	ctx := context.Background()
	k, err := s.Pull(ctx, spec, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kernel.json", "lib/modules/" + testRelease + "/a.ko", "vmlinux", "vmlinuz"}
	if got := listTree(t, k.Dir); !slices.Equal(got, want) || k.Release != testRelease || !strings.Contains(k.Package, "@sha256:") {
		t.Errorf("got %+v with %q, want %q", k, got, want)
	}
	if _, err := s.Pull(ctx, spec, "arm64"); err == nil || !strings.Contains(err.Error(), "arm64") {
		t.Errorf("another architecture: got %v", err)
	}
	if _, err := s.Pull(ctx, "oci:"+host+"/none:1", "amd64"); err == nil || !strings.Contains(err.Error(), "no such image") {
		t.Errorf("no such image: got %v", err)
	}
	reg.Close()
	if again, err := s.Pull(ctx, spec, "amd64"); err != nil || again.Dir != k.Dir {
		t.Errorf("without the registry: got %+v, %v", again, err)
	}
	s.Refresh = true
	var fe *FetchError
	if _, err := s.Pull(ctx, spec, "amd64"); !errors.As(err, &fe) {
		t.Errorf("refresh without the registry: got %v, want a FetchError", err)
	}
}

func TestKeywords(t *testing.T) {
	cs := []Candidate{{Release: "7.2.1", Version: "7.2"}, {Release: "7.2.0", Version: "7.2"}, {Release: "6.12.3", Version: "6.12"}, {Release: "6.1.9", Version: "6.1"}, {Release: "6.1.2", Version: "6.1"}}
	for keyword, want := range map[string]string{keyNewest: "7.2.1", keyOldest: "6.1.2", keyEachMinor: "7.2.1 6.12.3 6.1.9"} {
		var got []string
		for _, c := range pickKeyword(cs, keyword) {
			got = append(got, c.Release)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", keyword, got, want)
		}
		if _, err := ParseSpec("apt:sid/" + keyword); err != nil {
			t.Error(err)
		}
	}
	if got := pickKeyword(nil, keyNewest); got != nil {
		t.Errorf("of nothing: got %v", got)
	}
}
