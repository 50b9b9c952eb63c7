package covmap

import (
	"bytes"
	"compress/zlib"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"slices"
)

// Section names, see LLVM's InstrProfData.inc.
const (
	sectionCovmap = "__llvm_covmap"
	sectionCovfun = "__llvm_covfun"
	sectionNames  = "__llvm_prf_names"
	// sectionCovNames replaces sectionNames in objects with binary correlation.
	sectionCovNames = "__llvm_covnames"
)

// hashName is LLVM's IndexedInstrProf::ComputeHash.
func hashName(b []byte) uint64 {
	sum := md5.Sum(b)
	return binary.LittleEndian.Uint64(sum[:8])
}

// NameHash returns the hash by which records refer to the function of that profile name.
func NameHash(name string) uint64 { return hashName([]byte(name)) }

// inflate returns exactly size bytes from the zlib stream in data. The stream decides what is
// allocated, not size.
func inflate(data []byte, size int64) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(out)) != size {
		return nil, errors.New("length is not what the header says")
	}
	return out, nil
}

// parseNames reads a section of function names into a table by hash.
func parseNames(data []byte) (map[uint64]string, error) {
	names := make(map[uint64]string)
	budget := int64(maxNames)
	c := &cursor{data: data, section: sectionNames}
	for c.remaining() > 0 {
		if c.data[c.pos] == 0 { // padding between the chunks of linked objects
			c.pos++
			continue
		}
		start := c.pos
		plain := int64(c.uleb(maxNames, "size of names"))
		packed := int(c.uleb(uint64(c.remaining()), "size of compressed names"))
		var chunk []byte
		if packed == 0 {
			chunk = c.bytes(int(plain), "list of names")
		} else {
			chunk = c.bytes(packed, "compressed list of names")
		}
		if budget -= plain; budget < 0 {
			c.fail("more than " + utoa(maxNames) + " bytes of names")
		}
		if c.err != nil {
			return nil, c.err
		}
		if packed != 0 {
			var err error
			if chunk, err = inflate(chunk, plain); err != nil {
				c.pos = start
				c.fail("compressed names: " + err.Error())
				return nil, c.err
			}
		}
		for name := range bytes.SplitSeq(chunk, []byte{1}) {
			if len(name) > 0 {
				names[hashName(name)] = string(name)
			}
		}
	}
	return names, nil
}

// fileTable resolves the hashes by which function records refer to lists of file names.
type fileTable struct {
	byRef map[uint64][]string
	// clash has the hashes that stand for two different lists.
	clash map[uint64]bool
	files int // names so far
	bytes int // and their bytes
}

// parseCovmap reads all the headers of a section.
func parseCovmap(data []byte, order binary.ByteOrder) (*fileTable, int, error) {
	const header = 16
	t := &fileTable{byRef: make(map[uint64][]string), clash: make(map[uint64]bool)}
	c := &cursor{data: data, section: sectionCovmap}
	version := 0
	for c.remaining() > 0 {
		if c.remaining() < header && allZero(c.data[c.pos:]) {
			break
		}
		start := c.pos
		h := c.bytes(header, "header")
		if h == nil {
			return nil, 0, c.err
		}
		records, size, coverage, stored := order.Uint32(h), order.Uint32(h[4:]), order.Uint32(h[8:]), order.Uint32(h[12:])
		c.pos = start
		switch v := int64(stored) + 1; {
		case v > 7:
			c.fail("mapping version " + utoa(uint64(v)) + " (stored as " + utoa(uint64(stored)) + ") is newer than this bpfcov understands (4 to 7)")
		case v < 4:
			c.fail("mapping version " + utoa(uint64(v)) + " (stored as " + utoa(uint64(stored)) + ") is older than this bpfcov understands (4 to 7)")
		case version != 0 && int64(version) != v:
			c.fail("mapping version " + utoa(uint64(v)) + " after version " + utoa(uint64(version)) + " in one section")
		case records != 0 || coverage != 0:
			c.fail("header of version " + utoa(uint64(v)) + " has function records of version 3")
		default:
			version = int(v)
		}
		c.pos = start + header
		if size > maxSection {
			c.fail("size of file names is " + utoa(uint64(size)))
			size = 0
		}
		base := c.pos
		blob := c.bytes(int(size), "list of file names")
		if c.err != nil {
			return nil, 0, c.err
		}
		if err := t.add(blob, int64(base), version); err != nil {
			return nil, 0, err
		}
		c.pos = min((c.pos+7)&^7, len(c.data))
	}
	if version == 0 {
		return nil, 0, &FormatError{Section: sectionCovmap, Offset: 0, Reason: "no header"}
	}
	return t, version, nil
}

// add enters the encoded list of file names of one header.
func (t *fileTable) add(blob []byte, base int64, version int) error {
	c := &cursor{data: blob, base: base, section: sectionCovmap}
	n := c.uleb(maxFiles, "number of file names")
	plain := int64(c.uleb(maxNames, "size of file names"))
	packed := int(c.uleb(uint64(c.remaining()), "size of compressed file names"))
	if n == 0 {
		c.fail("no file names")
	}
	if t.files += int(n); t.files > maxFiles {
		c.fail("more than " + utoa(maxFiles) + " file names")
	}
	if packed != 0 {
		start := c.pos
		z := c.bytes(packed, "compressed file names")
		if c.err != nil {
			return c.err
		}
		b, err := inflate(z, plain)
		if err != nil {
			c.pos = start
			c.fail("compressed file names: " + err.Error())
			return c.err
		}
		c = &cursor{data: b, base: base + int64(start), section: sectionCovmap}
	}
	if n > uint64(c.remaining()) {
		c.fail("number of file names is " + utoa(n) + " in " + utoa(uint64(c.remaining())) + " bytes")
	}
	if c.err != nil {
		return c.err
	}
	files := make([]string, 0, n)
	for i := range int(n) {
		name := string(c.bytes(c.count(1, "length of a file name"), "file name"))
		// Since version 6 the first one is the directory that relative names are relative to.
		if version >= 6 && i > 0 && !path.IsAbs(name) {
			name = path.Join(files[0], name)
		}
		if t.bytes += len(name); t.bytes > maxPath {
			c.fail("file names of more than " + utoa(maxPath) + " bytes")
		}
		if c.err != nil {
			return c.err
		}
		files = append(files, name)
	}
	ref := hashName(blob)
	if old, ok := t.byRef[ref]; ok && !slices.Equal(old, files) {
		t.clash[ref] = true
	} else if !ok {
		t.byRef[ref] = files
	}
	return nil
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
