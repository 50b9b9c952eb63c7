package liveness

// Site is one update at a certain place, and what may come after it.
type Site struct {
	Access
	// Next are the indices, in Result.Sites, of the sites that may be the next one to be executed,
	// ascending. Exit is set when the function may end, or hand over to another program by a
	// tail call, before any other.
	Next []uint32
	Exit bool
}

// maxFlowSteps bounds the search for successors, which an emulated guest does too. tracexec's largest program, of
// 16,000 instructions, needs 60,000 steps; one whose every update can be skipped needs the square of its length.
const maxFlowSteps = 4_000_000

// helperTailCall is BPF_FUNC_tail_call of include/uapi/linux/bpf.h.
const helperTailCall = 12

// links follows the instructions from each update, at the instructions at, to the next ones on every path. Calls of
// subprograms are passed over: those are other functions, with sites of their own. It returns nil when that takes too
// long or a path cannot be followed.
func (a *analysis) links(at []int, access map[int]Access) []Site {
	index := make(map[int]uint32, len(at))
	for n, pc := range at {
		index[pc] = uint32(n)
	}
	sites := make([]Site, len(at))
	seen := make([]uint32, len(a.insns)) // 1 + the site for which an instruction was visited last
	next := map[uint32]bool{}
	var todo []int
	steps := 0
	for n, pc := range at {
		s := &sites[n]
		s.Access = access[pc]
		clear(next)
		todo = append(todo[:0], pc+1)
		for len(todo) > 0 {
			pc := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if pc < 0 || pc >= len(a.insns) {
				return nil // a broken program
			}
			if seen[pc] == uint32(n)+1 {
				continue
			}
			seen[pc] = uint32(n) + 1
			if steps++; steps > maxFlowSteps {
				return nil
			}
			if to, ok := index[pc]; ok {
				next[to] = true
				continue
			}
			i := a.insns[pc]
			switch {
			case i.isComputedGoto():
				return nil
			case i.isExit(), i.isTailCall():
				s.Exit = true
			}
			if i.code == ldImm64 {
				todo = append(todo, pc+2)
				continue
			}
			fall, jump := i.successors(pc)
			if fall >= 0 {
				todo = append(todo, fall)
			}
			if jump >= 0 {
				todo = append(todo, jump)
			}
		}
		s.Next = sortedKeys(next)
	}
	return sites
}
