package qemu

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperEnv makes the test binary start QEMU and print its pid, see [TestDiesWithItsParent].
const helperEnv = "BPFCOV_TEST_QEMU_HELPER"

func TestMain(m *testing.M) {
	if kernel := os.Getenv(helperEnv); kernel != "" {
		v, err := Start(context.Background(), Config{Arch: "amd64", Kernel: kernel, NoPort: true, Extra: []string{"-S"}})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(v.cmd.Process.Pid)
		v.Wait()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// blob is a file that QEMU loads as a kernel; with -S it never runs.
func blob(t *testing.T) string {
	t.Helper()
	if _, err := Find("amd64"); err != nil {
		t.Skip(err)
	}
	// A multiboot header makes QEMU take the file; it has no further meaning.
	b := make([]byte, 8192)
	copy(b, "\x02\xb0\xad\x1b\x00\x00\x01\x00\xfe\x4f\x51\xe4\x00\x00\x10\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00")
	p := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// gone waits until a process does not exist or is a zombie.
func gone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return
		}
		if i := strings.LastIndexByte(string(b), ')'); i > 0 && strings.HasPrefix(string(b[i+1:]), " Z") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("QEMU (pid %d) is still there", pid)
		}
		time.Sleep(10 * time.Millisecond) // there is no event for the death of another's child
	}
}

func TestKilledWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	v, err := Start(ctx, Config{Arch: "amd64", Kernel: blob(t), Extra: []string{"-S"}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	pid := v.cmd.Process.Pid
	cancel()
	err = v.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("got error %v, want killed", err)
	}
	gone(t, pid)
	if n, err := v.Port().Read(make([]byte, 1)); err == nil {
		t.Errorf("port after QEMU's end: got %d bytes, want EOF", n)
	}
}

func TestDiesWithItsParent(t *testing.T) {
	kernel := blob(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperEnv+"="+kernel)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("helper: %s", line)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("QEMU (pid %d) before its parent's death: %v", pid, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	gone(t, pid)
}

func TestStartFails(t *testing.T) {
	kernel := blob(t)
	v, err := Start(context.Background(), Config{Arch: "amd64", Kernel: kernel + ".none", NoPort: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Wait(); err == nil || !strings.Contains(err.Error(), "kernel.none") {
		t.Errorf("kernel that is not there: got error %v, want QEMU's own words", err)
	}
	if _, err := Start(context.Background(), Config{Arch: "amd64", Kernel: kernel, Binary: "/no/such/qemu"}); err == nil {
		t.Errorf("QEMU that is not there: got no error")
	}
	if _, err := Start(context.Background(), Config{Arch: "amd64", Kernel: kernel, Console: "/no/such/folder/x"}); err == nil {
		t.Errorf("console that cannot be written: got no error")
	}
	t.Setenv("PATH", "/nonexistent")
	if _, err := Find("arm64"); !errors.Is(err, ErrNoQEMU) || !strings.Contains(err.Error(), "qemu-system-arm") {
		t.Errorf("no QEMU on PATH: got error %v, want ErrNoQEMU and the package", err)
	}
}

func TestSandboxProbe(t *testing.T) {
	if _, err := Find("amd64"); err != nil {
		t.Skip(err)
	}
	p := Probe{Arch: "amd64", CacheDir: t.TempDir()}
	ok, err := p.Sandbox(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-machine", "none", "-display", "none", "-sandbox", sandboxOn, "-monitor", "stdio"}
	cmd := exec.Command("qemu-system-x86_64", args...)
	cmd.Stdin = strings.NewReader("quit\n")
	if out, err := cmd.CombinedOutput(); ok != (err == nil) {
		t.Errorf("got %v, but QEMU says %v: %s", ok, err, out)
	}
}

func TestAccelIsReasoned(t *testing.T) {
	if _, err := Find("s390x"); err != nil {
		t.Skip(err)
	}
	a, err := Probe{Arch: "s390x", CacheDir: t.TempDir()}.Accel(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if a.Name == TCG && a.Reason == "" || a.Name != TCG && a.Name != KVM {
		t.Errorf("got %+v, want tcg with a reason, or kvm", a)
	}
}

// A KVM that opens and does not run guests must not be chosen, and must not hang the probe.
func TestBootKVMFails(t *testing.T) {
	kernel := blob(t)
	if _, err := os.Stat("/dev/kvm"); err != nil {
		t.Skip("no /dev/kvm")
	}
	reason, err := Probe{Arch: "amd64", Kernel: kernel}.bootKVM(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if reason == "" { // the kernel here is not one
		t.Errorf("got a working KVM with a kernel of zeros")
	}
}

func TestCached(t *testing.T) {
	p := Probe{Arch: "amd64", Binary: "/bin/true", CacheDir: t.TempDir()}
	asked := 0
	ask := func() (Accel, error) {
		var a Accel
		err := p.cached(context.Background(), "q", &a, func() error {
			asked++
			a = Accel{TCG, "asked"}
			return nil
		})
		return a, err
	}
	for range 3 {
		if a, err := ask(); err != nil || a != (Accel{TCG, "asked"}) {
			t.Fatalf("got %+v, %v", a, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	// A failure is not remembered.
	boom := errors.New("boom")
	var a Accel
	if err := p.cached(context.Background(), "other", &a, func() error { return boom }); err != boom {
		t.Errorf("got error %v, want boom", err)
	}
	if err := p.cached(context.Background(), "other", &a, func() error { a.Name = "x"; return nil }); err != nil || a.Name != "x" {
		t.Errorf("after a failure: got %+v, %v", a, err)
	}
}

func TestVersion(t *testing.T) {
	for in, want := range map[string]string{
		"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright": "7.2.22",
		"QEMU emulator version 10.0.2":                                           "10.0.2", "something else": "", "": "",
	} {
		if got := parseVersion(in); got != want {
			t.Errorf("%q: got version %q, want %q", in, got, want)
		}
	}
	if _, err := Find("amd64"); err != nil {
		t.Skip(err)
	}
	if v, err := (Probe{Arch: "amd64", CacheDir: t.TempDir()}).Version(context.Background()); err != nil || !strings.Contains(v, ".") {
		t.Errorf("installed QEMU: got version %q, %v", v, err)
	}
}

func TestCPUFlags(t *testing.T) {
	const text = "processor\t: 0\nflags\t\t: fpu svm\n\nprocessor\t: 1\nflags\t\t: fpu vmx\n"
	if !cpuFlags([]byte(text), "vmx", "svm") || cpuFlags([]byte(text), "vmx") || cpuFlags(nil, "vmx") {
		t.Errorf("flags of the first processor were not read")
	}
}

// Two processes that want one processor each wait for half of the time.
func TestStarved(t *testing.T) {
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		t.Skip("the kernel does not tell how long threads wait: ", err)
	}
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !mask.IsSet(cpu) {
		cpu++
	}
	var vms []*VM
	for range 2 {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(cmd.Process.Pid, &one); err != nil {
			t.Fatal(err)
		}
		vms = append(vms, &VM{cmd: cmd})
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		a, b, wall := vms[0].Starved(), vms[1].Starved(), time.Since(start)
		if a > wall+time.Second || b > wall+time.Second {
			t.Fatalf("got %v and %v of %v", a, b, wall)
		}
		if a > 50*time.Millisecond && b > 50*time.Millisecond {
			return
		}
		if wall > time.Minute {
			t.Fatalf("after %v: got %v and %v", wall, a, b)
		}
	}
}
