package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bpfcov/bpfcov/internal/nearest"
)

// Column is one statistic or name of a result, by veristat's names.
type Column struct {
	// Title heads tables, Name is the name in CSV; Alias are other names by which it can be asked for.
	Title, Name string
	alias       []string
	number      func(*Result) int
	text        func(*Result) string
	// ascending is how it is sorted when nothing else is said.
	ascending bool
}

// Text is the column's value of r.
func (c Column) Text(r *Result) string {
	if c.number != nil {
		return strconv.Itoa(c.number(r))
	}
	return c.text(r)
}

// Numeric reports whether the values are numbers.
func (c Column) Numeric() bool { return c.number != nil }

// Number is the value of a numeric column, and 0 of others.
func (c Column) Number(r *Result) int {
	if c.number == nil {
		return 0
	}
	return c.number(r)
}

// veristatVerdict is veristat's word for a verdict. It knows nothing in between: what it does not try it does not list.
func veristatVerdict(v Verdict) string {
	switch v {
	case OK:
		return "success"
	case Skipped:
		return "skipped"
	}
	return "failure"
}

// Columns are all columns, in the order of veristat's CSV, with those that veristat does not have behind them.
func Columns() []Column {
	return []Column{
		{Title: "File", Name: "file_name", alias: []string{"filename", "file"}, text: func(r *Result) string { return r.File }, ascending: true},
		{Title: "Program", Name: "prog_name", alias: []string{"progname", "prog"}, text: func(r *Result) string { return r.Program }, ascending: true},
		{Title: "Verdict", Name: "verdict", text: func(r *Result) string { return veristatVerdict(r.Verdict) }, ascending: true},
		{Title: "Duration (us)", Name: "duration", alias: []string{"dur"}, number: func(r *Result) int { return r.Duration }},
		{Title: "Insns", Name: "total_insns", alias: []string{"insns"}, number: func(r *Result) int { return r.Insns }},
		{Title: "States", Name: "total_states", alias: []string{"states"}, number: func(r *Result) int { return r.States }},
		{Title: "Peak states", Name: "peak_states", number: func(r *Result) int { return r.PeakStates }},
		{Title: "Max states per insn", Name: "max_states_per_insn", number: func(r *Result) int { return r.MaxStatesPerInsn }},
		{Title: "Max mark read length", Name: "max_mark_read_len", alias: []string{"mark_read"}, number: func(r *Result) int { return r.MarkRead }},
		{Title: "Program size", Name: "prog_size", alias: []string{"size"}, number: func(r *Result) int { return r.Size }},
		{Title: "Jited size", Name: "prog_size_jited", alias: []string{"jited_size"}, number: func(r *Result) int { return r.JitedSize }},
		{Title: "Program type", Name: "prog_type", text: func(r *Result) string { return r.ProgType }, ascending: true},
		{Title: "Attach type", Name: "attach_type", text: func(r *Result) string { return r.AttachType }, ascending: true},
		{Title: "Stack depth", Name: "stack_depth", alias: []string{"stack"}, number: func(r *Result) int { return r.Stack }},
		{Title: "Xlated size", Name: "xlated_size", alias: []string{"xlated"}, number: func(r *Result) int { return r.Xlated }},
		{Title: "Class", Name: "class", text: func(r *Result) string { return string(r.Class) }, ascending: true},
		{Title: "Errno", Name: "errno", text: func(r *Result) string { return r.Errno }, ascending: true},
		{Title: "Assumed", Name: "guess", text: func(r *Result) string { return r.Guess }, ascending: true},
		{Title: "Reason", Name: "reason", text: func(r *Result) string { return r.Reason }, ascending: true},
	}
}

// VeristatColumns are those that every veristat reads, in its order: to that of Linux 6.12 more are an error.
func VeristatColumns() []Column { return Columns()[:9] }

// FindColumn finds a column by one of its names.
func FindColumn(name string) (Column, error) {
	var names []string
	for _, c := range Columns() {
		if c.Name == name || slices.Contains(c.alias, name) {
			return c, nil
		}
		names = append(append(names, c.Name), c.alias...)
	}
	hint := ""
	if m := nearest.Match(name, names); m != "" {
		hint = fmt.Sprintf("; did you mean %q?", m)
	}
	return Column{}, fmt.Errorf("unknown column %q%s", name, hint)
}

// ParseColumns reads names separated by commas.
func ParseColumns(list string) ([]Column, error) {
	var out []Column
	for name := range strings.SplitSeq(list, ",") {
		c, err := FindColumn(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// Order is a column to sort by.
type Order struct {
	Column Column
	Desc   bool
}

// ParseOrder reads columns separated by commas; "^" behind a name is ascending, "v" descending, as of veristat.
func ParseOrder(list string) ([]Order, error) {
	var out []Order
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		var o Order
		base, up := strings.CutSuffix(name, "^")
		down := false
		c, err := FindColumn(base)
		if err != nil && !up {
			if b, ok := strings.CutSuffix(name, "v"); ok {
				if c2, err2 := FindColumn(b); err2 == nil {
					c, err, down = c2, nil, true
				}
			}
		}
		if err != nil {
			return nil, err
		}
		o.Column = c
		o.Desc = down || !up && !c.ascending
		out = append(out, o)
	}
	return out, nil
}

// Sort sorts results; equal ones by file and program.
func Sort(list []Result, by []Order) {
	slices.SortStableFunc(list, func(a, b Result) int {
		for _, o := range by {
			var n int
			if o.Column.number != nil {
				n = cmp.Compare(o.Column.number(&a), o.Column.number(&b))
			} else {
				n = cmp.Compare(o.Column.text(&a), o.Column.text(&b))
			}
			if o.Desc {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Program, b.Program))
	})
}
