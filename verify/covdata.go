package verify

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// FromCovdata makes a run of what the loaders of tests loaded, see package collect: with what user space set before, and in the combinations in
// which programs are loaded together. fullLog, if not nil, gives the content of a log that a record names, "" if it cannot be read.
//
// A program is reported under the base name of its source with the extension .o, or, where nothing is known of its object, under its test's
// name in parentheses. One that was refused and loaded later, by the same loader or another, has loaded; Guess has the refusal.
func FromCovdata(data *collect.Data, fullLog func(name string) string) *Run {
	run := &Run{Version: RunVersion}
	byCell := map[collect.Cell]*covCell{}
	var order []*covCell
	for i := range data.Records {
		rec := &data.Records[i]
		id := collect.Cell{Kernel: rec.Run.Cell.Kernel, Arch: rec.Run.Cell.Arch, LLVM: rec.Run.Cell.LLVM}
		c := byCell[id]
		if c == nil {
			c = &covCell{Cell: Cell{Spec: clean(rec.Run.Cell.Spec), LLVM: id.LLVM, Kernel: Kernel{Release: clean(id.Kernel), Arch: clean(id.Arch)}}, at: map[key]int{}}
			byCell[id] = c
			order = append(order, c)
		}
		if rec.Run.Partial && c.Error == "" {
			c.Error = fmt.Sprintf("the end of test %s was not seen", clean(rec.Run.Test))
		}
		for j := range rec.Programs {
			c.add(covResult(data, rec.Run.Test, &rec.Programs[j], fullLog))
		}
	}
	for _, c := range order {
		slices.SortFunc(c.Results, func(a, b Result) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Program, b.Program)) })
		run.Cells = append(run.Cells, c.Cell)
	}
	nameCells(run.Cells)
	return run
}

// covCell is a cell with the places of its programs.
type covCell struct {
	Cell
	at map[key]int
}

// add adds a result, or what it adds to the one of the same program.
func (c *covCell) add(r Result) {
	k := key{r.File, r.Program}
	i, ok := c.at[k]
	if !ok {
		c.at[k] = len(c.Results)
		c.Results = append(c.Results, r)
		return
	}
	have := &c.Results[i]
	rank := func(r *Result) int { return slices.Index([]Verdict{Skipped, Failed, OK}, r.Verdict) }
	better, worse := *have, r
	if rank(&r) > rank(have) || rank(&r) == rank(have) && r.Insns > have.Insns { // of several loads the most expensive
		better, worse = r, *have
	}
	if better.Verdict == OK && worse.Verdict == Failed {
		better.Guess = strings.TrimSpace(fmt.Sprintf("also refused: %s %s", worse.Errno, worse.Reason))
	} else {
		better.Guess = cmp.Or(better.Guess, worse.Guess)
	}
	*have = better
}

func covResult(data *collect.Data, test string, p *collect.ProgramLoad, fullLog func(string) string) Result {
	r := Result{
		File: "(" + test + ")", Program: cmp.Or(p.Name, "(no name)"), ProgType: progTypeOf(p.Type), Errno: p.Errno, Reason: p.Reason, Log: p.Log,
		Stats: Stats{Insns: p.Verified, Size: p.Insns, JitedSize: p.Jited, Xlated: p.Xlated},
	}
	for _, id := range p.Objects {
		if m := data.Metas[id]; m != nil {
			r.File = strings.TrimSuffix(path.Base(m.Source), ".c") + ".o"
			r.Program, r.Section = fullName(m, r.Program)
			break
		}
	}
	switch p.Verdict {
	case collect.VerdictOK:
		r.Verdict = OK
	case collect.VerdictRejected:
		r.Verdict, r.Class = Failed, cmp.Or(p.Class, ClassVerifier)
		if p.LogFile != "" && fullLog != nil {
			r.Log = cmp.Or(fullLog(p.LogFile), r.Log)
		}
		_, r.Lines = telling(r.Log)
	default:
		r.Verdict = Skipped
	}
	parseStats(p.Stats, &r.Stats)
	parseStats(r.Log, &r.Stats)
	r.sanitize()
	return r
}

// fullName finds the symbol and section of a program of which the kernel has the first 15 characters; those that were given if there is not one.
func fullName(m *meta.Meta, name string) (full, section string) {
	full = name
	n := 0
	for _, p := range m.Programs {
		if p.Name == name || len(name) == 15 && strings.HasPrefix(p.Name, name) {
			full, section = p.Name, p.Section
			n++
		}
	}
	if n != 1 {
		return name, ""
	}
	return full, section
}

// progTypeOf turns a record's word for a program type, which is that of Go libraries, into libbpf's.
func progTypeOf(s string) string {
	for i := range progTypes() {
		if t := ebpf.ProgramType(i); t.String() == s {
			return ProgTypeName(t)
		}
	}
	return s
}

// nameCells names cells as `bpfcov verify` names those that it boots, with the compiler where there are several.
func nameCells(cells []Cell) {
	for _, name := range []func(*Cell) string{
		func(c *Cell) string {
			v, _ := version(c.Kernel.Release)
			return fmt.Sprintf("%d.%d-%s", v[0], v[1], c.Kernel.Arch)
		},
		func(c *Cell) string { return c.Kernel.Release + "-" + c.Kernel.Arch },
		func(c *Cell) string { return fmt.Sprintf("%s-%s-llvm%d", c.Kernel.Release, c.Kernel.Arch, c.LLVM) },
	} {
		count := map[string]int{}
		for i := range cells {
			if cells[i].Name == "" {
				count[name(&cells[i])]++
			}
		}
		for i := range cells {
			if n := name(&cells[i]); cells[i].Name == "" && count[n] == 1 {
				cells[i].Name = fileName(n)
			}
		}
	}
}
