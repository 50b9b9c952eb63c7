//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of bpf(2) that are reported, see enum bpf_cmd in include/uapi/linux/bpf.h. All others,
// above all the map operations of which a loader does many, never leave the kernel.
const (
	ProgLoad          = 5
	ObjPin            = 6
	ProgAttach        = 8
	RawTracepointOpen = 17
	LinkCreate        = 28

	// OwnListener stands for a call of seccomp(2) that asks for a listener, which fails with EBUSY while
	// there is one of ours.
	OwnListener = -1
	// LoaderRan stands for the end of a call that ran a program, see [Tracer.Follow].
	LoaderRan = -2
)

// auditArch is AUDIT_ARCH_* of include/uapi/linux/audit.h. System calls of another ABI in the same
// process (i386, x32, arm) have other numbers and are let through.
func auditArch() uint32 {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64
	case "ppc64le":
		return unix.AUDIT_ARCH_PPC64LE
	case "riscv64":
		return unix.AUDIT_ARCH_RISCV64
	case "s390x":
		return unix.AUDIT_ARCH_S390X
	}
	panic("no audit architecture for " + runtime.GOARCH) // excluded by the build constraint
}

// program returns the classic BPF program of the filter, which answers action to the reported calls. It
// reads struct seccomp_data: the system call number at offset 0, the architecture at 4, and the low
// halves of args[0] and args[1] at 16 and 24 or, on big endian machines, 20 and 28. What a
// number alone decides the kernel remembers, and does not run the program for it (5.11).
func program(action uint32) []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jge   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		jset  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
		allow = 0xff // patched below
		notif = 0xfe
		arch  = 0xfd
	)
	arg0 := uint32(16)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		arg0 = 20
	}
	p := []unix.SockFilter{
		{Code: load, K: 0},
		{Code: jeq, K: unix.SYS_BPF, Jt: 5},
		{Code: jeq, K: unix.SYS_SECCOMP, Jf: allow},
		{Code: load, K: arg0},
		{Code: jeq, K: unix.SECCOMP_SET_MODE_FILTER, Jf: allow},
		{Code: load, K: arg0 + 8},
		{Code: jset, K: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, Jt: arch, Jf: allow},
		// Operations on maps, of which a loader does many, are below: they leave after five instructions.
		{Code: load, K: arg0},
		{Code: jge, K: ProgLoad, Jf: allow},
		{Code: jeq, K: ProgLoad, Jt: arch},
		{Code: jeq, K: LinkCreate, Jt: arch},
		{Code: jeq, K: ProgAttach, Jt: arch},
		{Code: jeq, K: RawTracepointOpen, Jt: arch},
		{Code: jeq, K: ObjPin, Jt: arch, Jf: allow},
		{Code: load, K: 4},
		{Code: jeq, K: auditArch(), Jt: notif, Jf: allow},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		{Code: ret, K: action},
	}
	archAt, allowAt, notifAt := len(p)-4, len(p)-2, len(p)-1
	for i := range p {
		for _, j := range []*uint8{&p[i].Jt, &p[i].Jf} {
			switch *j {
			case allow:
				*j = uint8(allowAt - i - 1)
			case notif:
				*j = uint8(notifAt - i - 1)
			case arch:
				*j = uint8(archAt - i - 1)
			}
		}
	}
	return p
}

// install puts the filter on the calling thread, to be inherited by all that it starts, and returns
// the listener, or -1 when a tracer is to see the calls. It does not set no_new_privs, which would break
// setuid programs below the command: the caller needs CAP_SYS_ADMIN in its user namespace instead.
func install(traced bool) (listener int, err error) {
	// Without SPEC_ALLOW kernels before 5.16 slow all of the command down with mitigations.
	// WAIT_KILLABLE_RECV (6.0) keeps signals such as those of Go's scheduler from interrupting
	// a call that is being looked at.
	p := program(unix.SECCOMP_RET_USER_NOTIF)
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW |
		unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if traced {
		p, flags = program(unix.SECCOMP_RET_TRACE), unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	for _, f := range []uintptr{flags, flags &^ unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV} {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, f, uintptr(unsafe.Pointer(&prog)))
		switch {
		case errno == 0 && traced:
			return -1, nil
		case errno == 0:
			return int(fd), nil
		}
		if err = errno; errno != unix.EINVAL {
			break
		}
	}
	runtime.KeepAlive(p)
	return -1, fmt.Errorf("seccomp(SECCOMP_SET_MODE_FILTER): %w", err)
}
