package covmap

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNoMapping is returned for an ELF object without coverage mapping.
var ErrNoMapping = errors.New("no coverage mapping (sections __llvm_covmap and __llvm_covfun); was the object compiled with -fcoverage-mapping, and not stripped?")

// Decode reads the coverage mapping of an ELF object of any machine, relocatable or linked. The error
// is [ErrNoMapping], a *[FormatError], or comes from reading.
func Decode(r io.ReaderAt) (*Mapping, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	covmap, err := joinSections(f, sectionCovmap)
	if err != nil {
		return nil, err
	}
	covfun, err := joinSections(f, sectionCovfun)
	if err != nil {
		return nil, err
	}
	if covmap == nil || covfun == nil {
		return nil, ErrNoMapping
	}
	names, err := joinSections(f, sectionNames)
	if err != nil {
		return nil, err
	}
	if names == nil {
		if names, err = joinSections(f, sectionCovNames); err != nil {
			return nil, err
		}
	}
	return DecodeSections(covmap, covfun, names, f.ByteOrder)
}

// joinSections returns the contents of all sections of that name, each padded to 8 bytes, in order of
// the section table; nil when there is none. clang gives each function a section __llvm_covfun.
func joinSections(f *elf.File, name string) ([]byte, error) {
	var all []byte
	found := false
	for i, s := range f.Sections {
		if s.Name != name || s.Type == elf.SHT_NOBITS {
			continue
		}
		if s.Size > maxSection || uint64(len(all))+s.Size > maxSection {
			return nil, &FormatError{Section: name, Offset: -1, Reason: fmt.Sprintf("more than %d bytes", maxSection)}
		}
		data, err := s.Data()
		if err != nil {
			return nil, &FormatError{Section: name, Offset: -1, Reason: fmt.Sprintf("section %d: %v", i, err)}
		}
		found = true
		all = append(all, data...)
		for len(all)%8 != 0 {
			all = append(all, 0)
		}
	}
	if !found {
		return nil, nil
	}
	if all == nil {
		all = []byte{}
	}
	return all, nil
}

// DecodeSections reads a coverage mapping from the contents of __llvm_covmap, of all sections
// __llvm_covfun each padded to 8 bytes, and of __llvm_prf_names. Errors are of type *[FormatError].
// Nothing of the result refers to the arguments.
func DecodeSections(covmap, covfun, names []byte, order binary.ByteOrder) (*Mapping, error) {
	for _, s := range []struct {
		name string
		data []byte
	}{{sectionCovmap, covmap}, {sectionCovfun, covfun}, {sectionNames, names}} {
		if len(s.data) > maxSection {
			return nil, &FormatError{Section: s.name, Offset: -1, Reason: fmt.Sprintf("more than %d bytes", maxSection)}
		}
	}
	files, version, err := parseCovmap(covmap, order)
	if err != nil {
		return nil, err
	}
	table, err := parseNames(names)
	if err != nil {
		return nil, err
	}
	d := &decoder{files: files, names: table, order: order, known: make(map[uint64]int)}
	d.mapping.Version = version
	if err := d.records(covfun); err != nil {
		return nil, err
	}
	return &d.mapping, nil
}

type decoder struct {
	files   *fileTable
	names   map[uint64]string
	order   binary.ByteOrder
	mapping Mapping
	known   map[uint64]int // index in mapping.Functions by name hash
	// What was made so far, against the limits.
	regions, fileIDs, exprs int
	checker                 checker
	list                    []Region // of the function that is being read
}

// records reads all the records of __llvm_covfun.
func (d *decoder) records(data []byte) error {
	const header = 28
	c := &cursor{data: data, section: sectionCovfun}
	for c.remaining() > 0 {
		if c.remaining() < header && allZero(c.data[c.pos:]) {
			break
		}
		start := c.pos
		h := c.bytes(header, "header of a function")
		if h == nil {
			return c.err
		}
		f := &Function{NameHash: d.order.Uint64(h), Hash: d.order.Uint64(h[12:])}
		size, ref := d.order.Uint32(h[8:]), d.order.Uint64(h[20:])
		if int64(size) > int64(c.remaining()) {
			c.fail(fmt.Sprintf("mapping of %d bytes, %d left", size, c.remaining()))
			return c.err
		}
		name, ok := d.names[f.NameHash]
		f.Name = name
		files, hasFiles := d.files.byRef[ref]
		reason := ""
		switch {
		case !ok:
			reason = fmt.Sprintf("no function name has hash %#016x; are the names of another object?", f.NameHash)
		case !hasFiles:
			reason = fmt.Sprintf("no list of file names has hash %#016x", ref)
		case d.files.clash[ref]:
			reason = fmt.Sprintf("two lists of file names have hash %#016x", ref)
		}
		if reason != "" {
			return &FormatError{Section: sectionCovfun, Function: name, Offset: int64(start), Reason: reason}
		}
		base := int64(c.pos)
		if err := d.function(f, c.bytes(int(size), "mapping"), base, files); err != nil {
			return err
		}
		d.insert(f)
		c.pos = min((c.pos+7)&^7, len(c.data))
	}
	return nil
}

// insert keeps the first record of each function, except that a real one replaces a dummy.
func (d *decoder) insert(f *Function) {
	i, ok := d.known[f.NameHash]
	if !ok {
		d.known[f.NameHash] = len(d.mapping.Functions)
		d.mapping.Functions = append(d.mapping.Functions, f)
		return
	}
	d.mapping.Ignored++
	if d.mapping.Functions[i].Dummy() && !f.Dummy() {
		d.mapping.Functions[i] = f
	}
}
