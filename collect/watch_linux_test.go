//go:build amd64 || arm64 || ppc64le || riscv64 || s390x

package collect

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("watching and loading BPF programs needs root")
	}
}

// loaderCmd returns this test binary as a loader that does script.
func loaderCmd(script string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), loaderEnv+"="+script)
	return cmd
}

func watch(t *testing.T, cmd *exec.Cmd, o WatchOptions) *Result {
	t.Helper()
	needRoot(t)
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &out
	}
	o.Log = t.Logf
	res, err := Watch(t.Context(), cmd, o)
	if err != nil {
		t.Fatal(err)
	}
	if t.Failed() || !res.State.Success() {
		t.Logf("%v: %v\n%s", cmd.Args, res.State, out.String())
	}
	return res
}

// brief leaves out of programs what differs from kernel to kernel.
func brief(programs []ProgramLoad) []ProgramLoad {
	var b []ProgramLoad
	for _, p := range programs {
		p.Insns, p.Xlated, p.Jited, p.Verified, p.Log, p.FullLog, p.Reason, p.Stats = 0, 0, 0, 0, "", "", "", ""
		b = append(b, p)
	}
	return b
}

func program(name string, loads int, v Verdict, errno string) ProgramLoad {
	return ProgramLoad{Name: name, Type: "SocketFilter", Objects: []meta.ObjectID{objectA}, Loads: loads, Verdict: v, Errno: errno}
}

func objectWith(maps int, counts []uint64, states ...CounterState) []ObjectCounters {
	return []ObjectCounters{{ObjectID: objectA, Width: 8, Maps: maps, Counts: counts, States: states}}
}

// withoutFlows is for comparing counters; what flows say has its own tests.
func withoutFlows(o []ObjectCounters) []ObjectCounters {
	o = cloneObjects(o)
	for i := range o {
		o[i].Flows = nil
	}
	return o
}

const (
	live = StateLive
	elim = StateEliminated
	rej  = StateRejected
	none = StateNotLoaded
)

func TestWatch(t *testing.T) {
	needRoot(t)
	mainOK, otherOK := program("main", 1, VerdictOK, ""), program("other", 1, VerdictOK, "")
	rejected := program("reject", 1, VerdictRejected, "EACCES")
	rejected.Class = ClassVerifier
	rejected.Refused = []CounterSet{{objectA, [][2]uint32{{cReject, cReject}}}}
	for name, c := range map[string]struct {
		script   string
		exit     int
		signal   string
		objects  []ObjectCounters
		programs []ProgramLoad
	}{
		"run": {script: "main=10 other=3",
			objects:  objectWith(1, []uint64{10, 0, 10, 50, 3, 0, 0}, live, elim, live, live, live, none, none),
			programs: []ProgramLoad{mainOK, otherOK}},
		"read-only variable set": {script: "switch=1 main=2",
			objects:  objectWith(1, []uint64{2, 2, 0, 10, 0, 0, 0}, live, live, elim, live, none, none, none),
			programs: []ProgramLoad{mainOK}},
		"both ways": {script: "main=1 switch=1 main=1",
			objects:  objectWith(2, []uint64{2, 1, 1, 10, 0, 0, 0}, live, live, live, live, none, none, none),
			programs: []ProgramLoad{program("main", 2, VerdictOK, "")}},
		"both ways, left at once": {script: "main=1 switch=1 load=main exit=0",
			objects:  objectWith(2, []uint64{1, 0, 1, 5, 0, 0, 0}, live, live, live, live, none, none, none),
			programs: []ProgramLoad{program("main", 2, VerdictOK, "")}},
		"refused": {script: "reject other=1",
			objects:  objectWith(1, []uint64{0, 0, 0, 0, 1, 0, 0}, none, none, none, none, live, rej, none),
			programs: []ProgramLoad{otherOK, rejected}},
		"loaded and left at once": {script: "load=main exit=3", exit: 3,
			objects:  objectWith(1, make([]uint64, 7), live, elim, live, live, none, none, none),
			programs: []ProgramLoad{mainOK}},
		"killed": {script: "main=4 kill", exit: -1, signal: "SIGKILL",
			objects:  objectWith(1, []uint64{4, 0, 4, 20, 0, 0, 0}, live, elim, live, live, none, none, none),
			programs: []ProgramLoad{mainOK}},
		"threads": {script: "threads=20",
			objects:  objectWith(1, []uint64{20, 0, 20, 100, 0, 0, 0}, live, elim, live, live, none, none, none),
			programs: []ProgramLoad{program("main", 20, VerdictOK, "")}},
		"many": {script: "many=300",
			objects:  objectWith(300, []uint64{300, 0, 300, 1500, 0, 0, 0}, live, elim, live, live, none, none, none),
			programs: []ProgramLoad{program("main", 300, VerdictOK, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			res := watch(t, loaderCmd(c.script), WatchOptions{Interval: 20 * time.Millisecond})
			if d := cmp.Diff(c.objects, withoutFlows(res.Objects)); d != "" {
				t.Errorf("objects: -want +got:\n%s", d)
			}
			for i := range min(len(c.programs), len(res.Programs)) {
				// The kernel gives a load up when the loader is interrupted, and libraries try again.
				if got, want := res.Programs[i].Loads, c.programs[i].Loads; got > want && got <= want+1+want/20 {
					res.Programs[i].Loads = want
				}
			}
			if d := cmp.Diff(c.programs, brief(res.Programs)); d != "" {
				t.Errorf("programs: -want +got:\n%s", d)
			}
			code, signal := exitStatus(res.State)
			if code != c.exit || signal != c.signal {
				t.Errorf("exit: got %d %q, want %d %q", code, signal, c.exit, c.signal)
			}
			if res.Orphans {
				t.Error("got orphans, want none")
			}
			for _, p := range res.Programs {
				if p.Insns == 0 || p.Verified == 0 || p.Verdict == VerdictOK && p.Xlated == 0 {
					t.Errorf("program %s: statistics are missing: %+v", p.Name, p)
				}
				if p.Verdict != VerdictUnknown && !strings.Contains(p.Stats, "processed ") && p.Verified <= statsInsns {
					t.Errorf("%s: got statistics %q, want the verifier's", p.Name, p.Stats)
				}
				if p.Verdict == VerdictRejected && (p.Reason != "R9 !read_ok" || !strings.Contains(p.Log, "r9 +0") || p.FullLog == "") {
					t.Errorf("program %s: got reason %q and log %q, want the verifier's", p.Name, p.Reason, p.Log)
				}
			}
		})
	}
}

func TestWatchTree(t *testing.T) {
	needRoot(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `
		for i in 1 2 3; do `+loaderEnv+`="main=1" `+exe+` & done; wait
		(`+loaderEnv+`="other=5" setsid `+exe+`); exec true`)
	res := watch(t, cmd, WatchOptions{})
	want := objectWith(4, []uint64{3, 0, 3, 15, 5, 0, 0}, live, elim, live, live, live, none, none)
	if d := cmp.Diff(want, withoutFlows(res.Objects)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestWatchNoCoverage(t *testing.T) {
	for script, want := range map[string]string{"say=hello": "loaded no BPF program", "plain": "none refers to a bpfcov counter map"} {
		res := watch(t, loaderCmd(script), WatchOptions{})
		if err := res.Diagnose(); !errors.Is(err, ErrNoCoverage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want ErrNoCoverage with %q", script, err, want)
		}
		if len(res.Objects) != 0 || len(res.Programs) != 0 {
			t.Errorf("%s: got %v and %v, want nothing", script, res.Objects, res.Programs)
		}
	}
}

// bpffs returns an empty directory where maps can be pinned.
func bpffs(t *testing.T) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestWatchPinnedMap(t *testing.T) {
	pin := filepath.Join(bpffs(t), "counters")
	watch(t, loaderCmd("main=10 pin="+pin), WatchOptions{})
	res := watch(t, loaderCmd("pinned="+pin+" main=2 other=1"), WatchOptions{})
	want := objectWith(1, []uint64{2, 0, 2, 10, 1, 0, 0}, live, elim, live, live, live, none, none)
	if d := cmp.Diff(want, withoutFlows(res.Objects)); d != "" {
		t.Errorf("second run: -want +got:\n%s", d)
	}
	res = watch(t, loaderCmd("say=nothing"), WatchOptions{})
	if len(res.Objects) != 0 {
		t.Errorf("a run that touches no counter: got %+v, want nothing", res.Objects)
	}
}

// A program stays loaded after its loader has gone, and runs in a run that does not load it.
func TestWatchPinnedProgram(t *testing.T) {
	pin := filepath.Join(bpffs(t), "other")
	watch(t, loaderCmd("pinprog="+pin), WatchOptions{})
	res := watch(t, loaderCmd("runprog="+pin), WatchOptions{Earlier: true})
	want := objectWith(1, []uint64{0, 0, 0, 0, 7, 0, 0}, none, none, none, none, live, none, none)
	got := slices.DeleteFunc(withoutFlows(res.Objects), func(o ObjectCounters) bool { return o.ObjectID != objectA }) // others' on this machine
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if len(res.Programs) != 0 {
		t.Errorf("got programs %+v, want none: nothing was loaded", res.Programs)
	}
}

func TestWatchSnapshots(t *testing.T) {
	cmd := loaderCmd("main=1 read main=1 read")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var snaps [][]ObjectCounters
	res := watch(t, cmd, WatchOptions{Interval: 5 * time.Millisecond, Snapshot: func(o []ObjectCounters) {
		if len(o) > 0 && o[0].Counts[0] > 0 && o[0].States[cDead] == elim && (len(snaps) == 0 || snaps[len(snaps)-1][0].Counts[0] != o[0].Counts[0]) {
			snaps = append(snaps, o)
			in.Write([]byte{'x'}) // the loader waits for each to be seen
		}
	}})
	if len(snaps) != 2 {
		t.Fatalf("got %d snapshots with new counts, want 2", len(snaps))
	}
	if got := snaps[0][0].Counts[0]; got != 1 {
		t.Errorf("first snapshot: got count %d, want 1", got)
	}
	if d := cmp.Diff(res.Objects, snaps[1]); d != "" {
		t.Errorf("last snapshot: -result +snapshot:\n%s", d)
	}
}

func TestWatchCancel(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rec, err := Exec(ctx, loaderCmd("main=3 hang"), ExecOptions{Test: "hangs", Watch: WatchOptions{
		Interval: 5 * time.Millisecond,
		Snapshot: func(o []ObjectCounters) {
			if len(o) > 0 && o[0].Counts[0] == 3 {
				cancel()
			}
		}}})
	if err != nil {
		t.Fatal(err)
	}
	if rec.Run.Outcome != Failed || rec.Run.Reason != "interrupted" || rec.Run.Signal != "SIGKILL" || rec.Objects[0].Counts[0] != 3 {
		t.Errorf("got %+v with %+v, want an interrupted run with 3 counts", rec.Run, rec.Objects)
	}
}

// With Plain, programs without counters are judged like the others.
func TestWatchPlain(t *testing.T) {
	needRoot(t)
	res := watch(t, loaderCmd("plain badplain other=1"), WatchOptions{Plain: true})
	want := []ProgramLoad{
		{Name: "badplain", Type: "SocketFilter", Loads: 1, Verdict: VerdictRejected, Errno: "EACCES", Class: ClassVerifier},
		program("other", 1, VerdictOK, ""),
	}
	// The loader's library has programs of its own, to find out what the kernel can.
	got := slices.DeleteFunc(brief(res.Programs), func(p ProgramLoad) bool { return p.Name == "" })
	if len(got) == len(res.Programs) {
		t.Error("the program without a name is missing")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if got := withoutFlows(res.Objects); len(got) != 1 || got[0].Counts[cOther] != 1 {
		t.Errorf("counters: %v", got)
	}
}
