package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/report/llvm"
)

// reportCells is the number of cells of the large comparison.
const reportCells = 16

// benchReport compares one tracefile for each cell of one large object: `bpfcov report --codecov`, against
// llvm-profdata merge and llvm-cov export for each cell. Both start from files, and what they write is compared.
func benchReport(ctx context.Context, o options, _ []string) error {
	n := o.n
	if n == 0 {
		n = 5
	}
	clang := os.Getenv("BPFCOV_CLANG")
	suffix := strings.TrimPrefix(filepath.Base(clang), "clang")
	profdata, err1 := exec.LookPath("llvm-profdata" + suffix)
	cov, err2 := exec.LookPath("llvm-cov" + suffix)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	m, lines, err := largeObject(ctx, o)
	if err != nil {
		return err
	}
	progress("the object has %d lines of C, %d functions, %d counters", lines, len(m.Functions), m.NumCounters)
	bpfcov, err := filepath.Abs(filepath.Join(o.root, "bin/bpfcov"))
	if err != nil {
		return err
	}
	t := &table{left: 2}
	t.rows = append(t.rows, []string{"cells", "what", "wall s min", "median", "ratio of minima", "of medians", "CPU s min"})
	for _, cells := range []int{1, reportCells} {
		dir := filepath.Join(o.work, fmt.Sprint("report", cells))
		if err := reportInput(dir, m, cells); err != nil {
			return err
		}
		// One cell after the other is what a script does; all cores at once is the best that it can.
		one := fmt.Sprintf(`%s merge $1.proftext -o $1.profdata && %s export -format=lcov -instr-profile $1.profdata object.o >$1.info`, profdata, cov)
		variants := []struct {
			name string
			args []string
		}{
			{"bpfcov report", []string{bpfcov, "report", "--no-markers", "--codecov", "ours", "covdata"}},
			{"llvm-profdata, llvm-cov", []string{"sh", "-ec", `for i in *.proftext; do sh -ec '` + one + `' - ${i%.proftext}; done`}},
			{"the same on all cores", []string{"sh", "-ec", `ls *.proftext | sed s/.proftext// | xargs -P "$(nproc)" -n 1 sh -ec '` + one + `' -`}},
		}
		wall, cpu := make([][]float64, len(variants)), make([][]float64, len(variants))
		for range n {
			for i, v := range variants {
				progress("%d cells: %s", cells, v.name)
				cmd := exec.CommandContext(ctx, v.args[0], v.args[1:]...)
				cmd.Dir = dir
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				start := time.Now()
				if err := cmd.Run(); err != nil {
					return fmt.Errorf("%s: %w\n%s", v.name, err, &stderr)
				}
				wall[i] = append(wall[i], time.Since(start).Seconds())
				usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
				cpu[i] = append(cpu[i], time.Duration(usage.Utime.Nano()+usage.Stime.Nano()).Seconds())
			}
		}
		if err := sameLines(dir, cells); err != nil {
			return err
		}
		for i, v := range variants {
			row := []string{fmt.Sprint(cells), v.name, fmt.Sprintf("%.3f", lowest(wall[i])), fmt.Sprintf("%.3f", median(wall[i])), "", "", fmt.Sprintf("%.3f", lowest(cpu[i]))}
			if i > 0 {
				row[4], row[5] = ratio(lowest(wall[i]), lowest(wall[0])), ratio(median(wall[i]), median(wall[0]))
			}
			t.rows = append(t.rows, row)
		}
	}
	return t.write(os.Stdout, fmt.Sprintf("A tracefile for each cell (n=%d, in turns; %d lines, %d functions, %d counters)", n, lines, len(m.Functions), m.NumCounters))
}

// largeObject makes a source of some 20000 lines, compiles it with bpfcov-clang and returns what its counters mean.
func largeObject(ctx context.Context, o options) (*meta.Meta, int, error) {
	var b bytes.Buffer
	random := rand.New(rand.NewPCG(1, 2))
	b.WriteString("#define SEC(name) __attribute__((section(name), used))\n#define BOTH(a, b) ((a) > 3 && (b) > 5)\n")
	lines := 2
	for f := range 400 {
		fmt.Fprintf(&b, "static __attribute__((noinline)) int f%d(volatile int *p)\n{\n\tint n = p[0];\n", f)
		lines += 3
		for range 10 {
			fmt.Fprintf(&b, "\tif (BOTH(p[%d], n)) {\n\t\tn += p[%d];\n\t} else if (p[%d] > %d || n == %d) {\n\t\tn ^= %d;\n\t}\n", random.IntN(8),
				random.IntN(8), random.IntN(8), random.IntN(100), random.IntN(100), random.IntN(100))
			lines += 5
		}
		fmt.Fprintf(&b, "\treturn n;\n}\n")
		lines += 2
	}
	b.WriteString("SEC(\"tracepoint/large\") int large(volatile int *p)\n{\n\tint n = 0;\n")
	for f := range 400 {
		fmt.Fprintf(&b, "\tn += f%d(p);\n", f)
	}
	b.WriteString("\treturn n;\n}\n")
	lines += 405
	source := filepath.Join(o.work, "large.bpf.c")
	if err := os.WriteFile(source, b.Bytes(), 0o666); err != nil {
		return nil, 0, err
	}
	clang, err := filepath.Abs(filepath.Join(o.root, "bin/bpfcov-clang"))
	if err != nil {
		return nil, 0, err
	}
	cmd := exec.CommandContext(ctx, clang, "-target", "bpf", "-O2", "-g", "-c", "large.bpf.c", "-o", "large.bpf.o")
	cmd.Dir = o.work
	cmd.Env = append(os.Environ(), "BPFCOV_META_DIR="+filepath.Join(o.work, "meta"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, 0, fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	files, err := filepath.Glob(filepath.Join(o.work, "meta", "*.meta"))
	if err != nil || len(files) != 1 {
		return nil, 0, fmt.Errorf("the compiler wrote %q (%v), want one sidecar", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	m, err := meta.Decode(f)
	return m, lines, err
}

// reportInput writes covdata, and the object and text profiles for LLVM, with the same random counts.
func reportInput(dir string, m *meta.Meta, cells int) error {
	random := rand.New(rand.NewPCG(3, 4))
	mapping, err := covmap.DecodeSections(m.Covmap, m.Covfun, m.Names, binary.LittleEndian)
	if err != nil {
		return err
	}
	var records []collect.Record
	if err := os.MkdirAll(filepath.Join(dir, "meta"), 0o777); err != nil {
		return err
	}
	for i := range cells {
		c := collect.ObjectCounters{ObjectID: m.ObjectID, Width: m.CounterWidth, Maps: 1, Counts: make([]uint64, m.NumCounters),
			States: slices.Repeat([]collect.CounterState{collect.StateLive}, m.NumCounters)}
		for k := range c.Counts {
			c.Counts[k] = uint64(random.IntN(4)) * uint64(random.IntN(1000))
		}
		settle(mapping, m, c.Counts)
		name := fmt.Sprintf("6.%d", i+1)
		records = append(records, collect.Record{Run: collect.Run{ID: name, Cell: collect.Cell{Kernel: name + ".0", Arch: "amd64", LLVM: m.LLVM},
			Test: "bench", Outcome: collect.Passed}, Objects: []collect.ObjectCounters{c}})
		var b bytes.Buffer
		if err := llvm.WriteProfile(&b, m, &c); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+"-amd64.proftext"), b.Bytes(), 0o666); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := llvm.WriteObject(&b, m); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "object.o"), b.Bytes(), 0o666); err != nil {
		return err
	}
	if _, err := meta.Write(filepath.Join(dir, "meta"), m); err != nil {
		return err
	}
	_, err = collect.Save(filepath.Join(dir, "covdata"), records, filepath.Join(dir, "meta"))
	return err
}

// settle lowers counts until no expression of the mapping is negative, as counts of a real run never are: LLVM shows
// such values as they wrap.
func settle(mapping *covmap.Mapping, m *meta.Meta, counts []uint64) {
	for _, f := range mapping.Functions {
		i := slices.IndexFunc(m.Functions, func(x meta.Func) bool { return x.NameHash == f.NameHash && x.Hash == f.Hash })
		if i < 0 {
			continue
		}
		own := counts[m.Functions[i].First:][:m.Functions[i].Count]
		// value sums up an expression; most is the counter that takes away most, -1 for none.
		var value func(c covmap.Counter, sign int64, most *int) int64
		value = func(c covmap.Counter, sign int64, most *int) int64 {
			switch c.Kind {
			case covmap.CounterRef:
				if sign < 0 && own[c.ID] > 0 && (*most < 0 || own[c.ID] > own[*most]) {
					*most = int(c.ID)
				}
				return sign * int64(own[c.ID])
			case covmap.CounterAdd, covmap.CounterSub:
				e := f.Expressions[c.ID]
				left := value(e.Left, sign, most)
				if c.Kind == covmap.CounterSub {
					sign = -sign
				}
				return left + value(e.Right, sign, most)
			}
			return 0
		}
		for again := true; again; {
			again = false
			for _, r := range f.Regions {
				for _, c := range [2]covmap.Counter{r.Count, r.FalseCount} {
					most := -1
					if v := value(c, 1, &most); v < 0 {
						own[most] -= min(own[most], uint64(-v))
						again = true
					}
				}
			}
		}
	}
}

// sameLines checks that both wrote the same counts of lines: a comparison of different work says nothing.
func sameLines(dir string, cells int) error {
	records := func(path string) ([]string, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var out []string
		for l := range strings.Lines(string(text)) {
			if strings.HasPrefix(l, "DA:") || strings.HasPrefix(l, "BRDA:") || strings.HasPrefix(l, "FNDA:") {
				out = append(out, l)
			}
		}
		slices.Sort(out)
		return out, nil
	}
	for i := range cells {
		name := fmt.Sprintf("6.%d-amd64", i+1)
		ours, err1 := records(filepath.Join(dir, "ours", name+".lcov"))
		theirs, err2 := records(filepath.Join(dir, name+".info"))
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if len(ours) == 0 || !slices.Equal(ours, theirs) {
			return fmt.Errorf("%s: %d records of ours and %d of llvm-cov's differ", name, len(ours), len(theirs))
		}
	}
	return nil
}
