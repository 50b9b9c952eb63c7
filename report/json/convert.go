package reportjson

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// Read reads a document. It refuses one of another schema.
func Read(r io.Reader) (*Document, error) {
	d := &Document{}
	if err := json.NewDecoder(r).Decode(d); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if d.Schema != Schema {
		return nil, fmt.Errorf("report: schema %d, want %d", d.Schema, Schema)
	}
	return d, nil
}

func ratio(x model.Ratio) Ratio {
	y := Ratio{Hit: x.Hit, Total: x.Total}
	if x.Total > 0 {
		p := x.Percent()
		y.Percent = &p
	}
	return y
}

func summary(s model.Summary) Summary {
	return Summary{ratio(s.Lines), ratio(s.Regions), ratio(s.Branches), ratio(s.Functions)}
}

// userSpace is nil for a cell from which nothing of user space came.
func userSpace(s model.Summary) *Ratio {
	if s.Lines.Total == 0 {
		return nil
	}
	r := ratio(s.Lines)
	return &r
}

func cell(c *model.Cell) Cell {
	out := Cell{
		Name: c.Name, Cell: c.Cell, Outcome: c.Outcome, Failure: c.Failure, Ran: c.Ran, Partial: c.Partial,
		Duration: c.Duration.Nanoseconds(), Boot: c.Boot.Nanoseconds(),
		Tests:   Tests{c.Tests.Passed, c.Tests.Failed, c.Tests.Skipped},
		Summary: summary(c.Summary), UserSpace: userSpace(c.UserSpace), Console: c.Console, Lines: map[string]int{}, Objects: []Object{},
		Programs: c.Programs, Runs: c.Runs,
	}
	if out.Programs == nil {
		out.Programs = []collect.ProgramLoad{} // an empty list is no null
	}
	for s, n := range c.Statuses {
		if n > 0 {
			out.Lines[model.Status(s).String()] = n
		}
	}
	for _, o := range c.Objects {
		out.Objects = append(out.Objects, Object{o.ID.String(), o.Source, o.Object, o.LLVM, o.Maps})
	}
	return out
}

func (e *encoder) difference(d *model.Difference) Difference {
	out := Difference{Kind: d.Kind, File: d.File, Function: d.Function, Col: d.Col, Side: d.Side, Lines: d.Lines}
	for _, x := range d.Ranges {
		out.Ranges = append(out.Ranges, [2]int{x.First, x.Last})
	}
	for _, g := range d.Groups {
		names := make([]string, len(g.Cells))
		for i, c := range g.Cells {
			names[i] = e.r.Cells[c].Name
		}
		out.Groups = append(out.Groups, Group{g.Status.String(), g.Cause, names})
	}
	return out
}

func states(cells []model.State) States {
	s := States{}
	status := make([]byte, len(cells))
	for i, c := range cells {
		status[i] = letters[c.Status]
		if c.Count > 0 && s.Counts == nil {
			s.Counts = make([]uint64, len(cells))
		}
		if c.Reason != 0 {
			if s.Reasons == nil {
				s.Reasons = map[int]int{}
			}
			s.Reasons[i] = int(c.Reason)
		}
	}
	for i := range s.Counts {
		s.Counts[i] = cells[i].Count
	}
	s.Status = string(status)
	return s
}

func branch(b *model.Branch) Branch {
	t, f := make([]model.State, len(b.Cells)), make([]model.State, len(b.Cells))
	for i, s := range b.Cells {
		t[i], f[i] = s.True, s.False
	}
	out := Branch{Line: b.Line, Source: b.Source, Col: b.Col, EndLine: b.EndLine, EndCol: b.EndCol,
		True: states(t), False: states(f)}
	if b.Source != "" || b.SourceLine != b.Line {
		out.SourceLine = b.SourceLine
	}
	return out
}
