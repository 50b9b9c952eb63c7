package filewatch

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// TestLayout compares the hand-written head of an event with the one that bpf2go found in the
// object's type information.
func TestLayout(t *testing.T) {
	var c probeEvent
	if got, want := binary.Size(eventHead{}), int(unsafe.Offsetof(c.Path)); got != want {
		t.Errorf("eventHead: got %d bytes, want %d", got, want)
	}
	var h eventHead
	for _, f := range []struct {
		name      string
		got, want uintptr
	}{
		{"info", unsafe.Offsetof(h.Info), unsafe.Offsetof(c.Info)},
		{"path_len", unsafe.Offsetof(h.PathLen), unsafe.Offsetof(c.PathLen)},
		{"kind", unsafe.Offsetof(h.Kind), unsafe.Offsetof(c.Kind)},
		{"comm", unsafe.Offsetof(h.Comm), unsafe.Offsetof(c.Comm)},
	} {
		if f.got != f.want {
			t.Errorf("%s: got offset %d, want %d", f.name, f.got, f.want)
		}
	}
}

func encodeEvent(t *testing.T, h eventHead, path string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, h); err != nil {
		t.Fatal(err)
	}
	b.WriteString(path)
	return b.Bytes()
}

func TestDecodeEvent(t *testing.T) {
	h := eventHead{
		TimeNs: 5, CtimeSec: 1700000000, PID: 7, TID: 8, PPID: 1, UID: 33, Info: 0o100001,
		PathLen: 9, Kind: Open, Flags: flagTruncated | flagForExec, Comm: [16]byte{'c', 'a', 't'},
	}
	// The perf buffer pads records: bytes after the path do not count.
	got, err := decodeEvent(encodeEvent(t, h, "/etc/motd"[:8]+"\x00xxx"))
	if err != nil {
		t.Fatal(err)
	}
	want := Event{
		Kind: Open, Time: 5, PID: 7, TID: 8, PPID: 1, UID: 33, Comm: "cat", Path: "/etc/mot",
		Truncated: true, ForExec: true, Changed: time.Unix(1700000000, 0), Flags: 0o100001,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if s := got.String(); !strings.Contains(s, `cat "…/etc/mot"`) {
		t.Errorf("got text %q, want the name and the truncated path in it", s)
	}
}

func TestDecodeEventErrors(t *testing.T) {
	whole := encodeEvent(t, eventHead{Kind: Exec, PathLen: 3}, "ls\x00")
	for _, tt := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "event of 0 bytes"},
		{"no path", whole[:len(whole)-1], "path of 3 bytes, only 2 left"},
		{"kind", encodeEvent(t, eventHead{Kind: 9}, ""), "kind 9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeEvent(tt.raw)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decodeEvent(raw)
		if err == nil && len(e.Path) > len(raw) {
			t.Errorf("path of %d bytes from %d", len(e.Path), len(raw))
		}
	})
}

func TestFilterEncode(t *testing.T) {
	root := uint32(0)
	p, err := Filter{UID: &root, Contains: "aba", Kinds: []Kind{Exec}}.encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := uint32(useUID | useNeedle | useKinds); p.Use != want {
		t.Errorf("use: got %#x, want %#x", p.Use, want)
	}
	if p.NeedleMask['a'] != 0b101 || p.NeedleMask['b'] != 0b010 || p.NeedleAccept != 0b100 {
		t.Errorf("needle: got a %b, b %b, accept %b", p.NeedleMask['a'], p.NeedleMask['b'], p.NeedleAccept)
	}
	for _, f := range []Filter{
		{Comm: strings.Repeat("x", 16)},
		{Prefix: strings.Repeat("x", 128)},
		{Contains: strings.Repeat("x", 64)},
		{Kinds: []Kind{3}},
	} {
		if _, err := f.encode(); err == nil {
			t.Errorf("%+v: got no error", f)
		}
	}
	if _, err := (Filter{Contains: strings.Repeat("x", 63)}).encode(); err != nil {
		t.Errorf("63 bytes: %v", err)
	}
}
