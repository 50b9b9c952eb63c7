package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// InteractiveConfig describes a guest for a person.
type InteractiveConfig struct {
	// Cell is as for [RunCell]; its first test is what runs on the console. OutDir receives the initramfs, which must
	// stay while the guest runs.
	Cell CellConfig
	// Rows and Columns are the terminal's size, 0 if not known.
	Rows, Columns int
	// GDB makes QEMU wait for a debugger on a loopback port before the first instruction; it is the port, 0 for none.
	GDB int
}

// Interactive is a machine that is ready to be started.
type Interactive struct {
	// Args is QEMU's command line. Its console is the standard input and output; Ctrl-a x ends it.
	Args []string
	// Kernel is the file with the symbols for a debugger, as far as the image has any.
	Kernel string
	Accel  qemu.Accel
	// Share is the folder of the host that the guest reads by virtiofs, from the daemon ShareDaemon; empty for none. Args
	// alone then start no machine.
	Share, ShareDaemon string
}

// PrepareInteractive writes the guest's initramfs and composes QEMU's command line.
func PrepareInteractive(ctx context.Context, ic InteractiveConfig) (*Interactive, error) {
	c := ic.Cell
	if c.Kernel == nil || c.OutDir == "" || len(c.Tests) == 0 {
		return nil, errors.New("interactive guest: want a kernel, a folder and a command")
	}
	fail := func(err error) (*Interactive, error) {
		return nil, fmt.Errorf("kernel %s (%s): %w", c.Kernel.Release, c.Kernel.Arch, err)
	}
	qc, accel, _, err := baseMachine(ctx, &c)
	if err != nil {
		return fail(err)
	}
	files, err := cellFiles(&c)
	if err != nil {
		return fail(err)
	}
	initrd, err := buildInitramfs(c.OutDir, files)
	if err != nil {
		return fail(err)
	}
	keep := filepath.Join(c.OutDir, "initramfs.cpio")
	if err := os.Rename(initrd, keep); err != nil {
		return fail(err)
	}
	qc.Initrd, qc.NoPort, qc.Interactive = keep, true, true
	qc.InitArgs = []string{
		fmt.Sprintf("%s=%dx%d", guest.ShellParam, ic.Rows, ic.Columns),
		guest.TimeParam + "=" + strconv.FormatInt(time.Now().UnixNano(), 10),
		guest.LimitParam + "=" + strconv.Itoa(int((30 * 24 * time.Hour).Seconds())),
	}
	if ic.GDB != 0 {
		qc.Extra = []string{"-gdb", "tcp:127.0.0.1:" + strconv.Itoa(ic.GDB), "-S"}
		// The addresses of the image are those that the kernel runs at only without this.
		qc.Append = append([]string{"nokaslr"}, qc.Append...)
	}
	args, err := qemu.Command(qc)
	if err != nil {
		return fail(err)
	}
	m := &Interactive{Args: args, Kernel: c.Kernel.Image, Accel: accel}
	if qc.ShareDaemon != "" {
		m.Share, m.ShareDaemon = qc.Share, qc.ShareDaemon
	}
	return m, nil
}

// Run starts the machine on the standard input and output and waits for its end. When ctx ends, or the calling
// process dies, QEMU is killed.
func (i *Interactive) Run(ctx context.Context) error {
	cmd := exec.Command(i.Args[0], i.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if i.ShareDaemon != "" {
		share, err := qemu.StartShare(i.ShareDaemon, i.Share)
		if err != nil {
			return err
		}
		defer share.Stop()
		share.Pass(cmd)
	}
	runtime.LockOSThread() // the parent death signal is sent when the thread that forked ends
	defer runtime.UnlockOSThread()
	// It stays in our process group, which is the one that may read the terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", i.Args[0], err)
	}
	defer context.AfterFunc(ctx, func() { cmd.Process.Kill() })()
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w", i.Args[0], err)
	}
	return nil
}
