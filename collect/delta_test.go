package collect

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func deltaState() []ObjectCounters {
	return []ObjectCounters{
		{ObjectID: [16]byte{1}, Width: 8, Maps: 1, Counts: []uint64{0, 7, 1 << 60, 0, 5}, States: make([]CounterState, 5),
			Flows: []Flow{{Before: []FlowSite{{Counter: 1, Exit: true}}, After: []FlowSite{}}}},
		{ObjectID: [16]byte{2}, Width: 1, Maps: 3, Counts: []uint64{0}},
	}
}

func TestDelta(t *testing.T) {
	was, now := deltaState(), deltaState()
	now[0].Counts = []uint64{1, 7, math.MaxUint64, 0, 2} // the last one less: somebody wrote to the map
	now[0].States[0], now[0].States[4] = StateLive, StateEliminated
	now[1].Maps = 4
	d, ok := EncodeDelta(was, now)
	if !ok || len(d) > 40 {
		t.Fatalf("got %d bytes, %v", len(d), ok)
	}
	got, err := ApplyDelta(was, d)
	if diff := cmp.Diff(now, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if diff := cmp.Diff(deltaState(), was, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the state before was changed:\n%s", diff)
	}
	if d, ok = EncodeDelta(was, was); !ok || !bytes.Equal(d, []byte{1, 0, 0, 3, 0, 0}) {
		t.Errorf("nothing changed: got % x, %v", d, ok)
	}
	for name, change := range map[string]func([]ObjectCounters) []ObjectCounters{
		"object more":   func(o []ObjectCounters) []ObjectCounters { return append(o, ObjectCounters{}) },
		"other object":  func(o []ObjectCounters) []ObjectCounters { o[0].ObjectID[0]++; return o },
		"other width":   func(o []ObjectCounters) []ObjectCounters { o[0].Width = 1; return o },
		"more counters": func(o []ObjectCounters) []ObjectCounters { o[1].Counts = []uint64{0, 0}; return o },
		"first states":  func(o []ObjectCounters) []ObjectCounters { o[1].States = make([]CounterState, 1); return o },
		"other flow":    func(o []ObjectCounters) []ObjectCounters { o[0].Flows = []Flow{{Unknown: true}}; return o },
		"other counter": func(o []ObjectCounters) []ObjectCounters { o[0].Flows[0].Before[0].Counter = 2; return o },
		"other first":   func(o []ObjectCounters) []ObjectCounters { o[0].Flows[0].Before[0].First = true; return o },
		"other exit":    func(o []ObjectCounters) []ObjectCounters { o[0].Flows[0].Before[0].Exit = false; return o },
		"other step":    func(o []ObjectCounters) []ObjectCounters { o[0].Flows[0].Before[0].Any = true; return o },
		"other next":    func(o []ObjectCounters) []ObjectCounters { o[0].Flows[0].Before[0].Next = []uint32{0}; return o },
		"flow more":     func(o []ObjectCounters) []ObjectCounters { o[1].Flows = []Flow{{Unknown: true}}; return o },
	} {
		if _, ok := EncodeDelta(was, change(deltaState())); ok {
			t.Errorf("%s: got a delta, want a record", name)
		}
	}
}

func TestApplyDeltaRefuses(t *testing.T) {
	was := deltaState()
	good, _ := EncodeDelta(was, was)
	for name, d := range map[string][]byte{
		"nothing":                    nil,
		"cut":                        good[:len(good)-1],
		"something follows":          append(bytes.Clone(good), 0),
		"counter behind end":         {1, 1, 5, 1, 0, 3, 0, 0},
		"more changes than counters": {1, 6},
		"one counter twice":          {1, 2, 1, 1, 0, 1, 0, 3, 0, 0},
		"no such state":              {1, 0, 1, 0, 5, 3, 0, 0},
		"endless number":             bytes.Repeat([]byte{0xff}, 30),
	} {
		if _, err := ApplyDelta(was, d); !errors.Is(err, ErrDelta) {
			t.Errorf("%s: got error %v, want ErrDelta", name, err)
		}
	}
}

func FuzzApplyDelta(f *testing.F) {
	now := deltaState()
	now[0].Counts[3] = 9
	d, _ := EncodeDelta(deltaState(), now)
	f.Add(d)
	f.Fuzz(func(t *testing.T, d []byte) {
		was := deltaState()
		got, err := ApplyDelta(was, d)
		if err != nil {
			if !errors.Is(err, ErrDelta) {
				t.Errorf("got error %v", err)
			}
			return
		}
		// What it leads to can be said again.
		again, ok := EncodeDelta(was, got)
		if !ok {
			t.Fatal("no delta to what a delta led to")
		}
		if back, err := ApplyDelta(was, again); err != nil || !cmp.Equal(got, back, cmpopts.EquateEmpty()) {
			t.Errorf("%v\n%s", err, cmp.Diff(got, back))
		}
	})
}
