package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

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
	// Watch runs the tests.
	Watch WatchFunc
}

// workerArg is the agent's first argument as worker.
const workerArg = "bpfcov-worker"

// Main is the agent. It runs in two processes: PID 1 prepares the root, starts the worker, reaps
// whatever loses its parent, and powers the machine off when the worker ends, however it ends; the worker does
// the job. So nothing the tests do to the worker makes the machine hang, and the worker may use
// os/exec without a reaper taking its children.
//
// Main returns an exit status only when it was not started as a guest's PID 1 or worker.
func Main(o Options) int {
	if !inGuest() {
		fmt.Fprintln(os.Stderr, "bpfcov-agent: this program is PID 1 of the test machines that bpfcov starts; it is not for use by hand")
		return 2
	}
	if os.Getpid() == 1 {
		initMain()
	}
	if len(os.Args) == 2 && os.Args[1] == workerArg && os.Getppid() == 1 {
		if err := workerMain(o); err != nil {
			complain("worker: %v", err)
			return 1
		}
		powerOff() // saves PID 1's turn
		return 0
	}
	fmt.Fprintln(os.Stderr, "bpfcov-agent: already running")
	return 2
}

// inGuest guards against powering off a real machine.
func inGuest() bool {
	if os.Getpid() == 1 {
		_, err := os.Stat(JobPath)
		return err == nil
	}
	_, ok := kernelParam(TimeParam)
	return ok
}

// kernelParam reads NAME=value from the kernel's command line.
func kernelParam(name string) (string, bool) {
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", false
	}
	for _, w := range strings.Fields(string(b)) {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			return v, true
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

// initMain is PID 1. It never returns.
func initMain() {
	defer func() { // PID 1 that dies is a panic of the kernel, which would read as one of the test
		if p := recover(); p != nil {
			complain("init: %v", p)
		}
		powerOff()
		select {}
	}()
	if err := switchRoot(); err != nil {
		complain("init: %v", err)
		return
	}
	mountEarly()
	// The worker has its own, shorter limits; this one is for a worker that cannot keep them.
	limit := time.Hour
	if v, ok := kernelParam(LimitParam); ok {
		if sec, err := strconv.Atoi(v); err == nil && sec > 0 {
			limit = time.Duration(sec) * time.Second
		}
	}
	watchdog := time.AfterFunc(limit, func() {
		complain("init: the worker is not done after %v", limit)
		powerOff()
	})
	defer watchdog.Stop()
	self := InitPath
	worker, err := os.StartProcess(self, []string{self, workerArg}, &os.ProcAttr{
		Env:   defaultEnv(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		complain("init: start the worker: %v", err)
		return
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			complain("init: wait: %v", err)
			return
		case pid == worker.Pid:
			if status.Signaled() {
				complain("the worker was killed by %s", unix.SignalName(status.Signal()))
			} else {
				complain("the worker exited with status %d", status.ExitStatus())
			}
			return
		}
	}
}

// defaultEnv is the environment of tests, before their own.
func defaultEnv() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "TERM=dumb", "TMPDIR=/tmp", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "LANG=C.UTF-8",
		"BPFCOV_GUEST=1",
	}
}
