package collect

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/google/go-cmp/cmp"
)

// counterValue returns the value of a counter map with one block per id.
func counterValue(order binary.ByteOrder, width, n int, ids ...meta.ObjectID) []byte {
	var v []byte
	for _, id := range ids {
		size := (blockHeader + n*width + 7) &^ 7
		b := make([]byte, size)
		copy(b, blockMagic)
		order.PutUint16(b[8:], blockVersion)
		order.PutUint16(b[10:], uint16(width))
		order.PutUint32(b[12:], uint32(n))
		copy(b[16:], id[:])
		order.PutUint32(b[32:], uint32(size))
		v = append(v, b...)
	}
	return v
}

func TestParseBlocks(t *testing.T) {
	a, b := meta.ObjectID{1}, meta.ObjectID{2}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		one, two := counterValue(order, 8, 3, a), counterValue(order, 1, 3, a, b)
		change := func(at int, v byte) []byte {
			c := bytes.Clone(one)
			c[at] = v
			return c
		}
		low := func(at, size int) int { // the byte that counts
			if order == binary.BigEndian {
				return at + size - 1
			}
			return at
		}
		for name, c := range map[string]struct {
			in   []byte
			want []Block
		}{
			"one":             {one, []Block{{ObjectID: a, Width: 8, N: 3}}},
			"two linked":      {two, []Block{{ObjectID: a, Width: 1, N: 3}, {ObjectID: b, Offset: 48, Width: 1, N: 3}}},
			"padded":          {append(bytes.Clone(one), make([]byte, 56)...), []Block{{ObjectID: a, Width: 8, N: 3}}},
			"no counters":     {counterValue(order, 8, 0, a), []Block{{ObjectID: a, Width: 8}}},
			"empty":           {nil, nil},
			"zeros":           {make([]byte, 64), nil},
			"magic":           {change(7, 2), nil},
			"version":         {change(low(8, 2), 2), nil},
			"width":           {change(low(10, 2), 4), nil},
			"too many":        {change(low(12, 4), 4), nil},
			"size too large":  {change(low(32, 4), 72), nil},
			"size not of 8":   {change(low(32, 4), 63), nil},
			"reserved":        {change(low(36, 4), 1), nil},
			"cut short":       {one[:len(one)-1], nil},
			"something after": {append(bytes.Clone(one), 1), nil},
		} {
			got := ParseBlocks(c.in, order)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%s, %v: -want +got:\n%s", name, order, d)
			}
		}
	}
}

func TestBlockCounter(t *testing.T) {
	b := Block{Offset: 64, Width: 8, N: 2}
	for _, c := range []struct {
		off   int64
		size  int
		want  int
		ok    bool
		touch bool
	}{
		{104, 8, 0, true, true},
		{112, 8, 1, true, true},
		{120, 8, 0, false, false},
		{96, 8, 0, false, false}, // the header
		{100, 8, 0, false, true},
		{104, 4, 0, false, true},
		{-8, 8, 0, false, false},
	} {
		i, ok := b.Counter(c.off, c.size)
		if i != c.want || ok != c.ok || b.overlaps(c.off, c.size) != c.touch {
			t.Errorf("%d bytes at %d: got counter %d, %t, overlaps %t; want %d, %t, %t",
				c.size, c.off, i, ok, b.overlaps(c.off, c.size), c.want, c.ok, c.touch)
		}
	}
}

func TestBlockCounts(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		v := counterValue(order, 8, 2, meta.ObjectID{1})
		order.PutUint64(v[48:], 1<<40)
		if d := cmp.Diff([]uint64{0, 1 << 40}, ParseBlocks(v, order)[0].Counts(v, order)); d != "" {
			t.Errorf("counts: -want +got:\n%s", d)
		}
		v = counterValue(order, 1, 3, meta.ObjectID{1})
		v[41], v[42] = 1, 255
		if d := cmp.Diff([]uint64{0, 1, 1}, ParseBlocks(v, order)[0].Counts(v, order)); d != "" {
			t.Errorf("flags: -want +got:\n%s", d)
		}
	}
}

func FuzzParseBlocks(f *testing.F) {
	for _, w := range []int{1, 8} {
		f.Add(counterValue(binary.LittleEndian, w, 5, meta.ObjectID{1}, meta.ObjectID{2}), false)
		f.Add(counterValue(binary.BigEndian, w, 5, meta.ObjectID{1}), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		for _, b := range ParseBlocks(in, order) {
			if n := len(b.Counts(in, order)); n != b.N {
				t.Errorf("got %d counts of %d", n, b.N)
			}
		}
	})
}
