package guest

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"
)

// Paths in the guest. Everything of the agent's own is below Dir.
const (
	Dir      = "/bpfcov"
	InitPath = "/init" // the agent; the kernel starts it as PID 1
	JobPath  = Dir + "/job.json"
	// TimeParam is the kernel parameter that carries the host's time at the start of QEMU, in
	// nanoseconds since 1970. The kernel ignores parameters with a dot that it does not know.
	TimeParam = "bpfcov.time"
	// LimitParam is the kernel parameter with the number of seconds after which PID 1 powers off, whatever the
	// worker does. It is not in the job so that PID 1 need not read that, at 10 ms a time.
	LimitParam = "bpfcov.limit"
)

// JobVersion is the version of the job file. The agent refuses others.
const JobVersion = 1

// Job tells the agent what to do.
type Job struct {
	Version int `json:"version"`
	// Hostname of the guest; empty means "bpfcov".
	Hostname string `json:"hostname,omitempty"`
	// PortModules are loaded before the port is opened, Modules after hello. Both are in an order that
	// satisfies dependencies.
	PortModules []Module `json:"port_modules,omitempty"`
	Modules     []Module `json:"modules,omitempty"`
	// Sysctls are written in order, on top of the agent's own. A name has dots or slashes.
	Sysctls []Sysctl `json:"sysctls,omitempty"`
	Tests   []Test   `json:"tests"`
	// SnapshotInterval is the time between two looks at the counters; 0 means one second.
	SnapshotInterval time.Duration `json:"snapshot_ns,omitempty"`
}

// Module is one kernel module file of the initramfs.
type Module struct {
	Name string `json:"name"`
	Path string `json:"path"` // in the guest, uncompressed
	// Optional means that a failure to load is logged and otherwise ignored.
	Optional bool `json:"optional,omitempty"`
}

// Sysctl is one setting below /proc/sys.
type Sysctl struct {
	Name  string `json:"name"` // for example "net.core.bpf_jit_enable"
	Value string `json:"value"`
}

// Test is one command to run.
type Test struct {
	Name string `json:"name"`
	// Command is the program and its arguments; the program is looked up in PATH when it has no slash.
	Command []string `json:"command"`
	// Env is added to the agent's default environment (PATH, HOME, TERM, TMPDIR), as "NAME=value".
	Env []string `json:"env,omitempty"`
	// Dir is the working directory; empty means "/".
	Dir string `json:"dir,omitempty"`
	// Timeout is when the test is killed; 0 means 5 minutes.
	Timeout time.Duration `json:"timeout_ns,omitempty"`
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
	}
	return d
}

// Encode returns the job file.
func (j Job) Encode() ([]byte, error) {
	j.Version = JobVersion
	if err := j.Validate(); err != nil {
		return nil, err
	}
	return json.MarshalIndent(j, "", "\t")
}

// DecodeJob reads and checks a job file.
func DecodeJob(b []byte) (*Job, error) {
	var j Job
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	if j.Version != JobVersion {
		return nil, fmt.Errorf("job: version %d, this agent understands %d; rebuild the agent", j.Version, JobVersion)
	}
	if err := j.Validate(); err != nil {
		return nil, err
	}
	return &j, nil
}

// Validate checks what would otherwise only fail in the guest.
func (j Job) Validate() error {
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
		}
		for _, e := range t.Env {
			if !strings.Contains(e, "=") {
				return fmt.Errorf("job: test %q: environment %q: want NAME=value", t.Name, e)
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
