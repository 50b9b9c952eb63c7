package collect

import (
	"fmt"
	"regexp"
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

// Log texts by which causes are told apart, as regular expressions. They differ from release to release (kernel/bpf/verifier.c
// of 5.10 to 7.3), so a text that is not known ends as [ClassVerifier], which is what it comes from.
var (
	helperRE = regexp.MustCompile(`^(unknown func |invalid func |program of this type cannot use helper|cannot call GPL-restricted function|helper call is not allowed)`)
	kfuncRE  = regexp.MustCompile(`(?i)^(calling kernel function|kernel function .*(not found|not allowed)|kernel btf_id \d+ is not a function|invalid kernel function|JIT does not support calling kernel function|.*kfunc.* (is not allowed|not supported)|failed to find BTF for kernel function)`)
	limitRE  = regexp.MustCompile(`(?i)(BPF program is too large|sequence of \d+ jumps is too complex|combined stack size|stack depth \d+ too large|call stack of \d+ frames is too deep|too many (subprogs|different|subprograms|instructions)|program is too (large|complex)|infinite loop detected)`)
	btfRE    = regexp.MustCompile(`(?i)(in-kernel BTF is malformed|no BTF|without CONFIG_DEBUG_INFO_BTF|requires? (a |the )?kernel BTF|missing btf|BTF is not available)`)
	attachRE = regexp.MustCompile(`(?i)(attach_btf_id|attach to|is not a (tracepoint|function|attachable)|attach type|must provide btf_id|modif.*return|cannot attach|is not sleepable|not whitelisted|expected_attach_type|points to disabled hook)`)
)

// coreRE finds the call by which libraries replace an instruction that they could not relocate: libbpf's and cilium/ebpf's invalid helper
// numbers, and what libbpf says about it in the log.
var coreRE = regexp.MustCompile(`(?i)(invalid CO-RE relocation|unknown func#(195896080|228083456|200097[0-9]{4})|(invalid|unknown) func unknown#(195896080|228083456))`)

// ClassOfReason labels a refusal by the verifier's last telling line and the name of the errno.
func ClassOfReason(reason, errno string) Class {
	switch {
	case coreRE.MatchString(reason):
		return ClassCORE
	case kfuncRE.MatchString(reason):
		return ClassKfunc
	case helperRE.MatchString(reason):
		return ClassHelper
	case limitRE.MatchString(reason), errno == "E2BIG", errno == "ENOMEM":
		return ClassLimits
	case btfRE.MatchString(reason):
		return ClassBTF
	case attachRE.MatchString(reason):
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
