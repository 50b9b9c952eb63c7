package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

const (
	// runRounds is the default number of samples of each program, flavour and packet.
	runRounds = 15
	// sampleTime is about how long one sample takes: the system call then disappears in the runs.
	sampleTime = 100 * time.Millisecond
	xdpPass    = 2
)

// A runCase is one program with one packet.
type runCase struct {
	name, source, program string
	packet                []byte
}

func runCases(o options) []runCase {
	small, large := filepath.Join(o.root, "bench/bpf/small.bpf.c"), filepath.Join(o.root, "bench/bpf/large.bpf.c")
	return []runCase{
		{"small, TCP", small, "small", join(ethernet(0x0800), ipv4(6, tcpSYN(443)))},
		{"large, TCP SYN with options in a VLAN", large, "large", join(ethernet(0x0800, 7), ipv4(6, tcpSYN(443)))},
		{"large, DNS over IPv6", large, "large", join(ethernet(0x86dd), ipv6(17, dnsQuestion("www", "Example", "com")))},
		{"large, ICMP echo", large, "large", join(ethernet(0x0800), ipv4(1, icmpEcho()))},
	}
}

// timing is one flavour of a case.
type timing struct {
	prog    *ebpf.Program
	repeat  uint32
	samples []float64 // nanoseconds a run
}

// benchRun runs each program on the running kernel with BPF_PROG_TEST_RUN, flavour after flavour in each round.
func benchRun(ctx context.Context, o options, _ []string) error {
	if err := allowBPF(); err != nil {
		return err
	}
	flavs, err := flavours(ctx, o)
	if err != nil {
		return err
	}
	n := o.n
	if n == 0 {
		n = runRounds
	}
	if coverbee := filepath.Join(o.root, "build/bench/coverbee"); exists(coverbee) {
		flavs = append(flavs, flavour{name: "coverbee", rewrite: coverbee})
	} else {
		progress("no %s: without coverbee (run.sh builds it)", coverbee)
	}
	runtime.LockOSThread() // the clock is the thread's
	defer runtime.UnlockOSThread()

	empty, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "empty", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		return err
	}
	defer empty.Close()
	var t table
	head := []string{"program, packet", flavs[0].name + " min", "median"}
	for _, f := range flavs[1:] {
		head = append(head, f.name+" min", "median", "ratio of minima", "of medians")
	}
	t.row(head...)
	cases := runCases(o)
	times := []*timing{{prog: empty}}
	if err := measure(ctx, times, cases[0].packet, n); err != nil {
		return err
	}
	row := []string{"(nothing: only returns)", fmt.Sprintf("%.1f", lowest(times[0].samples)), fmt.Sprintf("%.1f", median(times[0].samples))}
	t.row(append(row, make([]string, len(head)-len(row))...)...)

	for _, c := range cases {
		progress("%s: %d samples of each of %d flavours", c.name, n, len(flavs))
		times, done, err := loadFlavours(ctx, o, flavs, c)
		if err == nil {
			err = measure(ctx, times, c.packet, n)
		}
		done()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		low, mid := lowest(times[0].samples), median(times[0].samples)
		row := []string{c.name, fmt.Sprintf("%.1f", low), fmt.Sprintf("%.1f", mid)}
		for _, x := range times[1:] {
			l, m := lowest(x.samples), median(x.samples)
			row = append(row, fmt.Sprintf("%.1f", l), fmt.Sprintf("%.1f", m), ratio(l, low), ratio(m, mid))
		}
		t.row(row...)
	}
	return t.write(os.Stdout, fmt.Sprintf("Nanoseconds per run (n=%d, interleaved; processor time)", n))
}

// loadFlavours compiles and loads the program of c in each flavour. done unloads them, also after an error.
func loadFlavours(ctx context.Context, o options, flavs []flavour, c runCase) (times []*timing, done func(), err error) {
	var open []*loaded
	done = func() {
		for _, l := range open {
			l.Close()
		}
	}
	for _, f := range flavs {
		if f.rewrite != "" {
			l, err := f.rewritten(ctx, o, flavs[0], c)
			if err != nil {
				return nil, done, err
			}
			open = append(open, l)
			times = append(times, &timing{prog: l.prog})
			continue
		}
		object, err := f.compile(ctx, o, c.source)
		if err != nil {
			return nil, done, err
		}
		spec, _, err := programs(object)
		if err != nil {
			return nil, done, err
		}
		l, err := load(spec, c.program)
		if err != nil {
			return nil, done, fmt.Errorf("%s: %s", f.name, why(err))
		}
		open = append(open, l)
		times = append(times, &timing{prog: l.prog})
	}
	return times, done, nil
}

// rewritten loads the plain program as another tool rewrites it, which pins it for us.
func (f flavour) rewritten(ctx context.Context, o options, plain flavour, c runCase) (*loaded, error) {
	object, err := plain.compile(ctx, o, c.source)
	if err != nil {
		return nil, err
	}
	pin := filepath.Join("/sys/fs/bpf", fmt.Sprintf("bpfcov-bench-%s-%d", f.name, os.Getpid()))
	defer os.Remove(pin)
	if out, err := exec.CommandContext(ctx, f.rewrite, object, c.program, pin).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", f.name, err, out)
	}
	p, err := ebpf.LoadPinnedProgram(pin, nil)
	if err != nil {
		return nil, err
	}
	return &loaded{prog: p}, nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// measure takes n samples of each program, in turns, after one that only warms up and says how often to repeat.
func measure(ctx context.Context, times []*timing, packet []byte, n int) error {
	for _, x := range times {
		const few = 20000
		ns, err := x.sample(packet, few)
		if err != nil {
			return err
		}
		x.repeat = uint32(max(few, float64(sampleTime)/max(ns, 1)))
	}
	for range n {
		for _, x := range times {
			if err := ctx.Err(); err != nil {
				return err
			}
			ns, err := x.sample(packet, x.repeat)
			if err != nil {
				return err
			}
			x.samples = append(x.samples, ns)
		}
	}
	return nil
}

// sample returns the processor time of one run in nanoseconds. The kernel's own answer is a whole number of
// nanoseconds, too coarse for a small program, and counts the time in which others had the processor.
func (x *timing) sample(packet []byte, repeat uint32) (float64, error) {
	var start, end unix.Timespec
	var clockErr error
	restart := func() { clockErr = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &start) }
	restart()
	// A signal makes the kernel start again (EINTR), and so the clock.
	ret, err := x.prog.Run(&ebpf.RunOptions{Data: packet, Repeat: repeat, Reset: restart})
	if err != nil {
		return 0, err
	}
	if clockErr == nil {
		clockErr = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &end)
	}
	if clockErr != nil {
		return 0, fmt.Errorf("clock: %w", clockErr)
	}
	if ret != xdpPass {
		return 0, fmt.Errorf("the program returned %d, want %d: it does not take the path to be measured", ret, xdpPass)
	}
	return float64(end.Nano()-start.Nano()) / float64(repeat), nil
}
