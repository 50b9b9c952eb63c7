// Command policy loads the programs of policy.bpf.c one after the other and runs each once. It gives up at the
// first that is refused, but for the one that is optional.
//
//	policy policy.bpf.o
package main

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(1)
	}
}

func run(object string) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return err
	}
	for _, name := range []string{"optional", "fine", "emit", "second"} {
		one := spec.Copy()
		for other := range one.Programs {
			if other != name {
				delete(one.Programs, other)
			}
		}
		c, err := ebpf.NewCollection(one)
		if err != nil && name == "optional" {
			continue
		} else if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
		if _, err := c.Programs[name].Run(&ebpf.RunOptions{Data: make([]byte, 64)}); err != nil {
			return fmt.Errorf("run %s: %w", name, err)
		}
		c.Close()
	}
	return nil
}
