package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

const example = `# Ours.
version: 1
functions:
  # The slow path.
  - function: "handle_*" # all of them
    file: 'bpf/*.bpf.c'
    fidelity: line
    counter: flag
    reason: "verifier: R2 min value is negative"
    found-on: [5.10-amd64]
  - function: emit
    fidelity: probe
refused:
  # feature probe
  - program: try_ringbuf
    llvm: 19
    error: 'EINVAL: unknown func bpf_ringbuf_output#130'
    found-on: [5.4-amd64]
`

func parse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParse(t *testing.T) {
	got := parse(t, example)
	want := &Policy{
		Rules: []Rule{
			{"handle_*", "bpf/*.bpf.c", Rung{meta.Line, Flag}, "verifier: R2 min value is negative", []string{"5.10-amd64"}},
			{Function: "emit", Rung: Rung{Fidelity: meta.Probe}},
		},
		Refused: []Refused{{"try_ringbuf", 19, "EINVAL: unknown func bpf_ringbuf_output#130", []string{"5.4-amd64"}}},
	}
	if !got.Equal(want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for _, empty := range []string{"", "# nothing\n", "version: 1\n", "version: 1\nfunctions:\n"} {
		if p := parse(t, empty); len(p.Rules) != 0 {
			t.Errorf("Parse(%q): %v", empty, p.Rules)
		}
	}
}

func TestParseErrors(t *testing.T) {
	one := "version: 1\nfunctions:\n  - "
	for _, tt := range []struct{ in, want string }{
		{"functions: []", "version is missing"},
		{"version: 2", "line 1: version 2: this bpfcov understands 1"},
		{"version: 1\nfunction: []", `line 2: top level: unknown key "function"; did you mean "functions"?`},
		{one + "{function: a, fidelty: off}", `line 3: functions[0]: unknown key "fidelty"; did you mean "fidelity"?`},
		{one + "{function: a}", "line 3: functions[0]: fidelity is missing: one of region, probe, line, off"},
		{one + "{function: a, fidelity: lines}", `fidelity "lines": did you mean "line"?`},
		{one + "{function: a, fidelity: line, counter: bool}", `counter "bool": want one of atomic, flag`},
		{one + "{fidelity: line}", "function is missing"},
		{one + "{function: 'a[', fidelity: line}", "a set without its end"},
		{one + "{function: 'a{b,c}', fidelity: line}", "write two rules"},
		{one + "{function: \"a\\tb\", fidelity: line}", "control character"},
		{one + "{function: a, file: /root/a.c, fidelity: line}", "a path from the root of the repository"},
		{one + "{function: a, file: ../a.c, fidelity: line}", "a path from the root of the repository"},
		{one + "{function: " + strings.Repeat("a", 1001) + ", fidelity: line}", "1001 bytes, want at most 1000"},
		{"version: 1\nrefused:\n  - {program: a, error: b}", "refused[0]: program, error and found-on are all required"},
		{"version: 1\n---\nversion: 1", "more than one YAML document"},
		{strings.Repeat("#", maxSize+1), "larger than"},
	} {
		if _, err := Parse([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%.80q): got %v, want it to contain %q", tt.in, err, tt.want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		glob, name string
		want       bool
	}{
		{"*", "", true},
		{"*", "src/bpf/a.c", true},
		{"bpf/*.bpf.c", "bpf/a.bpf.c", true},
		{"bpf/*.bpf.c", "bpf/deep/a.bpf.c", true},
		{"bpf/*.bpf.c", "src/bpf/a.bpf.c", false},
		{"*a.c", "bpf/a.c", true},
		{"a?c", "a/c", true},
		{"handle_[a-c]", "handle_b", true},
		{"handle_[!a-c]", "handle_b", false},
		{"handle_[^a-c]", "handle_d", true},
		{"handle", "handle_b", false},
	} {
		if got := match(tt.glob, tt.name); got != tt.want {
			t.Errorf("match(%q, %q) = %v, want %v", tt.glob, tt.name, got, tt.want)
		}
	}
	p := parse(t, example)
	for _, tt := range []struct{ file, function, want string }{
		{"bpf/a.bpf.c", "handle_x", "line/flag"},
		{"", "handle_x", ""},
		{"bpf/a.h", "emit", "probe"},
		{"", "emit", "probe"},
		{"", "other", ""},
	} {
		r, ok := p.Match(tt.file, tt.function)
		if ok != (tt.want != "") || ok && r.Rung.String() != tt.want {
			t.Errorf("Match(%q, %q) = %v %v, want %q", tt.file, tt.function, r.Rung, ok, tt.want)
		}
	}
	var none *Policy
	if _, ok := none.Match("a", "b"); ok {
		t.Error("no policy has a rule")
	}
}

func TestStepDown(t *testing.T) {
	var got []string
	r, ok := Rung{}, true
	for ok {
		got = append(got, r.String())
		r, ok = StepDown(r)
	}
	if diff := cmp.Diff([]string{"region", "region/flag", "probe/flag", "line/flag", "off"}, got); diff != "" {
		t.Error(diff)
	}
	// From rungs that only a user chooses.
	for _, tt := range []struct{ from, want string }{
		{"probe/atomic", "probe/flag"}, {"line/atomic", "line/flag"}, {"line/flag", "off"},
	} {
		f, c, _ := strings.Cut(tt.from, "/")
		fid, _ := ParseFidelity(f)
		if next, ok := StepDown(Rung{fid, Counter(c)}); !ok || next.String() != tt.want {
			t.Errorf("StepDown(%s) = %v, want %s", tt.from, next, tt.want)
		}
	}
}

func TestFlat(t *testing.T) {
	var b strings.Builder
	if err := parse(t, example).Flat(&b); err != nil {
		t.Fatal(err)
	}
	want := "line\tflag\tbpf/*.bpf.c\thandle_*\nprobe\t-\t*\temit\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// What the tool writes keeps what the user wrote.
func TestWriteKeepsComments(t *testing.T) {
	p := parse(t, example)
	p.Set(Rule{"handle_open", "bpf/a.bpf.c", Rung{Fidelity: meta.Off}, "invalid access to map value", []string{"6.1-amd64"}})
	p.Set(Rule{"emit", "", Rung{meta.Line, Flag}, "R2 unbounded", []string{"6.1-amd64"}})
	p.Set(Rule{"fresh", "bpf/b.c", Rung{meta.Region, Flag}, "too many instructions", []string{"7.0-arm64"}})
	for _, on := range []string{"5.10-amd64", "5.4-amd64"} {
		r := Refused{"try_loop", 0, "EINVAL: unknown func bpf_loop#181", []string{on}}
		if p.KnowsRefused(r) {
			t.Errorf("%v is known before it is added", r)
		}
		p.AddRefused(r)
		if !p.KnowsRefused(r) {
			t.Errorf("%v is not known", r)
		}
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `# Ours.
version: 1
functions:
  - function: handle_open
    file: bpf/a.bpf.c
    fidelity: "off"
    reason: invalid access to map value
    found-on: [6.1-amd64]
  # The slow path.
  - function: "handle_*" # all of them
    file: 'bpf/*.bpf.c'
    fidelity: line
    counter: flag
    reason: "verifier: R2 min value is negative"
    found-on: [5.10-amd64]
  - function: emit
    fidelity: line
    counter: flag
    reason: R2 unbounded
    found-on: [6.1-amd64]
  - function: fresh
    file: bpf/b.c
    fidelity: region
    counter: flag
    reason: too many instructions
    found-on: [7.0-arm64]
refused:
  # feature probe
  - program: try_ringbuf
    llvm: 19
    error: 'EINVAL: unknown func bpf_ringbuf_output#130'
    found-on: [5.4-amd64]
  - program: try_loop
    error: 'EINVAL: unknown func bpf_loop#181'
    found-on: [5.10-amd64, 5.4-amd64]
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	again, err := Read(path)
	if err != nil || !again.Equal(p) {
		t.Errorf("read back: %v, %+v", err, again)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
}

func TestWriteNew(t *testing.T) {
	p := &Policy{}
	p.Set(Rule{"f", "a.c", Rung{Fidelity: meta.Off}, "R1 !read_ok: 'x' # \"y\"", []string{"5.10-amd64"}})
	p.Set(Rule{"f", "a.c", Rung{Fidelity: meta.Off}, "again", []string{"6.1-amd64"}})
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), "# How bpfcov instruments") {
		t.Errorf("no header:\n%s", b)
	}
	q := parse(t, string(b))
	if want := []string{"6.1-amd64", "5.10-amd64"}; !cmp.Equal(q.Rules[0].FoundOn, want) {
		t.Errorf("found-on %v, want %v", q.Rules[0].FoundOn, want)
	}
	p.Rules[0].Reason = "two\nlines"
	if _, err := p.Marshal(); err == nil {
		t.Error("wrote what cannot be read")
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "repo", "src", "bpf")
	if err := os.MkdirAll(deep, 0o777); err != nil {
		t.Fatal(err)
	}
	touch := func(name string) string {
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	check := func(dir, want string) {
		t.Helper()
		if got, err := Find(dir); err != nil || got != want {
			t.Errorf("Find(%s) = %q, %v, want %q", dir, got, err, want)
		}
	}
	outside := touch(FileName)
	top := touch("repo/" + FileName)
	check(deep, "") // not a repository: what is above is not ours
	check(filepath.Join(root, "repo"), top)
	check(root, outside)
	touch("repo/.git")
	check(deep, top)
	near := touch("repo/src/" + FileName)
	check(deep, near)
	os.Remove(near)
	os.Remove(top)
	check(deep, "")
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add("version: 1\nfunctions: [{function: a, fidelity: off}]")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 {
			return
		}
		p, err := Parse([]byte(text))
		if err != nil {
			return
		}
		p.Match("a/b.c", "f")
		b, err := p.Marshal()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if q, err := Parse(b); err != nil || !q.Equal(p) {
			t.Fatalf("%q became %q: %v", text, b, err)
		}
	})
}
