package instrument

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/instrument/policy"
)

// choices say how each function of one call is instrumented.
type choices struct {
	// unit is for functions that no rule names.
	unit policy.Rung
	// rules are those of the policy files, and before them those of functions that clang could not
	// emit otherwise.
	rules []policy.Rule
}

// makeChoices reads the environment and the policies of the sources.
func makeChoices(sources []string) (*choices, error) {
	c := &choices{unit: policy.Rung{Fidelity: meta.Region, Counter: policy.Atomic}}
	var err error
	if s := os.Getenv("BPFCOV_FIDELITY"); s != "" {
		if c.unit.Fidelity, err = policy.ParseFidelity(s); err != nil {
			return nil, fmt.Errorf("BPFCOV_FIDELITY: %w", err)
		}
	}
	if s := os.Getenv("BPFCOV_COUNTER"); s != "" {
		if c.unit.Counter, err = policy.ParseCounter(s); err != nil {
			return nil, fmt.Errorf("BPFCOV_COUNTER: %w", err)
		}
	}
	paths, err := policyPaths(sources)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		p, err := policy.Read(path)
		if err != nil {
			return nil, err
		}
		c.rules = append(c.rules, p.Rules...)
	}
	return c, nil
}

// policyPaths are the policy files of the sources, each once.
func policyPaths(sources []string) (paths []string, err error) {
	switch chosen := os.Getenv("BPFCOV_POLICY"); chosen {
	case "none":
		return nil, nil
	default:
		return []string{chosen}, nil
	case "":
	}
	for _, s := range sources {
		path, err := policy.Find(filepath.Dir(s)) // of "-" the working folder
		if err != nil {
			return nil, fmt.Errorf("policy of %s: %w", s, err)
		}
		if path != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// passArgs are the options of the pass. They refer to a file that the caller removes after the call.
func (c *choices) passArgs() (args []string, remove func(), err error) {
	add := func(option, value string) { args = append(args, "-mllvm", "-bpfcov-"+option+"="+value) }
	if c.unit.Fidelity != meta.Region {
		add("fidelity", c.unit.Fidelity.String())
	}
	if k := cmp.Or(c.unit.Counter, policy.Atomic); k != policy.Atomic {
		add("counter", string(k))
	}
	if len(c.rules) == 0 {
		return args, func() {}, nil
	}
	f, err := os.CreateTemp("", "bpfcov-policy-*")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { os.Remove(f.Name()) }
	err = (&policy.Policy{Rules: c.rules}).Flat(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	add("policy", f.Name())
	return args, remove, nil
}
