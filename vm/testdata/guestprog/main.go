// Command guestprog is what the end-to-end tests of package vm run in guests. It is static, so that the guest
// needs nothing else.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if len(os.Args) < 2 {
		os.Exit(99)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(what string, args []string) error {
	switch what {
	case "exit":
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		os.Exit(n)
	case "signal":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "output":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
	case "flood":
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		line := []byte(strings.Repeat("x", 1023) + "\n")
		for range n {
			if _, err := os.Stdout.Write(line); err != nil {
				return err
			}
		}
	case "hang":
		signal.Ignore(syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT)
		fmt.Println("hanging")
		time.Sleep(time.Hour)
	case "daemon": // a child that outlives us and keeps our output open
		cmd := exec.Command("/proc/self/exe", "hang")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return cmd.Start()
	case "count": // how many processes there are besides PID 1, the agent, its helpers and us
		return count()
	case "bpf":
		return bpf()
	case "bpf-panic": // after more than one snapshot's time
		if err := bpf(); err != nil {
			return err
		}
		time.Sleep(4 * time.Second)
		return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "bpf-hang": // and does not end when asked to
		signal.Ignore(syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT)
		if err := bpf(); err != nil {
			return err
		}
		time.Sleep(time.Hour)
	case "root": // FILE SIZE TEXT: a file of the root, which is an overlay that can be written to
		return root(args[0], args[1], args[2])
	case "spoil": // FILE...: of the host, behind a virtiofs that the guest mounts writable
		err := mountSpoil()
		for _, name := range args {
			err = errors.Join(err, spoil(name))
		}
		return err
	case "artefacts":
		return artefacts()
	case "listener": // needs a seccomp listener of its own, and counts
		if err := listener(); err != nil {
			return err
		}
		return bpf()
	case "panic":
		fmt.Println("about to panic")
		return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "hang-guest":
		return hangGuest()
	case "poweroff":
		return syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	case "killall":
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGKILL} {
			if err := syscall.Kill(1, sig); err != nil {
				return err
			}
			if err := syscall.Kill(-1, sig); err != nil {
				return err
			}
		}
	case "orphan":
		return orphan()
	case "parent": // of a process that outlives us a little
		cmd := exec.Command("/proc/self/exe", "exit", "0")
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Println(cmd.Process.Pid)
	case "random": // what the kernel and this process make of chance
		b := make([]byte, 16)
		if _, err := rand.Read(b); err != nil {
			return err
		}
		uuid, err := os.ReadFile("/proc/sys/kernel/random/uuid")
		fmt.Printf("%x %s", b, uuid)
		return err
	case "splat", "forks", "memory", "disk", "garbage", "crash-agent":
		return fault(what)
	case "machine":
		return machine()
	case "pivot":
		return pivot()
	case "cases":
		fmt.Print("=== RUN   TestGood\n--- PASS: TestGood (0.01s)\n=== RUN   TestBad\n    x_test.go:3: broken\n--- FAIL: TestBad (0.02s)\nFAIL\n")
		os.Exit(1)
	default:
		os.Exit(99)
	}
	return nil
}

// artefacts leaves files of all kinds.
func artefacts() error {
	dir := os.Getenv("GOCOVERDIR")
	for name, content := range map[string]string{
		dir + "/covmeta.1": "m", "/tmp/a.profraw": "a", "/tmp/sub/b.profraw": "b", "/tmp/sub/c.other": "c",
		"/tmp/sub/\\d.profraw": "a name that is not one everywhere",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return err
		}
	}
	if err := syscall.Mkfifo("/tmp/sub/pipe.profraw", 0o600); err != nil {
		return err
	}
	if err := os.Symlink("/tmp/sub/c.other", "/tmp/sub/link.profraw"); err != nil {
		return err
	}
	big, err := os.Create("/tmp/sub/big.profraw")
	if err != nil {
		return err
	}
	defer big.Close()
	return big.Truncate(1 << 30)
}

// listener installs a filter with a listener, as a container runtime does, see seccomp_unotify(2).
func listener() error {
	const setModeFilter, newListener, retAllow = 1, 8, 0x7fff0000
	filter := []syscall.SockFilter{{Code: syscall.BPF_RET | syscall.BPF_K, K: retAllow}}
	prog := syscall.SockFprog{Len: 1, Filter: &filter[0]}
	fd, _, errno := syscall.Syscall(seccompNr(), setModeFilter, newListener, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return syscall.Close(int(fd))
}

func seccompNr() uintptr {
	return map[string]uintptr{"amd64": 317, "arm64": 277, "riscv64": 277, "ppc64le": 358, "s390x": 348}[runtime.GOARCH]
}

// count prints the command lines of processes that are called like us, other than ourselves.
func count() error {
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, p := range procs {
		if p == fmt.Sprintf("/proc/%d/cmdline", os.Getpid()) {
			continue
		}
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), "hang") {
			return fmt.Errorf("left over: %s %q", p, b)
		}
	}
	return nil
}

// orphan checks that PID 1 reaps what loses its parent.
func orphan() error {
	out, err := exec.Command("/proc/self/exe", "parent").Output()
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return err
	}
	for range 200 {
		if err := syscall.Kill(pid, 0); err == syscall.ESRCH {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("process %d was not reaped", pid)
}

// machine checks what a test may expect of the guest.
func machine() error {
	for dir, magic := range map[string]int64{ // statfs(2)
		"/proc": 0x9fa0, "/sys": 0x62656572, "/dev/pts": 0x1cd1, "/dev/shm": 0x01021994, "/tmp": 0x01021994,
		"/run": 0x01021994, "/sys/fs/bpf": 0xcafe4a11, "/sys/kernel/tracing": 0x74726163,
		"/sys/kernel/debug": 0x64626720, "/sys/kernel/security": 0x73636673, "/sys/fs/cgroup": 0x63677270,
	} {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if int64(st.Type) != magic {
			return fmt.Errorf("%s: file system %#x, want %#x", dir, st.Type, magic)
		}
	}
	for _, f := range []string{"/dev/fd/0", "/dev/stdin", "/dev/null", "/dev/ptmx", "/etc/passwd"} {
		if _, err := os.Stat(f); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	c.Close()
	for name, want := range map[string]string{
		"net/core/bpf_jit_enable": "1", "kernel/kptr_restrict": "0", "kernel/perf_event_paranoid": "-1",
		"kernel/hostname": "bpfcov", "vm/overcommit_memory": "1", // the last one is asked for by the test
	} {
		b, err := os.ReadFile("/proc/sys/" + name)
		if os.IsNotExist(err) && name == "net/core/bpf_jit_enable" {
			continue
		}
		if got := strings.TrimSpace(string(b)); err != nil || got != want {
			return fmt.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	const rlimitMemlock = 8
	for res, want := range map[int]uint64{rlimitMemlock: ^uint64(0), syscall.RLIMIT_NOFILE: 1 << 20} {
		var l syscall.Rlimit
		if err := syscall.Getrlimit(res, &l); err != nil || l.Max != want {
			return fmt.Errorf("limit %d: %+v, %v, want %d", res, l, err, want)
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.Contains(to, "vport") {
			return fmt.Errorf("the port was inherited as %s", fd.Name())
		}
	}
	if wd, err := os.Getwd(); err != nil || wd != "/tmp" {
		return fmt.Errorf("working directory %s, %v, want /tmp", wd, err)
	}
	fmt.Printf("time=%d A=%s\n", time.Now().Unix(), os.Getenv("A"))
	return nil
}

// pivot does what container runtimes do.
func pivot() error {
	runtime.LockOSThread() // the other threads stay in the guest's own namespace
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return err
	}
	root, err := os.MkdirTemp("", "root")
	if err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, ""); err != nil {
		return err
	}
	if err := os.Mkdir(root+"/old", 0o700); err != nil {
		return err
	}
	if err := syscall.PivotRoot(root, root+"/old"); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if _, err := os.Stat("/old/guestprog"); err != nil {
		return err
	}
	return nil
}
