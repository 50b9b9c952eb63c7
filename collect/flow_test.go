package collect

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNever(t *testing.T) {
	// 0 is added, 1 and 2 are taken off, 3 is one update for 0 and 1, 4 for 0 twice.
	weights := map[uint32]Weight{0: {1, true}, 1: {-1, false}, 2: {-1, false}, 3: {0, true}, 4: {2, true}}
	site := func(c uint32, exit bool, next ...uint32) FlowSite {
		return FlowSite{Counter: c, Next: next, Exit: exit}
	}
	for _, tt := range []struct {
		name           string
		sites          []FlowSite
		never, present bool
	}{
		{"if with a live else", []FlowSite{site(0, true, 1), site(1, true)}, false, true},
		{"if that is always taken", []FlowSite{site(0, false, 1), site(1, true)}, true, true},
		{"through another counter", []FlowSite{site(0, false, 1, 2), site(5, false, 2), site(1, true)}, true, true},
		{"past it through another counter", []FlowSite{site(0, false, 1, 2), site(5, true, 2), site(1, true)}, false, true},
		{"a loop comes back first", []FlowSite{site(0, false, 0, 1), site(1, true)}, false, true},
		{"one of two copies", []FlowSite{site(0, false, 1), site(1, true), site(0, true)}, false, true},
		{"either of two cases", []FlowSite{site(0, false, 1, 2), site(1, true), site(2, true)}, true, true},
		{"not there", []FlowSite{site(9, true)}, false, false},
		{"a loop without end", []FlowSite{site(0, false, 1), site(5, false, 1)}, true, true},
		{"one update for both", []FlowSite{site(3, true)}, true, true},
		{"one update for both, and one for the first", []FlowSite{site(3, true, 1), site(0, true)}, false, true},
		{"two rounds at once", []FlowSite{site(4, false, 1), site(1, false, 2), site(1, true)}, true, true},
		{"two rounds at once, the second with an else", []FlowSite{site(4, false, 1), site(1, true, 2), site(1, true)}, false, true},
		{"twice before", []FlowSite{site(0, false, 1), site(0, false, 2), site(1, false, 3), site(2, true)}, true, true},
		{"a loop that only adds", []FlowSite{site(0, false, 1), site(5, false, 0)}, false, true},
		{"malformed", []FlowSite{site(0, false, 9)}, false, true},
	} {
		never, present := IndexFlow(tt.sites).Never(weights)
		if never != tt.never || present != tt.present {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.name, never, present, tt.never, tt.present)
		}
	}
}

func TestFlowRoundTrip(t *testing.T) {
	for _, want := range []Flow{
		{},
		{Unknown: true},
		{
			Before: []FlowSite{{Counter: 0, Next: []uint32{0, 1}}, {Counter: NoCounter, Exit: true}},
			After:  []FlowSite{{Counter: 6, Exit: true, Next: []uint32{0}}},
		},
	} {
		r := reader{b: appendFlow(nil, &want)}
		got := parseFlow(&r, 7)
		if r.err != nil || len(r.b) > 0 {
			t.Errorf("%+v: error %v, %d bytes left", want, r.err, len(r.b))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error("(-want +got)\n" + d)
		}
	}
	for _, bad := range []Flow{
		{Before: []FlowSite{{Counter: 7, Exit: true}}},
		{Before: []FlowSite{{Counter: 1, Next: []uint32{1}}}},
	} {
		r := reader{b: appendFlow(nil, &bad)}
		if parseFlow(&r, 7); r.err == nil {
			t.Errorf("%+v: got no error", bad)
		}
	}
}

func TestUnionFlows(t *testing.T) {
	a := Flow{After: []FlowSite{{Counter: 1, Exit: true}}}
	b := Flow{After: []FlowSite{{Counter: 0, Exit: true}}}
	want := unionFlows([]Flow{a}, []Flow{b})
	if len(want) != 2 {
		t.Fatalf("got %d flows, want 2", len(want))
	}
	if d := cmp.Diff(want, unionFlows(want, []Flow{b, a, a})); d != "" {
		t.Error("order or repetition matters: (-want +got)\n" + d)
	}
}
