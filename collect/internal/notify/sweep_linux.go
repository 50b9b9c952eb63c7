//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"fmt"
	"os/exec"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/internal/timerslack"
)

// Sweeper is the [Source] of a command that runs without a filter and without a tracer: there are no calls, only
// timeouts, until End.
type Sweeper struct {
	wake int // eventfd
	once sync.Once
}

// StartPlain starts cmd as it is, but for in.
func StartPlain(cmd *exec.Cmd, in Inherit) (*Sweeper, error) {
	if err := startable(cmd); err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	s := &Sweeper{wake: wake}
	if err := timerslack.Start(cmd, in.TimerSlack); err != nil {
		s.Close()
		return nil, err
	}
	if in.Memlock != nil {
		// The command may be gone, and then needs no limit.
		_ = unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_MEMLOCK, in.Memlock, nil)
	}
	return s, nil
}

// End is called when the command has ended.
func (s *Sweeper) End() { wakeUp(s.wake) }

// Next implements [Source].
func (s *Sweeper) Next(_ *Call, timeout int) (Event, error) {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.wake), Events: unix.POLLIN}}, timeout)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("poll: %w", err)
		case n == 0:
			return EventTimeout, nil
		}
		return EventHangup, nil
	}
}

// Continue implements [Source].
func (s *Sweeper) Continue(uint64) bool { return false }

// Drain implements [Source].
func (s *Sweeper) Drain() error { return nil }

// Stop implements [Source].
func (s *Sweeper) Stop() { s.End() }

// Restart implements [Source].
func (s *Sweeper) Restart() {}

// HandOver implements [Source].
func (s *Sweeper) HandOver() error {
	s.Close()
	return nil
}

// Close implements [Source].
func (s *Sweeper) Close() { s.once.Do(func() { unix.Close(s.wake) }) }
