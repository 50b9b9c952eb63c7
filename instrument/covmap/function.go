package covmap

import (
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
