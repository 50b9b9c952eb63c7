//go:build unix

package collect

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalName returns the name of the signal that ended the process, "" when none did.
func signalName(st *os.ProcessState) string {
	ws, ok := st.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() {
		return ""
	}
	if n := unix.SignalName(ws.Signal()); n != "" {
		return n
	}
	return ws.Signal().String()
}
