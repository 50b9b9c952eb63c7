package matrix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/instrument/policy"
	"github.com/bpfcov/bpfcov/vm"
)

// How a policy is found. The functions of all programs that are refused are built at each rung below their present
// one, and the tests that load those programs run on the oldest and the newest kernel that refuses them: every build one
// after the other in one boot. The last rung is off, that is the program as it is without bpfcov. What is refused there too is not ours
// to change, and is remembered; of everything else the functions take the first rung that loads on both. Programs that come to light only then, as a loader gives up at the first that is refused, are the
// next experiment. Where every test took the refusal for an answer, off is tried alone first: it is most likely a probe for a
// feature, which no rung helps.

// trial is one rung of an experiment.
type trial struct {
	rung policy.Rung
	name string // of its folders
	sets map[string]testSet
	dirs map[string]string // of the sidecars
}

// outcome is what a cell said of a program at one rung.
type outcome uint8

const (
	unseen outcome = iota // nobody tried to load it
	loads
	refused
)

// seen are the records of an experiment.
type seen map[*Cell]map[policy.Rung][]collect.Record

// maxExperiments bounds how many programs of one loader can come to light one after the other in one round.
const maxExperiments = 4

// search extends the policy by what helps the wanted programs.
func (r *Runner) search(ctx context.Context, res *Result, round int, wanted []*candidate) error {
	decided := map[program]bool{}
	for n := 1; len(wanted) > 0 && n <= maxExperiments; n++ {
		dir := filepath.Join(r.Out, experiments, fmt.Sprintf("%d.%d", round, n))
		rungs := r.rungs(wanted)
		probes := !slices.ContainsFunc(wanted, func(c *candidate) bool { return !c.taken })
		if probes {
			rungs = rungs[len(rungs)-1:]
		}
		r.progress("%s refused with counters: trying %s on %s, in one boot each", plural(len(wanted), "program is", "programs are"),
			joinRungs(rungs), plural(len(cellsOf(wanted)), "kernel", "kernels"))
		trials, err := r.buildTrials(ctx, dir, rungs, wanted)
		if err != nil {
			return err
		}
		found, err := r.runTrials(ctx, dir, trials, wanted)
		if err != nil {
			return err
		}
		var again []*candidate
		for _, c := range wanted {
			left := r.plain(res, c, found)
			switch {
			case left == nil:
			case left.untried(found):
				again = append(again, left)
			case probes:
				left.taken = false
				again = append(again, left)
			default:
				r.decide(res, left, trials, found)
			}
			decided[c.program] = true
		}
		wanted = append(again, r.surfaced(trials, found, decided)...)
	}
	for _, c := range wanted {
		r.say(&res.Policy.Open, "%s; not settled after %d experiments; run again to go on", c, maxExperiments)
	}
	return nil
}

// rung is how a function is instrumented now.
func (r *Runner) rung(f function) policy.Rung {
	rule, ok := r.policy.now.Match(f.file, f.name)
	if !ok {
		return r.policy.base
	}
	if rule.Counter == "" {
		rule.Counter = r.policy.base.Counter
	}
	return rule.Rung
}

// below reports whether a gives up more than b.
func below(a, b policy.Rung) bool {
	if a.Fidelity != b.Fidelity {
		return a.Fidelity > b.Fidelity
	}
	return a.Fidelity != meta.Off && a.Counter == policy.Flag && b.Counter != policy.Flag
}

// rungs lists the rungs that any of the functions can step down to. Off is always there.
func (r *Runner) rungs(wanted []*candidate) []policy.Rung {
	var list []policy.Rung
	for _, rung := range policy.Rungs() {
		helps := func(f function) bool { return below(rung, r.rung(f)) }
		if rung.Fidelity == meta.Off || slices.ContainsFunc(wanted, func(c *candidate) bool { return slices.ContainsFunc(c.functions, helps) }) {
			list = append(list, rung)
		}
	}
	return list
}

// stepped is the policy with the functions of c at rung, or where they are when that is lower.
func (r *Runner) stepped(p *policy.Policy, c *candidate, rung policy.Rung, cells []string, why string) {
	for _, f := range c.functions {
		if !below(rung, r.rung(f)) {
			continue
		}
		p.Set(policy.Rule{Function: plainGlob(f.name), File: plainGlob(f.file), Rung: rung, Reason: why, FoundOn: cells})
	}
}

// plainGlob makes a glob of a name. C names need nothing; a file may be called anything.
func plainGlob(name string) string {
	return strings.NewReplacer("*", "?", "[", "?", "]", "?", `\`, "?", "{", "?", "}", "?").Replace(name)
}

// buildTrials builds the tests at each rung, for the architectures of the programs' cells. A rung that cannot be built
// is left out, unless it is off.
func (r *Runner) buildTrials(ctx context.Context, dir string, rungs []policy.Rung, wanted []*candidate) ([]trial, error) {
	var trials []trial
	for i, rung := range rungs {
		t := trial{rung: rung, name: strings.ReplaceAll(rung.String(), "/", "-"), sets: map[string]testSet{}, dirs: map[string]string{}}
		p := r.policy.now.Clone()
		for _, c := range wanted {
			r.stepped(p, c, rung, nil, "")
		}
		root := filepath.Join(dir, t.name)
		if err := os.MkdirAll(root, 0o777); err != nil {
			return nil, err
		}
		file := filepath.Join(root, policy.FileName)
		if err := p.Write(file); err != nil {
			return nil, err
		}
		var done []string
		for c := range cellsOf(wanted) {
			arch := c.Point.Arch
			if slices.Contains(done, arch) {
				continue
			}
			done = append(done, arch)
			v := variant{arch, filepath.Join(root, arch), file, fmt.Sprintf("/bpfcov-trial/%d", i)}
			set, err := r.buildSet(ctx, v)
			var failed *BuildError
			if errors.As(err, &failed) && rung.Fidelity != meta.Off {
				r.progress("%s cannot be built for %s: %v", rung, arch, err)
				continue
			} else if err != nil {
				return nil, err
			}
			for j := range set.tests {
				set.tests[j].Name += "@" + rung.String()
				set.tests[j].Folder, set.tests[j].Plain = v.guest, true
			}
			t.sets[arch], t.dirs[arch] = set, v.metaDir()
		}
		trials = append(trials, t)
	}
	return trials, nil
}

// cellsOf lists the cells to try, with the tests that load the programs: of each program the oldest and the newest of one
// architecture that refused it. The pass over the matrix that follows tells of the others, so that a boot of each would be one too many.
func cellsOf(wanted []*candidate) map[*Cell][]string {
	cells := map[*Cell][]string{}
	for _, c := range wanted {
		byAge := slices.Clone(c.refusals)
		// This machine's own architecture is the fastest, and verifiers differ little between any two.
		arch := c.refusals[0].cell.Point.Arch
		if slices.ContainsFunc(byAge, func(f *refusal) bool { return f.cell.Point.Arch == runtime.GOARCH }) {
			arch = runtime.GOARCH
		}
		byAge = slices.DeleteFunc(byAge, func(f *refusal) bool { return f.cell.Point.Arch != arch })
		slices.SortStableFunc(byAge, func(a, b *refusal) int { return collect.CompareCells(a.cell.Result.Cell, b.cell.Result.Cell) })
		if len(byAge) > 2 {
			byAge = []*refusal{byAge[0], byAge[len(byAge)-1]}
		}
		for _, f := range byAge {
			for _, t := range f.tests {
				if !slices.Contains(cells[f.cell], t) {
					cells[f.cell] = append(cells[f.cell], t)
				}
			}
		}
	}
	return cells
}

// trialMiB bounds what the builds of one boot take together; what is more goes into another boot.
const trialMiB = 256

// runTrials runs the tests that load the programs, at each rung, in the cells that refuse them.
func (r *Runner) runTrials(ctx context.Context, dir string, trials []trial, wanted []*candidate) (seen, error) {
	found := seen{}
	var mu sync.Mutex
	var g errgroup.Group
	cells := cellsOf(wanted)
	g.SetLimit(r.jobs(len(cells)))
	for c, tests := range cells {
		found[c] = map[policy.Rung][]collect.Record{}
		g.Go(func() error {
			for n, boot := range shareBoots(trials, c.Point.Arch) {
				if err := context.Cause(ctx); err != nil {
					return err
				}
				cfg := r.trialConfig(c, boot, tests)
				cfg.OutDir = filepath.Join(dir, "cells", c.Name)
				if n > 0 {
					cfg.OutDir += fmt.Sprintf("-%d", n+1)
				}
				out, err := vm.RunCell(ctx, cfg)
				if err != nil {
					return err
				}
				mu.Lock()
				for i := range out.Records {
					rung := boot[i/len(tests)].rung
					found[c][rung] = append(found[c][rung], out.Records[i])
				}
				mu.Unlock()
			}
			return nil
		})
	}
	return found, g.Wait()
}

// shareBoots deals the trials of an architecture out to boots.
func shareBoots(trials []trial, arch string) [][]trial {
	var boots [][]trial
	var size int64
	for _, t := range trials {
		set, ok := t.sets[arch]
		if !ok {
			continue
		}
		var own int64
		for _, f := range set.files {
			if st, err := os.Stat(f.Source); err == nil {
				own += st.Size()
			}
		}
		if len(boots) == 0 || size+own > trialMiB<<20 {
			boots, size = append(boots, nil), 0
		}
		boots[len(boots)-1] = append(boots[len(boots)-1], t)
		size += own
	}
	return boots
}

// trialConfig runs the named tests of each trial, one trial after the other.
func (r *Runner) trialConfig(c *Cell, boot []trial, tests []string) vm.CellConfig {
	var all testSet
	for _, t := range boot {
		set := t.sets[c.Point.Arch]
		for i, name := range r.testNames() {
			if slices.Contains(tests, name) {
				all.tests = append(all.tests, set.tests[i])
			}
		}
		all.files = append(all.files, set.files...)
	}
	all.files = dedupe(all.files)
	cfg := r.cellConfig(c, all)
	cfg.Events = func(e vm.Event) {
		if e.Kind == vm.EventBootFail {
			r.progress("%s: boot %d: %s", c.Name, e.Attempt, e.Text)
		}
	}
	return cfg
}

func (r *Runner) testNames() []string {
	var names []string
	for _, t := range r.Config.Tests {
		names = append(names, t.Name)
	}
	return names
}

// outcome is what a cell said of the program at a rung. One refusal weighs more than any number of loads: a program
// may be loaded in several ways, and it was wanted because one failed.
func (s seen) outcome(cell *Cell, rung policy.Rung, p program) outcome {
	o := unseen
	for _, rec := range s[cell][rung] {
		for _, l := range rec.Programs {
			if l.Name != p.name || l.Type != p.typ {
				continue
			}
			switch l.Verdict {
			case collect.VerdictRejected:
				return refused
			case collect.VerdictOK:
				o = loads
			}
		}
	}
	return o
}

// stale reports whether a build at another rung still has the object that was refused.
func (s seen) stale(c *candidate, rung policy.Rung) bool {
	for cell := range s {
		for _, rec := range s[cell][rung] {
			for _, l := range rec.Programs {
				if l.Name == c.name && l.Type == c.typ && slices.ContainsFunc(l.Objects, func(id meta.ObjectID) bool { return slices.Contains(c.objects, id) }) {
					return true
				}
			}
		}
	}
	return false
}

// say adds a sentence to a list of the result.
func (r *Runner) say(list *[]string, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	*list = append(*list, text)
	r.progress("policy: %s", text)
}

// plain remembers where the program is refused without counters, too, and returns the rest of it, nil if there is none.
func (r *Runner) plain(res *Result, c *candidate, found seen) *candidate {
	off := policy.Rung{Fidelity: meta.Off}
	if found.stale(c, off) {
		r.say(&res.Policy.Open, "%s; the build script did not compile it again for another policy: let it build in $BPFCOV_BUILD_DIR, or clean first", c)
		return nil
	}
	mine := &candidate{program: c.program, objects: c.objects, functions: c.functions, taken: c.taken}
	theirs := *mine
	for _, f := range c.refusals {
		was := refused
		if found[f.cell] != nil {
			was = found.outcome(f.cell, off, c.program)
		} else {
			for _, g := range c.refusals {
				if found[g.cell] != nil && (g.error != f.error || found.outcome(g.cell, off, c.program) != refused) {
					was = unseen
				}
			}
		}
		if was != refused {
			mine.refusals = append(mine.refusals, f)
			continue
		}
		theirs.refusals = append(theirs.refusals, f)
		r.policy.now.AddRefused(policy.Refused{Program: oneLine(c.name), LLVM: f.llvm, Error: f.error, FoundOn: []string{f.cell.label()}})
	}
	if len(theirs.refusals) > 0 {
		r.say(&res.Policy.Changes, "program %s is refused on %s without counters, too: %s", c.title(), theirs.cells(), theirs.refusals[0].error)
	}
	if len(mine.refusals) == 0 {
		return nil
	}
	return mine
}

// untried reports whether no cell of the candidate was in the experiment.
func (c *candidate) untried(found seen) bool {
	return !slices.ContainsFunc(c.refusals, func(f *refusal) bool { return found[f.cell] != nil })
}

// decide puts what an experiment says of a program into the policy, and into words.
func (r *Runner) decide(res *Result, left *candidate, trials []trial, found seen) {
	rung, ok := pick(left, trials, found)
	if !ok {
		r.say(&res.Policy.Open, "%s; it did not load again with fewer counters, nor was it refused without: the tests do not load it each time", left)
		return
	}
	var cells, changed []string
	for _, f := range left.refusals {
		cells = append(cells, f.cell.label())
	}
	for _, f := range left.functions {
		if was := r.rung(f); below(rung, was) {
			changed = append(changed, fmt.Sprintf("%s (was %s)", f.name, was))
		}
	}
	why := left.refusals[0].error
	r.stepped(r.policy.now, left, rung, slices.Compact(cells), fmt.Sprintf("program %s: %s", oneLine(left.title()), why))
	if len(changed) == 0 { // another program's step was enough
		return
	}
	r.say(&res.Policy.Changes, "program %s is refused on %s because of its counters (%s); at %s it loads: %s",
		left.title(), left.cells(), why, rung, strings.Join(changed, ", "))
}

// pick returns the first rung at which the program loads wherever it was refused and tried.
func pick(c *candidate, trials []trial, found seen) (policy.Rung, bool) {
	for _, t := range trials {
		all := true
		for _, f := range c.refusals {
			all = all && (found[f.cell] == nil || found.outcome(f.cell, t.rung, c.program) == loads)
		}
		if all {
			return t.rung, true
		}
	}
	return policy.Rung{}, false
}

// surfaced lists programs with counters that were refused in the experiment and are not decided: a loader that got
// further than before came to them.
func (r *Runner) surfaced(trials []trial, found seen, decided map[program]bool) []*candidate {
	more := candidates{metas: metas{}}
	for cell, byRung := range found {
		for _, t := range trials {
			for _, rec := range byRung[t.rung] {
				test, _, _ := strings.Cut(rec.Run.Test, "@"+t.rung.String())
				more.add(cell, test, &rec, []string{t.dirs[cell.Point.Arch]}, r.policy.now)
			}
		}
	}
	for p, c := range more.byName {
		// What a trial refuses and another loads shares functions with a program that was decided: the next pass tells.
		loads := slices.ContainsFunc(c.refusals, func(f *refusal) bool {
			return slices.ContainsFunc(trials, func(t trial) bool { return found.outcome(f.cell, t.rung, p) == loads })
		})
		if decided[p] || loads {
			delete(more.byName, p)
		}
	}
	return more.sorted()
}

func joinRungs(rungs []policy.Rung) string {
	var names []string
	for _, r := range rungs {
		names = append(names, r.String())
	}
	return strings.Join(names, ", ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
