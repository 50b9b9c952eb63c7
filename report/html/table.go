package reporthtml

import (
	"encoding/binary"
	"strconv"

	"github.com/bpfcov/bpfcov/report/model"
)

// maxExact is the largest count that a JavaScript number holds exactly, 2^53-1. Greater ones are written as text.
const maxExact = 1<<53 - 1

// table joins positions that fare alike. A position is an index into Vecs and one into Counts.
type table struct {
	// States are pairs (status, reason); a status is the number of its [model.Status], a reason an index into the
	// report's reasons.
	States [][2]int `json:"states"`
	// Vecs are run-length coded over the cells of the report: state, number of cells, state, number of cells, ....
	Vecs [][]int `json:"vecs"`
	// Counts have one element for each cell of the vector whose status is hit, in order; entry 0 is empty.
	Counts [][]count `json:"counts"`

	states map[[2]int]int
	vecs   map[string]int
	counts map[string]int
	key    []byte
}

func newTable() *table {
	return &table{States: [][2]int{}, Vecs: [][]int{}, Counts: [][]count{{}}, states: map[[2]int]int{}, vecs: map[string]int{},
		counts: map[string]int{"": 0}}
}

// count is how often a position ran, saturating.
type count uint64

// MarshalJSON writes a number, or text where JavaScript's numbers would round.
func (c count) MarshalJSON() ([]byte, error) {
	b := strconv.AppendUint(nil, uint64(c), 10)
	if c > maxExact {
		b = append(append([]byte{'"'}, b...), '"')
	}
	return b, nil
}

// add returns the indices of the vector and of the counts of a position with n cells.
func (t *table) add(n int, at func(cell int) model.State) (vec, counts int) {
	key := t.key[:0]
	for i := range n {
		s := at(i)
		key = binary.AppendUvarint(append(key, byte(s.Status)), uint64(s.Reason))
	}
	vec, ok := t.vecs[string(key)]
	if !ok {
		vec = len(t.Vecs)
		t.vecs[string(key)] = vec
		t.Vecs = append(t.Vecs, t.encode(n, at))
	}
	key = key[:0]
	for i := range n {
		if s := at(i); s.Status == model.Hit {
			key = binary.AppendUvarint(key, s.Count)
		}
	}
	t.key = key
	counts, ok = t.counts[string(key)]
	if !ok {
		counts = len(t.Counts)
		t.counts[string(key)] = counts
		var cs []count
		for i := range n {
			if s := at(i); s.Status == model.Hit {
				cs = append(cs, count(s.Count))
			}
		}
		t.Counts = append(t.Counts, cs)
	}
	return vec, counts
}

func (t *table) encode(n int, at func(int) model.State) []int {
	out := []int{}
	for i := range n {
		s := at(i)
		key := [2]int{int(s.Status), int(s.Reason)}
		k, ok := t.states[key]
		if !ok {
			k = len(t.States)
			t.states[key] = k
			t.States = append(t.States, key)
		}
		if len(out) > 0 && out[len(out)-2] == k {
			out[len(out)-1]++
		} else {
			out = append(out, k, 1)
		}
	}
	return out
}
