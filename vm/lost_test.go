package vm

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
)

// What had been sent when QEMU was killed, or when the test had to be, is in the record.
func TestNothingLost(t *testing.T) {
	hang := prog("hang", "bpf-hang")
	hang.Timeout = 4 * time.Second
	c := cell(t, "apt:bookworm/6.1", "amd64", hang, prog("it", "bpf-hang"), prog("after", "exit", "0"))
	var partial []collect.Record
	c.Partial = func(rec *collect.Record) {
		partial = append(partial, *rec)
		if rec.Run.Test == "it" && rec.Objects[0].Counts[0] == 7 {
			killQEMU(t, c.OutDir)
		}
	}
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	got := outcomes(t, res)
	want := []outcome{
		{"hang", collect.TimedOut, -1, "SIGKILL", "killed after 4s"},
		{"it", collect.Lost, -1, "", got[1].Reason},
		{"after", collect.Lost, -1, "", "not run: in test it: " + got[1].Reason},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	wantCounters(t, res.Records[0])
	wantCounters(t, res.Records[1])
	if res.Records[0].Run.Partial || !res.Records[1].Run.Partial {
		t.Errorf("partial: got %v and %v, want false and true", res.Records[0].Run.Partial, res.Records[1].Run.Partial)
	}
	// States of the first, the last of them with all counters, and its end; then states of the second.
	seen := map[bool]int{}
	for _, rec := range partial {
		if rec.Run.ID == res.Records[0].Run.ID {
			seen[rec.Run.Partial]++
		}
		if rec.Run.Partial && rec.Run.Outcome != collect.Lost {
			t.Errorf("partial record: got %+v, want it to say that the end was not seen", rec.Run)
		}
	}
	if seen[true] == 0 || seen[false] != 1 {
		t.Fatalf("got %d states and %d ends of the first test, want some and one", seen[true], seen[false])
	}
	if last := partial[len(partial)-1]; last.Run.ID != res.Records[1].Run.ID {
		t.Errorf("last partial record: got %+v, want one of the second test", last.Run)
	}
}

// killQEMU kills the machine whose console goes to a folder.
func killQEMU(t *testing.T, dir string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range lines {
		b, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(filepath.Base(strings.SplitN(string(b), "\x00", 2)[0]), "qemu-system-") || !strings.Contains(string(b), dir) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		return
	}
	t.Errorf("no QEMU with %s on its command line", dir)
}

// A test that needs a seccomp listener of its own gets another watcher by itself, or from the start.
func TestOwnListener(t *testing.T) {
	always, never := prog("trace", "listener"), prog("notify", "listener")
	always.Watcher, never.Watcher = collect.WatcherTrace, collect.WatcherNotify
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("auto", "listener"), always, never)
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []outcome{
		{"auto", collect.Passed, 0, "", ""}, {"trace", collect.Passed, 0, "", ""}, {"notify", collect.Failed, 1, "", "exit status 1"},
	}
	if diff := cmp.Diff(want, outcomes(t, res)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	wantCounters(t, res.Records[0])
	wantCounters(t, res.Records[1])
	if got := read(t, c, "auto.stdout") + read(t, c, "auto.stderr"); got != "counted\n" {
		t.Errorf("output of the test that was started anew: got %q, want that of the second time", got)
	}
	logs := strings.Join(res.Logs, "\n")
	if !strings.Contains(logs, "test auto: ") || !strings.Contains(logs, "started anew") {
		t.Errorf("got logs %q, want a word on the test that was started anew", logs)
	}
}

// Files come back, and nothing that is none.
func TestArtefacts(t *testing.T) {
	it := prog("it", "artefacts")
	it.Dir, it.Artefacts = "/tmp", []string{"*.profraw", "sub/*.profraw", "/tmp/sub/b*", "/no/such/*"}
	c := cell(t, "apt:bookworm/6.1", "amd64", it, prog("none", "exit", "0"))
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Passed() {
		t.Fatalf("got %+v", outcomes(t, res))
	}
	got := map[string]string{}
	dir := filepath.Join(c.OutDir, ArtefactDir("it"))
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		got[strings.TrimPrefix(path, dir+"/")] = string(b)
		return err
	})
	want := map[string]string{"bpfcov/gocover/covmeta.1": "m", "tmp/a.profraw": "a", "tmp/sub/b.profraw": "b", "tmp/sub/link.profraw": "c"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	for _, want := range []string{"pipe.profraw: not a regular file", "big.profraw: 1073741824 bytes", "not a path below the root"} {
		if !strings.Contains(strings.Join(res.Logs, "\n"), want) {
			t.Errorf("got logs %q, want %q in them", res.Logs, want)
		}
	}
	if _, err := os.Stat(filepath.Join(c.OutDir, ArtefactDir("none"))); !os.IsNotExist(err) {
		t.Errorf("a test without artefacts has a folder for them: %v", err)
	}
}
