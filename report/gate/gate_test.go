package gate

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

func fixture(t *testing.T) *model.Report {
	t.Helper()
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestThresholds(t *testing.T) {
	r := fixture(t)
	for _, x := range []struct {
		figure Figure
		text   string
		want   []string
	}{
		{Lines, "90", nil},
		{Lines, "90.38461", nil}, // 47 of 52
		{Lines, "90.3847", []string{"lines of all cells: 90.3% (47 of 52) is less than 90.3847%"}},
		{Lines, "90.4%", []string{"lines of all cells: 90.3% (47 of 52) is less than 90.4%"}},
		{Branches, "100", nil},
		{Functions, "86", []string{"functions of all cells: 85.7% (6 of 7) is less than 86%"}},
		{Lines, "6.1-*=74", []string{"lines of 6.1-arm64: 73.0% (38 of 52) is less than 74%"}},
		{Lines, "7.2-arm64=0", []string{"lines of 7.2-arm64: it did not run (boot-failed)"}},
		{Lines, "5.15*=0", []string{"no cell is called 5.15*; there are 5.10-amd64, 6.1-amd64, 6.1-arm64, 6.12-amd64, 7.2-amd64, 7.2-arm64"}},
	} {
		th, err := ParseThreshold(x.figure, x.text)
		if err != nil {
			t.Errorf("%s: %v", x.text, err)
			continue
		}
		if diff := cmp.Diff(x.want, Check(r, Options{Thresholds: []Threshold{th}})); diff != "" {
			t.Errorf("%s %s, want (-), got (+):\n%s", x.figure, x.text, diff)
		}
	}
	for _, bad := range []string{"", "x", "-1", "101", "1e2", "1/2", "=5", "[=5", "6.1=", "100.0000001"} {
		if _, err := ParseThreshold(Lines, bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	th, _ := ParseThreshold(Lines, "1")
	empty := &model.Report{}
	if got := Check(empty, Options{Thresholds: []Threshold{th}}); len(got) != 1 {
		t.Errorf("a report of nothing: %q", got)
	}
	if got := Check(empty, Options{Thresholds: []Threshold{th}, Partial: true}); got != nil {
		t.Errorf("a change of nothing: %q", got)
	}
}

func TestRequirements(t *testing.T) {
	r := fixture(t)
	for text, want := range map[string][]string{
		"probe.bpf.c:handle_open@6.*":     nil,
		"probe.bpf.c:handle_open":         {"probe.bpf.c:handle_open must run on 7.2-arm64: not run"},
		"probe.bpf.c:handle_exit@5.*":     {"probe.bpf.c:handle_exit must run on 5.10-amd64: program handle_exit rejected: EINVAL: unknown func bpf_loop#181"},
		"probe.bpf.c:handle_opem@6.1-*":   {"probe.bpf.c:handle_opem must run: no such function; did you mean handle_open?"},
		"probe.bpf.c:zzzzzzzzzzzz@6.1-*":  {"probe.bpf.c:zzzzzzzzzzzz must run: no such function"},
		"robe.bpf.c:handle_open@6.1-*":    {"robe.bpf.c:handle_open must run: the report has no such file"},
		"probe.bpf.c:handle_open@nothing": {"no cell is called nothing; there are 5.10-amd64, 6.1-amd64, 6.1-arm64, 6.12-amd64, 7.2-amd64, 7.2-arm64"},
	} {
		q, err := ParseRequirement(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, Check(r, Options{Requirements: []Requirement{q}})); diff != "" {
			t.Errorf("%s, want (-), got (+):\n%s", text, diff)
		}
	}
	for _, bad := range []string{"", "f", "f:", ":f", "a:b@", "a:b@["} {
		if _, err := ParseRequirement(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestBaseline(t *testing.T) {
	r := fixture(t)
	var text bytes.Buffer
	if err := NewBaseline(r).Write(&text); err != nil {
		t.Fatal(err)
	}
	check := func(s string) []string {
		t.Helper()
		b, err := ReadBaseline(strings.NewReader(s))
		if err != nil {
			t.Fatalf("%v\n%s", err, s)
		}
		return Check(r, Options{Baseline: b})
	}
	if got := check(text.String()); got != nil {
		t.Errorf("a report against its own baseline: %q", got)
	}
	for _, x := range []struct{ old, new, want string }{
		{`[47,52]`, `[48,52]`, "lines of all cells: 90.3% (47 of 52) was 92.3% (48 of 52) in the baseline"},
		{`[47,52]`, `[46,52]`, ""},
		{`"5.10-amd64"`, `"5.15-amd64"`, "5.15-amd64 is in the baseline and not in the report"},
		{`"5.10-amd64"`, `"7.2-arm64"`, "7.2-arm64 is in the baseline and did not run (boot-failed)"},
	} {
		changed := strings.Replace(text.String(), x.old, x.new, 1)
		if got := strings.Join(check(changed), "\n"); got != x.want || changed == text.String() {
			t.Errorf("%s instead of %s: got %q, want %q", x.new, x.old, got, x.want)
		}
	}
	for _, bad := range []string{"", "{}", `{"schema": 2}`, `{"schema": 1, "x": 1}`} {
		if _, err := ReadBaseline(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
