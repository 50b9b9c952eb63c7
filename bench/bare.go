package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// bootTimeout ends a bare boot that hangs; see boot.
const bootTimeout = 90 * time.Second

// bootBare boots bpfcov's machine without its port, with the init that only powers off.
func bootBare(ctx context.Context, k *bootKernel) (sample, error) {
	return k.bare(ctx, func(c *qemu.Config) { c.NoPort = true }, k.powerOff, nil)
}

// bootGo is bootBare with an init in Go.
func bootGo(ctx context.Context, k *bootKernel) (sample, error) {
	return k.bare(ctx, func(c *qemu.Config) { c.NoPort = true }, k.goInit, nil)
}

// bootPort adds the device of the virtio-serial port, which newer kernels have built-in drivers for.
func bootPort(ctx context.Context, k *bootKernel) (sample, error) {
	return k.bare(ctx, func(*qemu.Config) {}, k.powerOff, nil)
}

// bootArchive adds the files that a cell's initramfs holds, and uses none of them.
func bootArchive(ctx context.Context, k *bootKernel) (sample, error) {
	files := []initramfs.File{{Path: "/bpfcov/agent", Source: k.agent, Mode: 0o755}}
	for _, m := range k.modules {
		files = append(files, initramfs.File{Path: "/bpfcov/modules/" + m.Name, Data: m.Data})
	}
	return k.bare(ctx, func(*qemu.Config) {}, k.powerOff, files)
}

// bare boots with the same image, machine, processor, memory and kernel command line as a cell.
func (k *bootKernel) bare(ctx context.Context, set func(*qemu.Config), init string, files []initramfs.File) (sample, error) {
	start, host := time.Now(), selfTime()
	initrd, err := k.archive(init, files)
	if err != nil {
		return sample{}, err
	}
	c := qemu.Config{
		Arch: k.Arch, Kernel: k.Image, Initrd: initrd, LSM: k.lsm, Accel: k.accel, Sandbox: k.sandbox,
		Append: []string{guest.InitEnv(k.Arch)}, InitArgs: []string{fmt.Sprintf("%s=%d", guest.TimeParam, start.UnixNano())},
		Console: filepath.Join(k.dir, "bare.console.log"),
	}
	set(&c)
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	v, err := qemu.Start(ctx, c)
	if err != nil {
		return sample{}, err
	}
	defer v.Close()
	if err := v.Wait(); err != nil {
		if ctx.Err() != nil {
			return sample{}, fmt.Errorf("%w within %v", errBoot, bootTimeout)
		}
		return sample{}, err
	}
	return sample{time.Since(start), v.CPUTime(), selfTime() - host}, poweredOff(k.Arch, v.Console())
}

// archive writes the initramfs of a bare boot.
func (k *bootKernel) archive(init string, files []initramfs.File) (name string, err error) {
	var b bytes.Buffer
	files = append(files, initramfs.File{Path: guest.InitPath, Mode: 0o755, Source: init})
	if err := initramfs.Write(&b, files); err != nil {
		return "", err
	}
	name = filepath.Join(k.dir, "bare.cpio")
	return name, os.WriteFile(name, b.Bytes(), 0o644)
}

// poweredOff refuses a boot whose init did not come to its system call: a panic ends QEMU just as well.
func poweredOff(arch string, console []byte) error {
	switch {
	case arch == "s390x":
		// Its console keeps lines back for a tenth of a second and loses the last ones at a power off, but not at a panic
		// (drivers/s390/char/sclp_con.c).
		if bytes.Contains(console, []byte("Kernel panic")) {
			return fmt.Errorf("%w: the console tells of a panic", errBoot)
		}
	case !bytes.Contains(console, []byte("reboot: Power down")): // kernel_power_off in kernel/reboot.c
		return fmt.Errorf("%w: the console does not tell of a power off", errBoot)
	}
	return nil
}

// plainMachine is what somebody gives QEMU who wants this kernel to boot without devices that it does not need, and tunes
// nothing else. The processors are the usual ones: arm64's "max" takes four times as long.
func (k *bootKernel) plainMachine() (machine, cpu, console string, err error) {
	switch k.Arch {
	case "amd64":
		return "q35", "max", "ttyS0", nil
	case "arm64":
		return "virt", "cortex-a57", "ttyAMA0", nil
	case "ppc64le":
		return "pseries", "power10", "hvc0", nil
	case "riscv64":
		return "virt", "rv64", "ttyS0", nil
	case "s390x":
		return "s390-ccw-virtio", "max", "ttysclp0", nil
	}
	return "", "", "", fmt.Errorf("architecture %q: no machine for a bare boot", k.Arch)
}

// bootPackaged boots the image as the package has it, on a machine and with a kernel command line of which nothing was
// chosen for speed.
func bootPackaged(ctx context.Context, k *bootKernel) (sample, error) {
	machine, cpu, console, err := k.plainMachine()
	if err != nil {
		return sample{}, err
	}
	binary, err := qemu.Find(k.Arch)
	if err != nil {
		return sample{}, err
	}
	start, host := time.Now(), selfTime()
	initrd, err := k.archive(k.powerOff, nil)
	if err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-M", machine+",accel="+k.accel, "-cpu", cpu, "-m", "512", "-smp", "1",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", cmp.Or(k.Packed, k.Image), "-initrd", initrd, "-append", "console="+console+" quiet panic=-1")
	var text, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return sample{}, fmt.Errorf("%w within %v", errBoot, bootTimeout)
		}
		return sample{}, fmt.Errorf("%s: %w: %s", binary, err, stderr.Bytes())
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return sample{time.Since(start), used, selfTime() - host}, poweredOff(k.Arch, text.Bytes())
}
