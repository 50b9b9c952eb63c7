package matrix

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

func TestJudgeTimeout(t *testing.T) {
	r := &Runner{Config: &config.Config{Tests: []config.Test{{Name: "short", Timeout: config.Duration(5 * time.Second)}, {Name: "default"}}}}
	c := &Cell{Kernel: &kernels.Kernel{Version: "6.1"}}
	for _, tt := range []struct{ test, reason, want string }{
		{"short", "killed after 5s", "killed after 5s"},
		{"short", "killed after 19s", "killed after 19s: its timeout of 5s is longer on a busy machine"},
		{"default", "killed after 1m0s", "killed after 1m0s"},
		{"default", "killed after 8m0s", "killed after 8m0s: its timeout of 1m0s is longer on a busy machine"},
	} {
		run := collect.Run{Test: tt.test, Outcome: collect.TimedOut, Reason: tt.reason}
		r.judge(c, &run)
		if run.Reason != tt.want {
			t.Errorf("%s, %s: got %q, want %q", tt.test, tt.reason, run.Reason, tt.want)
		}
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stderr")
	text := "one\ntwo\nlibbpf: elf: skipping unrecognized data section(3) __llvm_covmap\nlibbpf: elf: skipping unrecognized data section(6) __bpfcov_fun\n" +
		"libbpf: elf: skipping unrecognized data section(7) .theirs\nlast\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := tail(file, 3), "two\nlibbpf: elf: skipping unrecognized data section(7) .theirs\nlast"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
