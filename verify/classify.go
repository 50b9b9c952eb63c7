package verify

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/bpfcov/bpfcov/collect"
)

// failure is what is known about a load that failed.
type failure struct {
	err    error
	errno  string
	log    string // of the verifier, may be empty
	insns  int
	noType func() bool // asks the kernel whether it lacks the program type
}

// classify labels the failure. A label never decides whether a program loads.
func (f failure) classify() (Class, string, []string) {
	reason, lines := telling(f.log)
	if isInsn(reason) { // verified to the end, and then refused without a word
		reason = ""
	}
	text := clean(plainText(f.err))
	if strings.Contains(text, "bad CO-RE relocation") {
		// The library poisons what it could not relocate; the verifier's word for that says nothing.
		reason = "bad CO-RE relocation: a type, field or value that this kernel does not have"
		if n := len(lines); n > 1 {
			lines[n-1] = reason
		}
		return ClassCORE, reason, lines
	}
	if reason == "" {
		class, why := f.silent(text)
		return class, why, lines
	}
	return f.spoken(reason), reason, lines
}

// plainText is the library's error without what is known from the context, and without its advice about a limit that [NewLoader] has lifted.
func plainText(err error) string {
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, "program "); ok {
		if _, after, ok := strings.Cut(rest, ": "); ok {
			text = after
		}
	}
	text, _, _ = strings.Cut(text, " (MEMLOCK may be too low")
	return strings.TrimPrefix(text, "load program: ")
}

// spoken labels a failure about which the verifier said something.
func (f failure) spoken(reason string) Class {
	if strings.Contains(f.err.Error(), "unknown kfunc") {
		return ClassKfunc
	}
	return collect.ClassOfReason(reason, f.errno)
}

// silent labels a failure without a log, by where it happened.
func (f failure) silent(text string) (Class, string) {
	switch {
	case f.insns > insnLimit:
		return ClassLimits, fmt.Sprintf("BPF program is too large: processed %d insns, the limit is %d", f.insns, insnLimit)
	case noKernelBTF(f.err):
		return ClassBTF, text
	case strings.Contains(text, "apply CO-RE relocations"):
		return ClassCORE, text
	case strings.Contains(text, "kfunc"):
		return ClassKfunc, text
	case strings.Contains(text, "load BTF"):
		return ClassBTF, text
	case strings.Contains(text, "resolve .ksyms"), strings.Contains(text, "missing symbol"):
		return ClassAttach, text
	case strings.Contains(text, "attach "), strings.Contains(text, "struct_ops"):
		if errors.Is(f.err, btf.ErrNotFound) || errors.Is(f.err, ebpf.ErrNotSupported) || strings.Contains(text, "not found") {
			return ClassAttach, text
		}
	}
	switch f.errno {
	case "EPERM", "EACCES":
		return ClassPermission, fmt.Sprintf("refused before verification (%s): a capability, a security module, or a kernel without what the type needs", f.errno)
	case "ENOMEM", "E2BIG", "ENOSPC":
		return ClassLimits, text
	case "ENOTSUPP", "EOPNOTSUPP":
		if f.insns > 0 {
			return ClassJIT, fmt.Sprintf("verified, and refused by the JIT compiler (%s)", f.errno)
		}
		return ClassProgType, text
	case "EINVAL", "ENOENT", "ESRCH":
		if f.noType() {
			return ClassProgType, "this kernel does not have the program type"
		}
		if f.insns > 0 {
			return ClassJIT, fmt.Sprintf("verified, and refused afterwards without a word (%s)", f.errno)
		}
		return ClassAttach, fmt.Sprintf("refused before verification (%s): an attach type or a flag that this kernel does not know", f.errno)
	case "":
		if errors.Is(f.err, ebpf.ErrNotSupported) {
			return ClassProgType, text
		}
		return ClassHarness, text
	}
	return ClassVerifier, text
}

// noKernelBTF reports whether err comes from a kernel without BTF.
func noKernelBTF(err error) bool {
	return err != nil && strings.Contains(err.Error(), "no BTF found for kernel")
}
