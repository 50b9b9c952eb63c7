package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoQEMU is wrapped when the emulator is not installed.
var ErrNoQEMU = errors.New("QEMU is not installed")

// VM is one running emulator.
type VM struct {
	cmd     *exec.Cmd
	port    *os.File
	monitor *monitor
	gdb     *gdb
	console *console
	share   *Share // nil without a daemon
	stderr  *tailWriter
	args    []string
	started time.Time
	done    chan struct{}
	err     error // set before done is closed
	stop    func() bool
	kill    sync.Once
}

// Find returns the path of the emulator of a GOARCH.
func Find(arch string) (string, error) {
	name, err := Binary(arch)
	if err != nil {
		return "", err
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: no %s on PATH; install the package %s", ErrNoQEMU, name, Package(arch))
	}
	return p, nil
}

// Start starts a machine. When ctx ends, or the calling process dies, QEMU is killed. The caller must
// call [VM.Wait] or [VM.Kill], and close the port.
func Start(ctx context.Context, c Config) (*VM, error) {
	if c.Binary == "" {
		p, err := Find(c.Arch)
		if err != nil {
			return nil, err
		}
		c.Binary = p
	}
	args, err := Command(c)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v := &VM{args: args, stderr: &tailWriter{}, done: make(chan struct{})}
	if v.console, err = newConsole(c.Console); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = v.console, v.stderr
	cmd.Env = environ()
	// Ctrl-C reaches the whole foreground group; QEMU is to be killed by us, after the results are read.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	v.cmd = cmd
	if c.ShareDaemon != "" {
		if v.share, err = StartShare(c.ShareDaemon, c.Share); err != nil {
			v.console.Close()
			return nil, err
		}
	}
	remotes, err := v.sockets(c)
	if err != nil {
		v.console.Close()
		v.closeSockets()
		return nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, remotes...)
	if c.RAM != nil {
		pass(cmd, ramFD, c.RAM)
		if c.Incoming != nil {
			pass(cmd, stateFD, c.Incoming)
		}
	}
	if v.share != nil {
		v.share.Pass(cmd)
	}
	started := make(chan error)
	go v.run(started)
	err = <-started
	for _, f := range remotes {
		f.Close() // so that the port ends when QEMU does
	}
	if err != nil {
		v.console.Close()
		v.closeSockets()
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	v.stop = context.AfterFunc(ctx, v.Kill)
	if !c.told() {
		return v, nil
	}
	if err := v.resume(ctx, c); err != nil {
		v.Kill()
		if werr := v.Wait(); werr != nil && !errors.Is(err, context.Cause(ctx)) {
			err = fmt.Errorf("%w (%w)", err, werr)
		}
		v.Close()
		return nil, fmt.Errorf("resume: %w", err)
	}
	return v, nil
}

// tunables have glibc (2.35 or later) take QEMU's heap from huge pages, where the kernel has them for who asks, and from one
// heap that grows in large steps. QEMU's translator makes a small allocation for most blocks, and QEMU gives free memory
// back each time that it is idle (malloc_trim in util/rcu.c), a page at a time, to touch it anew: of 35 ms of processor time until a
// saved guest is read that takes 6, and of 13 ms that reading it takes 9.
const tunables = "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.top_pad=4194304"

// environ is the environment of QEMU. What the user sets of the same (GLIBC_TUNABLES in ld.so(8)) comes later and wins.
func environ() []string {
	t := tunables
	if own := os.Getenv("GLIBC_TUNABLES"); own != "" {
		t += ":" + own
	}
	return append(os.Environ(), "GLIBC_TUNABLES="+t)
}

// sockets makes the connections to QEMU, and returns its ends of them.
func (v *VM) sockets(c Config) (remotes []*os.File, err error) {
	add := func() (*os.File, error) {
		ours, theirs, err := socketPair()
		if err == nil {
			remotes = append(remotes, theirs)
		}
		return ours, err
	}
	if !c.NoPort {
		v.port, err = add()
	}
	if err == nil && c.monitored() {
		var f *os.File
		if f, err = add(); err == nil {
			v.monitor = newMonitor(f)
		}
	}
	if err == nil && c.rearms() {
		var f *os.File
		if f, err = add(); err == nil {
			v.gdb = newGDB(f)
		}
	}
	if err != nil {
		for _, f := range remotes {
			f.Close()
		}
		return nil, err
	}
	return remotes, nil
}

func (v *VM) closeSockets() error {
	if v.share != nil {
		v.share.Stop()
	}
	if v.gdb != nil {
		v.gdb.f.Close()
	}
	if v.monitor != nil {
		v.monitor.f.Close()
	}
	if v.port != nil {
		return v.port.Close()
	}
	return nil
}

// run starts QEMU and waits for it on one locked thread: the parent death signal is sent when the
// thread that forked ends, not the process (prctl(2), PR_SET_PDEATHSIG).
func (v *VM) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	v.started = time.Now()
	if err := v.cmd.Start(); err != nil {
		started <- err
		return
	}
	close(started)
	if v.share != nil {
		go func() {
			<-v.share.done
			v.Kill() // its guest would wait for ever
		}()
	}
	err := v.cmd.Wait()
	if v.share != nil {
		if serr := v.share.Stop(); err != nil && serr != nil {
			err = fmt.Errorf("%w (%w)", err, serr)
		}
	}
	if cerr := v.console.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("console: %w", cerr)
	}
	v.err = err
	close(v.done)
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair for the port: %w", err)
	}
	// Only a non-blocking file gets deadlines from the runtime's poller.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("socket pair for the port: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "port"), os.NewFile(uintptr(fds[1]), "port of the guest"), nil
}

// Port is the host's end of the virtio-serial port: reads give what the guest writes, and end when
// QEMU does. It has deadlines. nil with Config.NoPort.
func (v *VM) Port() *os.File { return v.port }

// Args is QEMU's command line.
func (v *VM) Args() []string { return v.args }

// Started is when QEMU was started.
func (v *VM) Started() time.Time { return v.started }

// Done is closed when QEMU has ended and its console file is complete.
func (v *VM) Done() <-chan struct{} { return v.done }

// Wait waits for QEMU to end. The error is QEMU's own failure, with what it wrote to stderr; a guest that
// powers off and one that panics both give nil.
func (v *VM) Wait() error {
	<-v.done
	v.stop()
	if v.err == nil {
		return nil
	}
	if msg := strings.TrimSpace(v.stderr.String()); msg != "" {
		return fmt.Errorf("%s: %w: %s", v.args[0], v.err, msg)
	}
	return fmt.Errorf("%s: %w", v.args[0], v.err)
}

// CPUTime is the processor time that QEMU used, user and system. It is 0 until [VM.Done] is closed. Under
// TCG it is the stable measure of what a guest costs; wall time grows with what else the machine does.
func (v *VM) CPUTime() time.Duration {
	select {
	case <-v.done:
	default:
		return 0
	}
	st := v.cmd.ProcessState
	if st == nil {
		return 0
	}
	return st.UserTime() + st.SystemTime()
}

// Starved is how long the machine has not given QEMU a processor though it had work for one: what its busiest
// thread, the one that emulates or runs the guest, waited in a run queue. It is 0 where the kernel does not tell
// (CONFIG_SCHED_INFO; /proc/PID/task/TID/schedstat, see Documentation/scheduler/sched-stats.rst).
func (v *VM) Starved() time.Duration {
	// Not filepath.Glob, which would list each thread's folder: it is asked for several times in each cell.
	tasks := fmt.Sprintf("/proc/%d/task", v.cmd.Process.Pid)
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return 0
	}
	var busiest, waited int64
	for _, t := range threads {
		b, err := os.ReadFile(filepath.Join(tasks, t.Name(), "schedstat"))
		if err != nil {
			continue // the thread has ended
		}
		var ran, queued int64
		if _, err := fmt.Sscan(string(b), &ran, &queued); err == nil && ran >= busiest {
			busiest, waited = ran, queued
		}
	}
	return time.Duration(waited)
}

// Kill ends QEMU at once. It does not wait, and may be called at any time, also more than once.
func (v *VM) Kill() {
	v.kill.Do(func() {
		select {
		case <-v.done:
		default:
			v.cmd.Process.Kill() // the handle is a pidfd or reaped-aware: never another process
		}
	})
}

// Console returns the last part of the console's text so far, at most half of ConsoleLimit.
func (v *VM) Console() []byte { return v.console.text() }

// ConsoleSize is the number of bytes that the console has printed so far.
func (v *VM) ConsoleSize() int64 { return v.console.size() }

// Close kills QEMU, waits for it and closes the port.
func (v *VM) Close() error {
	v.Kill()
	<-v.done
	v.stop()
	return v.closeSockets()
}
