package guest

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rearm makes the kernel of a ppc64le machine set the timer of each CPU, the decrementer. QEMU before 8.2 neither saves nor loads it
// (target/ppc/machine.c). A kernel that waits for it waits for ever, and so does everything that waits for a tick: it only sets it for
// what is due earlier. But it uses it for its own ends as well: what it has put off until interrupts may come (include/linux/irq_work.h)
// it does when the decrementer has run out, which it has it do at once (arch_irq_work_raise in arch/powerpc/kernel/time.c), and then
// it sees to the timers too. Perf puts off to disable an event that has come as often as it was to.
func rearm() error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	left := all.Count()
	if left == 1 {
		return deferWork()
	}
	defer unix.SchedSetaffinity(0, &all)
	for cpu := 0; left > 0; cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		left--
		one.Zero()
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return err
		}
		if err := deferWork(); err != nil {
			return err
		}
	}
	return nil
}

// deferWork makes the kernel put off work of this CPU, by an event that is to come once: a page that is missing.
func deferWork() error {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_PAGE_FAULTS, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample: 1, Bits: unix.PerfBitDisabled,
	}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("perf_event_open", err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_REFRESH, 1); err != nil {
		return fmt.Errorf("ioctl(PERF_EVENT_IOC_REFRESH): %w", err)
	}
	page, err := unix.Mmap(-1, 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	page[0] = 1
	return unix.Munmap(page)
}
