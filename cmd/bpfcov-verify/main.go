// Command bpfcov-verify loads the programs of BPF objects one by one and writes what came of each as JSON
// lines (verify.Record). bpfcov puts it into guests; `bpfcov verify` is for people.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/verify"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bpfcov-verify:", err)
		os.Exit(3)
	}
}

type globs []string

func (g *globs) String() string     { return strings.Join(*g, " ") }
func (g *globs) Set(s string) error { *g = append(*g, s); return nil }

func run(args []string, stdout io.Writer) error {
	var o verify.Options
	var filters globs
	var skip int
	var limit time.Duration
	set := flag.NewFlagSet("bpfcov-verify", flag.ContinueOnError)
	set.IntVar(&o.LogSize, "log-size", 0, "bytes of a failed load's log to keep, negative for none")
	set.Var(&filters, "f", "filter, see verify.Filter; repeatable")
	set.IntVar(&skip, "skip", 0, "number of programs to pass over first")
	set.DurationVar(&limit, "limit", 0, "time for one program, 0 for any; a process of its own loads them then")
	if err := set.Parse(args); err != nil {
		return err
	}
	if limit > 0 {
		return supervise(stdout, limit, skip, args[:len(args)-set.NArg()], set.Args())
	}
	filter, err := verify.ParseFilter(filters)
	if err != nil {
		return err
	}
	var inputs []verify.Input
	for _, a := range set.Args() {
		name, path, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("argument %q: want NAME=PATH", a)
		}
		inputs = append(inputs, verify.Input{Name: name, Path: path})
	}
	l, err := verify.NewLoader(o)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(stdout)
	enc := json.NewEncoder(w)
	put := func(r verify.Record) error {
		return errors.Join(enc.Encode(r), w.Flush())
	}
	k, err := verify.RunningKernel()
	if err != nil {
		return err
	}
	if err := put(verify.Record{Kernel: &k}); err != nil {
		return err
	}
	n, seen := 0, 0
	want := func(file, prog string) bool {
		if !filter.Wants(file, prog) {
			return false
		}
		if prog != "" {
			seen++
			return seen > skip
		}
		return true
	}
	begin := func(file, prog string) error {
		return put(verify.Record{Begin: &verify.Begin{File: file, Program: prog}})
	}
	emit := func(r verify.Result) error {
		n++
		return put(verify.Record{Result: &r})
	}
	if err := l.Files(inputs, want, begin, emit); err != nil {
		return err
	}
	return put(verify.Record{End: &verify.End{Results: n}})
}
