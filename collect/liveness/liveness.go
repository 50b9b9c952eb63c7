package liveness

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// maxInsns is BPF_COMPLEXITY_LIMIT_INSNS, the longest program that a kernel loads.
const maxInsns = 1_000_000

// maxStack is MAX_BPF_STACK. Slots are 8 bytes.
const (
	maxStack = 512
	numSlots = maxStack / 8
	numRegs  = 11
	frameReg = 10
)

// Program is what [Analyze] looks at.
type Program struct {
	// Insns are the instructions as the kernel has them, 8 bytes each.
	Insns []byte
	// Order is their byte order, that of the kernel.
	Order binary.ByteOrder
	// Map returns a key for the map that a reference to a map's value (PseudoMapValue or
	// PseudoMapIdxValue) means, and false for maps of no interest.
	Map func(Ref) (key uint32, ok bool)
	// Throws says that the program uses exceptions, so that calls of kernel functions and subprograms, and
	// helpers with callbacks, may never come back.
	Throws bool
}

// Access is one place in a map's value that is written to.
type Access struct {
	Map  uint32
	Off  int64 // from the start of the value
	Size int   // in bytes
}

// Result is what a program can write to, sorted by map, offset and size.
type Result struct {
	// Updates are accesses whose place is certain.
	Updates []Access
	// Maybe are accesses of which only one of several, or something else, happens.
	Maybe []Access
	// Unknown are the maps with an access at a place that could not be told.
	Unknown []uint32
	// Sites are the updates in the order of the instructions, several of one place if there are
	// several, and which may follow which. It is nil when that could not be told.
	Sites []Site
}

// Analyze finds the writes of a program. The error is about malformed input.
func Analyze(p Program) (*Result, error) {
	n := len(p.Insns) / 8
	if len(p.Insns)%8 != 0 || n > maxInsns {
		return nil, fmt.Errorf("program of %d bytes: want a multiple of 8 and at most %d instructions", len(p.Insns), maxInsns)
	}
	a := &analysis{p: p, insns: make([]insn, n), leader: make([]bool, n), states: make([]*state, n),
		second: make([]bool, n), reached: make([]bool, n)}
	for pc := range a.insns {
		a.insns[pc] = decode(p.Insns[8*pc:], p.Order)
	}
	a.markLeaders()
	a.converge()
	return a.collect(), nil
}

// state is what is known before an instruction. The frame register is left out: it is constant.
type state struct {
	regs  [frameReg]value
	stack []value // nil, or numSlots values; slot i is at -8*(i+1) from the frame pointer
}

type analysis struct {
	p       Program
	insns   []insn
	leader  []bool // control may come from elsewhere
	second  []bool // second half of a 64-bit immediate load
	reached []bool
	starts  []int // of functions
	// callbacks is set when the address of a function is taken.
	callbacks bool
	states    []*state // of reached leaders
	sets      sets
	work      []int
	queued    map[int]bool
	// escaped holds maps of which an address is in memory that is not tracked.
	escaped map[uint32]bool
	// out is set in the last pass only.
	out *output
}

type output struct {
	updates, maybe map[Access]bool
	sites          map[int]Access // updates by instruction
	any            map[int]bool   // those of sites that may add something else than a constant above 0
	unknown        map[uint32]bool
	opaqueStores   bool
}

func (a *analysis) markLeaders() {
	for pc := 0; pc < len(a.insns); pc++ {
		i := a.insns[pc]
		if i.code == ldImm64 && pc+1 < len(a.insns) {
			a.callbacks = a.callbacks || i.src == pseudoFunc
			pc++
			a.second[pc] = true
			continue
		}
		if !i.isJump() {
			continue
		}
		_, jump := i.successors(pc)
		for _, t := range []int{pc + 1, jump} {
			if t >= 0 && t < len(a.leader) {
				a.leader[t] = true
			}
		}
	}
}

// converge propagates states until nothing changes. Instructions that nothing leads to are taken for
// the starts of functions: subprograms follow the main program, and in a translated program a call does
// not name its target.
func (a *analysis) converge() {
	a.queued, a.escaped = map[int]bool{}, map[uint32]bool{}
	for pc := range a.insns {
		if a.reached[pc] || a.second[pc] {
			continue
		}
		a.leader[pc] = true
		a.starts = append(a.starts, pc)
		a.flow(pc, &state{})
		for len(a.work) > 0 {
			next := a.work[len(a.work)-1]
			a.work = a.work[:len(a.work)-1]
			a.queued[next] = false
			a.block(next)
		}
	}
}

// flow joins st into the state before pc.
func (a *analysis) flow(pc int, st *state) {
	if pc < 0 || pc >= len(a.insns) {
		return // a broken program
	}
	have := a.states[pc]
	changed := have == nil
	if have == nil {
		c := *st
		c.stack = slices.Clone(st.stack)
		a.states[pc] = &c
	} else {
		for r := range have.regs {
			if v := a.sets.join(have.regs[r], st.regs[r]); v != have.regs[r] {
				have.regs[r], changed = v, true
			}
		}
		for s := range max(len(have.stack), len(st.stack)) {
			if v := a.sets.join(have.slot(s), st.slot(s)); v != have.slot(s) {
				have.setSlot(s, v)
				changed = true
			}
		}
	}
	if changed && !a.queued[pc] {
		a.queued[pc] = true
		a.work = append(a.work, pc)
	}
}

// block interprets from a leader to the end of its block, and hands the state on.
func (a *analysis) block(pc int) {
	st := *a.states[pc]
	st.stack = slices.Clone(st.stack)
	for {
		i := a.insns[pc]
		a.reached[pc] = true
		next := pc + 1
		if i.code == ldImm64 {
			next++
			if next <= len(a.insns) {
				a.reached[pc+1] = true
			}
		}
		a.step(pc, i, &st)
		if i.isJump() {
			if i.isComputedGoto() {
				a.escapeAll(&st)
			}
			fall, jump := i.successors(pc)
			if a.out == nil {
				a.flow(jump, &st)
				a.flow(fall, &st)
			}
			return
		}
		if next >= len(a.insns) {
			return
		}
		if a.leader[next] {
			if a.out == nil {
				a.flow(next, &st)
			}
			return
		}
		pc = next
	}
}

// collect interprets every block once more, now that states are final, and notes the writes.
func (a *analysis) collect() *Result {
	a.out = &output{updates: map[Access]bool{}, maybe: map[Access]bool{}, unknown: map[uint32]bool{}, sites: map[int]Access{}, any: map[int]bool{}}
	for pc := range a.states {
		if a.states[pc] != nil {
			a.block(pc)
		}
	}
	if a.out.opaqueStores {
		for m := range a.escaped {
			a.out.unknown[m] = true
		}
	}
	r := &Result{Updates: sorted(a.out.updates)}
	for acc := range a.out.updates {
		delete(a.out.maybe, acc)
	}
	r.Maybe = sorted(a.out.maybe)
	for m := range a.out.unknown {
		r.Unknown = append(r.Unknown, m)
	}
	slices.Sort(r.Unknown)
	r.Sites = a.links(sortedKeys(a.out.sites), a.out.sites)
	return r
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func sorted(set map[Access]bool) []Access {
	var s []Access
	for a := range set {
		s = append(s, a)
	}
	slices.SortFunc(s, func(a, b Access) int {
		return cmp.Or(cmp.Compare(a.Map, b.Map), cmp.Compare(a.Off, b.Off), cmp.Compare(a.Size, b.Size))
	})
	return s
}

func (s *state) slot(i int) value {
	if i >= len(s.stack) {
		return value{}
	}
	return s.stack[i]
}

func (s *state) setSlot(i int, v value) {
	if s.stack == nil {
		if v == (value{}) {
			return
		}
		s.stack = make([]value, numSlots)
	}
	s.stack[i] = v
}

func (s *state) reg(r uint8) value {
	switch {
	case r == frameReg:
		return value{kind: frame}
	case r < frameReg:
		return s.regs[r]
	}
	return value{} // r11 is the kernel's own, above there is nothing
}

func (s *state) setReg(r uint8, v value) {
	if r < frameReg {
		s.regs[r] = v
	}
}
