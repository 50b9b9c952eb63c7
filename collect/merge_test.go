package collect

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/google/go-cmp/cmp"
)

func TestMerge(t *testing.T) {
	a, b := Flow{}, Flow{After: []FlowSite{{Counter: 1, Exit: true}}}
	dst := ObjectCounters{Width: 8, Maps: 1, Counts: []uint64{1, math.MaxUint64 - 1, 0},
		States: []CounterState{StateLive, StateRejected, StateEliminated}, Flows: []Flow{a, b}}
	src := ObjectCounters{Width: 8, Maps: 2, Counts: []uint64{2, 5, 0},
		States: []CounterState{StateNotLoaded, StateEliminated, StateUnknown}, Flows: []Flow{{Unknown: true}, b}}
	want := ObjectCounters{Width: 8, Maps: 3, Counts: []uint64{3, math.MaxUint64, 0},
		States: []CounterState{StateLive, StateEliminated, StateUnknown}, Flows: []Flow{{Unknown: true}, a, b}}
	if err := Merge(&dst, src); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, dst); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	flags := ObjectCounters{Width: 1, Counts: []uint64{1, 0, 1}}
	if err := Merge(&flags, ObjectCounters{Width: 1, Counts: []uint64{1, 1, 0}, States: make([]CounterState, 3)}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]uint64{1, 1, 1}, flags.Counts); d != "" || len(flags.States) != 3 {
		t.Errorf("flags: -want +got:\n%s and %d states, want 3", d, len(flags.States))
	}
}

func TestMergeMismatch(t *testing.T) {
	base := ObjectCounters{ObjectID: meta.ObjectID{1}, Width: 8, Counts: make([]uint64, 3)}
	for name, c := range map[string]struct {
		src  ObjectCounters
		want []string
	}{
		"id":     {ObjectCounters{ObjectID: meta.ObjectID{2}, Width: 8, Counts: make([]uint64, 3)}, []string{"0100", "0200"}},
		"width":  {ObjectCounters{ObjectID: meta.ObjectID{1}, Width: 1, Counts: make([]uint64, 3)}, []string{"8 bytes", "of 1 "}},
		"number": {ObjectCounters{ObjectID: meta.ObjectID{1}, Width: 8, Counts: make([]uint64, 4)}, []string{"3 counters", "4 in"}},
	} {
		err := Merge(&base, c.src)
		if !errors.Is(err, ErrBuildMismatch) {
			t.Errorf("%s: got %v, want ErrBuildMismatch", name, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %q, want %q in it", name, err, w)
			}
		}
	}
}

func randomRecord(r *rand.Rand) Record {
	rec := Record{Run: Run{
		ID:   NewRunID(),
		Cell: Cell{Kernel: []string{"5.15.1", "6.1.2", "6.12.0"}[r.IntN(3)], Arch: []string{"amd64", "arm64"}[r.IntN(2)]},
		Test: []string{"a", "b"}[r.IntN(2)],
	}}
	for id := range byte(3) {
		if r.IntN(2) == 0 {
			continue
		}
		o := ObjectCounters{ObjectID: meta.ObjectID{id}, Width: 8, Maps: r.IntN(3)}
		for range 5 {
			o.Counts = append(o.Counts, r.Uint64()>>r.IntN(64))
			o.States = append(o.States, CounterState(r.IntN(5)))
		}
		for range r.IntN(5) {
			o.Flows = append(o.Flows, Flow{After: []FlowSite{{Counter: uint32(r.IntN(3)), Exit: true}}})
		}
		rec.Objects = append(rec.Objects, o)
		rec.Programs = append(rec.Programs, ProgramLoad{Name: []string{"p", "q"}[r.IntN(2)], Loads: 1,
			Verdict: []Verdict{VerdictOK, VerdictRejected}[r.IntN(2)], Objects: []meta.ObjectID{{id}}, Log: []string{"x", "y", "zz"}[r.IntN(3)]})
	}
	return rec
}

// Merging must not depend on the order of records.
func TestMergeCellsOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var recs []Record
		for range 1 + r.IntN(8) {
			recs = append(recs, randomRecord(r))
		}
		want, err := MergeCells(recs)
		if err != nil {
			t.Fatal(err)
		}
		perm := slices.Clone(recs)
		r.Shuffle(len(perm), func(i, j int) { perm[i], perm[j] = perm[j], perm[i] })
		got, err := MergeCells(perm)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("another order of the same records: -want +got:\n%s", d)
		}
		if !slices.IsSortedFunc(want, func(a, b CellData) int { return CompareCells(a.Cell, b.Cell) }) {
			t.Fatalf("cells are not sorted: %v", want)
		}
	}
}

func TestCompareCells(t *testing.T) {
	want := []string{"4.19.0", "5.4.0-9", "5.4.0-10", "5.10.0", "5.15.0", "6.1.0-9-cloud", "6.1.0-37-cloud", "6.12", "6.12.1", "7.1"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b string) int { return CompareCells(Cell{Kernel: a}, Cell{Kernel: b}) })
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestMergeCellsMismatchNamesTheRun(t *testing.T) {
	rec := func(id string, n int) Record {
		return Record{Run: Run{ID: id, Test: "t", Cell: Cell{Kernel: "6.1", Arch: "amd64"}},
			Objects: []ObjectCounters{{ObjectID: meta.ObjectID{1}, Width: 8, Counts: make([]uint64, n)}}}
	}
	_, err := MergeCells([]Record{rec("r1", 3), rec("r2", 4)})
	if !errors.Is(err, ErrBuildMismatch) || !strings.Contains(err.Error(), "r2") {
		t.Errorf("got %v, want ErrBuildMismatch that names run r2", err)
	}
}
