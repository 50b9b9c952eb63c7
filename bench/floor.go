package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floor is the least that any watcher by user notification does: a filter that stops program loads, and a listener that lets
// them go on at once, without a look.

// runFloor runs cmd under it.
func runFloor(ctx context.Context, cmd *exec.Cmd) error {
	const load = 5     // BPF_PROG_LOAD
	arg0 := uint32(16) // of struct seccomp_data
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		arg0 = 20
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_BPF, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: arg0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: load, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	type result struct {
		fd  int
		err error
	}
	started := make(chan result)
	go func() {
		runtime.LockOSThread() // the filter is on this thread alone, which ends with the goroutine
		prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
		if errno != 0 {
			started <- result{-1, fmt.Errorf("seccomp(SECCOMP_SET_MODE_FILTER): %w", errno)}
			return
		}
		started <- result{int(fd), cmd.Start()}
	}()
	r := <-started
	if r.fd >= 0 {
		defer unix.Close(r.fd)
	}
	if r.err != nil {
		return r.err
	}
	// Linux 6.6
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(r.fd), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	for ctx.Err() == nil && continueOne(r.fd) {
	}
	return cmd.Wait()
}

// continueOne waits for a call and continues it. It returns false when no process with the filter is left. The system calls
// are raw: what the Go runtime makes of those that block is no part of the floor.
func continueOne(fd int) bool {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	wait := unix.NsecToTimespec(10e6)
	if n, _, _ := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&wait)), 0, 0, 0); n != 1 {
		return true // in time for the garbage collector
	}
	if p.Revents&unix.POLLIN == 0 {
		return false
	}
	var call struct { // struct seccomp_notif
		id   uint64
		rest [9]uint64
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&call))); errno != 0 {
		return true // the caller is gone
	}
	answer := struct { // struct seccomp_notif_resp
		id    uint64
		val   int64
		errno int32
		flags uint32
	}{id: call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	_, _, _ = unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
	return true
}
