package kernels

import (
	"debug/elf"
	"encoding/binary"
	"runtime"
	"strings"
)

// An archInfo ties the names of one architecture together.
type archInfo struct {
	goarch  string
	dpkg    string
	uname   string // uname -m
	machine elf.Machine
	order   binary.ByteOrder
	// prefer are the flavours to take when a spec names none, best first.
	prefer []string
}

// arches are the architectures that Debian has kernels for. Cloud kernels are preferred because they are a third of
// the size and boot faster; they lack drivers that no QEMU machine has, and 9P.
var arches = []archInfo{
	{"amd64", "amd64", "x86_64", elf.EM_X86_64, binary.LittleEndian, []string{"cloud", "generic"}},
	{"arm64", "arm64", "aarch64", elf.EM_AARCH64, binary.LittleEndian, []string{"cloud", "generic"}},
	{"riscv64", "riscv64", "riscv64", elf.EM_RISCV, binary.LittleEndian, []string{"generic"}},
	{"s390x", "s390x", "s390x", elf.EM_S390, binary.BigEndian, []string{"generic"}},
	{"ppc64le", "ppc64el", "ppc64le", elf.EM_PPC64, binary.LittleEndian, []string{"generic"}},
	{"386", "i386", "i686", elf.EM_386, binary.LittleEndian, []string{"686-pae", "686", "generic"}},
	{"arm", "armhf", "armv7l", elf.EM_ARM, binary.LittleEndian, []string{"armmp", "armmp-lpae", "generic"}},
	{"mips64le", "mips64el", "mips64", elf.EM_MIPS, binary.LittleEndian, []string{"5kc-malta"}},
	{"loong64", "loong64", "loongarch64", elf.EM_LOONGARCH, binary.LittleEndian, []string{"generic"}},
}

// ArchOfMachine is the GOARCH of the machine that an ELF file is for, "" for one that is not known.
func ArchOfMachine(m elf.Machine) string {
	for _, a := range arches {
		if a.machine == m {
			return a.goarch
		}
	}
	return ""
}

// findArch accepts GOARCH, dpkg and uname -m names; "" is the host's.
func findArch(name string) (archInfo, error) {
	if name == "" {
		name = runtime.GOARCH
	}
	var known []string
	for _, a := range arches {
		if name == a.goarch || name == a.dpkg || name == a.uname {
			return a, nil
		}
		known = append(known, a.goarch)
	}
	return archInfo{}, &SpecError{Spec: "arch " + name, Reason: "unknown architecture; known are " + strings.Join(known, ", ")}
}
