package model

import (
	"testing"

	"github.com/bpfcov/bpfcov/instrument/covmap"
)

// Expressions that share their parts have 2^n terms after n steps: nobody may wait for these.
func TestFactorsOfHostileExpressions(t *testing.T) {
	f := &covmap.Function{Name: "f", NumCounters: 1, Expressions: []covmap.Expression{{Left: covmap.Counter{Kind: covmap.CounterRef}}}}
	for i := range uint32(60) {
		c := covmap.Counter{Kind: covmap.CounterAdd, ID: i}
		f.Expressions = append(f.Expressions, covmap.Expression{Left: c, Right: c})
	}
	r := &functionRanks{f: f}
	if got := r.factors(covmap.Counter{Kind: covmap.CounterAdd, ID: 60}); got != nil {
		t.Errorf("got %v, want none", got)
	}
	if got := r.factors(covmap.Counter{Kind: covmap.CounterAdd, ID: 3}); got[0] != 8 {
		t.Errorf("got %v, want counter 0 eight times", got)
	}
}
