package kernels_test

import (
	"context"
	"fmt"
	"log"

	"github.com/bpfcov/bpfcov/vm/kernels"
)

func Example() {
	s := &kernels.Store{Log: log.Printf}
	k, err := s.Pull(context.Background(), "apt:trixie/6.12", "arm64")
	if err != nil {
		log.Fatal(err)
	}
	mods, missing, err := k.LoadModules([]string{"virtio_pci", "virtio_console"}, []string{"veth", "cls_bpf"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(k.Release, k.Image, "loads", len(mods), "modules and has no", missing)
}
