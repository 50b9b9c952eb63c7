package github

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// command is a workflow command as the runner's parser takes it apart (actions/runner, ActionCommand.cs).
var command = regexp.MustCompile(`^::(\w+) ([^:]*)::(.*)$`)

func read(t *testing.T, r *model.Report, o Options) []string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r, o); err != nil {
		t.Fatal(err)
	}
	unescape := strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",")
	var out []string
	for l := range strings.Lines(b.String()) {
		m := command.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			t.Fatalf("not a workflow command: %q", l)
		}
		s := m[1]
		for _, p := range strings.Split(m[2], ",") {
			_, v, _ := strings.Cut(p, "=")
			s += " | " + unescape.Replace(v)
		}
		out = append(out, s+" | "+unescape.Replace(m[3]))
	}
	return out
}

func TestWrite(t *testing.T) {
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, r, Options{Failed: []string{"lines: 90.3% is less than 95%\nreally"}})
	want := []string{
		"error | Coverage | lines: 90.3% is less than 95%\nreally",
		"error | 7.2-amd64 | test go failed: exit status 1",
		"error | 7.2-arm64 | boot-failed: no hello after 60s",
		"warning | probe.bpf.c | 58 | 69 | Ran on some kernels only | ran on 6.1-amd64, 6.1-arm64, 6.12-amd64, 7.2-amd64\n" +
			"not on 5.10-amd64: program handle_exit rejected: EINVAL: unknown func bpf_loop#181",
	}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if last := got[len(got)-1]; !strings.HasPrefix(last, "notice | ") || !strings.Contains(last, "Ran on no kernel") {
		t.Errorf("the last one is %q", last)
	}
}

// TestLimits checks that no more are written than GitHub keeps, and that names cannot forge commands.
func TestLimits(t *testing.T) {
	r := &model.Report{Cells: []model.Cell{{Name: "a"}, {Name: "b"}}, Reasons: []string{""}}
	for i := range 40 {
		f := model.File{Name: "a,b:c%0A\n::error::x"}
		for n := range 2 * i {
			f.Lines = append(f.Lines, model.Line{Number: 2*n + 1, Cells: []model.State{{Status: model.Missed}, {Status: model.Missed}}},
				model.Line{Number: 2*n + 2, Cells: []model.State{{Status: model.Hit, Count: 1}, {Status: model.Hit, Count: 1}}})
		}
		r.Files = append(r.Files, f)
		r.Differences = append(r.Differences, model.Difference{Kind: model.KindLines, File: f.Name, Ranges: []model.Range{{First: i + 1, Last: i + 2}, {First: 99, Last: 99}},
			Groups: []model.Group{{Status: model.Hit, Cells: []int{0}}, {Status: model.Missed, Cause: strings.Repeat("x", 9999), Cells: []int{1}}}})
	}
	var failed []string
	for i := range 12 {
		failed = append(failed, fmt.Sprint(i))
	}
	kinds := map[string]int{}
	for _, a := range read(t, r, Options{Failed: failed}) {
		kind, rest, _ := strings.Cut(a, " | ")
		kinds[kind]++
		if kind != "error" && !strings.HasPrefix(rest, "a,b:c%0A\n::error::x | ") && !strings.Contains(rest, "more places") {
			t.Errorf("got %q", a)
		}
		if len(a) > maxMessage+200 {
			t.Errorf("a message of %d bytes", len(a))
		}
	}
	if diff := cmp.Diff(map[string]int{"error": 10, "warning": 10, "notice": 10}, kinds); diff != "" {
		t.Errorf("annotations by kind, want (-), got (+):\n%s", diff)
	}
}
