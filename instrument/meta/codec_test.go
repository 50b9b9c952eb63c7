package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() *Meta {
	return &Meta{
		ObjectID:     ObjectID{0x3f, 0xa1, 15: 9},
		BigEndian:    true,
		Clang:        "Debian clang version 19.1.7 (3~deb12u1)",
		LLVM:         19,
		Source:       "src/probe.bpf.c",
		Object:       "probe.bpf.o",
		CounterWidth: 8,
		NumCounters:  12,
		Functions: []Func{
			{NameHash: 1 << 63, Hash: 2, First: 0, Count: 7, Fidelity: Region},
			{NameHash: 3, Hash: 4, First: 7, Count: 3, Fidelity: Probe, Flag: true},
			{NameHash: 5, Hash: 6, First: 8, Fidelity: Line},
		},
		LineCounters: []LineCounter{{Counter: 8, Lines: []FuncLine{{2, 7}, {2, 300}}}, {Counter: 9, Lines: []FuncLine{{2, 8}}}},
		UnsureLines:  []FuncLine{{2, 8}},
		Emitted:      []bool{true, false, true, true, false, false, false, false, true, true, true, true},
		Groups:       []Group{{1, []Member{{0, 1}, {2, 300}}}, {500, []Member{{7, 1}}}},
		Programs:     []Program{{Name: "on_open", Section: "fentry/do_sys_openat2"}},
		Covmap:       []byte{1, 2, 3},
		Covfun:       []byte{4},
		Names:        []byte("x\x01y"),
	}
}

func encode(t testing.TB, m *Meta) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	for name, m := range map[string]*Meta{
		"full":    sample(),
		"minimal": {CounterWidth: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := encode(t, m)
			got, err := Decode(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(encode(t, got), b); diff != "" {
				t.Errorf("encoding again (-got +want):\n%s", diff)
			}
			if got.Source != m.Source || got.NumCounters != m.NumCounters {
				t.Errorf("got %+v", got)
			}
			if name == "full" {
				if diff := cmp.Diff(m, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestLayout pins the first bytes of the format, so that a change of it is a decision.
func TestLayout(t *testing.T) {
	b := encode(t, sample())
	want := append([]byte("BPFCOVM\x01"), 4, 0, 0, 0)
	if !bytes.HasPrefix(b, want) {
		t.Errorf("header: got % x, want % x", b[:12], want)
	}
	if got, want := binary.LittleEndian.Uint32(b[12:]), crc32.ChecksumIEEE(b[24:]); got != want {
		t.Errorf("checksum: got %08x, want %08x", got, want)
	}
	if got, want := binary.LittleEndian.Uint64(b[16:]), uint64(len(b)-24); got != want {
		t.Errorf("size: got %d, want %d", got, want)
	}
	if want := []byte{0x3f, 0xa1}; !bytes.HasPrefix(b[24:], want) {
		t.Errorf("object id: got % x", b[24:40])
	}
	if got, want := b[40:50], []byte{1, 8, 19, 0, 0, 0, 12, 0, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("fixed fields: got % x, want % x", got, want)
	}
}

func TestDecodeErrors(t *testing.T) {
	good := encode(t, sample())
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	// reseal repairs size and checksum after the body was changed.
	reseal := func(b []byte) []byte {
		binary.LittleEndian.PutUint64(b[16:], uint64(len(b)-24))
		binary.LittleEndian.PutUint32(b[12:], crc32.ChecksumIEEE(b[24:]))
		return b
	}
	for _, tc := range []struct {
		name string
		data []byte
		want error
		text string
	}{
		{"empty", nil, ErrTruncated, "after 0 bytes"},
		{"magic cut", good[:5], ErrTruncated, "after 5 bytes"},
		{"header cut", good[:20], ErrTruncated, "after 20 bytes"},
		{"body cut", good[:len(good)-1], ErrTruncated, ""},
		{"foreign", []byte("#!/bin/sh\necho no\n"), ErrFormat, "magic"},
		{"version", edit(func(b []byte) []byte { b[8] = 9; return b }), ErrNotSupported, "version 9"},
		{"bit flipped", edit(func(b []byte) []byte { b[60] ^= 1; return b }), ErrFormat, "checksum"},
		{"more behind", append(bytes.Clone(good), 0), ErrFormat, "after the end"},
		{"body too long", edit(func(b []byte) []byte { return reseal(append(b, 0)) }), ErrFormat, "too many"},
		{"width", edit(func(b []byte) []byte { b[41] = 4; return reseal(b) }), ErrFormat, "counter width 4"},
		{"counters", edit(func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[46:], MaxCounters+1)
			return reseal(b)
		}), ErrFormat, "at most"},
		{"function beyond the counters", edit(func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[46:], 9)
			return reseal(b)
		}), ErrFormat, "function 1 has counters 7 to 10, the object has 9"},
		{"string beyond the end", edit(func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[50:], 1<<31)
			return reseal(b)
		}), ErrFormat, "left"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Decode(bytes.NewReader(tc.data))
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
			}
		})
	}
}

func TestEncodeErrors(t *testing.T) {
	m := sample()
	m.Emitted = m.Emitted[:3]
	if err := Encode(&bytes.Buffer{}, m); err == nil || !strings.Contains(err.Error(), "12 counters but 3") {
		t.Errorf("got %v", err)
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	m := sample()
	for range 2 { // the second time replaces the file
		path, err := Write(dir, m)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, "3fa10000000000000000000000000009.meta"); path != want {
			t.Errorf("got %s, want %s", path, want)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, encode(t, m)) {
			t.Error("the file is not what Encode writes")
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("got %d files in the folder, want 1", len(left))
	}
}

func TestObjectID(t *testing.T) {
	id := sample().ObjectID
	text, err := id.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back ObjectID
	if err := back.UnmarshalText(text); err != nil || back != id {
		t.Errorf("got %s (%v), want %s", back, err, id)
	}
	if got := id.Short(); got != "3fa10000" {
		t.Errorf("short: got %s", got)
	}
	for _, bad := range []string{"", "3fa1", string(text) + "00", strings.Repeat("g", 32)} {
		if _, err := ParseObjectID(bad); err == nil {
			t.Errorf("ParseObjectID(%q): no error", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, sample())[24:])
	f.Add(encode(f, &Meta{CounterWidth: 1})[24:])
	f.Fuzz(func(t *testing.T, body []byte) {
		// The checksum would keep the fuzzer out, so it makes the body only.
		m, err := decodeBody(body, version)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v, want it to wrap %v", err, ErrFormat)
			}
			return
		}
		again, err := Decode(bytes.NewReader(encode(t, m)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}
