//go:build !linux || !(amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
)

// MaybeShim does nothing on this system.
func MaybeShim() {}

// Watch returns [ErrNotSupported] on this system.
func Watch(ctx context.Context, cmd *exec.Cmd, o WatchOptions) (*Result, error) {
	return nil, fmt.Errorf("watch %s: %w (%s/%s)", cmd.Path, ErrNotSupported, runtime.GOOS, runtime.GOARCH)
}

// Prepare returns [ErrNotSupported] on this system.
func Prepare() error { return ErrNotSupported }

// HostCell returns [ErrNotSupported] on this system.
func HostCell() (Cell, error) {
	return Cell{}, fmt.Errorf("%w (%s/%s)", ErrNotSupported, runtime.GOOS, runtime.GOARCH)
}

// Read needs Linux.
func Read() ([]ObjectCounters, error) { return nil, ErrNotSupported }
