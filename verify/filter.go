package verify

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// Filter is a set of filters in veristat's vocabulary:
//
//	FILE, FILE/PROG        globs, what is let in; "/PROG" for any file
//	!FILE, !FILE/PROG      what is kept out, whatever is let in
//	STAT OP NUMBER         a condition on a statistic: insns>1000, states<=20, verdict=failure
//	@PATH                  a file of filters, one a line
//
// OP is one of = == != <> < <= > >=. Conditions must all hold.
type Filter struct {
	allow, deny []glob
	conds       []cond
}

type glob struct{ file, prog string }

type cond struct {
	col  Column
	op   string
	num  int
	text string
}

// maxFilterFile bounds a file of filters, in lines.
const maxFilterFile = 10000

// ParseFilter reads filters.
func ParseFilter(list []string) (*Filter, error) {
	f := &Filter{}
	for _, s := range list {
		if name, ok := strings.CutPrefix(s, "@"); ok {
			lines, err := readLines(name)
			if err != nil {
				return nil, err
			}
			for _, l := range lines {
				if err := f.add(l); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			}
			continue
		}
		if err := f.add(s); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func readLines(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out []string
	sc := bufio.NewScanner(file)
	for sc.Scan() {
		if l := strings.TrimSpace(sc.Text()); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
		if len(out) > maxFilterFile {
			return nil, fmt.Errorf("%s: more than %d filters", name, maxFilterFile)
		}
	}
	return out, sc.Err()
}

func (f *Filter) add(s string) error {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, "=<>"); i > 0 || strings.Contains(s, "!=") {
		return f.addCond(s)
	}
	list := &f.allow
	if rest, ok := strings.CutPrefix(s, "!"); ok {
		list, s = &f.deny, rest
	}
	var g glob
	g.file, g.prog, _ = strings.Cut(s, "/")
	if g.file == "" && g.prog == "" {
		return fmt.Errorf("filter %q: want FILE, FILE/PROG, /PROG or a condition such as insns>1000", s)
	}
	for _, p := range []string{g.file, g.prog} {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("filter %q: %w", s, err)
		}
	}
	*list = append(*list, g)
	return nil
}

func (f *Filter) addCond(s string) error {
	i := strings.IndexAny(s, "=<>!")
	name, rest := strings.TrimSpace(s[:i]), s[i:]
	c := cond{}
	for _, op := range []string{"==", "!=", "<>", "<=", ">=", "=", "<", ">"} {
		if v, ok := strings.CutPrefix(rest, op); ok {
			c.op, rest = op, strings.TrimSpace(v)
			break
		}
	}
	if c.op == "" {
		return fmt.Errorf("filter %q: want STAT and one of = != < <= > >= and a number", s)
	}
	var err error
	if c.col, err = FindColumn(name); err != nil {
		return fmt.Errorf("filter %q: %w", s, err)
	}
	if c.col.number == nil {
		if c.op != "=" && c.op != "==" && c.op != "!=" && c.op != "<>" {
			return fmt.Errorf("filter %q: %s is no number", s, name)
		}
		c.text = rest
		f.conds = append(f.conds, c)
		return nil
	}
	if c.num, err = strconv.Atoi(rest); err != nil {
		return fmt.Errorf("filter %q: %q is no number", s, rest)
	}
	f.conds = append(f.conds, c)
	return nil
}

// Wants reports whether the globs let a program in. An empty program asks whether any of the file's may be.
func (f *Filter) Wants(file, program string) bool {
	for _, g := range f.deny {
		if g.match(file, program) && (program != "" || g.prog == "") {
			return false
		}
	}
	for _, g := range f.allow {
		if g.match(file, program) {
			return true
		}
	}
	return len(f.allow) == 0
}

func (g glob) match(file, program string) bool {
	ok := func(pattern, name string) bool {
		if pattern == "" {
			return true
		}
		m, err := path.Match(pattern, name)
		return m && err == nil
	}
	return ok(g.file, file) && (program == "" || ok(g.prog, program))
}

// Holds reports whether the conditions hold for a result.
func (f *Filter) Holds(r *Result) bool {
	for _, c := range f.conds {
		var ok bool
		if c.col.number != nil {
			n := c.col.number(r)
			switch c.op {
			case "=", "==":
				ok = n == c.num
			case "!=", "<>":
				ok = n != c.num
			case "<":
				ok = n < c.num
			case "<=":
				ok = n <= c.num
			case ">":
				ok = n > c.num
			case ">=":
				ok = n >= c.num
			}
		} else {
			ok = (c.col.Text(r) == c.text) == (c.op == "=" || c.op == "==")
		}
		if !ok {
			return false
		}
	}
	return true
}

// Globs are the filters that [Filter.Wants] decides by, in the form in which they were given.
func (f *Filter) Globs() []string {
	var out []string
	for _, g := range f.allow {
		out = append(out, g.String())
	}
	for _, g := range f.deny {
		out = append(out, "!"+g.String())
	}
	return out
}

func (g glob) String() string {
	if g.prog == "" {
		return g.file
	}
	return g.file + "/" + g.prog
}
