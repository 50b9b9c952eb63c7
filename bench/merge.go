package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// mergeEnv makes this program add up the records of the folder that it names.
const mergeEnv = "BPFCOV_BENCH_MERGE"

const (
	mergeCells    = 1000
	mergeCounters = 100_000
)

// benchMerge makes covdata of many cells and merges it: by the command into one folder, and in memory as a report does.
func benchMerge(ctx context.Context, o options, args []string) error {
	cells := mergeCells
	if len(args) > 0 {
		var err error
		if cells, err = strconv.Atoi(args[0]); err != nil || cells < 1 {
			return fmt.Errorf("%q is not a number of cells", args[0])
		}
	}
	in := filepath.Join(o.work, "in")
	progress("writing %d cells of %d counters", cells, mergeCounters)
	size, err := writeCells(in, cells)
	if err != nil {
		return err
	}
	var t table
	t.row("what", "time", "CPU", "peak memory")
	for _, c := range []struct {
		name string
		cmd  func() *exec.Cmd
	}{
		{"bpfcov merge", func() *exec.Cmd {
			return exec.CommandContext(ctx, filepath.Join(o.root, "bin", "bpfcov"), "merge", "-o", filepath.Join(o.work, "out"), in)
		}},
		{"collect.Merger, cell by cell", func() *exec.Cmd {
			cmd := exec.CommandContext(ctx, "/proc/self/exe")
			cmd.Env = append(os.Environ(), mergeEnv+"="+in)
			return cmd
		}},
	} {
		progress("%s", c.name)
		cmd := c.cmd()
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", c.name, err, out)
		}
		took := time.Since(start)
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		t.row(c.name, fmt.Sprintf("%.1f s", took.Seconds()), fmt.Sprintf("%.1f s", (cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()).Seconds()),
			fmt.Sprintf("%d MiB", usage.Maxrss>>10))
	}
	return t.write(os.Stdout, fmt.Sprintf("Merging %d cells of %d counters (%d MiB of covdata)", cells, mergeCounters, size>>20))
}

// writeCells writes one record a cell. A third of the counters moved, as far as one would think of a probe; the counts are
// random, so that they compress badly.
func writeCells(dir string, cells int) (size int64, err error) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range cells {
		o := collect.ObjectCounters{ObjectID: [16]byte{1, 2, 3}, Width: 8, Maps: 1, Counts: make([]uint64, mergeCounters), States: make([]collect.CounterState, mergeCounters)}
		for i := range o.Counts {
			o.States[i] = collect.StateLive
			if r.IntN(3) == 0 {
				o.Counts[i] = r.Uint64N(1 << 20)
			} else if r.IntN(20) == 0 {
				o.States[i] = collect.StateEliminated
			}
		}
		path, err := collect.WriteRecord(dir, &collect.Record{
			Run:     collect.Run{ID: fmt.Sprintf("%016x", n), Cell: collect.Cell{Kernel: fmt.Sprintf("6.%d.0", n), Arch: "amd64"}, Test: "t", Outcome: collect.Passed},
			Objects: []collect.ObjectCounters{o},
		})
		if err != nil {
			return 0, err
		}
		st, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		size += st.Size()
	}
	return size, nil
}

// mergeInMemory is what a report does first.
func mergeInMemory(dir string) error {
	var m collect.Merger
	if err := collect.Walk(func(_ string, r *collect.Record) error { return m.Add(r) }, dir); err != nil {
		return err
	}
	return m.Walk(func(c *collect.CellData) error {
		if len(c.Objects) != 1 || len(c.Objects[0].Counts) != mergeCounters {
			return fmt.Errorf("cell %s: got %d objects, want one of %d counters", c.Cell.Kernel, len(c.Objects), mergeCounters)
		}
		return nil
	})
}
