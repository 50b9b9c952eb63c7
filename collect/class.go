package collect

import (
	"fmt"
	"strings"
)

// Class says why a program did not load. It is a label for people: the verdict never depends on it.
type Class string

// The classes.
const (
	ClassVerifier   Class = "verifier"     // the verifier found it unsafe
	ClassProgType   Class = "program-type" // the kernel does not have the program type
	ClassMapType    Class = "map-type"     // the kernel cannot make a map that the program needs
	ClassAttach     Class = "attach-type"  // no such attach type, or nothing of that name to attach to
	ClassHelper     Class = "helper"       // a helper that is missing, or not for this program type
	ClassKfunc      Class = "kfunc"        // a kernel function that is missing or not for this program type
	ClassCORE       Class = "co-re"        // a field or type that is missing and that the program needs
	ClassBTF        Class = "btf"          // no BTF of the kernel, or one that it does not take
	ClassLimits     Class = "limits"       // too large, too complex, too much stack or memory
	ClassPermission Class = "permission"   // not allowed to load it
	ClassJIT        Class = "jit"          // verified, and then refused by the JIT compiler of this architecture
	ClassHarness    Class = "harness"      // bpfcov could not try; nothing is said about the kernel
)

// Log texts by which causes are told apart, see [mentions]. They differ from release to release (kernel/bpf/verifier.c of 5.10
// to 7.3), so a text that is not known ends as [ClassVerifier], which is what it comes from. No regular expressions: the agent
// would compile them at its start, which an emulated guest feels.
var (
	helperTexts = []string{"^unknown func ", "^invalid func ", "^program of this type cannot use helper", "^cannot call gpl-restricted function",
		"^helper call is not allowed"}
	kfuncTexts = []string{"^calling kernel function", "^kernel function *not found", "^kernel function *not allowed", "^kernel btf_id *is not a function",
		"^invalid kernel function", "^jit does not support calling kernel function", "kfunc* is not allowed", "kfunc* not supported",
		"^failed to find btf for kernel function"}
	limitTexts = []string{"bpf program is too large", "sequence of *jumps is too complex", "combined stack size", "stack depth *too large",
		"call stack of *frames is too deep", "too many subprogs", "too many different", "too many instructions", "program is too large",
		"program is too complex", "infinite loop detected"}
	btfTexts = []string{"in-kernel btf is malformed", "no btf", "without config_debug_info_btf", "require kernel btf", "requires kernel btf",
		"requires a kernel btf", "requires the kernel btf", "missing btf", "btf is not available"}
	attachTexts = []string{"attach_btf_id", "attach to", "is not a tracepoint", "is not a function", "is not attachable", "attach type",
		"must provide btf_id", "modif*return", "cannot attach", "is not sleepable", "not whitelisted", "expected_attach_type",
		"points to disabled hook"}
	// The call by which libraries replace an instruction that they could not relocate: libbpf's and cilium/ebpf's invalid helper
	// numbers, and what libbpf says about it in the log.
	coreTexts = []string{"invalid co-re relocation", "unknown func#195896080", "unknown func#228083456", "unknown func#200097",
		"invalid func unknown#195896080", "invalid func unknown#228083456", "unknown func unknown#195896080",
		"unknown func unknown#228083456"}
)

// mentions reports whether the text has one of the patterns, whatever its case: their parts between "*" one after the other,
// and at the start where the pattern has "^".
func mentions(text string, patterns []string) bool {
	text = strings.ToLower(text)
	for _, p := range patterns {
		p, start := strings.CutPrefix(p, "^")
		rest, found := text, true
		for i, part := range strings.Split(p, "*") {
			at := strings.Index(rest, part)
			if found = at >= 0 && (at == 0 || i > 0 || !start); !found {
				break
			}
			rest = rest[at+len(part):]
		}
		if found {
			return true
		}
	}
	return false
}

// ClassOfReason labels a refusal by the verifier's last telling line and the name of the errno.
func ClassOfReason(reason, errno string) Class {
	switch {
	case mentions(reason, coreTexts):
		return ClassCORE
	case mentions(reason, kfuncTexts):
		return ClassKfunc
	case mentions(reason, helperTexts):
		return ClassHelper
	case mentions(reason, limitTexts), errno == "E2BIG", errno == "ENOMEM":
		return ClassLimits
	case mentions(reason, btfTexts):
		return ClassBTF
	case mentions(reason, attachTexts):
		return ClassAttach
	}
	return ClassVerifier
}

// insnLimit is how many instructions the verifier processes of a privileged program (BPF_COMPLEXITY_LIMIT_INSNS, Linux 5.2).
const insnLimit = 1_000_000

// classify labels a refused load and, where the kernel said nothing, gives a reason. processed is the number of instructions that the
// verifier looked at, 0 when it did not come to that.
func classify(errno, reason string, processed int) (Class, string) {
	if reason != "" && !isInsn(reason) { // an instruction is where a log ends that has nothing more to say
		return ClassOfReason(reason, errno), reason
	}
	switch {
	case processed > insnLimit:
		return ClassLimits, fmt.Sprintf("processed %d insns, the limit is %d", processed, insnLimit)
	case errno == "E2BIG" || errno == "ENOMEM" || errno == "ENOSPC":
		return ClassLimits, "too large for this kernel, or for its memory (" + errno + ")"
	case processed > 0:
		return ClassJIT, "verified, and refused afterwards without a word (" + errno + ")"
	case errno == "EPERM" || errno == "EACCES":
		return ClassPermission, "refused before verification (" + errno + "): a capability, a security module, or a setting of the kernel"
	case errno == "EOPNOTSUPP" || errno == "ENOTSUPP":
		return ClassProgType, "this kernel does not have the program type (" + errno + ")"
	}
	return ClassAttach, "refused before verification (" + errno + "): a program type, an attach type or a flag that this kernel does not know"
}

// isInsn recognises "12: (85) call …".
func isInsn(line string) bool {
	num, rest, ok := strings.Cut(line, ": (")
	return ok && num != "" && strings.Trim(num, "0123456789") == "" && len(rest) > 2
}
