package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
)

func TestParse(t *testing.T) {
	got, err := Parse([]byte(`
build: |
  make
tests:
  - command: [./a.test, -test.v]
    timeout: 90s
    env: {A: b}
  - {name: second, command: [./a.test], watcher: sweep, artefacts: ["*.profraw"]}
watcher: trace
modules: [veth, "dummy?"]
matrix:
  kernels: ["apt:bookworm"]
  arch: [amd64, arm64]
  exclude:
    - {kernel: "apt:bullseye", arch: arm64}
vm: {cpus: 2, boot-timeout: 2m}
report: {json: false, junit: true, fail-under-lines: [80, "6.1-*=70"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := &Config{
		Build: "make\n",
		Tests: []Test{
			{Name: "a.test", Command: []string{"./a.test", "-test.v"}, Env: map[string]string{"A": "b"}, Timeout: Duration(90 * time.Second)},
			{Name: "second", Command: []string{"./a.test"}, Watcher: Watcher(collect.WatcherSweep), Artefacts: []string{"*.profraw"}},
		},
		Watcher: Watcher(collect.WatcherTrace),
		Modules: []string{"veth", "dummy?"},
		Matrix: Matrix{
			Kernels: []string{"apt:bookworm"}, Arch: []string{"amd64", "arm64"},
			Exclude: []Cell{{Kernel: "apt:bullseye", Arch: "arm64"}},
		},
		VM:     VM{CPUs: 2, BootTimeout: Duration(2 * time.Minute)},
		Report: Report{JSON: &no, JUnit: true, FailUnderLines: []string{"80", "6.1-*=70"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestParseEmpty(t *testing.T) {
	for _, in := range []string{"", "# nothing\n", "tests:\n"} {
		if _, err := Parse([]byte(in)); err != nil {
			t.Errorf("Parse(%q): %v", in, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"test: []", `line 1: top level: unknown key "test"; did you mean "tests"?`},
		{"matrix:\n  kernel: [a]", `line 2: matrix: unknown key "kernel"; did you mean "kernels"?`},
		{"tests:\n- {command: [a], tiemout: 3s}", `line 2: tests[0]: unknown key "tiemout"; did you mean "timeout"?`},
		{"vm: {zzzzzz: 1}", `known keys: memory-mib, cpus, boot-timeout, jobs`},
		{"tests: yes", `"yes" is not a list`},
		{"matrix: 3", `is not a mapping`},
		{"build: [a]", `build is not a list`},
		{"build: a\nbuild: b", `"build" stands twice`},
		{"tests: [{name: x}]", `tests[0]: command is missing`},
		{"tests: [{command: [a]}, {command: [a]}]", `the name "a" stands twice`},
		{"tests: [{command: [a], timeout: 3}]", `"3" is not a positive duration such as 90s`},
		{"vm: {cpus: -1}", `vm.cpus: -1 is not in 1..256`},
		{"vm: {cpus: many}", `cannot unmarshal`},
		{"a: &a b\nc: *a", `unknown key "a"`},
		{"out: a\n---\nout: b", `more than one YAML document`},
		{"out: [", `yaml`},
		{"watcher: ptrace", `line 1: watcher "ptrace": want one of auto, notify, trace, sweep`},
		{"tests: [{command: [a], artefacts: ['[']}]", `tests[0]: artefacts: "[" is not a glob`},
	} {
		_, err := Parse([]byte(tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q): got %v, want it to contain %q", tt.in, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("tests: [{command: [a]}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			return
		}
		Parse(b)
	})
}
