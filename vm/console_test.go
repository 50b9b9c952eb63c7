package vm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTelling(t *testing.T) {
	for _, tt := range []struct {
		name, console, line string
		tail                []string
	}{
		{"empty", "\r\n \n", "", nil},
		{"last line", "one\r\n[    1.5] two\x1b[0m\x00\n", "two", []string{"one", "[    1.5] two"}},
		{"panic after a warning", "a\n[    1.0] WARNING: CPU: 0 PID: 1 at x\nb\n[    2.0] Kernel panic - not syncing: y\nc\n",
			"WARNING: CPU: 0 PID: 1 at x; then Kernel panic - not syncing: y",
			[]string{"a", "[    1.0] WARNING: CPU: 0 PID: 1 at x", "b", "[    2.0] Kernel panic - not syncing: y", "c"}},
		{"agent's words", "bpfcov-agent: no port\n[    2.0] reboot: Power down\n", "no port",
			[]string{"bpfcov-agent: no port", "[    2.0] reboot: Power down"}},
	} {
		line, tail := telling([]byte(tt.console))
		if line != tt.line {
			t.Errorf("%s: got line %q, want %q", tt.name, line, tt.line)
		}
		if diff := cmp.Diff(tt.tail, tail); diff != "" {
			t.Errorf("%s: tail (-want +got):\n%s", tt.name, diff)
		}
	}
	_, tail := telling([]byte(strings.Repeat("x\n", 1000) + "BUG: unable to handle page fault\n" + strings.Repeat("y\n", 1000)))
	if len(tail) != splatLines || tail[2] != "BUG: unable to handle page fault" {
		t.Errorf("long console: got %d lines, %q, want %d with the bug after 2", len(tail), tail, splatLines)
	}
	_, tail = telling([]byte("BUG: x\n" + strings.Repeat("y\n", 1000) + "Kernel panic - not syncing: z\nc\n"))
	if len(tail) != splatLines || tail[0] != "BUG: x" || tail[splatLines-1] != "Kernel panic - not syncing: z" {
		t.Errorf("long way to a panic: got %d lines, %q, want %d from the bug on, and the panic", len(tail), tail, splatLines)
	}
}

func TestSplats(t *testing.T) {
	got := splats([]byte(`[    0.1] Linux version 6.1
[    1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!
[    1.1] the word BUGGY: is fine, so is a DEBUG: line
[    1.2] general protection fault, probably for non-canonical address
[    1.3] rcu: INFO: rcu_preempt self-detected stall on CPU
[    1.4] Out of memory: Killed process 77 (x)
[    1.5] Out of memory (oom_kill_allocating_task): Killed process 78 (x)
`))
	want := []string{
		"[    1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
		"[    1.2] general protection fault, probably for non-canonical address",
		"[    1.3] rcu: INFO: rcu_preempt self-detected stall on CPU",
		"[    1.4] Out of memory: Killed process 77 (x)",
		"[    1.5] Out of memory (oom_kill_allocating_task): Killed process 78 (x)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("splats (-want +got):\n%s", diff)
	}
	if got := splats([]byte(strings.Repeat("BUG: x\n", 1000))); len(got) != maxSplats {
		t.Errorf("many splats: got %d, want %d", len(got), maxSplats)
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"plain-1.2_x": "plain-1.2_x", "a b/c": "a_b_c", "..": "_..", "": "_", "../../etc/x": ".._.._etc_x",
		strings.Repeat("x", 500): strings.Repeat("x", 100),
	} {
		if got := FileName(in); got != want {
			t.Errorf("FileName(%q): got %q, want %q", in, got, want)
		}
	}
}
