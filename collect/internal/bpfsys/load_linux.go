//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package bpfsys

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LoadAttr is the part of union bpf_attr for BPF_PROG_LOAD, up to fd_array_cnt (6.14). What later
// kernels add (signatures) is not repeated.
type LoadAttr struct {
	Type, InsnCnt                                uint32
	Insns, License                               uint64
	LogLevel, LogSize                            uint32
	LogBuf                                       uint64
	KernVersion, Flags                           uint32
	RawName                                      [16]byte
	Ifindex, ExpectedAttach, BTFFD, FuncInfoRec  uint32
	FuncInfo                                     uint64
	NrFuncInfo, LineInfoRec                      uint32
	LineInfo                                     uint64
	NrLineInfo, AttachBTFID, AttachFD, NrCoreRel uint32
	FDArray, CoreRelos                           uint64
	CoreReloRec, LogTrueSize                     uint32
	TokenFD                                      int32
	FDArrayCnt                                   uint32
}

// Flags and constants of program loads.
const (
	FlagTokenFD = 1 << 16 // BPF_F_TOKEN_FD, Linux 6.9

	TypeSyscall = 31 // BPF_PROG_TYPE_SYSCALL, the loader program of light skeletons
)

// Name returns the program's name, at most 15 characters.
func (a *LoadAttr) Name() string { return unix.ByteSliceToString(a.RawName[:]) }

// ParseLoadAttr takes the attributes from a copy of the caller's memory, which may be of any size.
func ParseLoadAttr(b []byte) *LoadAttr {
	var a LoadAttr
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&a)), unsafe.Sizeof(a)), b)
	return &a
}

// LoadAttrSize is how much of the caller's attributes is of interest.
const LoadAttrSize = int(unsafe.Sizeof(LoadAttr{}))

// Load is a program load that can be repeated. All descriptors in it belong to this process.
type Load struct {
	Attr                          LoadAttr // its pointers are ignored
	Insns                         []byte
	License                       []byte // with the terminating zero
	FuncInfo, LineInfo, CoreRelos []byte
	FDArray                       []int32
}

// Log levels of the verifier.
const (
	LogBranches = 1
	LogStats    = 4 // Linux 5.2
)

// Do loads the program, with the verifier's log at a level and of a size (0: none), and returns its
// descriptor. The calling goroutine should be locked to its thread, whose signals are blocked
// meanwhile: a signal makes the verifier give up.
func (l *Load) Do(level, logSize int) (fd int, log string, err error) {
	a := l.Attr
	a.Insns, a.InsnCnt = ptr(l.Insns), uint32(len(l.Insns)/8)
	a.License, a.FuncInfo, a.LineInfo = ptr(l.License), ptr(l.FuncInfo), ptr(l.LineInfo)
	a.CoreRelos, a.FDArray = ptr(l.CoreRelos), ptr(l.FDArray)
	if len(l.CoreRelos) == 0 {
		a.NrCoreRel, a.CoreReloRec = 0, 0
	}
	a.FDArrayCnt, a.LogTrueSize = 0, 0 // only the listed descriptors that are used are known
	a.TokenFD, a.Flags = 0, a.Flags&^FlagTokenFD
	a.LogLevel, a.LogSize, a.LogBuf = 0, 0, 0
	var buf []byte
	if logSize > 0 {
		buf = make([]byte, logSize)
		a.LogLevel, a.LogSize, a.LogBuf = uint32(level), uint32(logSize), ptr(buf)
	}
	size := unsafe.Sizeof(a)
	restore := blockSignals()
	for range 5 {
		n, _, errno := unix.Syscall(unix.SYS_BPF, cmdProgLoad, uintptr(unsafe.Pointer(&a)), size)
		if fd, err = int(n), nil; errno != 0 {
			fd, err = -1, errno
		}
		if errno != unix.EAGAIN {
			break
		}
	}
	restore()
	runtime.KeepAlive(l)
	runtime.KeepAlive(buf)
	if n := bytes.IndexByte(buf, 0); n >= 0 {
		buf = buf[:n]
	}
	return fd, string(buf), err
}

func blockSignals() (restore func()) {
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old) != nil {
		return func() {}
	}
	return func() { unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }
}

// ReadMemory reads from another process or thread. It reads all of b or fails.
func ReadMemory(tid int, addr uint64, b []byte) error {
	for len(b) > 0 {
		n, err := readMemory(tid, []unix.Iovec{iovec(b)}, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}})
		if err != nil {
			return err
		}
		b, addr = b[n:], addr+uint64(n)
	}
	return nil
}

// ReadTwo is [ReadMemory] of two pieces at once. It reads all of a or fails, and reports whether it read all of b.
func ReadTwo(tid int, addrA uint64, a []byte, addrB uint64, b []byte) (both bool, err error) {
	if len(a) == 0 || len(b) == 0 {
		return false, ReadMemory(tid, addrA, a)
	}
	n, err := readMemory(tid, []unix.Iovec{iovec(a), iovec(b)},
		[]unix.RemoteIovec{{Base: uintptr(addrA), Len: len(a)}, {Base: uintptr(addrB), Len: len(b)}})
	if err == nil && n < len(a) {
		err = ReadMemory(tid, addrA+uint64(n), a[n:])
	}
	return n == len(a)+len(b), err
}

func iovec(b []byte) unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return v
}

func readMemory(tid int, local []unix.Iovec, remote []unix.RemoteIovec) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(tid), uintptr(unsafe.Pointer(&local[0])), uintptr(len(local)),
		uintptr(unsafe.Pointer(&remote[0])), uintptr(len(remote)), 0)
	runtime.KeepAlive(local)
	switch {
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, unix.EFAULT
	}
	return int(n), nil
}

// GetFD returns a copy of descriptor fd of the process of a pidfd.
func GetFD(pidfd int, fd int32) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_PIDFD_GETFD, uintptr(pidfd), uintptr(fd), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// Dup returns another descriptor of what fd is, not one of the standard streams'.
func Dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }

// Close closes a descriptor of a map or a program.
func Close(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// NativeOrder is the byte order of the kernel.
func NativeOrder() binary.ByteOrder {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}
