// Command transparency counts the programs that load without instrumentation and not with it, over all BPF selftests of
// Linux: see bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/verify"
)

type options struct {
	work, source, root string
	clangs             []string
	rungs              []string // of the table; the ladder adds those below for what is lost
	ladder             bool
	kernels            []string
	arch               string
	jobs               int
	only               string
	sources, cflags    string
	skip               *regexp.Regexp
	lost               string
	guestInsns         int
	agree              bool
	limit              time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "transparency:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	var clangs, rungs, kernels string
	flag.StringVar(&o.work, "work", "build/transparency", "folder for sources and objects")
	flag.StringVar(&o.source, "source", "", "Linux source tree or tarball (default: that of the package linux-source-6.1, fetched with apt-get download)")
	flag.StringVar(&o.root, "root", ".", "checkout of bpfcov, with what make builds")
	flag.StringVar(&clangs, "clang", "19", "LLVM majors, separated by commas")
	flag.StringVar(&rungs, "rungs", "region/atomic,region/flag", "FIDELITY/COUNTER for every source, separated by commas; earlier/rmw is the earlier approach")
	flag.BoolVar(&o.ladder, "ladder", true, "also try the rungs below for the programs that are lost")
	flag.StringVar(&kernels, "kernels", "", "kernel specs, separated by commas; guests load there (default: the running kernel)")
	flag.StringVar(&o.arch, "arch", "amd64", "GOARCH of the guests")
	flag.IntVar(&o.jobs, "j", 2, "compilers at once")
	flag.StringVar(&o.only, "only", "*", "glob on the sources' names")
	flag.StringVar(&o.sources, "sources", "", "globs of other sources in place of the selftests, separated by commas")
	flag.StringVar(&o.cflags, "cflags", "", "flags of the compiler for -sources, on top of -g -O2 -target bpf")
	flag.IntVar(&o.guestInsns, "guest-insns", 50000, "with -kernels, leave out programs of which the running kernel verifies more instructions: a guest is emulated; 0 leaves out none")
	skip := flag.String("skip", "^$", "regular expression of names of sources to leave out")
	flag.StringVar(&o.lost, "lost", "", "file for the lost programs, tab separated (default WORK/lost.tsv)")
	flag.BoolVar(&o.agree, "agree", false, "compare the plain objects' verdicts with those of the source tree's veristat instead, and time -kernels cold and warm")
	flag.DurationVar(&o.limit, "limit", 10*time.Minute, "with -agree: time for one program in a guest")
	flag.Parse()
	o.clangs, o.rungs = strings.Split(clangs, ","), strings.Split(rungs, ",")
	if kernels != "" {
		o.kernels = strings.Split(kernels, ",")
	}
	var err error
	if o.skip, err = regexp.Compile(*skip); err != nil {
		return err
	}
	if o.work, err = filepath.Abs(o.work); err != nil {
		return err
	}
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if o.lost == "" {
		o.lost = filepath.Join(o.work, "lost.tsv")
	}
	c, err := openCorpus(ctx, o)
	if err != nil {
		return err
	}
	// A kernel at a time: what one of them does not survive does not cost the tables of the others.
	each := [][]string{nil}
	if len(o.kernels) > 0 {
		each = slices.Collect(slices.Chunk(o.kernels, 1))
	}
	var tables []*table
	var failed error
	for _, clang := range o.clangs {
		if o.agree {
			if err := c.agree(ctx, o, clang, os.Stdout); err != nil {
				return err
			}
			continue
		}
		for _, o.kernels = range each {
			t, err := c.measure(ctx, o, clang)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("clang %s %s: %w", clang, strings.Join(o.kernels, ","), err))
				continue
			}
			tables = append(tables, t...)
			for _, t := range t {
				t.print(os.Stdout)
			}
			if err := writeLost(o.lost, tables); err != nil {
				return err
			}
		}
	}
	return failed
}

// ladder lists the rungs below region/atomic, as `bpfcov run` tries them.
func ladder() []string { return []string{"region/atomic", "region/flag", "probe/flag", "line/flag"} }

// measure compiles and loads with one compiler: a table for each kernel.
func (c *corpus) measure(ctx context.Context, o options, clang string) ([]*table, error) {
	plain, err := c.compile(ctx, o, clang, "plain", c.sources)
	if err != nil {
		return nil, err
	}
	only, left, err := c.forGuests(ctx, o, plain)
	if err != nil {
		return nil, err
	}
	base, err := c.load(ctx, o, plain, only)
	if err != nil {
		return nil, err
	}
	var tables []*table
	for _, k := range base {
		tables = append(tables, &table{clang: clang, kernel: k.name, release: k.release, plain: k.results, leftOut: left, rungs: map[string]*outcome{}})
	}
	var sources []string // what loads nowhere plain cannot be lost
	for _, t := range tables {
		for _, k := range t.loading() {
			if s := c.sourceOf(k.file); !slices.Contains(sources, s) {
				sources = append(sources, s)
			}
		}
	}
	for _, rung := range o.rungs {
		if err := c.rung(ctx, o, clang, rung, sources, true, tables); err != nil {
			return nil, err
		}
	}
	if !o.ladder {
		return tables, nil
	}
	for _, rung := range ladder() {
		var files []string
		for _, t := range tables {
			for _, k := range t.lostSoFar() {
				if s := c.sourceOf(k.file); !slices.Contains(files, s) {
					files = append(files, s)
				}
			}
		}
		if len(files) > 0 && tables[0].rungs[rung] == nil {
			if err := c.rung(ctx, o, clang, rung, files, false, tables); err != nil {
				return nil, err
			}
		}
	}
	return tables, nil
}

func (c *corpus) rung(ctx context.Context, o options, clang, rung string, sources []string, whole bool, tables []*table) error {
	objs, err := c.compile(ctx, o, clang, rung, sources)
	if err != nil {
		return err
	}
	only := map[key]bool{} // what does not load plain is nobody's loss
	for _, t := range tables {
		for _, k := range t.loading() {
			only[k] = true
		}
	}
	loaded, err := c.load(ctx, o, objs, only)
	if err != nil {
		return err
	}
	for i, t := range tables {
		t.rungs[rung] = &outcome{rung: rung, whole: whole, results: loaded[i].results, compile: objs.failed}
		t.order = append(t.order, rung)
	}
	return nil
}

// kernelResults are the results of one kernel, by program.
type kernelResults struct {
	name, release string
	results       map[key]verify.Result
}

type key struct{ file, prog string }

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

var errNoObjects = errors.New("nothing could be compiled")
