package kernels

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testModule(modinfo ...string) []byte {
	return testELF(elf.EM_X86_64, map[string][]byte{".modinfo": []byte(strings.Join(modinfo, "\x00") + "\x00")}, nil)
}

// testModules writes a modules folder and gives a kernel that has it.
func testModules(t *testing.T, files map[string][]byte) *Kernel {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "6.1.0-test")
	for name, data := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Kernel{Release: "6.1.0-test", Modules: dir}
}

func moduleNames(ms []Module) string {
	var out []string
	for _, m := range ms {
		out = append(out, m.Name)
	}
	return strings.Join(out, " ")
}

func TestModuleFiles(t *testing.T) {
	plain := testModule("license=GPL", "depends=")
	k := testModules(t, map[string][]byte{
		"kernel/virtio/virtio.ko":         plain,
		"kernel/virtio/virtio_ring.ko.xz": pack(t, "xz", testModule("depends=virtio")),
		"kernel/virtio/virtio_pci.ko.zst": pack(t, "zstd", testModule("depends=virtio,virtio_ring,virtio-pci-modern-dev", "vermagic=6.1.0-test SMP")),
		// The file name has dashes, the dependency too; the module's name never does.
		"kernel/virtio/virtio-pci-modern-dev.ko.gz": pack(t, "gzip", testModule("", "depends=virtio")),
		"kernel/fs/overlay.ko":                      plain,
		"kernel/lib/libcrc32c.ko":                   testModule("softdep=pre: crc32c nothing-like-it post: overlay", "depends=ext4"),
		"kernel/crypto/crc32c_generic.ko":           plain,
		"kernel/net/old.ko":                         testModule("depends="),
		"updates/old.ko":                            testModule("depends=virtio"),
		"kernel/loop/a.ko":                          testModule("depends=b"),
		"kernel/loop/b.ko":                          testModule("depends=a"),
		"kernel/bad/needs_nothing.ko":               testModule("depends=gone"),
		"kernel/bad/text.ko":                        []byte("not an ELF file"),
		"kernel/bad/noinfo.ko":                      testELF(elf.EM_X86_64, nil, nil),
		"kernel/bad/cut.ko.xz":                      pack(t, "xz", plain)[:60],
		"modules.builtin":                           []byte("kernel/fs/ext4/ext4.ko\nkernel/drivers/fuse-like.ko\n"),
		"modules.order":                             nil,
	})
	for _, tc := range []struct {
		ask, want string
	}{
		{"virtio", "virtio"},
		{"virtio-pci", "virtio virtio_ring virtio_pci_modern_dev virtio_pci"},
		{"overlay virtio_ring virtio_pci virtio", "overlay virtio virtio_ring virtio_pci_modern_dev virtio_pci"},
		{"ext4 fuse_like", ""},
		{"libcrc32c", "crc32c_generic libcrc32c"},
		{"old", "virtio old"},
		{"a", "b a"},
		{"", ""},
	} {
		got, err := k.ModuleFiles(strings.Fields(tc.ask)...)
		if err != nil || moduleNames(got) != tc.want {
			t.Errorf("%q: got %q, %v, want %q", tc.ask, moduleNames(got), err, tc.want)
		}
		for _, m := range got {
			if !bytes.HasPrefix(m.Data, []byte(elf.ELFMAG)) || !strings.Contains(m.Path, "/") {
				t.Errorf("%q: module %s, path %q, is not unpacked", tc.ask, m.Name, m.Path)
			}
		}
	}

	for _, tc := range []struct {
		ask, want string
	}{
		{"nosuch", "kernel 6.1.0-test: module nosuch: no such module"},
		{"needs_nothing", "module gone (needed by needs_nothing): no such module"},
		{"text", "module text: not an ELF file"},
		{"noinfo", "module noinfo: no .modinfo section"},
		{"cut", "module cut: xz"},
	} {
		got, err := k.ModuleFiles(tc.ask)
		var me *ModuleError
		if !errors.As(err, &me) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, %v, want a ModuleError with %q", tc.ask, got, err, tc.want)
		}
		if strings.Contains(tc.want, "no such") != errors.Is(err, ErrNoModule) {
			t.Errorf("%s: %v: ErrNoModule: got %v", tc.ask, err, errors.Is(err, ErrNoModule))
		}
	}

	got, missing, err := k.LoadModules([]string{"virtio"}, []string{"sch_nosuch", "overlay", "ext4", "bpf-nosuch"})
	if d := cmp.Diff([]string{"sch_nosuch", "bpf-nosuch"}, missing); err != nil || moduleNames(got) != "virtio overlay" || d != "" {
		t.Errorf("got %q, %v; missing: want -, got +:\n%s", moduleNames(got), err, d)
	}
	if !k.HasModule("ext4") || !k.HasModule("overlay") || k.HasModule("nosuch") {
		t.Error("HasModule: got otherwise, want ext4 and overlay only")
	}
}

// TestModuleList looks through the folder of a kernel of the store once.
func TestModuleList(t *testing.T) {
	plain := testModule("depends=")
	k := testModules(t, map[string][]byte{"kernel/a.ko": testModule("depends=b-c"), "kernel/b-c.ko": plain, "kernel/d.ko": plain, "updates/d.ko": plain, "modules.builtin": nil})
	k.Dir = t.TempDir()
	for range 2 {
		got, err := k.ModuleFiles("a", "d")
		if err != nil || moduleNames(got) != "b_c a d" || got[2].Path != "updates/d.ko" {
			t.Fatalf("got %v, %v, want b_c, a and d below updates", got, err)
		}
		if err := os.WriteFile(filepath.Join(k.Modules, "kernel/later.ko"), plain, 0o644); err != nil {
			t.Fatal(err)
		}
		if k.HasModule("later") {
			t.Error("the folder was looked through again")
		}
	}
	k.Dir = ""
	if !k.HasModule("later") {
		t.Error("the list of another kernel was taken")
	}
}

func TestModulesWithoutBuiltinList(t *testing.T) {
	for name, k := range map[string]*Kernel{
		"no folder": {Release: "6.1"},
		"no list":   testModules(t, map[string][]byte{"kernel/a.ko": testModule("depends=b")}),
	} {
		if got, err := k.ModuleFiles("virtio_pci"); err != nil || len(got) != 0 {
			t.Errorf("%s: got %v, %v, want nothing to load", name, got, err)
		}
	}
	k := &Kernel{Release: "6.1", Modules: filepath.Join(t.TempDir(), "gone")}
	if _, err := k.ModuleFiles("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the folder does not exist", err)
	}
}

// A link in the folder, which a package cannot bring but a user's folder may have, must not lead out of it.
func TestModulesSymlink(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "evil.ko")
	if err := os.WriteFile(outside, testModule("depends="), 0o644); err != nil {
		t.Fatal(err)
	}
	k := testModules(t, map[string][]byte{"kernel/a.ko": testModule("depends="), "modules.builtin": nil})
	if err := os.Symlink(outside, filepath.Join(k.Modules, "kernel", "evil.ko")); err != nil {
		t.Fatal(err)
	}
	if got, err := k.ModuleFiles("evil"); !errors.Is(err, ErrNoModule) {
		t.Errorf("got %v, %v, want no such module", got, err)
	}
	if err := os.Remove(filepath.Join(k.Modules, "modules.builtin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(k.Modules, "modules.builtin")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.ModuleFiles("a"); err == nil {
		t.Error("modules.builtin leads out of the folder: got no error")
	}
}

func FuzzModinfo(f *testing.F) {
	f.Add(testModule("depends=a,b", "softdep=pre: c post: d", "vermagic=6.1 SMP"))
	f.Add(testModule())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseModinfo(b)
		if err != nil {
			return
		}
		for _, d := range m.depends {
			if d == "" || strings.ContainsAny(d, ",\x00") {
				t.Errorf("dependency %q", d)
			}
		}
	})
}
