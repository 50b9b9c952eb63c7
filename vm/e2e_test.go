package vm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// These tests boot real kernels, some 5 seconds each on an idle machine of 2 cores.

// cell prepares a cell with the test program as /guestprog, or skips with the reason.
func cell(t *testing.T, spec, arch string, tests ...guest.Test) CellConfig {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a kernel")
	}
	if _, err := qemu.Find(arch); err != nil {
		t.Skip(err)
	}
	store := &kernels.Store{Log: t.Logf}
	k, err := store.Pull(t.Context(), spec, arch)
	if err != nil {
		t.Skipf("no kernel: %v", err)
	}
	dir := t.TempDir()
	agent, prog := filepath.Join(dir, "agent"), filepath.Join(dir, "guestprog")
	if err := BuildAgent(t.Context(), arch, agent); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", prog, "./testdata/guestprog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return CellConfig{
		Kernel: k, Agent: agent, OutDir: filepath.Join(dir, "out"), Tests: tests,
		Files:       []initramfs.File{{Path: "/guestprog", Source: prog}},
		BootTimeout: 3 * time.Minute, // other tests and builds share the machine
		Events: func(e Event) {
			t.Logf("%s attempt=%d boot=%v test=%s %s", e.Kind, e.Attempt, e.Boot, e.Test, e.Text)
		},
	}
}

func prog(name string, args ...string) guest.Test {
	return guest.Test{Name: name, Command: append([]string{"/guestprog"}, args...), Timeout: 2 * time.Minute}
}

// outcome is what tests compare of a record.
type outcome struct {
	Test    string
	Outcome collect.Outcome
	Code    int
	Signal  string
	Reason  string
}

func outcomes(t *testing.T, r *CellResult) []outcome {
	t.Helper()
	var out []outcome
	ids := map[string]bool{}
	for _, rec := range r.Records {
		out = append(out, outcome{rec.Run.Test, rec.Run.Outcome, rec.Run.ExitCode, rec.Run.Signal, rec.Run.Reason})
		if rec.Run.ID == "" || ids[rec.Run.ID] {
			t.Errorf("%s: got run id %q, want one of its own", rec.Run.Test, rec.Run.ID)
		}
		ids[rec.Run.ID] = true
	}
	return out
}

func read(t *testing.T, c CellConfig, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.OutDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCellOutcomes(t *testing.T) {
	hang := prog("hang", "hang")
	hang.Timeout = 3 * time.Second
	machine := prog("machine", "machine")
	machine.Env, machine.Dir = []string{"A=1"}, "/tmp"
	c := cell(t, "apt:bookworm/6.1", "amd64",
		prog("true", "exit", "0"), prog("seven", "exit", "7"), prog("killed", "signal"), prog("output", "output"),
		machine, prog("pivot", "pivot"), hang, prog("daemon", "daemon"), prog("after daemon", "count"),
		prog("cases", "cases"), prog("flood", "flood", "70000"), prog("orphan", "orphan"), prog("kill all", "killall"),
		guest.Test{Name: "absent", Command: []string{"no-such-program"}},
	)
	c.Sysctls = []guest.Sysctl{{Name: "vm.overcommit_memory", Value: "1"}}
	c.Modules = []string{"dummy"}
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []outcome{
		{"true", collect.Passed, 0, "", ""},
		{"seven", collect.Failed, 7, "", "exit status 7"},
		{"killed", collect.Failed, -1, "SIGKILL", "killed by SIGKILL"},
		{"output", collect.Passed, 0, "", ""},
		{"machine", collect.Passed, 0, "", ""},
		{"pivot", collect.Passed, 0, "", ""},
		{"hang", collect.TimedOut, -1, "SIGKILL", "killed after 3s"},
		{"daemon", collect.Passed, 0, "", ""},
		{"after daemon", collect.Passed, 0, "", ""},
		{"cases", collect.Failed, 1, "", "exit status 1: TestBad"},
		{"flood", collect.Passed, 0, "", ""},
		{"orphan", collect.Passed, 0, "", ""},
		{"kill all", collect.Passed, 0, "", ""}, // of which the agent must not take notice
		{"absent", collect.Failed, -1, "", "program no-such-program: not in the guest's PATH " +
			"(/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin); add it to the files of the guest"},
	}
	if diff := cmp.Diff(want, outcomes(t, res)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if out, err := read(t, c, "output.stdout"), read(t, c, "output.stderr"); out != "to stdout\n" || err != "to stderr\n" {
		t.Errorf("output: got stdout %q, stderr %q", out, err)
	}
	if got := read(t, c, "machine.stderr"); got != "" {
		t.Errorf("machine: %s", got)
	}
	m := regexp.MustCompile(`^time=(\d+) A=1\n$`).FindStringSubmatch(read(t, c, "machine.stdout"))
	if m == nil {
		t.Errorf("machine: got %q, want time and environment", read(t, c, "machine.stdout"))
	} else if sec, _ := strconv.ParseInt(m[1], 10, 64); time.Since(time.Unix(sec, 0)).Abs() > 10*time.Minute {
		t.Errorf("clock of the guest: got %v, now it is %v", time.Unix(sec, 0), time.Now())
	}
	if got := len(read(t, c, "flood.stdout")); got != guest.MaxOutput {
		t.Errorf("flood: got %d bytes of output, want %d", got, guest.MaxOutput)
	}
	for _, rec := range res.Records {
		if rec.Run.Test != "cases" {
			continue
		}
		want := []collect.Case{
			{Name: "TestGood", Outcome: collect.Passed, Duration: 10 * time.Millisecond},
			{Name: "TestBad", Outcome: collect.Failed, Duration: 20 * time.Millisecond, Message: "x_test.go:3: broken"},
		}
		if diff := cmp.Diff(want, rec.Run.Cases); diff != "" {
			t.Errorf("cases (-want +got):\n%s", diff)
		}
	}
	cell := collect.Cell{Kernel: c.Kernel.Release, Arch: "amd64", Spec: c.Kernel.Spec, Accel: res.Accel.Name}
	if diff := cmp.Diff(cell, res.Cell); diff != "" {
		t.Errorf("cell (-want +got):\n%s", diff)
	}
	if res.Boot <= 0 || res.Duration < res.Boot || res.CPU <= 0 || len(res.Splats) != 0 || len(res.Logs) != 0 {
		t.Errorf("got boot %v, duration %v, cpu %v, splats %q, logs %q", res.Boot, res.Duration, res.CPU, res.Splats, res.Logs)
	}
	left, err := filepath.Glob(filepath.Join(c.OutDir, ".initramfs*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	t.Logf("boot %v, cell %v, cpu %v, %v", res.Boot, res.Duration, res.CPU, res.Accel)
}

// The guest program's object: 7 runs of the first counter, no code for the second.
func wantCounters(t *testing.T, rec collect.Record) {
	t.Helper()
	if len(rec.Objects) != 1 {
		t.Errorf("%s: got %d objects, want 1", rec.Run.Test, len(rec.Objects))
		return
	}
	o := rec.Objects[0]
	if diff := cmp.Diff([]uint64{7, 0}, o.Counts); diff != "" || string(o.ObjectID[:]) != "guestprog-object" {
		t.Errorf("%s: counters of %q (-want +got):\n%s", rec.Run.Test, o.ObjectID[:], diff)
	}
}

// Counters come back from every kernel that is promised to work, and from a guest that panicked.
func TestCellCounters(t *testing.T) {
	for _, k := range []struct{ spec, arch string }{
		{"apt:bullseye/5.10", "amd64"}, {"apt:sid/7.*", "amd64"}, {"apt:sid/7.*", "arm64"},
	} {
		t.Run(strings.ReplaceAll(k.spec, "/", "_")+" "+k.arch, func(t *testing.T) {
			c := cell(t, k.spec, k.arch, prog("bpf", "bpf"), prog("bpf again", "bpf"), prog("bpf-panic", "bpf-panic"))
			c.CPUs = 2
			res, err := RunCell(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			for i, rec := range res.Records {
				wantCounters(t, rec)
				want := collect.Passed
				if i == 2 {
					want = collect.Panicked
				}
				if rec.Run.Outcome != want || rec.Run.Partial != (i == 2) {
					t.Errorf("%s: got %s (%s), partial %v, want %s", rec.Run.Test, rec.Run.Outcome, rec.Run.Reason, rec.Run.Partial, want)
				}
				if i < 2 {
					if diff := cmp.Diff([]collect.CounterState{collect.StateLive, collect.StateNotLoaded}, rec.Objects[0].States); diff != "" {
						t.Errorf("%s: states (-want +got):\n%s", rec.Run.Test, diff)
					}
				}
			}
			t.Logf("boot %v, cell %v, cpu %v, logs %q", res.Boot, res.Duration, res.CPU, res.Logs)
		})
	}
}

// What ends a guest early is told apart, and what was known before it stands.
func TestCellEndsEarly(t *testing.T) {
	for _, tt := range []struct {
		name   string
		what   string
		want   collect.Outcome
		reason string
	}{
		{"panic", "panic", collect.Panicked, `^Kernel panic - not syncing: sysrq triggered crash`},
		{"poweroff", "poweroff", collect.Lost, `^the guest went away without an end record`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cell(t, "apt:bookworm/6.1", "amd64", prog("before", "output"), prog("it", tt.what), prog("after", "exit", "0"))
			res, err := RunCell(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			got := outcomes(t, res)
			if len(got) != 3 || got[0].Outcome != collect.Passed || got[1].Outcome != tt.want || got[2].Outcome != collect.Lost {
				t.Fatalf("got %+v, want passed, %s, lost", got, tt.want)
			}
			it := res.Records[1].Run
			if !regexp.MustCompile(tt.reason).MatchString(it.Reason) || !it.Partial {
				t.Errorf("got reason %q, partial %v, want %s, partial", it.Reason, it.Partial, tt.reason)
			}
			if want := "not run: in test it: " + it.Reason; got[2].Reason != want {
				t.Errorf("next test: got reason %q, want %q", got[2].Reason, want)
			}
			if tt.want == collect.Panicked && !strings.Contains(strings.Join(it.Console, "\n"), "sysrq_handle_crash") {
				t.Errorf("got console %q, want the trace of the panic", it.Console)
			}
			if len(res.FailedBoots) != 0 {
				t.Errorf("got %d failed boots; nothing may be repeated after hello", len(res.FailedBoots))
			}
		})
	}
}

// A guest without hello is booted again, and each boot is reported.
func TestCellBootFails(t *testing.T) {
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("it", "exit", "0"))
	c.Agent = c.Files[0].Source // a PID 1 that exits
	c.Retries = 1
	retries := 0
	log := c.Events
	c.Events = func(e Event) {
		log(e)
		if e.Kind == EventBootFail {
			retries++
		}
	}
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if retries != 2 || len(res.FailedBoots) != 2 {
		t.Errorf("got %d events and %d failed boots, want 2", retries, len(res.FailedBoots))
	}
	run := res.Records[0].Run
	if run.Outcome != collect.BootFailed || !strings.Contains(run.Reason, "Attempted to kill init") || !strings.HasSuffix(run.Reason, "2 boots") {
		t.Errorf("got %s, reason %q, want boot-failed because init exited, 2 boots", run.Outcome, run.Reason)
	}
	if !strings.Contains(strings.Join(run.Console, "\n"), "Kernel panic") {
		t.Errorf("got console %q, want the panic", run.Console)
	}
	for _, f := range []string{"console.boot1.log", "console.log"} {
		if !strings.Contains(read(t, c, f), "Attempted to kill init") {
			t.Errorf("%s: got %q", f, read(t, c, f))
		}
	}
}

func TestCellCancelled(t *testing.T) {
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("it", "hang"))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the test")
	log := c.Events
	c.Events = func(e Event) {
		log(e)
		if e.Kind == EventTestStart {
			cancel(stop)
		}
	}
	res, err := RunCell(ctx, c)
	if !errors.Is(err, stop) {
		t.Fatalf("got error %v, want the cause", err)
	}
	if len(res.Records) != 1 || res.Records[0].Run.Outcome != collect.Lost || !res.Records[0].Run.Partial {
		t.Errorf("got %+v, want one partial record", res.Records)
	}
}

// The other architectures' virtual hardware is different all the way to the port.
func TestCellArm64(t *testing.T) {
	m := prog("machine", "machine")
	m.Env, m.Dir = []string{"A=1"}, "/tmp"
	c := cell(t, "apt:bookworm/6.1", "arm64", m, prog("pivot", "pivot"))
	c.Sysctls = []guest.Sysctl{{Name: "vm.overcommit_memory", Value: "1"}}
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Passed() {
		t.Errorf("got %+v\n%s", outcomes(t, res), read(t, c, "machine.stderr"))
	}
	if res.Cell.Arch != "arm64" || res.Cell.Kernel != c.Kernel.Release {
		t.Errorf("got cell %+v", res.Cell)
	}
}

func TestRunCellRefuses(t *testing.T) {
	k := &kernels.Kernel{Release: "1.2", Arch: "amd64", Image: "/no/such/kernel"}
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := qemu.Find("amd64"); err != nil {
		t.Skip(err)
	}
	noModules := *k
	noModules.Modules = t.TempDir()
	if err := os.WriteFile(filepath.Join(noModules.Modules, "modules.builtin"), []byte("kernel/x.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	one := []guest.Test{{Name: "t", Command: []string{"x"}}}
	for i, tt := range []struct {
		want string
		c    CellConfig
	}{
		{"cell without a kernel", CellConfig{}},
		{"no output folder", CellConfig{Kernel: k}},
		{"no QEMU machine known", CellConfig{Kernel: &kernels.Kernel{Arch: "mips"}, OutDir: t.TempDir()}},
		{"this path is the agent's", CellConfig{Kernel: k, Agent: agent, OutDir: t.TempDir(), Tests: one,
			Files: []initramfs.File{{Path: "/init"}}}},
		{"has no command", CellConfig{Kernel: k, Agent: agent, OutDir: t.TempDir(), Tests: []guest.Test{{Name: "t"}}}},
		{"no such module", CellConfig{Kernel: &noModules, Agent: agent, OutDir: t.TempDir(), Tests: one, Modules: []string{"nosuch"}}},
		{"/no/such/kernel", CellConfig{Kernel: k, Agent: agent, OutDir: t.TempDir(), Tests: one}},
	} {
		tt.c.CacheDir = t.TempDir()
		if _, err := RunCell(t.Context(), tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d: got error %v, want one with %q", i, err, tt.want)
		}
	}
}
