package gotest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest/lines"
)

func parse(t *testing.T, text string) []collect.Case {
	t.Helper()
	var p Parser
	if _, err := io.Copy(&p, iotest.HalfReader(strings.NewReader(text))); err != nil {
		t.Fatal(err)
	}
	return p.Cases()
}

const (
	pass, fail, skip = collect.Passed, collect.Failed, collect.Skipped
	ms               = time.Millisecond
)

func TestParser(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []collect.Case
	}{
		{"empty", "", nil},
		{"other output", "hello\n--- PASS\n--- PASS: \n--- PASS: TestX\n--- PASS: TestX (x)\n--- PASS: TestX (-1s)\n", nil},
		{"verbose", `=== RUN   TestA
    a_test.go:5: a note
--- PASS: TestA (0.01s)
=== RUN   TestB
=== RUN   TestB/one
=== PAUSE TestB/one
=== RUN   TestB/two
=== CONT  TestB/one
the program's own output
    b_test.go:9: got 1, want 2
        and more
=== NAME  TestB
    b_test.go:3: late
--- FAIL: TestB (1.50s)
    --- FAIL: TestB/one (0.50s)
    --- PASS: TestB/two (0.00s)
=== RUN   TestC
    c_test.go:4: needs Linux 6.4
--- SKIP: TestC (0.00s)
FAIL
`, []collect.Case{
			{Name: "TestA", Outcome: pass, Duration: 10 * ms},
			{Name: "TestB", Outcome: fail, Duration: 1500 * ms, Message: "b_test.go:3: late"},
			{Name: "TestB/one", Outcome: fail, Duration: 500 * ms, Message: "b_test.go:9: got 1, want 2\nand more"},
			{Name: "TestB/two", Outcome: pass},
			{Name: "TestC", Outcome: skip, Message: "c_test.go:4: needs Linux 6.4"},
		}},
		{"quiet", `--- FAIL: TestB (1.50s)
    --- FAIL: TestB/one (0.50s)
        b_test.go:9: got 1, want 2
--- SKIP: TestC (0.00s)
    c_test.go:4: no
FAIL
`, []collect.Case{
			{Name: "TestB", Outcome: fail, Duration: 1500 * ms},
			{Name: "TestB/one", Outcome: fail, Duration: 500 * ms, Message: "b_test.go:9: got 1, want 2"},
			{Name: "TestC", Outcome: skip, Message: "c_test.go:4: no"},
		}},
		{"test2json marks and CRLF", "\x16=== RUN   TestA\r\n\x16--- PASS: TestA (0.00s)\r\nPASS\r\n",
			[]collect.Case{{Name: "TestA", Outcome: pass}}},
		{"crash", `=== RUN   TestA
--- PASS: TestA (0.00s)
=== RUN   TestB
panic: oh no

goroutine 7 [running]:
`, []collect.Case{
			{Name: "TestA", Outcome: pass},
			{Name: "TestB", Outcome: fail, Message: "panic: oh no\n\ngoroutine 7 [running]:"},
		}},
		{"cut off", "=== RUN   TestA\n=== RUN   TestA/x\n    --- PASS: TestA/x (0.0", []collect.Case{
			{Name: "TestA", Outcome: fail, Message: "did not finish"},
			{Name: "TestA/x", Outcome: fail, Message: "--- PASS: TestA/x (0.0"},
		}},
	} {
		if diff := cmp.Diff(tt.want, parse(t, tt.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// The real testing package, verbose and not.
func TestParserRealOutput(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no Go toolchain on PATH")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module x\n",
		"x_test.go": `package x
import "testing"
func TestA(t *testing.T) { t.Log("fine") }
func TestB(t *testing.T) {
	t.Run("one two", func(t *testing.T) { t.Parallel(); t.Error("broken") })
	t.Run("ok", func(t *testing.T) { t.Parallel() })
}
func TestC(t *testing.T) { t.Skip("not here") }
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "x.test")
	build := exec.Command(goTool, "test", "-c", "-o", bin, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	a, b := collect.Case{Name: "TestA", Outcome: pass}, collect.Case{Name: "TestB", Outcome: fail}
	one := collect.Case{Name: "TestB/one_two", Outcome: fail, Message: "x_test.go:5: broken"}
	ok := collect.Case{Name: "TestB/ok", Outcome: pass}
	c := collect.Case{Name: "TestC", Outcome: skip, Message: "x_test.go:8: not here"}
	for flag, want := range map[string][]collect.Case{
		"-test.v":           {a, b, one, ok, c},
		"-test.v=test2json": {a, b, one, ok, c},
		"-test.v=false":     {b, one},
	} {
		out, _ := exec.Command(bin, flag).Output() // it fails, as it should
		got := parse(t, string(out))
		for i := range got {
			got[i].Duration = 0
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\noutput:\n%s", flag, diff, out)
		}
	}
}

func TestParserBounds(t *testing.T) {
	var p Parser
	for range 20 {
		p.Write(make([]byte, 1<<20)) // one endless line
	}
	if p.lines.Len() > lines.Max {
		t.Errorf("endless line: kept %d bytes, want at most %d", p.lines.Len(), lines.Max)
	}
	p = Parser{}
	p.Write([]byte("=== RUN   TestA\n"))
	for range 10_000 {
		p.Write([]byte("    x_test.go:1: " + strings.Repeat("x", 100) + "\n"))
	}
	c := p.Cases()
	if len(c) != 1 || len(c[0].Message) > maxMessage {
		t.Errorf("chatty test: got %d cases, message of %d bytes, want at most %d", len(c), len(c[0].Message), maxMessage)
	}
}

func TestFailed(t *testing.T) {
	got := Failed(parse(t, `--- FAIL: TestB (1.50s)
    --- FAIL: TestB/one (0.50s)
    --- PASS: TestB/two (0.50s)
--- FAIL: TestA (0.00s)
--- SKIP: TestC (0.00s)
`))
	if diff := cmp.Diff([]string{"TestA", "TestB/one"}, got); diff != "" {
		t.Errorf("failed cases (-want +got):\n%s", diff)
	}
}

func FuzzParser(f *testing.F) {
	f.Add([]byte("=== RUN   TestA\n    a: b\n--- FAIL: TestA (0.01s)\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Parser
		p.Write(b)
		for _, c := range p.Cases() {
			if c.Name == "" || c.Outcome == "" {
				t.Errorf("got case %+v", c)
			}
		}
	})
}
