package covmap

import "fmt"

// Plan is a mapping evaluated once in unknown values: which lines, functions and branches there are and of which
// counters each is made. Evaluating the same mapping many times, for many kernels, is then arithmetic only.
//
// It may be used by several goroutines.
type Plan struct {
	// Shape has what [Mapping.Evaluate] returns, with the number of a value, for [Values], in the place of each
	// count of lines, regions, functions and branches. It has no segments, regions of functions and summaries.
	Shape *Coverage

	functions []plannedFunction // in the order of their evaluation
	// The functions' leaves have the values from number 1 on, the pairs those after them.
	leaves []leaf
	ops    []operation
	pairs  []pair
	most   int // operands of a function
}

// Values are the values of a [Plan] by number; number 0 is 0.
type Values []uint64

// plannedFunction is a function with the end of its part of the plan's leaves and operations; each starts where that of the
// function before it ends.
type plannedFunction struct {
	*Function
	leaves, ops int
}

// Operands of a function are numbered: 0 is the constant 0, counter n is n+1, and after NumCounters of these come the
// expressions.
type operand uint32

func (f *Function) operand(c Counter) operand {
	switch {
	case c.IsZero():
		return 0
	case c.IsExpression():
		return operand(1 + f.NumCounters + int(c.ID))
	}
	return operand(1 + c.ID)
}

// leaf is a value that comes from the counters of one function.
type leaf struct {
	counter Counter
	from    operand
}

// operation computes an expression.
type operation struct {
	to, left, right operand
	subtract        bool
}

// pair is a value made of two with smaller numbers.
type pair struct {
	a, b    uint32
	greater bool // the greater of both, or else what [Algebra.Combine] makes of them
}

// Plan evaluates m in unknown values, by the rules of LLVM 18 and 19.
//
// Where two neighbouring stretches of a file have different counters, LLVM leaves out the boundary between them when
// these happen to be equal. A plan keeps it, which has no effect on the values of lines.
func (m *Mapping) Plan() (*Plan, error) {
	p := &Plan{}
	shape, err := m.EvaluateWith(&recorder{plan: p}, Options{})
	if err != nil {
		return nil, err
	}
	for k := range shape.Files {
		f := &shape.Files[k]
		f.Segments, f.Summary = nil, Summary{}
		for i := range f.Functions {
			f.Functions[i].Counts, f.Functions[i].FalseCounts = nil, nil
		}
	}
	p.Shape = shape
	return p, nil
}

// values returns room for the values of p, in old when that is large enough.
func (p *Plan) values(old Values) Values {
	n := 1 + len(p.leaves) + len(p.pairs)
	if cap(old) < n {
		return make(Values, n)
	}
	old = old[:n]
	clear(old)
	return old
}

// Evaluate computes the values of p in those of a, which must not be a [RegionAlgebra]. ok is false, and the values are
// not to be used, when a, being a [Filter], leaves a function out: that changes the shape.
func (p *Plan) Evaluate(a Algebra) (v Values, ok bool, err error) {
	filter, _ := a.(Filter)
	v = p.values(nil)
	n := 0
	for i := range p.functions {
		f := &p.functions[i]
		if filter != nil {
			if keep, err := filter.Keep(f.Function); err != nil || !keep {
				return nil, false, err
			}
		}
		for ; n < f.leaves; n++ {
			v[1+n] = a.Value(f.Function, p.leaves[n].counter)
		}
	}
	for i, x := range p.pairs {
		if x.greater {
			v[1+n+i] = max(v[x.a], v[x.b])
		} else {
			v[1+n+i] = a.Combine(v[x.a], v[x.b])
		}
	}
	return v, true, nil
}

// Counts computes the values of p as [CountsClamped] has them, whose arguments it takes, in the memory of old when that
// is large enough. A function with counts that its unit does not use is not left out.
func (p *Plan) Counts(old Values, counts func(f *Function) []uint64, onNegative func(f *Function)) (Values, error) {
	v := p.values(old)
	x := make([]uint64, p.most)
	n, op := 0, 0
	for i := range p.functions {
		f := &p.functions[i]
		own := counts(f.Function)
		if own == nil {
			n, op = f.leaves, f.ops
			continue
		}
		if len(own) < f.NumCounters {
			return nil, tooFew(f.Function, own)
		}
		copy(x[1:], own[:f.NumCounters])
		negative := false
		for ; op < f.ops; op++ {
			o := &p.ops[op]
			if l, r := x[o.left], x[o.right]; !o.subtract {
				x[o.to] = addClamped(l, r)
			} else if r <= l {
				x[o.to] = l - r
			} else {
				x[o.to], negative = 0, true
			}
		}
		if negative && onNegative != nil {
			onNegative(f.Function)
		}
		for ; n < f.leaves; n++ {
			v[1+n] = x[p.leaves[n].from]
		}
	}
	for i, y := range p.pairs {
		if a, b := v[y.a], v[y.b]; y.greater {
			v[1+n+i] = max(a, b)
		} else {
			v[1+n+i] = addClamped(a, b)
		}
	}
	return v, nil
}

func addClamped(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

func tooFew(f *Function, counts []uint64) error {
	return fmt.Errorf("function %s: %d counters, but its mapping refers to %d: counters and mapping are of different builds",
		f.Name, len(counts), f.NumCounters)
}

// recorder is an algebra whose values are numbers of values. The engine asks for the values of all functions before it
// combines any.
type recorder struct {
	plan *Plan
	// leaves has the number of the value of each operand of the function, 0 for none yet.
	leaves   []uint32
	operands int // of all functions
}

// function starts a function. order has its expressions.
func (r *recorder) function(f *Function, order []Counter) error {
	p := r.plan
	operands := 1 + f.NumCounters + len(f.Expressions)
	if r.operands += operands; r.operands > maxOperands || numCounters(f) > f.NumCounters {
		return &FormatError{Function: f.Name, Offset: -1, Reason: fmt.Sprintf("%d counters for %d regions", numCounters(f), len(f.Regions))}
	}
	p.most = max(p.most, operands)
	zeroed(&r.leaves, operands)
	for _, c := range order {
		e := &f.Expressions[c.ID]
		p.ops = push(p.ops, operation{to: f.operand(c), left: f.operand(e.Left), right: f.operand(e.Right), subtract: c.Kind == CounterSub})
	}
	p.functions = push(p.functions, plannedFunction{Function: f, leaves: len(p.leaves), ops: len(p.ops)})
	return nil
}

func (r *recorder) Value(f *Function, c Counter) uint64 {
	from := f.operand(c)
	if r.leaves[from] == 0 {
		p := r.plan
		p.leaves = push(p.leaves, leaf{c, from})
		r.leaves[from] = uint32(len(p.leaves))
		p.functions[len(p.functions)-1].leaves = len(p.leaves)
	}
	return uint64(r.leaves[from])
}

func (r *recorder) pair(x pair) uint64 {
	r.plan.pairs = push(r.plan.pairs, x)
	return uint64(len(r.plan.leaves) + len(r.plan.pairs))
}

func (r *recorder) Combine(a, b uint64) uint64 { return r.pair(pair{uint32(a), uint32(b), false}) }

// Max is asked by the engine in the place of the greater of two values.
func (r *recorder) Max(a, b uint64) uint64 {
	if a == b {
		return a
	}
	return r.pair(pair{uint32(a), uint32(b), true})
}
