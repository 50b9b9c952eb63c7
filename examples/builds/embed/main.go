// Command embed carries its BPF object along, without debug information.
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

//go:generate ./generate.sh

//go:embed embed.bpf.o
var object []byte

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ok")
}

func run() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return err
	}
	defer coll.Close()
	for size, want := range map[int]uint32{14: 1, 20: 2, 30: 2} {
		got, _, err := coll.Programs["embed"].Test(make([]byte, size))
		if err != nil || got != want {
			return fmt.Errorf("packet of %d bytes: got %d, %v, want %d", size, got, err, want)
		}
	}
	return nil
}
