//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect/internal/bpfsys"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// maxHeld is the number of counter maps that are held open before those that nobody can count in any
// more are read for the last time and closed; fewHeld is the number that may as well be read again and again at the end.
const maxHeld, fewHeld = 128, 16

// counterMap is one map with counters, held open so that it outlives its loader.
type counterMap struct {
	id     uint32
	fd     int
	size   int
	blocks []Block
	owner  *process // who was first seen to load with it; nil for maps from before the run
	// base is what the counters were when the run began, nil when they were 0.
	base []byte
	// before is set for a map that no load of this run has been seen to use.
	before bool
	// chased is set for a map that was found before anything was loaded with it, see chase.
	chased atomic.Bool
}

// mapTable knows all counter maps of a run. Its methods may be called from several goroutines, but
// only one of them may call read and close.
type mapTable struct {
	order binary.ByteOrder
	seed  maphash.Seed
	newer uint32 // maps with ids up to this one existed before the run

	mu sync.Mutex
	// returning is set when a map with counters up to newer may be loaded with again.
	returning bool
	held      map[uint32]*counterMap
	other     map[uint32]uint64 // maps without counters, with a hash of what matters to the verifier
	folded    map[meta.ObjectID]*ObjectCounters
}

// newMapTable returns a table that knows which maps there are. With earlier it keeps those with counters.
func newMapTable(order binary.ByteOrder, earlier bool) *mapTable {
	t := &mapTable{order: order, seed: maphash.MakeSeed(), held: map[uint32]*counterMap{},
		other: map[uint32]uint64{}, folded: map[meta.ObjectID]*ObjectCounters{}}
	for {
		id, ok := bpfsys.NextMapID(t.newer)
		if !ok {
			break
		}
		t.newer = id
		if m := t.adoptID(id); m != nil {
			// Programs of an earlier run may be attached and count on.
			m.before, t.returning = true, true
		}
	}
	if !earlier {
		t.close()
		clear(t.other) // what they are is to be found out when they are loaded with
	}
	return t
}

// adoptID is adopt by id, and nobody's.
func (t *mapTable) adoptID(id uint32) *counterMap {
	fd, err := bpfsys.OpenMap(id)
	if err != nil {
		return nil
	}
	if info, err := bpfsys.GetMapInfo(fd); err == nil {
		if m, _, taken := t.adopt(fd, info, nil); taken {
			return m
		}
	}
	bpfsys.Close(fd)
	return nil
}

// started reports whether the map of a descriptor may have counted before this run, or before it was read for the last
// time: then its value has to be known before a program counts in it.
func (t *mapTable) started(fd int) bool {
	t.mu.Lock()
	returning, newer := t.returning, t.newer
	t.mu.Unlock()
	if !returning {
		return false
	}
	info, err := bpfsys.GetMapInfo(fd)
	return err != nil || info.ID <= newer
}

// adopt returns the counter map of a descriptor, or nil and a hash of what the verifier may look at in
// a map of another kind. The descriptor remains the caller's unless it was taken to hold the map by.
func (t *mapTable) adopt(fd int, info bpfsys.MapInfo, owner *process) (m *counterMap, kind uint64, taken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.held[info.ID]; m != nil {
		if owner != nil {
			m.before, m.owner = false, owner
		}
		return m, 0, false
	}
	if h, ok := t.other[info.ID]; ok {
		return nil, h, false
	}
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, v := range []uint32{info.Type, info.KeySize, info.ValueSize, info.MaxEntries, info.Flags} {
		h.Write(binary.NativeEndian.AppendUint32(nil, v))
	}
	if info.IsData() {
		held := fd
		value := make([]byte, info.ValueSize)
		err := bpfsys.LookupFirst(fd, value)
		if err == unix.EPERM { // a descriptor for writing only
			if held, err = bpfsys.OpenMap(info.ID); err == nil {
				err = bpfsys.LookupFirst(held, value)
			}
		}
		switch {
		case err != nil:
		case info.ReadOnly():
			h.Write(value) // the verifier folds constants of a frozen map
		default:
			if blocks := ParseBlocks(value, t.order); len(blocks) > 0 {
				m := &counterMap{id: info.ID, fd: held, size: len(value), blocks: blocks, owner: owner}
				if info.ID <= t.newer {
					m.base = value
				}
				t.held[info.ID] = m
				return m, 0, held == fd
			}
		}
		if held != fd {
			bpfsys.Close(held)
		}
	}
	t.other[info.ID] = h.Sum64()
	return nil, t.other[info.ID], false
}

// duplicate returns another descriptor of a map that is held.
func (t *mapTable) duplicate(m *counterMap) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[m.id] != m {
		return -1, unix.EBADF // its loader was killed
	}
	return bpfsys.Dup(m.fd)
}

// many reports whether more than limit maps are held.
func (t *mapTable) many(limit int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.held) > limit
}

// snapshot returns the held maps, by id.
func (t *mapTable) snapshot() []*counterMap {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*counterMap, 0, len(t.held))
	for _, id := range slices.Sorted(maps.Keys(t.held)) {
		all = append(all, t.held[id])
	}
	return all
}

// read sums all maps per object, sorted. Maps of which nothing was seen in this run are left out.
func (t *mapTable) read() []ObjectCounters {
	sum := map[meta.ObjectID]*ObjectCounters{}
	for id, o := range t.folded {
		sum[id] = cloneObject(o)
	}
	for _, m := range t.snapshot() {
		t.addTo(sum, m)
	}
	objects := make([]ObjectCounters, 0, len(sum))
	for _, o := range sum {
		objects = append(objects, *o)
	}
	sortObjects(objects)
	return objects
}

func (t *mapTable) addTo(sum map[meta.ObjectID]*ObjectCounters, m *counterMap) {
	value := make([]byte, m.size)
	if bpfsys.LookupFirst(m.fd, value) != nil {
		return
	}
	for i := range m.blocks {
		b := &m.blocks[i]
		o := ObjectCounters{ObjectID: b.ObjectID, Width: b.Width, Maps: 1, Counts: b.Counts(value, t.order)}
		moved := false
		if m.base != nil {
			for i, was := range b.Counts(m.base, t.order) {
				if o.Counts[i] >= was { // less: somebody reset the map
					o.Counts[i] -= was
				}
			}
		}
		for _, c := range o.Counts {
			moved = moved || c != 0
		}
		if m.before && !moved {
			continue
		}
		if have := sum[b.ObjectID]; have != nil {
			// Equal ids are equal builds; what does not fit is not this object.
			_ = Merge(have, o)
			continue
		}
		sum[b.ObjectID] = &o
	}
}

// retire reads for the last time and closes the maps that nobody can count in any more: no program in
// the kernel uses them, and the process that loaded with them has ended. A map that comes back later,
// from a pin, starts from the value that it then has.
func (t *mapTable) retire() {
	// In this order: who ended before the programs are listed cannot load another one.
	var ended []*counterMap
	for _, m := range t.snapshot() {
		if m.owner != nil && !m.owner.alive() {
			ended = append(ended, m)
		}
	}
	used := map[uint32]bool{}
	for id, ok := bpfsys.NextProgID(0); ok; id, ok = bpfsys.NextProgID(id) {
		fd, err := bpfsys.OpenProg(id)
		if err != nil {
			continue
		}
		info, err := bpfsys.PeekProg(fd)
		bpfsys.Close(fd)
		if err != nil {
			continue
		}
		for _, m := range info.MapIDs {
			used[m] = true
		}
	}
	for _, m := range ended {
		if used[m.id] {
			continue
		}
		t.mu.Lock() // who finds the map again finds it after this reading
		t.addTo(t.folded, m)
		delete(t.held, m.id)
		t.newer, t.returning = max(t.newer, m.id), true
		t.mu.Unlock()
		bpfsys.Close(m.fd)
	}
}

func (t *mapTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.held {
		bpfsys.Close(m.fd)
	}
	clear(t.held)
}
