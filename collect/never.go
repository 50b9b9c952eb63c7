package collect

import "slices"

// FlowIndex finds the paths through one side of a [Flow].
type FlowIndex struct {
	sites []FlowSite
	at    map[uint32][]uint32 // by counter
	// functions has the sites of each function, mostly in the order in which they are executed. Site i is number place[i] of
	// functions[function[i]].
	functions       [][]uint32
	function, place []uint32
	first           []bool // marked so, or out of reach of those that are
}

// IndexFlow makes the index of sites, which it keeps.
func IndexFlow(sites []FlowSite) *FlowIndex {
	x := &FlowIndex{sites: sites, at: make(map[uint32][]uint32, len(sites)), function: make([]uint32, len(sites)), place: make([]uint32, len(sites))}
	for i := range sites {
		c := sites[i].Counter
		x.at[c] = append(x.at[c], uint32(i))
	}
	number := map[uint32]uint32{} // of a function, by its root
	root := x.roots()
	for _, i := range x.inOrder() {
		r := root(i)
		f, ok := number[r]
		if !ok {
			f = uint32(len(x.functions))
			number[r] = f
			x.functions = append(x.functions, nil)
		}
		x.function[i], x.place[i] = f, uint32(len(x.functions[f]))
		x.functions[f] = append(x.functions[f], i)
	}
	return x
}

// links reports whether a site leads to another one. Those of a flow that was not read from a record may lead nowhere.
func (x *FlowIndex) links(next uint32) bool { return int64(next) < int64(len(x.sites)) }

// roots returns what tells the same site of all that are linked.
func (x *FlowIndex) roots() func(uint32) uint32 {
	up := make([]uint32, len(x.sites))
	for i := range up {
		up[i] = uint32(i)
	}
	root := func(i uint32) uint32 {
		for up[i] != i {
			up[i] = up[up[i]]
			i = up[i]
		}
		return i
	}
	for i := range x.sites {
		for _, next := range x.sites[i].Next {
			if x.links(next) {
				up[root(next)] = root(uint32(i))
			}
		}
	}
	return root
}

// inOrder sets first, and returns the sites so that, loops apart, each comes before those that it leads to.
func (x *FlowIndex) inOrder() []uint32 {
	order := make([]uint32, 0, len(x.sites))
	seen := make([]bool, len(x.sites))
	x.first = make([]bool, len(x.sites))
	for i := range x.sites {
		x.first[i] = x.sites[i].First
	}
	type visit struct {
		site uint32
		next int
	}
	var path []visit
	enter := func(i uint32) {
		if !seen[i] {
			seen[i] = true
			path = append(path, visit{site: i})
		}
	}
	start := func() {
		for i, first := range x.first {
			if !first {
				continue
			}
			for enter(uint32(i)); len(path) > 0; {
				v := &path[len(path)-1]
				if next := x.sites[v.site].Next; v.next < len(next) {
					v.next++
					if to := next[v.next-1]; x.links(to) {
						enter(to)
					}
					continue
				}
				order = append(order, v.site)
				path = path[:len(path)-1]
			}
		}
	}
	start()
	for i := range seen {
		x.first[i] = x.first[i] || !seen[i]
	}
	start()
	slices.Reverse(order)
	return order
}

// Weight is what one update adds to a sum of counters. N is negative when it takes off. Adds says that anything of what is added
// is in it: an update for several counters may add and take off, even as much.
type Weight struct {
	N    int
	Adds bool
}

const (
	// maxWeight keeps the balance of a path in an int64.
	maxWeight = 1 << 32
	// maxBalanceSteps bounds the search in one function. Loops apart, it takes a step for each link.
	maxBalanceSteps = 1 << 24
)

// Never reports whether code cannot run in a program with these sites that runs as often as a sum of counters says: whether
// no path through a function adds more to the sum than it takes off. The weights are by counter, those of others are 0.
// Without any update that adds (present) nothing can be said.
//
// Why that is so. Whenever a function of the source runs, all its updates are in one function of the program: itself, or the
// one that it was inlined into. So the sum is made of whole paths, each from the start of a function of the program to its end.
// On such a path the function of the source may run several times. Each time that it comes to its end it adds to the sum how
// often the code ran, which is not negative. Where a tail call or an exception ends it in its midst, what is taken off has been
// added before (the pass lets no update pass such a place), and the path ends there as well. So if the code runs on a path, that
// path adds at least 1. What callees do is on paths of their own, however often they are called: they come back to this one,
// or an exception is among the ends of it. More paths than can be taken, and functions that nothing calls, only keep code from
// being called impossible.
func (x *FlowIndex) Never(weights map[uint32]Weight) (never, present bool) {
	adding := map[uint32]bool{} // functions
	heavy := false
	for c, w := range weights {
		present = present || w.Adds && len(x.at[c]) > 0
		heavy = heavy || w.N > maxWeight || w.N < -maxWeight
		if w.N > 0 {
			for _, i := range x.at[c] {
				adding[x.function[i]] = true
			}
		}
	}
	if !present || heavy {
		return false, present
	}
	for f := range adding {
		if x.adds(f, weights) {
			return false, true
		}
	}
	return true, true
}

// adds reports whether a path through a function may add more than it takes off.
func (x *FlowIndex) adds(f uint32, weights map[uint32]Weight) bool {
	function := x.functions[f]
	weight := make([]int64, len(function)) // of a site
	all := int64(0)                        // what all sites add together: more is behind none unless a loop adds more than it takes off
	for c, w := range weights {
		for _, i := range x.at[c] {
			if x.function[i] != f {
				continue
			}
			n := int64(w.N)
			if x.sites[i].Any {
				if n > 0 {
					return true
				}
				n = 0
			}
			weight[x.place[i]] = n
			all += max(n, 0)
		}
	}
	balance := slices.Clone(weight) // the greatest behind a site
	reached := make([]bool, len(function))
	for n, i := range function {
		reached[n] = x.first[i]
	}
	steps := 0
	for changed := true; changed; {
		changed = false
		for n, i := range function {
			if !reached[n] {
				continue
			}
			s, b := &x.sites[i], balance[n]
			if s.Exit && b > 0 || b > all {
				return true
			}
			if steps += 1 + len(s.Next); steps > maxBalanceSteps {
				return true
			}
			for _, next := range s.Next {
				if !x.links(next) {
					return true
				}
				to := int(x.place[next])
				if left := b + weight[to]; !reached[to] || left > balance[to] {
					balance[to], reached[to] = left, true
					changed = changed || to <= n // it was looked at already
				}
			}
		}
	}
	return false
}
