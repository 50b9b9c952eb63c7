package qemu

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// stateParts builds a stream as QEMU writes it.
type stateParts struct{ bytes.Buffer }

func (b *stateParts) number(n int, v uint64) *stateParts {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], v)
	b.Write(all[8-n:])
	return b
}

func (b *stateParts) name(s string) *stateParts {
	b.WriteByte(byte(len(s)))
	b.WriteString(s)
	return b
}

// head begins a state that was saved with capabilities, or one that needs none.
func (b *stateParts) head(with ...string) *stateParts {
	b.WriteString(streamMagic)
	b.number(1, configuration).number(4, 8).WriteString("virt-7.2")
	b.number(1, subsection).name("configuration/target-page-bits").number(4, 1).number(4, 12)
	if len(with) > 0 {
		b.number(1, subsection).name(capabilities).number(4, 1).number(4, uint64(len(with)))
	}
	for _, c := range with {
		b.name(c)
	}
	b.number(1, sectionStart).number(4, 2).name("ram").number(4, 0).number(4, 4)
	b.number(8, 0x3000|ramSizes)
	for _, block := range []struct {
		name       string
		size, addr uint64
	}{{"ram", 0x1000, 0x40000000}, {"virt.flash0", 0x2000, 0}} {
		if b.name(block.name).number(8, block.size); len(with) > 0 {
			b.number(8, block.addr)
		}
	}
	b.number(8, ramEOS).number(1, sectionFooter).number(4, 2)
	return b
}

func (b *stateParts) part(records func()) *stateParts {
	b.number(1, sectionPart).number(4, 2)
	records()
	b.number(8, ramEOS).number(1, sectionFooter).number(4, 2)
	return b
}

const devices = "\x04\x00\x00\x00\x03 anything"

func TestShortened(t *testing.T) {
	page := bytes.Repeat([]byte{7}, 4096)
	var in, want stateParts
	in.head(ignoreShared).part(func() {
		in.number(8, ramZero).name("virt.flash0").number(1, 0)
		in.number(8, 0x1000|ramZero|ramContinue).number(1, 0)
	}).part(func() {
		in.number(8, 0x2000|ramPage|ramContinue).Write(page)
		in.number(8, 0x3000|ramPage|ramContinue).Write(page)
		in.number(8, ramZero).name("rom").number(1, 0) // not flash
		in.number(8, 0x1000|ramZero).name("virt.flash0").number(1, 0)
		in.number(8, 0x2000|ramZero|ramContinue).number(1, 9) // not zero
	}).WriteString(devices)
	want.head().part(func() {}).part(func() {
		want.number(8, 0x2000|ramPage).name("virt.flash0").Write(page) // no longer a continuation
		want.number(8, 0x3000|ramPage|ramContinue).Write(page)
		want.number(8, ramZero).name("rom").number(1, 0)
		want.number(8, 0x2000|ramZero).name("virt.flash0").number(1, 9)
	}).WriteString(devices)
	got, err := shortened(in.Bytes())
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, want.Len())
	}
	again, err := shortened(got)
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("the second time: got %d bytes, %v, want the same %d", len(again), err, len(got))
	}
	for n := range in.Len() - len(devices) {
		if got, err := shortened(in.Bytes()[:n]); err == nil && len(got) > n { // between two sections it is none
			t.Fatalf("cut to %d bytes: got %d", n, len(got))
		}
	}
}

func TestShortenedUnknown(t *testing.T) {
	for name, state := range map[string]string{
		"empty":     "",
		"magic":     strings.Repeat("x", 100),
		"old":       "QEVM\x00\x00\x00\x02",
		"no config": streamMagic + "\x01",
		"flags": func() string {
			var b stateParts
			b.head(ignoreShared).part(func() { b.number(8, 0x40) })
			return b.String()
		}(),
		"capability": func() string { var b stateParts; b.head(ignoreShared, "xbzrle"); return b.String() }(),
		"device":     streamMagic + "\x07\x00\x00\x00\x00\x01\x00\x00\x00\x01\x03vga\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		if got, err := shortened([]byte(state)); err == nil {
			t.Errorf("%s: got %d bytes, want an error", name, len(got))
		}
	}
}

func FuzzShortened(f *testing.F) {
	var b stateParts
	b.head(ignoreShared).part(func() { b.number(8, ramZero).name("virt.flash0").number(1, 0) }).WriteString(devices)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, state []byte) {
		if got, err := shortened(state); err == nil && len(got) > 2*len(state) {
			t.Errorf("%d bytes became %d", len(state), len(got))
		}
	})
}
