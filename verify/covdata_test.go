package verify

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

func TestFromCovdata(t *testing.T) {
	id := meta.ObjectID{1}
	rec := func(kernel string, programs ...collect.ProgramLoad) collect.Record {
		return collect.Record{Run: collect.Run{Test: "probe", Cell: collect.Cell{Kernel: kernel, Arch: "amd64", LLVM: 19}}, Programs: programs}
	}
	const stats = "verification time 3 usec\nstack depth 8\nprocessed 7 insns (limit 1000000) max_states_per_insn 1 total_states 2 peak_states 2 mark_read 1\n"
	data := &collect.Data{
		Metas: map[meta.ObjectID]*meta.Meta{id: {Source: "bpf/probe.bpf.c", Programs: []meta.Program{{Name: "trace_the_opening", Section: "fentry/do_open"}}}},
		Records: []collect.Record{
			rec("6.1.0-1-amd64",
				collect.ProgramLoad{Name: "trace_the_openi", Type: "Tracing", Objects: []meta.ObjectID{id}, Verdict: collect.VerdictRejected, Errno: "EINVAL", Class: collect.ClassAttach, Reason: "no", LogFile: "log"},
				collect.ProgramLoad{Name: "probe", Type: "XDP", Verdict: collect.VerdictRejected, Errno: "EPERM", Class: collect.ClassPermission, Reason: "first"}),
			rec("6.1.0-1-amd64", collect.ProgramLoad{Name: "probe", Type: "XDP", Verdict: collect.VerdictOK, Insns: 5, Verified: 7, Stats: stats}),
			rec("6.12.3", collect.ProgramLoad{Name: "\x1b[2J", Type: "XDP", Verdict: collect.VerdictUnknown, Reason: "not seen"}),
			rec("6.12.4"),
		},
	}
	run := FromCovdata(data, func(name string) string {
		if name != "log" {
			t.Errorf("log %q was asked for, want log", name)
		}
		return "; f(); @ a.c:3\n5: (85) call f#1\nno\n"
	})
	var got []string
	for _, c := range run.Cells {
		for _, r := range c.Results {
			got = append(got, strings.Join([]string{c.Name, r.File, r.Program, r.ProgType, r.Section, string(r.Verdict), string(r.Class), r.Reason, r.Guess, strings.Join(r.Lines, "/")}, "|"))
		}
	}
	want := []string{
		"6.1-amd64|(probe)|probe|xdp||ok|||also refused: EPERM first|",
		"6.1-amd64|probe.bpf.o|trace_the_opening|tracing|fentry/do_open|failed|attach-type|no||; f(); @ a.c:3/5: (85) call f#1/no",
		"6.12.3-amd64|(probe)|[2J|xdp||skipped||not seen||",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Stats{Insns: 7, States: 2, PeakStates: 2, MaxStatesPerInsn: 1, MarkRead: 1, Stack: 8, Duration: 3, Size: 5}, run.Cells[0].Results[0].Stats); diff != "" {
		t.Errorf("statistics (-want +got):\n%s", diff)
	}
}
