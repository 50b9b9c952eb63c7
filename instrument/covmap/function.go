package covmap

import (
	"fmt"
	"slices"
	"strings"
)

// Dummy reports whether f stands for a function that its unit does not use and that has no code:
// its hash is 0, and its only region never runs.
func (f *Function) Dummy() bool {
	return f.Hash == 0 && len(f.Files) == 1 && len(f.Expressions) == 0 && len(f.Regions) == 1 &&
		f.Regions[0].Count.IsZero()
}

// SourceName is the name of the function in the source. Functions with local linkage have
// their file in front in the profile name, and like LLVM this removes it only when it is the
// function's first file.
func (f *Function) SourceName() string {
	if len(f.Files) > 0 && f.Files[0] != "" {
		if rest, ok := strings.CutPrefix(f.Name, f.Files[0]+":"); ok {
			return rest
		}
		if rest, ok := strings.CutPrefix(f.Name, f.Files[0]+";"); ok {
			return rest
		}
	}
	return f.Name
}

// ShortName is the name of the function in the source, whatever file is in front of it in the profile
// name. Functions of different files may share it.
func (f *Function) ShortName() string {
	return f.Name[strings.LastIndexAny(f.Name, ":;")+1:]
}

// MainFile is the id of the file that the function is defined in: the lowest that is not the body of
// a macro or an included file. It is -1 when there is none.
func (f *Function) MainFile() int {
	expanded := f.expansionOf()
	for id, region := range expanded {
		if region < 0 {
			return id
		}
	}
	return -1
}

// expansionOf has for each file id the region that expands it, -1 when none does.
func (f *Function) expansionOf() []int {
	v := make([]int, len(f.Files))
	for i := range v {
		v[i] = -1
	}
	for i := range f.Regions {
		if r := &f.Regions[i]; r.Kind == ExpansionRegion && r.ExpandedFile < len(v) {
			v[r.ExpandedFile] = i
		}
	}
	return v
}

// Counters returns the distinct counters of kind [CounterRef] that f refers to, also through
// expressions, in ascending order.
func (f *Function) Counters() []uint32 {
	return f.CountersOf(f.roots()...)
}

// CountersOf returns the distinct counters of kind [CounterRef] that the values of cs depend on, in
// ascending order.
func (f *Function) CountersOf(cs ...Counter) []uint32 {
	var ids []uint32
	seen := make(map[Counter]bool)
	stack := slices.Clone(cs)
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if c.IsZero() || seen[c] {
			continue
		}
		seen[c] = true
		switch {
		case c.Kind == CounterRef:
			ids = append(ids, c.ID)
		case int64(c.ID) < int64(len(f.Expressions)):
			e := f.Expressions[c.ID]
			stack = append(stack, e.Left, e.Right)
		}
	}
	slices.Sort(ids)
	return ids
}

func (f *Function) roots() []Counter {
	cs := make([]Counter, 0, len(f.Regions))
	for i := range f.Regions {
		cs = append(cs, f.Regions[i].Count)
		if f.Regions[i].IsBranch() {
			cs = append(cs, f.Regions[i].FalseCount)
		}
	}
	return cs
}

// expressionOrder returns a counter for each expression that regions use, so that each comes after
// the ones it depends on. It fails for bad indices, cycles, and an expression that is both
// a sum and a difference.
func (f *Function) expressionOrder() ([]Counter, error) {
	const (
		unseen = iota
		open
		done
	)
	state := make([]uint8, len(f.Expressions))
	kind := make([]CounterKind, len(f.Expressions))
	var order, stack []Counter
	for _, root := range f.roots() {
		stack = append(stack[:0], root)
		for len(stack) > 0 {
			c := stack[len(stack)-1]
			if !c.IsExpression() {
				stack = stack[:len(stack)-1]
				continue
			}
			if int64(c.ID) >= int64(len(f.Expressions)) {
				return nil, fmt.Errorf("counter refers to expression %d of %d", c.ID, len(f.Expressions))
			}
			if k := kind[c.ID]; k != CounterZero && k != c.Kind {
				return nil, fmt.Errorf("expression %d is used both as a sum and as a difference", c.ID)
			}
			kind[c.ID] = c.Kind
			e := f.Expressions[c.ID]
			switch state[c.ID] {
			case unseen:
				state[c.ID] = open
				for _, side := range [2]Counter{e.Right, e.Left} {
					if side.IsExpression() && int64(side.ID) < int64(len(state)) && state[side.ID] == open {
						return nil, fmt.Errorf("expression %d depends on itself", side.ID)
					}
					stack = append(stack, side)
				}
			case open:
				state[c.ID] = done
				order = append(order, c)
				stack = stack[:len(stack)-1]
			case done:
				stack = stack[:len(stack)-1]
			}
		}
	}
	return order, nil
}

// check finds what would make an evaluation meaningless or endless.
func (f *Function) check() error {
	if _, err := f.expressionOrder(); err != nil {
		return err
	}
	parent := make([]int, len(f.Files)) // file id that expands this one, -1 when none does
	for i := range parent {
		parent[i] = -1
	}
	for i := range f.Regions {
		r := &f.Regions[i]
		if r.File < 0 || r.File >= len(f.Files) {
			return fmt.Errorf("region %d is in file id %d of %d", i, r.File, len(f.Files))
		}
		if r.LineStart < 1 || r.LineEnd > maxLine || r.End().Before(r.Start()) {
			return fmt.Errorf("region %d goes from %v to %v; lines are 1 to %d", i, r.Start(), r.End(), maxLine)
		}
		if r.Kind != ExpansionRegion {
			continue
		}
		if r.ExpandedFile < 0 || r.ExpandedFile >= len(f.Files) {
			return fmt.Errorf("region %d expands file id %d of %d", i, r.ExpandedFile, len(f.Files))
		}
		if parent[r.ExpandedFile] >= 0 {
			return fmt.Errorf("region %d expands file id %d, which another region does", i, r.ExpandedFile)
		}
		parent[r.ExpandedFile] = r.File
	}
	// With one parent at most, a walk upwards that is longer than the number of files is a cycle;
	// so is one that is deeper than any preprocessor nests.
	for id := range parent {
		n := 0
		for at := parent[id]; at >= 0; at = parent[at] {
			if n++; n > min(len(parent), maxDepth) {
				return fmt.Errorf("file id %d is expanded by itself or more than %d levels deep", id, maxDepth)
			}
		}
	}
	return nil
}
