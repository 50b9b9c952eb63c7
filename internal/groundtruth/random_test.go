package groundtruth

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument"
	"github.com/bpfcov/bpfcov/report/model"
)

// generator writes programs at random with branches, loops, early returns, inlined and called functions, and with what ends a
// program in its midst: a tail call, or an exception. They run in the place of testdata/truth.bpf.c.
type generator struct {
	*rand.Rand
	b      strings.Builder
	throws bool
	left   int // statements that the function may still have
	loops  int // variables of loops so far
	limits int // limited variables so far
	inside []string
}

const randomHead = `#define SEC(name) __attribute__((section(name), used))
typedef unsigned int u32;
typedef unsigned long long u64;
struct xdp_md { u32 data, data_end; };
static u64 (*random)(void) = (void *)7;
static long (*tail_call)(void *ctx, void *map, u32 index) = (void *)12;
extern void bpf_throw(u64 cookie) SEC(".ksyms");
char LICENSE[] SEC("license") = "Dual BSD/GPL";
const volatile u32 off_switch = 0;
const volatile u32 on_switch = 0;
u64 sink = 0;
struct { int (*type)[3], (*max_entries)[1]; u32 *key, *value; } stages SEC(".maps");
SEC("xdp") int stage(struct xdp_md *ctx) { sink += 11; return 2; }
SEC("xdp") int never(struct xdp_md *ctx) { return 2; }
SEC("xdp") int refused(struct xdp_md *ctx) { return *(volatile int *)8; }
`

func generate(seed uint64) string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), throws: seed%4 == 3}
	g.b.WriteString(randomHead)
	kinds := []string{"static inline __attribute__((always_inline))", "static __attribute__((noinline))", "static", "__attribute__((noinline))"}
	for i := range 4 {
		g.function(fmt.Sprintf("%s int f%d(u32 k)", kinds[g.IntN(len(kinds))], i), i, 14)
	}
	g.b.WriteString("SEC(\"xdp\") int truth(struct xdp_md *ctx)\n{\n\tunsigned char *data = (void *)(long)ctx->data;\n\n" +
		"\tif (data + 1 > (unsigned char *)(long)ctx->data_end)\n\t\treturn 2;\n\tu32 k = data[0] & 3;\n")
	g.left = 40
	g.statements("\t", 4, 0, "2")
	if !g.throws {
		g.b.WriteString("\tif (k == 3) {\n\t\ttail_call(ctx, &stages, 0);\nback: __attribute__((unused));\n\t\tsink++;\n\t}\n")
	}
	g.b.WriteString("\tsink++;\n\treturn 2;\n}\n")
	return g.b.String()
}

func (g *generator) function(head string, callees, statements int) {
	fmt.Fprintf(&g.b, "%s\n{\n", head)
	g.left = statements
	g.statements("\t", callees, 0, "k")
	g.b.WriteString("\treturn k & 3;\n}\n")
}

// condition is one that a program cannot know before it runs, or the compiler, or the kernel.
func (g *generator) condition() string {
	switch g.IntN(8) {
	case 0:
		return "off_switch"
	case 1:
		return "on_switch"
	case 2:
		return fmt.Sprintf("k > %d && (k & %d)", g.IntN(3), 1+g.IntN(3))
	}
	v := "k"
	if len(g.inside) > 0 {
		v = "(k * 5 + " + strings.Join(g.inside, " * 3 + ") + ")"
	}
	return fmt.Sprintf("(%s * %d & %d) < %d", v, 1+g.IntN(7), 3+4*g.IntN(2), 1+g.IntN(4))
}

func (g *generator) statements(indent string, callees, depth int, result string) {
	n := 1 + g.IntN(3)
	if depth == 0 {
		n += 4
	}
	for range n {
		if g.left--; g.left < 0 {
			return
		}
		p := func(format string, args ...any) { fmt.Fprintf(&g.b, indent+format+"\n", args...) }
		block := func() { g.statements(indent+"\t", callees, depth+1, result) }
		switch n := g.IntN(14); {
		case n < 4 && depth < 4:
			p("if (%s) {", g.condition())
			block()
			if g.IntN(2) == 0 {
				p("} else {")
				block()
			}
			p("}")
		case n < 6 && depth < 3 && len(g.inside) < 2:
			i := fmt.Sprintf("i%d", g.loops)
			g.loops++
			if g.IntN(3) == 0 {
				p("#pragma nounroll")
			}
			p("for (u32 %s = 0; %s < %s; %s++) {", i, i, []string{"3", "k", "k + 1"}[g.IntN(3)], i)
			g.inside = append(g.inside, i)
			block()
			if g.IntN(3) == 0 {
				p("\tif (%s)\n%s\t\t%s;", g.condition(), indent, []string{"break", "continue"}[g.IntN(2)])
			}
			p("\tsink += %s;", i)
			g.inside = g.inside[:len(g.inside)-1]
			p("}")
		case n == 6 && depth < 3:
			p("switch (k ^ %d) {", g.IntN(4))
			for i := range 1 + g.IntN(3) {
				p("case %d:;", i)
				block()
				if g.IntN(3) > 0 {
					p("\tbreak;")
				}
			}
			p("default:\n%s\tsink++;\n%s}", indent, indent)
		case n == 7 && callees > 0:
			p("sink += f%d(k);", g.IntN(callees))
		case n == 8:
			p("sink += random() & 1;")
		case n == 9 && depth > 0:
			p("if (%s)\n%s\treturn %s;", g.condition(), indent, result)
		case n == 10 && g.throws:
			p("if (%s)\n%s\tbpf_throw(2);", g.condition(), indent)
		case n == 11: // a limit, which is no branch to the optimiser
			p("u32 v%d = k * %d + %d;", g.limits, 1+g.IntN(3), g.IntN(4))
			p("if (v%d > %d)\n%s\tv%d = %d;", g.limits, 2+g.IntN(3), indent, g.limits, 2)
			p("sink += v%d;", g.limits)
			g.limits++
		case n == 12:
			p("sink += %s ? %d : %d;", g.condition(), g.IntN(3), 1+g.IntN(3))
		default:
			p("sink += %d;", 1+g.IntN(9))
		}
	}
}

// told is what a report says of one place of a program.
type told struct {
	What   string
	Status model.Status
	Count  uint64
	Reason string
}

// impossible reports whether it cannot run.
func (s told) impossible() bool {
	return s.Status == model.Eliminated || s.Status == model.Missed && s.Reason != ""
}

func (s told) missed() bool { return s.Status == model.Missed && s.Reason == "" }

func (s told) String() string {
	return fmt.Sprintf("%s %s %d (%s)", s.What, s.Status, s.Count, s.Reason)
}

// tell returns what a report says of each line, branch and function: of the same places for one source.
func tell(r *model.Report) (all []told) {
	say := func(s model.State, what string, args ...any) {
		all = append(all, told{fmt.Sprintf(what, args...), s.Status, s.Count, r.Text(s.Reason)})
	}
	for i := range r.Files {
		f := &r.Files[i]
		for _, l := range f.Lines {
			say(l.Cells[0], "line %d", l.Number)
		}
		for _, b := range f.Branches {
			say(b.Cells[0].True, "branch %d:%d true", b.Line, b.Col)
			say(b.Cells[0].False, "branch %d:%d false", b.Line, b.Col)
		}
		for _, fn := range f.Functions {
			say(fn.Cells[0], "function %s", fn.Name)
		}
	}
	return all
}

// seeds are those of the programs that are tried, and those of programs in which a group counts a region behind what is taken off it.
var seeds = []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 44, 51}

// TestGroups checks that a report says the same of programs whose updates are grouped as of those where each counter has its
// own, whether they run or not, and that groups leave some out. What a report says cannot run must not run. Of few programs more or
// less may be known with groups: where the compiler lets a branch share its end with code elsewhere (docs/instrumentation.md), or
// merges updates so that nobody can tell which counter they are for.
func TestGroups(t *testing.T) {
	majors, options := []int{19}, []string{"-O2"}
	if os.Getenv("BPFCOV_LONG") != "" {
		majors, options = nil, []string{"-O2", "-O1", "-Os", "-mcpu=v1", "-mcpu=v4"}
		for major := instrument.MinLLVM; major <= instrument.MaxLLVM; major++ {
			majors = append(majors, major)
		}
	}
	ran, fewer, differ := 0, 0, 0
	for _, major := range majors {
		compiler := fmt.Sprintf("clang-%d", major)
		path, err := exec.LookPath(compiler)
		if err != nil || !instrument.PluginStatusOf(path, major).Usable() {
			continue
		}
		for _, option := range options {
			if option == "-mcpu=v4" && major < 18 {
				continue
			}
			for _, seed := range seeds {
				name := fmt.Sprintf("%s/%s/%d", compiler, option, seed)
				t.Run(name, func(t *testing.T) {
					src := filepath.Join(t.TempDir(), "random.c")
					if err := os.WriteFile(src, []byte(generate(seed)), 0o644); err != nil {
						t.Fatal(err)
					}
					single := tellOf(t, compiler, src, "-O2", option, "-mllvm", "-bpfcov-group=false")
					grouped := tellOf(t, compiler, src, "-O2", option)
					if single.ran == nil || grouped.ran == nil {
						if (single.ran == nil) != (grouped.ran == nil) {
							t.Logf("does not load\nsingle: %s\ngrouped: %s", single.why, grouped.why)
						}
						return
					}
					ran++
					t.Logf("updates %d, grouped %d", single.updates, grouped.updates)
					if grouped.updates < single.updates {
						fewer++
					}
					if n := single.compare(t, &grouped); n > 0 {
						differ++
						t.Logf("%d places are known to be impossible only with groups, or only without", n)
					}
					single.check(t)
					grouped.check(t)
					if t.Failed() {
						text, _ := os.ReadFile(src)
						t.Logf("%s", text)
					}
				})
			}
		}
	}
	t.Logf("%d programs loaded, %d of them with fewer updates; of %d not the same is known with groups", ran, fewer, differ)
	if !t.Failed() && (ran == 0 || fewer < ran/2) {
		t.Errorf("of %d programs that were loaded %d have fewer updates", ran, fewer)
	}
	if differ > ran/10 {
		t.Errorf("of %d of %d programs that were loaded not the same is known with groups", differ, ran)
	}
}

// TestImpossible checks at the other rungs that what a report says cannot run does not run.
func TestImpossible(t *testing.T) {
	some := []uint64{5, 6}
	if os.Getenv("BPFCOV_LONG") != "" {
		some = nil
		for seed := range uint64(60) {
			some = append(some, seed)
		}
	}
	ran, said := 0, 0
	for _, seed := range some {
		src := filepath.Join(t.TempDir(), "random.c")
		if err := os.WriteFile(src, []byte(generate(seed)), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, rung := range [][]string{{"probe", "atomic"}, {"region", "flag"}, {"line", "flag"}} {
			t.Run(fmt.Sprintf("%s %s/%d", rung[0], rung[1], seed), func(t *testing.T) {
				o := tellOf(t, "clang-19", src, "-O2", "BPFCOV_FIDELITY="+rung[0], "BPFCOV_COUNTER="+rung[1])
				if o.ran == nil {
					t.Logf("does not load: %s", o.why)
					return
				}
				ran++
				for _, s := range o.idle {
					if s.impossible() {
						said++
					}
				}
				if o.check(t); t.Failed() {
					text, _ := os.ReadFile(src)
					t.Logf("%s", text)
				}
			})
		}
	}
	if !t.Failed() && (ran < len(some) || said == 0) {
		t.Errorf("%d programs were loaded, and %d places said to be impossible", ran, said)
	}
}

type outcome struct {
	ran, idle []told // of 80 runs, and of the program that was loaded and never run
	updates   int    // that the kernel left
	why       string // the loader failed
}

func tellOf(t *testing.T, compiler, src string, options ...string) outcome {
	t.Helper()
	b := buildSource(t, compiler, src, options...)
	var o outcome
	run := func(runs string) []told {
		cmd := exec.Command(b.loader, b.object, runs)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		rec, err := collect.Exec(t.Context(), cmd, collect.ExecOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if rec.Run.Outcome != collect.Passed {
			o.why = out.String()
			return nil
		}
		o.updates = 0
		for _, x := range rec.Objects {
			for _, f := range x.Flows {
				o.updates += len(f.After)
			}
		}
		return tell(b.report(t, []collect.Record{*rec}))
	}
	if o.ran = run("80"); o.ran != nil {
		o.idle = run("0")
	}
	return o
}

// compare checks that grouped says the same. It returns of how many places only one of the two knows that they cannot run, which is no
// error: what is not known reads missed.
func (o *outcome) compare(t *testing.T, grouped *outcome) (differ int) {
	t.Helper()
	if len(o.idle) != len(grouped.idle) {
		t.Fatalf("each its own: %d places, grouped: %d", len(o.idle), len(grouped.idle))
	}
	for n, got := range grouped.idle {
		want := o.idle[n]
		if got.What == want.What && (want.impossible() && got.missed() || want.missed() && got.impossible()) {
			differ++
		} else if got != want {
			t.Errorf("not run: each its own: %v, grouped: %v", want, got)
		}
	}
	for n, got := range grouped.ran {
		want := o.ran[n]
		known := o.idle[n].impossible() == grouped.idle[n].impossible()
		if got.Count != want.Count || known && got != want {
			t.Errorf("each its own: %v, grouped: %v", want, got)
		}
	}
	return differ
}

// check looks for what ran although the report of the program that has not run says that it cannot.
func (o *outcome) check(t *testing.T) {
	t.Helper()
	for n, s := range o.idle {
		if ran := o.ran[n]; s.impossible() && ran.Status == model.Hit {
			t.Errorf("not run: %v; after runs: %v", s, ran)
		}
	}
}
