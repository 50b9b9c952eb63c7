package guest

import (
	"encoding/binary"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/internal/timerslack"
)

// Go's runtime has a thread, sysmon, that looks after the others each 20 microseconds at first, and less often while nothing
// happens. An emulated timer that is set so often costs more than all else that the agent does: QEMU's main loop wakes for each, 1,200
// times in a warm start of arm64 6.1. With a timer slack (prctl(2), PR_SET_TIMERSLACK) of a tick the thread is
// woken by the kernel's own ticks, which is 140 times, and two thirds of the processor time. What it costs is that a
// goroutine waits a tick at most for the processor of one that stays in the kernel.

const (
	monitorSlack = "4000000" // nanoseconds: a tick of a kernel with 250 a second, as Debian's
	// testSlack is the kernel's default (kernel/fork.c, init/init_task.c). Threads inherit it, so that the agent's may have
	// sysmon's, and tests would.
	testSlack = 50_000
)

// calmMonitor sets the timer slack of sysmon. A kernel that does not allow it is slower, no more.
func calmMonitor() {
	if tid := monitorThread(); tid != 0 {
		_ = writeSmall("/proc/"+strconv.Itoa(tid)+"/timerslack_ns", monitorSlack)
	}
}

// startPlain starts a command without a watcher, which gives it its timer slack otherwise.
func startPlain(cmd *exec.Cmd) error { return timerslack.Start(cmd, testSlack) }

// monitorThread returns the first thread that this process started, which the runtime does before anything else
// (runtime.main in proc.go), or 0.
func monitorThread() int {
	fd, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var buf [1024]byte
	n, err := unix.Getdents(fd, buf[:])
	if err != nil {
		return 0
	}
	return lowestThread(buf[:n], unix.Getpid())
}

// lowestThread returns the lowest number but pid's own among the names of directory entries (struct linux_dirent64 in
// getdents64(2)), or 0.
func lowestThread(entries []byte, pid int) (lowest int) {
	const fixed = 19 // before the name
	for len(entries) > fixed {
		n := int(binary.NativeEndian.Uint16(entries[16:]))
		if n <= fixed || n > len(entries) {
			return lowest
		}
		tid, err := strconv.Atoi(unix.ByteSliceToString(entries[fixed:n]))
		if err == nil && tid != pid && tid > 0 && (lowest == 0 || tid < lowest) {
			lowest = tid
		}
		entries = entries[n:]
	}
	return lowest
}
