//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package bpfsys

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of enum bpf_cmd, include/uapi/linux/bpf.h.
const (
	cmdMapLookup    = 1
	cmdProgLoad     = 5
	cmdProgNextID   = 11
	cmdMapNextID    = 12
	cmdProgFDByID   = 13
	cmdMapFDByID    = 14
	cmdInfoByFD     = 15
	mapTypeArray    = 2
	flagRdonlyProg  = 1 << 7 // BPF_F_RDONLY_PROG, Linux 5.2
	maxValueSize    = 64 << 20
	maxInfoElements = 1 << 20
)

// bpf is a raw system call: none of its commands blocks. See [collect/internal/notify.Listener] for why.
func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func ptr[T any](s []T) uint64 {
	if len(s) == 0 {
		return 0
	}
	return uint64(uintptr(unsafe.Pointer(&s[0])))
}

// nextID returns the smallest id of a kind greater than id, unix.ENOENT when there is none.
func nextID(cmd int, id uint32) (uint32, error) {
	attr := struct{ start, next, flags uint32 }{start: id}
	_, err := bpf(cmd, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return attr.next, err
}

func fdByID(cmd int, id uint32) (int, error) {
	attr := struct{ id, next, flags uint32 }{id: id}
	return bpf(cmd, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// NextProgID returns the smallest program id greater than id, and false when there is none.
func NextProgID(id uint32) (uint32, bool) { return next(cmdProgNextID, id) }

// NextMapID returns the smallest map id greater than id, and false when there is none.
func NextMapID(id uint32) (uint32, bool) { return next(cmdMapNextID, id) }

func next(cmd int, id uint32) (uint32, bool) {
	n, err := nextID(cmd, id)
	return n, err == nil
}

// CanList returns nil when this process may list maps: everybody else is told that there is none, or EPERM.
func CanList() error {
	if _, err := nextID(cmdMapNextID, 0); err != nil && err != unix.ENOENT {
		return err
	}
	return nil
}

// OpenProg and OpenMap return a descriptor by id.
func OpenProg(id uint32) (int, error) { return fdByID(cmdProgFDByID, id) }

// OpenMap is described at [OpenProg].
func OpenMap(id uint32) (int, error) { return fdByID(cmdMapFDByID, id) }

func infoByFD(fd int, info unsafe.Pointer, size uintptr) error {
	attr := struct {
		fd, len uint32
		info    uint64
	}{uint32(fd), uint32(size), uint64(uintptr(info))}
	_, err := bpf(cmdInfoByFD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// MapInfo is the start of struct bpf_map_info.
type MapInfo struct {
	Type, ID, KeySize, ValueSize, MaxEntries, Flags uint32
	RawName                                         [16]byte
}

// Name returns the map's name, at most 15 characters.
func (m *MapInfo) Name() string { return unix.ByteSliceToString(m.RawName[:]) }

// IsData reports whether the map is a data section: an array of one value.
func (m *MapInfo) IsData() bool {
	return m.Type == mapTypeArray && m.MaxEntries == 1 && m.KeySize == 4 && m.ValueSize <= maxValueSize
}

// ReadOnly reports whether programs cannot write to the map, as with .rodata.
func (m *MapInfo) ReadOnly() bool { return m.Flags&flagRdonlyProg != 0 }

// GetMapInfo describes the map of a descriptor, which must be one: the kernel answers for programs and
// others alike, with structures of their own.
func GetMapInfo(fd int) (MapInfo, error) {
	var info MapInfo
	err := infoByFD(fd, unsafe.Pointer(&info), unsafe.Sizeof(info))
	return info, err
}

// LookupFirst reads the value of key 0 into value, which must have the map's value size.
func LookupFirst(fd int, value []byte) error {
	var key uint32
	attr := struct {
		fd, _      uint32
		key, value uint64
		flags      uint64
	}{fd: uint32(fd), key: uint64(uintptr(unsafe.Pointer(&key))), value: ptr(value)}
	_, err := bpf(cmdMapLookup, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(value)
	runtime.KeepAlive(&key)
	return err
}

// progInfo is struct bpf_prog_info up to verified_insns (5.16) and attach_btf ids (6.0). Older kernels
// fill less and leave the rest.
type progInfo struct {
	Type, ID                       uint32
	Tag                            [8]byte
	JitedLen, XlatedLen            uint32
	JitedInsns, XlatedInsns        uint64
	LoadTime                       uint64
	UID, NrMapIDs                  uint32
	MapIDs                         uint64
	RawName                        [16]byte
	Ifindex, GPL                   uint32
	NetnsDev, NetnsIno             uint64
	NrJitedKsyms, NrJitedFuncLens  uint32
	JitedKsyms, JitedFuncLens      uint64
	BTFID, FuncInfoRecSize         uint32
	FuncInfo                       uint64
	NrFuncInfo, NrLineInfo         uint32
	LineInfo, JitedLineInfo        uint64
	NrJitedLineInfo, LineInfoRec   uint32
	JitedLineInfoRec, NrProgTags   uint32
	ProgTags                       uint64
	RunTimeNs, RunCnt, RecursionMs uint64
	VerifiedInsns, AttachBTFObj    uint32
	AttachBTF, _                   uint32
}

// ProgInfo is what the kernel says of a loaded program.
type ProgInfo struct {
	ID       uint32
	Type     uint32
	Name     string
	Tag      [8]byte
	MapIDs   []uint32
	Jited    int // bytes, 0 when interpreted or not visible
	Xlated   int // bytes
	Verified int // instructions processed by the verifier; 0 before Linux 5.16

	// Insns are the instructions after the verifier, with [GetProg] only.
	Insns []byte
}

// PeekProg describes the program of a descriptor without its instructions.
func PeekProg(fd int) (*ProgInfo, error) {
	var ids [64]uint32
	info := progInfo{NrMapIDs: uint32(len(ids)), MapIDs: ptr(ids[:])}
	if err := infoByFD(fd, unsafe.Pointer(&info), unsafe.Sizeof(info)); err != nil {
		return nil, err
	}
	p := info.public()
	n := int(info.NrMapIDs)
	if n <= len(ids) {
		p.MapIDs = append(p.MapIDs, ids[:n]...)
		return p, nil
	}
	if n > maxInfoElements {
		return nil, unix.E2BIG
	}
	all := make([]uint32, n)
	info = progInfo{NrMapIDs: uint32(n), MapIDs: ptr(all)}
	if err := infoByFD(fd, unsafe.Pointer(&info), unsafe.Sizeof(info)); err != nil {
		return nil, err
	}
	runtime.KeepAlive(all)
	p.MapIDs = all[:min(n, int(info.NrMapIDs))]
	return p, nil
}

// GetProg describes the program of a descriptor with its instructions.
func GetProg(fd int) (*ProgInfo, error) {
	p, err := PeekProg(fd)
	if err != nil {
		return nil, err
	}
	var sizes progInfo
	if err := infoByFD(fd, unsafe.Pointer(&sizes), unsafe.Sizeof(sizes)); err != nil {
		return nil, err
	}
	if sizes.XlatedLen/8 > 16*maxInfoElements {
		return nil, errors.New("program info is implausibly large")
	}
	p.Insns = make([]byte, sizes.XlatedLen)
	info := progInfo{XlatedLen: sizes.XlatedLen, XlatedInsns: ptr(p.Insns)}
	err = infoByFD(fd, unsafe.Pointer(&info), unsafe.Sizeof(info))
	runtime.KeepAlive(p)
	if err != nil {
		return nil, err
	}
	if info.XlatedInsns == 0 { // the kernel does not show them, for example with bpf_jit_harden=2
		p.Insns = nil
	}
	p.Insns = p.Insns[:min(len(p.Insns), int(info.XlatedLen))]
	return p, nil
}

func (i *progInfo) public() *ProgInfo {
	return &ProgInfo{ID: i.ID, Type: i.Type, Name: unix.ByteSliceToString(i.RawName[:]), Tag: i.Tag,
		Jited: int(i.JitedLen), Xlated: int(i.XlatedLen), Verified: int(i.VerifiedInsns)}
}
