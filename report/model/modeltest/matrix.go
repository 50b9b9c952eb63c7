package modeltest

import (
	"os"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// Data is a matrix of six cells with one of each thing that a report must tell: code that ran, that
// was not reached, that a verifier removed, in a program that was not loaded or that was refused,
// that one arch does not have, a failed test and a kernel that did not boot.
func Data(t testing.TB) *collect.Data {
	t.Helper()
	amd64 := Compile(t, 0xa1, "probe_x86_bpfel.o", "-D__TARGET_ARCH_x86")
	arm64 := Compile(t, 0xb2, "probe_arm64_bpfel.o", "-D__TARGET_ARCH_arm64")
	clamp := arm64.Function(t, "clamp")
	arm64.Meta.Emitted[clamp.First+1] = false

	d := &collect.Data{Metas: map[meta.ObjectID]*meta.Meta{
		amd64.Meta.ObjectID: amd64.Meta, arm64.Meta.ObjectID: arm64.Meta}}
	add := func(release, arch string, o *Object, change func(r *collect.Record, c *collect.ObjectCounters)) {
		c := o.Counters(t, map[string][]uint64{
			"handle_open": {10, 0, 0, 0, 5, 7, 5, 40}, "handle_exec_fentry": {4, 1}, "handle_exit": {6, 3, 3, 1, 2, 1},
			"emit": {13, 9}, "clamp": {13, 2},
		})
		// wanted is 0 on every kernel, which the verifier sees.
		o.Set(t, &c, collect.StateEliminated, "handle_open", 1, 2, 3)
		r := collect.Record{
			Run: collect.Run{ID: release + arch, Cell: collect.Cell{Kernel: release, Arch: arch, LLVM: LLVM, Accel: "tcg"},
				Test: "go", Command: []string{"probe.test"}, Outcome: collect.Passed, Duration: 8400 * time.Millisecond,
				Boot: 5300 * time.Millisecond, Cases: []collect.Case{
					{Name: "TestOpen", Outcome: collect.Passed, Duration: time.Second},
					{Name: "TestExec", Outcome: collect.Passed, Duration: 2 * time.Second},
					{Name: "TestExit", Outcome: collect.Passed, Duration: time.Second}}},
			Objects: []collect.ObjectCounters{c},
		}
		for _, p := range o.Meta.Programs {
			r.Programs = append(r.Programs, collect.ProgramLoad{Name: p.Name[:min(15, len(p.Name))], Type: "Tracing",
				Objects: []meta.ObjectID{o.Meta.ObjectID}, Loads: 1, Verdict: collect.VerdictOK, Insns: 120, Verified: 300})
		}
		change(&r, &r.Objects[0])
		d.Records = append(d.Records, r)
	}
	none := func(*collect.Record, *collect.ObjectCounters) {}

	add("6.1.0-37-cloud-amd64", "amd64", amd64, none)
	add("5.10.0-35-cloud-amd64", "amd64", amd64, func(r *collect.Record, c *collect.ObjectCounters) {
		amd64.Set(t, c, collect.StateRejected, "handle_exit")
		for i := range r.Programs {
			if p := &r.Programs[i]; p.Name == "handle_exit" {
				p.Verdict, p.Errno, p.Reason = collect.VerdictRejected, "EINVAL", "unknown func bpf_loop#181"
			}
		}
	})
	add("6.12.33+deb12-cloud-amd64", "amd64", amd64, func(r *collect.Record, c *collect.ObjectCounters) {
		f := amd64.Function(t, "emit")
		c.Counts[f.First+1] = c.Counts[f.First] // the else branch never runs,
		// which this kernel's verifier knew: after the function's update comes that of the if.
		then := collect.FlowSite{Counter: f.First + 1, Exit: true}
		c.Flows = []collect.Flow{{
			Before: []collect.FlowSite{{Counter: f.First, Next: []uint32{1}, Exit: true}, then},
			After:  []collect.FlowSite{{Counter: f.First, Next: []uint32{1}}, then},
		}}
	})
	add("7.2-rc4-amd64", "amd64", amd64, func(r *collect.Record, c *collect.ObjectCounters) {
		r.Run.Outcome, r.Run.ExitCode, r.Run.Reason = collect.Failed, 1, "exit status 1"
		r.Run.Cases[1].Outcome, r.Run.Cases[1].Message = collect.Failed, "exec_test.go:41: no event within 5s\nmore"
		copy(c.Counts[amd64.Function(t, "handle_exec_fentry").First:], []uint64{4, 4})
	})
	add("6.1.0-37-cloud-arm64", "arm64", arm64, func(r *collect.Record, c *collect.ObjectCounters) {
		arm64.Set(t, c, collect.StateNotLoaded, "handle_exec_fentry")
		c.Counts[arm64.Function(t, "handle_exec_kprobe").First] = 3
		c.Counts[clamp.First+1] = 0
		r.Programs = r.Programs[1:]
	})
	add("7.2-rc4-arm64", "arm64", arm64, func(r *collect.Record, _ *collect.ObjectCounters) {
		r.Run.Outcome, r.Run.Reason = collect.BootFailed, "no hello after 60s"
		r.Run.Console = []string{"[    0.912] \x1b[1mVFS\x1b[0m: Cannot open root device", "Kernel panic - not syncing: VFS: Unable to mount root fs"}
		r.Run.Cases, r.Objects, r.Programs, r.Run.Boot = nil, nil, nil, 0
		r.Run.Cell.LLVM, r.Run.Duration = 0, time.Minute
	})
	return d
}

// Save writes data as a covdata folder.
func Save(dir string, d *collect.Data) error {
	sidecars, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sidecars)
	for _, m := range d.Metas {
		if _, err := meta.Write(sidecars, m); err != nil {
			return err
		}
	}
	_, err = collect.Save(dir, d.Records, sidecars)
	return err
}
