//go:build amd64 || arm64 || ppc64le || riscv64 || s390x

package collect

import (
	"testing"

	"github.com/bpfcov/bpfcov/collect/liveness"
	"github.com/google/go-cmp/cmp"
)

// TestLoadFlows checks that the flows of a load, for which every snapshot asks, are worked out once, and
// again when there is another verdict.
func TestLoadFlows(t *testing.T) {
	b := Block{ObjectID: objectA, Width: 8, N: 2}
	result := func(exit bool) *liveness.Result {
		r := &liveness.Result{Sites: []liveness.Site{{Next: []uint32{1}, Exit: exit}, {Exit: true}}}
		for i := range r.Sites {
			r.Sites[i].Access = liveness.Access{Off: int64(b.first() + 8*i), Size: 8}
			r.Updates = append(r.Updates, r.Sites[i].Access)
		}
		return r
	}
	sites := func(exit bool) []FlowSite {
		return []FlowSite{{Counter: 0, Next: []uint32{1}, Exit: exit}, {Counter: 1, Exit: true}}
	}
	l := &load{maps: []*counterMap{{blocks: []Block{b}}}}
	for _, step := range []struct {
		name string
		do   func()
		want []Flow
	}{
		{"not looked at", func() { l.decide(verdict{Verdict: VerdictUnknown}) }, []Flow{{Unknown: true}}},
		{"loaded", func() {
			l.before = result(true)
			l.decide(verdict{Verdict: VerdictOK, known: true, after: result(false)})
		}, []Flow{{Before: sites(true), After: sites(false)}}},
		{"another verdict", func() { l.decide(verdict{Verdict: VerdictOK, known: true, after: result(true)}) },
			[]Flow{{Before: sites(true), After: sites(true)}}},
		{"refused", func() { l.decide(verdict{Verdict: VerdictRejected}) }, nil},
	} {
		step.do()
		first, again := l.flows(), l.flows()
		var got []Flow
		for i, f := range first {
			if f.object != objectA || f.counters != b.N || f.key != string(appendFlow(nil, &f.Flow)) {
				t.Errorf("%s: got a flow of object %s with %d counters", step.name, f.object, f.counters)
			}
			if &again[i] != &first[i] {
				t.Errorf("%s: worked out twice", step.name)
			}
			got = append(got, f.Flow)
		}
		if d := cmp.Diff(step.want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", step.name, d)
		}
	}
}
