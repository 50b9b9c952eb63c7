package verify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compile builds a source of testdata with the newest clang that there is.
func compile(t testing.TB, source string) string {
	t.Helper()
	for _, cc := range []string{"clang-22", "clang-19", "clang-16", "clang"} {
		path, err := exec.LookPath(cc)
		if err != nil {
			continue
		}
		out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(source), ".c")+".o")
		if text, err := exec.Command(path, "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-c", source, "-o", out).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cc, err, text)
		}
		return out
	}
	t.Skip("no clang")
	return ""
}

func TestLoadClasses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loading programs needs root")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skip("the running kernel has no BTF: ", err)
	}
	object := compile(t, "testdata/classes.bpf.c")
	c, err := Host(t.Context(), []Input{{Name: "classes.o", Path: object}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	byName := map[string]Result{}
	for _, r := range c.Results {
		got[r.Program] = fmt.Sprintf("%s %s", r.Verdict, r.Class)
		byName[r.Program] = r
		t.Logf("%s: %s %s %s: %s %q", r.Program, r.Verdict, r.Class, r.Errno, r.Reason, r.Lines)
	}
	want := map[string]string{
		"fine": "ok ", "ring": "failed verifier", "null_check": "failed verifier", "helper": "failed helper", "helper_of_others": "failed helper",
		"map_type": "failed map-type", "limits": "failed limits", "kfunc": "failed kfunc", "core": "failed co-re", "attach": "failed attach-type",
		"no_target": "skipped ", "replacement": "ok ", "replacement_of_what": "skipped ", "strange_xdp": "ok ", "strange_void": "skipped ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if r := byName["fine"]; r.Insns == 0 || r.Size == 0 || r.ProgType != "xdp" || r.AttachType != "xdp" {
		t.Errorf("fine: got %+v, want its statistics and types", r)
	}
	if r := byName["fine"]; r.Guess != "map huge: 64 elements in place of 1073741824" {
		t.Errorf("fine: got guess %q, want what its map was given", r.Guess)
	}
	if r := byName["null_check"]; r.Errno != "EACCES" || !strings.Contains(r.Reason, "map_value_or_null") || !strings.Contains(r.Log, r.Reason) || len(r.Lines) < 2 {
		t.Errorf("null_check: got %+v, want the verifier's words", r)
	}
	if r := byName["replacement"]; r.ProgType != "sched_cls" || !strings.Contains(r.Guess, "__sk_buff") {
		t.Errorf("replacement: got type %s, guess %q, want sched_cls by its context", r.ProgType, r.Guess)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.o")
	if err := os.WriteFile(text, []byte("not an object"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{text, dir, filepath.Join(dir, "absent.o")} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Open(%s): got %v, want an error that names it", name, err)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	c, err := Host(t.Context(), []Input{{Name: "text.o", Path: text}}, nil)
	if err != nil || len(c.Results) != 1 || c.Results[0].Class != ClassHarness {
		t.Errorf("an object that cannot be read: got %+v, %v, want one result of class harness", c, err)
	}
}

// TestOpenDamaged reads objects with damage in one place. Nothing is loaded.
func TestOpenDamaged(t *testing.T) {
	good, err := os.ReadFile(compile(t, "testdata/classes.bpf.c"))
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	name := filepath.Join(t.TempDir(), "damaged.o")
	opened := 0
	for range 400 {
		b := bytes.Clone(good)
		for range 1 + rnd.IntN(4) {
			b[rnd.IntN(len(b))] = byte(rnd.Uint32())
		}
		if rnd.IntN(4) == 0 {
			b = b[:rnd.IntN(len(b))]
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		o, err := Open(name)
		if err != nil {
			continue
		}
		opened++
		for _, p := range o.Programs() {
			spec, _ := o.single(p)
			guessType(spec.Programs[p])
		}
	}
	if opened == 0 {
		t.Error("no damaged object could be opened: the test shows nothing")
	}
}
