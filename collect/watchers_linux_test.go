//go:build amd64 || arm64 || ppc64le || riscv64 || s390x

package collect

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// exactWatchers are those that see every load.
func exactWatchers() []Watcher { return []Watcher{WatcherNotify, WatcherTrace} }

var staticLibs = []string{"-static", "-lbpf", "-lelf", "-lz", "-lpthread"}

// TestLoaders is the table of docs/collection.md: what loads a program must not matter.
func TestLoaders(t *testing.T) {
	obj := buildProbe(t)
	dynamic, static, odd := buildLoader(t, "-lbpf", "-lpthread"), buildLoader(t, staticLibs...), buildOdd(t)
	skel := buildSkeleton(t, obj, "skel.c", "probe.skel.h")
	sh := func(script string) *exec.Cmd {
		return exec.Command("/bin/sh", "-c", script, "sh", static, obj, odd, dynamic)
	}
	for name, c := range map[string]struct {
		cmd     func() *exec.Cmd
		maps    int
		counts  []uint64
		orphans bool
	}{
		"libbpf, dynamic":           {func() *exec.Cmd { return exec.Command(dynamic, obj, "load", "run") }, 1, []uint64{3, 0, 3, 2}, false},
		"libbpf, static":            {func() *exec.Cmd { return exec.Command(static, obj, "load", "run") }, 1, []uint64{3, 0, 3, 2}, false},
		"skeleton":                  {func() *exec.Cmd { return exec.Command(skel) }, 1, []uint64{3, 0, 3, 0}, false},
		"threads":                   {func() *exec.Cmd { return exec.Command(static, obj, "threads") }, 8, []uint64{8, 0, 8, 0}, false},
		"fork":                      {func() *exec.Cmd { return exec.Command(static, obj, "load", "run", "fork") }, 2, []uint64{8, 0, 8, 9}, false},
		"SIGKILL while it runs":     {func() *exec.Cmd { return exec.Command(static, obj, "load", "run", "kill") }, 1, []uint64{3, 0, 3, 2}, false},
		"left at once":              {func() *exec.Cmd { return exec.Command(static, obj, "load", "leave") }, 1, make([]uint64, 4), false},
		"daemon":                    {func() *exec.Cmd { return exec.Command(static, obj, "load", "run", "daemon", "run", "load", "run") }, 2, []uint64{9, 0, 9, 6}, false},
		"maps of the object before": {func() *exec.Cmd { return exec.Command(static, obj, "load", "run", "reuse", "run") }, 1, []uint64{6, 0, 6, 4}, false},
		"two at once":               {func() *exec.Cmd { return sh(`"$1" "$2" load run & "$4" "$2" load run & wait`) }, 2, []uint64{6, 0, 6, 4}, false},
		"tree of shells": {func() *exec.Cmd {
			return sh(`(sh -c 'exec "$1" "$2" load run' sh "$1" "$2") | cat; exec env "$4" "$2" load run`)
		}, 2, []uint64{6, 0, 6, 4}, false},
		"namespaces and pivot_root":      {func() *exec.Cmd { return sh(`exec "$3" container exec "$1" "$2" load run`) }, 1, []uint64{3, 0, 3, 2}, false},
		"no_new_privs, a filter":         {func() *exec.Cmd { return sh(`exec "$3" no_new_privs filter exec "$1" "$2" load run`) }, 1, []uint64{3, 0, 3, 2}, false},
		"a loader that is traced itself": {func() *exec.Cmd { return sh(`exec strace -qq -f -o /dev/null "$1" "$2" load run threads`) }, 9, []uint64{11, 0, 11, 2}, false},
	} {
		for _, kind := range exactWatchers() {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				cmd := c.cmd()
				if strings.Contains(name, "traced") {
					if kind == WatcherTrace {
						t.Skip("the kernel allows one tracer: see TestSameBehaviour")
					}
					anyOf(t, "strace")
				}
				res := watch(t, cmd, WatchOptions{Watcher: kind})
				want := []ObjectCounters{{ObjectID: probeID, Width: 8, Maps: c.maps, Counts: c.counts, States: []CounterState{live, elim, live, live}}}
				if d := cmp.Diff(want, withoutFlows(res.Objects)); d != "" {
					t.Errorf("-want +got:\n%s", d)
				}
				if res.Orphans != c.orphans || res.Watcher != kind {
					t.Errorf("got orphans %v, watcher %s", res.Orphans, res.Watcher)
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

// One object a thousand times, by one process: descriptors stay bounded and nothing is lost.
func TestThousandLoads(t *testing.T) {
	for _, kind := range exactWatchers() {
		t.Run(string(kind), func(t *testing.T) {
			res := watch(t, loaderCmd("many=1000"), WatchOptions{Watcher: kind, Interval: 100 * time.Millisecond})
			want := objectWith(1000, []uint64{1000, 0, 1000, 5000, 0, 0, 0}, live, elim, live, live, none, none, none)
			if d := cmp.Diff(want, withoutFlows(res.Objects)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestShortLoaders has loaders load, run and end as fast as they can, many times, several at once, on a machine that is busy
// otherwise. No count and no record may be missing.
func TestShortLoaders(t *testing.T) {
	obj := buildProbe(t)
	static := buildLoader(t, staticLibs...)
	light := buildSkeleton(t, obj, "light.c", "probe.lskel.h", "-L")
	const each, rounds = 4, 20 // loaders at once, and how often
	n := uint64(each * rounds)
	all := `for i in $(seq 20); do for j in 1 2 3 4; do "$@" & done; wait; done`
	for name, c := range map[string]struct {
		args     []string
		counts   []uint64
		states   []CounterState
		programs int
	}{
		"libbpf":         {[]string{static, obj, "load", "run", "leave"}, []uint64{3 * n, 0, 3 * n, 2 * n}, []CounterState{live, elim, live, live}, 2},
		"libbpf, killed": {[]string{static, obj, "load", "run", "kill"}, []uint64{3 * n, 0, 3 * n, 2 * n}, []CounterState{live, elim, live, live}, 2},
		"light skeleton": {[]string{light, "leave"}, []uint64{3 * n, 0, 3 * n, 0}, nil, 0},
	} {
		for _, kind := range exactWatchers() {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				keepBusy(t)
				res := watch(t, exec.Command("/bin/sh", append([]string{"-c", all, "sh"}, c.args...)...), WatchOptions{Watcher: kind})
				// What others load on this machine while a loader program is at work is taken for the command's.
				i := slices.IndexFunc(res.Objects, func(o ObjectCounters) bool { return o.ObjectID == probeID })
				if i < 0 {
					t.Fatal("got no counters")
				}
				o := res.Objects[i]
				if name == "light skeleton" && kind == WatcherNotify {
					// Nothing stops between the making of its maps and its end: some are missed, and what is seen is right.
					t.Logf("%d of %d loaders were seen", o.Maps, n)
					if o.Maps < int(n)/2 || o.Counts[0] != 3*uint64(o.Maps) {
						t.Errorf("got %d maps and %d counts, want most of %d maps and 3 times as many", o.Maps, o.Counts[0], n)
					}
					return
				}
				if d := cmp.Diff(c.counts, o.Counts); d != "" || o.Maps != int(n) {
					t.Errorf("%d maps, want %d; counts: -want +got:\n%s", o.Maps, n, d)
				}
				if d := cmp.Diff(c.states, o.States); d != "" && c.states != nil {
					t.Errorf("states: -want +got:\n%s", d)
				}
				if c.states == nil && slices.ContainsFunc(o.States, func(s CounterState) bool { return s != live && s != StateUnknown }) {
					t.Errorf("got states %v, want live and unknown", o.States)
				}
				if c.programs == 0 {
					return
				}
				if len(res.Programs) != c.programs {
					t.Errorf("got %d programs, want %d", len(res.Programs), c.programs)
				}
				for _, p := range res.Programs {
					if p.Verdict != VerdictOK || p.Loads != int(n) {
						t.Errorf("%s: got verdict %v and %d loads, want it loaded %d times", p.Name, p.Verdict, p.Loads, n)
					}
				}
			})
		}
	}
}

// keepBusy gives each processor something else to do until the test ends.
func keepBusy(t *testing.T) {
	t.Helper()
	for range runtime.NumCPU() {
		cmd := exec.Command("/bin/sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
}

// A program that stays attached after its loader has gone counts on while the command runs.
func TestAttachedAfterLoader(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range exactWatchers() {
		t.Run(string(kind), func(t *testing.T) {
			pin := filepath.Join(bpffs(t), "link")
			cmd := exec.Command("/bin/sh", "-c", loaderEnv+`="attach=$1" `+exe+` && echo loaded && read go && for i in 1 2 3 4 5 6 7 8 9; do /bin/true; done; rm "$1"`, "sh", pin)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var out safeBuffer
			cmd.Stdout = &out
			var loaderGone uint64
			res := watch(t, cmd, WatchOptions{Watcher: kind, Interval: 5 * time.Millisecond, Snapshot: func(o []ObjectCounters) {
				if loaderGone == 0 && len(o) > 0 && strings.Contains(out.String(), "loaded") {
					loaderGone = o[0].Counts[cOther]
					in.Write([]byte("x\n"))
				}
			}})
			if !res.State.Success() || len(res.Objects) != 1 || loaderGone == 0 {
				t.Fatalf("got %v, %d objects, %d counts when the loader was gone", res.State, len(res.Objects), loaderGone)
			}
			if got := res.Objects[0].Counts[cOther]; got < loaderGone+100 {
				t.Errorf("got %d, want at least 100 more than the %d when the loader was gone", got, loaderGone)
			}
		})
	}
}

// TestSameBehaviour runs what a watcher could get in the way of, without and under each watcher.
func TestSameBehaviour(t *testing.T) {
	needRoot(t)
	odd := buildOdd(t)
	for _, c := range []struct {
		words string
		but   map[Watcher]string // what a watcher is known to change, for docs/collection.md
	}{
		{words: "filter"},
		{words: "no_new_privs filter"},
		{words: "job"},
		{words: "container"},
		{words: "container filter job"},
		{words: "userns container"},
		{words: "tracer", but: map[Watcher]string{WatcherTrace: "traceme: Operation not permitted"}},
		{words: "container tracer", but: map[Watcher]string{WatcherTrace: "traceme: Operation not permitted"}},
		{words: "listener", but: map[Watcher]string{WatcherNotify: "listener: Device or resource busy"}},
		{words: "no_new_privs container listener", but: map[Watcher]string{WatcherNotify: "listener: Device or resource busy"}},
		{words: "strict", but: map[Watcher]string{WatcherNotify: "strict: no", WatcherTrace: "strict: no"}},
	} {
		plain, err := oddCmd(odd, c.words).CombinedOutput()
		if err != nil {
			t.Fatalf("%s without a watcher: %v\n%s", c.words, err, plain)
		}
		for _, kind := range []Watcher{WatcherNotify, WatcherTrace, WatcherSweep} {
			t.Run(string(kind)+"/"+c.words, func(t *testing.T) {
				cmd := oddCmd(odd, c.words)
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				res := watch(t, cmd, WatchOptions{Watcher: kind})
				if known := c.but[kind]; known != "" {
					if !strings.Contains(out.String(), known) {
						t.Errorf("got %q, want %q in it", out.String(), known)
					}
				} else if d := cmp.Diff(string(plain), out.String()); d != "" || !res.State.Success() {
					t.Errorf("%v, -without +with the watcher:\n%s", res.State, d)
				}
				if want := strings.Contains(c.words, "listener") && kind == WatcherNotify; res.WantedListener != want {
					t.Errorf("wanted a listener: got %v, want %v", res.WantedListener, want)
				}
			})
		}
	}
}

func oddCmd(odd, words string) *exec.Cmd { return exec.Command(odd, strings.Fields(words)...) }

// A command with a seccomp listener of its own, which loads programs too.
func TestOwnListener(t *testing.T) {
	obj, loader, odd := buildProbe(t), buildLoader(t, staticLibs...), buildOdd(t)
	cmd := exec.Command(odd, "listener", "exec", loader, obj, "load", "run")
	res := watch(t, cmd, WatchOptions{Watcher: WatcherTrace})
	if !res.State.Success() || len(res.Objects) != 1 || !slices.Equal(res.Objects[0].Counts, []uint64{3, 0, 3, 2}) {
		t.Errorf("got %v and %+v, want success and the counts of one run", res.State, res.Objects)
	}
}

// Where this process is under a listener already, as in some containers, another watcher is chosen.
func TestWatchUnderListener(t *testing.T) {
	needRoot(t)
	odd := buildOdd(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[Watcher]string{
		WatcherAuto:   "trace [2 0 2 10 0 0 0]\n",
		WatcherNotify: `run it outside of the other one, or with the watcher "trace"`,
	} {
		cmd := exec.Command(odd, "below", "exec", exe)
		cmd.Env = append(os.Environ(), loaderEnv+"=watch="+string(kind))
		out, err := cmd.CombinedOutput()
		if (err == nil) != (kind == WatcherAuto) || !strings.Contains(string(out), want) {
			t.Errorf("%q: got %v, %q, want %q", kind, err, out, want)
		}
	}
}

// What sweeping sees, and what it does not claim to know.
func TestSweep(t *testing.T) {
	cmd := loaderCmd("main=4 reject read")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	told := false
	res := watch(t, cmd, WatchOptions{Watcher: WatcherSweep, Interval: 5 * time.Millisecond, Snapshot: func(o []ObjectCounters) {
		if !told && len(o) > 0 && o[0].Counts[cEntry] == 4 {
			told = true
			in.Write([]byte{'x'})
		}
	}})
	unknown := StateUnknown
	want := objectWith(1, []uint64{4, 0, 4, 20, 0, 0, 0}, live, unknown, live, live, unknown, unknown, unknown)
	if d := cmp.Diff(want, withoutFlows(res.Objects)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if res.Watcher != WatcherSweep || res.Orphans {
		t.Errorf("got watcher %s, orphans %v", res.Watcher, res.Orphans)
	}
}

func TestParseWatcher(t *testing.T) {
	for name, want := range map[string]Watcher{"": WatcherAuto, "auto": WatcherAuto, "notify": WatcherNotify, "trace": WatcherTrace, "sweep": WatcherSweep} {
		if got, err := ParseWatcher(name); got != want || err != nil {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
	if _, err := ParseWatcher("ptrace"); err == nil {
		t.Error("got no error for an unknown watcher")
	}
	if _, err := Watch(t.Context(), exec.Command("/bin/true"), WatchOptions{Watcher: "ptrace"}); err == nil {
		t.Error("Watch: got no error for an unknown watcher")
	}
	if _, err := Watch(t.Context(), exec.Command("/no/such"), WatchOptions{Watcher: WatcherTrace}); os.Geteuid() == 0 && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such program: got %v", err)
	}
}

// safeBuffer is written by one goroutine and read by another.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// buildOdd compiles testdata/odd.c.
func buildOdd(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "odd")
	compile(t, anyOf(t, "cc", "gcc"), "-O2", "-o", out, "testdata/odd.c")
	return out
}

// buildSkeleton compiles a loader of testdata with the object's skeleton.
func buildSkeleton(t *testing.T, obj, source, header string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	skel, err := exec.Command(anyOf(t, "bpftool"), append(append([]string{"gen", "skeleton"}, flags...), obj)...).Output()
	if err != nil {
		t.Skipf("bpftool gen skeleton %v: %v", flags, err)
	}
	if err := os.WriteFile(filepath.Join(dir, header), skel, 0o644); err != nil {
		t.Fatal(err)
	}
	loader := filepath.Join(dir, "loader")
	compile(t, anyOf(t, "cc", "gcc"), "-O2", "-I"+dir, "-o", loader, "testdata/"+source, "-lbpf")
	return loader
}

// Read sees what is on the kernel now, without a watcher.
func TestRead(t *testing.T) {
	needRoot(t)
	// An object of its own: the kernel may yet be about to free maps of other tests, with what they counted.
	id := meta.ObjectID{0xee, 1, 2, 3}
	o, err := newObjectOf(id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer o.counters.Close()
	find := func() uint64 {
		all, err := Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.ObjectID == id {
				return c.Counts[cEntry]
			}
		}
		t.Fatal("the object is not among those read")
		return 0
	}
	before := find()
	if err := o.run("main", 4); err != nil {
		t.Fatal(err)
	}
	if got := find() - before; got != 4 {
		t.Errorf("got %d more, want 4", got)
	}
}
