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
	numbers := map[string]uint32{"amd64": 169, "arm64": 142, "ppc64le": 88, "riscv64": 142, "s390x": 88}
	return syscallELF(arch, numbers, magic1, magic2, powerOff)
}

// trueELF returns a program that does exit_group(0).
func trueELF(arch string) ([]byte, error) {
	numbers := map[string]uint32{"amd64": 231, "arm64": 94, "ppc64le": 234, "riscv64": 94, "s390x": 248}
	return syscallELF(arch, numbers, 0, 0, 0)
}

// syscallELF returns a static program that makes one system call with three arguments, and loops when that returns. The
// kernel looks at the lower half of each argument only, so nobody minds how a register's upper half is filled.
func syscallELF(arch string, number map[string]uint32, args ...uint32) ([]byte, error) {
	var code []byte
	var machine elf.Machine
	var flags uint32
	var order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	} = binary.LittleEndian
	data := elf.ELFDATA2LSB
	emit := func(instructions ...uint32) {
		for _, i := range instructions {
			code = order.AppendUint32(code, i)
		}
	}
	switch nr := number[arch]; arch {
	case "amd64":
		machine = elf.EM_X86_64
		code = order.AppendUint32([]byte{0xb8}, nr)       // mov eax, NUMBER
		for i, opcode := range []byte{0xbf, 0xbe, 0xba} { // mov edi/esi/edx, ARG
			code = order.AppendUint32(append(code, opcode), args[i])
		}
		code = append(code, 0x0f, 0x05, 0xeb, 0xfe) // syscall; jmp to itself
	case "arm64":
		machine = elf.EM_AARCH64
		mov := func(reg, v uint32) {
			emit(0xd2800000|(v&0xffff)<<5|reg, 0xf2a00000|(v>>16)<<5|reg) // movz xREG, #LOW; movk xREG, #HIGH, lsl 16
		}
		mov(8, nr)
		for i, v := range args {
			mov(uint32(i), v)
		}
		emit(0xd4000001, 0x14000000) // svc #0; b to itself
	case "ppc64le":
		machine, flags = elf.EM_PPC64, 2 // the second ABI: the entry is code and no descriptor
		mov := func(reg, v uint32) {
			emit(0x3c000000|reg<<21|v>>16, 0x60000000|reg<<21|reg<<16|v&0xffff) // lis rREG, HIGH; ori rREG, rREG, LOW
		}
		mov(0, nr)
		for i, v := range args {
			mov(uint32(3+i), v)
		}
		emit(0x44000002, 0x48000000) // sc; b to itself
	case "riscv64":
		machine = elf.EM_RISCV
		mov := func(reg, v uint32) {
			high := (v + 0x800) & 0xfffff000                  // addiw extends the sign of LOW
			emit(high|reg<<7|0x37, v<<20|reg<<15|reg<<7|0x1b) // lui REG, HIGH; addiw REG, REG, LOW
		}
		mov(17, nr)
		for i, v := range args {
			mov(uint32(10+i), v)
		}
		emit(0x00000073, 0x0000006f) // ecall; j to itself
	case "s390x":
		machine, order, data = elf.EM_S390, binary.BigEndian, elf.ELFDATA2MSB
		mov := func(reg byte, v uint32) {
			code = order.AppendUint32(append(code, 0xc0, reg<<4|0xf), v) // llilf %rREG, VALUE
		}
		mov(1, nr)
		for i, v := range args {
			mov(byte(2+i), v)
		}
		code = append(code, 0x0a, 0x00, 0xa7, 0xf4, 0x00, 0x00) // svc 0; j to itself
	default:
		return nil, fmt.Errorf("architecture %q: the bare init is not written for it", arch)
	}
	const base, headers = 0x400000, 64 + 56 // sizes of Header64 and Prog64
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(data), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: base + headers, Phoff: 64, Flags: flags, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	size := uint64(headers + len(code))
	p := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 0x10000,
	}
	var b bytes.Buffer
	for _, v := range []any{h, p, code} {
		if err := binary.Write(&b, order, v); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
