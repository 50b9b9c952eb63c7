package vm

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// What a test does to its guest is told as what it is, and is no loss for the tests before it, nor, if the guest
// lives, for those after it. The table in docs/guest.md says the same.
func TestFaults(t *testing.T) {
	testFaults(t, "apt:bookworm/6.1", "amd64")
}

func TestFaultsArches(t *testing.T) {
	long(t)
	for _, k := range [][2]string{{"apt:sid/7.*", "amd64"}, {"apt:bookworm/6.1", "arm64"}, {"apt:trixie/6.12", "riscv64"}, {"apt:trixie/6.12", "ppc64le"}, {"apt:trixie/6.12", "s390x"}} {
		t.Run(k[1]+" "+k[0], func(t *testing.T) { testFaults(t, k[0], k[1]) })
	}
}

// A guest that hangs as a whole is told apart from a test that does, and what was known before stands.
func TestGuestHangs(t *testing.T) {
	long(t) // it waits for the host's patience, not for the guest's
	hang := prog("hang", "hang-guest")
	hang.Timeout = time.Second
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("before", "bpf"), hang, prog("after", "exit", "0"))
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	wantFaults(t, res, []faultWant{
		{"before", collect.Passed, "^$", ""},
		{"hang", collect.TimedOut, `^the guest stopped answering; killed 1m0s after the test's timeout of 1s`, ""},
		{"after", collect.Lost, "^not run: in test hang: the guest stopped answering", ""},
	})
	wantCounters(t, res.Records[0])
	if got := read(t, c, "hang.stdout"); got != "hanging\n" {
		t.Errorf("hang: got stdout %q", got)
	}
}

type faultWant struct {
	name    string
	outcome collect.Outcome
	reason  string // regular expression
	console string // regular expression, in the lines of the record
}

// outOfMemory is what the kernel says when it kills who asked for memory, and when it asked itself, and chose the largest process.
const outOfMemory = `Out of memory( \(oom_kill_allocating_task\))?: Killed process \d+`

func testFaults(t *testing.T, spec, arch string) {
	forks := prog("forks", "forks")
	forks.Timeout = 12 * time.Second // by when they have taken all memory
	c := cell(t, spec, arch, prog("before", "bpf"), prog("splat", "splat"), prog("memory", "memory"), prog("disk", "disk"), forks,
		prog("between", "exit", "0"), prog("garbage", "garbage"), prog("never", "exit", "0"))
	c.Warm, c.CacheDir = true, t.TempDir()
	res, err := RunCell(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []faultWant{
		{"before", collect.Passed, "^$", ""},
		{"splat", collect.Failed, `^the test passed, but the kernel reported: WARNING: CPU: 0 PID: 1 at kernel/made-up.c:1`, "made_up"},
		{"memory", collect.Failed, "^killed by SIGKILL", outOfMemory},
		{"disk", collect.Failed, "^exit status 1", ""},
		{"forks", collect.TimedOut, "^killed after 12s", ""},
		{"between", collect.Passed, "^$", ""},
		{"garbage", collect.Lost, "malformed stream from the guest", ""},
		{"never", collect.Lost, "^not run: in test garbage: ", ""},
	}
	if res.Records[4].Run.Outcome == collect.Failed { // the first of them was one of those that the kernel killed
		want[4] = faultWant{"forks", collect.Failed, "^killed by SIGKILL", outOfMemory}
	}
	wantFaults(t, res, want)
	wantCounters(t, res.Records[0])
	if got := read(t, c, "disk.stderr"); !strings.Contains(got, "no space left on device") {
		t.Errorf("disk: got stderr %q", got)
	}

	c.Tests = c.Tests[:2]
	c.AllowSplats = true
	c.Tests[0], c.Tests[1] = c.Tests[1], prog("crash", "crash-agent")
	if res, err = RunCell(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	wantFaults(t, res, []faultWant{
		{"splat", collect.Passed, "^$", "made_up"},
		{"crash", collect.Lost, "^the agent crashed: ", "Attempted to kill init"},
	})
}

func wantFaults(t *testing.T, res *CellResult, want []faultWant) {
	t.Helper()
	if len(res.Records) != len(want) {
		t.Fatalf("got %+v, want %d records", outcomes(t, res), len(want))
	}
	for i, w := range want {
		r := res.Records[i].Run
		if r.Test != w.name || r.Outcome != w.outcome || !regexp.MustCompile(w.reason).MatchString(r.Reason) ||
			!regexp.MustCompile(w.console).MatchString(strings.Join(r.Console, "\n")) {
			t.Errorf("%s: got %s %s, reason %q, console %q; want %+v", w.name, r.Test, r.Outcome, r.Reason, r.Console, w)
		}
	}
	t.Logf("splats: %q", res.Splats)
}
