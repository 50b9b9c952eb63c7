package covmap

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func fixture(t testing.TB, name string) *Mapping {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// number returns an expression-free algebra: counter n has value n, zero has 0.
func number() *Rules {
	return Counts(func(f *Function) []uint64 {
		v := make([]uint64, f.NumCounters)
		for i := range v {
			v[i] = uint64(i)
		}
		return v
	})
}

// code makes a region whose count is the counter of that number.
func code(kind RegionKind, l1, c1, l2, c2 int, count uint32) Region {
	return Region{Kind: kind, LineStart: l1, ColStart: c1, LineEnd: l2, ColEnd: c2, Count: Counter{CounterRef, count}}
}

func mapping(regions ...Region) *Mapping {
	f := &Function{Name: "f", Files: []string{"a.c"}, Regions: regions}
	f.NumCounters = numCounters(f)
	return &Mapping{Version: 7, Functions: []*Function{f}}
}

func lineText(f *FileCoverage) string {
	var b strings.Builder
	for _, l := range f.Lines {
		fmt.Fprintf(&b, "%d:%d ", l.Line, l.Count)
	}
	return strings.TrimSpace(b.String())
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name    string
		regions []Region
		want    string
	}{
		{"one", []Region{code(CodeRegion, 2, 1, 4, 2, 5)}, "2:5 3:5 4:5"},
		{"inner block", []Region{code(CodeRegion, 1, 1, 5, 2, 5), code(CodeRegion, 2, 8, 4, 3, 2)}, "1:5 2:5 3:2 4:2 5:5"},
		{"the greatest wins", []Region{code(CodeRegion, 1, 1, 3, 2, 5), code(CodeRegion, 2, 5, 2, 9, 9)}, "1:5 2:9 3:5"},
		{"gap counts where it wraps", []Region{code(CodeRegion, 1, 1, 5, 2, 5), code(GapRegion, 2, 9, 4, 1, 2)}, "1:5 2:5 3:2 4:2 5:5"},
		{"skipped lines are not code", []Region{code(CodeRegion, 1, 1, 6, 2, 5), code(SkippedRegion, 3, 1, 5, 1, 0)}, "1:5 2:5 6:5"},
		{"two functions with a gap between", []Region{code(CodeRegion, 1, 1, 2, 2, 5), code(CodeRegion, 5, 1, 6, 2, 7)}, "1:5 2:5 5:7 6:7"},
		{"same range adds up", []Region{code(CodeRegion, 1, 1, 2, 2, 5), code(CodeRegion, 1, 1, 2, 2, 7)}, "1:12 2:12"},
		{"same range of another kind does not", []Region{code(CodeRegion, 1, 1, 2, 2, 5), code(ExpansionRegion, 1, 1, 2, 2, 7)}, "1:5 2:5"},
		{"empty region", []Region{code(CodeRegion, 1, 1, 3, 2, 5), code(CodeRegion, 2, 4, 2, 4, 9), code(CodeRegion, 3, 1, 3, 2, 4)}, "1:5 2:5 3:5"},
		{"starts where another ends", []Region{code(CodeRegion, 1, 1, 2, 5, 5), code(CodeRegion, 2, 5, 3, 2, 3)}, "1:5 2:5 3:3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := mapping(tt.regions...)
			for i := range m.Functions[0].Regions { // an expansion needs a file to expand
				if r := &m.Functions[0].Regions[i]; r.Kind == ExpansionRegion {
					m.Functions[0].Files = append(m.Functions[0].Files, "m.h")
					r.ExpandedFile = 1
				}
			}
			c, err := m.Evaluate(number())
			if err != nil {
				t.Fatal(err)
			}
			if got := lineText(&c.Files[0]); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A line that starts with skipped text and then has code is a line with code since LLVM 18.
func TestSkippedBeforeCode(t *testing.T) {
	m := mapping(code(CodeRegion, 1, 1, 9, 2, 5), code(SkippedRegion, 3, 1, 3, 4, 0), code(CodeRegion, 3, 5, 3, 9, 2))
	for llvm, want := range map[int]string{0: "1:5 2:5 3:5 4:5", 19: "1:5 2:5 3:5 4:5", 17: "1:5 2:5 4:5"} {
		c, err := m.EvaluateWith(number(), Options{LLVM: llvm})
		if err != nil {
			t.Fatal(err)
		}
		if got := lineText(&c.Files[0]); !strings.HasPrefix(got, want) {
			t.Errorf("LLVM %d: got %s, want %s…", llvm, got, want)
		}
	}
}

// TestFixtureCounts follows the source of the fixture by hand: prog(3) is called once with g = 0, so
// helper runs with (0,3), (1,3) and (2,3), and returns 3, then (1 && 3) ? 1 : 3 and 2.
func TestFixtureCounts(t *testing.T) {
	m := fixture(t, "clang19-bpfel.elf")
	counts := map[string][]uint64{
		// body, loop, after the for's condition (increment), case 1, case 2, default, if (0)
		"prog": {1, 3, 3, 0, 0, 3, 0},
		// body, PICK > 3, x && y true: x, second operand's truth, … see the golden
		"t.bpf.c:helper": {3, 0, 2, 2, 2, 2, 1, 1},
	}
	c, err := m.Evaluate(Counts(func(f *Function) []uint64 { return counts[f.Name] }))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Files) != 1 {
		t.Fatalf("got %d files, want 1", len(c.Files))
	}
	f := &c.Files[0]
	// 2 and 3 are the bodies of the macros, 6 is the unused function.
	want := "2:3 3:3 6:0 9:3 10:3 11:0 15:3 16:3 19:1 20:4 21:3 22:0 23:0 24:0 25:0 26:0 27:3 28:3 29:3 30:3 31:0 32:3 33:1 34:1"
	if got := lineText(f); got != want {
		t.Errorf("lines:\ngot  %s\nwant %s", got, want)
	}
	type fn struct {
		Name          string
		Line, EndLine int
		Count         uint64
	}
	var fns []fn
	for _, x := range f.Functions {
		fns = append(fns, fn{x.Name, x.Line, x.EndLine, x.Count})
	}
	if diff := cmp.Diff(fns, []fn{{"prog", 19, 34, 1}, {"helper", 9, 16, 3}, {"unused", 6, 6, 0}}); diff != "" {
		t.Errorf("functions: -got +want:\n%s", diff)
	}
	var branches []string
	for _, b := range f.Branches {
		branches = append(branches, fmt.Sprintf("%d <- %d:%d %v %d/%d", b.Line, b.SourceLine, b.Col, b.Path, b.TrueCount, b.FalseCount))
	}
	wantBranches := []string{
		"10 <- 10:6 [] 0/3",
		"10 <- 2:21 [10:6 3:21] 2/1",
		"10 <- 2:28 [10:6 3:21] 2/0",
		"15 <- 15:9 [] 2/1",
		"15 <- 15:14 [] 0/1",
		"20 <- 20:23 [] 3/1",
		"22 <- 22:3 [] 0/3",
		"25 <- 25:3 [] 0/3",
		"27 <- 27:3 [] 3/0",
	}
	if diff := cmp.Diff(branches, wantBranches); diff != "" {
		t.Errorf("branches: -got +want:\n%s", diff)
	}
	if got, want := f.Totals(), (Summary{3, 2, 24, 16, 27, 22, 18, 12}); got != want {
		t.Errorf("totals: got %+v, want %+v", got, want)
	}
	if got, want := f.Summary, (Summary{3, 2, 22, 14, 27, 22, 18, 12}); got != want {
		t.Errorf("LLVM's totals: got %+v, want %+v", got, want)
	}
}

// Since LLVM 20 a branch is left out only when both sides are impossible.
func TestFolding(t *testing.T) {
	m := mapping(code(CodeRegion, 1, 1, 9, 2, 1),
		Region{Kind: BranchRegion, LineStart: 2, ColStart: 1, LineEnd: 2, ColEnd: 2},
		Region{Kind: BranchRegion, LineStart: 3, ColStart: 1, LineEnd: 3, ColEnd: 2, FalseCount: Counter{CounterRef, 1}})
	for _, tt := range []struct {
		llvm    int
		found   int
		onTrue  bool
		onFalse bool
	}{{0, 2, false, false}, {19, 2, false, false}, {20, 1, true, false}} {
		c, err := m.EvaluateWith(number(), Options{LLVM: tt.llvm})
		if err != nil {
			t.Fatal(err)
		}
		f := &c.Files[0]
		if len(f.Branches) != 1 || f.Branches[0].Line != 3 || f.Branches[0].Region != 2 {
			t.Fatalf("LLVM %d: got branches %+v, want the one of line 3", tt.llvm, f.Branches)
		}
		b := f.Branches[0]
		if b.TrueFolded != tt.onTrue || b.FalseFolded != tt.onFalse || f.Summary.BranchesFound != tt.found {
			t.Errorf("LLVM %d: got folded %v/%v, %d sides; want %v/%v, %d", tt.llvm, b.TrueFolded, b.FalseFolded, f.Summary.BranchesFound, tt.onTrue, tt.onFalse, tt.found)
		}
	}
}

// What exists must not depend on values: a status needs the same lines and branches as a count.
func TestShapeDoesNotDependOnValues(t *testing.T) {
	shape := func(c *Coverage) string {
		var b strings.Builder
		for i := range c.Files {
			f := &c.Files[i]
			b.WriteString(f.Name)
			for _, l := range f.Lines {
				fmt.Fprintf(&b, " %d", l.Line)
			}
			for _, br := range f.Branches {
				fmt.Fprintf(&b, " b%d:%d", br.Line, br.Region)
			}
			for _, fn := range f.Functions {
				fmt.Fprintf(&b, " %s:%d", fn.Name, fn.Line)
			}
		}
		return b.String()
	}
	files, err := filepath.Glob("testdata/*.elf")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, path := range files {
		m := fixture(t, filepath.Base(path))
		first := ""
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 1))
			// Values that collide often, so that segments are dropped in many ways.
			ranks := &Rules{
				Leaf: func(*Function, uint32) uint64 { return rng.Uint64N(3) },
				Sub:  func(a, _ uint64) uint64 { return a },
				Add:  func(a, b uint64) uint64 { return max(a, b) },
				Join: func(a, b uint64) uint64 { return max(a, b) },
			}
			c, err := m.Evaluate(ranks)
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = shape(c)
			}
			if got := shape(c); got != first {
				t.Fatalf("%s, seed %d:\ngot  %s\nwant %s", path, seed, got, first)
			}
		}
	}
}

func TestCounts(t *testing.T) {
	// (0 - 1) and (0 + 1), and a counter of its own.
	f := &Function{Name: "f", Files: []string{"a.c"}, NumCounters: 3,
		Expressions: []Expression{{Counter{CounterRef, 0}, Counter{CounterRef, 1}}, {Counter{CounterRef, 0}, Counter{CounterRef, 1}}},
		Regions: []Region{code(CodeRegion, 1, 1, 1, 2, 0),
			{LineStart: 2, ColStart: 1, LineEnd: 2, ColEnd: 2, Count: Counter{CounterSub, 0}},
			{LineStart: 3, ColStart: 1, LineEnd: 3, ColEnd: 2, Count: Counter{CounterAdd, 1}},
			code(CodeRegion, 4, 1, 4, 2, 2)}}
	m := &Mapping{Functions: []*Function{f}}
	const most = ^uint64(0)
	negative := 0
	for _, tt := range []struct {
		name   string
		counts []uint64
		a      func(func(*Function) []uint64) *Rules
		want   string
		err    string
	}{
		{"plain", []uint64{5, 2, 9}, Counts, "1:5 2:3 3:7 4:9", ""},
		{"more counters than needed", []uint64{5, 2, 9, 1}, Counts, "1:5 2:3 3:7 4:9", ""},
		{"negative wraps", []uint64{2, 5, 9}, Counts, fmt.Sprintf("1:2 2:%d 3:7 4:9", most-2), ""},
		{"overflow wraps", []uint64{most, 2, 9}, Counts, fmt.Sprintf("1:%d 2:%d 3:1 4:9", most, most-2), ""},
		{"unknown function", nil, Counts, "1:0 2:0 3:0 4:0", ""},
		{"too few", []uint64{1, 2}, Counts, "", "function f: 2 counters, but its mapping refers to 3"},
		{"negative is clamped", []uint64{2, 5, 9}, func(c func(*Function) []uint64) *Rules {
			return CountsClamped(c, func(*Function) { negative++ })
		}, "1:2 2:0 3:7 4:9", ""},
		{"overflow is clamped", []uint64{most, 2, 9}, func(c func(*Function) []uint64) *Rules { return CountsClamped(c, nil) },
			fmt.Sprintf("1:%d 2:%d 3:%d 4:9", most, most-2, most), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := m.Evaluate(tt.a(func(*Function) []uint64 { return tt.counts }))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := lineText(&c.Files[0]); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	if negative != 1 {
		t.Errorf("got %d calls for negative counts, want 1", negative)
	}
}

// A function that this unit does not use is left out when another unit's counters say that it ran.
func TestUnusedElsewhereUsed(t *testing.T) {
	m := mapping(Region{LineStart: 1, ColStart: 1, LineEnd: 2, ColEnd: 2})
	for counts, want := range map[uint64]int{0: 1, 3: 0} {
		c, err := m.Evaluate(Counts(func(*Function) []uint64 { return []uint64{counts} }))
		if err != nil {
			t.Fatal(err)
		}
		if c.Functions != want {
			t.Errorf("counter %d: got %d functions, want %d", counts, c.Functions, want)
		}
	}
}

// regionRank gives the value of a region by its kind and number.
type regionRank struct{ *Rules }

func (regionRank) RegionValue(f *Function, i int, falseSide bool) uint64 {
	if falseSide {
		return 100
	}
	return uint64(i + 1)
}

func TestRegionAlgebra(t *testing.T) {
	m := mapping(code(CodeRegion, 1, 1, 1, 9, 0), code(CodeRegion, 2, 1, 2, 9, 0),
		Region{Kind: BranchRegion, LineStart: 2, ColStart: 1, LineEnd: 2, ColEnd: 2, Count: Counter{CounterRef, 0}})
	c, err := m.Evaluate(regionRank{number()})
	if err != nil {
		t.Fatal(err)
	}
	f := &c.Files[0]
	if got, want := lineText(f), "1:1 2:2"; got != want {
		t.Errorf("lines: got %s, want %s", got, want)
	}
	if diff := cmp.Diff(f.Functions[0], FunctionCoverage{Name: "f", Line: 1, EndLine: 1, Count: 1, Counts: []uint64{1, 2, 3}, FalseCounts: []uint64{0, 0, 100}},
		cmpopts.IgnoreFields(FunctionCoverage{}, "Function")); diff != "" {
		t.Errorf("function: -got +want:\n%s", diff)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	deep := func(n int) *Mapping {
		f := &Function{Name: "f"}
		for i := range n {
			f.Files = append(f.Files, "a.c")
			f.Regions = append(f.Regions, Region{Kind: ExpansionRegion, File: i, ExpandedFile: i + 1, LineStart: 1, ColStart: 1, LineEnd: 1, ColEnd: 2})
		}
		f.Files = append(f.Files, "a.c")
		return &Mapping{Functions: []*Function{f}}
	}
	if _, err := deep(maxDepth).Evaluate(number()); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	nested := make([]Region, maxNesting+1)
	for i := range nested {
		nested[i] = code(CodeRegion, i+1, 1, 3*maxNesting-i, 1, 0)
	}
	var many []*Function
	for i := range 1 + maxLines/maxLine*2 + 2 {
		many = append(many, &Function{Name: fmt.Sprint(i), Files: []string{fmt.Sprint(i)}, Regions: []Region{code(CodeRegion, 1, 1, maxLine/2, 1, 0)}})
	}
	for _, tt := range []struct {
		name string
		m    *Mapping
		want string
	}{
		{"deep expansions", deep(maxDepth + 1), "levels deep"},
		{"deep regions", mapping(nested...), "regions around"},
		{"many lines", &Mapping{Functions: many}, "lines with code"},
		{"file id", mapping(Region{File: 1, LineStart: 1, LineEnd: 1, ColEnd: 1}), "region 0 is in file id 1 of 1"},
		{"expression", mapping(Region{LineStart: 1, LineEnd: 1, ColEnd: 1, Count: Counter{CounterAdd, 0}}), "counter refers to expression 0 of 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.m.Evaluate(number())
			var fe *FormatError
			if !errors.As(err, &fe) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a FormatError with %q", err, tt.want)
			}
		})
	}
}

func TestFunctionNames(t *testing.T) {
	for _, tt := range []struct {
		name, file, source, short string
	}{
		{"main", "a.c", "main", "main"},
		{"a.c:f", "a.c", "f", "f"},
		{"a.c;f", "a.c", "f", "f"},
		{"a.c:f", "src/a.c", "a.c:f", "f"},
		{"a.cf", "a.c", "a.cf", "a.cf"},
	} {
		f := &Function{Name: tt.name, Files: []string{tt.file}}
		if got := f.SourceName(); got != tt.source {
			t.Errorf("SourceName(%s, %s): got %s, want %s", tt.name, tt.file, got, tt.source)
		}
		if got := f.ShortName(); got != tt.short {
			t.Errorf("ShortName(%s): got %s, want %s", tt.name, got, tt.short)
		}
	}
}

func TestCounters(t *testing.T) {
	m := fixture(t, "clang19-bpfel.elf")
	f := m.Functions[0]
	if diff := cmp.Diff(f.Counters(), []uint32{0, 1, 2, 3, 4, 5, 6}); diff != "" {
		t.Errorf("Counters: -got +want:\n%s", diff)
	}
	// sub7 is add0 - #1, and add0 is #0 + #2.
	if diff := cmp.Diff(f.CountersOf(Counter{CounterSub, 7}), []uint32{0, 1, 2}); diff != "" {
		t.Errorf("CountersOf: -got +want:\n%s", diff)
	}
}
