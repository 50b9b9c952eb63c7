package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// Errors of [Decode], to be tested with errors.Is.
var (
	// ErrFormat means that the input is not a sidecar, or a damaged one.
	ErrFormat = errors.New("not a bpfcov meta file")
	// ErrTruncated means that the input ends too early.
	ErrTruncated = errors.New("truncated")
	// ErrNotSupported means a version that this bpfcov does not know.
	ErrNotSupported = errors.New("not supported")
)

// The file format, all numbers little endian:
//
//	 0  8  magic: 'B' 'P' 'F' 'C' 'O' 'V' 'M' 0x01
//	 8  4  u32 version, 4
//	12  4  u32 CRC-32 (IEEE) of the body
//	16  8  u64 size of the body in bytes
//	24     body
//
// Body: object id, u8 big endian, u8 counter width, u32 LLVM, u32 N counters, strings clang, source
// and object, functions (u64 name hash, u64 hash, u32 first, u32 count, u8 fidelity, u8 kind of
// counter: 0 count, 1 flag), programs, ceil(N/8) bytes of emitted bits, line table, group table, covmap,
// covfun, names. Strings and byte slices have a u32 length in front, lists a u32 count. Version 1 had neither
// the kind of counters nor the line table, versions 1 and 2 not the group table, version 3 no units in it.
const (
	magic      = "BPFCOVM\x01"
	version    = 4
	headerSize = 24

	// MaxSize bounds a sidecar. The mapping of a large BPF object is some 100 KB.
	MaxSize = 64 << 20
	// MaxCounters bounds the counters of one object: their map would be 32 MiB.
	MaxCounters = 4 << 20

	funcSize = 8 + 8 + 4 + 4 + 1 // of version 1
)

// Encode writes m as a sidecar file. Equal metas give equal bytes.
func Encode(w io.Writer, m *Meta) error {
	if len(m.Emitted) != m.NumCounters {
		return fmt.Errorf("meta %s: %d counters but %d emitted flags", m.ObjectID.Short(), m.NumCounters, len(m.Emitted))
	}
	if m.NumCounters > MaxCounters {
		return fmt.Errorf("meta %s: %d counters, at most %d are possible", m.ObjectID.Short(), m.NumCounters, MaxCounters)
	}
	var b []byte
	str := func(s string) { b = append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...) }

	b = append(b, m.ObjectID[:]...)
	b = append(b, boolByte(m.BigEndian), byte(m.CounterWidth))
	b = binary.LittleEndian.AppendUint32(b, uint32(m.LLVM))
	b = binary.LittleEndian.AppendUint32(b, uint32(m.NumCounters))
	str(m.Clang)
	str(m.Source)
	str(m.Object)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Functions)))
	for _, f := range m.Functions {
		b = binary.LittleEndian.AppendUint64(b, f.NameHash)
		b = binary.LittleEndian.AppendUint64(b, f.Hash)
		b = binary.LittleEndian.AppendUint32(b, f.First)
		b = binary.LittleEndian.AppendUint32(b, f.Count)
		b = append(b, byte(f.Fidelity), boolByte(f.Flag))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Programs)))
	for _, p := range m.Programs {
		str(p.Name)
		str(p.Section)
	}
	bits := make([]byte, (m.NumCounters+7)/8)
	for i, e := range m.Emitted {
		if e {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	b = append(b, bits...)
	str(string(appendLineTable(nil, m)))
	str(string(appendGroupTable(nil, m)))
	str(string(m.Covmap))
	str(string(m.Covfun))
	str(string(m.Names))
	if len(b)+headerSize > MaxSize {
		return fmt.Errorf("meta %s: %d bytes, at most %d are possible", m.ObjectID.Short(), len(b)+headerSize, MaxSize)
	}

	head := make([]byte, 0, headerSize)
	head = append(head, magic...)
	head = binary.LittleEndian.AppendUint32(head, version)
	head = binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE(b))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(b)))
	if _, err := w.Write(append(head, b...)); err != nil {
		return fmt.Errorf("meta %s: %w", m.ObjectID.Short(), err)
	}
	return nil
}

// Decode reads a sidecar file to its end. The error wraps [ErrFormat], [ErrTruncated] or
// [ErrNotSupported], or is the reader's own.
func Decode(r io.Reader) (*Meta, error) {
	all, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	switch {
	case len(all) > MaxSize:
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrFormat, MaxSize)
	case len(all) < len(magic) || string(all[:len(magic)]) != magic:
		if len(all) < len(magic) && magic[:len(all)] == string(all) {
			return nil, fmt.Errorf("%w after %d bytes", ErrTruncated, len(all))
		}
		return nil, fmt.Errorf("%w: wrong magic", ErrFormat)
	case len(all) < headerSize:
		return nil, fmt.Errorf("%w after %d bytes", ErrTruncated, len(all))
	}
	v := binary.LittleEndian.Uint32(all[8:])
	if v < 1 || v > version {
		return nil, fmt.Errorf("%w: meta file version %d, this bpfcov knows versions up to %d", ErrNotSupported, v, version)
	}
	body := all[headerSize:]
	switch size := binary.LittleEndian.Uint64(all[16:]); {
	case size > uint64(len(body)):
		return nil, fmt.Errorf("%w: %d bytes of %d", ErrTruncated, len(body), size)
	case size < uint64(len(body)):
		return nil, fmt.Errorf("%w: %d bytes after the end", ErrFormat, uint64(len(body))-size)
	}
	if got, want := crc32.ChecksumIEEE(body), binary.LittleEndian.Uint32(all[12:]); got != want {
		return nil, fmt.Errorf("%w: checksum %08x, the header says %08x", ErrFormat, got, want)
	}
	return decodeBody(body, v)
}

func decodeBody(body []byte, version uint32) (*Meta, error) {
	c := &cursor{b: body, order: binary.LittleEndian}
	m := &Meta{}
	copy(m.ObjectID[:], c.bytes(16))
	m.BigEndian = c.u8() != 0
	m.CounterWidth = int(c.u8())
	m.LLVM = int(c.u32())
	n := c.u32()
	if n > MaxCounters {
		return nil, fmt.Errorf("%w: %d counters, at most %d are possible", ErrFormat, n, MaxCounters)
	}
	m.NumCounters = int(n)
	m.Clang = string(c.sized())
	m.Source = string(c.sized())
	m.Object = string(c.sized())
	for i, nf := 0, c.count(funcSize); i < nf; i++ {
		f := Func{NameHash: c.u64(), Hash: c.u64(), First: c.u32(), Count: c.u32(), Fidelity: Fidelity(c.u8())}
		if version > 1 {
			f.Flag = c.u8() != 0
		} else {
			f.Flag = m.CounterWidth == 1
		}
		m.Functions = append(m.Functions, f)
	}
	for i, np := 0, c.count(8); i < np; i++ {
		m.Programs = append(m.Programs, Program{Name: string(c.sized()), Section: string(c.sized())})
	}
	m.Emitted = unpackBits(c.bytes((m.NumCounters+7)/8), m.NumCounters)
	var lines, groups []byte
	if version > 1 {
		lines = c.sized()
	}
	if version > 2 {
		groups = c.sized()
	}
	m.Covmap = bytes.Clone(c.sized())
	m.Covfun = bytes.Clone(c.sized())
	m.Names = bytes.Clone(c.sized())
	if c.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, c.err)
	}
	if len(c.b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes too many in the body", ErrFormat, len(c.b))
	}
	err := m.check()
	if err == nil {
		err = parseLineTable(lines, m)
	}
	if err == nil {
		err = parseGroupTable(groups, m, version > 3)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return m, nil
}

// check refuses what would make readers index out of range.
func (m *Meta) check() error {
	if m.CounterWidth != 1 && m.CounterWidth != 8 {
		return fmt.Errorf("counter width %d, want 1 or 8", m.CounterWidth)
	}
	for i, f := range m.Functions {
		if end := uint64(f.First) + uint64(f.Count); end > uint64(m.NumCounters) {
			return fmt.Errorf("function %d has counters %d to %d, the object has %d", i, f.First, end, m.NumCounters)
		}
		if f.Fidelity > Off {
			return fmt.Errorf("function %d has %s", i, f.Fidelity)
		}
	}
	return nil
}

// FileName is the name of m's sidecar file: the object id and ".meta".
func (m *Meta) FileName() string { return m.ObjectID.String() + ".meta" }

// Write puts m into folder dir, which it creates, as [Meta.FileName]. The file appears complete or
// not at all, and an existing one is replaced. It returns the path.
func Write(dir string, m *Meta) (string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(dir, ".meta-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name()) // fails after the rename, as it should
	err = Encode(tmp, m)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, m.FileName())
	if err := os.Rename(tmp.Name(), path); err != nil {
		return "", err
	}
	return path, nil
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func unpackBits(bits []byte, n int) []bool {
	if len(bits) < (n+7)/8 {
		return nil
	}
	out := make([]bool, n)
	for i := range out {
		out[i] = bits[i/8]>>(i%8)&1 != 0
	}
	return out
}

// cursor reads from b and remembers the first failure; after it every read gives zeros.
type cursor struct {
	b     []byte
	order binary.ByteOrder
	err   error
}

func (c *cursor) bytes(n int) []byte {
	if c.err == nil && (n < 0 || n > len(c.b)) {
		c.err = fmt.Errorf("%d bytes wanted, %d left", n, len(c.b))
	}
	if c.err != nil {
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u8() byte {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.bytes(2); b != nil {
		return c.order.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.bytes(4); b != nil {
		return c.order.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.bytes(8); b != nil {
		return c.order.Uint64(b)
	}
	return 0
}

// sized reads a u32 length and as many bytes.
func (c *cursor) sized() []byte { return c.bytes(int(c.u32())) }

// count reads a u32 number of elements of at least each bytes, which bounds it by what is there.
func (c *cursor) count(each int) int {
	n := int(c.u32())
	if c.err == nil && n > len(c.b)/each {
		c.err = fmt.Errorf("%d elements of %d bytes, %d bytes left", n, each, len(c.b))
	}
	if c.err != nil {
		return 0
	}
	return n
}
