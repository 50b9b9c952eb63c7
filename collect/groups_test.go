package collect

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// grouped is an object of three counters of functions and two of groups: 3 is for 0 and twice for 1, 4 for 1.
func grouped() *meta.Meta {
	return &meta.Meta{NumCounters: 5, Groups: []meta.Group{
		{Members: []meta.Member{{Counter: 0, Times: 1}, {Counter: 1, Times: 2}}},
		{Members: []meta.Member{{Counter: 1, Times: 1}}},
	}}
}

func TestUngroup(t *testing.T) {
	const most = math.MaxUint64
	for _, tt := range []struct {
		name       string
		width      int
		counts     []uint64
		wantCounts []uint64
	}{
		{"sums", 8, []uint64{1, 0, 7, 5, 3}, []uint64{6, 13, 7, 5, 3}},
		{"saturate by adding", 8, []uint64{most, 0, 0, 1, 0}, []uint64{most, 2, 0, 1, 0}},
		{"saturate by the times", 8, []uint64{0, 0, 0, most - 1, 0}, []uint64{most - 1, most, 0, most - 1, 0}},
		{"full", 8, []uint64{0, 0, 0, most, 0}, []uint64{most, most, 0, most, 0}},
		{"flags", 1, []uint64{1, 0, 0, 1, 1}, []uint64{1, 1, 0, 1, 1}},
		{"not of this object", 8, []uint64{1, 2, 3, 4}, []uint64{1, 2, 3, 4}},
	} {
		o := &ObjectCounters{Width: tt.width, Counts: tt.counts, Flows: []Flow{{Unknown: true}}}
		before := cloneObject(o)
		got := o.Ungroup(grouped())
		if d := cmp.Diff(tt.wantCounts, got.Counts); d != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, d)
		}
		if d := cmp.Diff(before, o); d != "" {
			t.Errorf("%s: the counters of the block changed: (-before +after)\n%s", tt.name, d)
		}
		if len(got.Flows) != 1 {
			t.Errorf("%s: %d flows, want 1", tt.name, len(got.Flows))
		}
	}

	o := &ObjectCounters{Width: 8, Counts: make([]uint64, 5), States: []CounterState{StateNotLoaded, StateNotLoaded, StateLive, StateEliminated, StateUnknown}}
	want := []CounterState{StateEliminated, StateUnknown, StateLive, StateEliminated, StateUnknown}
	if d := cmp.Diff(want, o.Ungroup(grouped()).States); d != "" {
		t.Error("states: (-want +got)\n" + d)
	}
}

func TestUnits(t *testing.T) {
	m := grouped()
	m.Groups[0].Unit = 8
	for _, tt := range []struct {
		counts, want []uint64
		bad          bool
	}{
		{[]uint64{1, 0, 7, 40, 3}, []uint64{6, 13, 7, 40, 3}, false},
		{[]uint64{0, 0, 0, math.MaxUint64, 0}, []uint64{math.MaxUint64, math.MaxUint64, 0, math.MaxUint64, 0}, false},
		{[]uint64{1, 0, 7, 41, 3}, nil, true},
		{[]uint64{41}, []uint64{41}, false}, // not of this object
	} {
		o := &ObjectCounters{Width: 8, Counts: tt.counts}
		if err := o.CheckUnits(m); errors.Is(err, ErrFormat) != tt.bad {
			t.Errorf("%v: %v", tt.counts, err)
		}
		if d := cmp.Diff(tt.want, o.Ungroup(m).Counts); !tt.bad && d != "" {
			t.Errorf("%v: (-want +got)\n%s", tt.counts, d)
		}
	}
}

// TestUngroupAfterMerging: groups may be taken apart before or after records are merged.
func TestUngroupAfterMerging(t *testing.T) {
	a := ObjectCounters{Width: 8, Counts: []uint64{1, 2, 3, 4, 5}, States: []CounterState{4, 3, 2, 1, 0}}
	b := ObjectCounters{Width: 8, Counts: []uint64{9, 0, 0, 2, 1}, States: []CounterState{0, 1, 2, 3, 4}}
	merged := cloneObject(&a)
	if err := Merge(merged, b); err != nil {
		t.Fatal(err)
	}
	want := cloneObject(a.Ungroup(grouped()))
	if err := Merge(want, *b.Ungroup(grouped())); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, merged.Ungroup(grouped())); d != "" {
		t.Error("(-apart first +merged first)\n" + d)
	}
}

func TestUngroupSet(t *testing.T) {
	for _, tt := range []struct {
		in, want [][2]uint32
	}{
		{[][2]uint32{{2, 2}}, [][2]uint32{{2, 2}}},
		{[][2]uint32{{3, 3}}, [][2]uint32{{0, 1}, {3, 3}}},
		{[][2]uint32{{2, 2}, {4, 4}}, [][2]uint32{{1, 2}, {4, 4}}},
		{nil, nil},
	} {
		got := CounterSet{Ranges: tt.in}.Ungroup(grouped())
		if d := cmp.Diff(CounterSet{Ranges: tt.want}, got); d != "" {
			t.Errorf("%v: (-want +got)\n%s", tt.in, d)
		}
	}
}
