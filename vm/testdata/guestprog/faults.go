package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// fault does what a broken test might do to its machine.
func fault(what string) error {
	switch what {
	case "splat": // what include/asm-generic/bug.h has WARN print
		return os.WriteFile("/dev/kmsg", []byte("<4>WARNING: CPU: 0 PID: 1 at kernel/made-up.c:1 made_up+0x1/0x2\n"), 0)
	case "forks":
		for {
			cmd := exec.Command("/proc/self/exe", "forks")
			if cmd.Start() != nil {
				time.Sleep(time.Millisecond)
			}
		}
	case "memory":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			_ = all
		}
	case "disk":
		f, err := os.Create("/tmp/full")
		if err != nil {
			return err
		}
		b := make([]byte, 64<<10) // of much more emulated kernels make slow work, see docs/guest.md
		for {
			if _, err := f.Write(b); err != nil {
				return err
			}
		}
	case "garbage":
		return garbage()
	}
	return syscall.Kill(1, syscall.SIGSEGV) // which the agent cannot ignore
}

// garbage writes to the agent's own port.
func garbage() error {
	pidfd, _, errno := syscall.Syscall(434, 1, 0, 0) // pidfd_open(2); the same number everywhere
	if errno != 0 {
		return errno
	}
	for fd := range uintptr(64) {
		if name, err := os.Readlink(fmt.Sprintf("/proc/1/fd/%d", fd)); err != nil || name != "/dev/vport0p1" {
			continue
		}
		port, _, errno := syscall.Syscall(438, pidfd, fd, 0) // pidfd_getfd(2)
		if errno != 0 {
			return errno
		}
		b := []byte("garbage garbage garbage garbage ")
		if _, _, errno := syscall.Syscall(syscall.SYS_WRITE, port, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))); errno != 0 {
			return errno
		}
		return nil
	}
	return fmt.Errorf("PID 1 has no port open")
}

// hangGuest takes the only processor for ever: nothing of a lower class than a real-time process at the highest priority runs once
// these are not throttled (Documentation/scheduler/sched-rt-group.rst).
func hangGuest() error {
	runtime.LockOSThread()
	if err := os.WriteFile("/proc/sys/kernel/sched_rt_runtime_us", []byte("-1"), 0); err != nil {
		return err
	}
	fmt.Println("hanging")
	time.Sleep(100 * time.Millisecond) // until that is on its way
	const fifo = 1
	priority := int32(99)
	if _, _, errno := syscall.Syscall(syscall.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&priority))); errno != 0 {
		return errno
	}
	for {
	}
}
