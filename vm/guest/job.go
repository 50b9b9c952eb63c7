package guest

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// Paths in the guest. Everything of the agent's own is below Dir.
const (
	Dir      = "/bpfcov"
	InitPath = "/init" // the agent; the kernel starts it as PID 1
	JobPath  = Dir + "/job"
	// GoCoverDir is GOCOVERDIR of the tests: what Go programs built with -cover write there comes back to the host.
	GoCoverDir = Dir + "/gocover"
	// UpperDir holds the tests' files of a guest with a [Root].
	UpperDir = Dir + "/upper"
	// TimeParam is the argument of the agent that carries the host's time at the start of QEMU, in nanoseconds since
	// 1970. The kernel passes what follows "--" on its command line as arguments to init.
	TimeParam = "bpfcov.time"
	// LimitParam is the argument with the number of seconds after which the agent powers off, whatever it is doing.
	LimitParam = "bpfcov.limit"
)

// InitEnv is a kernel parameter for guests of a GOARCH. The kernel puts those that it does not know into init's environment: Go then
// interrupts no goroutine by a signal, which it often would in an emulated guest where everything takes long, and does not
// look every second how many processors there are. Without that look resumed guests of riscv64, whose timer has to be
// armed again, stop; why it helps them is not known.
func InitEnv(arch string) string {
	const env = "GODEBUG=asyncpreemptoff=1"
	if arch == "riscv64" {
		return env
	}
	return env + ",containermaxprocs=0,updatemaxprocs=0"
}

// JobVersion is the version of the job file. The agent refuses others.
const JobVersion = 5

// Job tells the agent what to do.
type Job struct {
	// Version is set by DecodeJob; Encode writes JobVersion.
	Version int
	// Hostname of the guest; empty means "bpfcov".
	Hostname string
	// PortModules are loaded before the port is opened, Modules after hello. Both are in an order that
	// satisfies dependencies.
	PortModules []Module
	Modules     []Module
	// Root is what lies below the tests' files. RootModules are loaded for it.
	Root        Root
	RootModules []Module
	// Sysctls are written in order, on top of the agent's own. A name has dots or slashes.
	Sysctls []Sysctl
	Tests   []Test
	// Warm means that the machine is made ready for tests, and that the job with the tests then comes over the port: see
	// [Send].
	Warm bool
	// SnapshotInterval is the time between two looks at the counters; 0 means one second.
	SnapshotInterval time.Duration
}

// Root is a root file system that is read-only; what is written goes to memory, as an overlay.
type Root string

// The roots.
const (
	RootNone     Root = ""         // the initramfs is all there is
	RootDisk     Root = "disk"     // a squashfs image on the first virtio disk
	RootShare    Root = "share"    // a folder of the host, by 9p
	RootVirtioFS Root = "virtiofs" // the same by virtiofs
)

// ShareTag is the tag under which a guest mounts the folder of RootShare and RootVirtioFS.
const ShareTag = "bpfcov"

// Module is one kernel module file of the initramfs.
type Module struct {
	Name string
	Path string // in the guest, uncompressed
	// Optional means that a failure to load is logged and otherwise ignored.
	Optional bool
}

// Sysctl is one setting below /proc/sys.
type Sysctl struct {
	Name  string // for example "net.core.bpf_jit_enable"
	Value string
}

// Test is one command to run.
type Test struct {
	Name string
	// Command is the program and its arguments; the program is looked up in PATH when it has no slash.
	Command []string
	// Env is added to the agent's default environment (PATH, HOME, TERM, TMPDIR), as "NAME=value".
	Env []string
	// Dir is the working directory; empty means "/".
	Dir string
	// Folder, if set, is what Dir is from now on: the agent makes Dir a symbolic link to it, so that tests of
	// several builds run in one guest and find their files under the same names.
	Folder string
	// Plain also judges loads of programs without counters, see [collect.WatchOptions].
	Plain bool
	// Unwatched runs the command without the watcher: no counters, no verdicts, and system calls at full speed.
	Unwatched bool
	// Watcher is how its loads are seen. With [collect.WatcherAuto] a test that fails after it asked for a seccomp
	// listener of its own, which the kernel then refuses, is started anew with [collect.WatcherTrace].
	Watcher collect.Watcher
	// Artefacts are globs of files that come back to the host after the test, relative to Dir or absolute, in the manner of
	// [path.Match] for each part of the path. What is below GoCoverDir comes back always.
	Artefacts []string
	// Timeout is when the test is killed; 0 means 5 minutes.
	Timeout time.Duration
}

// DefaultTimeout is the deadline of a test that sets none.
const DefaultTimeout = 5 * time.Minute

// Deadline is the test's timeout, or the default.
func (t Test) Deadline() time.Duration {
	if t.Timeout <= 0 {
		return DefaultTimeout
	}
	return t.Timeout
}

// Slack is what a test may take beyond its deadline: to be killed, and to have its counters read.
const Slack = 30 * time.Second

// Limit is the longest time that the job may take, boot excluded.
func (j Job) Limit() time.Duration {
	d := 2 * time.Minute
	for _, t := range j.Tests {
		d += t.Deadline() + Slack
		if t.Watcher == collect.WatcherAuto { // it may be started anew
			d += t.Deadline() + Slack
		}
	}
	return d
}

// Encode returns the job file: lines of a key and a quoted value, where "test" begins a test and "module" a module,
// to which the lines after it belong.
func (j Job) Encode() ([]byte, error) {
	if err := j.Validate(); err != nil {
		return nil, err
	}
	b := appendInt(nil, "version", JobVersion)
	b = appendText(b, "hostname", j.Hostname)
	b = appendInt(b, "snapshot", int64(j.SnapshotInterval))
	b = appendText(b, "warm", strconv.FormatBool(j.Warm))
	if j.Root != RootNone {
		b = appendText(b, "root", string(j.Root))
	}
	for _, m := range j.RootModules {
		b = m.append(appendText(b, "root-module", m.Name))
	}
	for _, m := range j.PortModules {
		b = m.append(appendText(b, "port-module", m.Name))
	}
	for _, m := range j.Modules {
		b = m.append(appendText(b, "module", m.Name))
	}
	for _, s := range j.Sysctls {
		b = appendText(appendText(b, "sysctl", s.Name), "sysctl-value", s.Value)
	}
	for _, t := range j.Tests {
		b = appendText(b, "test", t.Name)
		for _, a := range t.Command {
			b = appendText(b, "arg", a)
		}
		for _, e := range t.Env {
			b = appendText(b, "env", e)
		}
		b = appendText(b, "dir", t.Dir)
		b = appendText(b, "folder", t.Folder)
		b = appendText(b, "plain", strconv.FormatBool(t.Plain))
		b = appendText(b, "watcher", string(t.Watcher))
		for _, a := range t.Artefacts {
			b = appendText(b, "artefact", a)
		}
		b = appendInt(b, "timeout", int64(t.Timeout))
		if t.Unwatched {
			b = appendText(b, "unwatched", strconv.FormatBool(true))
		}
	}
	return b, nil
}

func (m Module) append(b []byte) []byte {
	return appendText(appendText(b, "path", m.Path), "optional", strconv.FormatBool(m.Optional))
}

// DecodeJob reads and checks a job file.
func DecodeJob(b []byte) (*Job, error) {
	j := &Job{}
	mod, sys, test := &Module{}, &Sysctl{}, &Test{}
	t := text{rest: b}
	for t.next() {
		switch t.key {
		case "version":
			t.num(&j.Version)
			if t.err == nil && j.Version != JobVersion {
				return nil, fmt.Errorf("job: version %d, this agent understands %d; rebuild the agent", j.Version, JobVersion)
			}
		case "hostname":
			t.str(&j.Hostname)
		case "snapshot":
			t.dur(&j.SnapshotInterval)
		case "warm":
			t.yes(&j.Warm)
		case "port-module":
			j.PortModules = append(j.PortModules, Module{Name: t.value})
			mod = &j.PortModules[len(j.PortModules)-1]
		case "root":
			j.Root = Root(t.value)
		case "root-module":
			j.RootModules = append(j.RootModules, Module{Name: t.value})
			mod = &j.RootModules[len(j.RootModules)-1]
		case "module":
			j.Modules = append(j.Modules, Module{Name: t.value})
			mod = &j.Modules[len(j.Modules)-1]
		case "path":
			t.str(&mod.Path)
		case "optional":
			t.yes(&mod.Optional)
		case "sysctl":
			j.Sysctls = append(j.Sysctls, Sysctl{Name: t.value})
			sys = &j.Sysctls[len(j.Sysctls)-1]
		case "sysctl-value":
			t.str(&sys.Value)
		case "test":
			j.Tests = append(j.Tests, Test{Name: t.value})
			test = &j.Tests[len(j.Tests)-1]
		case "arg":
			test.Command = append(test.Command, t.value)
		case "env":
			test.Env = append(test.Env, t.value)
		case "dir":
			t.str(&test.Dir)
		case "folder":
			t.str(&test.Folder)
		case "plain":
			t.yes(&test.Plain)
		case "unwatched":
			t.yes(&test.Unwatched)
		case "watcher":
			test.Watcher = collect.Watcher(t.value)
		case "artefact":
			test.Artefacts = append(test.Artefacts, t.value)
		case "timeout":
			t.dur(&test.Timeout)
		default:
			t.unknown()
		}
	}
	if t.err != nil {
		return nil, fmt.Errorf("job: %w", t.err)
	}
	if j.Version == 0 {
		return nil, fmt.Errorf("job: no version; rebuild the agent")
	}
	return j, j.Validate()
}

// Validate checks what would otherwise only fail in the guest.
func (j Job) Validate() error {
	switch j.Root {
	case RootNone, RootDisk, RootShare, RootVirtioFS:
	default:
		return fmt.Errorf("job: root %q is none that this agent knows", j.Root)
	}
	names := map[string]bool{}
	for i, t := range j.Tests {
		switch {
		case t.Name == "":
			return fmt.Errorf("job: test %d has no name", i+1)
		case names[t.Name]:
			return fmt.Errorf("job: two tests are called %q", t.Name)
		case len(t.Command) == 0 || t.Command[0] == "":
			return fmt.Errorf("job: test %q has no command", t.Name)
		case t.Dir != "" && !path.IsAbs(t.Dir):
			return fmt.Errorf("job: test %q: directory %q is not absolute", t.Name, t.Dir)
		case t.Folder != "" && (!path.IsAbs(t.Folder) || t.Dir == "" || path.Clean(t.Dir) == "/"):
			return fmt.Errorf("job: test %q: directory %q cannot be a link to %q", t.Name, t.Dir, t.Folder)
		}
		for _, e := range t.Env {
			if !strings.Contains(e, "=") {
				return fmt.Errorf("job: test %q: environment %q: want NAME=value", t.Name, e)
			}
		}
		if _, err := collect.ParseWatcher(string(t.Watcher)); err != nil {
			return fmt.Errorf("job: test %q: %w", t.Name, err)
		}
		for _, a := range t.Artefacts {
			if _, err := path.Match(a, ""); err != nil || a == "" {
				return fmt.Errorf("job: test %q: artefacts %q: not a glob", t.Name, a)
			}
		}
		names[t.Name] = true
	}
	for _, s := range j.Sysctls {
		if _, err := s.path(); err != nil {
			return err
		}
	}
	return nil
}

// path is the file of the setting.
func (s Sysctl) path() (string, error) {
	p := s.Name
	if !strings.Contains(p, "/") {
		p = strings.ReplaceAll(p, ".", "/")
	}
	full := path.Join("/proc/sys", p)
	if s.Name == "" || !strings.HasPrefix(full, "/proc/sys/") {
		return "", fmt.Errorf("job: sysctl %q: not a name below /proc/sys", s.Name)
	}
	return full, nil
}
