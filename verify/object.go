package verify

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// Limits of what is read. The largest objects known have some ten megabytes and a few hundred programs.
const (
	maxObject   = 256 << 20 // bytes
	maxPrograms = 10000
)

// Object is one BPF object, read and not loaded.
type Object struct {
	// File is the name under which it is reported.
	File string
	spec *ebpf.CollectionSpec
}

// Open reads an object. The error names the file and the reason; that of a file that is not there wraps [io/fs.ErrNotExist].
func Open(path string) (o *Object, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxObject {
		return nil, fmt.Errorf("%s: want a regular file of at most %d MiB", path, maxObject>>20)
	}
	defer func() {
		if p := recover(); p != nil { // the library is not ours, and the object is anybody's
			o, err = nil, fmt.Errorf("%s: reading it panicked: %v", path, p)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	spec, err := ebpf.LoadCollectionSpecFromReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: not a BPF object that can be read: %w", path, err)
	}
	if len(spec.Programs) > maxPrograms {
		return nil, fmt.Errorf("%s: %d programs, want at most %d", path, len(spec.Programs), maxPrograms)
	}
	return &Object{File: filepath.Base(path), spec: spec}, nil
}

// Check tells cheaply whether a file is a BPF object at all, which is not to say that [Open] can read it. The error names the file.
func Check(path string) error {
	if st, err := os.Stat(path); err != nil {
		return err
	} else if !st.Mode().IsRegular() {
		return fmt.Errorf("%s: want a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var head [20]byte // up to e_machine, elf(5)
	if _, err := io.ReadFull(f, head[:]); err != nil || string(head[:4]) != elf.ELFMAG {
		return fmt.Errorf("%s: not a BPF object, nor any other ELF file", path)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	if m := elf.Machine(order.Uint16(head[18:])); m != elf.EM_BPF {
		return fmt.Errorf("%s: not a BPF object but one for %s", path, m)
	}
	return nil
}

// Programs are the names of the programs, sorted.
func (o *Object) Programs() []string { return slices.Sorted(maps.Keys(o.spec.Programs)) }

// single makes a collection of one program and the maps that it refers to, ready to load alone. changed says what maps were given, in
// the order of their use.
func (o *Object) single(name string) (one *ebpf.CollectionSpec, changed []string) {
	p := o.spec.Programs[name].Copy()
	one = &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{}, Programs: map[string]*ebpf.ProgramSpec{name: p},
		Variables: map[string]*ebpf.VariableSpec{}, Types: o.spec.Types, ByteOrder: o.spec.ByteOrder,
	}
	for i := range p.Instructions {
		ins := &p.Instructions[i]
		ref := ins.Reference()
		if ref == "" || !ins.IsLoadFromMap() || one.Maps[ref] != nil {
			continue
		}
		if m := o.spec.Maps[ref]; m != nil {
			m = m.Copy()
			if what := fixMap(m); what != "" {
				changed = append(changed, fmt.Sprintf("map %s: %s", ref, what))
			}
			one.Maps[ref] = m
		}
	}
	for n, v := range o.spec.Variables {
		if one.Maps[v.SectionName] != nil {
			one.Variables[n] = v.Copy()
		}
	}
	return one, changed
}

// Sizes of maps that loaders usually set.
const (
	largeMap = 4 << 20 // bytes from which on a map is shrunk
	fewElems = 64
)

// fixMap makes a map loadable without its loader: it is not pinned, has a size, and no more of it than is needed. It says what of that it was.
func fixMap(m *ebpf.MapSpec) (what string) {
	m.Pinning = ebpf.PinNone
	// A program or map by name in an array of them: another verdict.
	m.Contents = slices.DeleteFunc(m.Contents, func(kv ebpf.MapKV) bool {
		_, byName := kv.Value.(string)
		if byName {
			what = "without the programs or maps in it"
		}
		return byName
	})
	if m.InnerMap != nil {
		m.InnerMap = m.InnerMap.Copy()
		fixMap(m.InnerMap)
	}
	switch m.Type {
	case ebpf.SkStorage, ebpf.TaskStorage, ebpf.InodeStorage, ebpf.CgroupStorage, ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage,
		ebpf.StructOpsMap, ebpf.Arena:
		return what // have no size, or one that costs nothing
	case ebpf.RingBuf, ebpf.UserRingbuf:
		if page := uint32(os.Getpagesize()); m.MaxEntries < page || m.MaxEntries > largeMap || m.MaxEntries&(m.MaxEntries-1) != 0 {
			what = fmt.Sprintf("%d bytes in place of %d", page, m.MaxEntries)
			m.MaxEntries = page
		}
		return what
	case ebpf.PerfEventArray:
		return what // the library takes the number of CPUs
	}
	if m.MaxEntries == 0 {
		what = "1 element in place of 0"
		m.MaxEntries = 1
	}
	if strings.HasPrefix(m.Name, ".") || m.MaxEntries <= fewElems || len(m.Contents) > 0 {
		return what
	}
	if uint64(m.MaxEntries)*(uint64(m.KeySize)+uint64(m.ValueSize)+64) > largeMap {
		what = fmt.Sprintf("%d elements in place of %d", fewElems, m.MaxEntries)
		m.MaxEntries = fewElems
	}
	return what
}
