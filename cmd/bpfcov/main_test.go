package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
	"github.com/bpfcov/bpfcov/vm"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

func TestMain(m *testing.M) {
	collect.MaybeShim()
	testscript.Main(m, map[string]func(){"bpfcov": main, "bpfcov-clang": main})
}

// TestScripts runs the command as its users do. Each file of testdata is one behaviour.
func TestScripts(t *testing.T) {
	agents := buildAgents(t.Context())
	fixture := sync.OnceValue(func() *collect.Data { return modeltest.Data(t) })
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status,
			"covdata": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(modeltest.Save(ts.MkAbs(args[0]), fixture()))
			}},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			_, err := exec.LookPath(cond)
			return err == nil, nil
		},
		Setup: func(e *testscript.Env) error {
			// The plugin and the kernels are the machine's; everything else is the script's own.
			cache, err := os.UserCacheDir()
			if err != nil {
				return err
			}
			repo, err := filepath.Abs("../..")
			if err != nil {
				return err
			}
			e.Setenv("REPO", repo)
			e.Setenv("XDG_CACHE_HOME", cache)
			for _, name := range []string{"HOME", "GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS", "GOPROXY"} {
				e.Setenv(name, os.Getenv(name)) // of those who build the example
			}
			e.Setenv("NO_COLOR", "1")
			// Guests need the agent next to the command, which testscript puts first in PATH.
			dir, _, _ := strings.Cut(e.Getenv("PATH"), string(os.PathListSeparator))
			return agents(dir)
		},
	})
}

// buildAgents builds the agents of the scripts' guests into dir, once for all scripts.
func buildAgents(ctx context.Context) func(dir string) error {
	var once sync.Once
	var err error
	return func(dir string) error {
		once.Do(func() {
			for _, arch := range []string{"amd64", "arm64"} {
				for _, name := range []string{"bpfcov-agent", "bpfcov-verify"} {
					if err == nil {
						err = vm.BuildProgram(ctx, name, arch, filepath.Join(dir, name+"-"+arch))
					}
				}
			}
		})
		return err
	}
}

// status N CMD ARG...: CMD must exit with status N. Its output is for stdout and stderr, as with exec.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N CMD [ARG]...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%v: got exit status %d, want %d", args[1:], got, want)
	}
}
