package collect

import (
	"strings"
	"testing"
)

func TestVerifierLog(t *testing.T) {
	for name, c := range map[string]struct {
		log  string
		n    int
		line string
	}{
		"empty":           {"", 0, ""},
		"success":         {"verification time 183 usec\nstack depth 0\nprocessed 20 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n", 20, ""},
		"refused":         {"0: (79) r0 = *(u64 *)(r9 +0)\nR9 !read_ok\nprocessed 2 insns (limit 1000000) max_states_per_insn 0\n", 2, "R9 !read_ok"},
		"7.2":             {"R9 !read_ok\nverification time 2824 usec\nstack depth 0 max 0\ninsns processed 4\nprocessed 4 insns (limit 1000000)\n", 4, "R9 !read_ok"},
		"7.3, statistics": {"R9 !read_ok\nverification time 9 usec\nstack depth max 0\nsubprog 0 (f) main insns_self 4 insns_total 4 stack 0\nprocessed 4 insns (limit 1000000)\n", 4, "R9 !read_ok"},
		"7.3": {"R9 !read_ok\n\nVerification failed: Register Type Safety: Unreadable register\n\nReason:\n  R9 has never been.\n\n" +
			"Suggestion:\n  Initialize R9.\n\nprocessed 4 insns (limit 1000000)\n", 4, "R9 !read_ok"},
		"7.3, no line of its own": {"\nVerification failed: Limits: too complex\n\nReason:\n  x\n", 0, "Verification failed: Limits: too complex"},
		"4.x":                     {"unknown func bpf_x#9\nprocessed 131073 insns (limit 131072), stack depth 40\n", 131073, "unknown func bpf_x#9"},
		"no newline":              {"jump out of range", 0, "jump out of range"},
		"no stats":                {"processed by hand\n", 0, ""},
		"number":                  {"processed 99999999999999999999 insns\n", 0, ""},
	} {
		if n, line := processed(c.log), tellingLine(c.log); n != c.n || line != c.line {
			t.Errorf("%s: got %d and %q, want %d and %q", name, n, line, c.n, c.line)
		}
	}
	if got := tailOf("first\nsecond\nthird", 9); got != "third" {
		t.Errorf("tail: got %q, want whole lines", got)
	}
	if got := tellingLine(strings.Repeat("x", 1000)); len(got) != 300 {
		t.Errorf("long line: got %d bytes, want 300", len(got))
	}
}
