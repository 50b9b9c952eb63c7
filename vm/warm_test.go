package vm

import (
	"os"
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
)

// events counts what a cell tells.
func events(c *CellConfig) map[EventKind]int {
	n := map[EventKind]int{}
	log := c.Events
	c.Events = func(e Event) {
		n[e.Kind]++
		log(e)
	}
	return n
}

// A guest is saved once and resumed for each run, which finds what a boot would give it, and chance of its own.
func TestWarm(t *testing.T) {
	testWarm(t, "apt:bookworm/6.1", "amd64")
}

// The other architectures have other devices to save.
func TestWarmArches(t *testing.T) {
	long(t)
	for _, k := range [][2]string{
		{"apt:bullseye/5.10", "amd64"}, {"apt:sid/7.*", "amd64"}, {"apt:bookworm/6.1", "arm64"}, {"apt:sid/7.*", "arm64"},
		{"apt:trixie/6.12", "s390x"}, {"apt:sid/7.*", "riscv64"}, {"apt:sid/7.*", "ppc64le"},
	} {
		t.Run(k[1]+" "+k[0], func(t *testing.T) { testWarm(t, k[0], k[1]) })
	}
}

func testWarm(t *testing.T, spec, arch string) {
	m := prog("machine", "machine")
	m.Env, m.Dir = []string{"A=1"}, "/tmp"
	c := cell(t, spec, arch, m, prog("pivot", "pivot"), prog("bpf", "bpf"), prog("random", "random"), prog("seven", "exit", "7"))
	c.Warm, c.CacheDir = true, t.TempDir()
	c.Sysctls = []guest.Sysctl{{Name: "vm.overcommit_memory", Value: "1"}}
	c.Files = append(c.Files, initramfs.File{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost\n")},
		initramfs.File{Path: "/etc/link", Link: "hosts"})
	seen := events(&c)
	random := map[string]bool{}
	for n := 1; n <= 2; n++ {
		res, err := RunCell(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		want := []outcome{
			{"machine", collect.Passed, 0, "", ""}, {"pivot", collect.Passed, 0, "", ""}, {"bpf", collect.Passed, 0, "", ""},
			{"random", collect.Passed, 0, "", ""}, {"seven", collect.Failed, 7, "", "exit status 7"},
		}
		if diff := cmp.Diff(want, outcomes(t, res)); diff != "" {
			t.Fatalf("run %d: outcomes (-want +got):\n%s\n%s", n, diff, read(t, c, "machine.stderr"))
		}
		wantCounters(t, res.Records[2])
		if !res.Warm || seen[EventSaved] != 1 || seen[EventResume] != n {
			t.Fatalf("run %d: got warm %v, %d guests saved, %d resumed; want true, 1, %[1]d", n, res.Warm, seen[EventSaved], seen[EventResume])
		}
		got := regexp.MustCompile(`^time=(\d+) A=1\n$`).FindStringSubmatch(read(t, c, "machine.stdout"))
		if got == nil {
			t.Fatalf("machine: got %q", read(t, c, "machine.stdout"))
		}
		if sec, _ := strconv.ParseInt(got[1], 10, 64); time.Since(time.Unix(sec, 0)).Abs() > 2*time.Minute {
			t.Errorf("clock of the guest: got %v, now it is %v", time.Unix(sec, 0), time.Now())
		}
		for _, w := range strings.Fields(read(t, c, "random.stdout")) {
			if random[w] {
				t.Errorf("run %d: random number %s again", n, w)
			}
			random[w] = true
		}
		t.Logf("run %d: hello after %v, cell %v, cpu %v", n, res.Boot, res.Duration, res.CPU)
	}
	if len(random) != 4 {
		t.Errorf("got %d random numbers, want 4", len(random))
	}
}

// Each test can have a guest of its own, and none of them sees what another left.
func TestFreshGuest(t *testing.T) {
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("daemon", "daemon"), prog("panic", "panic"), prog("after", "exit", "0"))
	c.Warm, c.FreshGuest, c.CacheDir = true, true, t.TempDir()
	seen := events(&c)
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	got := outcomes(t, res)
	if len(got) != 3 || got[0].Outcome != collect.Passed || got[1].Outcome != collect.Panicked || got[2].Outcome != collect.Passed {
		t.Errorf("got %+v, want passed, panicked, passed", got)
	}
	// The second one panicked: nobody knows whether it was saved with the reason.
	if seen[EventSaved] != 2 || seen[EventResume] != 3 || !res.Warm {
		t.Errorf("got %d guests saved, %d resumed, warm %v; want 2, 3, true", seen[EventSaved], seen[EventResume], res.Warm)
	}
}

// A state that does not resume is thrown away, and the cell boots without it.
func TestWarmDamaged(t *testing.T) {
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("it", "exit", "0"))
	c.Warm, c.CacheDir = true, t.TempDir()
	if _, err := RunCell(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, file string }{
		{"cut off", "state"},
		{"other memory", "ram"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file == "ram" {
				long(t) // waits for a guest that does not know what happened to it
			}
			dirs, err := filepath.Glob(filepath.Join(c.CacheDir, "warm", "*"))
			if err != nil || len(dirs) != 1 {
				t.Fatalf("saved guests: got %v, %v, want one", dirs, err)
			}
			name := filepath.Join(dirs[0], tt.file)
			st, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if st.Mode().Perm() != 0o600 {
				t.Errorf("%s: got mode %v, want -rw-------", name, st.Mode())
			}
			if err := os.Truncate(name, st.Size()/2); err != nil {
				t.Fatal(err)
			}
			if tt.file == "ram" {
				if err := os.Truncate(name, 0); err != nil { // zeros, when it has its size again
					t.Fatal(err)
				}
			}
			c := c
			c.OutDir = t.TempDir()
			var logs []string
			log := c.Events
			c.Events = func(e Event) {
				log(e)
				if e.Kind == EventLog {
					logs = append(logs, e.Text)
				}
			}
			seen := events(&c)
			res, err := RunCell(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if !res.Passed() || res.Warm || seen[EventBoot] != 1 || len(res.FailedBoots) != 0 {
				t.Errorf("got %+v, warm %v, %d boots, %d failed; want one boot that passes", outcomes(t, res), res.Warm, seen[EventBoot], len(res.FailedBoots))
			}
			if len(logs) != 1 || !strings.HasPrefix(logs[0], "the saved guest was thrown away: ") {
				t.Errorf("got lines %q, want one that says so", logs)
			}
			if _, err := os.Stat(name); !os.IsNotExist(err) {
				t.Errorf("%s: got %v, want it to be gone", name, err)
			}
			if _, err := RunCell(t.Context(), c); err != nil { // for the next case
				t.Fatal(err)
			}
		})
	}
}

// long skips what takes too long for every run.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("BPFCOV_LONG") == "" {
		t.Skip("takes long; make test-long runs it")
	}
}
