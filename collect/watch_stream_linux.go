//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/bpfcov/bpfcov/collect/internal/bpfsys"
	"github.com/bpfcov/bpfcov/collect/internal/notify"
	"github.com/bpfcov/bpfcov/collect/liveness"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// Most loads of a run repeat an earlier one, with other maps: a test loads the same object for each of its cases. While
// the loader of such a program waits, only copies of its maps' descriptors are made. All else is looked at after
// it went on, many loads at once, on another processor.

const (
	// maxStreams bounds the programs that are recognised, each of which holds one descriptor.
	maxStreams = 512
	// laterLoads is how many loads are looked at together, and laterWait, in milliseconds, the time after the last
	// one until that is done anyway; maxLaterLoads bounds the descriptors that are held for them.
	laterLoads, laterWait, maxLaterLoads = 16, 10, 256
)

// stream is a program that was loaded before, without what is behind its descriptors.
type stream struct {
	shape   uint64
	first   captured        // attributes, instructions and what they come with; no descriptors but the numbers
	objects []meta.ObjectID // of the maps of the first load
	btf     int             // a copy of the descriptor of its types, -1 when it has none
}

// repeated is a load of a stream. Its descriptors are in the order in which the instructions refer to them first.
type repeated struct {
	*stream
	attr *bpfsys.LoadAttr
	proc *process
	tid  int
	fds  []int32 // of the loader
	own  []int   // copies
}

func (r *repeated) close() {
	for _, fd := range r.own {
		bpfsys.Close(fd)
	}
}

// ordered returns the distinct descriptors that refs refer to, in order, and which of them each refers to.
func ordered(refs []liveness.Ref, descriptor func(liveness.Ref) int32) (fds []int32, which []uint32) {
	which = make([]uint32, len(refs))
	for i, r := range refs {
		fd := descriptor(r)
		n := slices.Index(fds, fd)
		if n < 0 {
			if n = len(fds); n <= maxLoadFDs {
				fds = append(fds, fd)
			}
		}
		which[i] = uint32(n)
	}
	return fds, which
}

// direct returns the descriptor of a reference that is none to an array of descriptors.
func direct(r liveness.Ref) int32 { return r.Imm }

// shapeOf identifies a program by all that the verifier's result depends on but what is behind its descriptors. For these it takes
// which references are to the same one. It changes insns.
func shapeOf(seed maphash.Seed, a *bpfsys.LoadAttr, license, insns []byte, refs []liveness.Ref, which []uint32) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, v := range [...]uint32{a.Type, a.ExpectedAttach, a.AttachBTFID, a.Flags, a.KernVersion, a.Ifindex,
		a.NrFuncInfo, a.FuncInfoRec, a.NrLineInfo, a.LineInfoRec, a.NrCoreRel, a.CoreReloRec, min(a.BTFFD, 1)} {
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], v)
		h.Write(b[:])
	}
	h.Write(a.RawName[:])
	h.Write(license)
	for i, r := range refs {
		binary.NativeEndian.PutUint32(insns[8*r.Index+4:], which[i])
	}
	h.Write(insns)
	return h.Sum64()
}

// key identifies a program by its shape and what its maps are to the verifier.
type key struct {
	hash maphash.Hash
}

func newKey(seed maphash.Seed, shape uint64) *key {
	var k key
	k.hash.SetSeed(seed)
	k.word(shape)
	return &k
}

func (k *key) word(v uint64) {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], v)
	k.hash.Write(b[:])
}

// put adds one map: its blocks of counters, or its kind.
func (k *key) put(m *counterMap, kind uint64) {
	if m == nil {
		k.word(kind)
		return
	}
	for _, b := range m.blocks {
		k.hash.Write(b.ObjectID[:])
	}
}

// recognised handles a load of a stream, and reports whether it did, and whether too many loads wait to be looked at.
func (w *watcher) recognised(c *notify.Call, a *bpfsys.LoadAttr, insns, license []byte) (shape uint64, done, full bool) {
	w.recognising.Lock()
	defer w.recognising.Unlock()
	r, shape := w.recognise(c, a, insns, license, w.refs)
	switch {
	case r == nil:
		return shape, false, false
	case !w.l.Continue(c.ID):
		r.close()
		return shape, true, false
	}
	return shape, true, w.later.put(r)
}

// recognise returns the load of a stream that is known, nil for another one. Then nothing has been done.
func (w *watcher) recognise(c *notify.Call, a *bpfsys.LoadAttr, insns, license []byte, refs []liveness.Ref) (*repeated, uint64) {
	if a.AttachFD != 0 || a.FDArray != 0 || a.Ifindex != 0 || len(refs) == 0 {
		return nil, 0
	}
	if slices.ContainsFunc(refs, func(r liveness.Ref) bool {
		return r.Pseudo != liveness.PseudoMapFD && r.Pseudo != liveness.PseudoMapValue
	}) {
		return nil, 0
	}
	fds, which := ordered(refs, direct)
	if len(fds) > maxLoadFDs {
		return nil, 0
	}
	w.shaped = append(w.shaped[:0], insns...)
	id := shapeOf(w.table.seed, a, license, w.shaped, refs, which)
	s := w.streams[id]
	if s == nil {
		return nil, id
	}
	proc, err := w.procs.find(c.TID)
	if err != nil || proc.pidfd < 0 {
		return nil, id
	}
	r := &repeated{stream: s, attr: a, proc: proc, tid: c.TID, fds: fds, own: make([]int, 0, len(fds))}
	for _, fd := range fds {
		own, err := bpfsys.GetFD(proc.pidfd, fd)
		if err != nil {
			r.close()
			return nil, id
		}
		r.own = append(r.own, own)
		if w.table.started(own) {
			r.close()
			return nil, id
		}
	}
	return r, id
}

// learn makes a load recognisable whose first of the kind was captured whole, and belongs to a shape.
func (w *watcher) learn(cp *captured, shape uint64) {
	if shape == 0 || cp.missing != "" || len(cp.fdOf) > 0 || len(w.streams) >= maxStreams || w.streams[shape] != nil {
		return
	}
	s := &stream{shape: shape, first: *cp, objects: cp.objects(w.order), btf: -1}
	others := len(cp.own) - len(cp.kinds)
	if cp.attr.BTFFD != 0 {
		others--
		own, ok := cp.own[int32(cp.attr.BTFFD)]
		if !ok {
			return
		}
		var err error
		if s.btf, err = bpfsys.Dup(own); err != nil {
			return
		}
	}
	if others != 0 { // kernel modules' types: their descriptors are in the instructions
		s.close()
		return
	}
	s.first.own, s.first.kinds, s.first.maps = nil, nil, nil
	w.streams[shape] = s
}

func (s *stream) close() {
	if s.btf >= 0 {
		bpfsys.Close(s.btf)
	}
}

// objects returns the objects whose counters a load refers to, in the order of its references.
func (cp *captured) objects(order binary.ByteOrder) (ids []meta.ObjectID) {
	seen := map[*counterMap]bool{}
	for _, r := range cp.refs {
		fd, _ := cp.descriptor(r, order)
		if m := cp.maps[fd]; m != nil && !seen[m] {
			seen[m] = true
			for i := range m.blocks {
				ids = append(ids, m.blocks[i].ObjectID)
			}
		}
	}
	return ids
}

// later holds the loads that are yet to be looked at.
type later struct {
	busy sync.Mutex // held while they are looked at

	mu    sync.Mutex
	loads []*repeated

	ready chan struct{} // there are enough of them
}

// put adds a load, and reports whether there are too many.
func (q *later) put(r *repeated) (full bool) {
	q.mu.Lock()
	q.loads = append(q.loads, r)
	n := len(q.loads)
	q.mu.Unlock()
	if n >= laterLoads {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
	return n >= maxLaterLoads
}

func (q *later) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.loads) > 0
}

// flush looks at all loads that wait for it.
func (w *watcher) flush() {
	w.later.busy.Lock()
	defer w.later.busy.Unlock()
	w.later.mu.Lock()
	loads := w.later.loads
	w.later.loads = nil
	w.later.mu.Unlock()
	for _, r := range loads {
		w.repeated(r)
	}
}

// flushes looks at loads when there are enough of them, until the returned function is called, which looks at the rest.
func (w *watcher) flushes() (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range w.later.ready {
			w.flush()
		}
	}()
	return func() {
		close(w.later.ready)
		<-done
		w.flush()
	}
}

// repeated looks at a load of a stream, whose loader has gone on.
func (w *watcher) repeated(r *repeated) {
	cp := captured{attr: r.attr, proc: r.proc, tid: r.tid, own: map[int32]int{}, kinds: map[int32]uint64{}, maps: map[int32]*counterMap{}}
	k := newKey(w.table.seed, r.shape)
	for i, fd := range r.fds {
		info, err := bpfsys.GetMapInfo(r.own[i])
		if err != nil {
			cp.miss("map descriptor %d: %v", fd, err)
		}
		m, kind, taken := w.table.adopt(r.own[i], info, r.proc)
		k.put(m, kind)
		if cp.kinds[fd] = kind; m != nil {
			cp.maps[fd] = m
		}
		if !taken {
			cp.own[fd] = r.own[i]
		}
	}
	w.loaded()
	if len(cp.maps) == 0 && !w.o.Plain {
		cp.close()
		return
	}
	cp.key = k.hash.Sum64()
	if w.known(cp.key, true) {
		cp.close()
		return
	}
	w.restore(&cp, r)
	w.register(&cp)
}

// restore completes a load from the first one of its stream.
func (w *watcher) restore(cp *captured, r *repeated) {
	f := &r.first
	cp.insns, cp.refs = slices.Clone(f.insns), slices.Clone(f.refs)
	_, which := ordered(f.refs, direct)
	for i := range cp.refs {
		ref := &cp.refs[i]
		ref.Imm = r.fds[which[i]]
		w.order.PutUint32(cp.insns[8*ref.Index+4:], uint32(ref.Imm))
	}
	cp.license, cp.funcInfo, cp.lineInfo, cp.coreRelos = f.license, f.funcInfo, f.lineInfo, f.coreRelos
	if !slices.Equal(cp.objects(w.order), r.objects) {
		cp.miss("the same instructions came with another object before, whose types may be others")
		return
	}
	cp.copyHeld(w)
	if r.btf >= 0 {
		own, err := bpfsys.Dup(r.btf)
		if err != nil {
			cp.miss("descriptor of its types: %v", err)
			return
		}
		cp.own[int32(cp.attr.BTFFD)] = own
	}
}

// listenTimeout is how long to wait for the next call, in milliseconds.
func (w *watcher) listenTimeout() int {
	timeout := w.sweepInterval()
	if w.later.waiting() && (timeout < 0 || timeout > laterWait) {
		return laterWait
	}
	return timeout
}

// stopRecognising gives all descriptors up.
func (w *watcher) stopRecognising() {
	for _, s := range w.streams {
		s.close()
	}
	clear(w.streams)
}
