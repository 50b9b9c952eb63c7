package instrument

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// truth is what one line of testdata/truth.bpf.c must show.
type truth struct {
	Count    uint64
	Branches [][2]uint64
}

var truthRE = regexp.MustCompile(`//=(\d+)(?: \?([\d,;]+))?\s*$`)

// readTruth reads the annotations of a source file, by line, multiplied by the number of runs.
func readTruth(t *testing.T, path string, runs uint64) map[int]truth {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]truth{}
	for i, line := range strings.Split(string(src), "\n") {
		m := truthRE.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		num := func(s string) uint64 {
			n, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				t.Fatalf("%s:%d: %v", path, i+1, err)
			}
			return n * runs
		}
		tr := truth{Count: num(m[1])}
		for _, b := range strings.FieldsFunc(m[2], func(r rune) bool { return r == ';' }) {
			yes, no, _ := strings.Cut(b, ",")
			tr.Branches = append(tr.Branches, [2]uint64{num(yes), num(no)})
		}
		want[i+1] = tr
	}
	if len(want) == 0 {
		t.Fatalf("%s has no annotations", path)
	}
	return want
}

// object is a compiled test program.
type object struct {
	path string
	meta *meta.Meta
}

// compile runs the wrapper in dir, which becomes the working folder.
func compile(t *testing.T, dir string, args ...string) (stderr string, code int) {
	t.Helper()
	t.Chdir(dir)
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, &out, &errs)
	return errs.String() + out.String(), code
}

// mustCompile compiles source, an absolute path.
func mustCompile(t *testing.T, source string, args ...string) object {
	t.Helper()
	needClang(t)
	path := filepath.Join(t.TempDir(), "o.bpf.o")
	metaDir := t.TempDir()
	t.Setenv("BPFCOV_META_DIR", metaDir)
	args = append([]string{"-g", "-c", source, "-o", path}, args...)
	if text, code := compile(t, t.TempDir(), args...); code != 0 || text != "" {
		t.Fatalf("bpfcov-clang %q: exit status %d, output %q; want 0 and nothing", args, code, text)
	}
	return object{path, readSidecar(t, metaDir)}
}

// readSidecar decodes the only sidecar of dir.
func readSidecar(t *testing.T, dir string) *meta.Meta {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.meta"))
	if err != nil || len(files) != 1 {
		t.Fatalf("sidecars: got %q (%v), want one", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := meta.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", files[0], err)
	}
	if got, want := filepath.Base(files[0]), m.FileName(); got != want {
		t.Errorf("sidecar is called %s, want %s", got, want)
	}
	return m
}

// needClang skips without a compiler and a plugin, which "make test" has.
func needClang(t *testing.T) {
	t.Helper()
	c, err := FindClang(t.Context())
	if errors.Is(err, ErrNoClang) {
		t.Skipf("needs clang: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EnsurePlugin(t.Context(), c); err != nil {
		t.Skipf("needs a plugin: %v", err)
	}
}

// eachClang runs f once for every clang on PATH that has a plugin, as a subtest with BPFCOV_CLANG set.
func eachClang(t *testing.T, f func(t *testing.T, major int)) {
	t.Helper()
	needClang(t)
	for _, c := range clangsOnPath() {
		if c.major < MinLLVM || c.major > MaxLLVM || !PluginStatusOf(c.path, c.major).Usable() {
			continue
		}
		t.Run(fmt.Sprintf("llvm-%d", c.major), func(t *testing.T) {
			t.Setenv("BPFCOV_CLANG", c.path)
			f(t, c.major)
		})
	}
}

func needBPF(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to load BPF programs")
	}
	if _, err := os.Stat("/sys/fs/bpf"); err != nil {
		t.Skipf("needs a kernel with BPF: %v", err)
	}
}

// load loads an object as a user's loader would.
func load(t *testing.T, o object) *ebpf.Collection {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpec(o.path)
	if err != nil {
		t.Fatalf("%s: %v", o.path, err)
	}
	coll, err := ebpf.NewCollection(spec)
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		t.Fatalf("load: %+v", ve)
	}
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	t.Cleanup(coll.Close)
	return coll
}

func counterMap(t *testing.T, coll *ebpf.Collection) *ebpf.Map {
	t.Helper()
	m := coll.Maps[meta.CounterSection]
	if m == nil {
		t.Fatalf("no map %s among %v", meta.CounterSection, coll.Maps)
	}
	return m
}

// readCounters reads the block of o back from the kernel and checks its header. It returns the counters of functions, with
// what groups counted for them.
func readCounters(t *testing.T, o object, m *ebpf.Map) []uint64 {
	t.Helper()
	data, err := m.LookupBytes(uint32(0))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(data[:8]); got != "BPFCOV\x1a\x01" {
		t.Fatalf("magic: got %q", got)
	}
	width, n := int(binary.NativeEndian.Uint16(data[10:])), int(binary.NativeEndian.Uint32(data[12:]))
	if width != o.meta.CounterWidth || n != o.meta.NumCounters {
		t.Fatalf("header: got %d counters of %d bytes, want %d of %d", n, width, o.meta.NumCounters, o.meta.CounterWidth)
	}
	if got := meta.ObjectID(data[16:32]); got != o.meta.ObjectID {
		t.Fatalf("object id: got %s in the map, %s in the sidecar", got, o.meta.ObjectID)
	}
	if got := int(binary.NativeEndian.Uint32(data[32:])); got != len(data) || got != 40+(n*width+7)/8*8 {
		t.Fatalf("block size: got %d, value size %d", got, len(data))
	}
	counts := make([]uint64, n)
	for i := range counts {
		if width == 1 {
			counts[i] = uint64(data[40+i])
		} else {
			counts[i] = binary.NativeEndian.Uint64(data[40+8*i:])
		}
	}
	for i, g := range o.meta.Groups {
		n := o.meta.FirstGroup() + i
		if counts[n]%uint64(g.Unit) != 0 {
			t.Errorf("counter %d: got %d, each update adds %d", n, counts[n], g.Unit)
		}
		for _, x := range g.Members {
			counts[x.Counter] += counts[n] / uint64(g.Unit) * uint64(x.Times)
		}
	}
	return counts[:o.meta.FirstGroup()]
}

// evaluate turns counters into what readTruth gives.
func evaluate(t *testing.T, o object, counts []uint64) map[int]truth {
	t.Helper()
	order := binary.ByteOrder(binary.LittleEndian)
	if o.meta.BigEndian {
		order = binary.BigEndian
	}
	m, err := covmap.DecodeSections(o.meta.Covmap, o.meta.Covfun, o.meta.Names, order)
	if err != nil {
		t.Fatal(err)
	}
	cov, err := m.Evaluate(covmap.Counts(func(f *covmap.Function) []uint64 {
		for _, mf := range o.meta.Functions {
			if mf.NameHash == f.NameHash && mf.Hash == f.Hash {
				return counts[mf.First : mf.First+mf.Count]
			}
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if len(cov.Files) != 1 {
		t.Fatalf("got %d files, want 1", len(cov.Files))
	}
	if !strings.HasSuffix(cov.Files[0].Name, filepath.Base(o.meta.Source)) {
		t.Errorf("file is %q, sidecar says %q", cov.Files[0].Name, o.meta.Source)
	}
	got := map[int]truth{}
	for _, l := range cov.Files[0].Lines {
		got[l.Line] = truth{Count: l.Count}
	}
	for _, b := range cov.Files[0].Branches {
		tr := got[b.Line]
		tr.Branches = append(tr.Branches, [2]uint64{b.TrueCount, b.FalseCount})
		got[b.Line] = tr
	}
	return got
}

// annotated leaves out the lines without annotation: closing braces and blank lines.
func annotated(got, want map[int]truth) map[int]truth {
	out := map[int]truth{}
	for line := range want {
		if tr, ok := got[line]; ok {
			out[line] = tr
		}
	}
	return out
}

// runTruth runs program truth from two threads at once, half of runs each.
func runTruth(t *testing.T, coll *ebpf.Collection, runs int) {
	t.Helper()
	if err := coll.Maps["next"].Put(uint32(0), coll.Programs["tail"]); err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, 32)
	for i := range packet {
		packet[i] = byte(i)
	}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() {
			ret, err := coll.Programs["truth"].Run(&ebpf.RunOptions{Data: packet, Repeat: uint32(runs / 2)})
			if err == nil && ret != 2 {
				err = fmt.Errorf("got verdict %d, want 2", ret)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestExactCounts is the promise: after 100,000 runs on two CPUs every line and every branch has
// exactly the count that the source says, with every compiler and at every level.
func TestExactCounts(t *testing.T) {
	needBPF(t)
	source, err := filepath.Abs("testdata/truth.bpf.c") // compile changes the working folder
	if err != nil {
		t.Fatal(err)
	}
	eachClang(t, func(t *testing.T, major int) {
		for _, tc := range []struct {
			flags string
			runs  int
			since int // first LLVM major
		}{
			{flags: "-O2", runs: 100_000},
			{flags: "-O2 -mcpu=v1", runs: 2},
			{flags: "-O2 -mcpu=v2", runs: 2},
			{flags: "-O2 -mcpu=v3", runs: 20_000},
			{flags: "-O2 -mcpu=v4", runs: 2, since: 17},
			{flags: "-O1", runs: 2},
			{flags: "-O3", runs: 2},
			{flags: "-Os", runs: 2},
		} {
			if major < tc.since {
				continue
			}
			t.Run(tc.flags, func(t *testing.T) {
				want := readTruth(t, source, uint64(tc.runs))
				o := mustCompile(t, source, append(strings.Fields(tc.flags), "-target", "bpf")...)
				coll := load(t, o)
				runTruth(t, coll, tc.runs)
				got := evaluate(t, o, readCounters(t, o, counterMap(t, coll)))
				if diff := cmp.Diff(want, annotated(got, want)); diff != "" {
					t.Errorf("counts after %d runs (-want +got):\n%s", tc.runs, diff)
				}
			})
		}
	})
}

// TestFlagCounters checks -bpfcov-counter=flag: counters are set where counts are not 0.
func TestFlagCounters(t *testing.T) {
	needBPF(t)
	source, err := filepath.Abs("testdata/truth.bpf.c")
	if err != nil {
		t.Fatal(err)
	}
	flags := mustCompile(t, source, "-O2", "-target", "bpf", "-mllvm", "-bpfcov-counter=flag")
	counts := mustCompile(t, source, "-O2", "-target", "bpf")
	var got [2][]uint64
	for i, o := range []object{flags, counts} {
		coll := load(t, o)
		runTruth(t, coll, 2)
		got[i] = readCounters(t, o, counterMap(t, coll))
	}
	for _, list := range got { // an update of a flag may stand for one twice
		for i, n := range list {
			list[i] = min(n, 1)
		}
	}
	if diff := cmp.Diff(got[1], got[0]); diff != "" {
		t.Errorf("flags against counts (-want +got):\n%s", diff)
	}
	if flags.meta.ObjectID == counts.meta.ObjectID {
		t.Errorf("objects with flags and with counts share the id %s", flags.meta.ObjectID)
	}
}

// updates lists the counters that the translated code of a program updates, and how many updates it
// has of each. Within a function the base of the block may come from any earlier block, so this
// follows registers in program order, which is enough for what clang emits.
func updates(t *testing.T, p *ebpf.Program) map[int]int {
	t.Helper()
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	insns, err := info.Instructions()
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]int{}
	base := map[asm.Register]int64{}
	for _, ins := range insns {
		op := ins.OpCode
		switch {
		case ins.IsLoadFromMap() && ins.Src == asm.PseudoMapValue:
			base[ins.Dst] = ins.Constant >> 32
		case op.Class() == asm.StXClass && op.Mode() == asm.AtomicMode:
			b, ok := base[ins.Dst]
			if !ok {
				t.Fatalf("%v: address of the update is not known", ins)
			}
			got[int(b+int64(ins.Offset)-40)/8]++
		}
	}
	return got
}

// TestLiveness checks that the kernel's verifier removes the updates of code behind a constant 0,
// and that every other update stays visible as one of its own.
func TestLiveness(t *testing.T) {
	needBPF(t)
	source, err := filepath.Abs("testdata/switch.bpf.c") // compile changes the working folder
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(src), "\n")
	eachClang(t, func(t *testing.T, _ int) {
		for _, flags := range []string{"-O2", "-O2 -mcpu=v1", "-O2 -mcpu=v3", "-O1", "-O3", "-Os"} {
			t.Run(flags, func(t *testing.T) {
				o := mustCompile(t, source, append(strings.Fields(flags), "-target", "bpf")...)
				checkLiveness(t, o, load(t, o), lines)
			})
		}
	})
}

// checkLiveness compares the regions of an object that are marked live and dead in the source with
// the updates that the kernel kept.
func checkLiveness(t *testing.T, o object, coll *ebpf.Collection, lines []string) {
	t.Helper()
	got := updates(t, coll.Programs["prog"])
	for n := o.meta.FirstGroup(); n < o.meta.NumCounters; n++ {
		for _, x := range o.meta.Members(uint32(n)) {
			got[int(x.Counter)] += got[n]
		}
	}
	m, err := covmap.DecodeSections(o.meta.Covmap, o.meta.Covfun, o.meta.Names, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for i, f := range m.Functions {
		for _, r := range f.Regions {
			if r.Count.Kind != covmap.CounterRef || r.Kind != covmap.CodeRegion {
				continue
			}
			text := lines[r.LineStart-1][r.ColStart-1:]
			if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "case") && !strings.HasPrefix(text, "5") && !strings.HasPrefix(text, "1") {
				continue // a condition, which runs as often as what is around it
			}
			checked++
			id := int(o.meta.Functions[i].First) + int(r.Count.ID)
			switch live := got[id] > 0; {
			case strings.Contains(text, "// live") && !live:
				t.Errorf("line %d: counter %d has no update in the kernel: %s", r.LineStart, id, text)
			case strings.Contains(text, "// dead") && live:
				t.Errorf("line %d: counter %d is still updated in the kernel: %s", r.LineStart, id, text)
			}
		}
	}
	if checked < 12 {
		t.Errorf("found %d regions to check, want 12 or more", checked)
	}
	if t.Failed() {
		t.Logf("updates in the kernel: %v", got)
	}
}
