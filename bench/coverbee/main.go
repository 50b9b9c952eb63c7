// Command coverbee instruments one program of an object with github.com/cilium/coverbee, as that tool does at load
// time, loads it and pins it, so that bench/run.sh can measure it beside bpfcov's. It is a module of its own, as coverbee needs an old cilium/ebpf.
package main

import (
	"fmt"
	"os"

	"github.com/cilium/coverbee"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: coverbee OBJECT PROGRAM PIN")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "coverbee:", err)
		os.Exit(1)
	}
}

func run(object, program, pin string) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return err
	}
	for name := range spec.Programs {
		if name != program {
			delete(spec.Programs, name)
		}
	}
	coll, blocks, err := coverbee.InstrumentAndLoadCollection(spec, ebpf.CollectionOptions{}, nil)
	if err != nil {
		return err
	}
	defer coll.Close()
	p := coll.Programs[program]
	if p == nil {
		return fmt.Errorf("%s: no program %q", object, program)
	}
	fmt.Fprintf(os.Stderr, "%s: %d basic blocks are counted\n", program, len(blocks))
	return p.Pin(pin)
}
