package guest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
)

func TestJobRoundTrip(t *testing.T) {
	want := Job{
		Version:  JobVersion,
		Hostname: "h",
		Root:     RootDisk, RootModules: []Module{{Name: "overlay", Path: "/bpfcov/modules/003-overlay.ko"}},
		PortModules: []Module{{Name: "virtio", Path: "/bpfcov/modules/000-virtio.ko"}},
		Modules:     []Module{{Name: "veth", Path: "/x", Optional: true}},
		Sysctls:     []Sysctl{{"kernel.panic_on_oops", "1"}},
		Tests: []Test{
			{Name: "a", Command: []string{"true"}},
			{Name: "b", Command: []string{"sh", "-c", "exit 1\n\"\xff"}, Env: []string{"A=1", "B="}, Dir: "/tmp", Folder: "/v/1", Plain: true, Unwatched: true, Timeout: time.Second,
				Watcher: collect.WatcherTrace, Artefacts: []string{"*.profraw", "/tmp/x/*"}},
		},
	}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeJob(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	if got, want := want.Limit(), 2*time.Minute+2*DefaultTimeout+time.Second+3*Slack; got != want {
		t.Errorf("limit: got %v, want %v", got, want)
	}
}

func TestJobRefuses(t *testing.T) {
	ok := []string{"true"}
	for _, tt := range []struct {
		want string
		job  Job
	}{
		{"test 1 has no name", Job{Tests: []Test{{Command: ok}}}},
		{`two tests are called "a"`, Job{Tests: []Test{{Name: "a", Command: ok}, {Name: "a", Command: ok}}}},
		{`test "a" has no command`, Job{Tests: []Test{{Name: "a"}}}},
		{`directory "x" is not absolute`, Job{Tests: []Test{{Name: "a", Command: ok, Dir: "x"}}}},
		{`directory "/" cannot be a link`, Job{Tests: []Test{{Name: "a", Command: ok, Dir: "/", Folder: "/v/1"}}}},
		{"want NAME=value", Job{Tests: []Test{{Name: "a", Command: ok, Env: []string{"A"}}}}},
		{"not a name below /proc/sys", Job{Sysctls: []Sysctl{{"../../sysrq-trigger", "c"}}}},
		{"not a name below /proc/sys", Job{Sysctls: []Sysctl{{"", "c"}}}},
		{`watcher "x"`, Job{Tests: []Test{{Name: "a", Command: ok, Watcher: "x"}}}},
		{`artefacts "[": not a glob`, Job{Tests: []Test{{Name: "a", Command: ok, Artefacts: []string{"["}}}}},
	} {
		if _, err := tt.job.Encode(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", err, tt.want)
		}
	}
	if _, err := DecodeJob([]byte("version \"99\"\n")); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("job of another version: got error %v", err)
	}
}

func TestDecodeJobRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "no version",
		"{}":                          "want a key and a quoted value",
		"version \"5\"\nx \"y\"\n":    `unknown key "x"`,
		"version \"5\"\ntest \"t\"\n": "has no command",
		"version \"x\"\n":             "want a number",
	} {
		if _, err := DecodeJob([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("job %q: got error %v, want one with %q", in, err, want)
		}
	}
}

func FuzzDecodeJob(f *testing.F) {
	b, err := Job{Tests: []Test{{Name: "a", Command: []string{"x", "\xff\n"}}}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := DecodeJob(b)
		if err != nil {
			return
		}
		again, err := j.Encode()
		if err != nil {
			t.Fatal(err)
		}
		k, err := DecodeJob(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(j, k); diff != "" {
			t.Errorf("after a round trip (-want +got):\n%s", diff)
		}
	})
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.core.bpf_jit_enable":        "/proc/sys/net/core/bpf_jit_enable",
		"net/ipv4/conf/eth0.1/rp_filter": "/proc/sys/net/ipv4/conf/eth0.1/rp_filter",
	} {
		if got, err := (Sysctl{Name: name}).path(); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}
