package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/collect"
)

func newDump() *cobra.Command {
	var asJSON, counters, strict bool
	cmd := &cobra.Command{
		Use:   "dump [flags] COVDATA...",
		Short: "Show what is in covdata folders, undecoded",
		Long: `Show what is in covdata folders, undecoded: the objects, the runs, the programs that were loaded with the
kernel's verdict, and with --counters every counter with its state.`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readOptions(strict).ReadDir(covdataFolders(args)...)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), data)
			}
			return dump(cmd.OutOrStdout(), data, counters)
		},
	}
	strictFlag(cmd.Flags(), &strict)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&counters, "counters", false, "print every counter")
	return cmd
}

func dump(w io.Writer, data *collect.Data, counters bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, id := range sortedIDs(data) {
		m := data.Metas[id]
		fmt.Fprintf(t, "object %s\t%s\tLLVM %d\t%d functions\t%d counters of %d bytes\n", id, m.Source, m.LLVM, len(m.Functions), m.NumCounters, m.CounterWidth)
	}
	for i := range data.Records {
		dumpRecord(t, &data.Records[i], counters)
	}
	return t.Flush()
}

func dumpRecord(t io.Writer, rec *collect.Record, counters bool) {
	run := rec.Run
	fmt.Fprintf(t, "\nrun %s\t%s %s\t%s\t%s\n", run.ID, run.Cell.Kernel, run.Cell.Arch, run.Test, strings.TrimSpace(string(run.Outcome)+" "+run.Reason))
	for _, o := range rec.Objects {
		states := map[collect.CounterState]int{}
		hit := 0
		for i, n := range o.Counts {
			if n > 0 {
				hit++
			}
			if i < len(o.States) {
				states[o.States[i]]++
			}
		}
		fmt.Fprintf(t, "  object %s\t%d maps\t%d of %d counters hit\t%s\n", o.ObjectID, o.Maps, hit, len(o.Counts), stateCounts(states))
		if !counters {
			continue
		}
		for i, n := range o.Counts {
			state := "?"
			if i < len(o.States) {
				state = o.States[i].String()
			}
			fmt.Fprintf(t, "    %d\t%d\t%s\n", i, n, state)
		}
	}
	for _, p := range rec.Programs {
		fmt.Fprintf(t, "  program %s\t%s\t%s\t%d loads, %d insns, %d verified\n", p.Name, p.Type,
			strings.TrimSpace(fmt.Sprintf("%s %s %s %s", p.Verdict, p.Class, p.Errno, p.Reason)), p.Loads, p.Insns, p.Verified)
		if p.LogFile != "" {
			fmt.Fprintf(t, "    log\t%s\n", p.LogFile)
		}
	}
}

func stateCounts(n map[collect.CounterState]int) string {
	var parts []string
	for s := collect.StateLive; ; s-- {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
		if s == 0 {
			return strings.Join(parts, ", ")
		}
	}
}
