package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// A bpfcov that is killed leaves what it had seen, marked partial, on this kernel as in a guest's cell.
func TestKilled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
	dir := t.TempDir()
	bin, prog, out := filepath.Join(dir, "bpfcov"), filepath.Join(dir, "guestprog"), filepath.Join(dir, "out")
	for to, pkg := range map[string]string{bin: ".", prog: "../../vm/testdata/guestprog"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", to, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, b)
		}
	}
	for name, args := range map[string][]string{
		"exec": {"exec", "--out", out + "-exec", "--", prog, "bpf-hang"},
		"run":  {"run", "--kernel", "apt:bookworm/6.1", "--out", out + "-run", "--", "./guestprog", "bpf-hang"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "run" {
				if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
					t.Skip(err)
				}
				buildAgents(t.Context())(dir)
			}
			cmd := exec.CommandContext(t.Context(), bin, args...)
			cmd.Dir = dir
			cmd.WaitDelay = 10 * time.Second
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var log strings.Builder
			cmd.Stdout, cmd.Stderr = &log, &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			covdata := out + "-" + name
			if name == "run" {
				covdata = filepath.Join(covdata, "covdata")
			}
			rec := awaitCounts(t, covdata)
			cmd.Process.Kill()
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
			cmd.Wait()
			if rec == nil {
				t.Fatalf("no counters on disk:\n%s", log.String())
			}
			if !rec.Run.Partial || rec.Run.Outcome != collect.Lost || !strings.Contains(rec.Run.Reason, "bpfcov itself ended") {
				t.Errorf("got %+v, want it partial and lost", rec.Run)
			}
		})
	}
}

// awaitCounts waits for a record with counts in a folder that another process writes.
func awaitCounts(t *testing.T, covdata string) *collect.Record {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		d, err := collect.ReadDir(covdata)
		if err != nil { // nothing there yet; a half file never is
			continue
		}
		for _, rec := range d.Records {
			if len(rec.Objects) > 0 && rec.Objects[0].Counts[0] == 7 {
				return &rec
			}
		}
	}
	return nil
}
