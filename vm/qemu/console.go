package qemu

import (
	"bytes"
	"fmt"
	"os"
	"sync"
)

// ConsoleLimit is the most console text that is kept of one machine, in bytes. A guest may print without
// end.
const ConsoleLimit = 4 << 20

// console keeps the first half of what is written directly in a file, and the last half in memory
// until it is closed.
type console struct {
	mu      sync.Mutex
	f       *os.File // nil: nothing is kept on disk
	head    int      // bytes in the file
	tail    []byte   // ring buffer once it is full
	pos     int
	dropped int64
	err     error
}

func newConsole(name string) (*console, error) {
	c := &console{}
	if name == "" {
		return c, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	c.f = f
	return c, nil
}

const half = ConsoleLimit / 2

// Write never fails: the guest must not stall because the host's disk is full.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	if c.f != nil && c.head < half {
		q := p[:min(len(p), half-c.head)]
		if _, err := c.f.Write(q); err != nil && c.err == nil {
			c.err = err
		}
		c.head += len(q)
	}
	for len(p) > 0 {
		if len(c.tail) < half {
			q := p[:min(len(p), half-len(c.tail))]
			c.tail = append(c.tail, q...)
			p = p[len(q):]
			continue
		}
		k := copy(c.tail[c.pos:], p)
		c.pos = (c.pos + k) % half
		c.dropped += int64(k)
		p = p[k:]
	}
	return n, nil
}

// text returns the last part of the console, at most half of ConsoleLimit.
func (c *console) text() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last()
}

// size returns how much was written.
func (c *console) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped + int64(len(c.tail))
}

func (c *console) last() []byte {
	return append(bytes.Clone(c.tail[c.pos:]), c.tail[:c.pos]...)
}

// Close writes the last part. Together with the head it is everything, or it overlaps with nothing.
func (c *console) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f == nil {
		return nil
	}
	last := c.last()
	total := int64(len(last)) + c.dropped
	// The tail holds bytes dropped..total of the console, the file 0..head.
	switch missing := c.dropped - int64(c.head); {
	case total <= int64(c.head):
		last = nil
	case missing > 0:
		last = append(fmt.Appendf(nil, "\n[bpfcov: %d bytes of console left out]\n", missing), last...)
	default:
		last = last[int64(c.head)-c.dropped:]
	}
	if _, err := c.f.Write(last); err != nil && c.err == nil {
		c.err = err
	}
	if err := c.f.Close(); err != nil && c.err == nil {
		c.err = err
	}
	c.f = nil
	return c.err
}

// tailWriter keeps the last bytes written to it.
type tailWriter struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 8 << 10

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[max(0, len(p)-tailSize):]...)
	if n := len(t.b) - tailSize; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tailWriter) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
