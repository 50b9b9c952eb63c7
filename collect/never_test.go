package collect

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestNever(t *testing.T) {
	// 0 is added, 1 and 2 are taken off, 3 is one update for 0 and 1, 4 for 0 twice.
	weights := map[uint32]Weight{0: {1, true}, 1: {-1, false}, 2: {-1, false}, 3: {0, true}, 4: {2, true}, 6: {-2, false}}
	site := func(c uint32, exit bool, next ...uint32) FlowSite {
		return FlowSite{Counter: c, Next: next, Exit: exit}
	}
	first := func(s FlowSite) FlowSite {
		s.First = true
		return s
	}
	anyOf := func(s FlowSite) FlowSite {
		s.Any = true
		return s
	}
	for _, tt := range []struct {
		name           string
		sites          []FlowSite // the first one and those to which nothing leads are first, too
		never, present bool
		unmarked       bool // never, as long as it is not known which are first
	}{
		{"if with a live else", []FlowSite{site(0, true, 1), site(1, true)}, false, true, false},
		{"if that is always taken", []FlowSite{site(0, false, 1), site(1, true)}, true, true, true},
		{"through another counter", []FlowSite{site(0, false, 1, 2), site(5, false, 2), site(1, true)}, true, true, true},
		{"past it through another counter", []FlowSite{site(0, false, 1, 2), site(5, true, 2), site(1, true)}, false, true, false},
		{"a loop comes back first", []FlowSite{site(0, false, 0, 1), site(1, true)}, false, true, false},
		{"one of two copies", []FlowSite{site(0, false, 1), site(1, true), site(0, true)}, false, true, false},
		{"either of two cases", []FlowSite{site(0, false, 1, 2), site(1, true), site(2, true)}, true, true, true},
		{"not there", []FlowSite{site(9, true)}, false, false, false},
		{"a loop without end", []FlowSite{site(0, false, 1), site(5, false, 1)}, true, true, true},
		{"one update for both", []FlowSite{site(3, true)}, true, true, true},
		{"one update for both, and one for the first", []FlowSite{site(3, true, 1), site(0, true)}, false, true, false},
		{"two rounds at once", []FlowSite{site(4, false, 1), site(1, false, 2), site(1, true)}, true, true, true},
		{"two rounds at once, the second with an else", []FlowSite{site(4, false, 1), site(1, true, 2), site(1, true)}, false, true, false},
		{"twice before", []FlowSite{site(0, false, 1), site(0, false, 2), site(1, false, 3), site(2, true)}, true, true, true},
		{"a loop that only adds", []FlowSite{site(0, false, 1), site(5, false, 0)}, false, true, false},
		{"malformed", []FlowSite{site(0, false, 9)}, false, true, false},

		{"taken off before it is added", []FlowSite{site(1, false, 1), site(0, true)}, true, true, false},
		{"past what takes off", []FlowSite{site(1, false, 1), first(site(0, true))}, false, true, false},
		{"one of two ways past what takes off", []FlowSite{site(5, false, 1, 2), site(1, false, 2), site(0, true)}, false, true, false},
		{"more taken off on one of two ways", []FlowSite{site(5, false, 1, 2), site(1, false, 3), site(6, false, 3), site(0, true)}, true, true, false},
		{"less taken off than added twice", []FlowSite{site(1, false, 1), site(4, true)}, false, true, false},
		{"twice taken off than added twice", []FlowSite{site(1, false, 1), site(2, false, 2), site(4, true)}, true, true, false},
		{"one update for both before", []FlowSite{site(3, false, 1), site(1, false, 2), site(0, true)}, true, true, false},
		{"a loop of both", []FlowSite{site(1, false, 1), site(0, true, 0)}, true, true, false},
		{"a loop that goes on in its midst", []FlowSite{site(1, false, 1), site(0, true, 1)}, false, true, false},
		{"a loop that takes off without end", []FlowSite{site(1, false, 0, 1), site(0, true)}, true, true, false},
		{"an end before it is added", []FlowSite{site(1, true, 1), site(0, true)}, true, true, false},
		{"taken off in another function", []FlowSite{site(1, true), site(0, true)}, false, true, false},
		{"in one of two functions", []FlowSite{site(1, false, 1), site(0, true), site(0, true)}, false, true, false},
		{"taken off any number of times", []FlowSite{anyOf(site(1, false, 1)), site(0, true)}, false, true, false},
		{"added any number of times", []FlowSite{site(6, false, 1), anyOf(site(0, true))}, false, true, false},
	} {
		led := map[uint32]bool{}
		for _, s := range tt.sites {
			for _, next := range s.Next {
				led[next] = true
			}
		}
		unmarked := slices.Clone(tt.sites)
		for i := range tt.sites {
			tt.sites[i].First = tt.sites[i].First || i == 0 || !led[uint32(i)]
			unmarked[i].First = true
		}
		never, present := IndexFlow(tt.sites).Never(weights)
		if never != tt.never || present != tt.present {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.name, never, present, tt.never, tt.present)
		}
		if never, _ := IndexFlow(unmarked).Never(weights); never != tt.unmarked {
			t.Errorf("%s, unmarked: got %v, want %v", tt.name, never, tt.unmarked)
		}
	}
	if never, present := IndexFlow([]FlowSite{first(site(0, false, 1)), site(1, true)}).Never(map[uint32]Weight{0: {1 << 40, true}, 1: {-1 << 41, false}}); never || !present {
		t.Errorf("too heavy: got %v, %v", never, present)
	}
}

// TestNeverRandomly compares with all paths of random flows, each at most so long that every loop without gain was seen.
func TestNeverRandomly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	weights := map[uint32]Weight{0: {2, true}, 1: {1, true}, 2: {-1, false}, 3: {-2, false}, 4: {0, true}}
	count := map[bool]int{}
	for range 3000 {
		sites := make([]FlowSite, 1+r.IntN(7))
		for i := range sites {
			s := &sites[i]
			s.Counter, s.Exit = uint32(r.IntN(6)), r.IntN(4) == 0
			s.First = r.IntN(5) == 0
			for range r.IntN(3) {
				s.Next = append(s.Next, uint32(r.IntN(len(sites))))
			}
		}
		// The greatest balance behind each site after so many steps. A way that ends with more than nothing and is no longer than
		// the number of sites, or a loop that gains.
		const none = -1 << 30
		n := len(sites)
		best, reached := make([]int, n), make([]bool, n)
		for i, s := range sites {
			reached[i] = s.First
		}
		for range n {
			for i, s := range sites {
				for _, to := range s.Next {
					reached[to] = reached[to] || reached[i]
				}
			}
		}
		for i, s := range sites {
			best[i] = none
			if s.First || !reached[i] {
				best[i] = weights[s.Counter].N
			}
		}
		adds, gains := false, false
		for step := range 2 * n {
			for i, s := range sites {
				adds = adds || s.Exit && best[i] > 0
				for _, to := range s.Next {
					if left := best[i] + weights[sites[to].Counter].N; best[i] > none && left > best[to] {
						best[to] = left
						gains = gains || step >= n
					}
				}
			}
		}
		present := slices.ContainsFunc(sites, func(s FlowSite) bool { return weights[s.Counter].Adds })
		want := present && !adds && !gains
		never, got := IndexFlow(sites).Never(weights)
		if never != want || got != present {
			t.Fatalf("%+v: got %v, %v, want %v, %v", sites, never, got, want, present)
		}
		if present {
			count[never]++
		}
	}
	if count[true] < 300 || count[false] < 300 {
		t.Errorf("got each answer %v times, want both often", count)
	}
}

// FuzzNever asks of arbitrary flows, encoded as in records and with counters 0 to 3. Knowing which updates are the first never leads
// to less.
func FuzzNever(f *testing.F) {
	for _, flow := range []Flow{
		{After: []FlowSite{{Counter: 1, First: true, Next: []uint32{1}}, {Counter: 0, Exit: true, Next: []uint32{0}}}},
		{After: []FlowSite{{Counter: 2, First: true, Next: []uint32{1, 2}}, {Counter: 1, Any: true, Next: []uint32{2}}, {Counter: 3, Exit: true}}},
	} {
		f.Add(appendFlow(nil, &flow), int16(1), int16(-1), int16(2), int16(-2))
	}
	f.Add([]byte{flowUnmarked, 0, 2, 1, 1 << 1, 1, 2, 1}, int16(1), int16(-1), int16(0), int16(0))
	f.Fuzz(func(t *testing.T, b []byte, w0, w1, w2, w3 int16) {
		r := reader{b: b}
		flow := parseFlow(&r, 4)
		if r.err != nil {
			return
		}
		weights := map[uint32]Weight{}
		for c, w := range []int16{w0, w1, w2, w3} {
			weights[uint32(c)] = Weight{int(w), w > 0}
		}
		for _, sites := range [][]FlowSite{flow.Before, flow.After} {
			never, present := IndexFlow(sites).Never(weights)
			for i := range sites {
				sites[i].First = true
			}
			if less, also := IndexFlow(sites).Never(weights); less && !never || present != also || never && !present {
				t.Errorf("got %v, %v, and %v, %v without marks", never, present, less, also)
			}
		}
	})
}

// What a hostile record makes of loops must end. The test fails by the package's timeout, or when it takes a minute.
func TestNeverEnds(t *testing.T) {
	const n = 100_000
	sites := make([]FlowSite, n)
	for i := range sites {
		sites[i] = FlowSite{Counter: uint32(i % 3), First: i == 0, Next: []uint32{uint32(n - 1 - i), uint32((i*7 + 1) % n)}}
	}
	start := time.Now()
	IndexFlow(sites).Never(map[uint32]Weight{0: {5, true}, 1: {-3, false}, 2: {-2, false}})
	IndexFlow(sites).Never(map[uint32]Weight{0: {5, true}, 1: {-3, false}, 2: {-1, false}})
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
}
