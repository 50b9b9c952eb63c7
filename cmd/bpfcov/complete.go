package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// flagValues are the values of flags that mean the same in every command, for the shell's completion.
var flagValues = map[string][]string{
	"arch":    matrix.Arches(),
	"format":  {"text", "json", "github"},
	"missed":  {"somewhere"},
	"policy":  matrix.PolicyModes(),
	"shard":   {"auto"},
	"watcher": collect.WatcherNames(),
}

// addCompletions makes a shell complete the values of flags and arguments in a command and those below it. It panics when a flag
// has a completion already, which is a mistake in the program.
func addCompletions(cmd *cobra.Command) {
	add := func(flag string, f cobra.CompletionFunc) {
		if cmd.Flags().Lookup(flag) == nil {
			return
		}
		if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
			panic(err)
		}
	}
	for flag, values := range flagValues {
		add(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	add("kernel", completeKernels)
	add("cell", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return cellNames(args), cobra.ShellCompDirectiveNoFileComp
	})
	switch cmd.CommandPath() {
	case "bpfcov kernels pull", "bpfcov shell", "bpfcov boot":
		cmd.ValidArgsFunction = completeKernels
	case "bpfcov diff":
		cmd.ValidArgsFunction = completeDiff
	}
	for _, c := range cmd.Commands() {
		addCompletions(c)
	}
}

// completeKernels offers the specs of the configuration and of what is in the store. Nothing is fetched.
func completeKernels(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var specs []string
	if c, err := config.Load(config.FileName); err == nil {
		specs = append(specs, c.Matrix.Kernels...)
	}
	if list, err := newStore(false).List(); err == nil {
		for _, k := range list {
			if strings.HasPrefix(k.Spec, "apt:") {
				specs = append(specs, k.Spec)
			}
		}
	}
	slices.Sort(specs)
	// Files stay: a spec may be one.
	return slices.Compact(specs), cobra.ShellCompDirectiveDefault
}

// completeDiff offers folders, or with --in the cells there.
func completeDiff(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	in, err := cmd.Flags().GetStringArray("in")
	if err != nil || len(in) == 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return append(cellNames(in), "merged"), cobra.ShellCompDirectiveNoFileComp
}

// cellNames are the cells in covdata folders, or none when these cannot be read.
func cellNames(dirs []string) (names []string) {
	data, err := collect.ReadDir(covdataFolders(dirs)...)
	if err != nil {
		return nil
	}
	rep, err := model.Build(data, model.Options{})
	if err != nil {
		return nil
	}
	for i := range rep.Cells {
		names = append(names, rep.Cells[i].Name)
	}
	return names
}
