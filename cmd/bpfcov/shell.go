package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/internal/shellword"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

type shellFlags struct {
	runFlags
	guestArch string
	busybox   string
	modules   []string
	append    []string
	memory    int
	cpus      int
	gdb       int
	print     bool
}

func (f *shellFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.guestArch, "arch", "", "`GOARCH` of the guest (default: this machine's)")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration `FILE`, for the tests and modules (default "+config.FileName+" if there is one)")
	cmd.Flags().StringVar(&f.out, "out", "", "`folder` of the last run, with the built tests (default bpfcov-out)")
	cmd.Flags().StringVar(&f.busybox, "busybox", "", "static busybox `FILE` for the guest's architecture (default: the host's, else the package busybox-static)")
	cmd.Flags().StringVar(&f.root, "root", "", "`ROOT` of the guest: closure, image:REF or host (default: what the configuration says)")
	cmd.Flags().StringSliceVar(&f.modules, "module", nil, "kernel `module` to load; repeatable")
	cmd.Flags().StringArrayVar(&f.append, "append", nil, "kernel `parameter`; repeatable")
	cmd.Flags().IntVar(&f.memory, "memory-mib", 0, "memory of the guest in MiB (default 512)")
	cmd.Flags().IntVar(&f.cpus, "cpus", 0, "virtual CPUs (default 1)")
	cmd.Flags().BoolVar(&f.refresh, "refresh", false, "look for a newer kernel in the archives")
}

func newShell() *cobra.Command {
	var f shellFlags
	cmd := &cobra.Command{
		Use:   "shell KERNEL [flags] [-- CMD [ARG]...]",
		Short: "Open a shell in a guest with the tests at hand",
		Long: `Open a shell in a guest with the tests at hand.

The guest is that of bpfcov run, and /test holds what the last run built for its architecture. The shell is busybox; a
command behind -- runs instead of it. exit, or Ctrl-a x, ends the guest.`,
		Example: "  bpfcov shell apt:bookworm\n" +
			"  bpfcov shell apt:sid --arch s390x -- uname -a",
		RunE: func(cmd *cobra.Command, args []string) error { return runShell(cmd, f, args) },
	}
	f.register(cmd)
	return cmd
}

func newBoot() *cobra.Command {
	var f shellFlags
	cmd := &cobra.Command{
		Use:   "boot KERNEL [flags] [-- CMD [ARG]...]",
		Short: "Boot a guest for a debugger, or print how QEMU is called",
		Long: `Boot a guest for a debugger, or print how QEMU is called.

The guest is that of bpfcov shell. --print-qemu writes its initramfs and prints QEMU's command line instead of starting it.
--gdb makes QEMU wait for a debugger before the first instruction.`,
		Example: "  bpfcov boot --print-qemu apt:trixie\n" +
			"  bpfcov boot --gdb 1234 build:$HOME/src/bpf-next",
		RunE: func(cmd *cobra.Command, args []string) error { return runShell(cmd, f, args) },
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.print, "print-qemu", false, "print QEMU's command line and leave the initramfs where it says")
	cmd.Flags().IntVar(&f.gdb, "gdb", 0, "let a debugger connect to this loopback `port`")
	cmd.Flags().Lookup("gdb").NoOptDefVal = "1234"
	return cmd
}

func runShell(cmd *cobra.Command, f shellFlags, args []string) error {
	dash := cmd.ArgsLenAtDash()
	if dash < 0 {
		dash = len(args)
	}
	if dash != 1 {
		return usagef("want one kernel, and a command only behind -- (see %s --help)", cmd.CommandPath())
	}
	if f.gdb < 0 || f.gdb > 65535 {
		return usagef("--gdb %d: want a port from 1 to 65535", f.gdb)
	}
	spec, command := args[0], args[1:]
	if len(command) == 0 && !f.print && f.gdb == 0 && !term.IsTerminal(int(os.Stdin.Fd())) {
		return usagef("a shell needs a terminal, and the standard input is none; give a command behind --")
	}
	ctx := cmd.Context()
	if f.guestArch == "" {
		f.guestArch = runtime.GOARCH
	}
	c, err := shellConfig(f)
	if err == nil {
		err = setRoot(c, f.root)
	}
	if err != nil {
		return err
	}
	store := newStore(f.refresh)
	k, err := store.Pull(ctx, spec, f.guestArch)
	if err != nil {
		return err
	}
	r := &matrix.Runner{Config: c, Out: outFolder(f.runFlags, c), Store: store, Progress: warn}
	root, err := r.Root(ctx, k.Arch)
	if err != nil {
		return err
	}
	bare := root == vm.Root{}
	files, err := shellFiles(ctx, store, k, f, r, bare)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bpfcov-shell-*")
	if err != nil {
		return err
	}
	if !f.print {
		defer os.RemoveAll(dir)
	}
	ic := vm.InteractiveConfig{GDB: f.gdb, Cell: vm.CellConfig{
		Kernel: k, Files: files, Root: root, OutDir: dir, KernelArgs: f.append,
		Modules: f.modules, MemoryMiB: f.memory, CPUs: f.cpus,
		Tests: []guest.Test{{Name: "shell", Command: shellCommand(command, bare), Dir: "/test", Env: shellEnv()}},
	}}
	for _, m := range c.Modules {
		ic.Cell.OptionalModules = append(ic.Cell.OptionalModules, strings.TrimSuffix(m, "?"))
	}
	if w, h, err := term.GetSize(int(os.Stdin.Fd())); err == nil {
		ic.Rows, ic.Columns = h, w
	}
	m, err := vm.PrepareInteractive(ctx, ic)
	if err != nil {
		return err
	}
	if f.print && m.ShareDaemon != "" {
		os.RemoveAll(dir)
		return &exitError{exitUsage, fmt.Errorf("%s reads the host's root by virtiofs, from a daemon that bpfcov starts: QEMU's command line alone does not boot it; use a flavour with 9p, such as @generic", k.Release)}
	}
	if f.print {
		return printCommand(cmd.OutOrStdout(), m.Args)
	}
	warn("%s on %s by %s; Ctrl-a x ends it", k.Release, k.Arch, m.Accel)
	if f.gdb != 0 {
		warn("waiting for a debugger: gdb -ex 'target remote 127.0.0.1:%d' %s", f.gdb, m.Kernel)
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		// QEMU sets the terminal up for itself and may be killed before it has put it back.
		if old, err := term.GetState(int(os.Stdin.Fd())); err == nil {
			defer term.Restore(int(os.Stdin.Fd()), old)
		}
	}
	if err := m.Run(ctx); err != nil {
		return &exitError{exitEnvironment, err}
	}
	return nil
}

// shellConfig is the configuration, or an empty one when there is none.
func shellConfig(f shellFlags) (*config.Config, error) {
	path := f.config
	if path == "" {
		path = config.FileName
	}
	c, err := config.Load(path)
	if errors.Is(err, os.ErrNotExist) && f.config == "" {
		wd, err := os.Getwd()
		return &config.Config{Dir: wd}, err
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return c, nil
}

// busyboxPath is where busybox stands in a guest that has nothing else, rootBusyboxPath where it does in one with a root: a
// folder /bin there might hide a link to /usr/bin. The name begins with busybox, by which it knows that it is meant.
const (
	busyboxPath     = "/bin/busybox"
	rootBusyboxPath = "/busybox-of-bpfcov"
)

// shellCommand runs a command, or a shell: in a bare guest busybox, after giving it its names, and else the root's own, if
// it has one.
func shellCommand(command []string, bare bool) []string {
	if !bare {
		if len(command) > 0 {
			return append([]string{rootBusyboxPath, "sh", "-c", `exec "$@"`, "sh"}, command...)
		}
		return []string{rootBusyboxPath, "sh", "-c", `for sh in /bin/bash /bin/sh; do [ -x $sh ] && exec $sh -l; done; exec ` + rootBusyboxPath + ` sh -l`}
	}
	const install = busyboxPath + ` --install -s /bin; `
	if len(command) > 0 {
		return append([]string{busyboxPath, "sh", "-c", install + `exec "$@"`, "sh"}, command...)
	}
	return []string{busyboxPath, "sh", "-c", install + `ls -A; exec ` + busyboxPath + ` sh -l`}
}

func shellEnv() []string {
	env := []string{"PS1=\\w # "}
	if t := os.Getenv("TERM"); t != "" {
		env = append(env, "TERM="+t)
	}
	return env
}

func shellFiles(ctx context.Context, store *kernels.Store, k *kernels.Kernel, f shellFlags, r *matrix.Runner, bare bool) ([]initramfs.File, error) {
	box, err := findBusybox(ctx, store, k, f.busybox)
	if err != nil {
		return nil, err
	}
	path := busyboxPath
	if !bare {
		path = rootBusyboxPath
	}
	files := r.WithLibraries([]initramfs.File{{Path: path, Mode: 0o755, Source: box}})
	tests, err := r.BuiltFiles(k.Arch)
	switch {
	case errors.Is(err, matrix.ErrNotBuilt):
		warn("/test is empty: %v", err)
		return append(files, initramfs.File{Path: "/test", Mode: os.ModeDir | 0o755}), nil
	case err != nil:
		return nil, err
	}
	return append(files, tests...), nil
}

// findBusybox takes the file named, the host's busybox where the guest can run it, or that of the package
// busybox-static, of the suite that the kernel is from or, for other kernels, of the host's release.
func findBusybox(ctx context.Context, store *kernels.Store, k *kernels.Kernel, named string) (string, error) {
	if named != "" {
		return filepath.Abs(named)
	}
	if k.Arch == runtime.GOARCH {
		if p, err := exec.LookPath("busybox"); err == nil {
			return filepath.Abs(p)
		}
	}
	suite := "stable"
	if rest, ok := strings.CutPrefix(k.Spec, "apt:"); ok {
		suite, _, _ = strings.Cut(rest, "/")
		suite, _, _ = strings.Cut(suite, "@")
	} else if s := hostCodename(); s != "" {
		suite = s
	}
	p, err := store.Busybox(ctx, suite, k.Arch)
	if err != nil {
		return "", &exitError{exitEnvironment, fmt.Errorf("a shell needs a busybox for %s: install the package busybox-static, or name one with --busybox: %w", k.Arch, err)}
	}
	return p, nil
}

// hostCodename is VERSION_CODENAME of os-release(5).
func hostCodename() string {
	file, err := os.Open("/etc/os-release")
	if err != nil {
		return ""
	}
	defer file.Close()
	sc := bufio.NewScanner(io.LimitReader(file, 1<<16))
	for sc.Scan() {
		if v, ok := strings.CutPrefix(sc.Text(), "VERSION_CODENAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}

// printCommand prints a command so that a shell takes it as it is.
func printCommand(w io.Writer, args []string) error {
	for i, a := range args {
		sep := " "
		if i == len(args)-1 {
			sep = "\n"
		} else if strings.HasPrefix(args[i+1], "-") {
			sep = " \\\n  "
		}
		if _, err := fmt.Fprint(w, shellword.Quote(a)+sep); err != nil {
			return err
		}
	}
	return nil
}
