package bpfsys

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// kernelBTF describes the types and functions of the kernel itself (Linux 5.4).
const kernelBTF = "/sys/kernel/btf/vmlinux"

// KernelFunc returns the id that the running kernel's BTF has for its function of that name, 0 when there is none. It does not leave that to
// cilium/ebpf/btf, with which the agent of a guest would be a fifth larger and have 13 packages more to set up in each
// guest, whether or not a program asks for it.
func KernelFunc(name string) (int32, error) {
	b, err := os.ReadFile(kernelBTF)
	if err != nil {
		return 0, err
	}
	id, err := findFunc(b, name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", kernelBTF, err)
	}
	return id, nil
}

// btfKindFunc is BTF_KIND_FUNC.
const btfKindFunc = 12

// btfExtra is how many bytes follow a type of each kind, and how many for each of its members (Linux 6.18,
// Documentation/bpf/btf.rst and include/uapi/linux/btf.h).
var btfExtra = [...]struct{ fixed, member int }{
	1:  {4, 0},  // INT
	2:  {},      // PTR
	3:  {12, 0}, // ARRAY
	4:  {0, 12}, // STRUCT
	5:  {0, 12}, // UNION
	6:  {0, 8},  // ENUM
	13: {0, 8},  // FUNC_PROTO
	14: {4, 0},  // VAR
	15: {0, 12}, // DATASEC
	17: {4, 0},  // DECL_TAG
	19: {0, 12}, // ENUM64
}

var errBTF = errors.New("no BTF that is known here")

// findFunc finds a function in raw BTF. The kernel has each string once.
func findFunc(b []byte, name string) (int32, error) {
	order := binary.ByteOrder(binary.NativeEndian)
	if len(b) < 24 || order.Uint16(b) != 0xeb9f {
		return 0, errBTF
	}
	part := func(at, size uint32) []byte {
		from := uint64(order.Uint32(b[4:])) + uint64(at)
		if end := from + uint64(size); end <= uint64(len(b)) {
			return b[from:end]
		}
		return nil
	}
	types := part(order.Uint32(b[8:]), order.Uint32(b[12:]))
	texts := part(order.Uint32(b[16:]), order.Uint32(b[20:]))
	at := bytes.Index(texts, []byte("\x00"+name+"\x00"))
	if at < 0 {
		if len(texts) == 0 {
			return 0, errBTF
		}
		return 0, nil
	}
	for id := int32(1); len(types) > 0; id++ {
		if len(types) < 12 {
			return 0, errBTF
		}
		info := order.Uint32(types[4:])
		kind := int(info >> 24 & 31)
		if kind == btfKindFunc && order.Uint32(types) == uint32(at)+1 {
			return id, nil
		}
		if kind == 0 || kind > len(btfExtra)-1 {
			return 0, errBTF
		}
		size := 12 + btfExtra[kind].fixed + int(info&0xffff)*btfExtra[kind].member
		if size > len(types) {
			return 0, errBTF
		}
		types = types[size:]
	}
	return 0, nil
}
