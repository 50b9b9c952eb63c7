package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// lockedBuffer is written by a process and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestRunInterrupted sends Ctrl-C to a run whose first test has passed and whose second never ends: it stops at once, no QEMU is
// left, and what there was is kept and reported.
func TestRunInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a kernel")
	}
	if _, err := qemu.Find("amd64"); err != nil {
		t.Skip(err)
	}
	if list, err := newStore(false).List(); err != nil || len(list) == 0 {
		t.Skipf("no kernel in the store (%v)", err)
	}
	dir := t.TempDir()
	if err := buildAgents(t.Context())(dir); err != nil {
		t.Fatal(err)
	}
	// testscript's Main makes this test binary the command under that name.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bpfcov")
	if err := copyFile(bin, self); err != nil {
		t.Fatal(err)
	}
	config := "tests:\n  - {name: first, command: [\"true\"]}\n  - {name: endless, command: [sleep, \"1000\"], timeout: 1000s}\n" +
		"matrix: {kernels: [\"apt:bookworm\"]}\n"
	if err := os.WriteFile(filepath.Join(dir, "bpfcov.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	cmd := exec.CommandContext(t.Context(), bin, "run", "--out", "out")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	cmd.Env = append(os.Environ(), guestMark(dir)) // its children have it too
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(3 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				cmd.Process.Kill()
				t.Fatalf("waited for %s; output:\n%s", what, log.String())
			}
		}
	}
	waitFor("the first test", func() bool { return strings.Contains(log.String(), "first passed") })
	if len(guestsOf(t, dir)) == 0 {
		t.Fatal("found no QEMU while the guest runs: the look for it is broken")
	}
	// As a terminal does: to the whole group.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	err = cmd.Wait()
	if took := time.Since(ended); took > 30*time.Second {
		t.Errorf("took %v to stop", took)
	}
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("got exit status %d (%v), want 130; output:\n%s", code, err, log.String())
	}
	if left := guestsOf(t, dir); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "out", "cells", "*", ".initramfs*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	data, err := collect.ReadDir(filepath.Join(dir, "out", "covdata"))
	if err != nil {
		t.Fatalf("%v; output:\n%s", err, log.String())
	}
	got := map[string]collect.Outcome{}
	for _, r := range data.Records {
		got[r.Run.Test] = r.Run.Outcome
	}
	if got["first"] != collect.Passed || got["endless"] == "" || got["endless"] == collect.Passed {
		t.Errorf("got %v, want first passed and endless not", got)
	}
	if !strings.Contains(log.String(), "written:") {
		t.Errorf("there is no report:\n%s", log.String())
	}
}

// guestMark is a variable of the environment by which the processes of a run in dir are known. A warm guest has no file
// of the run on its command line.
func guestMark(dir string) string { return "BPFCOV_TEST_RUN=" + dir }

// guestsOf lists the command lines of QEMUs that a run in dir started.
func guestsOf(t *testing.T, dir string) (out []string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		line, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(p, "environ"))
		if bytes.Contains(line, []byte("qemu-system-")) && bytes.Contains(env, []byte(guestMark(dir))) {
			out = append(out, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return out
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}
