package meta

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// table builds a block of __bpfcov_fun by the picture in llvm-pass/include/bpfcov/Layout.h.
func table(order binary.AppendByteOrder, id byte, counters uint32, emitted, lines, groups []byte, funcs ...Func) []byte {
	b := []byte("BPFCOVF\x01")
	b = order.AppendUint16(b, 4)
	b = order.AppendUint16(b, 8)
	b = order.AppendUint32(b, counters)
	b = append(b, id)
	b = append(b, make([]byte, 15)...)
	b = order.AppendUint32(b, uint32(len(funcs)))
	b = order.AppendUint32(b, uint32(40+32*len(funcs)+(len(emitted)+4+len(lines)+4+len(groups)+7)/8*8))
	for _, f := range funcs {
		b = order.AppendUint64(b, f.NameHash)
		b = order.AppendUint64(b, f.Hash)
		b = order.AppendUint32(b, f.First)
		b = order.AppendUint32(b, f.Count)
		b = append(b, byte(f.Fidelity), boolByte(f.Flag), 0, 0, 0, 0, 0, 0)
	}
	b = append(b, emitted...)
	b = order.AppendUint32(b, uint32(len(lines)))
	b = append(b, lines...)
	b = order.AppendUint32(b, uint32(len(groups)))
	b = append(b, groups...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestDecodeTables(t *testing.T) {
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		t.Run(name, func(t *testing.T) {
			first := Func{NameHash: 11, Hash: 12, First: 0, Count: 8, Fidelity: Region}
			second := Func{NameHash: 21, Hash: 22, First: 8, Fidelity: Line, Flag: true}
			// Counters 8 and 9 are for lines 3, and 4 and 300, of function 1; line 300 is unsure.
			// Counter 10 is for 0 and twice for 3, counter 11 for 2, which adds 8 each time.
			b := table(order, 7, 12, []byte{0b101, 0b1111}, []byte{2, 8, 1, 1, 3, 1, 2, 1, 4, 1, 0xac, 2, 1, 1, 0xac, 2}, []byte{2, 1, 2, 0, 1, 3, 2, 8, 1, 2, 1}, first, second)
			b = append(b, table(order, 8, 0, nil, nil, nil)...)
			old := table(order, 9, 1, []byte{1}, nil, nil, Func{Count: 1}) // by a bpfcov before groups
			order.(binary.ByteOrder).PutUint16(old[8:], 2)
			b = append(b, old...)
			old = table(order, 10, 2, []byte{1}, nil, []byte{1, 1, 0, 2}, Func{Count: 1}) // before groups had units
			order.(binary.ByteOrder).PutUint16(old[8:], 3)
			b = append(b, old...)
			got, err := decodeTables(b, order.(binary.ByteOrder))
			if err != nil {
				t.Fatal(err)
			}
			want := []*Meta{
				{
					ObjectID: ObjectID{7}, CounterWidth: 8, NumCounters: 12, Functions: []Func{first, second},
					Emitted:      []bool{true, false, true, false, false, false, false, false, true, true, true, true},
					LineCounters: []LineCounter{{8, []FuncLine{{1, 3}}}, {9, []FuncLine{{1, 4}, {1, 300}}}},
					UnsureLines:  []FuncLine{{1, 300}},
					Groups:       []Group{{1, []Member{{0, 1}, {3, 2}}}, {8, []Member{{2, 1}}}},
				},
				{ObjectID: ObjectID{8}, CounterWidth: 8, Emitted: []bool{}},
				{ObjectID: ObjectID{9}, CounterWidth: 8, NumCounters: 1, Functions: []Func{{Count: 1}}, Emitted: []bool{true}},
				{ObjectID: ObjectID{10}, CounterWidth: 8, NumCounters: 2, Functions: []Func{{Count: 1}}, Emitted: []bool{true, false}, Groups: []Group{{1, []Member{{0, 2}}}}},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeTableErrors(t *testing.T) {
	le := binary.LittleEndian
	good := table(le, 1, 4, []byte{15}, []byte{1, 2, 1, 0, 9, 0}, []byte{1, 1, 1, 0, 2}, Func{Count: 2})
	edit := func(f func(b []byte)) []byte { b := bytes.Clone(good); f(b); return b }
	for _, tc := range []struct {
		name string
		data []byte
		want string
	}{
		{"cut header", good[:39], "no function table"},
		{"cut", good[:len(good)-8], "table of 96 bytes in 88"},
		{"magic", edit(func(b []byte) { b[0] = 'X' }), "no function table"},
		{"version", edit(func(b []byte) { b[8] = 9 }), "version 9"},
		{"width", edit(func(b []byte) { b[10] = 3 }), "counter width 3"},
		{"size 0", edit(func(b []byte) { le.PutUint32(b[36:], 0) }), "table of 0 bytes"},
		{"size odd", edit(func(b []byte) { le.PutUint32(b[36:], 77) }), "table of 77 bytes"},
		{"functions", edit(func(b []byte) { le.PutUint32(b[32:], 1<<31) }), "2147483648 functions"},
		{"counters", edit(func(b []byte) { le.PutUint32(b[12:], 1<<31) }), "2147483648 counters"},
		{"bitmap", edit(func(b []byte) { le.PutUint32(b[12:], 8000) }), "1000 bytes wanted"},
		{"range", edit(func(b []byte) { le.PutUint32(b[12:], 1) }), "function 0 has counters 0 to 2, the object has 1"},
		{"fidelity", edit(func(b []byte) { b[64] = 9 }), "fidelity(9)"},
		{"line counter", edit(func(b []byte) { b[78] = 4 }), "line table: counter 4 after 0, the object has 4"},
		{"function of a line", edit(func(b []byte) { b[80] = 1 }), "a line of function 1, there are 1"},
		{"lines", edit(func(b []byte) { b[79] = 9 }), "line table: 9 elements of 2 bytes"},
		{"line table cut", edit(func(b []byte) { b[8], b[73] = 2, 5 }), "line table: truncated"},
		{"line table long", edit(func(b []byte) { b[8], b[73] = 2, 7 }), "line table: 1 bytes too many"},
		{"groups", edit(func(b []byte) { b[87] = 9 }), "group table: 9 elements of 3 bytes"},
		{"no unit", edit(func(b []byte) { b[88] = 0 }), "group table: a group that adds nothing"},
		{"group of nothing", edit(func(b []byte) { b[89] = 0 }), "group table: a group of nothing"},
		{"members", edit(func(b []byte) { b[89] = 9 }), "group table: 9 elements of 2 bytes"},
		{"member is a group", edit(func(b []byte) { b[90] = 3 }), "group table: counter 3 2 times, those of groups start at 3"},
		{"no times", edit(func(b []byte) { b[91] = 0 }), "group table: counter 0 0 times"},
		{"group table cut", edit(func(b []byte) { b[83] = 2 }), "group table: 1 elements of 3 bytes"},
		{"group table long", edit(func(b []byte) { b[83] = 6 }), "group table: 1 bytes too many"},
		{"function over groups", edit(func(b []byte) { b[60] = 4 }), "group table: function 0 has counters 0 to 4, those of groups start at 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := decodeTables(tc.data, le)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// mapping builds the three sections of one unit with the given files.
func mapping(records int, name string, files ...string) (covmap, covfun, names []byte) {
	le := binary.LittleEndian
	var list []byte
	for _, f := range files {
		list = append(binary.AppendUvarint(list, uint64(len(f))), f...)
	}
	blob := binary.AppendUvarint(nil, uint64(len(files)))
	blob = binary.AppendUvarint(blob, uint64(len(list)))
	blob = append(append(blob, 0), list...)
	covmap = le.AppendUint32(covmap, 0)
	covmap = le.AppendUint32(covmap, uint32(len(blob)))
	covmap = le.AppendUint32(le.AppendUint32(covmap, 0), 6)
	covmap = pad(append(covmap, blob...))
	sum := md5.Sum(blob)
	for i := range records {
		covfun = le.AppendUint64(covfun, uint64(i))
		covfun = le.AppendUint32(covfun, 3)
		covfun = le.AppendUint64(covfun, 0)
		covfun = append(covfun, sum[:8]...)
		covfun = pad(append(covfun, 1, 2, 3))
	}
	names = binary.AppendUvarint(nil, uint64(len(name)))
	names = pad(append(append(names, 0), name...))
	return covmap, covfun, names
}

func pad(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestSplitUnits(t *testing.T) {
	am, af, an := mapping(2, "a", "src", "a.c", "../inc/h.h")
	bm, bf, bn := mapping(1, "bbbbbbb", "src", "b.c")
	join := func(a, b []byte) []byte { return append(bytes.Clone(a), b...) }
	got, err := splitUnits(join(am, bm), join(af, bf), join(an, bn), binary.LittleEndian, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []unit{
		{am, af, an, []string{"src", "a.c", "../inc/h.h"}},
		{bm, bf, bn, []string{"src", "b.c"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(unit{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	for _, tc := range []struct {
		name                  string
		covmap, covfun, names []byte
		n                     int
		want                  string
	}{
		{"missing header", am, af, an, 2, "section __llvm_covmap has 1 units, section __bpfcov_fun 2"},
		{"cut header", am[:10], af, an, 1, "10 stray bytes"},
		{"cut names", am[:20], af, an, 1, "file names of"},
		{"foreign record", am, bf, an, 1, "which no unit has"},
		{"cut record", am, af[:30], an, 1, "record of 31 bytes in 30"},
		{"stray bytes", am, af[:8], an, 1, "8 stray bytes"},
		{"names twice", am, af, join(an, bn), 1, "has 2 chunks"},
		{"names cut", am, af, []byte{200, 1, 0, 'x'}, 1, "200 bytes of names"},
		{"names nonsense", am, af, []byte{0x80}, 1, "bad length"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := splitUnits(tc.covmap, tc.covfun, tc.names, binary.LittleEndian, tc.n)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestMainFile(t *testing.T) {
	for _, tc := range []struct {
		files  []string
		symbol string
		want   string
	}{
		{[]string{"src", "h.h", "a.c"}, "a.c", "src/a.c"},
		{[]string{"src", "../inc/h.h", "../bpf/a.c"}, "", "bpf/a.c"},
		{[]string{"src", "h.h"}, "", "src/h.h"},
		{[]string{"/abs", "/repo/x.c", "y.c"}, "y.c", "/abs/y.c"},
		{[]string{"/abs", "/repo/x.c"}, "", "/repo/x.c"},
		{[]string{".", "a.c"}, "a.c", "a.c"},
		{[]string{"src"}, "a.c", ""},
		{nil, "a.c", ""},
	} {
		if got := mainFile(tc.files, tc.symbol); got != tc.want {
			t.Errorf("mainFile(%q, %q) = %q, want %q", tc.files, tc.symbol, got, tc.want)
		}
	}
}

func TestFromELFErrors(t *testing.T) {
	if _, err := FromELF(strings.NewReader("no ELF file"), Build{}); err == nil {
		t.Error("no error for a text file")
	}
	// The test's own executable is an ELF file of another machine.
	if _, err := FromELF(strings.NewReader("\x7fELF\x02\x01\x01"+strings.Repeat("\x00", 57)), Build{}); err == nil || errors.Is(err, ErrTruncated) {
		t.Errorf("an empty ELF file: got %v", err)
	}
}

func FuzzTables(f *testing.F) {
	f.Add(table(binary.LittleEndian, 1, 3, []byte{7}, []byte{1, 2, 1, 0, 9, 0}, nil, Func{Count: 3}), false)
	f.Add(table(binary.BigEndian, 1, 3, []byte{7}, nil, nil, Func{Count: 3}), true)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		order := binary.ByteOrder(binary.LittleEndian)
		if big {
			order = binary.BigEndian
		}
		metas, err := decodeTables(b, order)
		if err != nil {
			return
		}
		for _, m := range metas {
			if len(m.Emitted) != m.NumCounters {
				t.Fatalf("%d counters, %d emitted flags", m.NumCounters, len(m.Emitted))
			}
			encode(t, m)
		}
	})
}

func FuzzUnits(f *testing.F) {
	am, af, an := mapping(2, "a", "src", "a.c")
	f.Add(am, af, an, uint8(1))
	f.Fuzz(func(t *testing.T, covmap, covfun, names []byte, n uint8) {
		units, err := splitUnits(covmap, covfun, names, binary.LittleEndian, int(n))
		if err == nil && len(units) != int(n) {
			t.Fatalf("got %d units, want %d", len(units), n)
		}
	})
}
