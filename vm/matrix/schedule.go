package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bpfcov/bpfcov/collect"
)

// ErrNotRun is why a cell was not tried: another failed before, and the run was to stop then.
var ErrNotRun = errors.New("not run")

// Status is what a cell does at the moment.
type Status struct {
	Cell  string // name
	State string // "waiting", "booting", "running NAME"; of a cell that is done its outcome
	Done  bool
	OK    bool          // of a cell that is done: nothing in it failed
	Took  time.Duration // of a cell that is done
	// Guess is how long the cell took in an earlier run, 0 when that is not known.
	Guess time.Duration
}

// runCells boots the cells, jobs at a time, those first that took longest in an earlier run: the last one to finish is
// then a short one. Cells under test finish when ctx ends, as far as they came.
func (r *Runner) runCells(ctx context.Context, res *Result) error {
	var todo []*Cell
	for i := range res.Cells {
		if c := &res.Cells[i]; c.Err == nil && c.Kept == nil {
			todo = append(todo, c)
		}
	}
	known := readCosts()
	cost := estimates(todo, func(c *Cell) time.Duration { return known.get(r.costKey(c)) })
	slices.SortStableFunc(todo, func(a, b *Cell) int {
		return int(min(1, max(-1, cost[b]-cost[a])))
	})
	jobs := r.jobs(len(todo))
	switch len(todo) {
	case 0: // why has been said of each
	case 1:
		r.progress("running 1 cell")
	default:
		r.progress("running %d cells, %d at a time", len(todo), jobs)
	}
	for _, c := range todo {
		r.status(c, Status{State: "waiting", Guess: known.get(r.costKey(c))})
	}
	var g errgroup.Group
	g.SetLimit(jobs)
	var failed atomic.Pointer[Cell]
	for _, c := range todo {
		g.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				c.Err = err
				return nil
			}
			if f := failed.Load(); f != nil && r.FailFast {
				c.Err = fmt.Errorf("%w: %s failed before (--fail-fast)", ErrNotRun, f.Name)
				r.status(c, Status{State: "not run", Done: true, OK: true})
				return r.save(res, c, r.notTried(c))
			}
			start := time.Now()
			err := r.runCell(ctx, res, c)
			took := time.Since(start)
			if !c.OK() {
				failed.CompareAndSwap(nil, c)
			} else {
				known.set(r.costKey(c), took)
			}
			r.status(c, Status{State: c.outcome(), Done: true, OK: c.OK(), Took: took})
			return err
		})
	}
	err := g.Wait()
	if cerr := known.write(); cerr != nil {
		r.progress("how long the cells took is not kept: %v", cerr)
	}
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

// OK reports whether nothing in the cell failed.
func (c *Cell) OK() bool {
	if c.Kept != nil {
		return true
	}
	if c.Err != nil || c.Result == nil {
		return false
	}
	for i := range c.Result.Records {
		if o := c.Result.Records[i].Run.Outcome; o != collect.Passed && o != collect.Skipped {
			return false
		}
	}
	return true
}

// outcome is one word for the cell, that of its first run that failed.
func (c *Cell) outcome() string {
	if c.Err != nil || c.Result == nil {
		return "error"
	}
	out := collect.Passed
	for i := range c.Result.Records {
		switch o := c.Result.Records[i].Run.Outcome; {
		case o == collect.Passed:
		case o == collect.Skipped && out == collect.Passed:
			out = o
		case o != collect.Skipped:
			return string(o)
		}
	}
	return string(out)
}

func (r *Runner) status(c *Cell, s Status) {
	if r.Status == nil {
		return
	}
	s.Cell = c.Name
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Status(s)
}

// estimates gives each cell a cost: what is known, else the mean of the known ones of its architecture, else the mean
// of all. Where nothing is known, all cost the same and the order stays that of the matrix.
func estimates(cells []*Cell, known func(*Cell) time.Duration) map[*Cell]time.Duration {
	type sum struct {
		total time.Duration
		n     int
	}
	all, byArch := sum{}, map[string]sum{}
	out := map[*Cell]time.Duration{}
	for _, c := range cells {
		if d := known(c); d > 0 {
			out[c] = d
			s := byArch[c.Point.Arch]
			byArch[c.Point.Arch] = sum{s.total + d, s.n + 1}
			all = sum{all.total + d, all.n + 1}
		}
	}
	for _, c := range cells {
		if out[c] > 0 {
			continue
		}
		if s := byArch[c.Point.Arch]; s.n > 0 {
			out[c] = s.total / time.Duration(s.n)
		} else if all.n > 0 {
			out[c] = all.total / time.Duration(all.n)
		}
	}
	return out
}

// costKey names a cell across runs: the same tests on the same kernel.
func (r *Runner) costKey(c *Cell) string {
	var tests []string
	for _, t := range r.Config.Tests {
		tests = append(tests, t.Name)
	}
	release := ""
	if c.Kernel != nil {
		release = c.Kernel.Release
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%q\x00%s\x00%s", r.Config.Dir, tests, release, c.Point.Arch))
	return hex.EncodeToString(sum[:8])
}

// costs are how long cells took, kept in the user's cache for the order of the next run. Losing them loses nothing else.
type costs struct {
	path  string
	mu    sync.Mutex
	known map[string]costEntry
	fresh map[string]costEntry
}

type costEntry struct {
	Seconds float64 `json:"s"`
	Day     int64   `json:"day"` // since 1970, to forget what is old
}

const maxCosts = 4096

func readCosts() *costs {
	c := &costs{known: map[string]costEntry{}, fresh: map[string]costEntry{}}
	dir, err := os.UserCacheDir()
	if err != nil {
		return c
	}
	c.path = filepath.Join(dir, "bpfcov", "costs.json")
	c.load()
	return c
}

func (c *costs) load() {
	if st, err := os.Stat(c.path); err != nil || st.Size() > 4<<20 {
		return
	}
	b, err := os.ReadFile(c.path)
	if err != nil {
		return
	}
	var m map[string]costEntry
	if json.Unmarshal(b, &m) == nil && m != nil {
		c.known = m
	}
}

func (c *costs) get(key string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.known[key].Seconds
	if s <= 0 || s > 1e6 {
		return 0
	}
	return time.Duration(s * float64(time.Second))
}

func (c *costs) set(key string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh[key] = costEntry{d.Seconds(), time.Now().Unix() / 86400}
}

// write adds the new entries to what the file holds by now; the oldest go when there are too many.
func (c *costs) write() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" || len(c.fresh) == 0 {
		return nil
	}
	c.load()
	for k, e := range c.fresh {
		c.known[k] = e
	}
	keys := make([]string, 0, len(c.known))
	for k := range c.known {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return int(c.known[b].Day - c.known[a].Day) })
	for _, k := range keys[min(len(keys), maxCosts):] {
		delete(c.known, k)
	}
	b, err := json.Marshal(c.known)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(c.path), ".costs-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), c.path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
