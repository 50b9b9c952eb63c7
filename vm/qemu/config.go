package qemu

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Accelerators.
const (
	TCG = "tcg" // emulation, works everywhere
	KVM = "kvm"
)

// Config describes one machine. Kernel is required; the zero value of everything else is usable.
type Config struct {
	// Arch is a GOARCH: amd64, arm64, ppc64le, riscv64 or s390x.
	Arch string
	// Kernel is what -kernel takes: on amd64 a bzImage, or faster an uncompressed vmlinux with PVH entry.
	Kernel string
	// Initrd is the initramfs; empty for none.
	Initrd string
	// Append are kernel parameters on top of those of [Config.KernelArgs].
	Append []string
	// InitArgs are arguments for the guest's init.
	InitArgs []string
	// LSM is the kernel's own list of security modules (CONFIG_LSM). When it lacks "bpf", bpf is added to
	// it, since otherwise BPF LSM programs attach and never run. Empty leaves the kernel's list alone.
	LSM string
	// MemoryMiB is the guest's memory; 0 means 512.
	MemoryMiB int
	// CPUs is the number of virtual CPUs; 0 means 1. Under TCG each costs half a second of boot time.
	CPUs int
	// Accel is TCG or KVM; empty means TCG. See [ProbeAccel].
	Accel string
	// Binary is the emulator; empty means the architecture's, from PATH.
	Binary string
	// Sandbox turns on QEMU's seccomp filter. See [ProbeSandbox].
	Sandbox bool
	// Disk is a file that the guest sees as its first virtio disk, read-only; empty for none.
	Disk string
	// Share is a folder of the host that the guest can mount under the tag ShareTag, read-only; empty for none. It is
	// mounted by 9p, or by virtiofs where ShareDaemon is set: the path of a virtiofsd, see [StartShare].
	Share, ShareTag, ShareDaemon string
	// NoPort leaves out the virtio-serial port: the smallest machine that boots.
	NoPort bool
	// Interactive gives the console to a person: the keys go to the guest, but for Ctrl-a, which commands QEMU.
	Interactive bool
	// Console is the file that receives the console's text, at most [ConsoleLimit] bytes of it:
	// the first and the last part when there is more. Empty means that only the tail is kept, in memory.
	Console string
	// RAM, if not nil, is the file that is the guest's memory; it is extended to the memory's size. With Incoming it is
	// the memory of the saved machine, and the guest writes to copies of its pages.
	RAM *os.File
	// Save prepares for [VM.Save]. It needs RAM.
	Save bool
	// Incoming, if not nil, is the state to resume, as [VM.Save] wrote it, of a machine whose configuration was the same
	// but for Console, RAM and Incoming. It needs RAM.
	Incoming *os.File
	// Extra are further arguments for QEMU.
	Extra []string
}

// File descriptors of the process: the first of exec.Cmd.ExtraFiles, and those that follow it.
const (
	portFD    = 3 // QEMU's end of the port
	monitorFD = 4 // of its monitor
	gdbFD     = 5 // of its stub for GDB
	ramFD     = 6
	stateFD   = 7
	shareFD   = 8 // QEMU's end of the connection to the daemon of a share
)

// saves reports whether the machine is one that can be saved or resumed.
func (c Config) saves() bool { return c.Save || c.Incoming != nil }

// told reports whether the machine is told to read its state. If not it does so by itself as soon as it can, and goes on.
func (c Config) told() bool { return c.rearms() || c.Incoming != nil && needsCapability(c.Incoming) }

// monitored reports whether the machine takes commands.
func (c Config) monitored() bool { return c.Save || c.told() }

// rearms reports whether the machine is resumed with timers that are to be set again, see [gdb.rearm].
func (c Config) rearms() bool { return c.Incoming != nil && c.Arch == "riscv64" && c.Accel != KVM }

// KernelArgs returns the kernel's command line. The common part is the fastest measured set that keeps
// the console useful: panic=-1 with QEMU's -no-reboot ends QEMU at once when the kernel panics, and
// quiet still prints errors.
func (c Config) KernelArgs() ([]string, error) {
	m, err := machineFor(c.Arch)
	if err != nil {
		return nil, err
	}
	args := []string{
		"console=" + m.console, "quiet", "panic=-1",
		"cryptomgr.notests", "raid=noautodetect", "random.trust_cpu=on",
	}
	switch {
	case c.Arch == "amd64":
		args = append(args, "psmouse.proto=exps")
	case c.Arch == "arm64" && c.Accel != KVM:
		// Kernels with random addresses isolate their page tables (kaslr_requires_kpti in arch/arm64/kernel/cpufeature.c),
		// and QEMU then forgets all translations of addresses at each system call.
		args = append(args, "kpti=0")
	}
	if c.LSM != "" && !hasWord(c.LSM, "bpf") {
		args = append(args, "lsm="+c.LSM+",bpf")
	}
	args = append(args, c.Append...)
	if len(c.InitArgs) > 0 {
		args = append(append(args, "--"), c.InitArgs...)
	}
	return args, nil
}

func hasWord(list, word string) bool {
	for _, w := range strings.Split(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// Command returns QEMU's command line, the program first. Unless NoPort is set, file descriptor 3 of
// the process must be a connected stream socket.
func Command(c Config) ([]string, error) {
	m, err := machineFor(c.Arch)
	if err != nil {
		return nil, err
	}
	kargs, err := c.KernelArgs()
	if err != nil {
		return nil, err
	}
	binary, accel, mem, cpus, cpu := c.Binary, c.Accel, c.MemoryMiB, c.CPUs, m.cpu
	if binary == "" {
		binary = m.binary
	}
	if mem == 0 {
		mem = 512
	}
	if cpus == 0 {
		cpus = 1
	}
	switch accel {
	case "":
		accel = TCG
	case TCG:
	case KVM:
		cpu = "host"
	default:
		return nil, fmt.Errorf("accelerator %q: want %s or %s", accel, TCG, KVM)
	}
	switch {
	case c.Kernel == "":
		return nil, fmt.Errorf("no kernel image given")
	case mem < 64 || mem > 1<<20:
		return nil, fmt.Errorf("memory of %d MiB: want 64 to %d", mem, 1<<20)
	case cpus < 1 || cpus > 256:
		return nil, fmt.Errorf("%d CPUs: want 1 to 256", cpus)
	}
	if c.saves() && (c.RAM == nil || c.NoPort) {
		return nil, fmt.Errorf("a machine that is saved or resumed needs a file for its memory, and a port")
	}
	machine := m.machine + ",accel=" + accel
	if c.saves() && c.ShareDaemon != "" {
		return nil, fmt.Errorf("a machine with a share is neither saved nor resumed")
	}
	if c.RAM != nil || c.ShareDaemon != "" {
		machine += ",memory-backend=ram"
	}
	args := []string{
		binary,
		"-M", machine,
		"-cpu", cpu,
		"-m", strconv.Itoa(mem),
		"-smp", strconv.Itoa(cpus),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
	}
	if c.RAM != nil {
		share := "on"
		if c.Incoming != nil {
			share = "off"
		}
		args = append(args, "-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,share=%s,mem-path=/proc/self/fd/%d", mem, share, ramFD))
	}
	if c.ShareDaemon != "" { // the daemon reads requests from the guest's memory
		args = append(args, "-object", fmt.Sprintf("memory-backend-memfd,id=ram,size=%dM,share=on", mem))
	}
	if c.monitored() {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", monitorFD), "-mon", "chardev=monitor,mode=control")
	}
	switch {
	case c.told():
		args = append(args, "-incoming", "defer")
	case c.Incoming != nil:
		args = append(args, "-incoming", fmt.Sprintf("fd:%d", stateFD))
	}
	if c.rearms() {
		args = append(args, "-S", "-chardev", fmt.Sprintf("socket,id=gdb,fd=%d", gdbFD), "-gdb", "chardev:gdb")
	}
	if c.Sandbox {
		args = append(args, "-sandbox", sandboxOn)
	}
	kernel := c.Kernel
	if c.Incoming != nil && c.Arch == "arm64" {
		// QEMU would read an arm64 image of 30 MB whole, which costs as much as the rest of its start, and then leave memory
		// as it is in the file. Any small file does; the state is one.
		kernel = fmt.Sprintf("/proc/self/fd/%d", stateFD)
	}
	stdio := "stdio,id=console,signal=off"
	if c.Interactive {
		stdio += ",mux=on"
		args = append(args, "-mon", "chardev=console,mode=readline")
	}
	args = append(args,
		"-chardev", stdio,
		"-serial", "chardev:console",
		"-kernel", kernel,
	)
	if c.Initrd != "" {
		args = append(args, "-initrd", c.Initrd)
	}
	args = append(args, "-append", strings.Join(kargs, " "))
	if !c.NoPort {
		args = append(args,
			// Port 0 is for consoles, so two ports are the fewest; the default of 31 makes the guest set up
			// 64 queues.
			"-device", m.device("serial")+",max_ports=2",
			"-chardev", fmt.Sprintf("socket,id=port,fd=%d", portFD),
			"-device", "virtserialport,nr=1,chardev=port,name=bpfcov",
		)
	}
	if c.Disk != "" {
		args = append(args, "-drive", "if=none,id=disk,format=raw,readonly=on,file="+escape(c.Disk), "-device", m.device("blk")+",drive=disk")
	}
	switch {
	case c.ShareDaemon != "":
		args = append(args,
			"-chardev", fmt.Sprintf("socket,id=share,fd=%d", shareFD),
			"-device", "vhost-user-fs-"+m.bus+",chardev=share,tag="+c.ShareTag)
	case c.Share != "":
		args = append(args,
			"-fsdev", "local,id=share,security_model=none,readonly=on,multidevs=remap,path="+escape(c.Share),
			"-device", m.device("9p")+",fsdev=share,mount_tag="+c.ShareTag)
	}
	return append(args, c.Extra...), nil
}

// escape makes a value of one of QEMU's options of a file name.
func escape(name string) string { return strings.ReplaceAll(name, ",", ",,") }

// sandboxOn is the argument of -sandbox: QEMU may start no process, gain no privilege and change no scheduling.
const sandboxOn = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
