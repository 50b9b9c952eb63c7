package liveness

import "encoding/binary"

// Site is one update at a certain place, and what may come after it.
type Site struct {
	Access
	// First is set when it may be the first one of its function to be executed.
	First bool
	// Next are the indices, in Result.Sites, of the sites that may be the next one to be executed,
	// ascending. Exit is set when the function may end, hand over to another program by a tail call,
	// or be ended by an exception, before any other.
	Next []uint32
	Exit bool
	// Any is set for an atomic addition of something else than a constant above 0, or of what could not be told.
	Any bool
}

// maxFlowSteps bounds the search for successors, which an emulated guest does too. tracexec's largest program, of
// 16,000 instructions, needs 60,000 steps; one whose every update can be skipped needs the square of its length.
const maxFlowSteps = 4_000_000

// helperTailCall is BPF_FUNC_tail_call of include/uapi/linux/bpf.h.
const helperTailCall = 12

// links follows the instructions from each update, at the instructions at, to the next ones on every path, and from the
// starts of functions to the first ones. Calls of subprograms are passed over: those are other functions, with sites of
// their own. It returns nil when that takes too long or a path cannot be followed.
func (a *analysis) links(at []int, access map[int]Access) []Site {
	w := &walk{a: a, index: make(map[int]uint32, len(at)), seen: make([]uint32, len(a.insns)), next: map[uint32]bool{}}
	for n, pc := range at {
		w.index[pc] = uint32(n)
	}
	if _, ok := w.from(a.starts...); !ok {
		return nil
	}
	sites := make([]Site, len(at))
	for n := range w.next {
		sites[n].First = true
	}
	for n, pc := range at {
		s := &sites[n]
		s.Access, s.Any = access[pc], a.out.any[pc]
		exit, ok := w.from(pc + 1)
		if !ok {
			return nil
		}
		s.Next, s.Exit = sortedKeys(w.next), exit
	}
	return sites
}

// walk finds the updates that come next.
type walk struct {
	a           *analysis
	index       map[int]uint32  // of the update at an instruction
	next        map[uint32]bool // the updates that were found last
	seen        []uint32        // the turn in which an instruction was visited last
	turn, steps uint32
	todo        []int
}

// from finds the updates that may come next at some instructions and after them, and whether the function may end
// before. It is not ok when nobody can tell.
func (w *walk) from(pcs ...int) (exit, ok bool) {
	clear(w.next)
	w.turn++
	w.todo = append(w.todo[:0], pcs...)
	for len(w.todo) > 0 {
		pc := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		if pc < 0 || pc >= len(w.a.insns) {
			return false, false // a broken program
		}
		if w.seen[pc] == w.turn {
			continue
		}
		w.seen[pc] = w.turn
		if w.steps++; w.steps > maxFlowSteps {
			return false, false
		}
		if n, ok := w.index[pc]; ok {
			w.next[n] = true
			continue
		}
		i := w.a.insns[pc]
		if i.isComputedGoto() {
			return false, false
		}
		exit = exit || i.isExit() || i.isTailCall() || w.a.mayThrow(i)
		if i.code == ldImm64 {
			w.todo = append(w.todo, pc+2)
			continue
		}
		fall, jump := i.successors(pc)
		if fall >= 0 {
			w.todo = append(w.todo, fall)
		}
		if jump >= 0 {
			w.todo = append(w.todo, jump)
		}
	}
	return exit, true
}

// mayThrow reports whether an exception may come out of a call. What is behind one that always throws is not what the source
// has there: the verifier removes it, and other code moves up.
func (a *analysis) mayThrow(i insn) bool {
	if !a.p.Throws || !i.isCall() {
		return false
	}
	return i.src == pseudoCall || i.src == pseudoKfuncCall || a.callbacks
}

// CallsKernel reports whether a program, as a loader passes it, calls a kernel function with such an id in the BTF of the
// kernel itself.
func CallsKernel(insns []byte, order binary.ByteOrder, id func(int32) bool) bool {
	for n := 0; n+8 <= len(insns); n += 8 {
		i := decode(insns[n:], order)
		if i.code == ldImm64 {
			n += 8
		} else if i.isCall() && i.src == pseudoKfuncCall && i.off == 0 && id(i.imm) {
			return true
		}
	}
	return false
}
