package groundtruth

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/instrument/policy"
)

// leastTold is the share of lines, in percent, of which a rung must tell what they are: a report in which
// everything is folded would be right, too.
var leastTold = map[policy.Rung]int{
	{Fidelity: meta.Region, Counter: policy.Flag}:   80,
	{Fidelity: meta.Probe, Counter: policy.Atomic}:  60,
	{Fidelity: meta.Probe, Counter: policy.Flag}:    60,
	{Fidelity: meta.Line, Counter: policy.Atomic}:   60,
	{Fidelity: meta.Line, Counter: policy.Flag}:     60,
	{Fidelity: meta.Region, Counter: policy.Atomic}: 100,
}

// TestRungs checks that no rung of the ladder says of a line, a branch or a function what is not so, for every
// compiler that there is.
func TestRungs(t *testing.T) {
	ran := false
	for major := instrument.MinLLVM; major <= instrument.MaxLLVM; major++ {
		compiler := fmt.Sprintf("clang-%d", major)
		path, err := exec.LookPath(compiler)
		if err != nil || !instrument.PluginStatusOf(path, major).Usable() {
			continue
		}
		ran = true
		options := []string{""}
		if major == 19 && os.Getenv("BPFCOV_LONG") != "" {
			options = append(options, "-O1", "-Os", "-O3", "-mcpu=v1", "-mcpu=v2", "-mcpu=v3", "-mcpu=v4")
		}
		for _, option := range options {
			for rung, least := range leastTold {
				if major != 19 && rung.Counter == policy.Atomic && os.Getenv("BPFCOV_LONG") == "" {
					continue
				}
				name := strings.TrimRight(fmt.Sprintf("%s/%s/%s", compiler, rung, option), "/")
				t.Run(name, func(t *testing.T) {
					args := []string{"BPFCOV_FIDELITY=" + rung.Fidelity.String(), "BPFCOV_COUNTER=" + string(rung.Counter)}
					if option != "" {
						args = append(args, option)
					}
					b := build(t, compiler, args...)
					r := b.report(t, []collect.Record{b.onHost(t)})
					problems, told := CheckLoosely(r, 0, b.wants, runs, rung.Counter == policy.Atomic && rung.Fidelity != meta.Line)
					for _, p := range problems {
						t.Error(p)
					}
					if told < least {
						t.Errorf("%d%% of the lines are told, want at least %d%%", told, least)
					}
					t.Logf("%d%% of the lines are told", told)
				})
			}
		}
	}
	if !ran {
		t.Fatal("no clang on PATH that a plugin can be built for; run scripts/setup.sh test")
	}
}
