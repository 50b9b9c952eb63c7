package kernels

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An archive is a small apt archive in a folder, and a host's apt configuration that names it.
type archive struct {
	dir   string
	index map[string]string // suite to Packages
}

// newArchive skips when this is no host with apt. The real apt and dpkg-deb do the work in these tests.
func newArchive(t *testing.T, options string) *archive {
	t.Helper()
	for _, tool := range []string{"apt-get", "apt-config", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("apt specs need a Debian or Ubuntu host: %v", err)
		}
	}
	a := &archive{dir: t.TempDir(), index: map[string]string{}}
	etc := t.TempDir()
	conf := fmt.Sprintf("Dir::Etc::sourcelist %q;\nDir::Etc::sourceparts %q;\nAPT::Update::Pre-Invoke { \"touch %s/hook\"; };\n",
		etc+"/sources.list", etc+"/none", etc)
	a.write(t, etc+"/apt.conf", []byte(conf))
	a.write(t, etc+"/sources.list", []byte("deb ["+options+"] file:"+a.dir+" old main\n"))
	t.Setenv("APT_CONFIG", etc+"/apt.conf")
	t.Cleanup(func() {
		if _, err := os.Stat(etc + "/hook"); err == nil {
			t.Error("a hook of the host's apt configuration was run")
		}
	})
	return a
}

func (a *archive) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// add builds a package out of files, by path, and puts it into a suite.
func (a *archive) add(t *testing.T, suite, name, version, depends string, files map[string][]byte) {
	t.Helper()
	tree := t.TempDir()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: a <a@b.test>\nDescription: x\n", name, version)
	if depends != "" {
		control += "Depends: " + depends + "\n"
	}
	a.write(t, filepath.Join(tree, "DEBIAN/control"), []byte(control))
	for p, data := range files {
		a.write(t, filepath.Join(tree, p), data)
	}
	pool := filepath.Join("pool", name+"_"+version+"_amd64.deb")
	if err := os.MkdirAll(filepath.Join(a.dir, "pool"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("dpkg-deb", "-Zgzip", "--build", tree, filepath.Join(a.dir, pool)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	deb, err := os.ReadFile(filepath.Join(a.dir, pool))
	if err != nil {
		t.Fatal(err)
	}
	a.index[suite] += fmt.Sprintf("%sFilename: %s\nSize: %d\nSHA256: %x\n\n", control, pool, len(deb), sha256.Sum256(deb))
	a.publish(t, suite)
}

func (a *archive) publish(t *testing.T, suite string) {
	t.Helper()
	p := []byte(a.index[suite])
	a.write(t, filepath.Join(a.dir, "dists", suite, "main/binary-amd64/Packages"), p)
	a.write(t, filepath.Join(a.dir, "dists", suite, "Release"), fmt.Appendf(nil,
		"Suite: %s\nCodename: %s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n",
		suite, suite, sha256.Sum256(p), len(p)))
}

func testPackage(t *testing.T, release string) map[string][]byte {
	kernel := testKernel(true)
	return map[string][]byte{
		"boot/vmlinuz-" + release:                                    testBzImage(pack(t, "zstd", kernel), len(kernel)),
		"boot/config-" + release:                                     []byte("CONFIG_DEBUG_INFO_BTF=y\n"),
		"lib/modules/" + release + "/kernel/virtio/virtio.ko":        testModule("depends="),
		"lib/modules/" + release + "/kernel/virtio/virtio_pci.ko.xz": pack(t, "xz", testModule("depends=virtio")),
		"lib/modules/" + release + "/modules.builtin":                []byte("kernel/fs/ext4.ko\n"),
		"usr/share/doc/x":                                            []byte("not wanted"),
	}
}

func testStore(t *testing.T) (*Store, *bytes.Buffer) {
	var log bytes.Buffer
	var mu sync.Mutex
	return &Store{Dir: t.TempDir(), Log: func(f string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&log, f+"\n", a...)
	}}, &log
}

func TestPullApt(t *testing.T) {
	a := newArchive(t, "trusted=yes")
	a.add(t, "new", "linux-image-6.1.0-9-cloud-amd64", "6.1.90-1", "", testPackage(t, "6.1.0-9-cloud-amd64"))
	a.add(t, "new-updates", "linux-image-6.1.0-12-cloud-amd64", "6.1.120-1", "", testPackage(t, "6.1.0-12-cloud-amd64"))
	s, log := testStore(t)
	ctx := context.Background()

	k, err := s.Pull(ctx, "apt:new", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if k.Release != "6.1.0-12-cloud-amd64" || k.Version != "6.1" || k.Package != "linux-image-6.1.0-12-cloud-amd64=6.1.120-1" ||
		k.Arch != "amd64" || k.Flavour != "cloud" || !k.Features.BTF || k.Spec != "apt:new" || k.Size == 0 {
		t.Errorf("got %+v", k)
	}
	img, err := os.ReadFile(k.Image)
	if err != nil || !bytes.Equal(img, testKernel(true)) {
		t.Errorf("image %s, %v: is not the unpacked kernel", k.Image, err)
	}
	mods, err := k.ModuleFiles("virtio_pci", "ext4")
	if err != nil || moduleNames(mods) != "virtio virtio_pci" {
		t.Errorf("modules: got %q, %v", moduleNames(mods), err)
	}
	if _, err := os.Stat(filepath.Join(k.Dir, "usr")); err == nil {
		t.Error("files that are not wanted were unpacked")
	}

	// An older one of the same suite, by version; then everything again without the archive.
	old, err := s.Pull(ctx, "apt:new/6.1.90", "x86_64")
	if err != nil || old.Release != "6.1.0-9-cloud-amd64" {
		t.Fatalf("got %v, %v, want 6.1.0-9", old, err)
	}
	if err := os.Rename(a.dir, a.dir+".away"); err != nil {
		t.Fatal(err)
	}
	n := log.Len()
	again, err := s.Pull(ctx, "apt:new", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	again.Used = k.Used
	if d := cmp.Diff(k, again); d != "" {
		t.Errorf("from the store: want -, got +:\n%s", d)
	}
	// A spec not used before, answered by the cached index and the store.
	if k, err := s.Pull(ctx, "apt:new/6.1.*@cloud", "amd64"); err != nil || k.Release != "6.1.0-12-cloud-amd64" {
		t.Errorf("got %v, %v, want 6.1.0-12 from the store", k, err)
	}
	if log.Len() != n {
		t.Errorf("the store's answers were not silent: %s", log.String()[n:])
	}
	if err := os.Rename(a.dir+".away", a.dir); err != nil {
		t.Fatal(err)
	}

	// A newer one comes: seen only when asked for.
	a.add(t, "new-updates", "linux-image-6.1.0-100-cloud-amd64", "6.1.200-1", "", testPackage(t, "6.1.0-100-cloud-amd64"))
	if k, err := s.Pull(ctx, "apt:new", "amd64"); err != nil || k.Release != "6.1.0-12-cloud-amd64" {
		t.Errorf("without refresh: got %v, %v, want 6.1.0-12", k, err)
	}
	fresh := *s
	fresh.Refresh = true
	if k, err := fresh.Pull(ctx, "apt:new", "amd64"); err != nil || k.Release != "6.1.0-100-cloud-amd64" {
		t.Errorf("with refresh: got %v, %v, want 6.1.0-100", k, err)
	}
	if k, err := s.Pull(ctx, "apt:new", "amd64"); err != nil || k.Release != "6.1.0-100-cloud-amd64" {
		t.Errorf("after refresh: got %v, %v, want 6.1.0-100", k, err)
	}

	cs, err := s.Resolve(ctx, "apt:new/6.1", "amd64")
	var got []string
	for _, c := range cs {
		got = append(got, fmt.Sprint(c.Release, " ", c.Suite, " ", c.Stored))
	}
	want := []string{"6.1.0-100-cloud-amd64 new-updates true", "6.1.0-12-cloud-amd64 new-updates true", "6.1.0-9-cloud-amd64 new true"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v: want -, got +:\n%s", err, d)
	}

	list, err := s.List()
	got = nil
	for _, k := range list {
		got = append(got, k.Release+" "+k.Spec)
	}
	// 6.1.0-12 was given by a spec that a later pull did not move.
	want = []string{"6.1.0-100-cloud-amd64 apt:new", "6.1.0-12-cloud-amd64 apt:new/6.1.*@cloud", "6.1.0-9-cloud-amd64 apt:new/6.1.90"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v: want -, got +:\n%s", err, d)
	}
}

func TestPullSplitPackages(t *testing.T) {
	a := newArchive(t, "trusted=yes")
	const rel = "7.2.13+deb14-cloud-amd64"
	kernel := testKernel(true)
	a.add(t, "split", "linux-base-"+rel, "7.2.13-1", "", map[string][]byte{
		"usr/lib/modules/" + rel + "/config":          []byte("CONFIG_BPF_JIT=y\n"),
		"usr/lib/modules/" + rel + "/modules.builtin": []byte("kernel/fs/ext4.ko\n"),
		"usr/lib/modules/" + rel + "/System.map":      []byte("x"),
	})
	a.add(t, "split", "linux-binary-"+rel, "7.2.13-1", "linux-base-"+rel+" (= 7.2.13-1)", map[string][]byte{
		"usr/lib/modules/" + rel + "/vmlinuz": testBzImage(pack(t, "lz4", kernel), len(kernel)),
	})
	a.add(t, "split", "linux-modules-"+rel, "7.2.13-1", "linux-base-"+rel+" (= 7.2.13-1)", map[string][]byte{
		"usr/lib/modules/" + rel + "/kernel/veth.ko.xz": pack(t, "xz", testModule("depends=")),
	})
	a.add(t, "split", "linux-image-"+rel, "7.2.13-1", "dracut | initramfs-tools, linux-binary-"+rel+" (= 7.2.13-1), linux-modules-"+rel+" (= 7.2.13-1)", nil)
	s, _ := testStore(t)
	k, err := s.Pull(context.Background(), "apt:split/7.*", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	mods, err := k.ModuleFiles("veth", "ext4")
	if err != nil || moduleNames(mods) != "veth" || !k.Features.JIT || k.Packed == "" {
		t.Errorf("got %+v, modules %q, %v", k, moduleNames(mods), err)
	}
}

func TestPullAptErrors(t *testing.T) {
	a := newArchive(t, "trusted=yes")
	a.add(t, "s", "linux-image-6.1.0-3-amd64", "6.1.3-1", "", testPackage(t, "6.1.0-3-amd64"))
	a.add(t, "s", "linux-image-6.1.0-2-amd64", "6.1.2-1", "", testPackage(t, "6.1.0-2-amd64"))
	a.add(t, "s", "linux-image-5.10.0-1-amd64", "5.10.1-1", "", map[string][]byte{"usr/share/doc/x": []byte("x")})
	a.add(t, "empty", "bash", "5-1", "", nil)
	s, log := testStore(t)
	ctx := context.Background()

	_, err := s.Pull(ctx, "apt:s/9.*", "amd64")
	var nm *NoMatchError
	if !errors.As(err, &nm) || len(nm.Have) != 3 || !strings.Contains(err.Error(), "6.1.0-3") {
		t.Errorf("no match: got %v, want a NoMatchError that lists three kernels", err)
	}
	if _, err = s.Resolve(ctx, "apt:empty", "amd64"); !errors.As(err, &nm) || !strings.Contains(err.Error(), "no kernel in empty") {
		t.Errorf("no kernels: got %v", err)
	}
	var fe *FetchError
	if _, err = s.Pull(ctx, "apt:s", "arm64"); !errors.As(err, &nm) && !errors.As(err, &fe) {
		t.Errorf("another architecture: got %v, want NoMatchError or FetchError", err)
	}
	if _, err = s.Pull(ctx, "apt:s/5.10", "amd64"); err == nil || !strings.Contains(err.Error(), "no kernel image") {
		t.Errorf("package without a kernel: got %v", err)
	}

	// The archive lists a package that it does not have: the one before is taken, and said.
	deb := filepath.Join(a.dir, "pool/linux-image-6.1.0-3-amd64_6.1.3-1_amd64.deb")
	if err := os.Rename(deb, deb+".away"); err != nil {
		t.Fatal(err)
	}
	k, err := s.Pull(ctx, "apt:s/6.1", "amd64")
	if err != nil || k.Release != "6.1.0-2-amd64" || !strings.Contains(log.String(), "does not hold") {
		t.Errorf("got %v, %v, log:\n%s\nwant 6.1.0-2 and a line in the log", k, err, log)
	}
	// It is another one than the index says: apt must refuse it, and no other is taken instead.
	b, err := os.ReadFile(deb + ".away")
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-100] ^= 1
	a.write(t, deb, b)
	if k, err := s.Pull(ctx, "apt:s/6.1.3", "amd64"); !errors.As(err, &fe) {
		t.Errorf("changed package: got %v, %v, want a FetchError", k, err)
	}
	left, err := os.ReadDir(filepath.Join(s.Dir, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in tmp: %v, %v, want nothing", left, err)
	}

	done, cancel := context.WithCancel(ctx)
	cancel()
	fresh := *s
	fresh.Refresh = true
	if _, err := fresh.Pull(done, "apt:s", "amd64"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	var te *ToolError
	if _, err := fresh.Pull(ctx, "apt:s", "amd64"); !errors.As(err, &te) || te.Tool != "apt-get" {
		t.Errorf("no apt: got %v, want a ToolError for apt-get", err)
	}
	if _, err := s.Pull(ctx, "apt:s/6.1", "amd64"); err != nil {
		t.Errorf("no apt, kernel in the store: %v", err)
	}
}

// Nothing may be taken from an archive that apt cannot verify, unless the host's sources say so.
func TestPullAptUnsigned(t *testing.T) {
	a := newArchive(t, "by-hash=no")
	a.add(t, "s", "linux-image-6.1.0-3-amd64", "6.1.3-1", "", testPackage(t, "6.1.0-3-amd64"))
	s, _ := testStore(t)
	k, err := s.Pull(context.Background(), "apt:s", "amd64")
	var fe *FetchError
	if !errors.As(err, &fe) || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("got %v, %v, want a FetchError that says not signed", k, err)
	}
}

func TestPullAtOnce(t *testing.T) {
	a := newArchive(t, "trusted=yes")
	a.add(t, "s", "linux-image-6.1.0-3-amd64", "6.1.3-1", "", testPackage(t, "6.1.0-3-amd64"))
	s, log := testStore(t)
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			spec := []string{"apt:s", "apt:s/6.1", "apt:s@generic", "apt:s"}[i%4]
			k, err := s.Pull(context.Background(), spec, "amd64")
			if err != nil {
				t.Errorf("%s: %v", spec, err)
				return
			}
			got[i] = k.Image
		})
	}
	wg.Wait()
	if slices.Sort(got); got[0] == "" || got[0] != got[len(got)-1] {
		t.Errorf("got %q, want one image", got)
	}
	if n := strings.Count(log.String(), "unpacking"); n != 1 {
		t.Errorf("unpacked %d times, want once:\n%s", n, log)
	}
}

func TestPrune(t *testing.T) {
	a := newArchive(t, "trusted=yes")
	a.add(t, "s", "linux-image-6.1.0-3-amd64", "6.1.3-1", "", testPackage(t, "6.1.0-3-amd64"))
	s, _ := testStore(t)
	ctx := context.Background()
	names := func(ks []Kernel, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, k := range ks {
			out = append(out, k.Release)
		}
		return strings.Join(out, " ")
	}
	if got := names(s.Prune(ctx, PruneOptions{})); got != "" {
		t.Errorf("empty store: removed %q", got)
	}
	if _, err := s.Pull(ctx, "apt:s", "amd64"); err != nil {
		t.Fatal(err)
	}
	a.add(t, "s", "linux-image-6.1.0-4-amd64", "6.1.4-1", "", testPackage(t, "6.1.0-4-amd64"))
	fresh := *s
	fresh.Refresh = true
	if _, err := fresh.Pull(ctx, "apt:s", "amd64"); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(s.Dir, "tmp", "pull-1", "x")
	a.write(t, left, nil)
	if got := names(s.Prune(ctx, PruneOptions{DryRun: true})); got != "6.1.0-3-amd64" {
		t.Errorf("dry run: got %q, want the superseded one", got)
	}
	if got := names(s.List()); got != "6.1.0-4-amd64 6.1.0-3-amd64" {
		t.Errorf("after the dry run: got %q, want both", got)
	}
	if got := names(s.Prune(ctx, PruneOptions{})); got != "6.1.0-3-amd64" {
		t.Errorf("got %q, want the superseded one", got)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what an interrupted pull left is still there")
	}
	if got := names(s.List()); got != "6.1.0-4-amd64" {
		t.Errorf("left: got %q", got)
	}
	if got := names(s.Prune(ctx, PruneOptions{All: true})); got != "6.1.0-4-amd64" {
		t.Errorf("all: got %q", got)
	}
	if got := names(s.List()); got != "" {
		t.Errorf("left: got %q, want nothing", got)
	}
	if k, err := s.Pull(ctx, "apt:s", "amd64"); err != nil || k.Release != "6.1.0-4-amd64" {
		t.Errorf("pulled after prune: got %v, %v", k, err)
	}
}

// A store is only data: what is not whole or points out of it is as if it were not there.
func TestStoreDamage(t *testing.T) {
	a := newArchive(t, "trusted=yes")
	a.add(t, "s", "linux-image-6.1.0-3-amd64", "6.1.3-1", "", testPackage(t, "6.1.0-3-amd64"))
	s, _ := testStore(t)
	ctx := context.Background()
	k, err := s.Pull(ctx, "apt:s", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	info := filepath.Join(k.Dir, "kernel.json")
	for name, damage := range map[string]func() error{
		"no image":   func() error { return os.Remove(k.Image) },
		"cut image":  func() error { return os.Truncate(k.Image, 10) },
		"no info":    func() error { return os.Remove(info) },
		"cut info":   func() error { return os.Truncate(info, 10) },
		"points out": func() error { return os.WriteFile(info, []byte(`{"image":"../../../../etc/passwd"}`), 0o644) },
		"absolute":   func() error { return os.WriteFile(info, []byte(`{"image":"/etc/passwd"}`), 0o644) },
		"cut records": func() error {
			return os.Truncate(filepath.Join(s.Dir, "specs", recordName(spec{suite: "s"}, arches[0])), 3)
		},
		"cut index": func() error { return os.Truncate(filepath.Join(s.Dir, "apt/s-amd64/index.json"), 3) },
	} {
		if err := damage(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := s.List(); err != nil {
			t.Errorf("%s: list: %v", name, err)
		}
		again, err := s.Pull(ctx, "apt:s", "amd64")
		if err != nil || again.Image != k.Image {
			t.Errorf("%s: got %v, %v, want the kernel again", name, again, err)
			continue
		}
		if b, err := os.ReadFile(again.Image); err != nil || !bytes.Equal(b, testKernel(true)) {
			t.Errorf("%s: %v: the image is not whole", name, err)
		}
	}
}

// TestPullReal takes a kernel from the host's real archives, or from the user's own store when it is there already.
func TestPullReal(t *testing.T) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skipf("apt specs need a Debian or Ubuntu host: %v", err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("no apt outside Linux")
	}
	s := &Store{Log: t.Logf}
	k, err := s.Pull(context.Background(), "apt:bookworm", "amd64")
	var fe *FetchError
	if errors.As(err, &fe) && (strings.Contains(fe.Error(), "resolv") || strings.Contains(fe.Error(), "connect")) {
		t.Skipf("the archive cannot be reached, and the kernel is not in the store: %v", err)
	}
	var nm *NoMatchError
	if errors.As(err, &nm) && nm.NoSuite {
		t.Skipf("the host's archives are not Debian's: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if k.Version != "6.1" || k.Flavour != "cloud" || !k.Features.BTF || !k.Features.JIT || k.Packed == "" {
		t.Errorf("got %+v, want a 6.1 cloud kernel with BTF, unpacked", k)
	}
	img, err := os.ReadFile(k.Image)
	if err != nil || !hasPVH(img) || imageRelease(img) != k.Release {
		t.Errorf("image: %v, release %q, want a PVH kernel of %s", err, imageRelease(img), k.Release)
	}
	mods, missing, err := k.LoadModules(
		[]string{"virtio-pci", "virtio_console", "veth", "dummy", "cls_bpf", "act_bpf", "sch_ingress", "overlay", "tun"}, []string{"nosuch"})
	if err != nil || strings.Join(missing, " ") != "nosuch" {
		t.Fatalf("missing %v, %v", missing, err)
	}
	want := "virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console veth dummy cls_bpf act_bpf sch_ingress overlay tun"
	if got := moduleNames(mods); !sameOrder(got, want) {
		t.Errorf("modules: got %q, want the modules of %q with dependencies first", got, want)
	}
}

// sameOrder reports whether got has the names of want, and virtio_pci and virtio_console after what they need.
func sameOrder(got, want string) bool {
	g, w := strings.Fields(got), strings.Fields(want)
	at := func(n string) int { return slices.Index(g, n) }
	for _, n := range w {
		if at(n) < 0 {
			return false
		}
	}
	before := func(a, b string) bool { return at(a) < at(b) }
	return before("virtio", "virtio_pci") && before("virtio_ring", "virtio_pci") && before("virtio_pci_modern_dev", "virtio_pci") &&
		before("virtio_pci_legacy_dev", "virtio_pci") && before("virtio", "virtio_console")
}
