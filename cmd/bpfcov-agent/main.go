// Command bpfcov-agent is PID 1 of the machines in which bpfcov runs tests. It is put into their
// initramfs by bpfcov and does nothing elsewhere; see package guest.
package main

import (
	"os"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest"
)

// version is set by the linker.
var version = "devel"

func main() {
	collect.MaybeShim()
	os.Exit(guest.Main(guest.Options{Version: version, Watch: collect.Watch, Prepare: collect.Prepare}))
}
