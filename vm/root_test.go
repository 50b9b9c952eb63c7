package vm

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/rootfs"
)

// image makes the disk of an image, or skips.
func image(t *testing.T, m rootfs.Maker, ref, arch string) Root {
	t.Helper()
	if err := rootfs.Available(); err != nil {
		t.Skip(err)
	}
	m.Dir, m.Log = t.TempDir(), t.Logf
	disk, err := m.Disk(t.Context(), rootfs.Spec{Kind: rootfs.Image, Ref: ref}, arch)
	if err != nil {
		t.Fatal(err)
	}
	return Root{Disk: disk}
}

// rootTests run a program that only the root has, and look at a file that only it has; then a program of the tests'.
func rootTests() []guest.Test {
	here := prog("file", "root", "/etc/marker", "7", "marker\n")
	there := here
	there.Name, there.Command = "program", append([]string{"in-image"}, here.Command[1:]...)
	return []guest.Test{there, prog("counters", "bpf"), prog("machine", "pivot"), prog("libraries", "exit", "0")}
}

func wantPassed(t *testing.T, c CellConfig, warm bool) *CellResult {
	t.Helper()
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res.Records {
		if r.Run.Outcome != collect.Passed {
			t.Errorf("%s: got %s (%s), stderr %q", r.Run.Test, r.Run.Outcome, r.Run.Reason, read(t, c, FileName(r.Run.Test)+".stderr"))
		}
	}
	if res.Warm != warm || len(res.Logs) > 0 {
		t.Errorf("got a warm guest: %v, logs %q, want %v and none", res.Warm, res.Logs, warm)
	}
	return res
}

// A folder as the root, of guests that boot and of guests that are resumed.
func TestRootFolder(t *testing.T) {
	c := cell(t, "apt:bookworm/6.1", "amd64", rootTests()...)
	folder := t.TempDir()
	write(t, filepath.Join(folder, "etc/marker"), []byte("marker\n"), 0o644)
	program, err := os.ReadFile(c.Files[0].Source)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "usr/bin/in-image"), program, 0o755)
	c.Root = image(t, rootfs.Maker{Base: filepath.Dir(folder)}, "./"+filepath.Base(folder), "amd64")
	wantCounters(t, wantPassed(t, c, false).Records[1])
	c.Warm, c.CacheDir = true, t.TempDir()
	for range 2 { // the first one is saved and resumed at once
		wantCounters(t, wantPassed(t, c, true).Records[1])
	}
}

func write(t *testing.T, name string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, mode); err != nil {
		t.Fatal(err)
	}
}

// An OCI image and a tarball as the root, on the architectures.
func TestRootArchives(t *testing.T) {
	long(t)
	reg := startRegistry(t)
	for _, k := range [][2]string{
		{"apt:bullseye/5.10", "amd64"}, {"apt:sid/7.*", "amd64"}, {"apt:bookworm/6.1", "arm64"}, {"apt:trixie/6.12", "riscv64"}, {"apt:trixie/6.12", "s390x"},
	} {
		t.Run(k[1]+" "+k[0], func(t *testing.T) {
			c := cell(t, k[0], k[1], rootTests()...)
			program, err := os.ReadFile(c.Files[0].Source)
			if err != nil {
				t.Fatal(err)
			}
			layer := archive(t, map[string][]byte{"etc/marker": []byte("marker\n"), "usr/bin/in-image": program})
			text := reg + "/root:" + k[1]
			pushImage(t, text, layer)
			c.Root = image(t, rootfs.Maker{}, text, k[1])
			wantCounters(t, wantPassed(t, c, false).Records[1])

			file := filepath.Join(t.TempDir(), "root."+k[1]+".tar")
			write(t, file, layer, 0o644)
			c.Root = image(t, rootfs.Maker{}, strings.Replace(file, k[1], "{arch}", 1), k[1])
			wantPassed(t, c, false)
		})
	}
}

// The host's root, on a kernel that has 9p, and what is said of one that has not.
func TestRootHost(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	write(t, marker, []byte("marker\n"), 0o644)
	tests := []guest.Test{prog("file", "root", marker, "7", "marker\n")}
	c := cell(t, "apt:bookworm/6.1", runtime.GOARCH, tests...)
	c.Root = Root{Share: "/"}
	const want = "the host's root needs the module 9pnet_virtio, which this kernel has not: use a kernel of another flavour, such as @generic, or a root image"
	if _, err := RunCell(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	long(t)
	c = cell(t, "apt:bookworm/6.1@generic", runtime.GOARCH, tests...)
	c.Root, c.Warm = Root{Share: "/"}, true
	wantPassed(t, c, false)
	if b, err := os.ReadFile(marker); err != nil || string(b) != "marker\n" {
		t.Errorf("after the guest wrote to it: got %q, %v", b, err)
	}
}

// Large files go by disk.
func TestLargeFiles(t *testing.T) {
	if err := rootfs.Available(); err != nil {
		t.Skip(err)
	}
	large := filepath.Join(t.TempDir(), "large")
	write(t, large, []byte("large"), 0o644)
	const size = diskSize + 1
	if err := os.Truncate(large, size); err != nil {
		t.Fatal(err)
	}
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("file", "root", "/data/large", strconv.Itoa(size), "large"), prog("again", "exit", "0"))
	c.Files = append(c.Files, initramfs.File{Path: "/data/large", Source: large})
	c.Warm, c.CacheDir = true, t.TempDir()
	wantLeft := func() {
		t.Helper()
		left, err := filepath.Glob(filepath.Join(c.OutDir, ".*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	}
	invalid := c
	invalid.Tests = append(slices.Clone(c.Tests), c.Tests[0])
	if _, err := RunCell(t.Context(), invalid); err == nil {
		t.Error("two tests of one name: no error")
	}
	wantLeft()
	res := wantPassed(t, c, false)
	if i := strings.Index(strings.Join(res.QEMU, " "), "-m 512 "); i < 0 {
		t.Errorf("got %q, want no memory for the files", res.QEMU)
	}
	wantLeft()
}
