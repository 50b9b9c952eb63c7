package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm"
)

// bootCount is the default number of boots; there are five times as many warm starts.
const bootCount = 200

// benchBoots counts failures. Each cell is what "bpfcov run" makes of a test "true", with its retries.
func benchBoots(ctx context.Context, o options, args []string) error {
	if len(args) == 0 {
		args = []string{"amd64=apt:bookworm/6.1", "amd64=apt:sid/7.*"}
	}
	n := o.n
	if n == 0 {
		n = bootCount
	}
	t := table{left: 2}
	t.row("kernel", "start", "cells", "passed", "boots repeated", "cold instead of warm", "failed", "wall median s", "QEMU CPU median s")
	for i, a := range args {
		arch, spec, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("argument %q: want ARCH=SPEC, for example amd64=apt:bookworm/6.1", a)
		}
		k, err := prepareKernel(ctx, o, arch, spec, filepath.Join(o.work, fmt.Sprintf("kernel%d", i)))
		if err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
		if err := k.boots(ctx, &t, "cold", n, func(c *vm.CellConfig) { c.Retries = 0 }); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
		if err := k.boots(ctx, &t, "warm", 5*n, func(c *vm.CellConfig) {
			c.Retries, c.Warm, c.CacheDir = 0, true, filepath.Join(k.dir, "cache")
		}); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return t.write(os.Stdout, "Starts in a row")
}

func (k *bootKernel) boots(ctx context.Context, t *table, how string, n int, set func(*vm.CellConfig)) error {
	var passed, repeated, cold, failed int
	var wall, cpu []time.Duration
	for i := range n {
		s, res, err := k.cell(ctx, set)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if res == nil || errors.Is(err, vm.ErrNoAgent) {
			return err
		}
		repeated += len(res.FailedBoots)
		for _, b := range res.FailedBoots {
			progress("%s %s: %s start %d: boot repeated: %s", k.Release, k.Arch, how, i+1, b.Reason)
		}
		if how == "warm" && !res.Warm {
			cold++
			progress("%s %s: start %d: cold instead of warm: %q", k.Release, k.Arch, i+1, res.Logs)
		}
		if len(res.Records) == 1 && res.Records[0].Run.Outcome == collect.Passed {
			passed++
		} else {
			failed++
			progress("%s %s: %s start %d: %v", k.Release, k.Arch, how, i+1, err)
		}
		wall, cpu = append(wall, s.wall), append(cpu, s.cpu)
		if (i+1)%20 == 0 {
			progress("%s %s: %s start %d of %d: %d failed", k.Release, k.Arch, how, i+1, n, failed)
		}
	}
	t.row(k.Release+" "+k.Arch, how, fmt.Sprint(n), fmt.Sprint(passed), fmt.Sprint(repeated), fmt.Sprint(cold), fmt.Sprint(failed),
		fmt.Sprintf("%.2f", median(wall).Seconds()), fmt.Sprintf("%.2f", median(cpu).Seconds()))
	return nil
}
