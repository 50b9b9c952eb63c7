package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// The bare boot is compared with an init that costs nothing: an ELF file of some 150 bytes without libc, whose code
// is one system call. A C library's or Go's start-up would make the baseline slower and the cell look better.

// powerOffELF returns a program that does reboot(LINUX_REBOOT_CMD_POWER_OFF), see reboot(2).
func powerOffELF(arch string) ([]byte, error) {
	const magic1, magic2, powerOff = 0xfee1dead, 0x28121969, 0x4321fedc
	return syscallELF(arch, map[string]uint32{"amd64": 169, "arm64": 142}, magic1, magic2, powerOff)
}

// trueELF returns a program that does exit_group(0).
func trueELF(arch string) ([]byte, error) {
	return syscallELF(arch, map[string]uint32{"amd64": 231, "arm64": 94}, 0, 0, 0)
}

// syscallELF returns a static program that makes one system call with three arguments, and loops when that returns.
func syscallELF(arch string, number map[string]uint32, args ...uint32) ([]byte, error) {
	var code []byte
	le := binary.LittleEndian
	var machine elf.Machine
	switch arch {
	case "amd64":
		machine = elf.EM_X86_64
		code = le.AppendUint32([]byte{0xb8}, number[arch]) // mov eax, NUMBER
		for i, opcode := range []byte{0xbf, 0xbe, 0xba} {  // mov edi/esi/edx, ARG
			code = le.AppendUint32(append(code, opcode), args[i])
		}
		code = append(code, 0x0f, 0x05, 0xeb, 0xfe) // syscall; jmp to itself
	case "arm64":
		machine = elf.EM_AARCH64
		mov := func(reg, v uint32) {
			code = le.AppendUint32(code, 0xd2800000|(v&0xffff)<<5|reg) // movz xREG, #LOW
			code = le.AppendUint32(code, 0xf2a00000|(v>>16)<<5|reg)    // movk xREG, #HIGH, lsl 16
		}
		mov(8, number[arch])
		for i := range args {
			mov(uint32(i), args[i])
		}
		code = le.AppendUint32(code, 0xd4000001) // svc #0
		code = le.AppendUint32(code, 0x14000000) // b to itself
	default:
		return nil, fmt.Errorf("architecture %q: the bare init is written for amd64 and arm64", arch)
	}
	const base, headers = 0x400000, 64 + 56 // sizes of Header64 and Prog64
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	size := uint64(headers + len(code))
	p := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 0x10000,
	}
	var b bytes.Buffer
	for _, v := range []any{h, p, code} {
		if err := binary.Write(&b, le, v); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
