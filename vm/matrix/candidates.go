package matrix

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/instrument/policy"
)

// program tells programs apart as well as the kernel lets us: by the name that it knows, cut to 15
// characters, and the type.
type program struct{ name, typ string }

// function is a C function, by the repository-relative file that defines it.
type function struct{ file, name string }

// refusal is what one cell said of a program.
type refusal struct {
	cell  *Cell
	tests []string // in which it happened
	llvm  int      // of the compiler
	error string   // errno and the verifier's last telling line
}

// candidate is a program with counters that is refused somewhere, maybe because of them.
type candidate struct {
	program
	objects   []meta.ObjectID
	functions []function // in it, inlined ones included; sorted
	refusals  []*refusal // a cell each, in the order of the matrix
	// taken tells that every test took the refusals for an answer and passed: then the program is most likely a
	// probe for a feature.
	taken bool
}

// title is the program's name as the user wrote it, where its functions leave no doubt: the kernel cuts names to 15
// characters.
func (c *candidate) title() string {
	full := ""
	for _, f := range c.functions {
		if len(c.name) == kernelNameLen && strings.HasPrefix(f.name, c.name) {
			if full != "" && full != f.name {
				return c.name
			}
			full = f.name
		}
	}
	return cmp.Or(full, c.name)
}

// kernelNameLen is BPF_OBJ_NAME_LEN without its end (include/uapi/linux/bpf.h).
const kernelNameLen = 15

// String says what is the matter.
func (c *candidate) String() string {
	return fmt.Sprintf("program %s is refused on %s: %s", c.title(), c.cells(), c.refusals[0].error)
}

func (c *candidate) cells() string {
	var names []string
	for _, r := range c.refusals {
		names = append(names, r.cell.Name)
	}
	return strings.Join(names, ", ")
}

// label names a cell in a policy file, the same in every run.
func (c *Cell) label() string {
	if c.Kernel == nil {
		return c.Point.String()
	}
	return c.Kernel.Version + "-" + c.Kernel.Arch
}

// candidates lists the programs that were refused in the cells and may be so because of their counters.
func (r *Runner) candidates(cells []Cell) []*candidate {
	found := candidates{metas: metas{}}
	for i := range cells {
		c := &cells[i]
		if c.Result == nil {
			continue
		}
		dirs := []string{r.main(c.Point.Arch).metaDir()}
		for j := range c.Result.Records {
			rec := &c.Result.Records[j]
			found.add(c, rec.Run.Test, rec, dirs, r.policy.now)
		}
	}
	return found.sorted()
}

type candidates struct {
	byName map[program]*candidate
	metas  metas
}

// add takes in the refused programs of one test in one cell, without those that are known to be refused plain.
func (cs *candidates) add(cell *Cell, test string, rec *collect.Record, metaDirs []string, known *policy.Policy) {
	for i := range rec.Programs {
		p := &rec.Programs[i]
		if p.Verdict != collect.VerdictRejected || len(p.Refused) == 0 {
			continue
		}
		what := oneLine(p.Errno + ": " + p.Reason)
		if known.KnowsRefused(policy.Refused{Program: oneLine(p.Name), LLVM: rec.Run.Cell.LLVM, Error: what, FoundOn: []string{cell.label()}}) {
			continue
		}
		functions := cs.metas.functions(p.Refused, metaDirs)
		if len(functions) == 0 {
			continue // its description is missing, which has been said
		}
		if cs.byName == nil {
			cs.byName = map[program]*candidate{}
		}
		key := program{p.Name, p.Type}
		c := cs.byName[key]
		if c == nil {
			c = &candidate{program: key, taken: true}
			cs.byName[key] = c
		}
		c.taken = c.taken && rec.Run.Outcome == collect.Passed
		c.functions = union(c.functions, functions)
		for _, set := range p.Refused {
			if !slices.Contains(c.objects, set.Object) {
				c.objects = append(c.objects, set.Object)
			}
		}
		at := slices.IndexFunc(c.refusals, func(r *refusal) bool { return r.cell == cell })
		if at < 0 {
			at = len(c.refusals)
			c.refusals = append(c.refusals, &refusal{cell: cell, llvm: rec.Run.Cell.LLVM, error: what})
		}
		if f := c.refusals[at]; !slices.Contains(f.tests, test) {
			f.tests = append(f.tests, test)
		}
	}
}

func (cs *candidates) sorted() []*candidate {
	return slices.SortedFunc(maps.Values(cs.byName), func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.typ, b.typ))
	})
}

func union(a, b []function) []function {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y function) int { return cmp.Or(cmp.Compare(x.file, y.file), cmp.Compare(x.name, y.name)) })
	return slices.Compact(all)
}

// metas are the functions of objects, read once each.
type metas map[meta.ObjectID]*described

type described struct {
	meta      *meta.Meta
	functions []function // of the meta's, in its order; without a name when the mapping does not have it
}

// functions returns the functions to which the counters belong.
func (m metas) functions(sets []collect.CounterSet, dirs []string) []function {
	var all []function
	for _, s := range sets {
		d, ok := m[s.Object]
		if !ok {
			d, _ = describe(s.Object, dirs)
			m[s.Object] = d
		}
		if d == nil {
			continue
		}
		s = s.Ungroup(d.meta)
		for i, f := range d.meta.Functions {
			if d.functions[i].name != "" && s.Overlaps(f.First, f.Count) {
				all = append(all, d.functions[i])
			}
		}
		for _, c := range d.meta.LineCounters {
			for _, l := range c.Lines {
				if d.functions[l.Function].name != "" && s.Overlaps(c.Counter, 1) {
					all = append(all, d.functions[l.Function])
				}
			}
		}
	}
	return union(all, nil)
}

// describe reads the sidecar of an object.
func describe(id meta.ObjectID, dirs []string) (*described, error) {
	if dir, err := meta.DefaultDir(); err == nil {
		dirs = append(slices.Clone(dirs), dir)
	}
	for _, dir := range dirs {
		f, err := os.Open(filepath.Join(dir, id.String()+".meta"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		m, err := meta.Decode(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		return decodeMeta(m)
	}
	return nil, fs.ErrNotExist
}

func decodeMeta(m *meta.Meta) (*described, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if m.BigEndian {
		order = binary.BigEndian
	}
	mapping, err := covmap.DecodeSections(m.Covmap, m.Covfun, m.Names, order)
	if err != nil {
		return nil, err
	}
	d := &described{m, make([]function, len(m.Functions))}
	for _, f := range mapping.Functions {
		i := slices.IndexFunc(m.Functions, func(x meta.Func) bool { return x.NameHash == f.NameHash && x.Hash == f.Hash })
		if i < 0 || f.Dummy() {
			continue
		}
		fn := function{name: f.ShortName()}
		if main := f.MainFile(); main >= 0 {
			fn.file = f.Files[main]
		}
		d.functions[i] = fn
	}
	return d, nil
}

// maxWords bounds what a guest says in a policy file.
const maxWords = 300

// oneLine makes what a guest said fit for a line of a file.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.TrimSpace(s)
	if len(s) > maxWords {
		s = strings.ToValidUTF8(s[:maxWords], "")
	}
	return s
}
