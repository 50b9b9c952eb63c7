package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect"
)

// WatchFunc runs a command to its end and collects its counters, as [collect.Watch] does. The
// command's files, environment and folder are set.
type WatchFunc func(ctx context.Context, cmd *exec.Cmd, o collect.WatchOptions) (*collect.Result, error)

// Options configure the agent.
type Options struct {
	// Version is reported in the hello message.
	Version string
	// Watch runs the tests. Prepare, if not nil, does ahead of time what Watch can do without a command, see
	// [collect.Prepare].
	Watch   WatchFunc
	Prepare func() error
}

// Main is the agent: it prepares the machine, runs the job, and powers the machine off, whatever happens.
// It returns an exit status only when it was not started as the PID 1 of a guest.
//
// One process does it all. As PID 1 it cannot be killed by what it runs, not even by the
// kernel when memory is short, and starting a second process would cost an emulated guest 3 % of a boot.
func Main(o Options) int {
	if os.Getpid() != 1 || !hasJob() {
		fmt.Fprintln(os.Stderr, "bpfcov-agent: this program is PID 1 of the test machines that bpfcov starts; it is not for use by hand")
		return 2
	}
	defer func() { // PID 1 that dies is a panic of the kernel, which would read as one of the test
		if p := recover(); p != nil {
			complain("%v\n%s", p, debug.Stack())
		}
		powerOff()
		select {}
	}()
	ignoreSignals()
	if err := switchRoot(); err != nil {
		complain("%v", err)
		return 1
	}
	mountEarly()
	calmMonitor()
	dog := watchdog()
	defer dog.Stop()
	if err := work(o, dog); err != nil {
		complain("%v", err)
	}
	return 0
}

// ignoreSignals gives the signals that would end the agent back to the kernel, which does not deliver to PID 1 what it has
// no handler for (kill(2)); the Go runtime has installed one for each. Children start with the defaults. Those that report
// a fault of the agent itself stay. os/signal would do the same with a goroutine and a thread of its own, which cost a
// guest some 5 ms.
func ignoreSignals() {
	// The zero struct sigaction of the kernel is SIG_DFL; its size differs between architectures, that of the mask
	// does not.
	var act [64]byte
	for sig := unix.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGURG:
			continue
		}
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
	}
}

// watchdogTime is for a job that does not say, and for one of a resumed guest that takes at most half of it: to set the timer anew
// costs more than to let it run.
const watchdogTime = time.Hour

// watchdog powers off when the job takes longer than the host expects.
func watchdog() *time.Timer {
	limit := watchdogTime
	if v, ok := param(LimitParam); ok {
		if sec, err := strconv.Atoi(v); err == nil && sec > 0 {
			limit = time.Duration(sec) * time.Second
		}
	}
	return time.AfterFunc(limit, func() {
		complain("not done after %v", limit)
		powerOff()
	})
}

// hasJob guards against powering off a machine that is not a guest of ours.
func hasJob() bool {
	return unix.Access(JobPath, unix.R_OK) == nil
}

// param reads NAME=value from the agent's arguments: what follows "--" on the kernel's command line.
func param(name string) (string, bool) {
	for _, w := range os.Args {
		if v, ok := strings.CutPrefix(w, name); ok && strings.HasPrefix(v, "=") {
			return v[1:], true
		}
	}
	return "", false
}

// complain writes to the console, where the host finds it when there is no port to say it on.
func complain(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bpfcov-agent: "+format+"\n", args...)
}

func powerOff() {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		complain("power off: %v", err)
	}
}

// defaultEnv is the environment of tests, before their own.
func defaultEnv() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "TERM=dumb", "TMPDIR=/tmp", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "LANG=C.UTF-8",
		"BPFCOV_GUEST=1", "GOCOVERDIR=" + GoCoverDir,
	}
}
