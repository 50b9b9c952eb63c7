package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/instrument"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// benchEnv prints what figures depend on, as a list.
func benchEnv(ctx context.Context, o options, _ []string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	clang, err := instrument.FindClang(ctx)
	if err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg")
	commit := firstLine(ctx, "git", "-C", o.root, "rev-parse", "--short", "HEAD")
	fmt.Printf("Measured on %s, commit %s.\n\n", time.Now().UTC().Format(time.DateOnly), commit)
	fmt.Printf("* %d cores, %s, %s; load average at the start %s\n", runtime.NumCPU(), cpuModel(), memory(), strings.Join(strings.Fields(string(load))[:3], " "))
	fmt.Printf("* Linux %s (%s)\n", unix.ByteSliceToString(u.Release[:]), runtime.GOARCH)
	fmt.Printf("* %s\n", firstLine(ctx, clang.Path, "--version"))
	for _, arch := range []string{"amd64", "arm64", "riscv64", "s390x"} {
		binary, err := qemu.Find(arch)
		if err != nil {
			fmt.Printf("* %s guests: none (%v)\n", arch, err)
			continue
		}
		fmt.Printf("* %s guests: %s\n", arch, firstLine(ctx, binary, "--version"))
	}
	fmt.Printf("* %s\n", runtime.Version())
	return nil
}

func firstLine(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	return string(line)
}

// procField returns the first value of a "name: value" line of a file.
func procField(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func cpuModel() string {
	if m := procField("/proc/cpuinfo", "model name"); m != "" {
		return m
	}
	return "processor unknown"
}

func memory() string {
	var kib int
	if _, err := fmt.Sscanf(procField("/proc/meminfo", "MemTotal"), "%d kB", &kib); err != nil {
		return "memory unknown"
	}
	return fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
}
