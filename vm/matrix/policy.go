package matrix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/instrument/policy"
	"github.com/bpfcov/bpfcov/internal/nearest"
)

// PolicyMode says what a run does about programs that the kernel refuses because of their counters.
type PolicyMode string

// The modes: find out how their functions can be instrumented and write it down, follow what is written, or
// instrument everything in full.
const (
	PolicyAuto PolicyMode = "auto"
	PolicyRead PolicyMode = "read"
	PolicyOff  PolicyMode = "off"
)

// PolicyModes lists what [ParsePolicyMode] reads.
func PolicyModes() []string {
	return []string{string(PolicyAuto), string(PolicyRead), string(PolicyOff)}
}

// ParsePolicyMode reads a mode; "" is [PolicyAuto].
func ParsePolicyMode(s string) (PolicyMode, error) {
	modes := PolicyModes()
	switch {
	case s == "":
		return PolicyAuto, nil
	case slices.Contains(modes, s):
		return PolicyMode(s), nil
	}
	if m := nearest.Match(s, modes); m != "" {
		return "", fmt.Errorf("policy %q: did you mean %q?", s, m)
	}
	return "", fmt.Errorf("policy %q: want one of %s", s, strings.Join(modes, ", "))
}

// PolicyResult is what a run did to the policy.
type PolicyResult struct {
	// Path is the file that the run read, or that it wrote; "" when there is none.
	Path string
	// Changed tells that the run wrote the file.
	Changed bool
	// Changes are what was changed and why, a sentence each.
	Changes []string
	// Open are the programs that are refused, and nothing was found that helps, a sentence each.
	Open []string
}

// NoPolicy is the value of BPFCOV_POLICY for a build without a policy.
const NoPolicy = "none"

// policyState is the policy of a run.
type policyState struct {
	path string // of the file, which may not exist yet
	// used is the file of the next build, or [NoPolicy].
	used string
	now  *policy.Policy
	base policy.Rung // of functions without a rule
}

// openPolicy reads the policy that the run starts with: $BPFCOV_POLICY, else what is found for the folder of the
// configuration file.
func (r *Runner) openPolicy() error {
	r.policy = policyState{used: NoPolicy, now: &policy.Policy{}}
	env := os.Getenv("BPFCOV_POLICY")
	if env == NoPolicy {
		r.Policy = PolicyOff
	}
	if r.Policy == PolicyOff {
		return nil
	}
	var err error
	if r.policy.base, err = baseRung(); err != nil {
		return err
	}
	path := env
	if path == "" {
		if path, err = policy.Find(r.Config.Dir); err != nil {
			return err
		}
	}
	if path == "" {
		r.policy.path = filepath.Join(r.Config.Dir, policy.FileName)
		return nil
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	p, err := policy.Read(path)
	switch {
	case err == nil:
		r.policy.now, r.policy.used = p, path
	case !errors.Is(err, fs.ErrNotExist):
		return &PolicyError{err}
	}
	r.policy.path = path
	return nil
}

// PolicyError is a policy file that cannot be used.
type PolicyError struct{ Err error }

func (e *PolicyError) Error() string { return e.Err.Error() }

func (e *PolicyError) Unwrap() error { return e.Err }

// policyEnv is the value of BPFCOV_POLICY for builds.
func (r *Runner) policyEnv() string {
	if r.policy.used == "" {
		return NoPolicy
	}
	return r.policy.used
}

// baseRung is how functions without a rule are instrumented.
func baseRung() (policy.Rung, error) {
	rung := policy.Rung{Fidelity: meta.Region, Counter: policy.Atomic}
	var err error
	if s := os.Getenv("BPFCOV_FIDELITY"); s != "" {
		if rung.Fidelity, err = policy.ParseFidelity(s); err != nil {
			return rung, &PolicyError{fmt.Errorf("BPFCOV_FIDELITY: %w", err)}
		}
	}
	if s := os.Getenv("BPFCOV_COUNTER"); s != "" {
		if rung.Counter, err = policy.ParseCounter(s); err != nil {
			return rung, &PolicyError{fmt.Errorf("BPFCOV_COUNTER: %w", err)}
		}
	}
	return rung, nil
}

// maxRounds bounds how often a run is repeated with another policy. Each round steps at least one function down.
const maxRounds = 6

// settle steps down the functions of programs that are refused because of their counters, until a pass over the
// matrix has none. It writes the policy after each step: what was found out is worth keeping whatever comes.
func (r *Runner) settle(ctx context.Context, out *outDir, res *Result) error {
	if r.policy.used != NoPolicy {
		res.Policy.Path = r.policy.path
	}
	if r.Policy == PolicyOff {
		return nil
	}
	for round := 1; ; round++ {
		wanted := r.candidates(res.Cells)
		if len(wanted) == 0 {
			return nil
		}
		if why := r.noSearch(round); why != "" {
			for _, c := range wanted {
				res.Policy.Open = append(res.Policy.Open, fmt.Sprintf("%s; %s", c, why))
			}
			return nil
		}
		before := r.policy.now.Clone()
		err := r.search(ctx, res, round, wanted)
		if !r.policy.now.Equal(before) {
			if werr := r.savePolicy(res); werr != nil {
				return errors.Join(err, werr)
			}
		}
		if err != nil {
			return err
		}
		same := slices.EqualFunc(before.Rules, r.policy.now.Rules, sameRule)
		if !same {
			r.progress("the policy has changed; running everything again with it")
		}
		// Without a change, too: build scripts may leave objects in the source tree, and the last were a trial's.
		for _, p := range r.arches() {
			set, err := r.buildSet(ctx, r.main(p))
			if err != nil {
				return err
			}
			r.files[p] = set
		}
		if same {
			return nil
		}
		for i := range res.Cells {
			if c := &res.Cells[i]; c.Kernel != nil {
				c.Result, c.Err = nil, nil
			}
		}
		if err := r.pass(ctx, out, res); err != nil {
			return err
		}
	}
}

// savePolicy writes the policy, into the out folder where the source tree cannot be written to.
func (r *Runner) savePolicy(res *Result) error {
	path := r.policy.path
	if err := r.policy.now.Write(path); err != nil {
		path = filepath.Join(r.Out, experiments, policy.FileName)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), r.policy.now.Write(path)); err != nil {
			return err
		}
		r.say(&res.Policy.Open, "the policy could not be written: %v; copy %s to %s", err, path, r.policy.path)
	}
	r.policy.used = path
	res.Policy.Path, res.Policy.Changed = path, true
	return nil
}

func sameRule(a, b policy.Rule) bool {
	return a.Function == b.Function && a.File == b.File && a.Rung == b.Rung
}

// noSearch says why no policy is sought in this round, "" when it is.
func (r *Runner) noSearch(round int) string {
	switch {
	case r.Policy == PolicyRead:
		return "`bpfcov run --policy auto` finds out whether the counters are the cause, and a policy that helps"
	case r.Config.Build == "":
		return "whether the counters are the cause can only be found out when there is a build to repeat (build: in bpfcov.yaml)"
	case round > maxRounds:
		return fmt.Sprintf("not settled after %d rounds; run again to go on", maxRounds)
	}
	return ""
}

// arches lists the architectures of the matrix, each once.
func (r *Runner) arches() []string {
	var all []string
	for _, p := range r.Points {
		if !slices.Contains(all, p.Arch) {
			all = append(all, p.Arch)
		}
	}
	return all
}
