// Package ci_test checks what other people's CI runs of this repository: the action, the reusable workflow and the
// scripts behind them.
package ci_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// actionlint is pinned: a new version may know new mistakes.
const actionlint = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"

// TestWorkflows lets actionlint read the workflows.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	bin := t.TempDir()
	install := exec.Command("go", "install", actionlint)
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("%s cannot be fetched: %v\n%s", actionlint, err, out)
	}
	lint := filepath.Join(bin, "actionlint")
	if out, err := exec.Command(lint, append([]string{"-no-color"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// The check must be able to fail.
	bad := filepath.Join(t.TempDir(), "bad.yml")
	if err := os.WriteFile(bad, []byte("on: push\njobs: {a: {runs-on: ubuntu-24.04, steps: [{run: \"echo ${{ github.event.issue.title }}\"}]}}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(lint, bad).CombinedOutput(); err == nil || !strings.Contains(string(out), "untrusted") {
		t.Errorf("actionlint accepts an injection: %v\n%s", err, out)
	}
}

type step struct {
	Name, ID, If, Uses, Shell, Run string
	Env, With                      map[string]string
}

// TestAction checks that every input of the action has a use, and that none becomes part of a command.
func TestAction(t *testing.T) {
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Inputs map[string]struct {
			Description string
			Default     string
		}
		Runs struct {
			Using string
			Steps []step
		}
	}
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	if action.Runs.Using != "composite" || len(action.Runs.Steps) == 0 {
		t.Fatalf("got %+v", action.Runs)
	}
	version := regexp.MustCompile(`^[\w.-]+/[\w.-]+@v\d+$`)
	for _, s := range action.Runs.Steps {
		if s.Run != "" && (s.Shell != "bash" || strings.Contains(s.Run, "${{")) {
			t.Errorf("step %q: shell %q, command %q", s.Name, s.Shell, s.Run)
		}
		if s.Uses != "" && !version.MatchString(s.Uses) {
			t.Errorf("step %q uses %q", s.Name, s.Uses)
		}
	}
	known := regexp.MustCompile(`inputs\.([a-z-]+)`)
	used := map[string]bool{}
	for _, m := range known.FindAllStringSubmatch(string(text), -1) {
		used[m[1]] = true
		if _, ok := action.Inputs[m[1]]; !ok {
			t.Errorf("there is no input %q", m[1])
		}
	}
	for name, in := range action.Inputs {
		if !used[name] || in.Description == "" {
			t.Errorf("input %q: used %v, description %q", name, used[name], in.Description)
		}
	}
}

// hostile is what a pull request may put into a name.
const hostile = "$(touch pwned)`touch pwned`'\";touch pwned;\n--help\n"

func bash(t *testing.T, dir, script string, env map[string]string) (out string, outputs map[string]string) {
	t.Helper()
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", path)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GITHUB_OUTPUT="+filepath.Join(dir, "output"), "GITHUB_STEP_SUMMARY="+filepath.Join(dir, "summary"))
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	os.Remove(filepath.Join(dir, "output"))
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, b)
	}
	if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
		t.Fatalf("%s ran what an input said", script)
	}
	outputs = map[string]string{}
	text, err := os.ReadFile(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "=")
		outputs[k] = v
	}
	return string(b), outputs
}

// TestRun checks what run.sh calls, with a bpfcov that prints its arguments.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	fake := "#!/bin/sh\nfor a in \"$@\"; do printf '[%s]' \"$a\"; done; echo; exit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "bpfcov"), []byte(fake), 0o777); err != nil {
		t.Fatal(err)
	}
	path := dir + ":" + os.Getenv("PATH")
	out, outputs := bash(t, dir, "run.sh", map[string]string{"PATH": path, "INPUT_CONFIG": "a b.yaml", "INPUT_KERNEL": "apt:bookworm\n\n" + hostile,
		"INPUT_ARCH": "amd64,arm64", "INPUT_SHARD": "auto", "INPUT_OUT": "o"})
	want := "[run][--out=o][--config=a b.yaml][--arch=amd64,arm64][--shard=auto][--kernel=apt:bookworm][--kernel=$(touch pwned)`touch pwned`'\";touch pwned;][--kernel=--help]\n"
	if out != want || outputs["status"] != "1" {
		t.Errorf("got %q %v\nwant %q", out, outputs, want)
	}
}

// TestReport runs report.sh with the real bpfcov on the fixture.
func TestReport(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "bpfcov"), "../../cmd/bpfcov").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	path := bin + ":" + os.Getenv("PATH")
	data := modeltest.Data(t)
	dir := t.TempDir()
	if err := modeltest.Save(filepath.Join(dir, "out/covdata"), data); err != nil {
		t.Fatal(err)
	}
	env := func(more ...string) map[string]string {
		m := map[string]string{"PATH": path, "INPUT_OUT": "out"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	out, outputs := bash(t, dir, "report.sh", env("INPUT_FAIL_UNDER_LINES", "80\n6.1-*=95", "INPUT_REQUIRE", "probe.bpf.c:handle_open@6.*"))
	if outputs["status"] != "1" || !strings.Contains(out, "::error title=Coverage::lines of 6.1-arm64: 73.0%25 (38 of 52) is less than 95%25") ||
		!strings.Contains(out, "::warning file=probe.bpf.c,line=58") {
		t.Errorf("got %v\n%s", outputs, out)
	}
	summary, err := os.ReadFile(filepath.Join(dir, "summary"))
	if err != nil || !strings.Contains(string(summary), ":x: lines of 6.1-arm64&#58; 73.0% (38 of 52)") && !strings.Contains(string(summary), "6.1-arm64&#58; 73.0%") {
		t.Errorf("the summary: %v\n%s", err, summary)
	}
	if outputs["flag"] != "" || outputs["name"] != "merged" {
		t.Errorf("several cells: %v", outputs)
	}
	for _, f := range []string{"junit.xml", "cobertura.xml", "codecov/codecov.yml"} {
		if _, err := os.Stat(filepath.Join(dir, "out", f)); err != nil {
			t.Error(err)
		}
	}
	if _, outputs := bash(t, dir, "report.sh", env("INPUT_FAIL_UNDER_LINES", "80")); outputs["status"] != "0" {
		t.Errorf("a threshold that is met: %v", outputs)
	}
	// A mistake in an input is told by its status; what it says is not run.
	if _, outputs := bash(t, dir, "report.sh", env("INPUT_REQUIRE", hostile)); outputs["status"] != "2" {
		t.Errorf("a requirement that is none: %v", outputs)
	}
	// A job with one cell knows its flag.
	one := *data
	one.Records = data.Records[:1]
	if err := modeltest.Save(filepath.Join(dir, "one/covdata"), &one); err != nil {
		t.Fatal(err)
	}
	_, outputs = bash(t, dir, "report.sh", env("INPUT_OUT", "one"))
	if got := fmt.Sprint(outputs["file"], " ", outputs["flag"], " ", outputs["name"]); got != "one/codecov/6.1-amd64.lcov linux-6.1-amd64 6.1-amd64" {
		t.Errorf("one cell: %s", got)
	}
	if _, outputs := bash(t, dir, "report.sh", env("INPUT_OUT", "nothing")); outputs["status"] != "0" {
		t.Errorf("nothing ran: %v", outputs)
	}
}
