// Package cells loads the programs of BPF objects on every kernel of a matrix, in guests, with package verify. It makes no tables.
package cells

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/verify"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// Runner verifies on one matrix. Points, Inputs, Store and Out are required.
type Runner struct {
	Points []matrix.Point
	// Inputs gives the objects for a GOARCH, as one object is seldom right for several.
	Inputs func(arch string) ([]verify.Input, error)
	// Filters are globs that keep programs out of the guest, see [verify.Filter].
	Filters []string
	// LogSize bounds the log of each failed load, in bytes; 0 means 32 KiB, as all logs of a cell have to fit into what a test may print.
	LogSize int
	// Modules are kernel modules to load before, by name; a kernel without one of them still is tried.
	Modules []string
	Store   *kernels.Store
	// Out is the folder for the guests' consoles.
	Out string
	// Jobs is the number of guests at once; 0 means one for each two processors.
	Jobs int
	// Timeout is how long one guest may take; 0 means 30 minutes. ProgramTimeout is how long one program may; 0 means 10 minutes. What takes
	// longer is of [verify.ClassHarness], and the rest goes on.
	Timeout, ProgramTimeout time.Duration
	// MemoryMiB is the memory of a guest; 0 means 2048, and more for large objects.
	MemoryMiB int
	// Warm resumes saved guests, see [matrix.Warm]; nil is its default.
	Warm *bool
	// Progress, if not nil, is told what happens, a line each. It may be called from several goroutines.
	Progress func(format string, args ...any)
}

// guestDir holds the objects in the guest.
const guestDir = "/verify"

// Run boots each kernel and loads every program. A kernel that does not boot or cannot be fetched is a cell with an error; the order is that
// of the points.
func (r *Runner) Run(ctx context.Context) ([]verify.Cell, error) {
	cells := make([]verify.Cell, len(r.Points))
	ks := make([]*kernels.Kernel, len(r.Points))
	for i, p := range r.Points {
		cells[i] = verify.Cell{Name: vm.FileName(p.Spec + "-" + p.Arch), Spec: p.Spec, Kernel: verify.Kernel{Release: p.Spec, Arch: p.Arch}}
		k, err := r.Store.Pull(ctx, p.Spec, p.Arch)
		var fetch *kernels.FetchError
		switch {
		case errors.As(err, &fetch):
			cells[i].Error = err.Error()
			r.progress("%s: %v", p, err)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p, err)
		default:
			ks[i] = k
			cells[i].Kernel.Release = k.Release
		}
	}
	name(cells, ks)
	var g errgroup.Group
	jobs := r.Jobs
	if jobs == 0 {
		jobs = max(1, runtime.NumCPU()/2)
	}
	g.SetLimit(jobs)
	for i := range cells {
		if ks[i] == nil {
			continue
		}
		g.Go(func() error { return r.cell(ctx, &cells[i], ks[i]) })
	}
	err := g.Wait()
	return cells, errors.Join(err, context.Cause(ctx))
}

// name gives cells the names that `bpfcov run` gives them: version and architecture, or the release where that is not enough.
func name(cells []verify.Cell, ks []*kernels.Kernel) {
	count := map[string]int{}
	for i, k := range ks {
		if k != nil {
			cells[i].Name = vm.FileName(k.Version + "-" + k.Arch)
		}
		count[cells[i].Name]++
	}
	seen := map[string]int{}
	for i, k := range ks {
		if c := &cells[i]; k != nil && count[c.Name] > 1 {
			c.Name = vm.FileName(k.Release + "-" + k.Arch)
		}
		if seen[cells[i].Name]++; seen[cells[i].Name] > 1 {
			cells[i].Name += "-" + strconv.Itoa(seen[cells[i].Name])
		}
	}
}

// attempts is how often a guest is booted again behind a program that brought it down.
const attempts = 4

func (r *Runner) cell(ctx context.Context, c *verify.Cell, k *kernels.Kernel) error {
	inputs, err := r.Inputs(k.Arch)
	if err != nil {
		return err
	}
	binary, err := vm.FindProgram(ctx, "bpfcov-verify", k.Arch)
	if err != nil {
		return err
	}
	start := time.Now()
	defer func() { c.Took = time.Since(start) }()
	for n := 1; ; n++ {
		s, res, err := r.boot(ctx, c, k, binary, inputs)
		if err != nil {
			return err
		}
		if c.Boot == 0 {
			c.Boot = res.Boot
		}
		run := res.Records[0].Run
		switch {
		case s.err != nil:
			c.Error = fmt.Sprintf("what the guest said: %v", s.err)
		case s.ended && run.Outcome == collect.Passed:
			c.Error = ""
			r.progress("%s: %d programs in %.1f s", c.Name, len(c.Results), time.Since(start).Seconds())
			return nil
		case s.begun != nil:
			bad := verify.Result{File: s.begun.File, Program: s.begun.Program, Verdict: verify.Failed, Class: verify.ClassHarness,
				Reason: fmt.Sprintf("the guest ended while it was loaded (%s: %s)", run.Outcome, run.Reason)}
			if len(res.Splats) > 0 {
				bad.Lines = res.Splats[:min(len(res.Splats), 6)]
			}
			c.Results = append(c.Results, bad)
			c.Error = fmt.Sprintf("%s/%s: %s", bad.File, bad.Program, bad.Reason)
		default:
			c.Error = fmt.Sprintf("%s: %s", run.Outcome, run.Reason)
		}
		r.progress("%s: %s (console: %s)", c.Name, c.Error, res.Console)
		if s.err != nil || s.begun == nil || n == attempts {
			return nil
		}
	}
}

// session is what one boot said.
type session struct {
	begun *verify.Begin // tried, and no result yet
	ended bool
	err   error
}

func (r *Runner) boot(ctx context.Context, c *verify.Cell, k *kernels.Kernel, binary string, inputs []verify.Input) (*session, *vm.CellResult, error) {
	logSize := r.LogSize
	if logSize == 0 {
		logSize = 32 << 10
	}
	// A later boot goes on behind the program that ended the one before.
	skip, unread := 0, map[string]bool{}
	for i := range c.Results {
		if c.Results[i].Program != "" {
			skip++
		} else {
			unread[c.Results[i].File] = true
		}
	}
	limit := cmp.Or(r.ProgramTimeout, 10*time.Minute)
	command := []string{"/bin/bpfcov-verify", "-limit", limit.String(), "-log-size", strconv.Itoa(logSize), "-skip", strconv.Itoa(skip)}
	for _, f := range r.Filters {
		command = append(command, "-f", f)
	}
	files := []initramfs.File{{Path: command[0], Mode: 0o755, Source: binary}}
	var size int64
	for i, in := range inputs {
		p := path.Join(guestDir, strconv.Itoa(i)+".o")
		files = append(files, initramfs.File{Path: p, Source: in.Path})
		command = append(command, in.Name+"="+p)
		if st, err := os.Stat(in.Path); err == nil {
			size += st.Size()
		}
	}
	timeout := cmp.Or(r.Timeout, 30*time.Minute)
	memory := cmp.Or(r.MemoryMiB, 2048)
	for r.MemoryMiB == 0 && memory < 2048+int(2*size>>20) { // in steps, as saved guests are kept by size
		memory *= 2
	}
	out := filepath.Join(r.Out, c.Name)
	cfg := vm.CellConfig{
		Kernel: k, Files: files, OutDir: out, OptionalModules: r.Modules,
		Tests:     []guest.Test{{Name: "verify", Command: command, Unwatched: true, Timeout: timeout}},
		MemoryMiB: memory, BootTimeout: 3 * time.Minute, Warm: matrix.Warm(r.Warm),
		Events: func(e vm.Event) {
			switch e.Kind {
			case vm.EventBootFail:
				r.progress("%s: boot %d: %s", c.Name, e.Attempt, e.Text)
			case vm.EventHello:
				r.progress("%s: %s is up after %.1f s", c.Name, k.Release, e.Boot.Seconds())
			case vm.EventSaved:
				r.progress("%s: a guest was saved after %.1f s", c.Name, e.Boot.Seconds())
			case vm.EventLog:
				r.progress("%s: %s", c.Name, e.Text)
			}
		},
	}
	res, err := vm.RunCell(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	s := &session{}
	f, err := os.Open(filepath.Join(out, "verify.stdout"))
	if errors.Is(err, os.ErrNotExist) {
		return s, res, nil // it never came so far
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	s.err = verify.ReadStream(f, func(rec verify.Record) error {
		switch {
		case rec.Kernel != nil:
			c.Kernel.BTF = rec.Kernel.BTF
		case rec.Begin != nil:
			s.begun = rec.Begin
		case rec.Result != nil:
			s.begun = nil
			if rec.Result.Program == "" && unread[rec.Result.File] {
				return nil
			}
			c.Results = append(c.Results, *rec.Result)
		case rec.End != nil:
			s.ended = true
		}
		return nil
	})
	if s.err != nil && s.begun != nil && strings.Contains(s.err.Error(), "unexpected end of JSON input") {
		s.err = nil // cut off in the middle of a line
	}
	return s, res, nil
}

func (r *Runner) progress(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(format, args...)
	}
}
