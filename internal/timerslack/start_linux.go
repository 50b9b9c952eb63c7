// Package timerslack starts commands with a timer slack of their own.
package timerslack

import (
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Start is cmd.Start on a thread with the timer slack (PR_SET_TIMERSLACK in prctl(2)), which a process inherits from the thread that
// forks it, whichever of Go's that is. The thread gets its own back. 0 leaves the slack as it is.
func Start(cmd *exec.Cmd, slack time.Duration) error {
	if slack == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("prctl(PR_GET_TIMERSLACK): %w", err)
	}
	if time.Duration(was) != slack {
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0); err != nil {
			return fmt.Errorf("prctl(PR_SET_TIMERSLACK): %w", err)
		}
		defer unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(was), 0, 0, 0)
	}
	return cmd.Start()
}
