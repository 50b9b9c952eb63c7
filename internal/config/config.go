// Package config reads bpfcov.yaml.
//
// It is strict: an unknown key, a key that stands twice and a value of the wrong type are errors
// that name the file, the line and, where there is one, the key that was probably meant. It does not
// interpret kernel specs; see vm/kernels.
package config

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/internal/strictyaml"
)

// FileName is what `bpfcov run` looks for in the current folder.
const FileName = "bpfcov.yaml"

// maxSize bounds what is read of a configuration file.
const maxSize = 1 << 20

// Config is the content of bpfcov.yaml. The zero value is valid and describes nothing to do.
type Config struct {
	// Build is a shell script that makes the test binaries of one architecture. It runs once per
	// architecture, in the folder of the configuration file; docs/config.md lists its environment.
	Build string `yaml:"build"`
	// Tests run in each cell one after the other.
	Tests []Test `yaml:"tests"`
	// Modules are kernel modules that a guest loads before the tests. A name that ends in "?" may
	// be missing from a kernel.
	Modules []string `yaml:"modules"`
	Matrix  Matrix   `yaml:"matrix"`
	// ExpectFail are failures that are known: they do not fail the run, and it fails when one is gone.
	ExpectFail []ExpectFail `yaml:"expect-fail"`
	VM         VM           `yaml:"vm"`
	Report     Report       `yaml:"report"`
	// Verify says what `bpfcov verify` is to expect.
	Verify Verify `yaml:"verify"`
	// Policy is auto (the default), read or off: what to do about programs that are refused because of their
	// counters. See docs/policy.md.
	Policy string `yaml:"policy"`
	// Watcher is how loads are seen in tests that do not say it themselves.
	Watcher Watcher `yaml:"watcher"`
	// Out is the folder for everything that a run writes, relative to the configuration file. The
	// default is bpfcov-out.
	Out string `yaml:"out"`

	// Dir is the folder of the configuration file, absolute.
	Dir string `yaml:"-"`
}

// Test is one command that runs in every cell.
type Test struct {
	// Name stands in reports. The default is the base name of the command.
	Name string `yaml:"name"`
	// Command is the program and its arguments. A program with a slash is relative to the build
	// folder; one without is looked up on the host's PATH and taken along with its libraries.
	Command []string          `yaml:"command"`
	Env     map[string]string `yaml:"env"`
	// Timeout ends the test. The default is 60s.
	Timeout Duration `yaml:"timeout"`
	// Files are globs, relative to the configuration file, of files that the test needs beside
	// the build folder's content. They keep their relative path.
	Files []string `yaml:"files"`
	// Watcher is how loads are seen: auto (the default), notify, trace or sweep.
	Watcher Watcher `yaml:"watcher"`
	// Artefacts are globs of files in the guest, relative to its working folder or absolute, that come back into the
	// cell's folder.
	Artefacts []string `yaml:"artefacts"`
}

// Watcher is a [collect.Watcher].
type Watcher string

// UnmarshalYAML implements [yaml.Unmarshaler].
func (w *Watcher) UnmarshalYAML(n *yaml.Node) error {
	kind, err := collect.ParseWatcher(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*w = Watcher(kind)
	return nil
}

// Matrix says in which cells the tests run: every kernel on every architecture, less Exclude, plus
// Include.
type Matrix struct {
	Kernels []string `yaml:"kernels"`
	Arch    []string `yaml:"arch"` // GOARCH names; the default is amd64
	Exclude []Cell   `yaml:"exclude"`
	Include []Cell   `yaml:"include"`
}

// Cell names one kernel on one architecture. In an exclusion an empty field matches everything.
type Cell struct {
	Kernel string `yaml:"kernel"`
	Arch   string `yaml:"arch"`
}

// Verify has the rules of `bpfcov verify`, see docs/verify.md.
type Verify struct {
	Expect []Expect `yaml:"expect"`
}

// Expect is one rule about what comes of programs.
type Expect struct {
	Program string   `yaml:"program"` // glob on the program's name, or on FILE/PROG
	Cells   []string `yaml:"cells"`   // globs on cells, architectures, or versions such as "<5.17"; default all
	Verdict string   `yaml:"verdict"` // ok, failed or skipped
	Class   string   `yaml:"class"`   // of a failure; default any
	Reason  string   `yaml:"reason"`
}

// ExpectFail names what is expected to fail, and why. An empty field matches everything.
type ExpectFail struct {
	Kernel string `yaml:"kernel"` // a spec as in the matrix, or a version such as 6.12
	Arch   string `yaml:"arch"`
	Test   string `yaml:"test"`
	Case   string `yaml:"case"`   // a test case, or a glob of such; without it the whole test
	Reason string `yaml:"reason"` // required
}

// VM shapes the guests.
type VM struct {
	Memory      int      `yaml:"memory-mib"`   // default 512
	CPUs        int      `yaml:"cpus"`         // default 1
	BootTimeout Duration `yaml:"boot-timeout"` // until the guest's hello; default 90s
	Jobs        int      `yaml:"jobs"`         // cells at once; default what the machine bears
	// Warm resumes guests that were saved by earlier runs. The default is true, and false where the environment
	// has CI: a machine that is new each time has none, and saving one takes time.
	Warm *bool `yaml:"warm"`
	// Root is what lies below the tests' files: closure (nothing, the default), image:REF or host. See docs/guest.md.
	Root string `yaml:"root"`
	// FreshGuest runs each test in a guest of its own. The default is false.
	FreshGuest bool `yaml:"fresh-guest-per-test"`
	// AllowSplats lets tests pass during which the kernel reports a bug of its own (BUG, WARNING, lockups, stalls, no
	// memory). The default is false.
	AllowSplats bool `yaml:"allow-splats"`
}

// Report says what is written beside the table on the terminal.
type Report struct {
	// LCOV writes one tracefile a cell and one merged. The default is true.
	LCOV *bool `yaml:"lcov"`
	// JSON writes report.json. The default is true.
	JSON *bool `yaml:"json"`
	// HTML writes the site to html/. The default is true.
	HTML *bool `yaml:"html"`
	// These are written when they are true: cobertura.xml, junit.xml, summary.md, and the folders
	// codecov/, cover/ (Go cover profiles) and llvm/.
	Cobertura bool `yaml:"cobertura"`
	JUnit     bool `yaml:"junit"`
	Markdown  bool `yaml:"markdown"`
	Codecov   bool `yaml:"codecov"`
	GoCover   bool `yaml:"gocover"`
	LLVM      bool `yaml:"llvm"`
	// Ignore is a regular expression; files whose name it matches are in no report.
	Ignore string `yaml:"ignore-filename-regex"`
	// These make a run fail, as the flags of `bpfcov report` of the same names.
	FailUnderLines     []string `yaml:"fail-under-lines"`
	FailUnderBranches  []string `yaml:"fail-under-branches"`
	FailUnderFunctions []string `yaml:"fail-under-functions"`
	Require            []string `yaml:"require"`
	// Baseline is a file that `bpfcov report --write-baseline` wrote, relative to the
	// configuration file.
	Baseline string `yaml:"baseline"`
}

// Duration is a time.Duration that YAML writes as "90s".
type Duration time.Duration

// UnmarshalYAML implements [yaml.Unmarshaler].
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v <= 0 {
		return fmt.Errorf("line %d: %q is not a positive duration such as 90s", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// Load reads the file at path.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxSize)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	c, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.Dir = dir
	return c, nil
}

// Parse reads the text of a configuration file.
func Parse(b []byte) (*Config, error) {
	var c Config
	if _, err := strictyaml.Decode(b, &c); err != nil {
		return nil, err
	}
	return &c, c.validate()
}

func (c *Config) validate() error {
	seen := map[string]bool{}
	for i := range c.Tests {
		t := &c.Tests[i]
		if len(t.Command) == 0 || t.Command[0] == "" {
			return fmt.Errorf("tests[%d]: command is missing", i)
		}
		if t.Name == "" {
			t.Name = filepath.Base(t.Command[0])
		}
		if seen[t.Name] {
			return fmt.Errorf("tests[%d]: the name %q stands twice; give each test its own name", i, t.Name)
		}
		seen[t.Name] = true
		for _, a := range t.Artefacts {
			if _, err := path.Match(a, ""); err != nil || a == "" {
				return fmt.Errorf("tests[%d]: artefacts: %q is not a glob", i, a)
			}
		}
	}
	for i, e := range c.ExpectFail {
		if e.Reason == "" {
			return fmt.Errorf("expect-fail[%d]: reason is missing: say why it fails", i)
		}
		if _, err := path.Match(e.Case, ""); err != nil {
			return fmt.Errorf("expect-fail[%d]: case %q: %w", i, e.Case, err)
		}
		if e.Test != "" && !seen[e.Test] {
			return fmt.Errorf("expect-fail[%d]: there is no test %q", i, e.Test)
		}
	}
	for _, v := range []struct {
		name     string
		got, max int
	}{{"memory-mib", c.VM.Memory, 1 << 20}, {"cpus", c.VM.CPUs, 256}, {"jobs", c.VM.Jobs, 1024}} {
		if v.got < 0 || v.got > v.max {
			return fmt.Errorf("vm.%s: %d is not in 1..%d", v.name, v.got, v.max)
		}
	}
	return nil
}
