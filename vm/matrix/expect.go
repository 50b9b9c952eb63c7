package matrix

import (
	"fmt"
	"path"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// expected returns the entries of expect-fail that speak about a test in a cell.
func (r *Runner) expected(p Point, version, test string) []config.ExpectFail {
	var out []config.ExpectFail
	for _, e := range r.Config.ExpectFail {
		if e.Arch != "" && e.Arch != p.Arch || e.Test != "" && e.Test != test {
			continue
		}
		if e.Kernel != "" && e.Kernel != p.Spec && e.Kernel != version {
			if spec, err := kernels.ParseSpec(e.Kernel); err != nil || spec != p.Spec {
				continue
			}
		}
		out = append(out, e)
	}
	return out
}

// expect judges a run by what was expected to fail in it. A failure that was expected becomes a skip whose reason
// begins with XFAIL; a test that passes against the expectation fails, XPASS, because an expectation that does not
// hold any more hides the next failure. A guest that did not boot says nothing about its tests.
func (r *Runner) expect(p Point, version string, run *collect.Run) {
	if run.Outcome == collect.BootFailed {
		return
	}
	var whole *config.ExpectFail
	var cases []config.ExpectFail
	for _, e := range r.expected(p, version, run.Test) {
		if e.Case == "" {
			whole = &e
		} else {
			cases = append(cases, e)
		}
	}
	if whole != nil {
		switch run.Outcome {
		case collect.Skipped:
		case collect.Passed:
			run.Outcome = collect.Failed
			run.Reason = "XPASS: passed, and was expected to fail: " + whole.Reason
		default:
			run.Reason = fmt.Sprintf("XFAIL (%s): %s", whole.Reason, run.Reason)
			run.Outcome = collect.Skipped
			for i := range run.Cases {
				markExpected(&run.Cases[i], whole.Reason)
			}
		}
		return
	}
	if len(cases) > 0 {
		expectCases(run, cases)
	}
}

func expectCases(run *collect.Run, want []config.ExpectFail) {
	passed, open := "", 0
	expectedCase := make([]*config.ExpectFail, len(run.Cases))
	for i, c := range run.Cases {
		for j, e := range want {
			if ok, err := path.Match(e.Case, c.Name); ok && err == nil || e.Case == c.Name {
				expectedCase[i] = &want[j]
			}
		}
		if expectedCase[i] != nil && c.Outcome == collect.Passed {
			passed = c.Name
		}
	}
	// A case fails when one of its own cases does: it is expected when all of those are.
	for i, c := range run.Cases {
		if c.Outcome != collect.Failed || expectedCase[i] != nil {
			continue
		}
		all, reason := false, (*config.ExpectFail)(nil)
		for j, d := range run.Cases {
			if d.Outcome == collect.Failed && strings.HasPrefix(d.Name, c.Name+"/") && !hasFailedBelow(run.Cases, d.Name) {
				if expectedCase[j] == nil {
					all = false
					break
				}
				all, reason = true, expectedCase[j]
			}
		}
		if all {
			expectedCase[i] = reason
		} else {
			open++
		}
	}
	marked := ""
	for i := range run.Cases {
		if c := &run.Cases[i]; c.Outcome == collect.Failed && expectedCase[i] != nil {
			marked = expectedCase[i].Reason
			markExpected(c, marked)
		}
	}
	switch {
	case passed != "" && run.Outcome == collect.Passed:
		run.Outcome, run.Reason = collect.Failed, "XPASS: "+passed+" passed, and was expected to fail"
	case passed != "":
		run.Reason += "; XPASS: " + passed + " passed, and was expected to fail"
	case run.Outcome == collect.Failed && open == 0 && marked != "" && run.Signal == "":
		run.Outcome, run.Reason = collect.Passed, ""
	}
}

func hasFailedBelow(cases []collect.Case, name string) bool {
	for _, c := range cases {
		if c.Outcome == collect.Failed && strings.HasPrefix(c.Name, name+"/") {
			return true
		}
	}
	return false
}

func markExpected(c *collect.Case, reason string) {
	if c.Outcome != collect.Failed {
		return
	}
	c.Outcome = collect.Skipped
	c.Message = strings.TrimSuffix(fmt.Sprintf("XFAIL (%s): %s", reason, c.Message), ": ")
}
