package collect

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// Cell is one (kernel, arch, llvm) of the matrix.
type Cell struct {
	// Kernel is the release that the kernel itself reports (uname -r), for example
	// "6.1.0-37-cloud-amd64". When the kernel never came up it is what the package promised.
	Kernel string `json:"kernel"`
	// Arch is a GOARCH: amd64, arm64, ppc64le, riscv64, s390x.
	Arch string `json:"arch"`
	// LLVM is the major version of the compiler of the cell's objects, 0 when not known.
	LLVM int `json:"llvm,omitempty"`
	// Spec is the kernel spec of the configuration that led here, for example "apt:bookworm".
	Spec string `json:"spec,omitempty"`
	// Accel is how the cell ran: "tcg", "kvm" or "host".
	Accel string `json:"accel,omitempty"`
}

// Outcome is how a run ended.
type Outcome string

// Only Passed is a success. BootFailed means that the guest never said hello and nothing is known
// about the test; every other value is a result of the test.
const (
	Passed     Outcome = "passed"
	Failed     Outcome = "failed"      // exit status not 0, or a signal
	TimedOut   Outcome = "timeout"     // killed by the test's deadline
	Panicked   Outcome = "panic"       // the guest kernel panicked after hello
	Lost       Outcome = "lost"        // the guest went away without an end record
	BootFailed Outcome = "boot-failed" // no hello
	Skipped    Outcome = "skipped"
)

// Case is one test case inside a run, for example one Go test function.
type Case struct {
	Name     string        `json:"name"`
	Outcome  Outcome       `json:"outcome"` // Passed, Failed or Skipped
	Duration time.Duration `json:"duration_ns"`
	Message  string        `json:"message,omitempty"` // of a failure or skip, bounded
}

// Run is one execution of one test command in one cell.
type Run struct {
	// ID tells this run from every other one, also of the same test in the same cell. Records
	// with the same ID are earlier and later states of the same run: the latest replaces the
	// others. See [NewRunID].
	ID       string        `json:"id,omitempty"`
	Cell     Cell          `json:"cell"`
	Test     string        `json:"test"` // name of the test in the configuration
	Command  []string      `json:"command"`
	Outcome  Outcome       `json:"outcome"`
	Reason   string        `json:"reason,omitempty"` // one line, for every outcome but Passed
	ExitCode int           `json:"exit_code"`
	Signal   string        `json:"signal,omitempty"`
	Duration time.Duration `json:"duration_ns"`
	// Loads is the number of program loads that were seen, of any program. With loads and without
	// counters, the objects were not instrumented.
	Loads int `json:"loads,omitempty"`
	// Boot is the time from starting QEMU to the guest's hello, 0 on the host.
	Boot  time.Duration `json:"boot_ns,omitempty"`
	Cases []Case        `json:"cases,omitempty"`
	// Console holds the telling last lines of the guest's console when something went wrong.
	Console []string `json:"console,omitempty"`
	// Partial is set when the end of the run was not seen: counters may lack the last second.
	Partial bool `json:"partial,omitempty"`
}

// CounterState is what is known of one counter in one run beyond its value. Greater is better
// known to be reachable: merging takes the maximum.
type CounterState uint8

// The states, from "no loaded program could ever touch it" to "a loaded program updates it".
const (
	StateNotLoaded  CounterState = iota // in no program that anybody tried to load
	StateRejected                       // only in programs that the kernel refused
	StateEliminated                     // was in a loaded program; the verifier removed every update
	StateUnknown                        // a loaded program may update it; dataflow could not tell
	StateLive                           // a loaded program contains an update
)

func (s CounterState) String() string {
	switch s {
	case StateNotLoaded:
		return "not-loaded"
	case StateRejected:
		return "rejected"
	case StateEliminated:
		return "eliminated"
	case StateUnknown:
		return "unknown"
	case StateLive:
		return "live"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// ObjectCounters is what one run saw of one object: all its counter maps summed.
type ObjectCounters struct {
	ObjectID meta.ObjectID
	// Width is the counter width in bytes, 8 or 1. With 1 a count is 0 or 1.
	Width int
	// Maps is the number of counter maps that were summed, that is, of loads of the object.
	Maps   int
	Counts []uint64
	// States has one element a counter, or is empty when no load was watched.
	States []CounterState
	// Flows has one element for each distinct program that was loaded. It is the word on code that
	// has no counter of its own, see [Flow].
	Flows []Flow
}

// Verdict is what the kernel said to one program load.
type Verdict string

// Verdicts of a load. Every other failure class is issue-specific and refines Rejected.
const (
	VerdictOK       Verdict = "ok"
	VerdictRejected Verdict = "rejected"
	VerdictUnknown  Verdict = "unknown" // the load was seen, its outcome was not
)

// ProgramLoad is one program that a loader tried to load. Equal loads are counted, not repeated.
type ProgramLoad struct {
	Name    string          `json:"name"` // as given to the kernel, at most 15 characters
	Type    string          `json:"type"` // for example "Tracing", "Kprobe"
	Objects []meta.ObjectID `json:"objects,omitempty"`
	Loads   int             `json:"loads"` // attempts to load this very program, also interrupted ones
	Verdict Verdict         `json:"verdict"`
	// Errno is the name of the error of a refused load, for example "EACCES".
	Errno string `json:"errno,omitempty"`
	// Class is what kind of reason a load was refused for.
	Class Class `json:"class,omitempty"`
	// Reason is the verifier's last telling line of a refused load.
	Reason string `json:"reason,omitempty"`
	// Log is the tail of the verifier's log of a refused load, bounded.
	Log string `json:"log,omitempty"`
	// FullLog is the log up to 1 MiB of its end, on the way to [Save], which writes it to a file of its own beside the record
	// and leaves the file's name in LogFile.
	FullLog string `json:"full_log,omitempty"`
	LogFile string `json:"log_file,omitempty"`
	// Refused has the counters that a refused program would have updated, by object: they tell which functions
	// are in it, inlined ones included.
	Refused []CounterSet `json:"refused,omitempty"`
	// Insns is the number of instructions given to the kernel, Verified how many the verifier
	// processed, Xlated and Jited the sizes in bytes after loading. 0 means not known.
	Insns    int `json:"insns"`
	Verified int `json:"verified_insns,omitempty"`
	Xlated   int `json:"xlated_bytes,omitempty"`
	Jited    int `json:"jited_bytes,omitempty"`
	// Stats are the verifier's own lines of statistics, at most 1 KiB, "" where they are not known: nothing but this program's
	// repetition tells them, which is not worth it for a large one.
	Stats string `json:"stats,omitempty"`
}

// CounterSet is a set of counters of one object.
type CounterSet struct {
	Object meta.ObjectID `json:"object"`
	// Ranges are the first and the last counter of stretches, sorted, with a gap between any two.
	Ranges [][2]uint32 `json:"ranges"`
}

// Overlaps reports whether any of count counters from first on is in the set.
func (s CounterSet) Overlaps(first, count uint32) bool {
	return slices.ContainsFunc(s.Ranges, func(r [2]uint32) bool {
		return count > 0 && uint64(r[0]) < uint64(first)+uint64(count) && r[1] >= first
	})
}

// unionCounters returns the counters of both, sorted by object.
func unionCounters(a, b []CounterSet) []CounterSet {
	all := map[meta.ObjectID][][2]uint32{}
	for _, s := range slices.Concat(a, b) {
		if len(s.Ranges) > 0 {
			all[s.Object] = append(all[s.Object], s.Ranges...)
		}
	}
	var union []CounterSet
	for id, ranges := range all {
		ranges = slices.Clone(ranges)
		slices.SortFunc(ranges, func(x, y [2]uint32) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) })
		out := ranges[:1]
		for _, r := range ranges[1:] {
			if last := &out[len(out)-1]; uint64(r[0]) <= uint64(last[1])+1 {
				last[1] = max(last[1], r[1])
				continue
			}
			out = append(out, r)
		}
		union = append(union, CounterSet{id, out})
	}
	slices.SortFunc(union, func(x, y CounterSet) int { return slices.Compare(x.Object[:], y.Object[:]) })
	return union
}

// Record is everything that one run leaves behind; it is the content of one counters file.
type Record struct {
	Run      Run
	Objects  []ObjectCounters
	Programs []ProgramLoad
	// UserSpace is what programs in user space covered, where they say so: Go programs built with -cover.
	UserSpace []UserFile
}
