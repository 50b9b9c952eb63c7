package vm

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest"
)

// testSession is a session in which test "a" has ended and test "b" runs, with a snapshot of its counters.
func testSession(t *testing.T) (*session, *CellResult) {
	t.Helper()
	res := &CellResult{Cell: collect.Cell{Kernel: "promised", Arch: "amd64"}}
	c := &CellConfig{
		Tests: []guest.Test{
			{Name: "a", Command: []string{"a"}}, {Name: "b", Command: []string{"b"}, Timeout: time.Minute}, {Name: "c", Command: []string{"c"}},
		},
		Output: func(guest.Test) (io.Writer, io.Writer) { return io.Discard, nil },
	}
	s := newSession(&machine{c: c, res: res})
	s.started = time.Now()
	s.deadline = newDeadline(time.Hour, func() time.Duration { return 0 }, func() {})
	t.Cleanup(func() { s.deadline.Stop() })
	for _, err := range []error{
		s.Hello(guest.Hello{Release: "6.1", Tests: 3}),
		s.RunStart(guest.RunStart{Test: 0, Name: "a"}),
		s.RunEnd(guest.RunEnd{Test: 0, Duration: time.Second, Loads: 2}, nil),
		s.RunStart(guest.RunStart{Test: 1, Name: "b"}),
		s.Output(false, []byte("=== RUN   TestB\n")),
		s.Counters(&collect.Record{Objects: []collect.ObjectCounters{{Counts: []uint64{1}}}}),
		s.Counters(&collect.Record{Objects: []collect.ObjectCounters{{Counts: []uint64{2}}}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s, res
}

func TestSessionLost(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cause   error
		console string
		want    collect.Outcome
		reason  string
	}{
		{"hang", errHung, "[ 9.0] nothing special", collect.TimedOut,
			"the guest stopped answering; killed 1m0s after the test's timeout of 1m0s: nothing special"},
		{"lockup", errHung, "[ 9.0] watchdog: BUG: soft lockup - CPU#0 stuck\n[ 9.1] more", collect.TimedOut,
			"the guest stopped answering; killed 1m0s after the test's timeout of 1m0s: watchdog: BUG: soft lockup - CPU#0 stuck"},
		{"panic", guest.ErrNoEnd, "[ 9.0] Kernel panic - not syncing: x\n[ 9.1] CPU: 0", collect.Panicked, "Kernel panic - not syncing: x"},
		{"hang that panicked", errHung, "[ 9.0] Kernel panic - not syncing: x", collect.Panicked, "Kernel panic - not syncing: x"},
		{"agent", guest.ErrNoEnd, "panic: x\n[ 9.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200", collect.Lost,
			"the agent crashed: Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200"},
		{"gone", guest.ErrNoEnd, "", collect.Lost, "the guest went away without an end record"},
		{"garbage", fmt.Errorf("frame 7: %w: magic", guest.ErrFrame), "", collect.Lost, "frame 7: malformed stream from the guest: magic"},
	} {
		s, res := testSession(t)
		s.console = []byte(tt.console)
		s.finish(tt.cause)
		want := []outcome{
			{"a", collect.Passed, 0, "", ""},
			{"b", tt.want, -1, "", tt.reason},
			{"c", collect.Lost, -1, "", "not run: in test b: " + tt.reason},
		}
		if diff := cmp.Diff(want, outcomes(t, res)); diff != "" {
			t.Errorf("%s: outcomes (-want +got):\n%s", tt.name, diff)
		}
		b := res.Records[1]
		if !b.Run.Partial || len(b.Objects) != 1 || b.Objects[0].Counts[0] != 2 {
			t.Errorf("%s: got partial %v, %d objects, want the last snapshot", tt.name, b.Run.Partial, len(b.Objects))
		}
		if diff := cmp.Diff([]collect.Case{{Name: "TestB", Outcome: collect.Failed, Message: "did not finish"}}, b.Run.Cases); diff != "" {
			t.Errorf("%s: cases (-want +got):\n%s", tt.name, diff)
		}
		if a := res.Records[0].Run; a.Partial || a.Loads != 2 || a.Duration != time.Second || a.Cell.Kernel != "6.1" {
			t.Errorf("%s: first test: got %+v", tt.name, a)
		}
	}
}

// A test whose final record did not come has its last snapshot, and says so.
func TestSessionWithoutFinalRecord(t *testing.T) {
	s, _ := testSession(t)
	if err := s.RunEnd(guest.RunEnd{Test: 1, TimedOut: true, Error: "x", ExitCode: -1}, nil); err != nil {
		t.Fatal(err)
	}
	rec := s.record(s.runs[1])
	if rec.Run.Outcome != collect.TimedOut || rec.Run.Reason != "killed after 1m0s" || !rec.Run.Partial || len(rec.Objects) != 1 {
		t.Errorf("got %+v", rec)
	}
}

func TestSessionRefuses(t *testing.T) {
	s, _ := testSession(t)
	if err := s.End(guest.End{Runs: 3}); !errors.Is(err, guest.ErrFrame) {
		t.Errorf("end after 2 of 3 tests: got error %v, want ErrFrame", err)
	}
	if err := s.Hello(guest.Hello{Tests: 4}); !errors.Is(err, guest.ErrFrame) {
		t.Errorf("hello with 4 tests of 3: got error %v, want ErrFrame", err)
	}
}

type badWriter struct{ n int }

func (w *badWriter) Write([]byte) (int, error) { w.n++; return 0, errors.New("disk full") }

// What cannot be written to is dropped, and the test does not pass.
func TestSessionOutputFails(t *testing.T) {
	s, _ := testSession(t)
	var w badWriter
	s.current.out[1] = &w
	for range 3 {
		if err := s.Output(true, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RunEnd(guest.RunEnd{Test: 1}, nil); err != nil {
		t.Fatal(err)
	}
	rec := s.record(s.runs[1])
	if w.n != 1 || rec.Run.Outcome != collect.Failed || !strings.Contains(rec.Run.Reason, "disk full") {
		t.Errorf("got %d writes, %s, reason %q, want 1, failed, disk full", w.n, rec.Run.Outcome, rec.Run.Reason)
	}
}
