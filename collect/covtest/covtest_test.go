//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package covtest

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
)

// innerEnv is set for the tests that TestMain is tried with.
const innerEnv = "COVTEST_INNER"

func TestMain(m *testing.M) { Main(m) }

// run loads a program with one counter, as an instrumented object has it, runs it n times and closes it.
func run(t *testing.T, n uint32) {
	t.Helper()
	const header, counters = 40, 2
	value := make([]byte, header+8*counters)
	order := binary.NativeEndian
	copy(value, "BPFCOV\x1a\x01")
	order.PutUint16(value[8:], 1)
	order.PutUint16(value[10:], 8)
	order.PutUint32(value[12:], counters)
	copy(value[16:], "covtests--object")
	order.PutUint32(value[32:], uint32(len(value)))
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: ".data.bpfcov", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(value)), MaxEntries: 1,
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: value}}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapValue(asm.R1, m.FD(), header), asm.Mov.Imm(asm.R2, 1), asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0), asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	if _, err := prog.Run(&ebpf.RunOptions{Data: make([]byte, 64), Repeat: n}); err != nil {
		t.Fatal(err)
	}
}

func inner(t *testing.T) {
	t.Helper()
	if os.Getenv(innerEnv) == "" {
		t.Skip("is run by TestGathers")
	}
}

func TestInnerOne(t *testing.T) {
	inner(t)
	Count(t)
	run(t, 3)
}

func TestInnerTwo(t *testing.T) {
	inner(t)
	t.Run("sub test", func(t *testing.T) {
		Count(t)
		run(t, 5)
		t.Error("on purpose")
	})
	run(t, 2) // nobody's
}

// Per test, also of objects that are closed before the test ends, under plain "go test".
func TestGathers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestInner", "-test.v")
	cmd.Env = append(os.Environ(), innerEnv+"=1", dirEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "--- PASS: TestInnerOne") {
		t.Fatalf("got %v, want exit status 1\n%s", err, out)
	}
	d, err := collect.ReadDir(dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := map[string]uint64{}
	for _, rec := range d.Records {
		name := rec.Run.Test[strings.IndexByte(rec.Run.Test, '/')+1:] + " " + string(rec.Run.Outcome)
		for _, o := range rec.Objects {
			got[name] += o.Counts[0]
			if o.States[0] != collect.StateLive || o.States[1] != collect.StateNotLoaded {
				t.Errorf("%s: got states %v", name, o.States)
			}
		}
	}
	want := map[string]uint64{"covtest.test failed": 2, "TestInnerOne passed": 3, "TestInnerTwo/sub_test failed": 5}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, out)
	}
}

// "go test" takes no result of a run without the variable, and none of an earlier watched run: either has no record in this folder.
func TestNotCached(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("needs go: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "covdata")
	for i, env := range []string{dirEnv + "=", dirEnv + "=" + dir, dirEnv + "=" + dir} {
		cmd := exec.Command("go", "test", "-run=^TestInnerOne$", ".")
		cmd.Env = append(os.Environ(), innerEnv+"=1", env)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", env, err, out)
		}
		if i == 0 {
			continue
		}
		if d, err := collect.ReadDir(dir); err != nil || len(d.Records) == 0 {
			t.Errorf("run %d left no record: %v", i, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// Without the variable nothing is watched, and Count is nothing.
func TestUnwatched(t *testing.T) {
	Count(t)
	if marks.conn != nil {
		t.Error("got a watcher, want none")
	}
}

func TestLedger(t *testing.T) {
	state := func(counts ...uint64) []collect.ObjectCounters {
		return []collect.ObjectCounters{{Width: 8, Maps: 1, Counts: counts}}
	}
	var l ledger
	l.start("a", state(1, 0)) // 1 before it
	l.start("b", state(3, 0)) // 2 of a
	l.end("a", collect.Passed, state(3, 4))
	l.end("b", collect.Failed, state(3, 9)) // 4 of either, 5 of b
	l.end("c", collect.Passed, state(3, 9)) // never started
	for test, want := range map[string][]uint64{"a": {2, 0}, "b": {0, 5}} {
		if diff := cmp.Diff(want, l.tests[test].objects[0].Counts); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test, diff)
		}
	}
	if diff := cmp.Diff([]uint64{2, 4}, l.rest(state(4, 9))[0].Counts); diff != "" {
		t.Errorf("rest: (-want +got)\n%s", diff)
	}
}

func ExampleMain() {
	// In a file of the tests:
	//
	//	func TestMain(m *testing.M) { covtest.Main(m) }
	//
	// and then, as root:
	//
	//	BPFCOV_COVDATA=$PWD/covdata go test ./... && bpfcov report covdata
}
