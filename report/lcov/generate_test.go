package lcov_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator writes random C that is meant to be mapped, not to be run: every construct that clang
// treats in a way of its own, laid out so that regions share lines, end in mid-line and nest in macros.
type generator struct {
	rng *rand.Rand
	out strings.Builder
	// exprMacros and stmtMacros are the macros that may be used so far.
	exprMacros, stmtMacros []macro
	calls                  []string // functions of two arguments that may be called
	// wanted and defined are the labels of the current function that gotos name and that exist.
	wanted, defined [3]bool
	inMacro         bool // no newlines, no directives
	inExpr          bool // inside ({ }): no labels
	bare            bool // the statement that follows has no braces around it: no directives
	loop, sw        int  // nesting of loops and switches, for break and continue
	budget          int  // statements left in the function
	includes        int
}

type macro struct {
	name string
	args int
}

// generateC returns the files of one program; the ones whose names end in .c are compiled. static
// prefixes the names of global functions, so that several programs can be linked.
func generateC(seed uint64, static string) map[string]string {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0xb9fc0f))}
	files := make(map[string]string)

	// A header with macros and inline functions, some of which nobody uses.
	g.raw("#ifndef H\n#define H\ntypedef unsigned int u;\nstatic volatile u g[8];\n")
	g.macros(2 + g.rng.IntN(4))
	for i := range 2 + g.rng.IntN(3) {
		g.function("static inline u", fmt.Sprintf("inline%d", i), 2+g.rng.IntN(5))
	}
	g.function("static inline u", "unused_inline", 3)
	g.raw("#endif\n")
	files["inc/h.h"] = g.take()

	// Text that functions include into their bodies.
	g.startFunction(2 + g.rng.IntN(4))
	g.inExpr = true // no labels: it may be included twice
	g.block()
	g.inExpr = false
	files["body.inc"] = g.take() + "\n"

	g.raw("#include \"inc/h.h\"\n")
	g.includes = 1
	g.macros(2 + g.rng.IntN(4))
	g.raw("u sink(u, u);\n")
	n := 3 + g.rng.IntN(6)
	for i := range n {
		name := fmt.Sprintf("%sf%d", static, i)
		switch g.rng.IntN(8) {
		case 0: // a function that is nothing but a macro
			g.macroFunction(name, i)
		case 1:
			g.function("static __attribute__((noinline)) u", name, 2+g.rng.IntN(8))
		default:
			g.function("u", name, 2+g.rng.IntN(14))
		}
	}
	g.raw(fmt.Sprintf("u %sentry(void) { return 0", static))
	for _, c := range g.calls {
		g.raw(" + " + c + "(g[1], g[2])")
	}
	g.raw("; }\n")
	files["src/t.c"] = g.take()
	return files
}

func (g *generator) take() string {
	s := g.out.String()
	g.out.Reset()
	return s
}

func (g *generator) raw(s string) { g.out.WriteString(s) }

// gap writes white space between tokens.
func (g *generator) gap() {
	switch {
	case g.inMacro && g.rng.IntN(6) == 0:
		g.raw(" \\\n  ")
	case !g.inMacro && g.rng.IntN(5) == 0:
		g.raw("\n" + strings.Repeat(" ", g.rng.IntN(8)))
	case !g.inMacro && g.rng.IntN(60) == 0:
		g.raw(" /* two\n lines */ ")
	default:
		g.raw(" ")
	}
}

func (g *generator) pick(ss ...string) string { return ss[g.rng.IntN(len(ss))] }

func (g *generator) macros(n int) {
	for range n {
		id := len(g.exprMacros) + len(g.stmtMacros)
		g.inMacro = true
		args := g.rng.IntN(3)
		params := []string{"", "(x)", "(x, y)"}[args]
		if g.rng.IntN(2) == 0 {
			name := fmt.Sprintf("E%d", id)
			g.raw("#define " + name + params + " (")
			g.macroExpr(args, 3)
			g.raw(")\n")
			g.exprMacros = append(g.exprMacros, macro{name, args})
		} else {
			name := fmt.Sprintf("S%d", id)
			g.raw("#define " + name + params + " do {")
			g.startFunction(1 + g.rng.IntN(4))
			g.inExpr = true
			g.macroStmts(args)
			g.inExpr = false
			g.raw(" } while (0)\n")
			g.stmtMacros = append(g.stmtMacros, macro{name, args})
		}
		g.inMacro = false
	}
}

// macroExpr writes the body of an expression macro, whose parameters are x and y.
func (g *generator) macroExpr(args, depth int) {
	if args > 0 {
		g.raw("(x) " + g.pick("&&", "||", "+", "<") + " ")
	}
	if args > 1 && g.rng.IntN(2) == 0 {
		g.raw("(y) " + g.pick("&&", "||", "^") + " ")
	}
	g.raw("(")
	g.expr(depth, true)
	g.raw(")")
}

func (g *generator) macroStmts(args int) {
	if args > 0 {
		g.raw(" if (x) { ")
		g.stmt(2)
		g.raw(" } ")
		if args > 1 {
			g.raw("else if (y) g[3]++; ")
		}
	}
	for range 1 + g.rng.IntN(2) {
		g.stmt(2)
	}
}

// expr writes an expression. In a macro (global) the variables a and b are not known.
func (g *generator) expr(depth int, global bool) {
	if depth <= 0 {
		if global {
			g.raw(fmt.Sprintf("g[%d]", g.rng.IntN(8)))
		} else {
			g.raw(g.pick("a", "b", "c", "g[0]", "g[5]", "3", "0", "1"))
		}
		return
	}
	sub := func() { g.expr(depth-1-g.rng.IntN(2), global) }
	switch n := g.rng.IntN(15); {
	case n < 4:
		g.raw("(")
		sub()
		g.gap()
		g.raw(g.pick("&&", "||"))
		g.gap()
		sub()
		g.raw(")")
	case n < 6:
		g.raw("(")
		sub()
		g.gap()
		g.raw(g.pick("<", "==", "+", "^", "!=", ">>"))
		g.gap()
		sub()
		g.raw(")")
	case n == 6:
		g.raw("!")
		sub()
	case n == 7:
		g.raw("(")
		sub()
		g.gap()
		g.raw("?")
		g.gap()
		sub()
		g.gap()
		g.raw(":")
		g.gap()
		sub()
		g.raw(")")
	case n == 8:
		g.raw("(")
		sub()
		g.raw(" ?: ")
		sub()
		g.raw(")")
	case n == 9:
		g.raw("__builtin_expect(")
		sub()
		g.raw(", 1)")
	case n == 10 && len(g.calls) > 0 && !global:
		g.raw(g.calls[g.rng.IntN(len(g.calls))] + "(")
		sub()
		g.raw(",")
		g.gap()
		sub()
		g.raw(")")
	case n == 11 && !global && !g.inExpr:
		g.raw("({ ")
		saved := g.inExpr
		g.inExpr = true
		g.stmt(1)
		g.inExpr = saved
		g.raw(" ")
		sub()
		g.raw("; })")
	case n == 12 && !g.inMacro:
		g.raw("(")
		sub()
		g.raw("\n#if " + g.pick("0", "1", "defined(H)") + "\n " + g.pick("&&", "+") + " ")
		sub()
		g.raw("\n#endif\n )")
	default:
		if len(g.exprMacros) == 0 {
			g.expr(0, global)
			return
		}
		m := g.exprMacros[g.rng.IntN(len(g.exprMacros))]
		g.use(m, depth-1, global)
	}
}

// use writes the use of a macro with its arguments.
func (g *generator) use(m macro, depth int, global bool) {
	g.raw(m.name)
	if m.args == 0 {
		return
	}
	g.raw("(")
	for i := range m.args {
		if i > 0 {
			g.raw(", ")
		}
		// A directive inside the arguments of a macro is undefined.
		saved := g.inMacro
		if !saved {
			g.inMacro = true
		}
		pos := g.out.Len()
		g.expr(min(depth, 2), global)
		g.inMacro = saved
		if !saved {
			s := g.out.String()
			g.out.Reset()
			g.out.WriteString(s[:pos] + strings.ReplaceAll(s[pos:], "\\\n", "\n"))
		}
	}
	g.raw(")")
}

func (g *generator) cond(depth int) {
	global := g.inMacro
	switch g.rng.IntN(12) {
	case 0:
		g.raw(g.pick("0", "1", "1 && g[1]", "g[2] || 1", "0 || g[3]", "sizeof(u) == 4"))
	default:
		g.expr(depth, global)
	}
}

func (g *generator) startFunction(budget int) {
	g.wanted, g.defined, g.loop, g.sw, g.budget = [3]bool{}, [3]bool{}, 0, 0, budget
}

func (g *generator) function(prefix, name string, budget int) {
	g.startFunction(budget)
	g.raw(prefix)
	g.gap()
	g.raw(name + "(u a, u b)")
	g.gap()
	g.raw("{ u c = 0;")
	g.gap()
	for g.budget > 0 {
		if l := g.rng.IntN(20); l < len(g.defined) && !g.defined[l] {
			g.label(l)
		}
		g.stmt(3)
		g.gap()
	}
	if g.rng.IntN(4) > 0 {
		g.raw("return ")
		g.expr(2, false)
		g.raw(";")
		g.gap()
	}
	for l := range g.wanted {
		if g.wanted[l] && !g.defined[l] {
			g.label(l)
		}
	}
	g.raw("return c; }\n")
	g.calls = append(g.calls, name)
}

func (g *generator) label(l int) {
	g.defined[l] = true
	g.raw(fmt.Sprintf("L%d: c++;", l))
	g.gap()
}

func (g *generator) macroFunction(name string, i int) {
	def := fmt.Sprintf("DEF%d", i)
	g.inMacro = true
	g.startFunction(3)
	g.raw("#define " + def + "(fname) u fname(u a, u b) { u c = a; ")
	g.inExpr = true
	for g.budget > 0 {
		g.stmt(2)
		g.gap()
	}
	g.inExpr = false
	g.raw(" return c; }\n")
	g.inMacro = false
	g.raw(def + "(" + name + ")\n")
	g.calls = append(g.calls, name)
}
