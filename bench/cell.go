package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// cellRounds is the default number of samples of each variant and kernel.
const cellRounds = 7

// sample is one boot.
type sample struct {
	wall time.Duration // of everything, host side included
	cpu  time.Duration // processor time of QEMU
	host time.Duration // processor time of the host side: this process and what it ran besides QEMU
}

// A bootVariant is one way to boot a kernel.
type bootVariant struct {
	name string
	boot func(ctx context.Context, k *bootKernel) (sample, error)
}

// bootKernel is a kernel and the programs for it.
type bootKernel struct {
	*kernels.Kernel
	agent          string
	powerOff, true string // files
	goInit         string
	accel          string
	lsm            string
	dir            string // scratch
	sandbox        bool
	modules        []kernels.Module
	saved          int // warm cells so far
}

var errBoot = errors.New("the guest did not come up")

func benchCell(ctx context.Context, o options, args []string) error {
	return bootBench(ctx, o, args, "Cell against bare boot", []bootVariant{
		{"bare boot, as packaged", bootPackaged}, {"bare boot, bpfcov's machine", bootBare},
		{"the same, init in Go", bootGo}, {"cell", bootCell}, {"warm cell", bootWarm},
	})
}

func benchSteps(ctx context.Context, o options, args []string) error {
	return bootBench(ctx, o, args, "From bare boot to cell", []bootVariant{
		{"bare boot, as packaged", bootPackaged}, {"bare boot, bpfcov's machine", bootBare}, {"+ port device", bootPort}, {"+ the cell's archive", bootArchive}, {"cell", bootCell},
	})
}

// baselines is how many of a benchmark's variants, the first ones, are what the others are compared with.
const baselines = 2

// defaultBoots are the kernels of the project's demo, and one each of two more architectures.
func defaultBoots() []string {
	return []string{
		"amd64=apt:bookworm/6.1", "amd64=apt:bullseye/5.10", "amd64=apt:trixie/6.12", "amd64=apt:sid/7.*",
		"arm64=apt:bookworm/6.1", "arm64=apt:sid/7.*", "riscv64=apt:trixie/6.12", "s390x=apt:trixie/6.12",
	}
}

// bootBench boots each kernel n times in each variant, in turns, and prints a row for each variant.
func bootBench(ctx context.Context, o options, args []string, heading string, variants []bootVariant) error {
	if len(args) == 0 {
		args = defaultBoots()
	}
	n := o.n
	if n == 0 {
		n = cellRounds
	}
	t := table{left: 2}
	t.row("kernel", "boot", "wall min s", "median s", "to packaged", "to bpfcov's machine",
		"QEMU CPU min s", "median s", "to packaged", "to bpfcov's machine", "host CPU median s", "failed boots")
	for i, a := range args {
		arch, spec, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("argument %q: want ARCH=SPEC, for example amd64=apt:bookworm/6.1", a)
		}
		k, err := prepareKernel(ctx, o, arch, spec, filepath.Join(o.work, fmt.Sprintf("kernel%d", i)))
		if err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
		samples, failed, err := bootRounds(ctx, k, variants, n)
		if err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
		addBootRows(&t, k, variants, samples, failed)
	}
	return t.write(os.Stdout, fmt.Sprintf("%s (n=%d, interleaved)", heading, n))
}

// bootRounds boots in rounds of one boot each variant, so that whatever else the machine does meets all
// variants alike; the order alternates. A boot that fails (kernels that fault under emulation, see
// [vm.RunCell]) is counted and repeated.
func bootRounds(ctx context.Context, k *bootKernel, variants []bootVariant, n int) (samples [][]sample, failed []int, err error) {
	samples, failed = make([][]sample, len(variants)), make([]int, len(variants))
	for round := range n {
		for j := range variants {
			v := j
			if round%2 == 1 {
				v = len(variants) - 1 - j
			}
			for {
				s, err := variants[v].boot(ctx, k)
				if errors.Is(err, errBoot) && ctx.Err() == nil {
					if failed[v]++; failed[v] > n {
						return nil, nil, fmt.Errorf("%s: %w", variants[v].name, err)
					}
					progress("%s %s: %s: %v", k.Release, k.Arch, variants[v].name, err)
					continue
				}
				if err != nil {
					return nil, nil, fmt.Errorf("%s: %w", variants[v].name, err)
				}
				samples[v] = append(samples[v], s)
				progress("%s %s: round %d of %d: %s: wall %.2f s, QEMU %.2f s, host side %.2f s", k.Release, k.Arch,
					round+1, n, variants[v].name, s.wall.Seconds(), s.cpu.Seconds(), s.host.Seconds())
				break
			}
		}
	}
	return samples, failed, nil
}

func addBootRows(t *table, k *bootKernel, variants []bootVariant, samples [][]sample, failed []int) {
	pick := func(v int, f func(sample) time.Duration) (low, mid time.Duration) {
		var d []time.Duration
		for _, s := range samples[v] {
			d = append(d, f(s))
		}
		return lowest(d), median(d)
	}
	wall := func(s sample) time.Duration { return s.wall }
	cpu := func(s sample) time.Duration { return s.cpu }
	sec := func(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }
	// Of minima and of medians.
	both := func(v, base int, f func(sample) time.Duration) string {
		if v == base {
			return ""
		}
		low, mid := pick(v, f)
		low0, mid0 := pick(base, f)
		return ratio(low.Seconds(), low0.Seconds()) + " / " + ratio(mid.Seconds(), mid0.Seconds())
	}
	for v := range variants {
		row := []string{k.Release + " " + k.Arch, variants[v].name}
		for _, f := range []func(sample) time.Duration{wall, cpu} {
			low, mid := pick(v, f)
			row = append(row, sec(low), sec(mid))
			for base := range baselines {
				row = append(row, both(v, base, f))
			}
		}
		_, host := pick(v, func(s sample) time.Duration { return s.host })
		t.row(append(row, sec(host), fmt.Sprint(failed[v]))...)
	}
}

// prepareKernel fetches the kernel and makes the programs of both boots.
func prepareKernel(ctx context.Context, o options, arch, spec, dir string) (*bootKernel, error) {
	store := kernels.Store{Log: progress}
	kernel, err := store.Pull(ctx, spec, arch)
	if err != nil {
		return nil, err
	}
	k := &bootKernel{
		Kernel: kernel, dir: dir, agent: filepath.Join(o.root, "bin", "bpfcov-agent-"+kernel.Arch),
		powerOff: filepath.Join(dir, "poweroff"), true: filepath.Join(dir, "true"),
	}
	if _, err := os.Stat(k.agent); err != nil {
		return nil, fmt.Errorf("%w; run make", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for name, program := range map[string]func(string) ([]byte, error){k.powerOff: powerOffELF, k.true: trueELF} {
		b, err := program(kernel.Arch)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, b, 0o755); err != nil {
			return nil, err
		}
	}
	k.goInit = filepath.Join(dir, "goinit")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", k.goInit, "./bench/goinit")
	build.Dir, build.Env = o.root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+kernel.Arch)
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build ./bench/goinit: %w: %s", err, text)
	}
	// What RunCell asks and then finds in its cache; also so that the first round is like the others.
	probe := qemu.Probe{Arch: kernel.Arch, Kernel: kernel.Image}
	accel, err := probe.Accel(ctx)
	if err != nil {
		return nil, err
	}
	k.accel = accel.Name
	if k.sandbox, err = probe.Sandbox(ctx); err != nil {
		return nil, err
	}
	if f := kernel.Features; f.Known && f.LSM {
		k.lsm = strings.Join(f.LSMs, ",")
	}
	k.modules, _, err = kernel.LoadModules(nil, []string{"virtio_pci", "virtio_console"})
	return k, err
}

// bootCell runs a cell whose only test is the smallest "true".
func bootCell(ctx context.Context, k *bootKernel) (sample, error) {
	s, _, err := k.cell(ctx, func(*vm.CellConfig) {})
	return s, err
}

// bootWarm runs the same cell in a guest that was saved before.
func bootWarm(ctx context.Context, k *bootKernel) (sample, error) {
	warm := func(c *vm.CellConfig) { c.Warm, c.CacheDir = true, filepath.Join(k.dir, "cache") }
	for saved := false; ; saved = true {
		s, res, err := k.cell(ctx, warm)
		if err == nil && !res.Warm {
			err = fmt.Errorf("%w: the saved guest did not resume: %q", errBoot, res.Logs)
		}
		if err == nil && k.saved == 0 && !saved {
			continue // the first one had to save the guest
		}
		k.saved++
		return s, err
	}
}

// cell runs "true" in a guest.
func (k *bootKernel) cell(ctx context.Context, set func(*vm.CellConfig)) (sample, *vm.CellResult, error) {
	var s sample
	out, err := os.MkdirTemp(k.dir, "cell-*")
	if err != nil {
		return s, nil, err
	}
	defer os.RemoveAll(out)
	c := vm.CellConfig{
		Kernel: k.Kernel, Agent: k.agent, Accel: k.accel, OutDir: out, Retries: -1,
		Tests: []guest.Test{{Name: "true", Command: []string{"/true"}}},
		Files: []initramfs.File{{Path: "/true", Mode: 0o755, Source: k.true}},
	}
	set(&c)
	start, host := time.Now(), selfTime()
	res, err := vm.RunCell(ctx, c)
	s.wall, s.host = time.Since(start), selfTime()-host
	if err != nil {
		return s, res, err
	}
	s.cpu = res.CPU
	for _, l := range res.Logs {
		progress("%s %s: agent: %s", k.Release, k.Arch, l)
	}
	if run := res.Records[0].Run; run.Outcome == collect.BootFailed {
		return s, res, fmt.Errorf("%w: %s", errBoot, run.Reason)
	} else if run.Outcome != collect.Passed {
		return s, res, fmt.Errorf("test \"true\": %s: %s", run.Outcome, run.Reason)
	}
	return s, res, nil
}

// selfTime is the processor time that this process has used so far.
func selfTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
