package collect

import (
	"encoding/binary"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// The value of a counter map is that of section .data.bpfcov: blocks back to back, one per compiled
// object, each on a multiple of 8. Integers are in the object's byte order.
//
//	 0  8  magic: 'B' 'P' 'F' 'C' 'O' 'V' 0x1a 0x01
//	 8  2  u16 layout version = 1
//	10  2  u16 counter width in bytes, 8 or 1
//	12  4  u32 N, number of counters
//	16 16  object id
//	32  4  u32 size of the block, header and padding included, a multiple of 8
//	36  4  u32 0
//	40  .  N counters, zeros up to the size; a flag in a counter of width 8 is its lowest byte
const (
	blockMagic   = "BPFCOV\x1a\x01"
	blockVersion = 1
	blockHeader  = 40
)

// Block is one object's counters in the value of a counter map.
type Block struct {
	ObjectID meta.ObjectID
	// Offset is where the block starts in the value.
	Offset int
	// Width is the size of a counter in bytes, 8 or 1.
	Width int
	// N is the number of counters.
	N int
}

// first returns the offset of counter 0 in the value.
func (b *Block) first() int { return b.Offset + blockHeader }

// Counter returns which counter a write of size bytes at off in the value is for. ok is false when it is
// not exactly one counter of the block, or the lowest byte of one: a function's counters may be flags
// among those of others that count.
func (b *Block) Counter(off int64, size int) (i int, ok bool) {
	rel := off - int64(b.first())
	if rel < 0 || rel/int64(b.Width) >= int64(b.N) {
		return 0, false
	}
	switch at := rel % int64(b.Width); {
	case size == b.Width:
		ok = at == 0
	case size == 1: // width 8: the lowest byte is the first or the last
		ok = at == 0 || at == 7
	}
	return int(rel / int64(b.Width)), ok
}

// overlaps reports whether a write of size bytes at off touches any counter of the block.
func (b *Block) overlaps(off int64, size int) bool {
	return off < int64(b.first()+b.N*b.Width) && off+int64(size) > int64(b.first())
}

// Counts reads the block's counters from the value. With width 1 a count is 0 or 1.
func (b *Block) Counts(value []byte, order binary.ByteOrder) []uint64 {
	counts := make([]uint64, b.N)
	at := b.first()
	for i := range counts {
		if b.Width == 1 {
			if value[at+i] != 0 {
				counts[i] = 1
			}
			continue
		}
		counts[i] = order.Uint64(value[at+8*i:])
	}
	return counts
}

// ParseBlocks returns the blocks of a map's value, in order, and nil when it is not the value of a
// counter map. Every block must be whole: a value that only begins like one is not taken.
func ParseBlocks(value []byte, order binary.ByteOrder) []Block {
	var blocks []Block
	for at := 0; ; {
		rest := value[at:]
		if len(rest) < blockHeader || string(rest[:8]) != blockMagic {
			if allZero(rest) { // the section may be padded
				return blocks
			}
			return nil
		}
		width, n, size := int(order.Uint16(rest[10:])), uint64(order.Uint32(rest[12:])), uint64(order.Uint32(rest[32:]))
		if order.Uint16(rest[8:]) != blockVersion || width != 1 && width != 8 || order.Uint32(rest[36:]) != 0 ||
			n > maxCounters || size%8 != 0 || size < blockHeader+n*uint64(width) || size > uint64(len(rest)) {
			return nil
		}
		blocks = append(blocks, Block{ObjectID: meta.ObjectID(rest[16:32]), Offset: at, Width: width, N: int(n)})
		at += int(size)
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
