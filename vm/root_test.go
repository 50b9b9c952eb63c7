package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/qemu"
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

// hostFiles are files of the host that a guest reads and tries to change: one of this user's, and one of somebody else's on a
// mount of its own.
func hostFiles(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Skipf("needs to mount something: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	files := []string{filepath.Join(t.TempDir(), "marker"), filepath.Join(dir, "mounted")}
	for _, f := range files {
		write(t, f, []byte("marker\n"), 0o644)
	}
	if err := os.Chown(files[1], 1000, 1000); err != nil {
		t.Fatal(err)
	}
	return files
}

func wantUntouched(t *testing.T, files []string) {
	t.Helper()
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || string(b) != "marker\n" {
			t.Errorf("after the guest wrote to it: got %q, %v", b, err)
		}
		if all, err := os.ReadDir(filepath.Dir(f)); err != nil || len(all) != 1 {
			t.Errorf("beside %s: got %v, %v, want nothing", f, all, err)
		}
	}
}

// rootHost runs a cell with the host's root, which reads files and tries to change them.
func rootHost(t *testing.T, spec, fs string) {
	t.Helper()
	files := hostFiles(t)
	var tests []guest.Test
	for _, f := range files {
		tests = append(tests, prog(filepath.Base(f), "root", f, "7", "marker\n"))
	}
	if fs == "virtiofs" {
		tests = append(tests, prog("spoil", append([]string{"spoil"}, files...)...))
	}
	c := cell(t, spec, runtime.GOARCH, tests...)
	c.Root, c.Warm = Root{Share: "/"}, true
	res := wantPassed(t, c, false)
	wantUntouched(t, files)
	device := map[string]string{"9p": "virtio-9p-", "virtiofs": "vhost-user-fs-"}[fs]
	if !strings.Contains(strings.Join(res.QEMU, " "), device) {
		t.Errorf("got %q, want %s", res.QEMU, fs)
	}
}

// The host's root by virtiofs, on a kernel without 9p. The guest can change nothing of it, even where it mounts it writable.
func TestRootHost(t *testing.T) {
	if _, err := qemu.FindVirtiofsd(); err != nil {
		t.Skip(err)
	}
	rootHost(t, "apt:bookworm/6.1", "virtiofs")
}

func TestRootHostKernels(t *testing.T) {
	long(t)
	for spec, fs := range map[string]string{
		"apt:bullseye/5.10": "virtiofs", "apt:trixie/6.12": "virtiofs", "apt:sid/7.*": "virtiofs", "apt:bookworm/6.1@generic": "9p",
	} {
		t.Run(strings.ReplaceAll(spec, "/", " "), func(t *testing.T) { rootHost(t, spec, fs) })
	}
}

// daemons are the processes of virtiofsd that this test started.
func daemons(t *testing.T) (pids []int) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		env, _ := os.ReadFile(name)
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if !strings.Contains(string(env), daemonMark+"="+t.Name()) || !strings.Contains(string(line), "\x00--fd=3\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

const daemonMark = "BPFCOV_TEST_DAEMON"

// A daemon that dies ends its guest, which would wait for it for ever; and a run that is stopped leaves no daemon.
func TestRootHostEnds(t *testing.T) {
	long(t)
	for _, what := range []string{"daemon killed", "run stopped"} {
		t.Run(what, func(t *testing.T) {
			if _, err := qemu.FindVirtiofsd(); err != nil {
				t.Skip(err)
			}
			t.Setenv(daemonMark, t.Name())
			c := cell(t, "apt:bookworm/6.1", runtime.GOARCH, prog("first", "exit", "0"), prog("hang", "hang"))
			c.Root = Root{Share: "/"}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Events = func(e Event) {
				if e.Kind != EventTestStart || e.Test != "hang" {
					return
				}
				pids := daemons(t)
				if len(pids) == 0 {
					t.Error("found no daemon while the guest runs: the look for it is broken")
				}
				if what == "run stopped" {
					cancel()
					return
				}
				for _, pid := range pids {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			res, err := RunCell(ctx, c)
			if left := daemons(t); len(left) > 0 {
				t.Errorf("left running: %v", left)
			}
			if what == "run stopped" {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want that it was stopped", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			first, hang := res.Records[0].Run, res.Records[1].Run
			if first.Outcome != collect.Passed || hang.Outcome == collect.Passed || hang.Outcome == collect.TimedOut || !strings.Contains(hang.Reason, "virtiofsd") {
				t.Errorf("got %s (%s) and %s (%s), want the second to name virtiofsd", first.Outcome, first.Reason, hang.Outcome, hang.Reason)
			}
		})
	}
}

// What is said of a kernel, or a host, that can do neither.
func TestRootHostMissing(t *testing.T) {
	const instead = "use a kernel of another flavour, such as @generic, or a root image"
	r := Root{Share: "/"}
	bare := &kernels.Kernel{Release: "x", Modules: t.TempDir()}
	write(t, filepath.Join(bare.Modules, "modules.builtin"), nil, 0o644)
	if err := r.chooseShare(bare); err == nil || err.Error() != "the host's root needs the module 9pnet_virtio or virtiofs, and this kernel has neither: "+instead {
		t.Errorf("got %v", err)
	}
	write(t, filepath.Join(bare.Modules, "modules.builtin"), []byte("kernel/net/9p/9pnet_virtio.ko\n"), 0o644)
	if err := r.chooseShare(bare); err != nil || r.kind() != guest.RootShare {
		t.Errorf("with 9p: got %q, %v", r.kind(), err)
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
