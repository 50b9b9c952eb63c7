package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm"
)

// judge adds to a run what the guest does not know: what was expected, and why a timeout was longer than configured.
func (r *Runner) judge(c *Cell, run *collect.Run) {
	if i := slices.IndexFunc(r.Config.Tests, func(t config.Test) bool { return t.Name == run.Test }); i >= 0 && run.Outcome == collect.TimedOut {
		if timeout := testTimeout(&r.Config.Tests[i]); !strings.HasSuffix(run.Reason, " "+timeout.String()) {
			run.Reason += fmt.Sprintf(": its timeout of %v is longer on a busy machine", timeout)
		}
	}
	r.expect(c.Point, c.Kernel.Version, run)
}

func (r *Runner) event(c *Cell, e vm.Event) {
	switch e.Kind {
	case vm.EventBoot:
		r.status(c, Status{State: "booting"})
	case vm.EventResume:
		r.status(c, Status{State: "resuming"})
	case vm.EventSaved:
		if r.Status == nil {
			r.progress("%s: a guest was booted in %.1f s and saved for later runs", c.Name, e.Boot.Seconds())
		}
	case vm.EventTestStart:
		r.status(c, Status{State: "running " + e.Test})
	case vm.EventBootFail:
		r.progress("%s: boot %d: %s", c.Name, e.Attempt, e.Text)
	case vm.EventHello:
		if r.Status != nil {
			return
		}
		r.progress("%s: %s is up after %.1f s", c.Name, c.Kernel.Release, e.Boot.Seconds())
	case vm.EventTestEnd:
		run := *e.Run
		run.Cases = slices.Clone(run.Cases)
		r.judge(c, &run)
		e.Run = &run
		if r.Status != nil && run.Outcome == collect.Passed {
			return
		}
		line := fmt.Sprintf("%s: %s %s in %.1f s", c.Name, e.Test, e.Run.Outcome, e.Run.Duration.Seconds())
		if e.Run.Reason != "" {
			line += ": " + e.Run.Reason
		}
		if e.Run.Outcome != collect.Passed && e.Run.Outcome != collect.Skipped {
			for _, name := range []string{".stdout", ".stderr"} {
				path := filepath.Join(r.Out, "cells", c.Name, vm.FileName(e.Test)+name)
				if text := tail(path, 6); text != "" {
					line += "\n" + path + " ends with:\n    " + strings.ReplaceAll(text, "\n", "\n    ")
				}
			}
		}
		r.progress("%s", line)
	case vm.EventLog:
		r.progress("%s: %s", c.Name, e.Text)
	}
}

func (r *Runner) progress(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(format, args...)
	}
}

// tail returns the last n lines of a file, of its last 8 KiB, without what libbpf says of the sections of an instrumented object.
func tail(path string, n int) string {
	const most = 8 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > most {
		if _, err := f.Seek(-most, 2); err != nil {
			return ""
		}
	}
	b := make([]byte, most)
	got, _ := f.Read(b)
	lines := slices.DeleteFunc(strings.Split(strings.TrimRight(string(b[:got]), "\n"), "\n"), func(s string) bool {
		return strings.Contains(s, "skipping unrecognized data section(") && (strings.Contains(s, ") __llvm_") || strings.Contains(s, ") __bpfcov_"))
	})
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
