package matrix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// Runner runs one matrix. Config, Points, Out and Store are required.
type Runner struct {
	Config *config.Config
	// Points are the places of the matrix, see [Expand].
	Points []Point
	// Out is the folder for everything that is written. What an earlier run left there is replaced.
	Out   string
	Store *kernels.Store
	// Lock pins the kernels; nil for none.
	Lock *kernels.Lock
	// Clang is the compiler that build scripts get as one word, Strip the llvm-strip for bpf2go.
	Clang, Strip string
	// Env is added to the environment of build scripts.
	Env []string
	// LLVM is the major version of the compiler behind Clang, for the records; 0 if not known.
	LLVM int
	// Jobs is the number of cells at once; 0 means what cores and memory bear.
	Jobs int
	// Progress, if not nil, is told what happens, a line each. It may be called from several goroutines.
	Progress func(format string, args ...any)

	// Status, if not nil, is told what each cell does. It is called by one goroutine at a time, and Progress is then
	// not told what only repeats it.
	Status func(Status)
	// FailFast starts no further cell after one that failed.
	FailFast bool
	// RerunFailed keeps what the last run into Out has of cells in which nothing failed, and runs the others.
	RerunFailed bool

	// Policy says what to do about programs that are refused because of their counters; "" means [PolicyAuto].
	Policy PolicyMode

	mu     sync.Mutex // held while Progress is called
	files  map[string]testSet
	roots  map[string]vm.Root // by architecture
	policy policyState

	keptMetas []*meta.Meta
}

// testSet is what the guests of one architecture get.
type testSet struct {
	tests []guest.Test
	files []initramfs.File
}

// Cell is one cell of a finished run.
type Cell struct {
	Point Point
	// Name is the cell's folder name below cells/, unique in the run, for example "6.1-amd64".
	Name   string
	Kernel *kernels.Kernel // nil when there was none to boot
	// Result is nil when the cell could not be tried; Err says why.
	Result *vm.CellResult
	Err    error
	// Kept are the records of an earlier run, when the cell was not run again.
	Kept []collect.Record
}

// Result is a finished run.
type Result struct {
	Cells   []Cell // in the order of the matrix
	Covdata string // folder
	Policy  PolicyResult
}

// Diagnose returns nil when counters were found in any cell, and otherwise a [collect.ErrNoCoverage] that names the
// likely cause. loaded tells whether programs were loaded at all: then their objects were not instrumented.
func (r *Result) Diagnose() (loaded bool, err error) {
	for _, c := range r.Cells {
		if c.Result == nil {
			continue
		}
		for i := range c.Result.Records {
			rec := &c.Result.Records[i]
			one := rec.Diagnose()
			if one == nil {
				return true, nil
			}
			if err == nil || rec.Run.Loads > 0 && !loaded {
				err, loaded = fmt.Errorf("%s: %w", c.Name, one), rec.Run.Loads > 0
			}
		}
	}
	return loaded, err
}

// owned is what a run writes below its folder and the next run into the same folder removes. The build folder
// is not among it: it is replaced for each architecture.
func owned() []string {
	return []string{"covdata", "cells", "lcov", "report.json", "html", "cobertura.xml", "codecov", "junit.xml", "cover", "llvm", "summary.md", "go-cover.txt"}
}

// outdated is what a pass removes: everything, or with kept cells all but their folders.
func (r *Runner) outdated(res *Result) []string {
	if !r.RerunFailed {
		return owned()
	}
	names := slices.DeleteFunc(owned(), func(n string) bool { return n == "cells" })
	for _, c := range res.Cells {
		if c.Kept == nil {
			names = append(names, filepath.Join("cells", c.Name))
		}
	}
	return names
}

// experiments is the folder for what a search for a policy builds and runs.
const experiments = "policy"

// Run runs the matrix. A test that fails and a guest that does not boot are results. It is an error when
// nothing can be run at all: a spec that matches no kernel, a build that fails, no QEMU. When ctx ends, the
// result has what there was until then.
func (r *Runner) Run(ctx context.Context) (*Result, error) {
	if len(r.Config.Tests) == 0 {
		return nil, ErrNoTests
	}
	var err error
	if r.Out, err = filepath.Abs(r.Out); err != nil {
		return nil, err
	}
	out, err := openOut(r.Out)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if err := r.openPolicy(); err != nil {
		return nil, err
	}
	res := &Result{Covdata: filepath.Join(r.Out, "covdata")}
	kept := make([][]collect.Record, len(r.Points))
	if r.RerunFailed {
		if kept, err = r.keepPassed(); err != nil {
			return nil, err
		}
		n := 0
		for _, k := range kept {
			if k != nil {
				n++
			}
		}
		r.progress("%d of %d cells passed in the last run and are not run again", n, len(kept))
	}
	if res.Cells, err = r.prepare(ctx, kept); err != nil {
		return nil, err
	}
	// Only now is there something to replace the last results with.
	if err := out.remove([]string{experiments}); err != nil {
		return nil, err
	}
	nameCells(res.Cells)
	if err := r.pass(ctx, out, res); err != nil {
		return res, err
	}
	return res, r.settle(ctx, out, res)
}

// pass runs every cell once, in place of the results that there are.
func (r *Runner) pass(ctx context.Context, out *outDir, res *Result) error {
	if err := out.remove(r.outdated(res)); err != nil {
		return err
	}
	if err := r.writeKept(res); err != nil {
		return err
	}
	for i := range res.Cells {
		if c := &res.Cells[i]; c.Err != nil && c.Kept == nil {
			if err := r.save(res, c, r.notTried(c)); err != nil {
				return err
			}
		}
	}
	return r.runCells(ctx, res)
}

// prepare builds the tests and fetches the kernels, both at once: one needs the processor, the other the
// network.
//
// A cell that keeps its records needs no build, and its kernel only for its name.
func (r *Runner) prepare(ctx context.Context, kept [][]collect.Record) ([]Cell, error) {
	cells := make([]Cell, len(r.Points))
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		r.roots, err = r.makeRoots(gctx, kept)
		return err
	})
	g.Go(func() error {
		for i, p := range r.Points {
			cells[i].Point, cells[i].Kept = p, kept[i]
			k, err := r.Store.PullLocked(gctx, r.Lock, p.Spec, p.Arch)
			var fetch *kernels.FetchError
			switch {
			case errors.As(err, &fetch):
				// The other kernels may be in the store; theirs need not suffer.
				cells[i].Err = err
				r.progress("%s: %v", p, err)
			case err != nil:
				return fmt.Errorf("%s: %w", p, err)
			default:
				cells[i].Kernel = k
			}
		}
		return nil
	})
	g.Go(func() error {
		r.files = map[string]testSet{}
		for i, p := range r.Points {
			if _, done := r.files[p.Arch]; done || kept[i] != nil {
				continue
			}
			set, err := r.buildSet(gctx, r.main(p.Arch))
			if err != nil {
				return err
			}
			r.files[p.Arch] = set
		}
		return nil
	})
	return cells, g.Wait()
}

// buildSet makes the tests of one build.
func (r *Runner) buildSet(ctx context.Context, v variant) (testSet, error) {
	start := time.Now()
	if err := r.build(ctx, v); err != nil {
		return testSet{}, err
	}
	if r.Config.Build != "" {
		r.progress("built the tests for %s in %.1f s", v.arch, time.Since(start).Seconds())
	}
	files, err := r.guestFiles(v)
	if err != nil {
		return testSet{}, err
	}
	set := testSet{files: files}
	for _, t := range r.Config.Tests {
		gt, more, err := r.guestTest(t, v, files)
		if err != nil {
			return testSet{}, &TestError{t.Name, v.arch, err}
		}
		set.tests = append(set.tests, gt)
		set.files = append(set.files, more...)
	}
	for _, f := range files {
		// What a script starts is not named anywhere: every program takes its libraries along.
		if more, err := r.closure(f.Source, f.Path); err == nil && f.Mode&0o111 != 0 {
			set.files = append(set.files, more...)
		}
	}
	set.files = dedupe(set.files)
	return set, nil
}

// guestTest says how the guest runs t, and what its program needs beyond files.
func (r *Runner) guestTest(t config.Test, v variant, files []initramfs.File) (guest.Test, []initramfs.File, error) {
	gt := guest.Test{Name: t.Name, Command: slices.Clone(t.Command), Dir: guestDir, Timeout: time.Duration(t.Timeout),
		Watcher: collect.Watcher(cmp.Or(t.Watcher, r.Config.Watcher)), Artefacts: t.Artefacts}
	if gt.Timeout == 0 {
		gt.Timeout = 60 * time.Second
	}
	for _, k := range sortedKeys(t.Env) {
		gt.Env = append(gt.Env, k+"="+t.Env[k])
	}
	program := t.Command[0]
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		want := filepath.Join(v.guest, program)
		source := filepath.Join(r.Config.Dir, program)
		if i := slices.IndexFunc(files, func(f initramfs.File) bool { return f.Path == want }); i >= 0 {
			source = files[i].Source
		} else if _, err := os.Stat(source); err != nil || !filepath.IsLocal(program) {
			return gt, nil, fmt.Errorf("%s is neither in the build folder ($BPFCOV_BUILD_DIR of the build script) nor in %s", program, r.Config.Dir)
		}
		more, err := r.closure(source, want)
		return gt, more, err
	}
	if r.hasRoot() {
		return gt, nil, nil // the root has it, or not
	}
	if v.arch != runtime.GOARCH {
		return gt, nil, fmt.Errorf("%s would be taken from this %s machine; put a binary for %s into $BPFCOV_BUILD_DIR", program, runtime.GOARCH, v.arch)
	}
	host, err := exec.LookPath(program)
	if err != nil {
		return gt, nil, err
	}
	if host, err = filepath.Abs(host); err != nil {
		return gt, nil, err
	}
	gt.Command[0] = host
	more, err := initramfs.Closure(host, "", "")
	return gt, more, err
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// nameCells gives each cell a name of its own: version and architecture, and the whole release where two
// kernels share a version.
func nameCells(cells []Cell) {
	short := func(c Cell) string {
		if c.Kernel == nil {
			return vm.FileName(c.Point.Spec + "-" + c.Point.Arch)
		}
		return vm.FileName(c.Kernel.Version + "-" + c.Kernel.Arch)
	}
	count := map[string]int{}
	for _, c := range cells {
		count[short(c)]++
	}
	seen := map[string]int{}
	for i := range cells {
		c := &cells[i]
		c.Name = short(*c)
		if count[c.Name] > 1 && c.Kernel != nil {
			c.Name = vm.FileName(c.Kernel.Release + "-" + c.Kernel.Arch)
		}
		if seen[c.Name]++; seen[c.Name] > 1 {
			c.Name = fmt.Sprintf("%s-%d", c.Name, seen[c.Name])
		}
	}
}

// cellConfig is how the tests of a set run in a cell.
func (r *Runner) cellConfig(c *Cell, set testSet) vm.CellConfig {
	required, optional := r.modules()
	return vm.CellConfig{
		Kernel: c.Kernel, LLVM: r.LLVM, Tests: patient(set.tests), Files: set.files, Root: r.roots[c.Point.Arch],
		Modules: required, OptionalModules: optional,
		MemoryMiB: r.Config.VM.Memory, CPUs: r.Config.VM.CPUs, BootTimeout: time.Duration(r.Config.VM.BootTimeout),
		Warm: Warm(r.Config.VM.Warm, c.Point.Arch), FreshGuest: r.Config.VM.FreshGuest, AllowSplats: r.Config.VM.AllowSplats,
		OutDir: filepath.Join(r.Out, "cells", c.Name),
		Events: func(e vm.Event) { r.event(c, e) },
	}
}

// Warm is whether saved guests are used, of choice if that is not nil. Not on ppc64le and riscv64, unless somebody asks for it: QEMU 7.2
// resumes their guests to hello, and now and then one then stops in its first test (docs/guest.md).
func Warm(choice *bool, arch string) bool {
	if choice != nil {
		return *choice
	}
	return os.Getenv("CI") == "" && arch != "riscv64" && arch != "ppc64le"
}

func (r *Runner) runCell(ctx context.Context, res *Result, c *Cell) error {
	cfg := r.cellConfig(c, r.files[c.Point.Arch])
	cfg.Partial = r.partial(res, c)
	c.Result, c.Err = vm.RunCell(ctx, cfg)
	if c.Result != nil {
		for i := range c.Result.Records {
			r.expect(c.Point, c.Kernel.Version, &c.Result.Records[i].Run)
		}
	}
	if c.Err != nil {
		r.progress("%s: %v", c.Name, c.Err)
	}
	if c.Result == nil {
		return r.save(res, c, r.notTried(c))
	}
	return r.save(res, c, c.Result.Records)
}

// notTried are the records of a cell whose tests could not be started.
func (r *Runner) notTried(c *Cell) []collect.Record {
	cell := collect.Cell{Kernel: c.Point.Spec, Arch: c.Point.Arch, LLVM: r.LLVM, Spec: c.Point.Spec}
	if c.Kernel != nil {
		cell.Kernel = c.Kernel.Release
	}
	var recs []collect.Record
	for _, t := range r.Config.Tests {
		recs = append(recs, collect.Record{Run: collect.Run{
			ID: collect.NewRunID(), Cell: cell, Test: t.Name, Command: t.Command,
			Outcome: collect.BootFailed, Reason: c.Err.Error(),
		}})
		if errors.Is(c.Err, ErrNotRun) {
			recs[len(recs)-1].Run.Outcome = collect.Skipped
		}
	}
	return recs
}

// save writes a cell's records as soon as the cell has ended, so that a later failure loses nothing.
func (r *Runner) save(res *Result, c *Cell, recs []collect.Record) error {
	dirs := []string{r.main(c.Point.Arch).metaDir()}
	if dir, err := meta.DefaultDir(); err == nil {
		dirs = append(dirs, dir) // a build that had nothing to do wrote its sidecars there before
	}
	_, err := collect.Save(res.Covdata, recs, dirs...)
	var missing *collect.MissingMetaError
	if errors.As(err, &missing) {
		if len(recs) > 0 && !recs[0].Run.Partial {
			r.progress("%s: %v", c.Name, err)
		}
		return nil
	}
	return err
}

// partial returns a function that writes what is known of a cell's run while it goes on, so that a bpfcov that is killed
// loses at most a second. What cannot be written is said once; the end of the cell is where that is an error.
func (r *Runner) partial(res *Result, c *Cell) func(*collect.Record) {
	said := false
	return func(rec *collect.Record) {
		if err := r.save(res, c, []collect.Record{*rec}); err != nil && !said {
			said = true
			r.progress("%s: counters are not on disk yet: %v", c.Name, err)
		}
	}
}

// modules splits the configured modules; a "?" behind a name makes it optional.
func (r *Runner) modules() (required, optional []string) {
	for _, m := range r.Config.Modules {
		if name, ok := strings.CutSuffix(m, "?"); ok {
			optional = append(optional, name)
		} else {
			required = append(required, m)
		}
	}
	return required, optional
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
		r.expect(c.Point, c.Kernel.Version, &run)
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
	if r.Progress == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Progress(format, args...)
}

// jobs is how many cells run at once: one for each CPU of the guests, as emulation needs a core for each,
// and no more than fit into three quarters of the free memory.
func (r *Runner) jobs(cells int) int {
	n := r.Jobs
	if n == 0 {
		n = r.Config.VM.Jobs
	}
	if n == 0 {
		n = runtime.NumCPU() / max(1, r.Config.VM.CPUs)
		// A guest's QEMU needs about half as much again as the guest.
		perCell := max(512, r.Config.VM.Memory) * 3 / 2
		if free := freeMiB(); free > 0 {
			n = min(n, free*3/4/perCell)
		}
	}
	return max(1, min(n, cells))
}

// freeMiB is MemAvailable of /proc/meminfo (proc_meminfo(5)), 0 if not known.
func freeMiB() int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib >> 10
		}
	}
	return 0
}
