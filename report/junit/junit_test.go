package junit_test

import (
	"bytes"
	"strings"
	"testing"

	gojunit "github.com/joshdk/go-junit"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/junit"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// read reads a document with somebody else's reader: a line for each case, a head for each suite.
func read(t *testing.T, d *collect.Data) string {
	t.Helper()
	r, err := model.Build(d, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := junit.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	suites, err := gojunit.Ingest(b.Bytes())
	if err != nil {
		t.Fatalf("%v\n%s", err, &b)
	}
	var s strings.Builder
	line := func(words ...string) { s.WriteString(strings.TrimSpace(strings.Join(words, " ")) + "\n") }
	for _, x := range suites {
		line("suite", x.Name, x.Properties["arch"], x.Totals.Duration.String(), strings.ReplaceAll(x.SystemOut, "\n", ";"))
		for _, c := range x.Tests {
			line("-", string(c.Status), c.Classname, c.Name, c.Message)
		}
		if got := len(x.Tests); got != x.Totals.Tests {
			t.Errorf("%s: %d cases, the head says %d", x.Name, got, x.Totals.Tests)
		}
	}
	return s.String()
}

func TestWrite(t *testing.T) {
	d := modeltest.Data(t)
	for i := range d.Records {
		r := &d.Records[i]
		if r.Run.Outcome == collect.Failed { // the failed cell also has a refused program
			p := r.Programs[0]
			p.Name, p.Verdict, p.Errno, p.Reason = "bad", collect.VerdictRejected, "EACCES", "invalid mem access \x1b[1m'scalar'"
			r.Programs = append(r.Programs, p)
		}
	}
	want := `suite 5.10-amd64 amd64 4s the kernel refused program handle_exit: EINVAL unknown func bpf_loop#181;
- passed 5.10-amd64.go TestOpen
- passed 5.10-amd64.go TestExec
- passed 5.10-amd64.go TestExit
suite 6.1-amd64 amd64 4s
- passed 6.1-amd64.go TestOpen
- passed 6.1-amd64.go TestExec
- passed 6.1-amd64.go TestExit
suite 6.1-arm64 arm64 4s
- passed 6.1-arm64.go TestOpen
- passed 6.1-arm64.go TestExec
- passed 6.1-arm64.go TestExit
suite 6.12-amd64 amd64 4s
- passed 6.12-amd64.go TestOpen
- passed 6.12-amd64.go TestExec
- passed 6.12-amd64.go TestExit
suite 7.2-amd64 amd64 4s
- passed 7.2-amd64.go TestOpen
- failed 7.2-amd64.go TestExec exec_test.go:41: no event within 5s
- passed 7.2-amd64.go TestExit
- failed 7.2-amd64.load bad EACCES invalid mem access 'scalar'
suite 7.2-arm64 arm64 1m0s
- error 7.2-arm64.go go boot-failed: no hello after 60s
`
	if diff := cmp.Diff(want, read(t, d)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestOutcomes(t *testing.T) {
	run := func(test string, o collect.Outcome, cases ...collect.Outcome) collect.Record {
		r := collect.Record{Run: collect.Run{ID: test, Cell: collect.Cell{Kernel: "6.1", Arch: "amd64"}, Test: test, Outcome: o, Reason: "why"}}
		for _, c := range cases {
			r.Run.Cases = append(r.Run.Cases, collect.Case{Name: "case", Outcome: c, Message: "m]]>\x00\xff"})
		}
		return r
	}
	exit := run("exit", collect.Failed, collect.Passed)
	exit.Run.Reason, exit.Run.ExitCode = "", 3
	d := &collect.Data{Records: []collect.Record{
		exit, run("fails", collect.Failed, collect.Failed), run("hangs", collect.TimedOut, collect.Failed), run("lost", collect.Lost),
		run("panics", collect.Panicked), run("passes", collect.Passed), run("skips", collect.Skipped), run("some", collect.Passed, collect.Skipped),
	}}
	want := `suite 6.1-amd64 amd64 0s
- passed 6.1-amd64.exit case
- failed 6.1-amd64.exit exit failed: exit status 3
- failed 6.1-amd64.fails case m]]>
- failed 6.1-amd64.hangs case m]]>
- failed 6.1-amd64.hangs hangs timeout: why
- error 6.1-amd64.lost lost lost: why
- error 6.1-amd64.panics panics panic: why
- passed 6.1-amd64.passes passes
- skipped 6.1-amd64.skips skips skipped: why
- skipped 6.1-amd64.some case m]]>
`
	if diff := cmp.Diff(want, read(t, d)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
