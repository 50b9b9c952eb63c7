package lcov_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/report/lcov"
)

// TestDifferential compares Decode, Evaluate and Write with the llvm-cov that is installed, on random
// programs with random counters: SF, FN, FNDA, DA in order, BRDA as a multiset per line, the
// six totals of the file, regions and their totals. The default takes some 10 seconds of processor
// time; BPFCOV_DIFF=N multiplies the number of programs.
func TestDifferential(t *testing.T) {
	factor := 1
	if s := os.Getenv("BPFCOV_DIFF"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("BPFCOV_DIFF=%q: want a number from 1", s)
		}
		factor = n
	}
	cov := []string{"-fprofile-instr-generate", "-fcoverage-mapping", "-w", "-c"}
	const relative = "-fcoverage-compilation-dir=."
	bpf := func(target string, more ...string) []string {
		return append([]string{"-target", target, "-mcpu=v3", "-O1", "-mllvm", "-bpf-stack-size=100000"}, more...)
	}
	for table, tt := range []struct {
		name     string
		llvm     int
		required bool // must be there in CI
		flags    []string
		programs int
		link     int // programs in one object
		csmith   bool
	}{
		{name: "bpfel", llvm: 19, required: true, programs: 16, flags: bpf("bpf", relative)},
		{name: "bpfeb", llvm: 19, required: true, programs: 8, flags: bpf("bpfeb", relative)},
		{name: "bpf plain names", llvm: 19, required: true, programs: 3, flags: bpf("bpf", "-mllvm", "-enable-name-compression=false")},
		{name: "bpf mcdc", llvm: 19, required: true, programs: 3, flags: bpf("bpf", relative, "-fcoverage-mcdc")},
		{name: "host", llvm: 19, required: true, programs: 10},
		{name: "linked", llvm: 19, required: true, programs: 3, link: 3, flags: []string{relative}},
		{name: "host", llvm: 14, programs: 4},
		{name: "bpfel", llvm: 22, programs: 5, flags: bpf("bpf", relative)},
		{name: "bpfeb", llvm: 22, programs: 2, flags: bpf("bpfeb", relative)},
		{name: "host", llvm: 22, programs: 3},
		{name: "csmith host", llvm: 19, programs: 2, csmith: true},
		{name: "csmith host", llvm: 22, programs: 2, csmith: true},
	} {
		t.Run(fmt.Sprintf("%s LLVM %d", tt.name, tt.llvm), func(t *testing.T) {
			tools := findTools(t, tt.llvm, tt.required)
			if tt.csmith {
				tools.csmith = findCsmith(t)
				tt.flags = append(tt.flags, "-I"+csmithInclude)
			}
			var sum tally
			var wg sync.WaitGroup
			gate := make(chan struct{}, runtime.NumCPU())
			for i := range tt.programs * factor {
				wg.Add(1)
				go func() {
					defer wg.Done()
					gate <- struct{}{}
					defer func() { <-gate }()
					// Each table has seeds, hence programs, of its own.
					seed := uint64(i) + uint64(table)<<32
					d := &difference{t: t, tools: tools, seed: seed, dir: t.TempDir(), sum: &sum}
					d.run(append(slices.Clone(cov), tt.flags...), max(1, tt.link))
				}()
			}
			wg.Wait()
			t.Logf("%d objects, %d functions, %d DA, %d regions, %d BRDA, %d files, %d bytes of C: %d differences",
				sum.objects.Load(), sum.functions.Load(), sum.lines.Load(), sum.regions.Load(), sum.branches.Load(), sum.files.Load(), sum.source.Load(), sum.differences.Load())
			if sum.objects.Load() == 0 || sum.plans.Load() == 0 || sum.lines.Load() == 0 || sum.regions.Load() == 0 || sum.branches.Load() == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

type tally struct{ objects, functions, lines, regions, branches, files, source, plans, differences atomic.Int64 }

// difference is one comparison.
type difference struct {
	t     *testing.T
	tools toolset
	seed  uint64
	dir   string
	sum   *tally
}

// command runs a tool in the folder of the program and returns its standard output.
func (d *difference) command(name string, args ...string) ([]byte, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = d.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		d.t.Errorf("seed %#x: %s %s: %v\n%.2000s", d.seed, name, strings.Join(args, " "), err, stderr.String())
		return nil, false
	}
	return stdout.Bytes(), true
}

func (d *difference) run(flags []string, link int) {
	var objects []string
	for i := range link {
		src := ""
		program := generateC(d.seed+uint64(i)<<48, fmt.Sprintf("p%d_", i))
		if d.tools.csmith != "" {
			text, ok := d.command(d.tools.csmith, "--seed", fmt.Sprint(uint32(d.seed)+1), "--max-funcs", "8")
			if !ok {
				return
			}
			program = map[string]string{"src/t.c": string(text)}
		}
		for name, text := range program {
			name = filepath.Join(fmt.Sprintf("p%d", i), name)
			if filepath.Ext(name) == ".c" {
				src = name
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(d.dir, name)), 0o755); err != nil {
				d.t.Error(err)
				return
			}
			if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o644); err != nil {
				d.t.Error(err)
				return
			}
			d.sum.source.Add(int64(len(text)))
		}
		o := fmt.Sprintf("p%d.o", i)
		if _, ok := d.command(d.tools.clang, append(slices.Clone(flags), fmt.Sprintf("-Ip%d", i), src, "-o", o)...); !ok {
			return
		}
		objects = append(objects, o)
	}
	object := objects[0]
	if link > 1 {
		object = "linked.o"
		if _, ok := d.command("ld", append([]string{"-r", "-o", object}, objects...)...); !ok {
			return
		}
	}
	d.compare(object)
}

// compare gives the object random counters and compares what both sides make of them.
func (d *difference) compare(object string) {
	f, err := os.Open(filepath.Join(d.dir, object))
	if err != nil {
		d.t.Error(err)
		return
	}
	defer f.Close()
	m, err := covmap.Decode(f)
	if err != nil {
		d.t.Errorf("seed %#x: %v", d.seed, err)
		return
	}
	counters := randomCounters(m, d.seed)
	if err := os.WriteFile(filepath.Join(d.dir, "p.proftext"), textProfile(m, counters), 0o644); err != nil {
		d.t.Error(err)
		return
	}
	if _, ok := d.command(d.tools.profdata, "merge", "p.proftext", "-o", "p.profdata"); !ok {
		return
	}
	d.sum.objects.Add(1)
	d.samePlan(m, counters)
	modes := []covmap.Options{{LLVM: d.tools.major}}
	if d.tools.major >= 20 {
		modes = []covmap.Options{{LLVM: d.tools.major, Unify: true}, {LLVM: d.tools.major}}
	}
	for _, o := range modes {
		args := []string{"export", "-format=lcov", "-instr-profile=p.profdata", object}
		if d.tools.major >= 20 {
			args = append(args, fmt.Sprintf("-unify-instantiations=%v", o.Unify))
		}
		want, ok := d.command(d.tools.cov, args...)
		if !ok {
			return
		}
		c, err := m.EvaluateWith(covmap.Counts(func(f *covmap.Function) []uint64 { return counters[f] }), o)
		if err != nil {
			d.t.Errorf("seed %#x: %v", d.seed, err)
			return
		}
		d.difference(c, string(want))
		if want, ok = d.command(d.tools.cov, append([]string{"export", "-format=text"}, args[2:]...)...); !ok {
			return
		}
		d.regions(c, want)
		d.sameShape(m, c, o)
	}
}

// samePlan checks that a plan gives the counts that evaluating gives.
func (d *difference) samePlan(m *covmap.Mapping, counters map[*covmap.Function][]uint64) {
	algebra := func() covmap.Algebra {
		return covmap.CountsClamped(func(f *covmap.Function) []uint64 { return counters[f] }, nil)
	}
	want, err := m.Evaluate(algebra())
	if err != nil {
		d.t.Errorf("seed %#x: %v", d.seed, err)
		return
	}
	p, err := m.Plan()
	if err != nil {
		d.t.Errorf("seed %#x: plan: %v", d.seed, err)
		return
	}
	values, ok, err := p.Evaluate(algebra())
	if err != nil {
		d.t.Errorf("seed %#x: plan: %v", d.seed, err)
		return
	}
	if !ok {
		return // a function that nobody uses has counts: its code goes, which a plan cannot show
	}
	list := func(c *covmap.Coverage, value func(uint64) uint64) (out []string) {
		for i := range c.Files {
			f := &c.Files[i]
			for _, l := range f.Lines {
				out = append(out, fmt.Sprint(f.Name, " line ", l.Line, " ", value(l.Count)))
			}
			for _, b := range f.Branches {
				out = append(out, fmt.Sprint(f.Name, " branch ", b.Line, b.Path, b.Col, " ", value(b.TrueCount), " ", value(b.FalseCount)))
			}
			for _, fn := range f.Functions {
				out = append(out, fmt.Sprint(f.Name, " function ", fn.Name, " ", value(fn.Count)))
			}
			for _, r := range f.Regions {
				out = append(out, fmt.Sprint(f.Name, " region ", r.Line, ":", r.Col, "-", r.EndLine, ":", r.EndCol, " ", value(r.Count)))
			}
		}
		return out
	}
	got := list(p.Shape, func(n uint64) uint64 { return values[n] })
	if values, err = p.Counts(values, func(f *covmap.Function) []uint64 { return counters[f] }, nil); err != nil {
		d.t.Errorf("seed %#x: plan: %v", d.seed, err)
		return
	}
	if again := list(p.Shape, func(n uint64) uint64 { return values[n] }); !slices.Equal(got, again) {
		d.sum.differences.Add(1)
		d.t.Errorf("seed %#x: plan, by an algebra (-), by counts (+):\n%.2000s", d.seed, cmp.Diff(got, again))
	}
	if diff := cmp.Diff(list(want, func(n uint64) uint64 { return n }), got); diff != "" {
		d.sum.differences.Add(1)
		d.t.Errorf("seed %#x: plan, evaluated (-), planned (+):\n%.2000s", d.seed, diff)
	}
	d.sum.plans.Add(1)
}

// sameShape checks that ranks give the lines and branches that counts give, which report/model needs.
func (d *difference) sameShape(m *covmap.Mapping, counts *covmap.Coverage, o covmap.Options) {
	rng := rand.New(rand.NewPCG(d.seed, 0x5a))
	greater := func(a, b uint64) uint64 { return max(a, b) }
	ranks, err := m.EvaluateWith(&covmap.Rules{
		Leaf: func(*covmap.Function, uint32) uint64 { return rng.Uint64N(4) },
		Sub:  func(a, _ uint64) uint64 { return a }, Add: greater, Join: greater,
	}, o)
	if err != nil {
		d.t.Errorf("seed %#x: ranks: %v", d.seed, err)
		return
	}
	shape := func(c *covmap.Coverage) (out []string) {
		for i := range c.Files {
			f := &c.Files[i]
			out = append(out, f.Name)
			for _, l := range f.Lines {
				out = append(out, fmt.Sprint("line ", l.Line))
			}
			for _, b := range f.Branches {
				out = append(out, fmt.Sprint("branch ", b.Line, b.Path, b.File, b.SourceLine, b.Col, b.Function.Name, b.Region))
			}
			for _, fn := range f.Functions {
				out = append(out, fmt.Sprint("function ", fn.Name, fn.Line))
			}
		}
		return out
	}
	if diff := cmp.Diff(shape(ranks), shape(counts)); diff != "" {
		d.sum.differences.Add(1)
		d.t.Errorf("seed %#x: ranks: -got +counts:\n%.2000s", d.seed, diff)
	}
}

func (d *difference) difference(c *covmap.Coverage, want string) {
	files := lcov.FromCoverage(c)
	for i := range files {
		for j := range files[i].Branches {
			// llvm-cov keeps the counts of branches in 32 bits.
			b := &files[i].Branches[j]
			b.True, b.False = b.True&0xffffffff, b.False&0xffffffff
		}
	}
	var got bytes.Buffer
	if err := lcov.Write(&got, files, lcov.Options{}); err != nil {
		d.t.Errorf("seed %#x: %v", d.seed, err)
		return
	}
	g, w := normalise(got.String()), normalise(want)
	d.sum.files.Add(int64(len(c.Files)))
	d.sum.functions.Add(int64(strings.Count(want, "\nFN:")))
	d.sum.lines.Add(int64(strings.Count(want, "\nDA:")))
	d.sum.branches.Add(int64(strings.Count(want, "\nBRDA:")))
	if diff := cmp.Diff(g, w); diff != "" {
		d.sum.differences.Add(1)
		d.t.Errorf("seed %#x: -got +want:\n%.4000s", d.seed, diff)
	}
	// The engine's totals are llvm-cov's.
	var sums []string
	for _, f := range c.Files {
		s := f.Summary
		sums = append(sums, fmt.Sprint(f.Name, " FNF:", s.FunctionsFound, " FNH:", s.FunctionsHit, " BRF:", s.BranchesFound, " BRH:", s.BranchesHit, " LF:", s.LinesFound, " LH:", s.LinesHit))
	}
	if diff := cmp.Diff(sums, totals(want)); diff != "" {
		d.sum.differences.Add(1)
		d.t.Errorf("seed %#x: totals: -got +want:\n%.2000s", d.seed, diff)
	}
}

// regions compares the totals of regions, and the regions themselves, with those of llvm-cov's JSON.
func (d *difference) regions(c *covmap.Coverage, text []byte) {
	var doc struct {
		Data []struct {
			Files []struct {
				Filename string
				Summary  struct{ Regions struct{ Count, Covered int } }
			}
			Functions []struct {
				Filenames []string
				Regions   [][8]uint64 // line, column, end line, end column, count, file id, expanded file id, kind
			}
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.Data) != 1 {
		d.t.Errorf("seed %#x: JSON of llvm-cov with %d parts: %v", d.seed, len(doc.Data), err)
		return
	}
	got, want := map[string]string{}, map[string]string{}
	for i := range c.Files {
		f := &c.Files[i]
		got[f.Name] = fmt.Sprintf("%d of %d", f.Summary.RegionsHit, f.Summary.RegionsFound)
		for _, r := range f.Regions {
			got[fmt.Sprint(f.Name, ":", r.Line, ":", r.Col, "-", r.EndLine, ":", r.EndCol)] = fmt.Sprint(r.Count)
		}
	}
	for _, f := range doc.Data[0].Files {
		want[f.Filename] = fmt.Sprintf("%d of %d", f.Summary.Regions.Covered, f.Summary.Regions.Count)
	}
	sums := map[string]uint64{}
	for _, f := range doc.Data[0].Functions {
		for _, r := range f.Regions {
			if covmap.RegionKind(r[7]) == covmap.CodeRegion {
				at := fmt.Sprint(f.Filenames[r[5]], ":", r[0], ":", r[1], "-", r[2], ":", r[3])
				sums[at] += r[4]
				if r[4] >= math.MaxInt64 {
					got[at] = "more than JSON of llvm-cov holds"
				}
				if want[at] = fmt.Sprint(sums[at]); strings.HasPrefix(got[at], "more") {
					want[at] = got[at]
				}
			}
		}
	}
	d.sum.regions.Add(int64(len(sums)))
	if diff := cmp.Diff(got, want); diff != "" {
		d.sum.differences.Add(1)
		d.t.Errorf("seed %#x: regions: -got +want:\n%.2000s", d.seed, diff)
	}
}
