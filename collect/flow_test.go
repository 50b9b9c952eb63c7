package collect

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFlowRoundTrip(t *testing.T) {
	for _, want := range []Flow{
		{},
		{Unknown: true},
		{
			Before: []FlowSite{{Counter: 0, First: true, Next: []uint32{0, 1}}, {Counter: NoCounter, Exit: true}},
			After:  []FlowSite{{Counter: 6, First: true, Exit: true, Any: true, Next: []uint32{0}}},
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

// Records of before there were more marks than Exit, and flows that nobody knows.
func TestParseFlow(t *testing.T) {
	old := []byte{0, 2, 1, 1 << 1, 1, 2, 1, 1, 2, 1}
	want := Flow{
		Before: []FlowSite{{Counter: 0, First: true, Next: []uint32{1}}, {Counter: 1, First: true, Exit: true}},
		After:  []FlowSite{{Counter: 1, First: true, Exit: true}},
	}
	r := reader{b: old}
	got := parseFlow(&r, 2)
	if d := cmp.Diff(want, got); d != "" || r.err != nil || len(r.b) > 0 {
		t.Errorf("error %v, %d bytes left, (-want +got)\n%s", r.err, len(r.b), d)
	}
	r = reader{b: []byte{3}}
	if parseFlow(&r, 2); r.err == nil {
		t.Error("flag 3: got no error")
	}
}
