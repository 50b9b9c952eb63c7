//go:build amd64 || arm64 || ppc64le || riscv64 || s390x

package collect

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// probeID is the object id in testdata/probe.bpf.c.
var probeID = meta.ObjectID{0xcc, 'p', 'r', 'o', 'b', 'e'}

// buildProbe compiles testdata/probe.bpf.c and returns the object's path.
func buildProbe(t *testing.T) string {
	t.Helper()
	needRoot(t)
	obj := filepath.Join(t.TempDir(), "probe.o")
	args := []string{"-O2", "-g", "-target", "bpf", "-c", "testdata/probe.bpf.c", "-o", obj}
	if inc, err := filepath.Glob("/usr/include/*-linux-gnu"); err == nil {
		for _, dir := range inc {
			args = append(args, "-I"+dir)
		}
	}
	compile(t, anyOf(t, "clang", "clang-19", "clang-18", "clang-16", "clang-15", "clang-14"), args...)
	return obj
}

// buildLoader compiles testdata/loader.c.
func buildLoader(t *testing.T, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "loader")
	compile(t, anyOf(t, "cc", "gcc"), append([]string{"-O2", "-o", out, "testdata/loader.c"}, args...)...)
	return out
}

func anyOf(t *testing.T, names ...string) string {
	t.Helper()
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	t.Skipf("none of %v is installed", names)
	return ""
}

func compile(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func TestWatchLibbpf(t *testing.T) {
	obj := buildProbe(t)
	libs := map[string][]string{"dynamic": {"-lbpf", "-lpthread"}, "static": {"-static", "-lbpf", "-lelf", "-lz", "-lpthread"}}
	for kind, flags := range libs {
		loader := buildLoader(t, flags...)
		for name, c := range map[string]struct {
			words  []string
			maps   int
			counts []uint64
			signal string
		}{
			"run":                       {words: []string{"load", "run"}, maps: 1, counts: []uint64{3, 0, 3, 2}},
			"killed":                    {words: []string{"load", "run", "kill"}, maps: 1, counts: []uint64{3, 0, 3, 2}, signal: "SIGKILL"},
			"left at once":              {words: []string{"load", "leave"}, maps: 1, counts: make([]uint64, 4)},
			"forks":                     {words: []string{"load", "run", "fork"}, maps: 2, counts: []uint64{8, 0, 8, 9}},
			"threads":                   {words: []string{"threads"}, maps: 8, counts: []uint64{8, 0, 8, 0}},
			"three objects, then other": {words: []string{"load", "run", "load", "run", "load", "run", "threads"}, maps: 11, counts: []uint64{17, 0, 17, 6}},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				res := watch(t, exec.Command(loader, append([]string{obj}, c.words...)...), WatchOptions{})
				want := []ObjectCounters{{ObjectID: probeID, Width: 8, Maps: c.maps, Counts: c.counts, States: []CounterState{live, elim, live, live}}}
				if d := cmp.Diff(want, withoutFlows(res.Objects)); d != "" {
					t.Errorf("-want +got:\n%s", d)
				}
				if _, signal := exitStatus(res.State); signal != c.signal {
					t.Errorf("signal: got %q, want %q", signal, c.signal)
				}
				for _, p := range res.Programs {
					if p.Verdict != VerdictOK || p.Verified == 0 || p.Xlated == 0 {
						t.Errorf("program: got %+v, want it loaded, with statistics", p)
					}
				}
			})
		}
	}
}

func TestWatchBpftool(t *testing.T) {
	obj := buildProbe(t)
	tool := anyOf(t, "bpftool")
	dir := bpffs(t)
	res := watch(t, exec.Command(tool, "prog", "loadall", obj, filepath.Join(dir, "p")), WatchOptions{})
	if len(res.Objects) != 1 || len(res.Programs) != 2 {
		t.Fatalf("got %d objects and %d programs, want 1 and 2", len(res.Objects), len(res.Programs))
	}
	o := res.Objects[0]
	if d := cmp.Diff([]CounterState{live, elim, live, live}, o.States); d != "" {
		t.Errorf("states: -want +got:\n%s", d)
	}
	want := []Flow{
		{ // enabled is 0: the verifier left one way
			Before: []FlowSite{{Counter: 0, First: true, Next: []uint32{1, 2}}, {Counter: 1, Exit: true}, {Counter: 2, Exit: true}},
			After:  []FlowSite{{Counter: 0, First: true, Next: []uint32{1}}, {Counter: 2, Exit: true}},
		},
		{Before: []FlowSite{{Counter: 3, First: true, Exit: true}}, After: []FlowSite{{Counter: 3, First: true, Exit: true}}},
	}
	if d := cmp.Diff(unionFlows(nil, want), o.Flows); d != "" {
		t.Errorf("flows: -want +got:\n%s", d)
	}
}

// The loader runs as another user that has the capabilities that loading takes.
func TestWatchOtherUser(t *testing.T) {
	obj := buildProbe(t)
	loader := buildLoader(t, "-static", "-lbpf", "-lelf", "-lz", "-lpthread")
	for _, dir := range []string{filepath.Dir(obj), filepath.Dir(loader), filepath.Dir(filepath.Dir(obj)), filepath.Dir(filepath.Dir(loader))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(loader, obj, "load", "run")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN}}
	res := watch(t, cmd, WatchOptions{})
	if len(res.Objects) != 1 || !slices.Equal(res.Objects[0].Counts, []uint64{3, 0, 3, 2}) {
		t.Errorf("got %+v, want the counts of one run", res.Objects)
	}
}

// The loader's own child goes on after the command, and the command's end is not held up.
func TestWatchOrphan(t *testing.T) {
	obj := buildProbe(t)
	loader := buildLoader(t, "-static", "-lbpf", "-lelf", "-lz", "-lpthread")
	dir := t.TempDir()
	script := `(` + // started, waits to be told, loads, and says how it went
		`while ! [ -e go ]; do sleep 0.01; done; "$1" "$2" load run; echo $? >result.new; mv result.new result) >/dev/null 2>&1 &` +
		`"$1" "$2" load run`
	for _, how := range []string{"in this process", "handed over"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", script, "sh", loader, obj)
			cmd.Dir = dir
			os.Remove(filepath.Join(dir, "go"))
			os.Remove(filepath.Join(dir, "result"))
			res := watch(t, cmd, WatchOptions{Grace: -1})
			if !res.Orphans {
				t.Error("got no orphans, want one")
			}
			if len(res.Objects) != 1 || res.Objects[0].Maps != 1 {
				t.Errorf("got %+v, want the counters of the command alone", res.Objects)
			}
			if how == "handed over" {
				if err := res.Release(); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := awaitFile(filepath.Join(dir, "result"), deadline(t)); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "result")); err != nil || string(got) != "0\n" {
				t.Errorf("the orphan's load: got status %q (%v), want 0", got, err)
			}
		})
	}
}

// With a light skeleton programs are loaded from inside the kernel, where no system call is seen.
func TestWatchLightSkeleton(t *testing.T) {
	obj := buildProbe(t)
	loader := buildSkeleton(t, obj, "light.c", "probe.lskel.h", "-L")
	cmd := exec.Command(loader)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	told := false
	res := watch(t, cmd, WatchOptions{Interval: 5 * time.Millisecond, Snapshot: func(o []ObjectCounters) {
		if !told && len(o) > 0 && o[0].Counts[0] == 3 {
			told = true
			in.Write([]byte("x\n"))
		}
	}})
	if !res.State.Success() || len(res.Objects) != 1 {
		t.Fatalf("got %v and %+v, want success and one object", res.State, res.Objects)
	}
	// What the loader gave to the kernel is not known, and so not what the verifier removed.
	if d := cmp.Diff([]CounterState{live, StateUnknown, live, live}, res.Objects[0].States); d != "" {
		t.Errorf("states: -want +got:\n%s", d)
	}
	if d := cmp.Diff([]uint64{3, 0, 3, 0}, res.Objects[0].Counts); d != "" {
		t.Errorf("counts: -want +got:\n%s", d)
	}
}
