package covmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUleb(t *testing.T) {
	for _, tt := range []struct {
		hex  string
		max  uint64
		want uint64
		err  string
	}{
		{"00", 10, 0, ""},
		{"7f", 127, 127, ""},
		{"80 01", 1000, 128, ""},
		{"81 80 80 80 08", ^uint64(0), 0x80000001, ""},
		{"ff ff ff ff ff ff ff ff ff 01", ^uint64(0), ^uint64(0), ""},
		{"80 80 80 80 80 80 80 80 80 80 00", ^uint64(0), 0, ""}, // longer than needed
		{"ff ff ff ff ff ff ff ff ff 02", ^uint64(0), 0, "does not fit 64 bits"},
		{"80 80 80 80 80 80 80 80 80 80 01", ^uint64(0), 0, "does not fit 64 bits"},
		{"80", 10, 0, "is cut off"},
		{"", 10, 0, "is cut off"},
		{"0b", 10, 0, "is 11, greater than 10"},
	} {
		c := &cursor{data: unhex(t, tt.hex), section: "s", base: 16}
		got := c.uleb(tt.max, "number")
		msg := ""
		if c.err != nil {
			msg = c.err.Error()
		}
		if got != tt.want || (tt.err == "") != (msg == "") || !strings.Contains(msg, tt.err) {
			t.Errorf("uleb(%s): got %d, %q; want %d, %q", tt.hex, got, msg, tt.want, tt.err)
		}
	}
}

func TestCovmap(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	plain := fileBlob(false, "/src", "t.c", "/abs/../x.h", "../inc/./h.h")
	joined := []string{"/src", "/src/t.c", "/abs/../x.h", "/inc/h.h"}
	for _, tt := range []struct {
		name    string
		data    []byte
		order   binary.ByteOrder
		version int
		blob    []byte // whose names are wanted
		want    []string
		err     string
	}{
		// clang 19's form: two names, 25 bytes of them.
		{name: "hex", order: le, version: 7, blob: unhex(t, "02 06 00 01 2e 03 61 2e 63"), want: []string{".", "a.c"},
			data: unhex(t, "00000000 09000000 00000000 06000000  02 06 00 01 2e 03 61 2e 63  00000000000000")},
		{name: "hex, big endian", order: be, version: 7, blob: unhex(t, "02 06 00 01 2e 03 61 2e 63"), want: []string{".", "a.c"},
			data: unhex(t, "00000000 00000009 00000000 00000006  02 06 00 01 2e 03 61 2e 63  00000000000000")},
		{name: "version 4 does not join", order: le, version: 4, data: header(le, 3, plain), blob: plain,
			want: []string{"/src", "t.c", "/abs/../x.h", "../inc/./h.h"}},
		{name: "version 5 does not join", order: be, version: 5, data: header(be, 4, plain), blob: plain,
			want: []string{"/src", "t.c", "/abs/../x.h", "../inc/./h.h"}},
		{name: "version 6 joins", order: be, version: 6, data: header(be, 5, plain), blob: plain, want: joined},
		{name: "compressed", order: le, version: 7, blob: fileBlob(true, ".", "a/t.c"),
			data: header(le, 6, fileBlob(true, ".", "a/t.c")), want: []string{".", "a/t.c"}},
		{name: "two headers", order: le, version: 7, blob: plain, want: joined,
			data: join(header(le, 6, fileBlob(true, "x", "y")), header(le, 6, plain))},
		{name: "same header twice", order: le, version: 7, blob: plain, want: joined,
			data: join(header(le, 6, plain), header(le, 6, plain))},
		{name: "not padded at the end", order: le, version: 7, blob: plain, want: joined, data: header(le, 6, plain)[:16+len(plain)]},
		{name: "empty", order: le, err: "no header"},
		{name: "too old", order: le, data: header(le, 2, plain), err: "mapping version 3 (stored as 2) is older than this bpfcov understands (4 to 7)"},
		{name: "too new", order: le, data: header(le, 7, plain), err: "mapping version 8 (stored as 7) is newer than this bpfcov understands (4 to 7)"},
		{name: "other order", order: be, data: header(le, 6, plain), err: "is newer than"},
		{name: "versions differ", order: le, data: join(header(le, 6, plain), header(le, 5, plain)), err: "mapping version 6 after version 7 in one section"},
		{name: "records of version 3", order: le, err: "has function records of version 3",
			data: unhex(t, "01000000 09000000 00000000 06000000  02 06 00 01 2e 03 61 2e 63  00000000000000")},
		{name: "header cut off", order: le, data: header(le, 6, plain)[:12], err: "header is cut off"},
		{name: "names cut off", order: le, data: header(le, 6, plain)[:30], err: "list of file names is cut off"},
		{name: "no names", order: le, data: header(le, 6, []byte{0, 0, 0}), err: "no file names"},
		{name: "too many names", order: le, data: header(le, 6, []byte{9, 1, 0, 0}), err: "number of file names is 9 in 1 bytes"},
		{name: "name too long", order: le, data: header(le, 6, []byte{1, 2, 0, 9, 'x'}), err: "length of a file name is 9"},
		{name: "bad zlib", order: le, data: header(le, 6, []byte{1, 2, 3, 'x', 'y', 'z'}), err: "compressed file names"},
		{name: "zlib longer than said", order: le, err: "length is not what the header says",
			data: header(le, 6, join([]byte{1, 2}, uleb(uint64(len(deflate(make([]byte, 4000))))), deflate(make([]byte, 4000))))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, version, err := parseCovmap(tt.data, tt.order)
			if tt.err != "" {
				wantFormatError(t, err, sectionCovmap, tt.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if version != tt.version {
				t.Errorf("version: got %d, want %d", version, tt.version)
			}
			if diff := cmp.Diff(table.byRef[hashName(tt.blob)], tt.want); diff != "" {
				t.Errorf("names: -got +want:\n%s", diff)
			}
		})
	}
}

// A directory of a megabyte in front of many relative names must not be multiplied.
func TestCovmapJoinBound(t *testing.T) {
	files := []string{strings.Repeat("d", 1<<20)}
	for range 1000 {
		files = append(files, "x")
	}
	_, _, err := parseCovmap(header(binary.LittleEndian, 6, fileBlob(false, files...)), binary.LittleEndian)
	wantFormatError(t, err, sectionCovmap, "file names of more than")
}

func wantFormatError(t *testing.T, err error, section, reason string) {
	t.Helper()
	var fe *FormatError
	if !errors.As(err, &fe) {
		t.Fatalf("got error %v, want a FormatError with %q", err, reason)
	}
	if fe.Section != section || !strings.Contains(fe.Reason, reason) {
		t.Errorf("got %v, want section %s and %q", err, section, reason)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want []string
		err  string
	}{
		{name: "empty"},
		{name: "hex", data: unhex(t, "08 00  66 6f 6f 01 74 2e 63 3a"), want: []string{"foo", "t.c:"}},
		{name: "compressed", data: nameChunk(true, "main", "t.c:f"), want: []string{"main", "t.c:f"}},
		{name: "two chunks and padding", data: join(nameChunk(true, "a"), make([]byte, 3), nameChunk(false, "b"), make([]byte, 5)), want: []string{"a", "b"}},
		{name: "cut off", data: []byte{9, 0, 'x'}, err: "list of names is cut off: 9 bytes wanted, 1 left"},
		{name: "compressed cut off", data: []byte{9, 9, 'x'}, err: "size of compressed names is 9"},
		{name: "bad zlib", data: []byte{9, 1, 'x'}, err: "compressed names"},
		{name: "too much", data: join(uleb(maxNames+1), []byte{1, 'x'}), err: "size of names"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseNames(tt.data)
			if tt.err != "" {
				wantFormatError(t, err, sectionNames, tt.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := make(map[uint64]string)
			for _, n := range tt.want {
				want[NameHash(n)] = n
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
		})
	}
	// The hash is what clang 19 wrote for this name into the fixtures.
	if got, want := NameHash("t.bpf.c:helper"), uint64(0xd2d70e19f0c91f67); got != want {
		t.Errorf("NameHash: got %#x, want %#x", got, want)
	}
}

// TestFunction decodes the data of one function; the files are "d", "a.c" and "b.h".
func TestFunction(t *testing.T) {
	ref := func(id uint32) Counter { return Counter{CounterRef, id} }
	region := func(k RegionKind, file int, l1, c1, l2, c2 int, c Counter) Region {
		return Region{Kind: k, File: file, LineStart: l1, ColStart: c1, LineEnd: l2, ColEnd: c2, Count: c}
	}
	for _, tt := range []struct {
		name     string
		hex      string
		files    []string
		exprs    []Expression
		regions  []Region
		counters int
		err      string
	}{
		{name: "one region", hex: "01 01  00  01  01 03 05 02 07", files: []string{"a.c"}, counters: 1,
			regions: []Region{region(CodeRegion, 0, 3, 5, 5, 7, ref(0))}},
		{name: "lines are deltas", hex: "01 01  00  02  01 03 05 02 07  05 01 01 00 09", files: []string{"a.c"}, counters: 2,
			regions: []Region{region(CodeRegion, 0, 3, 5, 5, 7, ref(0)), region(CodeRegion, 0, 4, 1, 4, 9, ref(1))}},
		{name: "lines restart with each file", hex: "02 01 02  00  01 01 03 05 02 07  01 01 04 01 00 09", files: []string{"a.c", "b.h"}, counters: 1,
			regions: []Region{region(CodeRegion, 0, 3, 5, 5, 7, ref(0)), region(CodeRegion, 1, 4, 1, 4, 9, ref(0))}},
		{name: "kinds", hex: "01 01  00  04  00 01 01 00 02  10 01 01 00 02  20 01 05 01 01 00 02  01 01 01 00 82 80 80 80 08", files: []string{"a.c"}, counters: 2,
			regions: []Region{
				region(CodeRegion, 0, 1, 1, 1, 2, Counter{}),
				region(SkippedRegion, 0, 2, 1, 2, 2, Counter{}),
				{Kind: BranchRegion, LineStart: 3, ColStart: 1, LineEnd: 3, ColEnd: 2, Count: ref(0), FalseCount: ref(1)},
				region(GapRegion, 0, 4, 1, 4, 2, ref(0)),
			}},
		{name: "gap wins over skipped", hex: "01 01  00  01  10 01 01 00 82 80 80 80 08", files: []string{"a.c"},
			regions: []Region{region(GapRegion, 0, 1, 1, 1, 2, Counter{})}},
		{name: "whole lines", hex: "01 01  00  01  01 03 00 02 00", files: []string{"a.c"}, counters: 1,
			regions: []Region{region(CodeRegion, 0, 3, 1, 5, maxColumn, ref(0))}},
		{name: "mcdc", hex: "01 01  00  02  28 07 02 01 01 00 02  30 01 05 01 02 00 01 01 00 02", files: []string{"a.c"}, counters: 2,
			regions: []Region{
				{Kind: MCDCDecisionRegion, LineStart: 1, ColStart: 1, LineEnd: 1, ColEnd: 2, MCDC: [3]uint32{7, 2, 0}},
				{Kind: MCDCBranchRegion, LineStart: 2, ColStart: 1, LineEnd: 2, ColEnd: 2, Count: ref(0), FalseCount: ref(1), MCDC: [3]uint32{1, 2, 0}},
			}},
		{name: "expressions", hex: "01 01  02 01 05 02 09  01  07 01 01 00 02", files: []string{"a.c"}, counters: 3,
			exprs:   []Expression{{ref(0), ref(1)}, {Counter{CounterSub, 0}, ref(2)}},
			regions: []Region{region(CodeRegion, 0, 1, 1, 1, 2, Counter{CounterAdd, 1})}},
		{name: "nested expansions take the first counter", files: []string{"a.c", "b.h", "b.h"}, counters: 2,
			hex: "03 01 02 02  00  02 01 01 01 09 02  0c 01 01 00 02  01 14 07 01 00 02  01 05 08 01 00 02",
			regions: []Region{
				region(CodeRegion, 0, 1, 1, 10, 2, ref(0)),
				{Kind: ExpansionRegion, ExpandedFile: 1, LineStart: 2, ColStart: 1, LineEnd: 2, ColEnd: 2, Count: ref(1)},
				{Kind: ExpansionRegion, File: 1, ExpandedFile: 2, LineStart: 7, ColStart: 1, LineEnd: 7, ColEnd: 2, Count: ref(1)},
				region(CodeRegion, 2, 8, 1, 8, 2, ref(1)),
			}},
		{name: "expansion of a file without regions", files: []string{"a.c", "b.h"}, hex: "02 01 02  00  01 0c 01 01 00 02  00",
			regions: []Region{{Kind: ExpansionRegion, ExpandedFile: 1, LineStart: 1, ColStart: 1, LineEnd: 1, ColEnd: 2}}},

		{name: "empty", err: "number of files is cut off"},
		{name: "no regions", hex: "01 01 00 00", err: "no regions"},
		{name: "file index", hex: "01 03 00 01 01 03 05 02 07", err: "index of a file name is 3, greater than 2"},
		{name: "many files", hex: "ff 01 01", err: "number of files is 255"},
		{name: "many expressions", hex: "01 01  ff ff ff 7f  01", err: "number of expressions"},
		{name: "many regions", hex: "01 01  00  09  01 03 05 02 07", err: "number of regions is 9, greater than 1"},
		{name: "cut off", hex: "01 01  00  01  01 03 05 02", err: "end column of a region is cut off"},
		{name: "trailing", hex: "01 01  00  01  01 03 05 02 07 00", err: "1 bytes after the last region"},
		{name: "unknown kind", hex: "01 01  00  01  38 03 05 02 07", err: "region of unknown kind 7"},
		{name: "expansion kind is never stored", hex: "01 01  00  01  08 03 05 02 07", err: "region of unknown kind 1"},
		{name: "huge kind", hex: "01 01  00  01  80 80 01 05 02 07", err: "region of unknown kind"},
		{name: "ends before it starts", hex: "01 01  00  01  01 03 05 00 04", err: "region ends at 3:4, before its start 3:5"},
		{name: "line 0", hex: "01 01  00  01  01 00 05 00 06", err: "lines are 1 to"},
		{name: "line too high", hex: "01 01  00  01  01 ff ff ff ff 0e 05 00 06", err: "lines are 1 to"},
		{name: "many lines", hex: "01 01  00  01  01 03 05 ff ff ff ff 0e 06", err: "lines are 1 to"},
		{name: "expression out of range", hex: "01 01  01 01 05  01  06 01 01 00 02", err: "counter refers to expression 1 of 1"},
		{name: "expression of itself", hex: "01 01  01 02 05  01  02 01 01 00 02", err: "expression 0 depends on itself"},
		{name: "expressions in a ring", hex: "01 01  02 06 05 01 02  01  02 01 01 00 02", err: "depends on itself"},
		{name: "sum and difference", hex: "01 01  01 01 05  02  02 01 01 00 02  03 01 01 00 02", err: "both as a sum and as a difference"},
		{name: "expands itself", hex: "01 01  00  01  04 01 01 00 02", err: "is expanded by itself"},
		{name: "expansions in a ring", hex: "02 01 02  00  01 0c 01 01 00 02  01 04 01 01 00 02", err: "is expanded by itself"},
		{name: "expanded twice", hex: "02 01 02  00  02 0c 01 01 00 02 0c 01 01 00 02  01 01 01 01 00 02", err: "which another region does"},
		{name: "expanded file out of range", hex: "01 01  00  01  0c 01 01 00 02", err: "expands file id 1 of 1"},
		{name: "mcdc without an id", hex: "01 01  00  01  30 01 05 00 02 00 01 01 00 02", err: "without a condition id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &Function{Name: "f"}
			err := new(decoder).function(f, unhex(t, tt.hex), 100, []string{"d", "a.c", "b.h"})
			if tt.err != "" {
				wantFormatError(t, err, sectionCovfun, tt.err)
				if fe := err.(*FormatError); fe.Function != "f" || fe.Offset < 100 {
					t.Errorf("got function %q, offset %d; want f, from 100", fe.Function, fe.Offset)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := &Function{Name: "f", Files: tt.files, Expressions: tt.exprs, Regions: tt.regions, NumCounters: tt.counters}
			if diff := cmp.Diff(f, want); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
		})
	}
}

const (
	realData  = "01 01  00  01  01 03 05 02 07" // counter 0 on lines 3 to 5 of the second name
	dummyData = "01 01  00  01  00 03 05 02 07"
)

func TestRecords(t *testing.T) {
	blob, other := fileBlob(true, ".", "a.c"), fileBlob(false, ".", "b.c")
	real, dummy := unhex(t, realData), unhex(t, dummyData)
	for _, order := range []interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}{binary.LittleEndian, binary.BigEndian} {
		covmap := join(header(order, 6, blob), header(order, 6, other))
		names := nameChunk(true, "f", "a.c:g")
		for _, tt := range []struct {
			name    string
			covfun  []byte
			want    []string // name/hash/file of each function
			ignored int
			err     string
		}{
			{name: "none"},
			{name: "two", covfun: join(record(order, "f", 7, blob, real), record(order, "a.c:g", 8, other, real)), want: []string{"f 7 a.c", "a.c:g 8 b.c"}},
			{name: "the last one not padded", covfun: record(order, "f", 7, blob, real)[:28+len(real)], want: []string{"f 7 a.c"}},
			{name: "first of two real ones", covfun: join(record(order, "f", 7, blob, real), record(order, "f", 9, other, real)), want: []string{"f 7 a.c"}, ignored: 1},
			{name: "real after dummy", covfun: join(record(order, "f", 0, blob, dummy), record(order, "a.c:g", 8, blob, real), record(order, "f", 7, other, real)),
				want: []string{"f 7 b.c", "a.c:g 8 a.c"}, ignored: 1},
			{name: "dummy after real", covfun: join(record(order, "f", 7, other, real), record(order, "f", 0, blob, dummy)), want: []string{"f 7 b.c"}, ignored: 1},
			{name: "two dummies", covfun: join(record(order, "f", 0, other, dummy), record(order, "f", 0, blob, dummy)), want: []string{"f 0 b.c"}, ignored: 1},
			{name: "unknown name", covfun: record(order, "h", 7, blob, real), err: "no function name has hash"},
			{name: "unknown files", covfun: record(order, "f", 7, []byte("?"), real), err: "no list of file names has hash"},
			{name: "header cut off", covfun: record(order, "f", 7, blob, real)[:20], err: "header of a function is cut off"},
			{name: "data cut off", covfun: record(order, "f", 7, blob, real)[:30], err: "mapping of 9 bytes, 2 left"},
		} {
			t.Run(order.String()+" "+tt.name, func(t *testing.T) {
				m, err := DecodeSections(covmap, tt.covfun, names, order)
				if tt.err != "" {
					wantFormatError(t, err, sectionCovfun, tt.err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range m.Functions {
					got = append(got, f.Name+" "+utoa(f.Hash)+" "+f.Files[0])
					if f.NameHash != NameHash(f.Name) {
						t.Errorf("%s: name hash %#x", f.Name, f.NameHash)
					}
				}
				if diff := cmp.Diff(got, tt.want); diff != "" {
					t.Errorf("-got +want:\n%s", diff)
				}
				if m.Ignored != tt.ignored || m.Version != 7 {
					t.Errorf("got %d ignored, version %d; want %d, 7", m.Ignored, m.Version, tt.ignored)
				}
			})
		}
	}
}

func TestDecodeNotELF(t *testing.T) {
	if _, err := Decode(bytes.NewReader([]byte("no object"))); err == nil {
		t.Error("got no error for something that is no ELF object")
	}
	// An ELF header without sections.
	elf := append(unhex(t, "7f454c46 02010100 0000000000000000 0100 f700 01000000"), make([]byte, 24)...)
	elf = append(elf, unhex(t, "00000000 4000 3800 0000 4000 0000 0000")...)
	if _, err := Decode(bytes.NewReader(elf)); !errors.Is(err, ErrNoMapping) {
		t.Errorf("got %v, want %v", err, ErrNoMapping)
	}
}
