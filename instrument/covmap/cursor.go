package covmap

import (
	"math"
	"strconv"
)

// cursor reads from bytes that nobody has checked. After a failure it stays failed and returns
// zeros, so that callers may check once after several reads.
type cursor struct {
	data []byte
	pos  int
	// base is the offset of data in its section.
	base    int64
	section string
	err     *FormatError
}

func (c *cursor) fail(reason string) {
	if c.err == nil {
		c.err = &FormatError{Section: c.section, Offset: c.base + int64(c.pos), Reason: reason}
	}
}

// error returns the failure as an error, nil when there was none.
func (c *cursor) error() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

func (c *cursor) remaining() int { return len(c.data) - c.pos }

// uleb reads an unsigned LEB128 number that is not greater than max.
func (c *cursor) uleb(max uint64, what string) uint64 {
	if c.err != nil {
		return 0
	}
	var v uint64
	for i, shift := c.pos, 0; ; i, shift = i+1, shift+7 {
		if i >= len(c.data) {
			c.fail(what + " is cut off")
			return 0
		}
		b := uint64(c.data[i])
		// The tenth byte has room for one bit; longer forms may only add zeros.
		if shift >= 64 && b&0x7f != 0 || shift == 63 && b&0x7e != 0 {
			c.fail(what + " does not fit 64 bits")
			return 0
		}
		if shift < 64 {
			v |= (b & 0x7f) << shift
		}
		if b&0x80 == 0 {
			if v > max {
				c.fail(what + " is " + utoa(v) + ", greater than " + utoa(max))
				return 0
			}
			c.pos = i + 1
			return v
		}
	}
}

// u32 reads a number that LLVM keeps in 32 bits.
func (c *cursor) u32(what string) uint32 { return uint32(c.uleb(math.MaxUint32-1, what)) }

// count reads a number of things of at least size bytes each, all of which follow.
func (c *cursor) count(size int, what string) int {
	return int(c.uleb(uint64(c.remaining()/size), what))
}

// bytes returns the next n bytes without copying them.
func (c *cursor) bytes(n int, what string) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > c.remaining() {
		c.fail(what + " is cut off: " + utoa(uint64(n)) + " bytes wanted, " + utoa(uint64(c.remaining())) + " left")
		return nil
	}
	c.pos += n
	return c.data[c.pos-n : c.pos]
}

func utoa(v uint64) string { return strconv.FormatUint(v, 10) }
