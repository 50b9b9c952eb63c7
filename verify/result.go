package verify

import "time"

// Verdict is what came of a program.
type Verdict string

// The verdicts. A skipped program could not be tried: its reason says what only its loader knows.
const (
	OK      Verdict = "ok"
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped"
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

// Stats are what the verifier says about a program; 0 where the kernel does not tell. The names in JSON are those that veristat
// gives its columns.
type Stats struct {
	Insns            int `json:"total_insns"`         // instructions processed, over all paths
	States           int `json:"total_states"`        // states stored
	PeakStates       int `json:"peak_states"`         // states held at once
	MaxStatesPerInsn int `json:"max_states_per_insn"` //
	MarkRead         int `json:"max_mark_read_len"`   // longest chain of read marks
	Stack            int `json:"stack_depth"`         // bytes, all functions together
	Duration         int `json:"duration"`            // microseconds
	Size             int `json:"prog_size"`           // instruction slots as loaded
	JitedSize        int `json:"prog_size_jited"`     // bytes of machine code
	Xlated           int `json:"xlated_size"`         // bytes after the verifier's rewriting
}

// Result is one program on one kernel.
type Result struct {
	File       string  `json:"file_name"`
	Program    string  `json:"prog_name"`
	ProgType   string  `json:"prog_type"`
	AttachType string  `json:"attach_type,omitempty"`
	Section    string  `json:"section,omitempty"`
	Verdict    Verdict `json:"verdict"`
	Class      Class   `json:"class,omitempty"`
	Errno      string  `json:"errno,omitempty"` // for example "EACCES"
	// Reason is one line: the verifier's last word, or what was missing.
	Reason string `json:"reason,omitempty"`
	// Lines are the log lines that tell most: the source line and the instruction before the reason.
	Lines []string `json:"lines,omitempty"`
	// Log is the whole log of a failed load, at most [Options.LogSize] bytes of its end.
	Log string `json:"log,omitempty"`
	// Guess says what was assumed in place of what the object or its loader would have said.
	Guess string `json:"guess,omitempty"`
	Stats
}

// Kernel describes where programs were loaded.
type Kernel struct {
	Release string `json:"release"` // uname -r
	Arch    string `json:"arch"`    // GOARCH
	BTF     bool   `json:"btf"`     // /sys/kernel/btf/vmlinux is there
}

// Cell is one kernel with the results of all programs.
type Cell struct {
	Name   string `json:"name"`           // for example "6.1-amd64"; "host" for the running kernel
	Spec   string `json:"spec,omitempty"` // the kernel spec that gave it
	Kernel Kernel `json:"kernel"`
	// Error is why the cell has no results, or not all.
	Error   string        `json:"error,omitempty"`
	Boot    time.Duration `json:"boot,omitempty"` // from starting QEMU to the guest's first word, nanoseconds
	Took    time.Duration `json:"took,omitempty"` // all of it, nanoseconds
	Results []Result      `json:"results"`
}
