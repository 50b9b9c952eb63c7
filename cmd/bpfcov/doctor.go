package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/instrument"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/qemu"
	"github.com/bpfcov/bpfcov/vm/rootfs"
)

// finding is one thing that doctor looked at.
type finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	// Needed is set when run cannot work without it.
	Needed bool `json:"needed"`
}

func newDoctor() *cobra.Command {
	var asJSON bool
	var arches []string
	var build bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks, and the package that brings it",
		Long: `Say what this machine lacks, and the package that brings it.

Exit status 3 when something is missing that every run needs: a clang with a pass plugin, an emulator for
one of the architectures, or a way to get an agent.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if build {
				return buildPlugin(cmd.Context())
			}
			list := examine(cmd.Context(), arches)
			if asJSON {
				if err := writeJSON(cmd.OutOrStdout(), list); err != nil {
					return err
				}
			} else {
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, f := range list {
					fmt.Fprintf(t, "%s\t%s\t%s\n", mark(f), f.What, f.Detail)
				}
				if err := t.Flush(); err != nil {
					return err
				}
			}
			for _, f := range list {
				if f.Needed && !f.OK {
					return &exitError{code: exitEnvironment}
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringSliceVar(&arches, "arch", []string{"amd64", "arm64"}, "`GOARCH` names of the guests")
	cmd.Flags().BoolVar(&build, "build-plugin", false, "build the pass plugin for the clang in use if there is none, and do nothing else")
	return cmd
}

func mark(f finding) string {
	switch {
	case f.OK:
		return "ok"
	case f.Needed:
		return "MISSING"
	}
	return "note"
}

func buildPlugin(ctx context.Context) error {
	clang, err := instrument.FindClang(ctx)
	if err == nil {
		_, err = instrument.EnsurePlugin(ctx, clang)
	}
	if err != nil {
		return &exitError{exitEnvironment, err}
	}
	return nil
}

// examine looks at everything that the commands need, without changing anything.
func examine(ctx context.Context, arches []string) []finding {
	list := []finding{examineClang(ctx), examineStrip(ctx)}
	for _, arch := range arches {
		list = append(list, examineQEMU(ctx, arch), examineAgent(arch))
	}
	return append(list, examineKernels(), examineAccel(ctx), examineExec(), examineShell(), examineDisks(), examineVirtiofsd())
}

func examineClang(ctx context.Context) finding {
	f := finding{What: "clang and pass plugin", Needed: true}
	clang, err := instrument.FindClang(ctx)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	s := instrument.PluginStatusOf(clang.Path, clang.Major)
	f.OK = s.Usable()
	switch {
	case s.Path != "":
		f.Detail = fmt.Sprintf("%s (LLVM %d), plugin %s", clang.Path, clang.Major, s.Path)
	case s.Usable():
		f.Detail = fmt.Sprintf("%s (LLVM %d), the plugin is built at the first use", clang.Path, clang.Major)
	default:
		f.Detail = fmt.Sprintf("%s (LLVM %d) has no plugin, and building it needs %s", clang.Path, clang.Major, s.Missing)
	}
	return f
}

func examineStrip(ctx context.Context) finding {
	f := finding{What: "llvm-strip, for bpf2go"}
	clang, err := instrument.FindClang(ctx)
	if err == nil {
		f.Detail = stripBeside(clang.Path)
	}
	if f.OK = f.Detail != ""; !f.OK {
		f.Detail = "none beside clang or on PATH; package llvm-19, or llvm for Debian's default"
	}
	return f
}

func examineQEMU(ctx context.Context, arch string) finding {
	f := finding{What: "emulator for " + arch, Needed: true}
	path, err := qemu.Find(arch)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK, f.Detail = true, path
	return f
}

func examineAgent(arch string) finding {
	f := finding{What: "agent for " + arch, Needed: true}
	path, err := vm.LookAgent(arch)
	if err == nil {
		f.OK, f.Detail = true, path
		return f
	}
	if _, err := exec.LookPath("go"); err == nil {
		f.OK, f.Detail = true, "is built with go at the first use"
		return f
	}
	f.Detail = err.Error()
	return f
}

func examineKernels() finding {
	f := finding{What: "kernels in the store"}
	store := newStore(false)
	list, err := store.List()
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK = len(list) > 0
	f.Detail = fmt.Sprintf("%d", len(list))
	if _, err := exec.LookPath("apt-get"); err != nil {
		f.Detail += "; apt: specs need apt-get, which is not here: use file: specs"
		f.OK = false
	} else if len(list) == 0 {
		f.Detail += "; they are fetched when a run needs them, or by bpfcov kernels pull"
	}
	return f
}

func examineAccel(ctx context.Context) finding {
	f := finding{What: "acceleration for " + runtime.GOARCH}
	p := qemu.Probe{Arch: runtime.GOARCH}
	if list, err := newStore(false).List(); err == nil {
		for _, k := range list {
			if k.Arch == runtime.GOARCH {
				p.Kernel = k.Image
			}
		}
	}
	if p.Kernel == "" {
		f.Detail = "not known yet: there is no kernel in the store to try KVM with"
		return f
	}
	a, err := p.Accel(ctx)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK, f.Detail = a.Name == qemu.KVM, a.String()
	return f
}

// examineShell tells whether there is a shell for guests.
func examineShell() finding {
	f := finding{What: "busybox, for bpfcov shell"}
	if p, err := exec.LookPath("busybox"); err == nil {
		f.OK, f.Detail = true, p
		return f
	}
	if _, err := exec.LookPath("apt-get"); err == nil {
		f.OK, f.Detail = true, "not installed; fetched from the package busybox-static at the first use"
		return f
	}
	f.Detail = "none on PATH; package busybox-static, or --busybox FILE"
	return f
}

// examineDisks tells whether disks can be made.
func examineDisks() finding {
	f := finding{What: "disks, for root images and large files", OK: true, Detail: "squashfs-tools"}
	if err := rootfs.Available(); err != nil {
		f.OK, f.Detail = false, err.Error()
	}
	return f
}

// examineVirtiofsd tells whether kernels without 9p can read the host's root.
func examineVirtiofsd() finding {
	f := finding{What: "virtiofs, for root: host on kernels without 9p"}
	p, err := qemu.FindVirtiofsd()
	if f.OK, f.Detail = err == nil, p; err != nil {
		f.Detail = err.Error()
	}
	return f
}

// examineExec tells whether bpfcov exec can work here: it needs to install a seccomp listener and to read maps.
func examineExec() finding {
	f := finding{What: "bpfcov exec on this kernel"}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		f.Detail = err.Error()
		return f
	}
	f.Detail = "Linux " + unix.ByteSliceToString(uts.Release[:])
	f.OK = os.Geteuid() == 0
	if !f.OK {
		f.Detail += "; needs root (CAP_SYS_ADMIN)"
	}
	return f
}
