package matrix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/qemu"
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

	mu     sync.Mutex // held while Status is called
	files  map[string]testSet
	roots  map[string]vm.Root // by architecture
	policy policyState

	keptMetas []*meta.Meta
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

// ErrNoKernel means that no cell can run, and that the results of an earlier run are as they were. What is wrong with each kernel has been
// told to Progress.
var ErrNoKernel = errors.New("no kernel of the matrix could be fetched; nothing was run, and what an earlier run left is kept")

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
	if err := r.checkEmulators(kept); err != nil {
		return nil, err
	}
	if res.Cells, err = r.prepare(ctx, kept); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(res.Cells, func(c Cell) bool { return c.Err == nil || c.Kept != nil }) {
		return nil, ErrNoKernel
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

// checkEmulators fails when none of the cells that are to run can have a guest.
func (r *Runner) checkEmulators(kept [][]collect.Record) (err error) {
	for i, p := range r.Points {
		if kept[i] != nil {
			continue
		}
		if _, err = qemu.Find(p.Arch); err == nil {
			return nil
		}
	}
	return err
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
		Warm: Warm(r.Config.VM.Warm), FreshGuest: r.Config.VM.FreshGuest, AllowSplats: r.Config.VM.AllowSplats,
		OutDir: filepath.Join(r.Out, "cells", c.Name),
		Events: func(e vm.Event) { r.event(c, e) },
	}
}

// Warm is whether saved guests are used: choice if that is not nil, else everywhere but in CI.
func Warm(choice *bool) bool {
	if choice != nil {
		return *choice
	}
	return os.Getenv("CI") == ""
}

func (r *Runner) runCell(ctx context.Context, res *Result, c *Cell) error {
	cfg := r.cellConfig(c, r.files[c.Point.Arch])
	cfg.Partial = r.partial(res, c)
	c.Result, c.Err = vm.RunCell(ctx, cfg)
	if c.Result != nil {
		for i := range c.Result.Records {
			r.judge(c, &c.Result.Records[i].Run)
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
