package qemu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
)

// Marks of QEMU's migration stream (migration/savevm.h, and RAM_SAVE_FLAG_* in migration/ram.c).
const (
	streamMagic   = "QEVM\x00\x00\x00\x03"
	sectionStart  = 1
	sectionPart   = 2
	sectionEnd    = 3
	subsection    = 5
	configuration = 7
	sectionFooter = 0x7e

	ramZero     = 0x02
	ramSizes    = 0x04
	ramPage     = 0x08
	ramEOS      = 0x10
	ramContinue = 0x20
)

// errStream is a stream that is left as it is, since there is something in it that is not understood here.
var errStream = errors.New("QEMU's state has something that is not known here")

// shorten makes of a state one that needs no capability, and leaves out what a machine that reads it has already. A state that is not
// understood stays as it is.
func shorten(f *os.File) error {
	state, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		return err
	}
	short, err := shortened(state)
	if err != nil {
		return nil
	}
	if _, err := f.WriteAt(short, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(short)))
}

// capabilities is the part of a state that says which capabilities a machine must have to read it.
const capabilities = "configuration/capabilities"

// needsCapability reports whether a machine that is to read a state needs the capability with which it was saved.
func needsCapability(f *os.File) bool {
	var head [512]byte // the part is among the first ones
	n, _ := f.ReadAt(head[:], 0)
	return bytes.Contains(head[:n], []byte(capabilities))
}

// shortened returns the state of a saved machine without the capability that leaves the guest's memory out of it, which changes nothing
// else but that each block of memory comes with its address, and without the zero pages of its flash memory. The virt machines have 64
// to 128 MiB of it that nothing uses; a machine that is started to read the state has it zero already, and would look at each
// of its pages.
func shortened(state []byte) ([]byte, error) {
	s := &stream{b: state, pageSize: 4096}
	if string(s.take(len(streamMagic))) != streamMagic {
		return nil, errStream
	}
	s.configuration()
	for s.err == nil && s.at < len(s.b) && s.b[s.at] >= sectionStart && s.b[s.at] <= sectionEnd {
		s.section()
	}
	if s.err != nil {
		return nil, s.err
	}
	return append(s.out, state[s.at:]...), nil // devices
}

// stream reads state and writes what is kept of it.
type stream struct {
	b         []byte
	at        int
	err       error
	out       []byte
	pageSize  int
	addresses bool   // blocks of memory come with theirs
	block     []byte // the name of that which the last page read is of
	kept      []byte // and of the last page written
}

// take returns the next n bytes, nil when there are fewer.
func (s *stream) take(n int) []byte {
	if s.err == nil && (n < 0 || n > len(s.b)-s.at) {
		s.err = errStream
	}
	if s.err != nil {
		return nil
	}
	s.at += n
	return s.b[s.at-n : s.at]
}

// number reads a big-endian integer of n bytes, at most 8; 0 when there is none.
func (s *stream) number(n int) uint64 {
	var b [8]byte
	copy(b[8-n:], s.take(n))
	return binary.BigEndian.Uint64(b[:])
}

// name reads a string after its length.
func (s *stream) name() []byte { return s.take(int(s.number(1))) }

// configuration copies what the machine is, but for its capabilities.
func (s *stream) configuration() {
	if s.number(1) != configuration {
		s.err = errStream
	}
	s.take(int(s.number(4)))
	s.out = append(s.out, s.b[:s.at]...)
	for s.err == nil && s.at < len(s.b) && s.b[s.at] == subsection {
		start := s.at
		s.at++
		name := string(s.name())
		s.take(4) // version
		switch name {
		case "configuration/target-page-bits":
			bits := s.number(4)
			if bits < 10 || bits > 16 {
				s.err = errStream
				return
			}
			s.pageSize = 1 << bits
		case capabilities:
			for n := s.number(4); n > 0 && s.err == nil; n-- {
				if string(s.name()) != ignoreShared {
					s.err = errStream
				}
				s.addresses = true
			}
			continue // left out
		default:
			s.err = errStream
		}
		s.out = append(s.out, s.b[start:s.at]...)
	}
}

// section copies a section of memory.
func (s *stream) section() {
	start := s.at
	kind := s.number(1)
	id := s.number(4)
	if kind == sectionStart {
		if string(s.name()) != "ram" {
			s.err = errStream
		}
		s.take(8) // instance and version
	}
	if s.err != nil {
		return
	}
	s.out = append(s.out, s.b[start:s.at]...)
	for s.err == nil && s.record() {
	}
	start = s.at
	if s.number(1) != sectionFooter || s.number(4) != id {
		s.err = errStream
		return
	}
	s.out = append(s.out, s.b[start:s.at]...)
}

// record copies what belongs together of a section, and reports whether more of it follows.
func (s *stream) record() (more bool) {
	start := s.at
	head := s.number(8)
	flags, addr := head&0xfff, head&^0xfff
	if flags == ramEOS || flags == ramSizes {
		s.out = append(s.out, s.b[start:s.at]...)
		for total := addr; flags == ramSizes && total > 0 && s.err == nil; {
			start = s.at
			s.name()
			size := s.number(8)
			s.out = append(s.out, s.b[start:s.at]...)
			if s.addresses {
				s.take(8)
			}
			if size > total {
				s.err = errStream
			}
			total -= size
		}
		return flags == ramSizes
	}
	if flags&ramContinue == 0 {
		s.block = s.name()
	}
	var content []byte
	switch flags &^ ramContinue {
	case ramZero:
		if content = s.take(1); s.err == nil && content[0] == 0 && strings.Contains(string(s.block), ".flash") {
			return true
		}
	case ramPage:
		content = s.take(s.pageSize)
	default:
		s.err = errStream
	}
	if s.err != nil {
		return false
	}
	// What a page continues may have been left out.
	head &^= ramContinue
	if bytes.Equal(s.kept, s.block) {
		head |= ramContinue
	}
	s.out = binary.BigEndian.AppendUint64(s.out, head)
	if head&ramContinue == 0 {
		s.out = append(append(s.out, byte(len(s.block))), s.block...)
	}
	s.kept = s.block
	s.out = append(s.out, content...)
	return true
}
