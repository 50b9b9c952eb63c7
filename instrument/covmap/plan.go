package covmap

// Plan is a mapping evaluated once in unknown values: which lines, functions and branches there are and of which
// counters each is made. Evaluating the same mapping many times, for many kernels, is then arithmetic only.
//
// It may be used by several goroutines.
type Plan struct {
	// Shape has what [Mapping.Evaluate] returns, with the number of a value, for [Values], in the place of each
	// count of lines, functions and branches. It has no segments, regions of functions and summaries.
	Shape *Coverage

	functions []*Function // those that are evaluated, in order
	steps     []step
	orders    map[*Function][]Counter
}

// Values are the values of a [Plan] by number; number 0 is 0.
type Values []uint64

// step computes one value.
type step struct {
	kind stepKind
	a, b uint32  // numbers of values
	leaf Counter // of functions[a]
}

type stepKind uint8

const (
	stepNone stepKind = iota
	stepLeaf
	stepCombine
	stepMax
)

// Plan evaluates m in unknown values, by the rules of LLVM 18 and 19.
//
// Where two neighbouring stretches of a file have different counters, LLVM leaves out the boundary between them when
// these happen to be equal. A plan keeps it, which has no effect on the values of lines.
func (m *Mapping) Plan() (*Plan, error) {
	p := &Plan{steps: []step{{}}, orders: map[*Function][]Counter{}}
	r := &recorder{plan: p, pairs: map[step]uint64{}}
	shape, err := m.EvaluateWith(r, Options{})
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
	for _, f := range p.functions {
		order, err := f.expressionOrder()
		if err != nil {
			return nil, err
		}
		p.orders[f] = order
	}
	return p, nil
}

// Evaluate computes the values of p in those of a, which must not be a [RegionAlgebra]. ok is false, and the values are
// not to be used, when a, being a [Filter], leaves a function out: that changes the shape.
func (p *Plan) Evaluate(a Algebra) (v Values, ok bool, err error) {
	if filter, is := a.(Filter); is {
		for _, f := range p.functions {
			if keep, err := filter.Keep(f); err != nil || !keep {
				return nil, false, err
			}
		}
	}
	if r, is := a.(*Rules); is {
		r.orders = p.orders
	}
	v = make(Values, len(p.steps))
	for i := range p.steps {
		s := &p.steps[i]
		switch s.kind {
		case stepLeaf:
			v[i] = a.Value(p.functions[s.a], s.leaf)
		case stepCombine:
			v[i] = a.Combine(v[s.a], v[s.b])
		case stepMax:
			v[i] = max(v[s.a], v[s.b])
		}
	}
	return v, true, nil
}

// recorder is an algebra whose values are numbers of steps.
type recorder struct {
	plan   *Plan
	last   *Function
	leaves map[Counter]uint64 // of last
	pairs  map[step]uint64
}

// Keep implements [Filter]; it sees each function before its values are asked for.
func (r *recorder) Keep(*Function) (bool, error) { return true, nil }

func (r *recorder) Value(f *Function, c Counter) uint64 {
	if f != r.last {
		r.last, r.leaves = f, map[Counter]uint64{}
		r.plan.functions = append(r.plan.functions, f)
	}
	if n, ok := r.leaves[c]; ok {
		return n
	}
	n := r.step(step{kind: stepLeaf, a: uint32(len(r.plan.functions) - 1), leaf: c})
	r.leaves[c] = n
	return n
}

func (r *recorder) step(s step) uint64 {
	r.plan.steps = append(r.plan.steps, s)
	return uint64(len(r.plan.steps) - 1)
}

func (r *recorder) pair(kind stepKind, a, b uint64) uint64 {
	s := step{kind: kind, a: uint32(a), b: uint32(b)}
	n, ok := r.pairs[s]
	if !ok {
		n = r.step(s)
		r.pairs[s] = n
	}
	return n
}

func (r *recorder) Combine(a, b uint64) uint64 { return r.pair(stepCombine, a, b) }

// Max is asked by the engine in the place of the greater of two values.
func (r *recorder) Max(a, b uint64) uint64 {
	if a == b {
		return a
	}
	return r.pair(stepMax, a, b)
}
