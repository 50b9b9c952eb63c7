// Command bench measures what bpfcov costs: what a cell takes longer than a bare boot of its kernel, how much slower
// an instrumented program runs, and how much more the verifier works. See README.md.
//
// It prints Markdown tables on stdout, and what it is doing on stderr. It never judges: no speed makes it fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/bpfcov/bpfcov/collect"
)

// options are the flags that all benchmarks share.
type options struct {
	root string // of the source tree
	n    int    // samples of each variant; 0 is the benchmark's own default
	work string // scratch folder, removed at the end
}

// A benchmark is one subcommand.
type benchmark struct {
	name, about string
	run         func(ctx context.Context, o options, args []string) error
}

func benchmarks() []benchmark {
	return []benchmark{
		{"env", "print what the figures were measured on", benchEnv},
		{"cell", "a cell whose test is \"true\" against a bare boot; arguments: ARCH=SPEC…", benchCell},
		{"steps", "the same with the steps between both; arguments: ARCH=SPEC…", benchSteps},
		{"boots", "many boots and many warm starts in a row, and how many failed; arguments: ARCH=SPEC…", benchBoots},
		{"run", "nanoseconds per program run, plain against instrumented", benchRun},
		{"watch", "loaders with and without a watcher; arguments: updates, small, large instead of all", benchWatch},
		{"merge", "time and memory of merging 1,000 cells of 100,000 counters; argument: another number of cells", benchMerge},
		{"report", "tracefiles of one large object and 16 cells against llvm-profdata and llvm-cov", benchReport},
		{"verify", "verified instructions and sizes; arguments: SOURCE.bpf.c… instead of the default ones", benchVerify},
	}
}

func main() {
	collect.MaybeShim()
	if what := os.Getenv(watchEnv); what != "" {
		if err := watchLoader(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return
	}
	if dir := os.Getenv(mergeEnv); dir != "" {
		if err := mergeInMemory(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(mainStatus(ctx, os.Args[1:]))
}

// mainStatus runs one benchmark and returns the exit status: 2 for wrong usage, 3 for a machine that
// cannot run it.
func mainStatus(ctx context.Context, args []string) int {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.root, "C", ".", "the source tree, with bin/ built by make")
	fs.IntVar(&o.n, "n", 0, "samples of each variant (default: the benchmark's own)")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "usage: bench [-C DIR] [-n N] BENCHMARK [ARGUMENTS]")
		for _, b := range benchmarks() {
			fmt.Fprintf(fs.Output(), "  %-8s %s\n", b.name, b.about)
		}
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	for _, b := range benchmarks() {
		if b.name != fs.Arg(0) {
			continue
		}
		if err := withWork(o, func(o options) error { return b.run(ctx, o, fs.Args()[1:]) }); err != nil {
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", b.name, err)
			return 3
		}
		return 0
	}
	fs.Usage()
	return 2
}

// withWork gives run absolute paths and a scratch folder below build/.
func withWork(o options, run func(options) error) error {
	var err error
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.root, "bench", "bpf")); err != nil {
		return fmt.Errorf("%s is not the source tree: %w", o.root, err)
	}
	base := filepath.Join(o.root, "build", "bench")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	if o.work, err = os.MkdirTemp(base, "work-*"); err != nil {
		return err
	}
	defer os.RemoveAll(o.work)
	return run(o)
}

// progress tells the person who waits.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
