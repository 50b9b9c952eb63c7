package kernels

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPullFile(t *testing.T) {
	kernel := testKernel(true)
	bz := testBzImage(pack(t, "zstd", kernel), len(kernel))
	const rel = "6.1.0-99-test-amd64"
	mod := testModule("depends=")
	arm := make([]byte, 5000)
	copy(arm[56:], "ARM\x64")
	copy(arm[1000:], "Linux version 7.2.13 (x) #1")

	for _, tc := range []struct {
		name  string
		files map[string][]byte
		spec  string // $D is the folder
		arch  string
		image string // below $D; "" for one in the store
		mods  string
		conf  string
		err   string
	}{
		{name: "bare image", files: map[string][]byte{"bzImage": bz}, spec: "file:$D/bzImage"},
		{name: "vmlinux", files: map[string][]byte{"vmlinux": kernel}, spec: "file:$D/vmlinux", image: "vmlinux"},
		{name: "arm64", files: map[string][]byte{"Image": arm}, spec: "file:$D/Image", arch: "arm64", image: "Image"},
		{
			name:  "modules by release",
			files: map[string][]byte{"k/bzImage": bz, "m/lib/modules/" + rel + "/a.ko": mod, "m/lib/modules/6.2/a.ko": mod},
			spec:  "file:$D/k/bzImage,modules=$D/m", mods: "m/lib/modules/" + rel,
		},
		{
			name:  "modules folder itself",
			files: map[string][]byte{"k/bzImage": bz, "m/a.ko": mod},
			spec:  "file:$D/k/bzImage,modules=$D/m", mods: "m",
		},
		{
			name:  "as in /boot",
			files: map[string][]byte{"boot/vmlinuz-" + rel: bz, "boot/config-" + rel: []byte("CONFIG_BPF_LSM=y\n"), "lib/modules/" + rel + "/a.ko": mod},
			spec:  "file:$D/boot/vmlinuz-" + rel, mods: "lib/modules/" + rel, conf: "boot/config-" + rel,
		},
		{
			name:  "folder",
			files: map[string][]byte{"boot/vmlinuz-" + rel: bz, "boot/config-" + rel: []byte("CONFIG_BPF_LSM=y\n"), "lib/modules/" + rel + "/a.ko": mod},
			spec:  "file:$D", mods: "lib/modules/" + rel, conf: "boot/config-" + rel,
		},
		{
			name:  "newest of a folder",
			files: map[string][]byte{"vmlinuz-6.1.0-9-test": []byte("older"), "vmlinuz-6.1.0-99-test": bz},
			spec:  "file:$D",
		},
		{
			name:  "build tree",
			files: map[string][]byte{"arch/x86/boot/bzImage": bz, ".config": []byte("CONFIG_BPF_LSM=y\n")},
			spec:  "file:$D", conf: ".config",
		},
		{name: "other architecture", files: map[string][]byte{"Image": arm}, spec: "file:$D/Image", err: "is for arm64, not for amd64"},
		{name: "nothing there", spec: "file:$D/bzImage", err: "no such file"},
		{name: "empty folder", spec: "file:$D", err: "no kernel image in the folder"},
		{name: "no kernel", files: map[string][]byte{"x": []byte("hello")}, spec: "file:$D/x", err: "is it a kernel image?"},
		{name: "no modules", files: map[string][]byte{"bzImage": bz, "m/readme": nil}, spec: "file:$D/bzImage,modules=$D/m", err: "no modules of " + rel},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range tc.files {
				p := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if tc.arch == "" {
				tc.arch = "amd64"
			}
			s := &Store{Dir: t.TempDir(), Log: t.Logf}
			k, err := s.Pull(context.Background(), strings.ReplaceAll(tc.spec, "$D", dir), tc.arch)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got %v, %v, want %q", k, err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			full := func(p string) string {
				if p == "" {
					return ""
				}
				return filepath.Join(dir, p)
			}
			if k.Modules != full(tc.mods) || k.Config != full(tc.conf) || k.Arch != tc.arch {
				t.Errorf("got modules %q, config %q, arch %q, want %q, %q, %q", k.Modules, k.Config, k.Arch, full(tc.mods), full(tc.conf), tc.arch)
			}
			if tc.conf != "" && !k.Features.LSM {
				t.Error("the configuration was not read")
			}
			if tc.arch == "amd64" && (k.Release != rel || k.Version != "6.1") {
				t.Errorf("got release %q, version %q", k.Release, k.Version)
			}
			if tc.image != "" {
				if k.Image != full(tc.image) || k.Packed != "" {
					t.Errorf("got image %q, packed %q, want %q", k.Image, k.Packed, full(tc.image))
				}
				return
			}
			b, err := os.ReadFile(k.Image)
			if err != nil || !bytes.Equal(b, kernel) || !strings.HasPrefix(k.Image, s.Dir) || k.Packed == "" {
				t.Errorf("image %s, %v: want the unpacked kernel in the store", k.Image, err)
			}
			// A spec of a file is a name, not a copy: List does not have it, and Resolve gives it.
			cs, err := s.Resolve(context.Background(), k.Spec, tc.arch)
			if err != nil || len(cs) != 1 || cs[0].Release != k.Release {
				t.Errorf("resolve: got %v, %v", cs, err)
			}
		})
	}
}
