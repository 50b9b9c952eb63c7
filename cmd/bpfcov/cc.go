package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/instrument"
)

func newCC() *cobra.Command {
	return &cobra.Command{
		Use:   "cc ARG...",
		Short: "Be clang, and make BPF objects count what they execute",
		Long: `Be clang, and make BPF objects count what they execute.

All arguments are clang's. A call that compiles C to an object for a bpf target is instrumented; every other
call goes to clang untouched. bpfcov-clang is the same as a single word, for builds that want one.

  BPFCOV_CLANG     the real clang (default: the newest clang-N on PATH that has a pass plugin)
  BPFCOV_META_DIR  folder that receives OBJECTID.meta of every object
  BPFCOV_DISABLE   1 switches instrumentation off`,
		Example: "  bpfcov cc -O2 -g -target bpf -c probe.bpf.c -o probe.bpf.o",
		// Every flag is clang's, --help included.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			if args[0] == "--" {
				args = args[1:]
			}
			if code := instrument.Main(cmd.Context(), args, os.Stdout, os.Stderr); code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
}
