package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// CellConfig says what to run where. Kernel, Tests and OutDir are required.
type CellConfig struct {
	Kernel *kernels.Kernel
	// LLVM is the major version of the compiler of the objects under test, for the records; 0 if not known.
	LLVM  int
	Tests []guest.Test
	// Files go into the guest's root: test binaries with their libraries (see [initramfs.Closure]),
	// data. "/init", "/bpfcov" and everything below it are the agent's.
	Files []initramfs.File
	// Root is what lies below Files; the zero value is nothing.
	Root Root
	// Modules are kernel modules to load before the tests; a kernel without one of them is an error.
	// OptionalModules are loaded where the kernel has them.
	Modules, OptionalModules []string
	// Sysctls are set before the tests.
	Sysctls []guest.Sysctl
	// KernelArgs are added to the kernel's command line.
	KernelArgs []string
	// MemoryMiB is the guest's memory; 0 means 512, and more for large initramfs archives.
	MemoryMiB int
	// CPUs is the number of virtual CPUs; 0 means 1.
	CPUs int
	// BootTimeout is how long a boot may take until hello; 0 means 60 seconds, 90 under TCG.
	BootTimeout time.Duration
	// Retries is how often a boot that failed is repeated; 0 means 2, a negative number never.
	Retries int
	// Agent is the agent's binary for the kernel's architecture; empty means [FindAgent].
	Agent string
	// Accel is [qemu.TCG] or [qemu.KVM]; empty means what works, found by [qemu.ProbeAccel].
	Accel string
	// CacheDir keeps what was found out about QEMU; empty means the user's cache folder.
	CacheDir string
	// Warm resumes a guest that was saved when it was ready for tests, and saves one where there is none yet, instead of
	// booting one for these tests. See docs/guest.md.
	Warm bool
	// FreshGuest runs each test in a guest of its own.
	FreshGuest bool
	// AllowSplats lets a test pass during which the kernel told of a bug of its own; see [CellResult].Splats.
	AllowSplats bool
	// OutDir receives console.log and each test's TEST.stdout and TEST.stderr. It is made if missing.
	OutDir string
	// Output, if not nil, gives the writers for a test's output instead of files in OutDir. A nil writer
	// drops it. They are written by one goroutine.
	Output func(t guest.Test) (stdout, stderr io.Writer)
	// Partial, if not nil, is called with the record of a run as far as it is known: whenever counters come, about once a
	// second while they change, and when the run ends and another follows. A later record of the same run replaces the earlier. It is called from
	// one goroutine, which must not be held up for long.
	Partial func(*collect.Record)
	// Events, if not nil, is told about progress. It is called from one goroutine at a time.
	Events func(Event)
}

// EventKind says what happened.
type EventKind string

// Events of a cell, in the order in which they can occur.
const (
	EventBoot      EventKind = "boot"       // QEMU was started; Attempt counts from 1
	EventBootFail  EventKind = "boot-fail"  // no hello; Text says why, and whether the boot is repeated
	EventHello     EventKind = "hello"      // the guest is up after Boot
	EventTestStart EventKind = "test-start" // Test
	EventTestEnd   EventKind = "test-end"   // Test, Run
	EventSaved     EventKind = "saved"      // a guest was booted and saved, after Boot; Text says where
	EventResume    EventKind = "resume"     // a saved guest is resumed
	EventLog       EventKind = "log"        // Text: something the agent could not do
)

// Event is one step of a cell.
type Event struct {
	Kind    EventKind
	Attempt int
	Boot    time.Duration
	Test    string
	Run     *collect.Run // of EventTestEnd, complete
	Text    string
}

// Attempt is one boot that did not come to hello.
type Attempt struct {
	Duration time.Duration
	Reason   string
	Console  string // file
}

// CellResult is what became of a cell.
type CellResult struct {
	Cell collect.Cell
	// Records has one element a test, in the order of the configuration.
	Records []collect.Record
	// Boot is the time from starting QEMU to hello, 0 if there was none.
	Boot time.Duration
	// Warm reports whether the (last) guest was a saved one that was resumed.
	Warm bool
	// Duration is the time of the whole cell, failed boots included.
	Duration time.Duration
	// CPU is the processor time of QEMU, failed boots included.
	CPU time.Duration
	// Accel is the accelerator and why it was chosen.
	Accel qemu.Accel
	// FailedBoots are the boots before the last one.
	FailedBoots []Attempt
	// Logs are the agent's messages about what it could not do.
	Logs []string
	// Splats are lines of the console that tell of a kernel bug: BUG, WARNING, Oops, panic, lockups, stalls.
	Splats []string
	// Console is the file with the console's text of the last boot.
	Console string
	// QEMU is the command line of the last boot.
	QEMU []string
}

// Passed reports whether every test passed.
func (r *CellResult) Passed() bool {
	for i := range r.Records {
		if r.Records[i].Run.Outcome != collect.Passed {
			return false
		}
	}
	return true
}

// baseMachine finds what a machine of any kind needs, makes c's folder and gives the part of QEMU's configuration that
// follows from c alone. It sets c's agent where there is none, and may give c a root.
func baseMachine(ctx context.Context, c *CellConfig) (base qemu.Config, accel qemu.Accel, probe qemu.Probe, err error) {
	if err = os.MkdirAll(c.OutDir, 0o755); err != nil {
		return
	}
	binary, err := qemu.Find(c.Kernel.Arch)
	if err != nil {
		return
	}
	if c.Agent == "" {
		if c.Agent, err = FindAgent(ctx, c.Kernel.Arch); err != nil {
			return
		}
	}
	probe = qemu.Probe{Arch: c.Kernel.Arch, Binary: binary, Kernel: c.Kernel.Image, CacheDir: c.CacheDir}
	accel = qemu.Accel{Name: c.Accel, Reason: "as configured"}
	if accel.Name == "" {
		if accel, err = probe.Accel(ctx); err != nil {
			return
		}
	}
	sandbox, err := probe.Sandbox(ctx)
	if err != nil {
		return
	}
	base = qemu.Config{
		Arch: c.Kernel.Arch, Kernel: c.Kernel.Image, Append: append([]string{guest.InitEnv(c.Kernel.Arch)}, c.KernelArgs...),
		CPUs: c.CPUs, Accel: accel.Name, Binary: binary, Sandbox: sandbox,
	}
	if err = checkFiles(c.Files); err != nil {
		return
	}
	size, err := totalSize(c.Files)
	if err == nil && size > diskSize {
		size, err = filesToDisk(ctx, c, size)
	}
	base.MemoryMiB, base.Disk = memory(c.MemoryMiB, size), c.Root.Disk
	if err = c.Root.chooseShare(c.Kernel); err != nil {
		return
	}
	base.Share, base.ShareTag, base.ShareDaemon = c.Root.Share, guest.ShareTag, c.Root.daemon
	if f := c.Kernel.Features; f.Known && f.LSM {
		base.LSM = strings.Join(f.LSMs, ",")
	}
	return
}

// RunCell runs the tests of c in one machine. A test that fails, a kernel that panics and a machine that
// does not boot are results, not errors: each test has a record that says so. The errors are those of the
// environment (no QEMU, no agent, an unusable configuration), and ctx's: then the result, if
// not nil, has what there was until then.
func RunCell(ctx context.Context, c CellConfig) (*CellResult, error) {
	start := time.Now()
	if c.Kernel == nil {
		return nil, errors.New("cell without a kernel")
	}
	fail := func(err error) (*CellResult, error) {
		return nil, fmt.Errorf("kernel %s (%s): %w", c.Kernel.Release, c.Kernel.Arch, err)
	}
	if c.OutDir == "" {
		return fail(errors.New("no output folder given"))
	}
	base, accel, probe, err := baseMachine(ctx, &c)
	if err != nil {
		return fail(err)
	}
	defer c.Root.remove()
	if err := (guest.Job{Tests: c.Tests, Sysctls: c.Sysctls}).Validate(); err != nil {
		return fail(err)
	}
	res := &CellResult{
		Cell: collect.Cell{
			Kernel: c.Kernel.Release, Arch: c.Kernel.Arch, LLVM: c.LLVM, Spec: c.Kernel.Spec, Accel: accel.Name,
		},
		Accel:   accel,
		Console: filepath.Join(c.OutDir, "console.log"),
	}
	base.Console = res.Console
	m := &machine{c: &c, res: res, qemu: base}
	if c.Kernel.Arch == "amd64" && c.Kernel.Version == "6.12" {
		version, err := probe.Version(ctx)
		if err != nil {
			return fail(err)
		}
		if strings.HasPrefix(version, "7.2.") && accel.Name == qemu.TCG {
			m.hint = "; QEMU 7.2 fails to boot Linux 6.12 for amd64 one time in ten, QEMU 10 does not"
		}
	}
	err = m.runAll(ctx)
	res.Duration = time.Since(start)
	if err != nil {
		return res, fmt.Errorf("kernel %s (%s): %w", c.Kernel.Release, c.Kernel.Arch, err)
	}
	return res, nil
}

// memory adds room for an initramfs that the kernel unpacks while it still holds the archive.
func memory(want int, archive int64) int {
	if want != 0 {
		return want
	}
	const base, spare, step = 512, 60 << 20, 128 // steps, so that few sizes of guest are saved
	if archive <= spare {
		return base
	}
	return base + step*(int(2*(archive-spare)>>20)/step+1)
}

// totalSize is the size of files, in bytes.
func totalSize(files []initramfs.File) (n int64, err error) {
	for _, f := range files {
		n += int64(len(f.Data))
		if f.Source == "" {
			continue
		}
		st, err := os.Stat(f.Source)
		if err != nil {
			return 0, fmt.Errorf("file %s: %w", f.Path, err)
		}
		n += st.Size()
	}
	return n, nil
}

func (c *CellConfig) retries() int {
	switch {
	case c.Retries < 0:
		return 0
	case c.Retries == 0:
		return 2
	}
	return c.Retries
}

func (c *CellConfig) bootTimeout(accel string) time.Duration {
	switch {
	case c.BootTimeout > 0:
		return c.BootTimeout
	case accel == qemu.KVM:
		return 60 * time.Second
	}
	return 90 * time.Second
}

func (c *CellConfig) event(e Event) {
	if c.Events != nil {
		c.Events(e)
	}
}
