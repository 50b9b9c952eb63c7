package cases

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest/lines"
)

const (
	pass = collect.Passed
	fail = collect.Failed
	skip = collect.Skipped
)

func TestParser(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []collect.Case
	}{
		{"nothing", "hello\nok then\ntest of things ... ok\nnot ok\n", nil},
		{"go", "=== RUN   TestA\n--- PASS: TestA (0.01s)\n", []collect.Case{{Name: "TestA", Outcome: pass, Duration: 10 * time.Millisecond}}},
		{"libtest", `
running 6 tests
test tests::a ... ok
test tests::b ... FAILED
test tests::c ... ignored
test tests::d ... ignored, needs root
test tests::e - should panic ... ok <0.003s>
test tests::f ... printed by the test
more of it
ok

failures:

---- tests::b stdout ----
thread 'tests::b' panicked at src/lib.rs:10:5:
assertion failed: false

failures:
    tests::b

test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s
`, []collect.Case{
			{Name: "tests::a", Outcome: pass},
			{Name: "tests::b", Outcome: fail, Message: "thread 'tests::b' panicked at src/lib.rs:10:5:\nassertion failed: false"},
			{Name: "tests::c", Outcome: skip}, {Name: "tests::d", Outcome: skip, Message: "needs root"},
			{Name: "tests::e", Outcome: pass, Duration: 3 * time.Millisecond}, {Name: "tests::f", Outcome: pass},
		}},
		{"libtest that is cut off", "running 1 test\ntest it ... output\n", []collect.Case{{Name: "it", Outcome: fail, Message: "did not finish"}}},
		{"tap", `TAP version 14
1..8
ok 1 - first
not ok 2 - second
  ---
  message: "it is wrong"
  duration_ms: 12.5
  ...
ok 3 - third # SKIP no device
not ok 4 fourth # TODO later
ok 5 timed in 7ms
ok 6 - again # time=1.5s
not ok 7
# why it failed
    # Subtest: outer
    1..2
    ok 1 - one
    not ok 2 - two
not ok 8 - outer
`, []collect.Case{
			{Name: "first", Outcome: pass}, {Name: "second", Outcome: fail, Message: "it is wrong", Duration: 12500 * time.Microsecond},
			{Name: "third", Outcome: skip, Message: "no device"}, {Name: "fourth", Outcome: skip, Message: "later"},
			{Name: "timed", Outcome: pass, Duration: 7 * time.Millisecond}, {Name: "again", Outcome: pass, Duration: 1500 * time.Millisecond},
			{Name: "test 7", Outcome: fail, Message: "why it failed"},
			{Name: "outer/one", Outcome: pass}, {Name: "outer/two", Outcome: fail}, {Name: "outer", Outcome: fail},
		}},
		{"ktap, cut off", "KTAP version 1\n1..3\nok 1 a\nBail out! no memory\n", []collect.Case{
			{Name: "a", Outcome: pass}, {Name: "Bail out!", Outcome: fail, Message: "no memory"},
		}},
		{"fewer than planned", "1..3\r\nok 1 a\r\n", []collect.Case{
			{Name: "a", Outcome: pass}, {Name: "plan", Outcome: fail, Message: "3 tests were planned and 1 ran"},
		}},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			var p Parser
			for in := []byte(tt.in); len(in) > 0; {
				n := min(size, len(in))
				p.Write(in[:n])
				in = in[n:]
			}
			if diff := cmp.Diff(tt.want, p.Cases()); diff != "" {
				t.Errorf("%s, by %d bytes (-want +got)\n%s", tt.name, size, diff)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	var p Parser
	p.Write([]byte("1..1\n" + strings.Repeat("x", 3*lines.Max) + "\nok 1 " + strings.Repeat("n", maxName+1) + "\nnot ok 2 b\n"))
	for range 2 * maxMessage {
		p.Write([]byte("# more and more\n"))
	}
	got := p.Cases()
	if len(got) != 1 || got[0].Name != "b" || len(got[0].Message) > maxMessage {
		t.Errorf("got %d cases, the first with a message of %d bytes", len(got), len(got[0].Message))
	}
}

func FuzzParser(f *testing.F) {
	f.Add([]byte("running 1 test\ntest a ... ok\n1..2\nok 1 a\n  ---\n  message: x\n  ...\n    # Subtest: s\n    ok 1 - t\nnot ok 2 # TODO\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var whole, pieces Parser
		whole.Write(in)
		for _, b := range in {
			pieces.Write([]byte{b})
		}
		if diff := cmp.Diff(whole.Cases(), pieces.Cases()); diff != "" && len(bytes.TrimSpace(in)) > 0 {
			t.Errorf("at once and by byte: %s", diff)
		}
	})
}
