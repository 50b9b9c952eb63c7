package kernels

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"

	"github.com/ulikunitz/xz/lzma"
)

// The xz container is read here, and only LZMA2 left to a library, because the libraries in Go know no filter but
// LZMA2, and an x86 kernel is packed with the x86 branch filter in front of it (scripts/xz_wrap.sh).
// The format is that of "The .xz File Format", version 1.2.1; section numbers below are its.

const xzMagic = "\xfd7zXZ\x00"

const (
	xzFilterX86   = 0x04
	xzFilterLZMA2 = 0x21
)

var errXZCorrupt = errors.New("corrupt")

// unxz unpacks the blocks of the first stream of b and verifies their sums. The index and the footer are not needed.
func unxz(b []byte, limit int64) ([]byte, error) {
	if len(b) < 12 || string(b[:6]) != xzMagic || b[6] != 0 || b[7] > 15 ||
		crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return nil, fmt.Errorf("xz: stream header: %w", errXZCorrupt)
	}
	check := b[7]
	b = b[12:]
	var out []byte
	for blocks := 0; ; blocks++ {
		if len(b) == 0 {
			return nil, fmt.Errorf("xz: block %d: %w: truncated", blocks, errXZCorrupt)
		}
		if b[0] == 0 { // index
			return out, nil
		}
		data, rest, err := unxzBlock(b, check, limit-int64(len(out)))
		if err != nil {
			return nil, fmt.Errorf("xz: block %d: %w", blocks, err)
		}
		if out == nil {
			out = data // the usual case: one block
		} else {
			out = append(out, data...)
		}
		b = rest
	}
}

func unxzBlock(b []byte, check byte, limit int64) (data, rest []byte, err error) {
	n := (int(b[0]) + 1) * 4 // 3.1.1
	if n > len(b) || n < 8 || crc32.ChecksumIEEE(b[:n-4]) != binary.LittleEndian.Uint32(b[n-4:]) {
		return nil, nil, fmt.Errorf("%w: header", errXZCorrupt)
	}
	flags, h := b[1], b[2:n-4]
	for _, bit := range []byte{0x40, 0x80} { // sizes, not needed: LZMA2 carries them
		if flags&bit != 0 {
			if _, h, err = xzVarint(h); err != nil {
				return nil, nil, err
			}
		}
	}
	x86, dictCap := false, int64(0)
	filters := int(flags&3) + 1
	for i := range filters {
		var id, size uint64
		if id, h, err = xzVarint(h); err != nil {
			return nil, nil, err
		}
		if size, h, err = xzVarint(h); err != nil {
			return nil, nil, err
		}
		if size > uint64(len(h)) {
			return nil, nil, fmt.Errorf("%w: filter properties", errXZCorrupt)
		}
		props := h[:size]
		h = h[size:]
		switch {
		case id == xzFilterX86 && size == 0 && i == 0 && filters == 2:
			x86 = true
		case id == xzFilterLZMA2 && size == 1 && i == filters-1:
			if dictCap, err = lzma.DecodeDictCap(props[0]); err != nil {
				return nil, nil, err
			}
			if dictCap > maxWindow {
				return nil, nil, fmt.Errorf("dictionary of %d bytes (max %d)", dictCap, maxWindow)
			}
		default:
			return nil, nil, fmt.Errorf("filter %#x is not supported", id)
		}
	}

	packed, size, err := lzma2Extent(b[n:])
	if err != nil {
		return nil, nil, err
	}
	if size > limit {
		return nil, nil, fmt.Errorf("%w: %d bytes (max %d)", errTooLarge, size, limit)
	}
	// A dictionary larger than the data is only memory.
	z, err := lzma.Reader2Config{DictCap: int(max(min(dictCap, size), lzma.MinDictCap))}.
		NewReader2(bytes.NewReader(b[n : n+packed]))
	if err != nil {
		return nil, nil, err
	}
	if data, err = readLimited(z, size); err != nil {
		return nil, nil, err
	}
	if x86 {
		unfilterX86(data)
	}

	b = b[(n+packed+3)&^3:]
	var sum []byte
	switch check {
	case 0:
	case 1:
		sum = binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))
	case 4:
		sum = binary.LittleEndian.AppendUint64(nil, crc64.Checksum(data, crc64.MakeTable(crc64.ECMA)))
	case 10:
		s := sha256.Sum256(data)
		sum = s[:]
	default:
		return nil, nil, fmt.Errorf("check %d is not supported", check)
	}
	if !bytes.HasPrefix(b, sum) {
		return nil, nil, fmt.Errorf("%w: checksum does not match", errXZCorrupt)
	}
	return data, b[len(sum):], nil
}

// xzVarint reads a multibyte integer (1.2).
func xzVarint(b []byte) (uint64, []byte, error) {
	var v uint64
	for i := 0; i < 9 && i < len(b); i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return v, b[i+1:], nil
		}
	}
	return 0, nil, fmt.Errorf("%w: integer", errXZCorrupt)
}

// lzma2Extent walks the chunks of an LZMA2 stream and gives its packed and its unpacked size, padding of the block
// verified to be there.
func lzma2Extent(b []byte) (packed int, unpacked int64, err error) {
	i := 0
	for i < len(b) {
		control := b[i]
		switch {
		case control == 0:
			if (i+1+3)&^3 > len(b) {
				return 0, 0, fmt.Errorf("%w: truncated", errXZCorrupt)
			}
			return i + 1, unpacked, nil
		case control <= 2: // stored
			if len(b)-i < 3 {
				return 0, 0, fmt.Errorf("%w: truncated", errXZCorrupt)
			}
			n := int(binary.BigEndian.Uint16(b[i+1:])) + 1
			i += 3 + n
			unpacked += int64(n)
		case control >= 0x80:
			if len(b)-i < 6 {
				return 0, 0, fmt.Errorf("%w: truncated", errXZCorrupt)
			}
			unpacked += int64(control&0x1f)<<16 + int64(binary.BigEndian.Uint16(b[i+1:])) + 1
			i += 5 + int(binary.BigEndian.Uint16(b[i+3:])) + 1
			if control >= 0xc0 {
				i++ // new properties
			}
		default:
			return 0, 0, fmt.Errorf("%w: LZMA2 chunk", errXZCorrupt)
		}
	}
	return 0, 0, fmt.Errorf("%w: truncated", errXZCorrupt)
}

// unfilterX86 turns the absolute targets that the x86 branch filter made of CALL (e8) and JMP (e9) operands back
// into relative ones. The filter skips an operand whose highest byte is neither 00 nor ff, and takes care of opcodes
// that lie within the operand of an earlier one: mask has a bit for each of the three bytes before that looked like
// one. (The LZMA SDK's Bra86.c is the definition.)
func unfilterX86(b []byte) {
	extreme := func(c byte) bool { return c == 0 || c == 0xff }
	bitNum := [8]uint{0, 1, 2, 2, 3, 3, 3, 3}
	allowed := [8]bool{true, true, true, false, true, false, false, false}
	last, mask := -1, uint(0)
	for i := 0; i+4 < len(b); i++ {
		if b[i]&0xfe != 0xe8 {
			continue
		}
		dist := i - last
		last = i
		if dist > 3 {
			mask = 0
		} else if mask = mask << (dist - 1) & 7; mask != 0 {
			if !allowed[mask] || extreme(b[i+4-int(bitNum[mask])]) {
				mask = mask<<1 | 1
				continue
			}
		}
		if !extreme(b[i+4]) {
			mask = mask<<1 | 1
			continue
		}
		src := binary.LittleEndian.Uint32(b[i+1:])
		dst := src - uint32(i+5)
		if mask != 0 {
			if j := bitNum[mask] * 8; extreme(byte(dst >> (24 - j))) {
				// One round is enough: the flipped bits make the byte differ from 00 and ff.
				dst = (dst ^ (1<<(32-j) - 1)) - uint32(i+5)
			}
		}
		dst &= 0x1ffffff
		dst |= -(dst & 0x1000000)
		binary.LittleEndian.PutUint32(b[i+1:], dst)
		i += 4
	}
}
