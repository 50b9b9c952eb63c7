// Command bpfcov-clang is clang, except that objects for bpf targets count what they execute. Put it
// where clang was: CLANG=bpfcov-clang, BPF2GO_CC=bpfcov-clang, SkeletonBuilder::clang("bpfcov-clang").
package main

import (
	"context"
	"os"

	"github.com/bpfcov/bpfcov/instrument"
)

func main() {
	os.Exit(instrument.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
