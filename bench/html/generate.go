package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// functionLines is the number of lines of code of one generated function.
const functionLines = 23

// writeSource writes a file of n functions: each has an early return, four branches and a loop. In this shape counters are
// consistent as soon as all are at most a quarter of the function's own.
func writeSource(path string, n int) error {
	var b bytes.Buffer
	b.WriteString("typedef unsigned int u32;\ntypedef unsigned long long u64;\n\n#define SEC(name) __attribute__((section(name), used))\n\n")
	unit := strings.NewReplacer(".", "_", "-", "_").Replace(filepath.Base(path))
	for i := range n {
		fmt.Fprintf(&b, `/* step_%[1]d_%[2]s mixes what it is given. */
__attribute__((noinline)) int step_%[1]d_%[2]s(u32 a, u32 b)
{
	u64 sum = a;

	if (a == %[3]d)
		return -1;
	if (b & 1) {
		sum += b;
		sum ^= 0x%[4]x;
	}
	for (u32 i = 0; i < (b & 7); i++) {
		sum += i * a;
		sum = (sum << 3) | (sum >> 61);
	}
	if (sum > %[4]d && b != 4) {
		sum -= b;
		sum *= 5;
	} else {
		sum += 11;
	}
	if (sum & %[5]d) {
		sum ^= a;
		sum += 0x77;
	}
	return (int)sum;
}

`, i, unit, i*7+3, i*31+11, 1<<(i%30))
		if i%12 == 11 {
			fmt.Fprintf(&b, "SEC(\"tc\") int prog_%d_%s(void *ctx)\n{\n\treturn step_%d_%s((u32)(u64)ctx, %d);\n}\n\n", i/12, unit, i, unit, i)
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}

// matrixCells are n cells: ever newer kernels on four architectures.
func matrixCells(n int) []collect.Cell {
	arches := []string{"amd64", "arm64", "riscv64", "s390x"}
	var out []collect.Cell
	for i := range n {
		k := i / len(arches)
		out = append(out, collect.Cell{Kernel: fmt.Sprintf("%d.%d.0-generated", 5+k/20, k%20), Arch: arches[i%len(arches)], LLVM: 19, Spec: "generated", Accel: "tcg"})
	}
	return out
}

// fate is a number in [0, 1000) that is a function's own.
func fate(object, function int) uint32 {
	h := fnv.New32a()
	fmt.Fprint(h, object, "/", function)
	return h.Sum32() % 1000
}

// record makes up what one cell saw. Counts differ in every cell, which is the worst case for their size; states follow the
// function's fate: seven tenths run everywhere, the others are not reached, gone below or above some kernel,
// refused, or not loaded on some architecture.
func record(i int, cell collect.Cell, metas []*meta.Meta) collect.Record {
	rng := rand.New(rand.NewPCG(1, uint64(i)))
	kernel := uint32(i / 4)
	r := collect.Record{Run: collect.Run{ID: fmt.Sprintf("%016x", i), Cell: cell, Test: "generated", Command: []string{"./generated.test"}, Outcome: collect.Passed,
		Duration: 9 * time.Second, Boot: 3 * time.Second, Loads: len(metas)}}
	for c := range 40 {
		r.Run.Cases = append(r.Run.Cases, collect.Case{Name: fmt.Sprintf("TestGenerated/case-%02d", c), Outcome: collect.Passed, Duration: time.Duration(rng.IntN(900)) * time.Millisecond})
	}
	for o, m := range metas {
		x := collect.ObjectCounters{ObjectID: m.ObjectID, Width: m.CounterWidth, Maps: 1, Counts: make([]uint64, m.NumCounters), States: make([]collect.CounterState, m.NumCounters)}
		for f := range m.Functions {
			fn := &m.Functions[f]
			at, what := fate(o, f), collect.StateLive
			threshold := at % 50
			switch {
			case at >= 970 && cell.Arch == "s390x":
				what = collect.StateNotLoaded
			case at >= 940 && at < 970 && kernel < threshold:
				what = collect.StateRejected
			case at >= 860 && at < 940 && (kernel < threshold) == (at%2 == 0):
				what = collect.StateEliminated
			}
			n := uint64(4 + rng.IntN(100000))
			for k := range fn.Count {
				x.States[fn.First+k] = what
				switch {
				case what != collect.StateLive || at >= 700 && at < 760:
				case k == 0:
					x.Counts[fn.First] = n
				case at >= 760 && at < 860 && k == 3:
				default:
					x.Counts[fn.First+k] = rng.Uint64N(n / 4)
				}
			}
		}
		r.Objects = append(r.Objects, x)
		for k := range m.Programs {
			p := collect.ProgramLoad{Name: m.Programs[k].Name[:min(15, len(m.Programs[k].Name))], Type: "SchedCLS", Objects: []meta.ObjectID{m.ObjectID}, Loads: 1, Verdict: collect.VerdictOK,
				Insns: 800, Verified: 5000 + rng.IntN(5000), Xlated: 6400, Jited: 4100 + rng.IntN(500)}
			if (o+k)%60 == 7 && kernel < 20 {
				p.Verdict, p.Errno, p.Reason = collect.VerdictRejected, "E2BIG", "BPF program is too large. Processed 1000001 insn"
				p.Log = strings.Repeat("12: (07) r1 += 8 ; R1_w=map_value(off=8,ks=4,vs=4096,imm=0)\n", 40) + "processed 1000001 insns (limit 1000000) max_states_per_insn 33 total_states 41223 peak_states 1203 mark_read 12"
			}
			r.Programs = append(r.Programs, p)
		}
	}
	return r
}
