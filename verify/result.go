package verify

import (
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// Verdict is what came of a program.
type Verdict string

// The verdicts. A skipped program could not be tried: its reason says what only its loader knows.
const (
	OK      Verdict = "ok"
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped"
)

// Class says why a program did not load, see [collect.Class].
type Class = collect.Class

// The classes.
const (
	ClassVerifier   = collect.ClassVerifier
	ClassProgType   = collect.ClassProgType
	ClassMapType    = collect.ClassMapType
	ClassAttach     = collect.ClassAttach
	ClassHelper     = collect.ClassHelper
	ClassKfunc      = collect.ClassKfunc
	ClassCORE       = collect.ClassCORE
	ClassBTF        = collect.ClassBTF
	ClassLimits     = collect.ClassLimits
	ClassPermission = collect.ClassPermission
	ClassJIT        = collect.ClassJIT
	ClassHarness    = collect.ClassHarness
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

// Cell is one kernel, with one compiler's objects, with the results of all programs.
type Cell struct {
	Name   string `json:"name"`           // for example "6.1-amd64"; "host" for the running kernel
	Spec   string `json:"spec,omitempty"` // the kernel spec that gave it
	LLVM   int    `json:"llvm,omitempty"` // major version of the compiler, if one was asked for
	Kernel Kernel `json:"kernel"`
	// Error is why the cell has no results, or not all.
	Error   string        `json:"error,omitempty"`
	Boot    time.Duration `json:"boot,omitempty"` // from starting QEMU to the guest's first word, nanoseconds
	Took    time.Duration `json:"took,omitempty"` // all of it, nanoseconds
	Results []Result      `json:"results"`
}
