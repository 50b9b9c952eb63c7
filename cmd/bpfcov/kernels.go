package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/vm/kernels"
)

func newKernels() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kernels",
		Short: "List, fetch and remove the kernels that guests boot",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKernelsLs(), newKernelsPull(), newKernelsUpdate(), newKernelsPrune())
	return cmd
}

// newStore is the user's store; slow steps are told on stderr.
func newStore(refresh bool) *kernels.Store {
	return &kernels.Store{Dir: os.Getenv("BPFCOV_KERNELS"), Refresh: refresh, Log: warn}
}

func newKernelsLs() *cobra.Command {
	var asJSON, refresh bool
	var arch string
	cmd := &cobra.Command{
		Use:   "ls [SPEC]...",
		Short: "List the kernels in the store, or all that a spec matches",
		Example: "  bpfcov kernels ls\n" +
			"  bpfcov kernels ls apt:trixie --arch arm64",
		RunE: func(cmd *cobra.Command, args []string) error {
			s := newStore(refresh)
			if len(args) == 0 {
				list, err := s.List()
				if err != nil {
					return err
				}
				return printKernels(cmd.OutOrStdout(), list, asJSON)
			}
			var all []kernels.Candidate
			for _, spec := range args {
				list, err := s.Resolve(cmd.Context(), spec, arch)
				if err != nil {
					return err
				}
				all = append(all, list...)
			}
			return printCandidates(cmd.OutOrStdout(), all, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&refresh, "refresh", false, "ask the archives again")
	cmd.Flags().StringVar(&arch, "arch", "", "`GOARCH` of the kernels (default: this machine's)")
	return cmd
}

func printKernels(w io.Writer, list []kernels.Kernel, asJSON bool) error {
	if asJSON {
		return writeJSON(w, list)
	}
	if len(list) == 0 {
		warn("no kernels yet; fetch one with: bpfcov kernels pull apt:bookworm")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RELEASE\tARCH\tFLAVOUR\tSIZE\tBTF\tJIT\tFENTRY\tKPROBE.MULTI\tLSM\tKFUNCS\tSPEC")
	for _, k := range list {
		f := k.Features
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Release, k.Arch, orDash(k.Flavour), mib(k.Size),
			yes(f, f.BTF), yes(f, f.JIT), yes(f, f.Fentry), yes(f, f.KprobeMulti), yes(f, f.LSM), kfuncs(&k), k.Spec)
	}
	return t.Flush()
}

func printCandidates(w io.Writer, list []kernels.Candidate, asJSON bool) error {
	if asJSON {
		return writeJSON(w, list)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RELEASE\tARCH\tFLAVOUR\tSUITE\tDOWNLOAD\tSTORED\tSPEC")
	for _, c := range list {
		stored := "no"
		if c.Stored {
			stored = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Release, c.Arch, orDash(c.Flavour), orDash(c.Suite), mib(c.Download), stored, c.Spec)
	}
	return t.Flush()
}

func newKernelsPull() *cobra.Command {
	var asJSON, refresh bool
	var arches []string
	cmd := &cobra.Command{
		Use:     "pull SPEC...",
		Short:   "Fetch the newest kernel that each spec matches",
		Example: "  bpfcov kernels pull apt:bookworm apt:trixie --arch amd64,arm64",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := newStore(refresh)
			if len(arches) == 0 {
				arches = []string{""}
			}
			var list []kernels.Kernel
			for _, spec := range args {
				for _, arch := range arches {
					k, err := s.Pull(cmd.Context(), spec, arch)
					if err != nil {
						return err
					}
					list = append(list, *k)
				}
			}
			return printKernels(cmd.OutOrStdout(), list, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&refresh, "refresh", false, "ask the archives again instead of taking what was fetched before")
	cmd.Flags().StringSliceVar(&arches, "arch", nil, "`GOARCH` names, separated by commas (default: this machine's)")
	return cmd
}

// kfuncs prints how many kernel functions the kernel offers to BPF programs: "-" without a JIT, which they need, "?"
// where the image does not tell.
func kfuncs(k *kernels.Kernel) string {
	if k.Features.Known && !k.Features.JIT {
		return "-"
	}
	t, err := k.ReadTypes()
	if err != nil {
		warn("%v", err)
	}
	if err != nil || t == nil || t.Kfuncs == 0 {
		return "?"
	}
	return strconv.Itoa(t.Kfuncs)
}

// yes prints a feature, or "?" when there was no configuration to read it from.
func yes(f kernels.Features, v bool) string {
	switch {
	case !f.Known:
		return "?"
	case v:
		return "yes"
	}
	return "-"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func mib(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func newKernelsPrune() *cobra.Command {
	var o kernels.PruneOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove kernels that no spec gives any more",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			gone, err := newStore(false).Prune(cmd.Context(), o)
			if err != nil {
				return err
			}
			if len(gone) == 0 && !asJSON {
				warn("nothing to remove")
				return nil
			}
			return printKernels(cmd.OutOrStdout(), gone, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&o.All, "all", false, "remove everything, package indexes too")
	cmd.Flags().DurationVar(&o.Unused, "unused", 0, "remove also what was not used for so long, for example 720h")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "remove nothing, print what would go")
	return cmd
}
