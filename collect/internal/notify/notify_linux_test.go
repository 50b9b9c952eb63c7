//go:build amd64 || arm64 || ppc64le || riscv64 || s390x

package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// helperEnv makes the test binary behave as the command of a test.
const helperEnv = "NOTIFY_TEST_HELPER"

func TestMain(m *testing.M) {
	Main()
	if h := os.Getenv(helperEnv); h != "" {
		helper(h)
	}
	os.Exit(m.Run())
}

func helper(what string) {
	switch what {
	case "calls":
		// Commands that fail at once, with the errors that they have without a watcher.
		var attr [128]byte
		for _, c := range []int{ProgLoad, ObjPin, ProgAttach, RawTracepointOpen, LinkCreate, 0, 1, 12} {
			_, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(c), uintptr(unsafe.Pointer(&attr)), 120)
			fmt.Println(c, errno)
		}
	case "wait":
		os.Stdin.Read(make([]byte, 1))
	case "loop": // calls until its stdin closes, from a process that outlives its parent
		go func() {
			for {
				var attr [128]byte
				_, _, errno := unix.Syscall(unix.SYS_BPF, ObjPin, uintptr(unsafe.Pointer(&attr)), 120)
				if errno == unix.ENOSYS {
					os.Exit(3)
				}
				fmt.Println(errno)
				time.Sleep(time.Millisecond)
			}
		}()
		os.Stdin.Read(make([]byte, 1))
	}
	os.Exit(0)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("installing a seccomp filter without no_new_privs needs root")
	}
}

func self(what string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"="+what)
	return cmd
}

// start starts cmd and handles its calls until the filter has no user left.
func start(t *testing.T, cmd *exec.Cmd) (cmds []int, err error) {
	t.Helper()
	l, err := Start(cmd, Inherit{})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	for {
		var c Call
		ev, err := l.Next(&c, 60_000)
		if err != nil || ev == EventTimeout {
			t.Fatalf("Next: event %d, %v", ev, err)
		}
		if ev == EventHangup {
			return cmds, <-waited
		}
		cmds = append(cmds, c.Cmd)
		if !l.Continue(c.ID) {
			t.Errorf("call %+v did not wait", c)
		}
		if l.Continue(c.ID) {
			t.Errorf("call %+v waits after Continue", c)
		}
	}
}

// TestTimerSlack starts a command under each watcher with a timer slack, which the calling thread does not keep.
func TestTimerSlack(t *testing.T) {
	needRoot(t)
	const slack = 123456
	in := Inherit{TimerSlack: slack}
	for name, start := range map[string]func(*exec.Cmd) (Source, error){
		"notify": func(c *exec.Cmd) (Source, error) { return Start(c, in) },
		"sweep":  func(c *exec.Cmd) (Source, error) { return StartPlain(c, in) },
	} {
		runtime.LockOSThread()
		was, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("cat", "/proc/self/timerslack_ns")
		var out bytes.Buffer
		cmd.Stdout = &out
		l, err := start(cmd)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		is, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		if err != nil || is != was {
			t.Errorf("%s: this thread: got %d, %v, want %d as before", name, is, err, was)
		}
		runtime.UnlockOSThread()
		if err := cmd.Wait(); err != nil || strings.TrimSpace(out.String()) != strconv.Itoa(slack) {
			t.Errorf("%s: got %q, %v, want %d", name, out.String(), err, slack)
		}
		l.Close()
	}
}

func TestCalls(t *testing.T) {
	needRoot(t)
	plain, err := self("calls").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := self("calls")
	var out bytes.Buffer
	cmd.Stdout = &out
	got, err := start(t, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{ProgLoad, ObjPin, ProgAttach, RawTracepointOpen, LinkCreate}; !slices.Equal(got, want) {
		t.Errorf("reported calls: got %v, want %v", got, want)
	}
	if d := cmp.Diff(string(plain), out.String()); d != "" {
		t.Errorf("results of the calls, -without +with the watcher:\n%s", d)
	}
}

// The command must not see a difference: what a shell can tell of its process, with and without.
// A command that was prepared for is watched like another, once.
func TestPrepare(t *testing.T) {
	needRoot(t)
	for range 2 {
		if err := Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	for n, left := range []int{1, 0, 0} {
		if len(prepared) != left {
			t.Errorf("before start %d: %d threads are prepared, want %d", n, len(prepared), left)
		}
		cmds, err := start(t, self("calls"))
		if want := []int{ProgLoad, ObjPin, ProgAttach, RawTracepointOpen, LinkCreate}; err != nil || !slices.Equal(cmds, want) {
			t.Errorf("start %d: got calls %v, %v, want %v", n, cmds, err, want)
		}
	}
}

func TestSameProcess(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	extra, err := os.Create(filepath.Join(dir, "extra"))
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	command := func() *exec.Cmd {
		cmd := exec.Command("/bin/sh", "-c", `
			echo "$0|$1|$2"; pwd; env | sort; ulimit -a; id; umask
			ls /proc/self/fd | wc -l; readlink /proc/self/fd/3
			grep -E '^(Sig(Blk|Ign|Cgt)|Cap|NoNewPrivs|Groups)' /proc/self/status
			cat /proc/self/oom_score_adj; ps -o pgid= -p $$ | tr -d ' ' | grep -qx $$ && echo leader
			cat; exit 7`, "name with space", "", "\xff\xfe")
		cmd.Dir = dir
		cmd.Env = []string{"A=1", "GODEBUG=x", "GOMAXPROCS=1", "EMPTY="}
		cmd.Stdin = strings.NewReader("from stdin\n")
		cmd.ExtraFiles = []*os.File{extra}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd
	}
	plain, err := command().Output()
	if code := exitCode(err); code != 7 {
		t.Fatalf("without: exit %d (%v)", code, err)
	}
	cmd := command()
	var out bytes.Buffer
	cmd.Stdout = &out
	_, err = start(t, cmd)
	if code := exitCode(err); code != 7 {
		t.Errorf("exit: got %d (%v), want 7", code, err)
	}
	if d := cmp.Diff(string(plain), out.String()); d != "" {
		t.Errorf("-without +with the watcher:\n%s", d)
	}
	if cmd.Path != "/bin/sh" || len(cmd.Args) != 6 || len(cmd.ExtraFiles) != 1 || len(cmd.Env) != 4 {
		t.Errorf("cmd was left changed: %+v", cmd)
	}
}

func exitCode(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return 0
}

func TestCredentialAndChroot(t *testing.T) {
	needRoot(t)
	cmd := exec.Command("/bin/sh", "-c", `id -u; id -g; id -G; grep -E '^Cap(Eff|Amb)' /proc/self/status; pwd; kill -TERM $$`)
	attr := syscall.SysProcAttr{Chroot: "/", Pdeathsig: unix.SIGKILL,
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65533, Groups: []uint32{5, 6}},
		AmbientCaps: []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN}}
	cmd.SysProcAttr = &attr
	var out bytes.Buffer
	cmd.Stdout = &out
	_, err := start(t, cmd)
	want := "65534\n65533\n65533 5 6\nCapEff:\t0000008000001000\nCapAmb:\t0000008000001000\n/\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	var e *exec.ExitError
	if !errors.As(err, &e) || e.Sys().(syscall.WaitStatus).Signal() != unix.SIGTERM {
		t.Errorf("end: got %v, want SIGTERM", err)
	}
}

func TestStartErrors(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cmd  *exec.Cmd
		want error
	}{
		"missing":        {&exec.Cmd{Path: filepath.Join(dir, "nothing")}, fs.ErrNotExist},
		"not executable": {&exec.Cmd{Path: file}, fs.ErrPermission},
		"not on PATH":    {exec.Command("no-such-command-at-all"), exec.ErrNotFound},
		"no directory":   {&exec.Cmd{Path: "/bin/true", Dir: filepath.Join(dir, "nothing")}, fs.ErrNotExist},
	} {
		if _, err := Start(c.cmd, Inherit{}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// What is read from a process that is killed meanwhile may be another's.
func TestKilledCall(t *testing.T) {
	needRoot(t)
	cmd := self("calls")
	l, err := Start(cmd, Inherit{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var c Call
	if ev, err := l.Next(&c, 60_000); ev != EventCall || err != nil {
		t.Fatalf("Next: event %d, %v, want a call", ev, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if l.Continue(c.ID) {
		t.Error("a killed process is said to have waited")
	}
}

// A process that outlives both the command and the listener's owner goes on calling.
func TestHandOver(t *testing.T) {
	needRoot(t)
	cmd := self("loop")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l, err := Start(cmd, Inherit{})
	if err != nil {
		t.Fatal(err)
	}
	var c Call
	if ev, err := l.Next(&c, 60_000); ev != EventCall || err != nil {
		t.Fatalf("Next: event %d, %v, want a call", ev, err)
	}
	l.Continue(c.ID)
	l.Stop()
	if err := l.HandOver(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1)
	for lines := 0; lines < 20; {
		if _, err := out.Read(buf); err != nil {
			t.Fatalf("after %d calls: %v (a closed listener gives ENOSYS)", lines, err)
		}
		if buf[0] == '\n' {
			lines++
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want success", err)
	}
}

func TestStop(t *testing.T) {
	needRoot(t)
	cmd := self("wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l, err := Start(cmd, Inherit{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Stop()
	var c Call
	if ev, err := l.Next(&c, 60_000); ev != EventStop || err != nil {
		t.Errorf("after Stop: event %d, %v, want EventStop", ev, err)
	}
	l.Restart()
	if ev, err := l.Next(&c, 0); ev != EventTimeout || err != nil {
		t.Errorf("after Restart: event %d, %v, want EventTimeout", ev, err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if ev, err := l.Next(&c, 60_000); ev != EventHangup || err != nil {
		t.Errorf("after the end: event %d, %v, want EventHangup", ev, err)
	}
}

// Under a filter with a listener no second one can be installed.
func TestBusy(t *testing.T) {
	needRoot(t)
	if os.Getenv("NOTIFY_TEST_INNER") != "" {
		_, err := Start(self("wait"), Inherit{})
		if !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestBusy$")
	cmd.Env = append(os.Environ(), "NOTIFY_TEST_INNER=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if _, err := start(t, cmd); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}
