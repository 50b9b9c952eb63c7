package covmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// exercise uses everything that a decoded mapping offers.
func exercise(t *testing.T, m *Mapping, seed uint64) {
	var text bytes.Buffer
	if err := Dump(&text, m); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {LLVM: 17}, {LLVM: 22, Unify: true}} {
		_, err := m.EvaluateWith(Counts(func(f *Function) []uint64 {
			v := make([]uint64, f.NumCounters&0xff)
			for i := range v {
				v[i] = seed * uint64(i+1)
			}
			if len(v) < f.NumCounters {
				return nil
			}
			return v
		}), o)
		var fe *FormatError
		if err != nil && !errors.As(err, &fe) {
			t.Fatalf("got %v, want a FormatError", err)
		}
	}
	p, err := m.Plan()
	var fe *FormatError
	if err != nil && !errors.As(err, &fe) {
		t.Fatalf("got %v, want a FormatError", err)
	}
	if err == nil {
		if _, err := p.Counts(nil, func(f *Function) []uint64 { return make([]uint64, f.NumCounters) }, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range m.Functions {
		f.Counters()
		f.MainFile()
		f.SourceName()
	}
}

// FuzzDecode feeds whole ELF objects.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.elf")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := Decode(bytes.NewReader(data)); err == nil {
			exercise(t, m, 3)
		}
	})
}

// FuzzSections feeds the file names, the mapping of one function and the names, each inside
// valid framing, since no mutation gets past the hashes that join them.
func FuzzSections(f *testing.F) {
	f.Add(fileBlob(true, ".", "a.c"), unhex(f, realData), nameChunk(false, "f"), uint32(6), false)
	f.Add(fileBlob(false, "/d", "a.c", "../b.h"), unhex(f, dummyData), nameChunk(true, "f", "g"), uint32(3), true)
	f.Add(fileBlob(false, "d", "a.c", "b.h"), unhex(f, "03 01 02 02  00  02 01 01 01 09 02  0c 01 01 00 02  01 14 07 01 00 02  01 05 08 01 00 02"), nameChunk(false, "f"), uint32(5), false)
	f.Add(fileBlob(false, "d", "a.c"), unhex(f, "01 01  02 01 05 02 09  02  07 01 01 00 02  20 06 05 01 01 00 02"), nameChunk(false, "f"), uint32(4), false)
	f.Fuzz(func(t *testing.T, blob, data, names []byte, stored uint32, big bool) {
		var order interface {
			binary.ByteOrder
			binary.AppendByteOrder
		} = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		names = append(nameChunk(false, "f"), names...)
		m, err := DecodeSections(header(order, stored, blob), record(order, "f", 1, blob, data), names, order)
		var fe *FormatError
		if err != nil {
			if !errors.As(err, &fe) {
				t.Fatalf("got %v, want a FormatError", err)
			}
			return
		}
		if len(m.Functions) != 1 || m.Functions[0].Name != "f" {
			t.Fatalf("got functions %v", m.Functions)
		}
		exercise(t, m, uint64(stored))
	})
}
