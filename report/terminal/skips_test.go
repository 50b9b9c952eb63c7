package terminal

import (
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

func TestSkips(t *testing.T) {
	skipped := func(msgs ...string) (out []collect.Case) {
		for _, m := range msgs {
			out = append(out, collect.Case{Name: "T", Outcome: collect.Skipped, Message: m})
		}
		return out
	}
	r := &model.Report{Cells: []model.Cell{
		{Cell: collect.Cell{Kernel: "6.1.0", Arch: "amd64"}, Name: "6.1-amd64", Runs: []collect.Run{{Test: "a", Outcome: collect.Passed, Cases: skipped("a_test.go:12: no fentry: x\nmore", "")}}},
		{Cell: collect.Cell{Kernel: "6.12.1", Arch: "amd64"}, Name: "6.12-amd64", Runs: []collect.Run{
			{Test: "a", Outcome: collect.Passed, Cases: skipped("a_test.go:13: no fentry: x")},
			{Test: "b", Outcome: collect.Skipped, Reason: "XFAIL (known): exit status 1"},
		}},
	}}
	p := &printer{r: r, o: Options{Width: 80}}
	p.skips()
	want := `
 Skipped

 no fentry: x
     amd64 6.1 6.12  (2 tests)

 no reason given
     amd64 6.1

 XFAIL (known): exit status 1
     amd64 6.12
`
	if got := p.b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
