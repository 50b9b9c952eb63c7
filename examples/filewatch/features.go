package filewatch

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
)

// openHook is the kernel function where opens are seen: a path is resolved and the open is allowed
// by file permissions, security modules have not been asked yet.
const openHook = "security_file_open"

// HaveFentry reports whether the kernel can attach a BPF trampoline to a function, with nil, or
// why not. Asking for the program type is not enough: arm64 before Linux 6.4 loads such programs
// and only then refuses to attach them.
func HaveFentry() error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "probe_fentry",
		Type:         ebpf.Tracing,
		AttachType:   ebpf.AttachTraceFEntry,
		AttachTo:     openHook,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "Dual BSD/GPL",
	})
	if err != nil {
		return fmt.Errorf("load fentry program: %w", err)
	}
	defer prog.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: prog})
	if err != nil {
		return fmt.Errorf("attach fentry program to %s: %w", openHook, err)
	}
	return l.Close()
}

// haveRingbuf reports whether the kernel has BPF ring buffers (Linux 5.8).
func haveRingbuf() (bool, error) { return have(features.HaveMapType(ebpf.RingBuf)) }

// haveLoop reports whether kprobes may call bpf_loop (Linux 5.17). Its callback needs a JIT.
func haveLoop() (bool, error) {
	if jit, err := haveJIT(); !jit || err != nil {
		return false, err
	}
	return have(features.HaveProgramHelper(ebpf.Kprobe, asm.FnLoop))
}

// haveJIT reports whether the kernel compiles BPF programs. Debian's s390x kernels cannot: they have no such file.
func haveJIT() (bool, error) {
	b, err := os.ReadFile("/proc/sys/net/core/bpf_jit_enable")
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && strings.TrimSpace(string(b)) != "0", err
}

func have(err error) (bool, error) {
	if errors.Is(err, ebpf.ErrNotSupported) {
		return false, nil
	}
	return err == nil, err
}
