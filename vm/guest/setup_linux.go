package guest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prepare makes the machine what tests expect. It goes on after failures and returns them all as errs; err is one after which
// there is no use in going on.
func prepare(job *Job) (errs []error, err error) {
	if job.Root != RootNone {
		if err := enterRoot(job); err != nil {
			return nil, err
		}
	}
	errs = mountRest()
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	host := job.Hostname
	if host == "" {
		host = "bpfcov"
	}
	if err := unix.Sethostname([]byte(host)); err != nil {
		add(fmt.Errorf("hostname %q: %w", host, err))
	}
	add(loopbackUp())
	add(raiseLimits())
	for _, s := range append([]Sysctl{
		{"net.core.bpf_jit_enable", "1"}, // off by default on riscv64
		{"kernel.kptr_restrict", "0"},
		{"kernel.perf_event_paranoid", "-1"},
		// Who asks for memory that there is not dies at once. The largest process, which the kernel prefers, has to be given the
		// processor to die: with the 1,900 threads of a fork bomb that takes seconds each time, and the agent gets no memory for minutes.
		{"vm.oom_kill_allocating_task", "1"},
	}, job.Sysctls...) {
		add(s.set())
	}
	for _, m := range job.Modules {
		add(m.load())
	}
	return errs, nil
}

func (s Sysctl) set() error {
	p, err := s.path()
	if err != nil {
		return err
	}
	err = writeSmall(p, s.Value)
	if err == unix.ENOENT && s.Name == "net.core.bpf_jit_enable" {
		return nil // an architecture without a JIT
	}
	if err != nil {
		return fmt.Errorf("sysctl %s=%s: %w", s.Name, s.Value, err)
	}
	return nil
}

// load inserts the module. One that is there already is no error. The file stays: to remove the first one costs an
// emulated guest 4 ms, and they take 0.4 MiB.
func (m Module) load() error {
	fd, err := unix.Open(m.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("module %s: %s: %w", m.Name, m.Path, err)
	}
	defer unix.Close(fd)
	if err := loadModule(fd); err != nil && err != unix.EEXIST {
		return fmt.Errorf("module %s: %w", m.Name, err)
	}
	return nil
}

// setClock sets the time from the agent's argument: the host's time when QEMU started, plus the time
// that the guest's kernel has been up. It is late by what QEMU and the kernel's first steps took, well
// below a second.
func setClock() error {
	v, ok := param(TimeParam)
	if !ok {
		return fmt.Errorf("clock: no argument %s", TimeParam)
	}
	ns, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return fmt.Errorf("clock: argument %s=%s: want nanoseconds", TimeParam, v)
	}
	up, err := uptime()
	if err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	ts := unix.NsecToTimespec(ns + int64(up))
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	return nil
}

func uptime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("interface lo: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return fmt.Errorf("interface lo: %w", err)
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("interface lo up: %w", err)
	}
	return nil
}

// raiseLimits sets the limits that tests inherit: memory for BPF maps before 5.11 counts as locked memory.
func raiseLimits() error {
	const nofile = 1 << 20 // fs.nr_open's default
	var errs []error
	for _, l := range []struct {
		name string
		res  int
		lim  unix.Rlimit
	}{
		{"memlock", unix.RLIMIT_MEMLOCK, unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}},
		{"nofile", unix.RLIMIT_NOFILE, unix.Rlimit{Cur: nofile, Max: nofile}},
		{"core", unix.RLIMIT_CORE, unix.Rlimit{}},
	} {
		if err := unix.Setrlimit(l.res, &l.lim); err != nil {
			errs = append(errs, fmt.Errorf("limit %s: %w", l.name, err))
		}
	}
	return errors.Join(errs...)
}

// portDeadline is how long to wait for the port's device; the console driver makes it from a work queue.
const portDeadline = 20 * time.Second

// portDevice is the port. QEMU is told to make it number 1 of its device; the device's own number is that among all virtio devices,
// of which there are at most this many.
const (
	portDevice = "/dev/vport0p1"
	maxVirtio  = 4
)

// openPort waits for the port's device and opens it. The file is not inherited by children, and writes to
// it block. Waiting by trying is cheaper than looking through sysfs for the name.
func openPort() (*port, error) {
	name := []byte(portDevice)
	number := &name[len("/dev/vport")]
	for start := time.Now(); ; nap() {
		for *number = '0'; *number < '0'+maxVirtio; *number++ { // s390x finds its devices in any order
			fd, err := unix.Open(string(name), unix.O_RDWR|unix.O_CLOEXEC, 0)
			switch err {
			case nil:
				return &port{fd: fd}, nil
			case unix.ENOENT, unix.ENXIO, unix.ENODEV, unix.EINTR:
			default:
				return nil, &os.PathError{Op: "open", Path: string(name), Err: err}
			}
		}
		if time.Since(start) > portDeadline {
			return nil, fmt.Errorf("no %s after %v; are virtio_pci (or virtio_ccw) and virtio_console loaded?", portDevice, portDeadline)
		}
	}
}

// port writes without the runtime's poller: pollers and blocking writes on one virtio port lose
// wakeups and then wait for ever.
type port struct{ fd int }

// Read waits for bytes from the host. A port that nobody is connected to on the host reads as empty. Nothing else is to be done
// meanwhile, so the scheduler is not told: a resumed guest would begin with its threads that wake each other.
func (p *port) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(p.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch {
		case errno == 0 && n > 0:
			return int(n), nil
		case errno == 0 || errno == unix.EAGAIN:
			nap()
		case errno != unix.EINTR:
			return 0, fmt.Errorf("read from the port: %w", errno)
		}
	}
}

func (p *port) Write(b []byte) (int, error) {
	n, err := writeAll(p.fd, b)
	if err != nil {
		return n, fmt.Errorf("write to the port: %w", err)
	}
	return n, nil
}
