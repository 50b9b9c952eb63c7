package meta

import (
	"bytes"
	"compress/zlib"
	"crypto/md5"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Section names of an instrumented object.
const (
	CounterSection = ".data.bpfcov"     // the counter block, the only one that is loaded
	TableSection   = "__bpfcov_fun"     // function table, see below
	covmapSection  = "__llvm_covmap"    // llvm/ProfileData/Coverage/CoverageMapping.h
	covfunSection  = "__llvm_covfun"    //
	namesSection   = "__llvm_prf_names" //
)

// ErrNoCoverage means that the object was not instrumented by bpfcov, or was stripped of it.
var ErrNoCoverage = errors.New("no bpfcov sections: not compiled by bpfcov-clang, or stripped (llvm-strip -g and skeletons are fine, the sidecar has the same data)")

// maxSection bounds a section of an object file.
const maxSection = 64 << 20

// Build says what the object itself does not tell. The zero value is valid.
type Build struct {
	Clang  string // first line of clang --version
	LLVM   int    // its major
	Object string // base name of the object file
}

// FromELF reads the coverage data of an object file: one Meta a compile unit, in the order of the
// file, so more than one when the object was linked (bpftool gen object). The error is
// [ErrNoCoverage] when there is none.
func FromELF(r io.ReaderAt, b Build) ([]*Meta, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Machine != elf.EM_BPF {
		return nil, fmt.Errorf("machine %s, want %s: %w", f.Machine, elf.EM_BPF, ErrNoCoverage)
	}
	table, err := sectionData(f, TableSection)
	if err != nil {
		return nil, err
	}
	if len(table) == 0 {
		return nil, ErrNoCoverage
	}
	metas, err := decodeTables(table, f.ByteOrder)
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", TableSection, err)
	}
	var raw [3][]byte
	for i, name := range []string{covmapSection, covfunSection, namesSection} {
		if raw[i], err = sectionData(f, name); err != nil {
			return nil, err
		}
	}
	units, err := splitUnits(raw[0], raw[1], raw[2], f.ByteOrder, len(metas))
	if err != nil {
		return nil, err
	}
	programs, file := symbols(f)
	for i, m := range metas {
		u := units[i]
		m.BigEndian = f.ByteOrder == binary.BigEndian
		m.Clang, m.LLVM, m.Object = b.Clang, b.LLVM, b.Object
		m.Covmap, m.Covfun, m.Names = u.covmap, u.covfun, u.names
		m.Source = mainFile(u.files, file)
		m.Programs = programs
	}
	return metas, nil
}

// sectionData joins all sections of that name; a linker may leave several.
func sectionData(f *elf.File, name string) ([]byte, error) {
	var out []byte
	for _, s := range f.Sections {
		if s.Name != name || s.Type == elf.SHT_NOBITS {
			continue
		}
		if s.Size > maxSection || len(out) > maxSection {
			return nil, fmt.Errorf("section %s: %d bytes, at most %d are possible", name, s.Size, maxSection)
		}
		data, err := s.Data()
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", name, err)
		}
		out = append(out, data...)
	}
	return out, nil
}

const (
	tableMagic      = "BPFCOVF\x01"
	tableVersion    = 4 // 3 had no units of groups, 2 no groups
	tableHeaderSize = 40
	tableFuncSize   = 32
)

// decodeTables reads section __bpfcov_fun. The layout is in llvm-pass/include/bpfcov/Layout.h.
func decodeTables(b []byte, order binary.ByteOrder) ([]*Meta, error) {
	var metas []*Meta
	for off := 0; off < len(b); {
		rest := b[off:]
		if len(rest) < tableHeaderSize || string(rest[:8]) != tableMagic {
			return nil, fmt.Errorf("offset %d: no function table", off)
		}
		size := order.Uint32(rest[36:])
		if size < tableHeaderSize || size%8 != 0 || uint64(size) > uint64(len(rest)) {
			return nil, fmt.Errorf("offset %d: table of %d bytes in %d", off, size, len(rest))
		}
		m, err := decodeTable(rest[:size], order)
		if err != nil {
			return nil, fmt.Errorf("offset %d: %w", off, err)
		}
		metas = append(metas, m)
		off += int(size)
	}
	return metas, nil
}

func decodeTable(b []byte, order binary.ByteOrder) (*Meta, error) {
	c := &cursor{b: b[8:], order: order}
	v := c.u16()
	if v < 2 || v > tableVersion {
		return nil, fmt.Errorf("%w: version %d, this bpfcov knows 2 to %d", ErrNotSupported, v, tableVersion)
	}
	m := &Meta{CounterWidth: int(c.u16())}
	n := c.u32()
	if n > MaxCounters {
		return nil, fmt.Errorf("%d counters, at most %d are possible", n, MaxCounters)
	}
	m.NumCounters = int(n)
	copy(m.ObjectID[:], c.bytes(16))
	nf := c.u32()
	c.u32() // size
	if uint64(nf)*tableFuncSize > uint64(len(c.b)) {
		return nil, fmt.Errorf("%d functions in %d bytes", nf, len(c.b))
	}
	for range nf {
		f := Func{NameHash: c.u64(), Hash: c.u64(), First: c.u32(), Count: c.u32(), Fidelity: Fidelity(c.u8()), Flag: c.u8() != 0}
		c.bytes(6)
		m.Functions = append(m.Functions, f)
	}
	m.Emitted = unpackBits(c.bytes((m.NumCounters+7)/8), m.NumCounters)
	lines := c.sized()
	var groups []byte
	if v > 2 {
		groups = c.sized()
	}
	if c.err != nil {
		return nil, c.err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if err := parseLineTable(lines, m); err != nil {
		return nil, err
	}
	return m, parseGroupTable(groups, m, v > 3)
}

// unit is the mapping of one compile unit of a linked object.
type unit struct {
	covmap, covfun, names []byte
	files                 []string
}

// splitUnits takes the sections of a linked object apart again: the i-th header of the mapping and
// the i-th chunk of names belong to the i-th table, and function records carry the hash of their
// unit's file names.
func splitUnits(covmap, covfun, names []byte, order binary.ByteOrder, n int) ([]unit, error) {
	units := make([]unit, 0, n)
	var blobs []uint64
	for rest := covmap; len(rest) > 0; {
		if len(rest) < 16 {
			return nil, fmt.Errorf("section %s: %d stray bytes", covmapSection, len(rest))
		}
		size := uint64(order.Uint32(rest[4:]))
		end := (16 + size + 7) &^ 7
		if 16+size > uint64(len(rest)) {
			return nil, fmt.Errorf("section %s: file names of %d bytes in %d", covmapSection, size, len(rest)-16)
		}
		end = min(end, uint64(len(rest)))
		blob := rest[16 : 16+size]
		sum := md5.Sum(blob)
		blobs = append(blobs, binary.LittleEndian.Uint64(sum[:8]))
		files, err := fileNames(blob)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", covmapSection, err)
		}
		units = append(units, unit{covmap: bytes.Clone(rest[:end]), files: files})
		rest = rest[end:]
	}
	if len(units) != n {
		return nil, fmt.Errorf("section %s has %d units, section %s %d", covmapSection, len(units), TableSection, n)
	}

	at := 0
	for rest := covfun; len(rest) > 0; {
		if len(rest) < 28 {
			return nil, fmt.Errorf("section %s: %d stray bytes", covfunSection, len(rest))
		}
		size := 28 + uint64(order.Uint32(rest[8:]))
		if size > uint64(len(rest)) {
			return nil, fmt.Errorf("section %s: record of %d bytes in %d", covfunSection, size, len(rest))
		}
		size = min((size+7)&^7, uint64(len(rest)))
		ref := order.Uint64(rest[20:])
		for at < n && blobs[at] != ref {
			at++
		}
		if at == n {
			return nil, fmt.Errorf("section %s: record refers to file names %016x, which no unit has", covfunSection, ref)
		}
		units[at].covfun = append(units[at].covfun, rest[:size]...)
		rest = rest[size:]
	}

	i := 0
	for rest := names; len(rest) > 0; i++ {
		size, err := nameChunk(rest)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", namesSection, err)
		}
		for size < len(rest) && rest[size] == 0 {
			size++
		}
		if i < n {
			units[i].names = bytes.Clone(rest[:size])
		}
		rest = rest[size:]
	}
	if i != n {
		return nil, fmt.Errorf("section %s has %d chunks, section %s %d units", namesSection, i, TableSection, n)
	}
	return units, nil
}

// nameChunk is the size of the chunk "uleb size, uleb compressed size, bytes" at the start of b.
func nameChunk(b []byte) (int, error) {
	raw, n1 := binary.Uvarint(b)
	if n1 <= 0 {
		return 0, errors.New("bad length")
	}
	packed, n2 := binary.Uvarint(b[n1:])
	if n2 <= 0 {
		return 0, errors.New("bad length")
	}
	if packed != 0 {
		raw = packed
	}
	if raw > uint64(len(b)-n1-n2) {
		return 0, fmt.Errorf("%d bytes of names, %d left", raw, len(b)-n1-n2)
	}
	return n1 + n2 + int(raw), nil
}

// fileNames decodes the file names of one unit; the first is the compilation folder since mapping
// version 6.
func fileNames(blob []byte) ([]string, error) {
	n, b, err := uvarint(blob)
	if err != nil {
		return nil, err
	}
	raw, b, err := uvarint(b)
	if err != nil {
		return nil, err
	}
	packed, b, err := uvarint(b)
	if err != nil {
		return nil, err
	}
	if raw > 1<<20 {
		return nil, fmt.Errorf("%d bytes of file names", raw)
	}
	if packed != 0 {
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		if b, err = io.ReadAll(io.LimitReader(z, int64(raw))); err != nil {
			return nil, err
		}
	}
	var files []string
	for range n {
		var size uint64
		if size, b, err = uvarint(b); err != nil {
			return nil, err
		}
		if size > uint64(len(b)) {
			return nil, fmt.Errorf("file name of %d bytes, %d left", size, len(b))
		}
		files = append(files, string(b[:size]))
		b = b[size:]
	}
	return files, nil
}

func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errors.New("bad length")
	}
	return v, b[n:], nil
}

// mainFile picks the unit's main file: the one that the symbol table names, else the first that is
// no header.
func mainFile(files []string, symbol string) string {
	if len(files) == 0 {
		return ""
	}
	dir, rest := files[0], files[1:]
	join := func(name string) string {
		if path.IsAbs(name) {
			return path.Clean(name)
		}
		return path.Join(dir, name)
	}
	for _, name := range rest {
		if symbol != "" && path.Base(name) == path.Base(symbol) {
			return join(name)
		}
	}
	for _, name := range rest {
		if !strings.HasSuffix(name, ".h") {
			return join(name)
		}
	}
	if len(rest) > 0 {
		return join(rest[0])
	}
	return ""
}

// symbols lists the programs as libbpf sees them, global functions of executable sections other
// than .text, and the name of the main file.
func symbols(f *elf.File) (programs []Program, file string) {
	syms, err := f.Symbols()
	if err != nil {
		return nil, "" // stripped
	}
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FILE && file == "" {
			file = s.Name
		}
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || elf.ST_BIND(s.Info) == elf.STB_LOCAL {
			continue
		}
		if int(s.Section) >= len(f.Sections) {
			continue
		}
		sec := f.Sections[s.Section]
		if sec.Flags&elf.SHF_EXECINSTR == 0 || sec.Name == ".text" {
			continue
		}
		programs = append(programs, Program{Name: s.Name, Section: sec.Name})
	}
	return programs, file
}
