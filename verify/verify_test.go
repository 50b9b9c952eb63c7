package verify

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStats(t *testing.T) {
	for _, tt := range []struct {
		name, log string
		want      Stats
	}{
		{"5.10", "verification time 183 usec\nstack depth 16+0+8\nprocessed 20 insns (limit 1000000) max_states_per_insn 3 total_states 5 peak_states 4 mark_read 1\n",
			Stats{Duration: 183, Stack: 24, Insns: 20, MaxStatesPerInsn: 3, States: 5, PeakStates: 4, MarkRead: 1}},
		{"before a line of 7.2", "verification time 7 usec\nstack depth 0\nprocessed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\ninsns processed by function: 2\n",
			Stats{Duration: 7, Insns: 2}},
		{"7.3", "verification time 9 usec\nstack depth max 0\nsubprog 0 (main) main insns_self 219 insns_total 17872 stack 64\nsubprog 1 (f) static insns_self 213 insns_total 14287 stack 16\n" +
			"processed 17872 insns (limit 1000000) max_states_per_insn 13 total_states 1070 peak_states 1373 mark_read 0\n",
			Stats{Duration: 9, Stack: 80, Insns: 17872, MaxStatesPerInsn: 13, States: 1070, PeakStates: 1373}},
		{"4.20", "processed 11 insns (limit 131072), stack depth 8\n", Stats{Insns: 11}},
		{"nonsense", "processed -5 insns (limit 99999999999999999999) total_states x\nverification time\nstack depth a+b\n", Stats{}},
		{"empty", "", Stats{}},
	} {
		var got Stats
		parseStats(tt.log, &got)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestTelling(t *testing.T) {
	log := "func#0 @0\n; u64 *v = lookup(&m, &key); @ a.c:3\n5: (85) call bpf_map_lookup_elem#1\n; return *v; @ a.c:4\n" +
		"6: (79) r0 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\nprocessed 7 insns (limit 1000000) max_states_per_insn 0\n"
	reason, lines := telling(log)
	if want := "R0 invalid mem access 'map_value_or_null'"; reason != want {
		t.Errorf("reason: got %q, want %q", reason, want)
	}
	want := []string{"; return *v; @ a.c:4", "6: (79) r0 = *(u64 *)(r0 +0)", "R0 invalid mem access 'map_value_or_null'"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if reason, _ := telling(log + "\nVerification failed: a null pointer\nsee there\n"); reason != want[2] {
		t.Errorf("with the text of 7.3: got %q, want %q", reason, want[2])
	}
	if reason, _ := telling(log + "stack depth max 0\nsubprog 10 (f) static insns_self 0 insns_total 0 stack 0\n"); reason != want[2] {
		t.Errorf("with the statistics of 7.3: got %q, want %q", reason, want[2])
	}
	if reason, lines := telling("\x1b[31mred\nprocessed 1 insns\n"); reason != "[31mred" || len(lines) != 1 {
		t.Errorf("control characters: got %q, %q", reason, lines)
	}
	if reason, lines := telling(""); reason != "" || lines != nil {
		t.Errorf("no log: got %q, %q", reason, lines)
	}
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		want       Class
		errno, log string
		err        string
		insns      int
		noType     bool
	}{
		{ClassVerifier, "EACCES", "R0 invalid mem access 'scalar'", "load program: permission denied", 3, false},
		{ClassVerifier, "EINVAL", "same insn cannot be used with different pointers", "x", 3, false},
		{ClassHelper, "EINVAL", "unknown func bpf_loop#181", "x", 3, false},
		{ClassHelper, "EINVAL", "program of this type cannot use helper bpf_bind#64", "x", 3, false},
		{ClassKfunc, "EACCES", "calling kernel function bpf_iter_bits_new is not allowed", "x", 3, false},
		{ClassKfunc, "", "", `program p: fixing up kfuncs: kfunc "f": not supported`, 0, false},
		{ClassCORE, "", "5: (85) call unknown#195896080\ninvalid func unknown#195896080", "program p: load program: bad CO-RE relocation: invalid func", 3, false},
		{ClassBTF, "", "", "program p: apply CO-RE relocations: no BTF found for kernel version 5.1: not supported", 0, false},
		{ClassLimits, "E2BIG", "", "argument list too long", 1000001, false},
		{ClassLimits, "E2BIG", "BPF program is too large. Processed 1000001 insn", "x", 1000001, false},
		{ClassPermission, "EPERM", "", "load program: operation not permitted (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", 0, false},
		{ClassProgType, "EINVAL", "", "invalid argument", 0, true},
		{ClassAttach, "EINVAL", "", "invalid argument", 0, false},
		{ClassJIT, "ENOTSUPP", "0: (b7) r0 = 0\n1: (95) exit\nprocessed 2 insns", "x", 2, false},
		{ClassHarness, "", "", "something of the library", 0, false},
	} {
		f := failure{err: errors.New(tt.err), errno: tt.errno, log: tt.log, insns: tt.insns, noType: func() bool { return tt.noType }}
		got, reason, _ := f.classify()
		if got != tt.want || reason == "" || strings.Contains(reason, "MEMLOCK") {
			t.Errorf("%s %q %q: got %s (%q), want %s with a reason", tt.errno, tt.log, tt.err, got, reason, tt.want)
		}
	}
}

func TestFilter(t *testing.T) {
	f, err := ParseFilter([]string{"a*.o", "b.o/x_*", "!a1.o", "!*/secret", "insns>10", "verdict!=failure"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file, prog string
		want       bool
	}{
		{"a2.o", "p", true}, {"a1.o", "p", false}, {"b.o", "x_1", true}, {"b.o", "y", false}, {"b.o", "", true}, {"a1.o", "", false},
		{"a2.o", "secret", false}, {"a2.o", "", true}, {"c.o", "p", false},
	} {
		if got := f.Wants(tt.file, tt.prog); got != tt.want {
			t.Errorf("%s/%s: got %v, want %v", tt.file, tt.prog, got, tt.want)
		}
	}
	again, err := ParseFilter(f.Globs())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Globs(), again.Globs()); diff != "" {
		t.Errorf("globs written and read (-want +got):\n%s", diff)
	}
	r := &Result{Verdict: OK, Stats: Stats{Insns: 11}}
	if !f.Holds(r) {
		t.Error("11 insns: got false, want insns>10 to hold")
	}
	if r.Insns = 10; f.Holds(r) {
		t.Error("10 insns: got true, want insns>10 not to hold")
	}
	for _, bad := range []string{"insn>1", "insns>x", "[", "", "!", "prog>3"} {
		if _, err := ParseFilter([]string{bad}); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

func TestOrder(t *testing.T) {
	list := []Result{
		{File: "b", Program: "p", Stats: Stats{Insns: 1}}, {File: "a", Program: "q", Stats: Stats{Insns: 5}}, {File: "a", Program: "p", Stats: Stats{Insns: 5}},
	}
	names := func() (out []string) {
		for _, r := range list {
			out = append(out, r.File+r.Program)
		}
		return out
	}
	for by, want := range map[string][]string{
		"insns": {"ap", "aq", "bp"}, "insns^": {"bp", "ap", "aq"}, "file,prog": {"ap", "aq", "bp"}, "progv": {"aq", "ap", "bp"}, "prog,insns^": {"bp", "ap", "aq"},
	} {
		o, err := ParseOrder(by)
		if err != nil {
			t.Fatal(err)
		}
		Sort(list, o)
		if diff := cmp.Diff(want, names()); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", by, diff)
		}
	}
	if _, err := ParseOrder("insnss"); err == nil || !strings.Contains(err.Error(), `did you mean "insns"`) {
		t.Errorf("got %v, want a hint", err)
	}
}

func TestTables(t *testing.T) {
	run := &Run{Cells: []Cell{
		{Name: "5.10-amd64", Results: []Result{
			{File: "a.o", Program: "p", Verdict: OK, ProgType: "xdp", Stats: Stats{Insns: 12, Size: 9}},
			{File: "a.o", Program: "q", Verdict: Failed, Class: ClassHelper, Errno: "EINVAL", Reason: "unknown func bpf_loop#181", Lines: []string{"; loop()", "unknown func bpf_loop#181"}},
			{File: "a.o", Program: "s", Verdict: Skipped, Reason: "its loader, sets it"},
		}},
		{Name: "6.1-amd64", Results: []Result{
			{File: "a.o", Program: "p", Verdict: OK, Stats: Stats{Insns: 13}},
			{File: "a.o", Program: "q", Verdict: OK},
		}},
	}}
	all := func(*Result) bool { return true }
	var b bytes.Buffer
	if err := MatrixTable(&b, run, all); err != nil {
		t.Fatal(err)
	}
	want := `program  5.10-amd64  6.1-amd64
-------  ----------  ---------
a.o/p    ok 12       ok 13
a.o/q    helper      ok
a.o/s    skipped     -
loaded   1 of 2      2 of 2
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := Reasons(&b, run, all); err != nil {
		t.Fatal(err)
	}
	want = "a.o/q on 5.10-amd64: helper, EINVAL: unknown func bpf_loop#181\n    ; loop()\na.o/s on 5.10-amd64: skipped: its loader, sets it\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := CSV(&b, run.Cells[0].Results, VeristatColumns()); err != nil {
		t.Fatal(err)
	}
	want = "file_name,prog_name,verdict,duration,total_insns,total_states,peak_states,max_states_per_insn,max_mark_read_len\n" +
		"a.o,p,success,0,12,0,0,0,0\na.o,q,failure,0,0,0,0,0,0\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("csv (-want +got):\n%s", diff)
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{"a.o": "a.o", "../../etc": ".._.._etc", "..": "_..", "": "_", "a/b\x00": "a_b_"} {
		if got := fileName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add([]byte(`{"kernel":{"release":"6.1"}}` + "\n" + `{"result":{"file_name":"a","verdict":"ok","total_insns":-4}}` + "\n" + `{"end":{"results":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := ReadStream(bytes.NewReader(b), func(r Record) error {
			if r.Result != nil {
				run := &Run{Cells: []Cell{{Results: []Result{*r.Result}}}}
				if r.Result.Insns < 0 {
					t.Errorf("got %d insns", r.Result.Insns)
				}
				return MatrixTable(&bytes.Buffer{}, run, func(*Result) bool { return true })
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrStream) {
			t.Errorf("got %v, want an ErrStream", err)
		}
	})
}
