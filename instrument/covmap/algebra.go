package covmap

// Algebra gives counters their values. With counts the engine computes what llvm-cov shows; with
// other values, for example ranks of statuses, it computes the same picture in those.
//
// The engine itself only compares values: of all that apply to a line it takes the greatest, and 0
// is what nothing is known of. Which lines, branches and functions exist never depends on values.
type Algebra interface {
	// Value returns what counter c of function f is worth. It is asked for each region (and
	// twice for a branch), functions one after the other, from one goroutine.
	Value(f *Function, c Counter) uint64
	// Combine joins the values of regions of the same range and kind, such as the body of
	// a macro that is used twice, and of the functions that start at one place: + for counts,
	// max for ranks. It must be associative.
	Combine(a, b uint64) uint64
}

// RegionAlgebra is an [Algebra] that wants to see the region when it gives a value.
type RegionAlgebra interface {
	Algebra
	// RegionValue is called in place of Value, for region i of f and its Count or, with
	// falseSide, its FalseCount.
	RegionValue(f *Function, i int, falseSide bool) uint64
}

// Filter may be implemented by an [Algebra] that leaves functions out or refuses them.
type Filter interface {
	// Keep is called before the first value of f is asked for. When it is false, f contributes
	// nothing; an error ends the evaluation.
	Keep(f *Function) (bool, error)
}

// Rules is an [Algebra] made of functions over the leaves and the nodes of expressions. Each
// expression is computed once, whatever the number of its users. It must not be used by several
// goroutines at once.
type Rules struct {
	// Zero is the value of the constant 0, that is, of code that clang knows to be unreachable.
	Zero uint64
	// Leaf returns the value of counter id of f.
	Leaf func(f *Function, id uint32) uint64
	// Sub and Add compute expressions from the values of the left and the right side.
	Sub, Add func(left, right uint64) uint64
	// Join is [Algebra.Combine].
	Join func(a, b uint64) uint64
	// Check is [Filter.Keep]; nil keeps every function.
	Check func(f *Function) (bool, error)

	checker checker
	last    *Function // whose expressions values holds
	// values has an element for each expression of last, Zero for those that nobody refers to.
	values []uint64
}

// Value implements [Algebra]. Expressions that are out of range or cyclic have the value Zero;
// [Mapping.Evaluate] refuses such functions before it asks.
func (r *Rules) Value(f *Function, c Counter) uint64 {
	switch {
	case c.Kind == CounterRef:
		return r.Leaf(f, c.ID)
	case c.IsExpression():
		if r.last != f {
			r.compute(f)
		}
		if int64(c.ID) < int64(len(r.values)) {
			return r.values[c.ID]
		}
	}
	return r.Zero
}

func (r *Rules) compute(f *Function) {
	r.last = f
	r.values = r.values[:0]
	order, err := r.checker.expressionOrder(f)
	if err != nil {
		return
	}
	for range f.Expressions {
		r.values = append(r.values, r.Zero)
	}
	leaf := func(c Counter) uint64 {
		switch {
		case c.Kind == CounterRef:
			return r.Leaf(f, c.ID)
		case c.IsExpression():
			return r.values[c.ID]
		}
		return r.Zero
	}
	for _, c := range order {
		e := f.Expressions[c.ID]
		op := r.Add
		if c.Kind == CounterSub {
			op = r.Sub
		}
		r.values[c.ID] = op(leaf(e.Left), leaf(e.Right))
	}
}

// Combine implements [Algebra].
func (r *Rules) Combine(a, b uint64) uint64 { return r.Join(a, b) }

// Keep implements [Filter].
func (r *Rules) Keep(f *Function) (bool, error) {
	if r.Check == nil {
		return true, nil
	}
	return r.Check(f)
}

// Counts is LLVM's own reading of counters: 64-bit arithmetic that wraps, so that a difference
// which racy counters made negative becomes huge. counts returns a function's counters; nil means
// that nothing is known of the function and all of them are 0. As in LLVM, a function that this
// unit does not use, but whose counters are not 0, is left out. Too few counters are an error.
func Counts(counts func(f *Function) []uint64) *Rules {
	r, leaf := countRules(counts)
	r.Sub = func(a, b uint64) uint64 { return a - b }
	r.Add = func(a, b uint64) uint64 { return a + b }
	r.Join = r.Add
	r.Leaf = leaf
	return r
}

// CountsClamped is [Counts] for people: a negative difference is 0 and a sum stops at the greatest
// number. onNegative, when not nil, is told of each function with a negative difference; its
// counters were not updated atomically, or some updates are missing.
func CountsClamped(counts func(f *Function) []uint64, onNegative func(f *Function)) *Rules {
	r, leaf := countRules(counts)
	var told *Function
	r.Sub = func(a, b uint64) uint64 {
		if b <= a {
			return a - b
		}
		if onNegative != nil && told != r.last {
			told = r.last
			onNegative(r.last)
		}
		return 0
	}
	r.Add = addClamped
	r.Join = r.Add
	r.Leaf = leaf
	return r
}

// countRules returns the part that both ways of counting share: the counters of one function at
// a time.
func countRules(counts func(f *Function) []uint64) (*Rules, func(f *Function, id uint32) uint64) {
	var last *Function
	var values []uint64
	get := func(f *Function) []uint64 {
		if f != last {
			last, values = f, counts(f)
		}
		return values
	}
	check := func(f *Function) (bool, error) {
		v := get(f)
		if v == nil {
			return true, nil
		}
		if len(v) < f.NumCounters {
			return false, tooFew(f, v)
		}
		unused := len(f.Regions) == 1 && f.Regions[0].Count.IsZero() && len(v) > 0 && v[0] > 0
		return !unused, nil
	}
	leaf := func(f *Function, id uint32) uint64 {
		if v := get(f); int64(id) < int64(len(v)) {
			return v[id]
		}
		return 0
	}
	return &Rules{Check: check}, leaf
}
