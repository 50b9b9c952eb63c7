package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/bpfcov/bpfcov/vm/kernels"
)

// specList is the value of --kernel: kernel specs, one a flag or separated by commas.
type specList []string

var _ pflag.Value = (*specList)(nil)

func (l *specList) Set(s string) error {
	*l = append(*l, kernels.SplitSpecs(s)...)
	return nil
}

func (l *specList) String() string { return strings.Join(*l, ",") }

func (l *specList) Type() string { return "SPEC" }
