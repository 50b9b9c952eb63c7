package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/verify"
	"github.com/bpfcov/bpfcov/verify/cells"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// forGuests are the programs that guests load: all but those that would take an emulated machine minutes, which are left. Both
// are nil where no guests are asked for.
func (c *corpus) forGuests(ctx context.Context, o options, plain *objects) (only map[key]bool, left map[key]int, err error) {
	if len(o.kernels) == 0 || o.guestInsns == 0 {
		return nil, nil, nil
	}
	here := o
	here.kernels = nil
	list, err := c.load(ctx, here, plain, nil)
	if err != nil {
		return nil, nil, err
	}
	only, left = map[key]bool{}, map[key]int{}
	for k, r := range list[0].results {
		if k.prog == "" { // an object that cannot be read
			continue
		}
		if r.Insns > o.guestInsns {
			left[k] = r.Insns
		} else {
			only[k] = true
		}
	}
	return only, left, nil
}

// load loads programs, each alone, on the running kernel or in guests: those of only, or all.
func (c *corpus) load(ctx context.Context, o options, objs *objects, only map[key]bool) ([]kernelResults, error) {
	var want func(file, prog string) bool
	var filters []string
	if only != nil {
		files := map[string]bool{}
		for k := range only {
			files[k.file] = true
			filters = append(filters, k.file+"/"+k.prog)
		}
		want = func(file, prog string) bool { return only[key{file, prog}] || prog == "" && files[file] }
	}
	inputs := slices.DeleteFunc(slices.Clone(objs.inputs), func(in verify.Input) bool { return want != nil && !want(in.Name, "") })
	start := time.Now()
	var list []verify.Cell
	kept := filepath.Join(o.work, strings.ReplaceAll(objs.rung, "/", "-")+"-clang-"+objs.clang+"-host.json")
	// The plain objects do not change.
	if run, err := verify.ReadJSON(kept); err == nil && objs.rung == "plain" && len(o.kernels) == 0 && o.sources == "" && o.only == "*" {
		list = run.Cells
	} else if len(o.kernels) == 0 {
		cell, err := verify.Host(ctx, inputs, want)
		if err != nil {
			return nil, err
		}
		list = []verify.Cell{*cell}
		if o.sources == "" && o.only == "*" {
			var b bytes.Buffer
			if err := verify.WriteJSON(&b, &verify.Run{Cells: list}); err == nil {
				os.WriteFile(kept, b.Bytes(), 0o644)
			}
		}
	} else {
		points, err := matrix.Expand(config.Matrix{Kernels: o.kernels, Arch: []string{o.arch}})
		if err != nil {
			return nil, err
		}
		r := &cells.Runner{
			Points: points, Inputs: func(string) ([]verify.Input, error) { return inputs, nil }, Filters: filters, LogSize: 4 << 10, Store: &kernels.Store{Log: progress},
			Out: filepath.Join(o.work, "cells", "clang-"+objs.clang, strings.ReplaceAll(objs.rung, "/", "-")), Jobs: 1, Timeout: time.Hour, Progress: progress,
		}
		if list, err = r.Run(ctx); err != nil {
			return nil, err
		}
	}
	var out []kernelResults
	for _, cell := range list {
		if cell.Error != "" {
			return nil, fmt.Errorf("%s: %s", cell.Name, cell.Error)
		}
		k := kernelResults{name: cell.Name, release: cell.Kernel.Release, results: map[key]verify.Result{}}
		ok := 0
		for _, r := range cell.Results {
			r.Log = ""
			k.results[key{r.File, r.Program}] = r
			if r.Verdict == verify.OK {
				ok++
			}
		}
		progress("clang-%s %s on %s: %d of %d programs load (%.0f s)", objs.clang, objs.rung, cell.Kernel.Release, ok, len(cell.Results), time.Since(start).Seconds())
		out = append(out, k)
	}
	return out, nil
}
