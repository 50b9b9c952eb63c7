package covmap

import "fmt"

// checker finds what would make an evaluation of a function meaningless or endless. It keeps its memory from one function
// to the next; the zero value is ready.
type checker struct {
	state  []uint8
	kind   []CounterKind
	order  []Counter
	stack  []Counter
	parent []int
}

// check checks one function and returns a counter for each expression that its regions use, so that each comes after the
// ones it depends on. The order is valid until the next call.
func (c *checker) check(f *Function) (order []Counter, err error) {
	if order, err = c.expressionOrder(f); err != nil {
		return nil, err
	}
	parent := zeroed(&c.parent, len(f.Files)) // one more than the file id that expands this one, 0 when none does
	for i := range f.Regions {
		r := &f.Regions[i]
		if r.File < 0 || r.File >= len(f.Files) {
			return nil, fmt.Errorf("region %d is in file id %d of %d", i, r.File, len(f.Files))
		}
		if r.LineStart < 1 || r.LineEnd > maxLine || r.End().Before(r.Start()) {
			return nil, fmt.Errorf("region %d goes from %v to %v; lines are 1 to %d", i, r.Start(), r.End(), maxLine)
		}
		if r.Kind != ExpansionRegion {
			continue
		}
		if r.ExpandedFile < 0 || r.ExpandedFile >= len(f.Files) {
			return nil, fmt.Errorf("region %d expands file id %d of %d", i, r.ExpandedFile, len(f.Files))
		}
		if parent[r.ExpandedFile] > 0 {
			return nil, fmt.Errorf("region %d expands file id %d, which another region does", i, r.ExpandedFile)
		}
		parent[r.ExpandedFile] = r.File + 1
	}
	// With one parent at most, a walk upwards that is longer than the number of files is a cycle;
	// so is one that is deeper than any preprocessor nests.
	for id := range parent {
		n := 0
		for at := parent[id]; at > 0; at = parent[at-1] {
			if n++; n > min(len(parent), maxDepth) {
				return nil, fmt.Errorf("file id %d is expanded by itself or more than %d levels deep", id, maxDepth)
			}
		}
	}
	return order, nil
}

// expressionOrder is the part of check that is about counters. It fails for bad indices, cycles, and an expression that is
// both a sum and a difference.
func (c *checker) expressionOrder(f *Function) ([]Counter, error) {
	zeroed(&c.state, len(f.Expressions))
	zeroed(&c.kind, len(f.Expressions))
	c.order = c.order[:0]
	for i := range f.Regions {
		r := &f.Regions[i]
		err := c.visit(f, r.Count)
		if err == nil && r.IsBranch() {
			err = c.visit(f, r.FalseCount)
		}
		if err != nil {
			return nil, err
		}
	}
	return c.order, nil
}

// visit appends to the order what root depends on, and root.
func (c *checker) visit(f *Function, root Counter) error {
	const (
		unseen = iota
		open
		done
	)
	if !root.IsExpression() {
		return nil
	}
	c.stack = append(c.stack[:0], root)
	for len(c.stack) > 0 {
		x := c.stack[len(c.stack)-1]
		if !x.IsExpression() {
			c.stack = c.stack[:len(c.stack)-1]
			continue
		}
		if int64(x.ID) >= int64(len(f.Expressions)) {
			return fmt.Errorf("counter refers to expression %d of %d", x.ID, len(f.Expressions))
		}
		if k := c.kind[x.ID]; k != CounterZero && k != x.Kind {
			return fmt.Errorf("expression %d is used both as a sum and as a difference", x.ID)
		}
		c.kind[x.ID] = x.Kind
		e := f.Expressions[x.ID]
		switch c.state[x.ID] {
		case unseen:
			c.state[x.ID] = open
			for _, side := range [2]Counter{e.Right, e.Left} {
				if side.IsExpression() && int64(side.ID) < int64(len(c.state)) && c.state[side.ID] == open {
					return fmt.Errorf("expression %d depends on itself", side.ID)
				}
				c.stack = append(c.stack, side)
			}
		case open:
			c.state[x.ID] = done
			c.order = append(c.order, x)
			c.stack = c.stack[:len(c.stack)-1]
		case done:
			c.stack = c.stack[:len(c.stack)-1]
		}
	}
	return nil
}

// zeroed makes *s n zeros, in the memory that it has when that is enough.
func zeroed[T any](s *[]T, n int) []T {
	if cap(*s) < n {
		*s = make([]T, n, n+n/2)
	}
	*s = (*s)[:n]
	clear(*s)
	return *s
}
