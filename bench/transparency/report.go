package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/verify"
)

// outcome is one rung on one kernel.
type outcome struct {
	rung    string
	whole   bool // all sources were compiled
	results map[key]verify.Result
	compile map[string]string // objects that could not be compiled, with the reason
}

// table is one compiler on one kernel.
type table struct {
	clang, kernel, release string
	plain                  map[key]verify.Result
	leftOut                map[key]int // programs that were not tried, with the instructions that the running kernel verifies
	rungs                  map[string]*outcome
	order                  []string
}

// loading are the programs that load plain, sorted.
func (t *table) loading() []key {
	var out []key
	for k, r := range t.plain {
		if r.Verdict == verify.OK {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b key) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.prog, b.prog)) })
	return out
}

func (o *outcome) loads(k key) bool { return o.results[k].Verdict == verify.OK }

// reason is why a program is lost on a rung.
func (o *outcome) reason(k key) string {
	if r, ok := o.compile[k.file]; ok {
		return "clang: " + r
	}
	r, ok := o.results[k]
	if !ok {
		return "the program is not in the object"
	}
	return strings.TrimSpace(r.Errno + " " + r.Reason)
}

// lostSoFar are the programs that no instrumented rung loads yet.
func (t *table) lostSoFar() []key {
	var out []key
next:
	for _, k := range t.loading() {
		for name, o := range t.rungs {
			if slices.Contains(ladder(), name) && o.loads(k) {
				continue next
			}
		}
		out = append(out, k)
	}
	return out
}

// lost are the programs that one rung loses, of those it was tried with.
func (t *table) lost(o *outcome) []key {
	var out []key
	for _, k := range t.loading() {
		if o.whole && !o.loads(k) {
			out = append(out, k)
		}
	}
	return out
}

// ratios compares verified instructions with those of the plain program.
func (t *table) ratios(o *outcome, of func(verify.Result) int) (geomean, most float64, worst key) {
	sum, n := 0.0, 0
	for _, k := range t.loading() {
		p, q := of(t.plain[k]), of(o.results[k])
		if !o.loads(k) || p == 0 || q == 0 {
			continue
		}
		r := float64(q) / float64(p)
		sum += math.Log(r)
		n++
		if r > most {
			most, worst = r, k
		}
	}
	if n == 0 {
		return 0, 0, worst
	}
	return math.Exp(sum / float64(n)), most, worst
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n### clang %s, Linux %s: %d programs load plain\n\n", t.clang, t.release, len(t.loading()))
	fmt.Fprintf(w, "| rung | lost | verified insns, geomean | of programs of 100 and more | max | machine code, geomean |\n|---|---|---|---|---|---|\n")
	for _, name := range t.order {
		o := t.rungs[name]
		if !o.whole {
			continue
		}
		g, m, worst := t.ratios(o, func(r verify.Result) int { return r.Insns })
		large, _, _ := t.ratios(o, func(r verify.Result) int {
			if t.plain[key{r.File, r.Program}].Insns < 100 {
				return 0
			}
			return r.Insns
		})
		j, _, _ := t.ratios(o, func(r verify.Result) int { return r.JitedSize })
		fmt.Fprintf(w, "| %s | %d | %.2fx | %.2fx | %.2fx (%s/%s) | %.2fx |\n", name, len(t.lost(o)), g, large, m, worst.file, worst.prog, j)
	}
	left := t.lostSoFar()
	fmt.Fprintf(w, "| with the ladder | %d | | | | |\n\n", len(left))
	steps := map[string]int{}
	for _, k := range t.loading() {
		for _, name := range ladder() {
			if o := t.rungs[name]; o != nil && o.loads(k) {
				steps[name]++
				break
			}
		}
	}
	var parts []string
	for _, name := range ladder() {
		if t.rungs[name] != nil {
			parts = append(parts, fmt.Sprintf("%s %d", name, steps[name]))
		}
	}
	fmt.Fprintf(w, "Highest rung that loads: %s, none %d.\n", strings.Join(parts, ", "), len(left))
	t.printSizes(w)
	if len(t.leftOut) > 0 {
		var names []string
		for k, n := range t.leftOut {
			names = append(names, fmt.Sprintf("%s/%s (%d)", k.file, k.prog, n))
		}
		slices.Sort(names)
		fmt.Fprintf(w, "\nNot tried, with the instructions that the running kernel verifies: %s.\n", strings.Join(names, ", "))
	}
}

// sizes are the limits of classes of programs, in verified instructions of the plain one.
var sizes = []int{1, 5, 10, 20, 50, 100, 1000, 1 << 30}

// printSizes prints what each rung that all sources were compiled for costs programs of each size, and objects: those of one object
// together. An update that is alone costs three instructions, so that the floor of a class is what one update in each of its programs
// would give.
func (t *table) printSizes(w io.Writer) {
	var rungs []*outcome
	for _, name := range t.order {
		if o := t.rungs[name]; o.whole {
			rungs = append(rungs, o)
		}
	}
	if len(rungs) == 0 {
		return
	}
	floor := *rungs[0]
	floor.results = map[key]verify.Result{}
	for k, r := range rungs[0].results {
		r.Insns = t.plain[k].Insns + 3
		floor.results[k] = r
	}
	fmt.Fprint(w, "\n| plain, verified insns | programs |")
	for _, o := range rungs {
		fmt.Fprintf(w, " %s, geomean |", o.rung)
	}
	fmt.Fprintf(w, " with one update each |\n|---|---|%s---|\n", strings.Repeat("---|", len(rungs)))
	row := func(name string, least, most int) {
		n := 0
		in := func(k key) bool { size := t.plain[k].Insns; return size >= least && size < most }
		for _, k := range t.loading() {
			if rungs[0].loads(k) && in(k) {
				n++
			}
		}
		if n == 0 {
			return
		}
		fmt.Fprintf(w, "| %s | %d |", name, n)
		for _, o := range append(slices.Clone(rungs), &floor) {
			g, _, _ := t.ratios(o, func(r verify.Result) int {
				if !in(key{r.File, r.Program}) {
					return 0
				}
				return r.Insns
			})
			fmt.Fprintf(w, " %.2fx |", g)
		}
		fmt.Fprintln(w)
	}
	most := sizes[len(sizes)-1]
	for i := range len(sizes) - 1 {
		name := fmt.Sprintf("%d to %d", sizes[i], sizes[i+1]-1)
		if i == len(sizes)-2 {
			name = fmt.Sprintf("%d and more", sizes[i])
		}
		row(name, sizes[i], sizes[i+1])
	}
	row("all", 1, most)
	for _, least := range []int{4, 10, 20, 100} {
		row(fmt.Sprintf("all of %d and more", least), least, most)
	}
	objects := ""
	n := 0
	for i, o := range append(slices.Clone(rungs), &floor) {
		g, files := t.byObject(o)
		if i == 0 {
			n = files
		}
		objects += fmt.Sprintf(" %.2fx |", g)
	}
	fmt.Fprintf(w, "| objects, the programs of each together | %d |%s\n", n, objects)
}

// byObject is the geometric mean over objects, the instructions of the programs of each that load added up.
func (t *table) byObject(o *outcome) (geomean float64, files int) {
	type sum struct{ plain, with int }
	sums := map[string]sum{}
	for _, k := range t.loading() {
		if p, q := t.plain[k].Insns, o.results[k].Insns; o.loads(k) && p > 0 && q > 0 {
			s := sums[k.file]
			sums[k.file] = sum{s.plain + p, s.with + q}
		}
	}
	log := 0.0
	for _, s := range sums {
		log += math.Log(float64(s.with) / float64(s.plain))
	}
	return math.Exp(log / float64(max(len(sums), 1))), len(sums)
}

// writeLost writes a line for each program and rung that loses it: program, clang, kernel, rung, the last line.
func writeLost(name string, tables []*table) error {
	var b strings.Builder
	for _, t := range tables {
		for _, rung := range t.order {
			o := t.rungs[rung]
			g, m, _ := t.ratios(o, func(r verify.Result) int { return r.Insns })
			if o.whole {
				fmt.Fprintf(&b, "# clang-%s %s on %s: %d load plain, %d lost, verified insns geomean %.3f max %.2f\n", t.clang, rung, t.release, len(t.loading()), len(t.lost(o)), g, m)
			} else {
				fmt.Fprintf(&b, "# clang-%s %s on %s: tried for what the rungs above lose\n", t.clang, rung, t.release)
			}
			for _, k := range t.loading() {
				if _, tried := o.results[k]; !o.loads(k) && (o.whole || tried || o.compile[k.file] != "") {
					fmt.Fprintf(&b, "%s\t%s\tclang-%s\t%s\t%s\t%s\n", k.file, k.prog, t.clang, t.kernel, rung, o.reason(k))
				}
			}
		}
		fmt.Fprintf(&b, "# clang-%s on %s, lost on every rung: %d\n", t.clang, t.release, len(t.lostSoFar()))
		for _, k := range t.lostSoFar() {
			fmt.Fprintf(&b, "%s\t%s\tclang-%s\t%s\tall\t\n", k.file, k.prog, t.clang, t.kernel)
		}
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}
