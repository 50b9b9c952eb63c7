// Command loader runs the program of testdata/truth.bpf.c a known number of times.
//
//	loader truth.bpf.o 100000
//
// The runs are split over two goroutines, each on a processor of its own, and over the four inputs
// that the program tells apart. It needs root and Linux 5.10.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	workers = 2
	inputs  = 4
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "loader:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: loader OBJECT RUNS")
	}
	runs, err := strconv.Atoi(args[1])
	if err != nil || runs < 0 || runs%(workers*inputs) != 0 {
		return fmt.Errorf("%q runs: want 0 or a positive multiple of %d", args[1], workers*inputs)
	}
	cpus, err := firstCPUs(workers)
	if err != nil {
		return err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := ebpf.LoadCollectionSpec(args[0])
	if err != nil {
		return err
	}
	if err := loadRefused(spec); err != nil {
		return err
	}
	if err := spec.Variables["on_switch"].Set(uint32(1)); err != nil {
		return err
	}
	delete(spec.Programs, "refused")
	delete(spec.Programs, "never")
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	defer coll.Close()
	if err := coll.Maps["stages"].Put(uint32(0), coll.Programs["stage"]); err != nil {
		return err
	}

	if runs == 0 {
		return nil
	}
	var g errgroup.Group
	for _, cpu := range cpus {
		g.Go(func() error { return hammer(coll.Programs["truth"], cpu, runs/workers/inputs) })
	}
	return g.Wait()
}

// loadRefused loads the program that no kernel accepts.
func loadRefused(spec *ebpf.CollectionSpec) error {
	spec = spec.Copy()
	for name := range spec.Programs {
		if name != "refused" {
			delete(spec.Programs, name)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err == nil {
		coll.Close()
		return errors.New("the program \"refused\" was loaded")
	}
	var verifier *ebpf.VerifierError
	if !errors.As(err, &verifier) {
		return fmt.Errorf("load the program \"refused\": got %w, want the verifier's refusal", err)
	}
	return nil
}

// firstCPUs returns n processors that this process may use.
func firstCPUs(n int) ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	if set.Count() < n {
		return nil, fmt.Errorf("%d processors, want %d", set.Count(), n)
	}
	var cpus []int
	for cpu := 0; len(cpus) < n; cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// hammer runs prog on one processor, repeat times for each input.
func hammer(prog *ebpf.Program, cpu, repeat int) error {
	// A signal would end a run early, with an unknown number of repetitions done, and Go's runtime
	// sends signals for its own purposes. The thread ends with this goroutine: it stays locked.
	runtime.LockOSThread()
	all := unix.Sigset_t{}
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, nil); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("move to processor %d: %w", cpu, err)
	}
	for input := range inputs {
		packet := make([]byte, 64)
		packet[0] = byte(input)
		ret, err := prog.Run(&ebpf.RunOptions{
			Data:   packet,
			Repeat: uint32(repeat),
			Reset:  func() { panic("interrupted with all signals blocked: the counts are not known") },
		})
		if err != nil {
			return fmt.Errorf("run with input %d: %w", input, err)
		}
		if ret != 2 { // XDP_PASS
			return fmt.Errorf("run with input %d: got %d, want 2", input, ret)
		}
	}
	return nil
}
