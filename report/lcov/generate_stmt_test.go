package lcov_test

import (
	"fmt"
)

func (g *generator) block() {
	g.raw("{")
	g.gap()
	for range g.rng.IntN(4) {
		g.stmt(2)
		g.gap()
	}
	g.raw("}")
}

// body writes what an if or a loop controls.
func (g *generator) body(depth int) {
	if g.rng.IntN(3) == 0 {
		g.gap()
		g.bare = true
		g.stmt(depth - 1)
		return
	}
	g.raw("{")
	g.gap()
	for range g.rng.IntN(3) {
		g.stmt(depth - 1)
		g.gap()
	}
	g.raw("}")
}

func (g *generator) looped(f func()) {
	g.loop++
	f()
	g.loop--
}

func (g *generator) stmt(depth int) {
	g.budget--
	bare := g.bare
	g.bare = false
	n := g.rng.IntN(22)
	if depth <= 0 && n >= 4 && n < 14 {
		n = 0
	}
	switch n {
	default:
		g.raw(fmt.Sprintf("g[%d]", g.rng.IntN(8)) + g.pick("++;", " = 3;", "--; g[1] += 2;"))
	case 1, 2:
		g.raw(fmt.Sprintf("g[%d] += ", g.rng.IntN(8)))
		g.expr(2, g.inMacro)
		g.raw(";")
	case 3:
		g.raw(";")
	case 4, 5, 6:
		g.raw("if (")
		g.cond(depth)
		g.raw(")")
		g.gap()
		braced := g.rng.IntN(2) == 0
		g.raw("{")
		if braced {
			g.gap()
			g.stmt(depth - 1)
			g.gap()
		}
		g.raw("}")
		for g.rng.IntN(3) == 0 {
			g.gap()
			g.raw("else if (")
			g.cond(depth - 1)
			g.raw(")")
			g.gap()
			g.raw("{ ")
			g.stmt(depth - 1)
			g.raw(" }")
		}
		if g.rng.IntN(2) == 0 {
			g.gap()
			g.raw("else")
			g.gap()
			g.body(depth)
		}
	case 7:
		g.raw("while (")
		g.cond(depth)
		g.raw(")")
		g.gap()
		g.looped(func() { g.body(depth) })
	case 8:
		g.raw("do {")
		g.gap()
		g.looped(func() { g.stmt(depth - 1) })
		g.gap()
		g.raw("} while (")
		g.cond(depth)
		g.raw(");")
	case 9, 10:
		v := fmt.Sprintf("i%d", g.rng.IntN(1000))
		g.raw("for (")
		if g.rng.IntN(5) > 0 {
			g.raw("u " + v + " = 0;")
			g.gap()
			g.raw(v + " < 5 && ")
			g.cond(depth - 1)
			g.raw(";")
			g.gap()
			g.raw(v + "++)")
		} else {
			g.raw(";;)")
		}
		g.gap()
		g.looped(func() { g.body(depth) })
	case 11, 12:
		g.switchStmt(depth)
	case 13:
		if g.inMacro || g.inExpr || bare {
			g.raw("g[4]++;")
			return
		}
		g.raw("\n#if " + g.pick("0", "1", "defined(NOPE)") + "\n")
		g.stmt(depth - 1)
		g.raw("\n")
		if g.rng.IntN(2) == 0 {
			g.raw("#else\n")
			g.stmt(depth - 1)
			g.raw("\n")
		}
		g.raw("#endif\n")
	case 14:
		if g.loop > 0 && g.sw == 0 {
			g.raw(g.pick("break;", "continue;"))
		} else {
			g.raw("g[6]++;")
		}
	case 15:
		if g.inMacro || g.inExpr {
			g.raw("g[7] ^= 1;")
			return
		}
		l := g.rng.IntN(len(g.wanted))
		g.wanted[l] = true
		g.raw(fmt.Sprintf("goto L%d;", l))
	case 16:
		if g.inExpr {
			g.raw("g[7] ^= 2;")
			return
		}
		g.raw("return ")
		g.expr(2, g.inMacro)
		g.raw(";")
	case 17, 18:
		if len(g.stmtMacros) == 0 {
			g.raw("g[2]++;")
			return
		}
		g.use(g.stmtMacros[g.rng.IntN(len(g.stmtMacros))], depth, g.inMacro)
		g.raw(";")
	case 19:
		if g.includes == 0 || g.inMacro || g.inExpr || bare || g.rng.IntN(3) > 0 {
			g.raw("g[1] = g[0];")
			return
		}
		g.raw("\n#include \"../body.inc\"\n")
	case 20:
		g.raw("(void)(")
		g.expr(3, g.inMacro)
		g.raw(");")
	}
}

func (g *generator) switchStmt(depth int) {
	g.raw("switch (")
	g.expr(1, g.inMacro)
	g.raw(")")
	g.gap()
	g.raw("{")
	g.gap()
	g.sw++
	for i := range 1 + g.rng.IntN(4) {
		if g.rng.IntN(6) == 0 {
			g.raw(fmt.Sprintf("case %d ... %d:", 10*i+1, 10*i+5))
		} else {
			g.raw(fmt.Sprintf("case %d:", 10*i))
		}
		g.gap()
		if g.rng.IntN(4) > 0 {
			g.stmt(depth - 1)
			g.gap()
		}
		if g.rng.IntN(3) > 0 {
			g.raw("break;")
			g.gap()
		}
	}
	if g.rng.IntN(2) == 0 {
		g.raw("default:")
		g.gap()
		g.bare = true // C before C23 wants a statement after a label
		g.stmt(depth - 1)
		g.gap()
	} else if g.rng.IntN(2) == 0 {
		g.raw("default: ;")
	} else {
		g.raw("case 99: ;")
	}
	g.sw--
	g.raw("}")
}
