package qemu

import (
	"fmt"
	"sort"
	"strings"
)

// machine is what differs between architectures. Figures in comments are CPU seconds of a boot
// under TCG with QEMU 7.2.
type machine struct {
	binary  string
	machine string
	cpu     string // under TCG
	console string // name of the console for the kernel
	bus     string // of virtio devices
}

// device is the name of a virtio device.
func (m machine) device(kind string) string { return "virtio-" + kind + "-" + m.bus }

// machineFor returns the table's entry of a GOARCH.
func machineFor(arch string) (machine, error) {
	table := map[string]machine{
		"amd64": {
			binary:  "qemu-system-x86_64",
			machine: "q35",
			// Costs what named models cost. Without "enhanced rep movsb", of which QEMU runs a byte at a time, the kernel
			// clears and copies 8 bytes at a time: 413 instead of 455 million instructions of a boot of 6.1.
			cpu:     "max,-erms,-fsrm",
			console: "ttyS0",
			bus:     "pci",
		},
		"arm64": {
			binary: "qemu-system-aarch64",
			// Without ACPI tables, which kernels read that are booted by EFI.
			machine: "virt,acpi=off",
			// 1.3 s, as cortex-a57, which has no 16 KiB pages: kernels built for them hang on it without a
			// word. max has pointer authentication, emulated in software: 6.0 s.
			cpu:     "neoverse-n1",
			console: "ttyAMA0",
			bus:     "pci",
		},
		"ppc64le": {
			binary: "qemu-system-ppc64",
			// The small firmware of QEMU itself instead of SLOF: 2.5 s to the missing root of 6.12 instead of 10.8 s.
			machine: "pseries,x-vof=on",
			cpu:     "power10",
			console: "hvc0",
			bus:     "pci",
		},
		"riscv64": {
			binary:  "qemu-system-riscv64",
			machine: "virt",
			cpu:     "rv64",
			console: "ttyS0",
			bus:     "pci",
		},
		"s390x": {
			binary:  "qemu-system-s390x",
			machine: "s390-ccw-virtio",
			cpu:     "max",
			console: "ttysclp0",
			bus:     "ccw",
		},
	}
	m, ok := table[arch]
	if !ok {
		var known []string
		for a := range table {
			known = append(known, a)
		}
		sort.Strings(known)
		return machine{}, fmt.Errorf("architecture %q: no QEMU machine known, want one of %s", arch, strings.Join(known, ", "))
	}
	return m, nil
}

// Binary returns the name of the system emulator of a GOARCH, for example "qemu-system-aarch64".
func Binary(arch string) (string, error) {
	m, err := machineFor(arch)
	return m.binary, err
}

// Package returns the Debian package that brings the emulator of a GOARCH.
func Package(arch string) string {
	switch arch {
	case "amd64":
		return "qemu-system-x86"
	case "arm64":
		return "qemu-system-arm"
	case "ppc64le":
		return "qemu-system-ppc"
	}
	return "qemu-system-misc"
}
